"""Distances of counts against SciPy on the same shares, and their invariants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from rai_pipelines.assessments.statistics.distances import (
    SCALES,
    binned_wasserstein,
    js_divergence,
    pearson_chi_square,
    psi,
    squared_cramers_v,
    squared_hellinger,
    total_variation,
)

COUNTS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=12).filter(
    lambda pairs: sum(first for first, _ in pairs) > 0 and sum(second for _, second in pairs) > 0
)


def sides(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([first for first, _ in pairs], dtype=float), np.array([second for _, second in pairs], dtype=float)


@given(COUNTS)
def test_jensen_shannon_and_chi_square_are_scipys(pairs: list[tuple[int, int]]) -> None:
    first, second = sides(pairs)
    assert np.sqrt(js_divergence(first, second)) == pytest.approx(distance.jensenshannon(first, second, base=2), abs=1e-7)
    occupied = (first + second) > 0
    if occupied.sum() > 1:
        table = np.vstack([first[occupied], second[occupied]])
        assert pearson_chi_square(first, second) == pytest.approx(stats.chi2_contingency(table, correction=False).statistic, rel=1e-9, abs=1e-9)
        assert np.sqrt(squared_cramers_v(first, second)) == pytest.approx(stats.contingency.association(table.astype(int)), abs=1e-6)


@given(COUNTS)
def test_every_distance_is_symmetric_not_negative_and_zero_for_equal_shares(pairs: list[tuple[int, int]]) -> None:
    first, second = sides(pairs)
    for metric, (statistic, _) in SCALES.items():
        value = float(statistic(first, second))
        assert value >= -1e-12, metric
        assert value == pytest.approx(float(statistic(second, first)), abs=1e-9)
        assert float(statistic(first, first)) == pytest.approx(0.0, abs=1e-12)
        if metric != "psi":
            assert value <= 1 + 1e-9


@given(COUNTS)
def test_replicates_in_front_give_each_their_own_figure(pairs: list[tuple[int, int]]) -> None:
    first, second = sides(pairs)
    stacked = np.stack([first, second]), np.stack([second, second])
    for statistic, _ in SCALES.values():
        assert statistic(*stacked) == pytest.approx([float(statistic(first, second)), float(statistic(second, second))], abs=1e-12)


def test_disjoint_distributions_are_as_far_apart_as_can_be() -> None:
    first, second = np.array([10.0, 0.0]), np.array([0.0, 30.0])
    assert (js_divergence(first, second), total_variation(first, second), squared_hellinger(first, second)) == (1.0, 1.0, 1.0)
    assert squared_cramers_v(first, second) == pytest.approx(1.0)


def test_psi_is_the_textbook_sum_over_shares_smoothed_by_half_a_row() -> None:
    first, second = np.array([100.0, 300.0, 600.0]), np.array([200.0, 300.0, 500.0])
    p, q = (first + 0.5) / 1001.5, (second + 0.5) / 1001.5
    assert psi(first, second) == pytest.approx(float(((q - p) * np.log(q / p)).sum()))
    assert np.isfinite(psi(np.array([10.0, 0.0]), np.array([0.0, 10.0])))


def test_wasserstein_of_histograms_is_scipys_with_weights() -> None:
    first, second, places = np.array([5.0, 1.0, 4.0]), np.array([1.0, 1.0, 2.0]), np.array([0.0, 0.5, 3.0])
    assert binned_wasserstein(first, second, places) == pytest.approx(stats.wasserstein_distance(places, places, first, second))


def test_without_drift_psi_is_distributed_as_yurdakul_says() -> None:
    rng = np.random.default_rng(3)
    n, m, bins = 4_000, 6_000, 10
    shares = np.full(bins, 1 / bins)
    drawn = psi(rng.multinomial(n, shares, size=4_000), rng.multinomial(m, shares, size=4_000)) / (1 / n + 1 / m)
    assert drawn.mean() == pytest.approx(bins - 1, rel=0.03)
    assert drawn.var() == pytest.approx(2 * (bins - 1), rel=0.12)
    assert stats.kstest(drawn, stats.chi2(bins - 1).cdf).statistic < 0.04
