"""Intervals of proportions, differences, ratios and largest gaps: published examples, SciPy, and their coverage computed exactly."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rai_pipelines.assessments.statistics.proportions import (
    EXACT_BELOW,
    difference_limits,
    difference_of_proportions,
    largest_gap_interval,
    proportion,
    proportion_limits,
    ratio_limits,
    ratio_of_proportions,
)
from rai_pipelines.assessments.statistics.uncertainty import resample


def test_differences_with_many_events_are_newcombes_published_ones() -> None:
    # Newcombe (1998), table II, column (a) 56/70 - 48/80, method 10; 14 of the first do not: its limits are exact, and a little wider
    figure = difference_of_proportions((56, 70), (48, 80), 0.95).interval
    assert (figure.low, figure.high) == pytest.approx((0.0524, 0.3339), abs=6e-3)
    wider = difference_of_proportions((560, 700), (480, 800), 0.95).interval
    one, two = (stats.binomtest(x, n).proportion_ci(0.95, method="wilson") for x, n in ((560, 700), (480, 800)))
    assert wider.low == pytest.approx(0.2 - math.hypot(0.8 - one.low, two.high - 0.6), abs=1e-12)
    assert wider.high == pytest.approx(0.2 + math.hypot(one.high - 0.8, 0.6 - two.low), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 400), st.integers(1, 400))
def test_a_ratio_is_scipys_relative_risk_and_its_interval_near_katzs_when_events_are_many(a: int, b: int, c: int, d: int) -> None:
    figure = ratio_of_proportions((a, a + b), (c, c + d), 0.90)
    expected = stats.contingency.relative_risk(a, a + b, c, c + d)
    assert figure is not None
    assert figure.value == pytest.approx(expected.relative_risk, rel=1e-12)
    assert figure.standard_error == pytest.approx(math.sqrt(1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)), rel=1e-9)
    if min(a, b, c, d) >= 100:
        limits = expected.confidence_interval(0.90)
        assert (figure.interval.low, figure.interval.high) == pytest.approx((limits.low, limits.high), rel=0.01)


def test_four_fifths_is_exactly_four_fifths() -> None:
    for scale in (1, 3, 7, 11_113):
        figure = ratio_of_proportions((24 * scale, 60 * scale), (30 * scale, 60 * scale), 0.9)
        assert figure is not None
        assert figure.value == 0.8


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.booleans(), st.booleans())
def test_ratio_with_empty_cells_stays_finite_and_contains_the_value(n1: int, n2: int, nobody: bool, everybody: bool) -> None:
    figure = ratio_of_proportions((0 if nobody else n1, n1), (n2 if everybody else 1, n2), 0.9)
    assert figure is not None
    assert math.isfinite(figure.standard_error)
    assert figure.standard_error > 0
    assert figure.interval.low <= figure.value <= figure.interval.high < math.inf


def test_a_ratio_to_nobody_does_not_exist() -> None:
    assert ratio_of_proportions((3, 10), (0, 10), 0.9) is None


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


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 3_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_a_share_has_scipys_exact_limits_where_events_are_few_and_wilsons_elsewhere(counts: tuple[int, int], level: float) -> None:
    interval = proportion(*counts, level).interval
    few = min(counts[0], counts[1] - counts[0]) < EXACT_BELOW
    expected = stats.binomtest(*counts).proportion_ci(confidence_level=level, method="exact" if few else "wilson")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert interval.method == ("Clopper-Pearson" if few else "Wilson score")
    assert 0 <= interval.low <= counts[0] / counts[1] <= interval.high <= 1


LEAST, MOST = 0.935, 0.965  # what a stated 95 % may really be
SIZES = (20, 30, 50, 100, 200, 500, 1_000)  # from the least denominator that is compared
RARE_TO_COMMON = np.concatenate([np.geomspace(5e-4, 0.05, 120), np.linspace(0.05, 0.5, 120)])
ORDINARY_EVENTS = 2 * EXACT_BELOW


@pytest.mark.parametrize("n", SIZES)
def test_limits_of_a_share_cover_at_every_size_and_rate_computed_exactly(n: int) -> None:
    hits = np.arange(n + 1)
    low, high = proportion_limits(hits, np.full(n + 1, n), 0.95)
    chance = stats.binom.pmf(hits[:, None], n, RARE_TO_COMMON[None])
    coverage = (chance * ((low[:, None] <= RARE_TO_COMMON) & (high[:, None] >= RARE_TO_COMMON))).sum(axis=0)
    assert coverage.min() >= LEAST
    ordinary = coverage[n * RARE_TO_COMMON >= ORDINARY_EVENTS]
    if n >= 200:
        assert ordinary.min() >= LEAST
        assert ordinary.max() <= MOST


def test_wilsons_interval_alone_would_fail_where_events_are_rare() -> None:
    n, rate = 100, 0.0017
    hits = np.arange(n + 1)
    limits = [stats.binomtest(int(x), n).proportion_ci(0.95, method="wilson") for x in hits]
    covered = np.array([ci.low <= rate <= ci.high for ci in limits])
    assert stats.binom.pmf(hits, n, rate)[covered].sum() < 0.85


@pytest.mark.parametrize("kind", ["difference", "ratio"])
@pytest.mark.parametrize("sizes", [(20, 20), (20, 1_000), (30, 30), (30, 200), (40, 40), (100, 100), (200, 200), (200, 1_000)])
def test_limits_of_a_pair_cover_at_every_size_and_rate_computed_exactly(sizes: tuple[int, int], kind: str) -> None:
    rates = np.concatenate([[0.002, 0.005, 0.01, 0.02, 0.03], np.linspace(0.05, 0.95, 13), [0.97, 0.99]])
    x1, x2 = (grid.ravel() for grid in np.meshgrid(np.arange(sizes[0] + 1), np.arange(sizes[1] + 1), indexing="ij"))
    counts = ((x1, np.full(x1.shape, sizes[0])), (x2, np.full(x2.shape, sizes[1])))
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = (difference_limits if kind == "difference" else ratio_limits)(*counts, 0.95)
    low, high = np.nan_to_num(low, nan=0.0), np.nan_to_num(high, nan=np.inf)  # without an event in the second group there is no ratio, nor a limit
    low, high = (limit.reshape(sizes[0] + 1, sizes[1] + 1) for limit in (low, high))
    chances = [stats.binom.pmf(np.arange(n + 1)[:, None], n, rates) for n in sizes]
    every, ordinary = [], []
    for i, j in itertools.product(range(len(rates)), repeat=2):
        truth = rates[i] - rates[j] if kind == "difference" else rates[i] / rates[j]
        inside = (low - 1e-12 <= truth) & (truth * (1 - 1e-12) <= high if kind == "ratio" else truth <= high + 1e-12)
        every.append(chances[0][:, i] @ inside @ chances[1][:, j])
        events = min(min(n * rate, n * (1 - rate)) for n, rate in zip(sizes, (rates[i], rates[j]), strict=True))
        if events >= ORDINARY_EVENTS:
            ordinary.append(every[-1])
    assert min(every) >= LEAST
    if min(sizes) >= 200:
        assert max(ordinary) <= MOST


def test_a_planted_disparity_is_found_and_the_same_population_twice_is_not() -> None:
    rng = np.random.default_rng(11)
    draws, n = 2_000, 5_000
    alpha = 0.05
    found = {"planted": 0, "same": 0}
    for kind, rates in (("planted", (0.35, 0.50)), ("same", (0.40, 0.40))):  # ratio 0.7, and 1
        for x, y in rng.binomial(n, rates, size=(draws, 2)).tolist():
            figure = ratio_of_proportions((x, n), (y, n), 1 - 2 * alpha)
            assert figure is not None
            found[kind] += figure.interval.high < 0.8
    assert found["planted"] / draws >= 0.95
    assert found["same"] / draws <= alpha
