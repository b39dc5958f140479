"""How often the fairness control errs: the same population twice must not fail, a planted disparity must be found. From counts to finding."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.assessments.fairness.lattice import BiasParameters, measure_bias
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.model import Policy, Tier
from rai_pipelines.policy.three_state import Band, Judged, judge_family
from rai_pipelines.policy.verdict import Asked, judge_control
from rai_pipelines_tests.conftest import evidence

POLICY = read_policy()
ASKED = Asked(tier=Tier.STANDARD, release_class="internal", day=date(2026, 12, 15))
PARAMETERS = BiasParameters(resamples=200, intersections_depth=2)


def counts(rng: np.random.Generator, rows: int, selection: dict[str, float]) -> pd.DataFrame:
    """Counts of as many rows in each group of `sex`, and of an attribute that has nothing to do with anything."""
    cells = []
    for sex, rate in selection.items():
        for region, share in (("a", 0.6), ("b", 0.4)):
            positives = rng.binomial(round(rows * share), 0.5)
            for label, n in ((1, positives), (0, round(rows * share) - positives)):
                chosen = rng.binomial(n, rate)
                cells += [(sex, region, label, 1, chosen), (sex, region, label, 0, n - chosen)]
    return pd.DataFrame(cells, columns=["sex", "region", "label", "prediction", "count"]).astype({"label": "Int64"})


def found(table: pd.DataFrame, policy: Policy = POLICY) -> FindingStatus:
    measured = measure_bias(table, attributes={"sex": "m", "region": "a"}, parameters=PARAMETERS, seed=1)
    made = evidence("bias_assessment", *measured.measurements, details=dict(measured.details))
    control = policy.control("FAIR-S")
    assert control is not None
    return judge_control(control, policy, {"bias_assessment": made}, ASKED).status


@pytest.mark.slow
@pytest.mark.parametrize("rows", [200, 5_000])
def test_the_same_population_twice_fails_at_most_alpha(rows: int) -> None:
    rng = np.random.default_rng(20)
    draws = 150
    failed = sum(found(counts(rng, rows, {"f": 0.4, "m": 0.4})) is FindingStatus.FAIL for _ in range(draws))
    assert failed / draws <= POLICY.statistics.alpha


@pytest.mark.slow
def test_a_model_at_the_edge_of_the_band_fails_at_most_alpha() -> None:
    rng = np.random.default_rng(21)
    draws = 150
    failed = sum(found(counts(rng, 1_000, {"f": 0.4, "m": 0.5})) is FindingStatus.FAIL for _ in range(draws))  # ratio 0.8, difference at its limit
    assert failed / draws <= POLICY.statistics.alpha


@pytest.mark.slow
def test_a_planted_ratio_of_seven_tenths_is_found_with_five_thousand_rows_a_group() -> None:
    rng = np.random.default_rng(22)
    draws = 100
    failed = sum(found(counts(rng, 5_000, {"f": 0.35, "m": 0.5})) is FindingStatus.FAIL for _ in range(draws))
    assert failed / draws >= 0.95


def test_four_fifths_exactly_is_not_outside_the_band_whatever_the_size() -> None:
    for scale in (10, 1_000, 100_000):
        table = pd.DataFrame(
            [
                (sex, "a", label, prediction, n * scale)
                for sex, chosen, other in (("m", 50, 50), ("f", 40, 60))
                for label in (1, 0)
                for prediction, n in ((1, chosen), (0, other))
            ],
            columns=["sex", "region", "label", "prediction", "count"],
        ).astype({"label": "Int64"})
        measured = measure_bias(table, attributes={"sex": "m"}, parameters=PARAMETERS, seed=1)
        (ratio,) = [item for item in measured.measurements if item.metric == "impact_ratio"]
        assert ratio.value == 0.8
        (figure,) = judge_family([Judged("ratio", ratio, Band(0.8, 1.25))], alpha=0.05)
        assert (figure.p_adjusted, figure.status) == (1.0, FindingStatus.INCONCLUSIVE)  # on the edge: never outside, and never certainly inside
