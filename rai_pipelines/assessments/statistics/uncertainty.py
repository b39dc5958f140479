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


def mean_and_deviation(total: float, squares: float, rows: int) -> tuple[float, float]:
    """Mean and standard deviation (n - 1) from a sum, the sum of squares and the number of rows (above 0)."""
    mean = total / rows
    variance = max(squares / rows - mean * mean, 0.0)
    return mean, math.sqrt(variance * rows / (rows - 1)) if rows > 1 else 0.0


def largest_difference(values: Sequence[float], errors: Sequence[float], level: float) -> Uncertain:
    """Largest minus smallest of two or more independent estimates, with the standard error of that pair.

    As in `proportions.largest_gap_interval`: the upper end is the highest upper limit of any pair; the lower end the highest lower limit of any
    pair with the error divided by the number of ordered pairs (Bonferroni), so that the choice of the pair is paid for.
    """
    points, spread = np.asarray(values, dtype=float), np.asarray(errors, dtype=float)
    first, second = np.nonzero(~np.eye(len(points), dtype=bool))
    apart, error = points[first] - points[second], np.hypot(spread[first], spread[second])
    value, driving = float(apart.max()), int(apart.argmax())
    low = float((apart - normal_quantile(1 - (1 - level) / len(apart)) * error).max())
    high = float((apart + normal_quantile(level) * error).max())
    interval = Interval(low=min(max(low, 0.0), value), high=high, level=level, method="pairwise normal limits, Bonferroni towards no difference")
    return Uncertain(value, float(error[driving]), interval)


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
