"""Effects without their bias, and calls that hold their error rate, have power, and do not fall for a million rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from rai_pipelines.assessments.statistics.distances import SCALES
from rai_pipelines.assessments.statistics.drift_tests import (
    DriftState,
    Effect,
    call,
    corrected_effect,
    homogeneity_p_value,
    ks_effect,
    rows_that_decide,
    simultaneous_level,
    wasserstein_effect,
)
from rai_pipelines.evidence.model import Interval

ALPHA = 0.1
METRICS = ("psi", "js_distance", "cramers_v")


def effect(first: np.ndarray, second: np.ndarray, metric: str = "psi", seed: int = 0, resamples: int = 200) -> Effect:
    return corrected_effect(first, second, metric=metric, level=1 - ALPHA, resamples=resamples, seed=(seed,))


def truth(metric: str, p: np.ndarray, q: np.ndarray) -> float:
    statistic, root = SCALES[metric]
    value = float(statistic(p * 1e12, q * 1e12))
    return math.sqrt(value) if root else value


def drifted_shares(bins: int) -> tuple[np.ndarray, np.ndarray]:
    p = np.full(bins, 1 / bins)
    q = np.where(np.arange(bins) < bins // 2, 1.35, 1.0) * p
    return p, q / q.sum()


def rates(metric: str, n: int, bins: int, *, draws: int, threshold: float) -> dict[str, float]:
    """Without drift: how often it is called, and the mean of plain and corrected figures. With drift: how often the interval holds the truth."""
    rng = np.random.default_rng([n, bins, METRICS.index(metric)])
    p, q = drifted_shares(bins)
    alike = [effect(rng.multinomial(n, p), rng.multinomial(n, p), metric, seed) for seed in range(draws)]
    apart = [effect(rng.multinomial(n, p), rng.multinomial(n, q), metric, seed) for seed in range(draws)]
    true = truth(metric, p, q)
    return {
        "called": float(np.mean([call(item.interval, threshold) is DriftState.DRIFTED for item in alike])),
        "plain": float(np.mean([item.plain for item in alike])),
        "value": float(np.mean([item.value for item in alike])),
        "covered": float(np.mean([item.interval.low <= true <= item.interval.high for item in apart])),
    }


@pytest.mark.parametrize("metric", METRICS)
def test_two_samples_of_one_distribution_are_called_drifted_in_at_most_alpha_of_draws(metric: str) -> None:
    found = rates(metric, n=300, bins=10, draws=150, threshold=0.05)
    assert found["called"] <= ALPHA
    assert found["value"] < found["plain"] / 2, "most of the plain figure was bias"


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [300, 1_000, 5_000])
@pytest.mark.parametrize("bins", [10, 100])
def test_error_rate_and_coverage_hold_over_sizes_and_bins(metric: str, n: int, bins: int) -> None:
    """500 draws: three standard errors of a rate of 10 % are 0.04. The threshold is close to nothing, where calls are easiest to get wrong."""
    found = rates(metric, n, bins, draws=500, threshold=0.005)
    assert found["called"] <= ALPHA + 0.04
    assert found["covered"] >= 1 - ALPHA - 0.04


@pytest.mark.parametrize("metric", METRICS)
def test_a_planted_shift_is_found(metric: str) -> None:
    rng = np.random.default_rng(6)
    p = np.full(10, 0.1)
    q = np.array([0.02, 0.03, 0.05, 0.05, 0.1, 0.1, 0.1, 0.15, 0.2, 0.2])
    assert truth(metric, p, q) > 0.2
    calls = [call(effect(rng.multinomial(2_000, p), rng.multinomial(2_000, q), metric, seed).interval, 0.1) for seed in range(50)]
    assert calls.count(DriftState.DRIFTED) >= 48


def test_with_a_million_rows_a_meaningless_shift_is_significant_and_stable() -> None:
    rng = np.random.default_rng(1)
    p, q = np.full(10, 0.1), np.full(10, 0.1) + np.array([0.001, -0.001] * 5)
    first, second = rng.multinomial(1_000_000, p), rng.multinomial(1_000_000, q)
    p_value = homogeneity_p_value(first, second)
    assert p_value is not None and p_value < 1e-6
    for metric in METRICS:
        assert call(effect(first, second, metric).interval, 0.05) is DriftState.STABLE


def test_with_thirty_rows_a_shift_near_the_threshold_is_inconclusive_and_the_deciding_rows_do_decide() -> None:
    first, second = np.array([12, 10, 8]), np.array([7, 10, 13])
    small = effect(first, second, resamples=2_000)
    assert call(small.interval, 0.05) is DriftState.INCONCLUSIVE
    rows = rows_that_decide(small, 0.05)
    assert rows is not None and rows[0] > 30
    interval = Interval(low=0.05, high=0.35, level=0.9, method="test")
    example = Effect("psi", 0.2, 0.2, 0.0, 0.09, interval, 100, 50)
    assert rows_that_decide(example, 0.1) == (225, 113)
    assert rows_that_decide(example, 0.2) is None


def test_ks_limits_are_the_sum_of_two_massart_bands_and_hold_more_often_than_they_say() -> None:
    found = ks_effect(0.2, 100, 400, level=0.9)
    assert found.interval.high - 0.2 == pytest.approx(math.sqrt(math.log(40) / 200) + math.sqrt(math.log(40) / 800))
    rng = np.random.default_rng(2)
    true = stats.norm.cdf(0.25) - stats.norm.cdf(-0.25)
    held = 0
    for _ in range(100):
        ks = float(stats.ks_2samp(rng.normal(size=200), rng.normal(0.5, 1, 300)).statistic)
        interval = ks_effect(ks, 200, 300, level=0.9).interval
        held += interval.low <= true <= interval.high
    assert held >= 90


def test_the_ks_expectation_without_drift_is_what_is_seen() -> None:
    rng = np.random.default_rng(4)
    seen = np.mean([stats.ks_2samp(rng.random(400), rng.random(400)).statistic for _ in range(300)])
    assert ks_effect(0.1, 400, 400, level=0.9).expected == pytest.approx(seen, rel=0.1)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("rows", [300, 3_000])
def test_wasserstein_intervals_hold_the_shift_of_a_normal_distribution_near_and_far(shift: float, rows: int) -> None:
    """A shift by d standard deviations is a distance of d. 60 draws at 90 %: 46 are three standard errors below."""
    rng = np.random.default_rng([5, rows, round(100 * shift)])
    edges = stats.norm.ppf(np.linspace(0, 1, 101)[1:-1])
    held = 0
    for seed in range(60):
        first, second = rng.normal(size=rows), rng.normal(shift, 1, rows)
        both = np.concatenate([first, second])
        bins = np.searchsorted(edges, both)
        counts = [np.bincount(np.searchsorted(edges, side), minlength=100) for side in (first, second)]
        places = np.bincount(bins, weights=both, minlength=100) / np.maximum(np.bincount(bins, minlength=100), 1)
        exact = float(stats.wasserstein_distance(first, second))
        found = wasserstein_effect(counts[0], counts[1], places, exact=exact, scale=1.0, level=0.9, resamples=200, seed=(seed,))
        held += found.interval.low <= shift <= found.interval.high
    assert held >= 46


def test_the_homogeneity_test_is_scipys_over_occupied_bins() -> None:
    first, second = np.array([10, 0, 20, 5]), np.array([14, 0, 9, 12])
    occupied = np.array([0, 2, 3])
    expected = stats.chi2_contingency(np.vstack([first, second])[:, occupied], correction=False).pvalue
    assert homogeneity_p_value(first, second) == pytest.approx(expected, rel=1e-8)
    assert homogeneity_p_value(np.array([3, 0]), np.array([4, 0])) is None


def test_simultaneous_levels_spend_alpha_once() -> None:
    assert simultaneous_level(0.9, 20) == pytest.approx(1 - 0.1 / 20)


def test_a_sample_without_rows_is_refused_and_the_same_seed_gives_the_same_figures() -> None:
    first, second = np.array([5, 6]), np.array([9, 2])
    with pytest.raises(ValueError, match="without rows"):
        effect(first, np.array([0, 0]))
    assert effect(first, second, seed=3) == effect(first, second, seed=3)
