"""Resamples of counts against the moments of their distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rai_pipelines.assessments.statistics.uncertainty import resample


def test_resamples_have_the_moments_of_the_multinomial_and_repeat_with_their_seed() -> None:
    cells = np.array([[30, 70], [15, 85]])
    draw = lambda seed: resample(cells, lambda drawn: {"share": drawn[:, 0, 0] / drawn.sum(axis=(1, 2))}, resamples=20_000, seed=seed)["share"]  # noqa: E731
    shares = draw((1, 2))
    assert shares.mean() == pytest.approx(0.15, abs=0.001)
    assert shares.std() == pytest.approx(math.sqrt(0.15 * 0.85 / 200), rel=0.03)
    assert (shares == draw((1, 2))).all()
    assert (shares != draw((1, 3))).any()
