"""Three-state findings: luck does not pass, noise does not fail, and small groups never read as parity."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, norm

from rai_pipelines.assessments.statistics.proportions import ratio_of_proportions
from rai_pipelines.evidence.model import State
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.sequential import alpha_at_look
from rai_pipelines.policy.three_state import Band, Judged, decisive_n, holm, judge_exact, judge_family, p_outside
from rai_pipelines_tests.conftest import figure

BAND = Band(0.8, 1.25)


def judged(*measurements, alpha: float = 0.05):
    return judge_family([Judged("it", item, BAND) for item in measurements], alpha=alpha)


def ratio(value: float, error: float, **fields):
    half = 1.6448536269514722 * error
    return figure(
        "impact_ratio", value, value * math.exp(-half), value * math.exp(half), scale="log", standard_error=error, n=1000, denominator=500, **fields
    )


def test_a_value_well_inside_passes() -> None:
    assert judged(ratio(1.0, 0.02))[0].status is FindingStatus.PASS


def test_a_value_inside_by_luck_is_inconclusive_and_says_how_many_rows_would_decide() -> None:
    found = judged(ratio(0.85, 0.2))[0]
    assert found.status is FindingStatus.INCONCLUSIVE
    assert found.decisive_n is not None and found.decisive_n > 500


def test_a_value_outside_fails_only_when_noise_cannot_explain_it() -> None:
    assert judged(ratio(0.5, 0.05))[0].status is FindingStatus.FAIL
    assert judged(ratio(0.78, 0.2))[0].status is FindingStatus.INCONCLUSIVE


@pytest.mark.parametrize("look", [13, 59, 60, 366, 5000])
def test_whoever_audits_on_new_data_each_day_still_gets_a_finding(look: int) -> None:
    found = judged(ratio(0.78, 0.08), alpha=alpha_at_look(0.05, look, looks_per_year=12))[0]
    assert found.status is FindingStatus.INCONCLUSIVE
    assert (found.decisive_n is None) is (look == 5000), "nothing is left to spend: no number of rows would decide"


def test_four_fifths_exactly_is_inside_whatever_floating_point_says() -> None:
    for value in (0.8, 0.1 * 8, 4 / 5, 1 - 0.2, math.nextafter(0.8, 0)):
        assert BAND.contains(value)
    assert not BAND.contains(0.799999)


@pytest.mark.parametrize(("most", "value"), [(0.0, 1e-9), (1e-10, 1e-9), (1e-6, 1.001e-6)])
def test_a_bound_near_zero_is_as_exact_as_any_other(most: float, value: float) -> None:
    assert judge_exact("delta", figure("dp_delta_declared", value), Band(high=most)).status is FindingStatus.FAIL
    assert judge_exact("delta", figure("dp_delta_declared", most), Band(high=most)).status is FindingStatus.PASS
    assert Band(high=0.0).contains(0.1 + 0.2 - 0.3) and Band(low=0.0).contains(0.3 - 0.1 - 0.2)


def test_a_figure_without_interval_cannot_pass_by_uncertainty() -> None:
    assert judged(figure("impact_ratio", 1.0))[0].status is FindingStatus.INCONCLUSIVE


@pytest.mark.parametrize(
    ("state", "expected"),
    [(State.INSUFFICIENT, FindingStatus.INCONCLUSIVE), (State.UNDEFINED, FindingStatus.MISSING), (State.UNAVAILABLE, FindingStatus.MISSING)],
)
def test_a_figure_that_is_not_measured_never_passes(state: State, expected: FindingStatus) -> None:
    assert judged(figure("impact_ratio", None, state=state, note="too few"))[0].status is expected
    assert judged(figure("impact_ratio", 1.0, 0.99, 1.01, state=state))[0].status is expected
    assert judge_exact("it", figure("k_minimum", None, state=state), Band(low=5)).status is expected


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_a_step_down_procedure(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(a >= p - 1e-12 for a, p in zip(adjusted, p_values, strict=True))
    assert all(0 <= a <= 1 for a in adjusted)
    # Holm controls the family-wise error, so it never rejects what Benjamini-Hochberg keeps
    loose = false_discovery_control(p_values, method="bh")
    assert all(a >= b - 1e-9 for a, b in zip(adjusted, loose, strict=True))


def test_holm_agrees_with_the_textbook_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_one_of_many_borderline_figures_is_not_a_failure_by_multiplicity() -> None:
    error = 0.1
    value = 0.8 * math.exp(-1.8 * error)  # one-sided p of about 0.036 alone
    assert judged(ratio(value, error))[0].status is FindingStatus.FAIL
    family = judged(ratio(value, error), *(ratio(1.0, 0.02) for _ in range(9)))
    assert family[0].status is FindingStatus.INCONCLUSIVE


def test_the_p_value_is_the_normal_tail_on_the_log_scale() -> None:
    assert p_outside(ratio(0.7, 0.05), BAND) == pytest.approx(norm.sf(math.log(0.8 / 0.7) / 0.05))
    half = norm.ppf(0.95) * 0.02
    assert p_outside(figure("difference", 0.15, 0.15 - half, 0.15 + half), Band(high=0.1)) == pytest.approx(norm.sf(2.5))


def test_the_test_and_the_interval_agree() -> None:
    touching = figure("difference", 0.15, 0.1, 0.17)
    assert p_outside(touching, Band(high=0.1)) == pytest.approx(0.05)


def test_a_rate_of_zero_fails_by_its_interval_and_not_by_being_zero() -> None:
    few = figure("impact_ratio", 0.0, 0.0, 0.9, scale="log", standard_error=1.4, n=30, denominator=30)
    many = figure("impact_ratio", 0.0, 0.0, 0.01, scale="log", standard_error=1.4, n=3000, denominator=3000)
    assert judged(few)[0].status is FindingStatus.INCONCLUSIVE
    assert judged(many)[0].status is FindingStatus.FAIL


def test_no_number_of_rows_decides_a_value_on_the_threshold() -> None:
    assert decisive_n(ratio(0.8, 0.1), BAND, alpha=0.05) is None


@pytest.mark.parametrize(("selected", "alpha", "others"), [(0.255, 0.025, 0), (0.219, 0.025, 4), (0.219, 0.0018, 4), (0.35, 0.025, 4)])
def test_the_rows_that_would_decide_do_decide_and_fewer_do_not(selected: float, alpha: float, others: int) -> None:
    """Impact ratios of 0.85, 0.73 (at two looks, in families of five) and 1.17 against a reference of 0.30; the shares stay, the rows grow."""

    def at(n: int):
        first, second = (round(selected * n), n), (round(0.3 * n), n)
        found = ratio_of_proportions(first, second, 0.9)
        assert found is not None
        item = figure(
            "impact_ratio",
            found.value,
            found.interval.low,
            found.interval.high,
            scale="log",
            standard_error=found.standard_error,
            n=2 * n,
            denominator=n,
        )
        return judged(item, *(ratio(1.0, 0.02) for _ in range(others)), alpha=alpha)[0]

    needed = at(200).decisive_n
    assert at(200).status is FindingStatus.INCONCLUSIVE
    assert needed is not None
    assert at(round(1.1 * needed)).status in {FindingStatus.PASS, FindingStatus.FAIL}
    assert at(round(0.85 * needed)).status is FindingStatus.INCONCLUSIVE


@pytest.mark.slow
@pytest.mark.parametrize(("selected", "reference", "alpha"), [(0.219, 0.30, 0.025), (0.51, 0.60, 0.025), (0.15, 0.20, 0.0018), (0.255, 0.30, 0.025)])
def test_new_samples_of_the_stated_size_decide_about_every_other_time(selected: float, reference: float, alpha: float) -> None:
    """Two ratios outside, two inside, in families of five: the stated number supposes that the value stays, which a new sample's does not."""

    def at(first: int, second: int, n: int):
        found = ratio_of_proportions((first, n), (second, n), 0.9)
        assert found is not None
        return figure(
            "impact_ratio",
            found.value,
            found.interval.low,
            found.interval.high,
            scale="log",
            standard_error=found.standard_error,
            n=2 * n,
            denominator=n,
        )

    others = [at(3_000, 3_000, 10_000)] * 4
    needed = judged(at(round(300 * selected), round(300 * reference), 300), *others, alpha=alpha)[0].decisive_n
    assert needed is not None
    random, decided = np.random.default_rng(3), {}
    for times in (1, 2):
        n = times * needed
        drawn = zip(random.binomial(n, selected, 600).tolist(), random.binomial(n, reference, 600).tolist(), strict=True)
        statuses = [judged(at(first, second, n), *others, alpha=alpha)[0].status for first, second in drawn]
        decided[times] = sum(status in {FindingStatus.PASS, FindingStatus.FAIL} for status in statuses) / 600
    assert 0.45 < decided[1] < 0.65
    assert 0.72 < decided[2] < 0.95
