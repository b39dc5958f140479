"""Intervals of proportions, of their differences and ratios, and of the largest gap among several; closed forms only.

Few events are where the usual intervals fail: at a stated 95 % Wilson's covers 84 % in the worst case, Katz's of a ratio 76 % (both computed
exactly in the tests). So limits of a proportion are exact (Clopper and Pearson 1934) while there are fewer than 25 events or 25 non-events,
and Wilson's beyond; pairs are put together from these limits (MOVER; Zou and Donner 2008). Counts may be fractions: effective counts of
weighted or clustered rows (Rao and Scott 1992).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rai_pipelines.assessments.statistics.uncertainty import Uncertain, normal_quantile
from rai_pipelines.evidence.model import Interval

EXACT_BELOW = 25  # events or non-events
OPPOSITE_FROM = 0.85
Counts = tuple[float, float]  # successes, trials
Columns = tuple[np.ndarray, np.ndarray]  # the same, elementwise


def proportion_limits(successes: np.ndarray, trials: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limits of proportions, elementwise; `trials` above 0. The limits contain the proportion.

    Sources: Wilson (1927), JASA 22, 209-212; Clopper and Pearson (1934), Biometrika 26, 404-413; Brown, Cai and DasGupta (2001),
    Statistical Science 16, 101-133, on where Wilson's fails.
    """
    from scipy.special import betaincinv

    hits, n = np.asarray(successes, dtype=float), np.asarray(trials, dtype=float)
    z, tail, share = normal_quantile(level), (1 - level) / 2, hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    few = np.minimum(hits, n - hits) < EXACT_BELOW
    low, high = middle - half, middle + half
    if few.any():
        misses = n - hits
        exact_low = np.where(hits > 0, betaincinv(np.maximum(hits, 1e-9), misses + 1, tail), 0.0)
        exact_high = np.where(misses > 0, betaincinv(hits + 1, np.maximum(misses, 1e-9), 1 - tail), 1.0)
        low, high = np.where(few, exact_low, low), np.where(few, exact_high, high)
    return np.clip(np.minimum(low, share), 0.0, 1.0), np.clip(np.maximum(high, share), 0.0, 1.0)


def proportion(successes: float, trials: float, level: float) -> Uncertain:
    """A share with its binomial standard error and interval.

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} of {trials} is not a proportion")
    share = successes / trials
    low, high = proportion_limits(np.array([successes]), np.array([trials]), level)
    method = "Clopper-Pearson" if min(successes, trials - successes) < EXACT_BELOW else "Wilson score"
    return Uncertain(share, math.sqrt(share * (1 - share) / trials), Interval(low=float(low[0]), high=float(high[0]), level=level, method=method))


def difference_of_proportions(first: Counts, second: Counts, level: float) -> Uncertain:
    """First minus second proportion, each `(successes, trials)`, with the squares of the distances to their limits added.

    Source: Newcombe (1998), Statistics in Medicine 17, 873-890, method 10; with exact limits where events are few.
    """
    one, two = proportion(*first, level), proportion(*second, level)
    columns = [(np.array([hits]), np.array([n])) for hits, n in (first, second)]
    low, high = (float(limit[0]) for limit in difference_limits(columns[0], columns[1], level))
    value = one.value - two.value
    interval = Interval(low=min(max(-1.0, low), value), high=max(min(1.0, high), value), level=level, method="MOVER")
    return Uncertain(value, math.hypot(one.standard_error, two.standard_error), interval)


def ratio_of_proportions(first: Counts, second: Counts, level: float) -> Uncertain | None:
    """First over second proportion, each `(successes, trials)`; the standard error is that of the logarithm (Katz et al. 1978).

    With an empty cell the standard error, not the value or the interval, comes from counts with 0.5 added (Haldane 1956, Anscombe 1956).
    None when nobody of the second group was selected: the ratio does not exist.
    """
    (x1, n1), (x2, n2) = first, second
    if min(n1, n2) == 0 or x2 == 0:
        return None
    value = (x1 * n2) / (n1 * x2)  # integers until the one division, so that a ratio of 4/5 is exactly 0.8
    empty = min(x1, n1 - x1, x2, n2 - x2) == 0
    a, m, b, n = (x1 + 0.5, n1 + 1.0, x2 + 0.5, n2 + 1.0) if empty else (float(x1), float(n1), float(x2), float(n2))
    error = math.sqrt(max(1 / a - 1 / m + 1 / b - 1 / n, 0.0))
    low, high = ratio_limits((np.array([x1]), np.array([n1])), (np.array([x2]), np.array([n2])), level)
    interval = Interval(low=min(float(low[0]), value), high=max(float(high[0]), value), level=level, method="MOVER, log scale")
    return Uncertain(value, error, interval)


def largest_gap_interval(value: float, rates: Sequence[tuple[np.ndarray, np.ndarray]], gaps: np.ndarray, level: float, *, ratio: bool) -> Uncertain:
    """Interval of the largest gap between groups: the largest difference, or the smallest ratio, of one or more rates.

    The largest of several gaps is biased upward, the more so when groups are alike, and its resamples are biased once more: percentile
    limits never reach "no difference", and reflected (basic) ones miss the truth far too often. So both ends come from the pairs:
    away from no difference the highest upper limit of any pair, which covers as well as that of the pair truly furthest apart;
    towards it the highest lower limit of any pair, with the error divided by the number of ordered pairs (Bonferroni), so that the
    choice of the pair is paid for.

    Args:
        value: the reported figure; the interval is widened to contain it.
        rates: numerators and denominators of every rate compared, arrays of shape (groups,).
        gaps: resamples of the difference, or of minus the log of the ratio; they give the standard error.
        level: two-sided level.
        ratio: the figure is a ratio, between 0 and 1.
    """
    pairs = sum(len(trials) * (len(trials) - 1) for _, trials in rates)
    corrected = 1 - (1 - level) / pairs
    if ratio:
        low = min(float(_pairwise_ratios(*rate, level)[0].min()) for rate in rates)
        high = min(1.0, *(float(_pairwise_ratios(*rate, corrected)[1].min()) for rate in rates))
    else:
        low = max(0.0, *(float(_pairwise_differences(*rate, corrected)[0].max()) for rate in rates))
        high = min(1.0, max(float(_pairwise_differences(*rate, level)[1].max()) for rate in rates))
    method = f"pairwise {'MOVER log' if ratio else 'Newcombe'} limits, Bonferroni towards no difference"
    error = float(f"{np.std(gaps, ddof=1, dtype=float):.9g}")
    return Uncertain(value, error, Interval(low=min(low, value), high=max(high, value), level=level, method=method))


def difference_limits(first: Columns, second: Columns, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Limits of first minus second proportion, elementwise: distances to the limits of each, added in squares.

    Where the groups are nearly opposite (difference beyond 0.85) both counts are at their ends and vary to one side only: the distances are
    added as they are.
    """
    rate1, rate2 = first[0] / first[1], second[0] / second[1]
    (low1, high1), (low2, high2) = proportion_limits(*first, level), proportion_limits(*second, level)
    difference = rate1 - rate2
    opposite = np.abs(difference) > OPPOSITE_FROM
    below, above = ((rate1 - low1), (high2 - rate2)), ((high1 - rate1), (rate2 - low2))
    reach = [np.where(opposite, sum(parts), np.hypot(*parts)) for parts in (below, above)]
    return difference - reach[0], difference + reach[1]


def ratio_limits(first: Columns, second: Columns, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Limits of first over second proportion, elementwise, second above 0: distances to the limits of the logarithms, added in squares.

    Where nobody of the first group was selected, the lower limit is 0 and the upper one the ratio of the extreme limits.
    """
    rate1, rate2 = first[0] / first[1], second[0] / second[1]
    (low1, high1), (low2, high2) = proportion_limits(*first, level), proportion_limits(*second, level)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = np.log(rate1) - np.log(rate2)
        below = np.hypot(np.log(rate1) - np.log(low1), np.log(high2) - np.log(rate2))
        above = np.hypot(np.log(high1) - np.log(rate1), np.log(rate2) - np.log(low2))
        nobody = rate1 == 0
        return np.where(nobody, 0.0, np.exp(middle - below)), np.where(nobody, high1 / low2, np.exp(middle + above))


def _pairwise_differences(successes: np.ndarray, trials: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Limits of rate i minus rate j for all i other than j, flat."""
    first, second = _pairs(len(trials))
    return difference_limits((successes[first], trials[first]), (successes[second], trials[second]), level)


def _pairwise_ratios(successes: np.ndarray, trials: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Limits of rate i over rate j for all i other than j where rate j is above 0, flat; 0 and infinity where there are none."""
    first, second = _pairs(len(trials))
    kept = successes[second] > 0
    if not kept.any():
        return np.zeros(1), np.full(1, math.inf)
    first, second = first[kept], second[kept]
    return ratio_limits((successes[first], trials[first]), (successes[second], trials[second]), level)


def _pairs(groups: int) -> tuple[np.ndarray, np.ndarray]:
    """All ordered pairs of different groups."""
    first, second = np.nonzero(~np.eye(groups, dtype=bool))
    return first, second
