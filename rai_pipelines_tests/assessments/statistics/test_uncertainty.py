"""Intervals against published examples, SciPy, and simulations of their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rai_pipelines.assessments.statistics.uncertainty import (
    hanley_mcneil_auc,
    katz_ratio,
    largest_gap_interval,
    newcombe_difference,
    resample,
    wilson_interval,
)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_wilson_equals_scipy_and_contains_the_share(counts: tuple[int, int], level: float) -> None:
    interval = wilson_interval(*counts, level)
    expected = stats.binomtest(*counts).proportion_ci(confidence_level=level, method="wilson")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= interval.low <= counts[0] / counts[1] <= interval.high <= 1


def test_newcombe_reproduces_the_published_examples() -> None:
    # Newcombe (1998), table II, column (a) 56/70 - 48/80 and column (e) 5/56 - 0/29, method 10
    first = newcombe_difference((56, 70), (48, 80), 0.95).interval
    assert (first.low, first.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    fifth = newcombe_difference((5, 56), (0, 29), 0.95).interval
    assert (fifth.low, fifth.high) == pytest.approx((-0.0381, 0.1926), abs=5e-5)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 400), st.integers(1, 400))
def test_katz_equals_scipys_relative_risk_when_no_cell_is_empty(a: int, b: int, c: int, d: int) -> None:
    figure = katz_ratio((a, a + b), (c, c + d), 0.90)
    expected = stats.contingency.relative_risk(a, a + b, c, c + d)
    limits = expected.confidence_interval(0.90)
    assert figure is not None
    assert figure.value == pytest.approx(expected.relative_risk, rel=1e-12)
    assert (figure.interval.low, figure.interval.high) == pytest.approx((limits.low, limits.high), rel=1e-9)


def test_four_fifths_is_exactly_four_fifths() -> None:
    for scale in (1, 3, 7, 11_113):
        figure = katz_ratio((24 * scale, 60 * scale), (30 * scale, 60 * scale), 0.9)
        assert figure is not None
        assert figure.value == 0.8


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.booleans(), st.booleans())
def test_ratio_with_empty_cells_stays_finite_and_contains_the_value(n1: int, n2: int, nobody: bool, everybody: bool) -> None:
    figure = katz_ratio((0 if nobody else n1, n1), (n2 if everybody else 1, n2), 0.9)
    assert figure is not None
    assert math.isfinite(figure.standard_error)
    assert figure.standard_error > 0
    assert figure.interval.low <= figure.value <= figure.interval.high < math.inf


def test_a_ratio_to_nobody_does_not_exist() -> None:
    assert katz_ratio((3, 10), (0, 10), 0.9) is None


def test_hanley_mcneil_reproduces_the_published_standard_error() -> None:
    # Hanley and McNeil (1982), section III: area 0.893, 51 abnormal and 58 normal images, standard error 0.032
    figure = hanley_mcneil_auc(0.893, 51, 58, 0.95)
    assert figure.standard_error == pytest.approx(0.032, abs=6e-4)
    assert 0 < figure.interval.low < 0.893 < figure.interval.high < 1


@pytest.mark.parametrize("area", [0.0, 1.0])
def test_a_perfect_area_is_not_reported_as_certain(area: float) -> None:
    interval = hanley_mcneil_auc(area, 25, 40, 0.9).interval
    assert interval.low <= area <= interval.high
    assert interval.high - interval.low > 0.05


def test_resamples_have_the_moments_of_the_multinomial_and_repeat_with_their_seed() -> None:
    cells = np.array([[30, 70], [15, 85]])
    draw = lambda seed: resample(cells, lambda drawn: {"share": drawn[:, 0, 0] / drawn.sum(axis=(1, 2))}, resamples=20_000, seed=seed)["share"]  # noqa: E731
    shares = draw((1, 2))
    assert shares.mean() == pytest.approx(0.15, abs=0.001)
    assert shares.std() == pytest.approx(math.sqrt(0.15 * 0.85 / 200), rel=0.03)
    assert (shares == draw((1, 2))).all()
    assert (shares != draw((1, 3))).any()


@pytest.mark.parametrize(
    ("rates", "sizes"),
    [
        ((0.4, 0.4, 0.4, 0.4), (250, 250, 250, 250)),
        ((0.6, 0.5, 0.5, 0.3), (250, 250, 250, 250)),
        ((0.5, 0.5, 0.4), (900, 400, 60)),
        ((0.1, 0.1, 0.1, 0.3), (500, 60, 40, 30)),
    ],
)
def test_intervals_of_the_largest_gap_cover_the_truth_also_when_there_is_none(rates: tuple[float, ...], sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(5)
    trials, n = 400, np.array(sizes)
    covered = {"difference": 0, "ratio": 0}
    truth = {"difference": max(rates) - min(rates), "ratio": min(rates) / max(rates)}
    for _ in range(trials):
        taken = np.maximum(rng.binomial(sizes, rates), 1)
        share = taken / n
        value = {"difference": float(np.ptp(share)), "ratio": float(share.min() / share.max())}
        for kind in covered:
            interval = largest_gap_interval(value[kind], [(taken, n)], np.zeros(2), 0.90, ratio=kind == "ratio").interval
            assert interval.low <= value[kind] <= interval.high
            covered[kind] += interval.low <= truth[kind] <= interval.high
    assert min(covered.values()) / trials >= 0.88


def test_percentile_limits_of_the_largest_gap_would_never_reach_no_difference() -> None:
    rng = np.random.default_rng(8)
    gap = lambda drawn: {"gap": np.ptp(drawn[..., 0] / drawn.sum(axis=-1), axis=-1)}  # noqa: E731
    for trial in range(20):
        taken = rng.binomial(250, [0.4] * 4)
        gaps = resample(np.stack([taken, 250 - taken], axis=1), gap, resamples=500, seed=(trial,))["gap"]
        assert np.quantile(gaps, 0.05) > 0
        sizes = np.full(4, 250)
        assert largest_gap_interval(float(np.ptp(taken / 250)), [(taken, sizes)], gaps, 0.90, ratio=False).interval.low == 0


def test_one_tiny_group_does_not_hide_a_gap_between_large_ones() -> None:
    taken, sizes = np.array([5_000, 3_000, 14]), np.array([10_000, 10_000, 30])
    figure = largest_gap_interval(0.2, [(taken, sizes)], np.zeros(2), 0.90, ratio=False)
    assert figure.interval.low > 0.17


def test_wilson_and_katz_cover_their_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(6)
    wilson = katz = 0
    for _ in range(800):
        x, y = int(rng.binomial(80, 0.3)), int(rng.binomial(120, 0.5))
        interval = wilson_interval(x, 80, 0.9)
        wilson += interval.low <= 0.3 <= interval.high
        ratio = katz_ratio((x, 80), (y, 120), 0.9)
        assert ratio is not None
        katz += ratio.interval.low <= 0.6 <= ratio.interval.high
    assert 0.86 <= wilson / 800 <= 0.94
    assert 0.86 <= katz / 800 <= 0.94
