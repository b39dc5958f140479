"""Intervals and standard errors of the figures an audit reports; all in closed form except the seeded resampling of counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from rai_pipelines.evidence.model import Interval

MAX_DRAWS_AT_ONCE = 2_000_000  # counts held in memory by one chunk of resamples (16 MB)


@dataclass(frozen=True)
class Uncertain:
    """A point with its standard error and interval."""

    value: float
    standard_error: float
    interval: Interval


def mean_interval(mean: float, standard_deviation: float, rows: int, level: float) -> Uncertain:
    """A mean over many rows with its normal interval."""
    error = standard_deviation / math.sqrt(rows)
    half = normal_quantile(level) * error
    return Uncertain(mean, error, Interval(low=mean - half, high=mean + half, level=level, method="normal"))


def resample(
    cells: np.ndarray, statistic: Callable[[np.ndarray], dict[str, np.ndarray]], *, resamples: int, seed: Sequence[int]
) -> dict[str, np.ndarray]:
    """`statistic` of multinomial resamples of a table of counts: what resampling its rows would give, without the rows.

    Args:
        cells: counts or expected counts, any shape.
        statistic: takes counts of shape (replicates, *cells.shape), gives arrays of shape (replicates,) by name.
        resamples: number of replicates, drawn in chunks that do not depend on the machine.
        seed: entropy of the generator.
    """
    rng = np.random.default_rng(list(seed))
    flat = cells.reshape(-1).astype(float)
    total = round(flat.sum())
    chunk = max(1, MAX_DRAWS_AT_ONCE // max(1, flat.size))
    parts: dict[str, list[np.ndarray]] = {}
    for start in range(0, resamples, chunk):
        drawn = rng.multinomial(total, flat / flat.sum(), size=min(chunk, resamples - start))
        for name, values in statistic(drawn.reshape(-1, *cells.shape)).items():
            parts.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in parts.items()}


def percentile_interval(value: float, replicates: np.ndarray, level: float) -> Uncertain:
    """Percentile bootstrap interval, for smooth statistics; widened to contain `value`."""
    alpha = (1 - level) / 2
    low, high = (float(limit) for limit in np.quantile(replicates, [alpha, 1 - alpha]))
    interval = Interval(low=min(low, value), high=max(high, value), level=level, method="percentile bootstrap of multinomial counts")
    return Uncertain(value, float(np.std(replicates, ddof=1)), interval)


def normal_quantile(level: float) -> float:
    """Two-sided: 1.645 for 0.90."""
    return NormalDist().inv_cdf(0.5 + level / 2)
