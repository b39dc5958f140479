"""Calibration finds what statistics promises: few failures without cause, power that grows with rows, the same figures for the same seed."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.assessments.base import Measured
from rai_pipelines.assessments.fairness.disparity import between_groups
from rai_pipelines.assessments.fairness.groups import group_counts
from rai_pipelines.assessments.fairness.lattice import BiasParameters, measure_bias
from rai_pipelines.errors import EvidenceError
from rai_pipelines.evidence.model import Evidence
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.model import Tier
from rai_pipelines.policy.verdict import Asked, judge_control
from rai_pipelines.policy_life.calibration import Calibration, ThresholdCalibration, calibrate
from rai_pipelines.policy_life.simulated_groups import Planted, stored_counts
from rai_pipelines_tests.conftest import DAY, evidence, figure
from rai_pipelines_tests.policy.policies import changed
from rai_pipelines_tests.policy.test_verdict import good_evidence

ASKED = Asked(tier=Tier.STANDARD, release_class="internal", day=DAY)


def table(rows: int, *, labelled: float = 1.0) -> pd.DataFrame:
    """Counts of two attributes in which every group is treated alike, and a group of five rows."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {"sex": rng.choice(["f", "m"], rows, p=[0.3, 0.7]), "region": rng.choice(["a", "b"], rows), "label": rng.integers(0, 2, rows)}
    )
    frame.loc[:4, "region"] = "rare"
    frame["prediction"] = np.where(rng.random(rows) < 0.8, frame["label"], 1 - frame["label"])
    frame["label"] = frame["label"].astype("Int64").where(rng.random(rows) < labelled)
    return frame.groupby(["sex", "region", "label", "prediction"], dropna=False).size().rename("count").reset_index()


@cache
def measured_bias(rows: int) -> Measured:
    return measure_bias(table(rows), attributes={"sex": "m", "region": "a"}, parameters=BiasParameters(resamples=200), seed=1)


def bias(rows: int, **changes: Any) -> Evidence:
    measured = measured_bias(rows)
    return evidence("bias_assessment", *measured.measurements, details={**measured.details, "task": "binary_classification", **changes})


@cache
def calibrated(rows: int = 3000, *, draws: int = 40, seed: int = 1, planted: Planted | None = None, **changes: Any) -> Calibration:
    found = {**good_evidence(), "bias_assessment": bias(rows, **changes)}
    return calibrate(read_policy(), found, {"sex": "m", "region": "a"}, ASKED, draws=draws, seed=seed, planted=planted or Planted())


def of(found: Calibration, threshold: str, attribute: str | None = None, control: str = "FAIR-S") -> ThresholdCalibration:
    (item,) = [item for item in found.thresholds if (item.control, item.threshold, item.attribute) == (control, threshold, attribute)]
    return item


@pytest.mark.parametrize("labelled", [1.0, 0.6])
def test_the_counts_of_the_groups_come_back_from_the_evidence(labelled: float) -> None:
    counts = table(500, labelled=labelled)
    measured = measure_bias(counts, attributes={"sex": "m", "region": "a"}, parameters=BiasParameters(resamples=200), seed=1)
    made = evidence("bias_assessment", *measured.measurements, details=dict(measured.details))
    for stored, original in zip(stored_counts(made), group_counts(counts, ["sex", "region"], depth=1), strict=True):
        assert stored.groups == original.groups
        assert stored.cells.tolist() == original.cells.tolist()


def test_closed_forms_are_fairlearns_values_and_intervals() -> None:
    tables = group_counts(table(2000), ["sex", "region"], depth=1)
    sizes = BiasParameters(resamples=200)
    for exact, closed in zip(between_groups(tables, sizes, seed=1), between_groups(tables, sizes, seed=1, closed_forms=True), strict=True):
        for one, other in zip(exact[0], closed[0], strict=True):
            assert one.metric == other.metric
            assert (one.value is None and other.value is None) or one.value == pytest.approx(other.value, abs=1e-12)


def test_without_disparity_hardly_anything_fails_and_what_is_planted_is_found() -> None:
    found = calibrated()
    whole = of(found, "whole control")
    assert whole.false_fail is not None and whole.false_fail.low <= read_policy().statistics.alpha
    assert whole.outcomes["pass"].value + whole.outcomes["inconclusive"].value + whole.outcomes["fail"].value == pytest.approx(1)
    ratio = of(found, "impact_ratio", "sex")
    assert ratio.planted == pytest.approx(0.6) and ratio.planted_in == "f"
    assert ratio.power is not None and ratio.power.value >= 0.95
    assert ratio.flip_rate is not None and ratio.flip_rate.n == 20


@pytest.mark.slow
def test_power_grows_with_rows_and_with_what_is_planted() -> None:
    def power(rows: int, ratio: float) -> float:
        share = of(calibrated(rows, planted=Planted(ratio=ratio)), "impact_ratio", "sex").power
        assert share is not None and share.low <= share.value <= share.high
        return share.value

    assert power(300, 0.6) < power(3000, 0.6)
    assert power(3000, 0.78) < power(3000, 0.6)


def test_a_planted_difference_is_found_in_the_rate_it_was_planted_in() -> None:
    item = of(calibrated(4000, planted=Planted(difference=0.25)), "equalized_odds_difference", "sex")
    assert item.power is not None and item.power.value >= 0.95


def test_what_counts_do_not_tell_is_named_and_weighs_in_the_family_as_in_an_audit() -> None:
    asked = read_policy().control("FAIR-S")
    assert asked is not None
    policy = changed("FAIR-S", threshold={**asked.threshold, "auc_gap_max": 0.9})
    common = {"n": 900, "denominator": 900}
    gaps = [figure("auc_gap", 0.01, 0.005, 0.02, attribute=f"attribute {number}", **common) for number in range(200)]
    counted = bias(900)
    with_gaps = counted.model_copy(update={"measurements": (*counted.measurements, *gaps)})
    asked_of = {"references": {"sex": "m", "region": "a"}, "asked": ASKED, "draws": 40, "seed": 1, "planted": Planted(ratio=0.68)}
    few, many = (
        calibrate(made, {**good_evidence(), "bias_assessment": item}, **asked_of)  # type: ignore[arg-type]
        for made, item in ((read_policy(), counted), (policy, with_gaps))
    )
    untold = of(many, "auc_gap")
    assert (untold.method, untold.power) == ("not_simulated", None) and "stays as stored" in str(untold.why_not)
    alone, among_many = (of(found, "impact_ratio", "sex").power for found in (few, many))
    assert alone is not None and among_many is not None and among_many.value < alone.value, "an audit would find it less often, too"


def test_the_smallest_group_that_is_judged_gets_the_disparity_never_one_that_is_too_small() -> None:
    item = of(calibrated(), "impact_ratio", "region")
    assert item.planted_in == "b"


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not() -> None:
    afresh = calibrated.__wrapped__
    one, again, other = afresh(draws=20), afresh(draws=20), afresh(draws=20, seed=2)
    assert one.model_dump_json() == again.model_dump_json()
    assert one.model_dump_json() != other.model_dump_json()


def test_what_cannot_be_simulated_says_why() -> None:
    found = calibrated(draws=20, rows_counted_as="independent weighted rows")
    assert "weighted or clustered" in str(of(found, "whole control").why_not)
    assert "no sampling uncertainty" in str(of(found, "whole control", control="PRIV-B").why_not)
    stale = calibrate(read_policy(), {**good_evidence(), "bias_assessment": bias(300)}, {"sex": "m"}, ASKED, draws=20, seed=1, planted=Planted())
    assert "no longer declares region" in str(of(stale, "whole control").why_not)
    performance = of(found, "whole control", control="PERF-B")
    assert performance.method == "stored_intervals" and performance.power is None
    assert performance.outcomes["pass"].value == 1.0, "ten standard errors above the threshold"


def test_a_figure_on_its_threshold_flips_about_as_often_as_chance_says() -> None:
    found = good_evidence()
    at_edge = found["performance_report"].measurements[0].model_copy(update={"value": 0.0165, "standard_error": 0.01})
    assert at_edge.interval is not None
    at_edge = at_edge.model_copy(update={"interval": at_edge.interval.model_copy(update={"low": 0.0, "high": 0.033})})
    performance = found["performance_report"].model_copy(update={"measurements": (at_edge,)})
    made = calibrate(read_policy(), {**found, "performance_report": performance}, {}, ASKED, draws=2000, seed=5, planted=Planted())
    flips = of(made, "whole control", control="PERF-B").flip_rate
    assert flips is not None and flips.n == 1000
    assert abs(flips.value - 0.5) < 4 * np.sqrt(0.25 / flips.n), "a pass and an undecided finding are equally likely there"


def test_the_detectable_value_is_failed_by_four_audits_in_five() -> None:
    found = calibrated(draws=20)
    (lead,) = [item for item in found.thresholds if item.control == "PERF-B" and item.detectable is not None]
    measured = good_evidence()["performance_report"].measurements[0]
    assert measured.interval is not None and measured.value is not None
    rng, policy, failed = np.random.default_rng(2), read_policy(), 0
    control = policy.control("PERF-B")
    assert control is not None
    error = (measured.interval.high - measured.interval.low) / (2 * 1.6448536)
    half = measured.value - measured.interval.low
    for value in rng.normal(lead.detectable, error, 800):
        drawn = measured.model_copy(
            update={"value": value, "interval": measured.interval.model_copy(update={"low": value - half, "high": value + half})}
        )
        made = {"performance_report": evidence("performance_report", drawn)}
        failed += judge_control(control, policy, made, ASKED).status is FindingStatus.FAIL
    # PERF-B is judged at the whole alpha, the figure told is for the level of a first look: at least as hard to reach
    assert failed / 800 >= 0.8 - 3 * np.sqrt(0.16 / 800)
    assert lead.detectable is not None and lead.detectable < 0


def test_nothing_stored_is_an_error() -> None:
    with pytest.raises(EvidenceError, match="no stored evidence"):
        calibrate(read_policy(), {}, {}, ASKED, draws=20, seed=1, planted=Planted())
