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


def wilson_interval(successes: int, trials: int, level: float) -> Interval:
    """Score interval of a proportion. Stays within [0, 1] and is informative at 0 and at `trials`.

    Source: Wilson (1927), JASA 22, 209-212.

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} of {trials} is not a proportion")
    z = normal_quantile(level)
    share = successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    # the exact limits at the ends are 0 and 1; rounding must not leave the point outside
    return Interval(low=max(0.0, min(middle - half, share)), high=min(1.0, max(middle + half, share)), level=level, method="Wilson score")


def hanley_mcneil_auc(auc: float, positives: int, negatives: int, level: float) -> Uncertain:
    """Interval of an area under the ROC curve from its class sizes, on the logit scale so that it stays within [0, 1].

    At an area of 0 or 1 the standard error is zero; there the interval is the exact bound on a proportion of the smaller class.
    Source: Hanley and McNeil (1982), Radiology 143, 29-36.
    """
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    variance = (auc * (1 - auc) + (positives - 1) * (q1 - auc * auc) + (negatives - 1) * (q2 - auc * auc)) / (positives * negatives)
    error = math.sqrt(max(variance, 0.0))
    if error == 0.0 or not 0.0 < auc < 1.0:
        smaller = min(positives, negatives)
        bound = wilson_interval(round(auc * smaller), smaller, level)
        return Uncertain(
            auc, error, Interval(low=min(bound.low, auc), high=max(bound.high, auc), level=level, method="Wilson score on the smaller class")
        )
    half = normal_quantile(level) * error / (auc * (1 - auc))
    middle = math.log(auc / (1 - auc))
    interval = Interval(low=_logistic(middle - half), high=_logistic(middle + half), level=level, method="Hanley-McNeil, logit scale")
    return Uncertain(auc, error, interval)


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


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0
