"""Intervals against published examples, SciPy, and simulations of their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rai_pipelines.assessments.statistics.uncertainty import hanley_mcneil_auc, resample, wilson_interval


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_wilson_equals_scipy_and_contains_the_share(counts: tuple[int, int], level: float) -> None:
    interval = wilson_interval(*counts, level)
    expected = stats.binomtest(*counts).proportion_ci(confidence_level=level, method="wilson")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= interval.low <= counts[0] / counts[1] <= interval.high <= 1


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
