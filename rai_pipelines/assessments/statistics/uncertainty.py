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


def proportion(successes: int, trials: int, level: float) -> Uncertain:
    """A share with its binomial standard error and Wilson interval."""
    share = successes / trials
    return Uncertain(share, math.sqrt(share * (1 - share) / trials), wilson_interval(successes, trials, level))


def newcombe_difference(first: tuple[int, int], second: tuple[int, int], level: float) -> Uncertain:
    """First minus second proportion, each `(successes, trials)`, with the hybrid score interval.

    Source: Newcombe (1998), Statistics in Medicine 17, 873-890, method 10.
    """
    one, two = proportion(*first, level), proportion(*second, level)
    value = one.value - two.value
    below = math.hypot(one.value - one.interval.low, two.interval.high - two.value)
    above = math.hypot(one.interval.high - one.value, two.value - two.interval.low)
    interval = Interval(low=max(-1.0, value - below), high=min(1.0, value + above), level=level, method="Newcombe hybrid score")
    return Uncertain(value, math.hypot(one.standard_error, two.standard_error), interval)


def katz_ratio(first: tuple[int, int], second: tuple[int, int], level: float) -> Uncertain | None:
    """First over second proportion, each `(successes, trials)`; the standard error is that of the logarithm.

    With an empty cell (nobody or everybody selected in a group) the interval and the standard error, not the value, come from
    counts with 0.5 added to each of the four cells (Haldane 1956, Anscombe 1956), so that they stay finite.
    None when nobody of the second group was selected: the ratio does not exist.
    Source: Katz et al. (1978), Biometrics 34, 469-474.
    """
    (x1, n1), (x2, n2) = first, second
    if min(n1, n2) == 0 or x2 == 0:
        return None
    value = (x1 * n2) / (n1 * x2)  # integers until the one division, so that a ratio of 4/5 is exactly 0.8
    empty = min(x1, n1 - x1, x2, n2 - x2) == 0
    a, m, b, n = (x1 + 0.5, n1 + 1.0, x2 + 0.5, n2 + 1.0) if empty else (float(x1), float(n1), float(x2), float(n2))
    error = math.sqrt(1 / a - 1 / m + 1 / b - 1 / n)
    middle, half = math.log(a / m) - math.log(b / n), normal_quantile(level) * error
    low, high = math.exp(middle - half), math.exp(middle + half)
    method = "Katz log, 0.5 added to each cell" if empty else "Katz log"
    return Uncertain(value, error, Interval(low=min(low, value), high=max(high, value), level=level, method=method))


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


def largest_gap_interval(value: float, rates: Sequence[tuple[np.ndarray, np.ndarray]], gaps: np.ndarray, level: float, *, ratio: bool) -> Uncertain:
    """Interval of the largest gap between groups: the largest difference, or the smallest ratio, of one or more rates.

    The largest of several gaps is biased upward, the more so when groups are alike, and its resamples are biased once more: percentile
    limits never reach "no difference", and reflected (basic) ones miss the truth far too often. So both ends come from the pairs:
    away from no difference the highest upper limit of any pair, which covers as well as that of the pair truly furthest apart;
    towards it the highest lower limit of any pair, with the error divided by the number of ordered pairs (Bonferroni), so that the
    choice of the pair is paid for. Limits of a pair are Newcombe's for differences and Katz's for ratios.

    Args:
        value: the reported figure; the interval is widened to contain it.
        rates: numerators and denominators of every rate compared, arrays of shape (groups,).
        gaps: resamples of the difference, or of minus the log of the ratio; they give the standard error.
        level: two-sided level.
        ratio: the figure is a ratio, between 0 and 1.
    """
    alpha = (1 - level) / 2
    pairs = sum(len(trials) * (len(trials) - 1) for _, trials in rates)
    far = max(_highest_pair_limit(*rate, NormalDist().inv_cdf(1 - alpha), upper=True, ratio=ratio) for rate in rates)
    corrected = NormalDist().inv_cdf(1 - alpha / pairs)
    near = max(0.0, *(_highest_pair_limit(*rate, corrected, upper=False, ratio=ratio) for rate in rates))
    low, high = (math.exp(-far), math.exp(-near)) if ratio else (near, min(1.0, far))
    method = f"pairwise {'Katz log' if ratio else 'Newcombe'} limits, Bonferroni towards no difference"
    return Uncertain(value, float(np.std(gaps, ddof=1)), Interval(low=min(low, value), high=max(high, value), level=level, method=method))


def _highest_pair_limit(successes: np.ndarray, trials: np.ndarray, z: float, *, upper: bool, ratio: bool) -> float:
    """The highest limit of the gap of any ordered pair of groups; for ratios a group with an empty cell has 0.5 added to each."""
    if ratio:
        empty = (successes == 0) | (successes == trials)
        above, below = successes + 0.5 * empty, trials + 1.0 * empty
        rate, error = np.log(above / below), z * np.sqrt(1 / above - 1 / below)
        reach = np.hypot(error[:, None], error[None])
    else:
        rate = successes / trials
        middle = (rate + z * z / (2 * trials)) / (1 + z * z / trials)
        half = z / (1 + z * z / trials) * np.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
        above, below = middle + half - rate, rate - (middle - half)
        reach = np.hypot(above[:, None], below[None]) if upper else np.hypot(below[:, None], above[None])
    limits = rate[:, None] - rate[None] + (reach if upper else -reach)
    return float(limits[~np.eye(len(rate), dtype=bool)].max())


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
