"""Is it drift? Effects with their sampling bias taken off, intervals, and a call in three states that never rests on a p-value alone.

With a million rows every difference is significant and with a hundred no drift index is small. So the call compares the interval of the
effect with a threshold: drifted above it, stable below it, and otherwise inconclusive, with the rows that would decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from rai_pipelines.assessments.statistics.distances import SCALES, binned_wasserstein, pearson_chi_square
from rai_pipelines.assessments.statistics.uncertainty import normal_quantile
from rai_pipelines.evidence.model import Interval

MOST_ROWS = 10**15  # more rows than these are no advice
DECIMALS = 12
CORRECTED = "bias-corrected, normal with seeded multinomial standard error"
BAND = "Dvoretzky-Kiefer-Wolfowitz-Massart bands of both samples"
Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]


class DriftState(StrEnum):
    """What an effect with its interval says about a threshold."""

    DRIFTED = "drifted"
    STABLE = "stable"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Effect:
    """A distance between two samples of n and m rows.

    `value` is the estimate (with the bias taken off where there is one), `plain` the figure straight from the counts, `expected` what the plain
    one would be on average without drift. The standard error is on the scale where the bias is additive (the square of a metric that is
    a root).
    """

    metric: str
    value: float
    plain: float
    expected: float
    standard_error: float | None
    interval: Interval
    n: int
    m: int


def corrected_effect(reference: np.ndarray, current: np.ndarray, *, metric: str, level: float, resamples: int, seed: Sequence[int]) -> Effect:
    """One of `SCALES` from counts of shape (bins,), its expectation without drift subtracted.

    The expectation is the mean over multinomial draws of n and of m rows from the pooled shares. The standard error is that over draws
    from each sample's own shares; it contains the excess that drawing from a sample adds, so near zero it is too large rather than too small.
    For a metric that is a root, both are taken on its square. Negative estimates and limits are 0.

    Raises:
        ValueError: a sample has no rows, or the metric is not known.
    """
    statistic, root = SCALES[metric]
    return _corrected(reference, current, statistic, metric=metric, root=root, plain=None, level=level, resamples=resamples, seed=seed)


def wasserstein_effect(
    reference: np.ndarray,
    current: np.ndarray,
    places: np.ndarray,
    *,
    exact: float,
    scale: float,
    level: float,
    resamples: int,
    seed: Sequence[int],
) -> Effect:
    """The Wasserstein distance over `scale` (the reference's standard deviation), with its bias at the observed distance taken off.

    `exact` is the distance of the samples themselves; bins at `places`, shape (bins,), give its bias and standard error. A sum of
    absolute differences is biased only where the distributions cross or nearly agree: by something between nothing and its expectation
    without drift. The estimate subtracts what draws from the samples add to their own distance; the lower limit subtracts the whole
    expectation without drift and the upper limit nothing, so that the interval holds for near and for far distributions.
    """

    def statistic(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return binned_wasserstein(first, second, places) / scale

    return _corrected(
        reference,
        current,
        statistic,
        metric="wasserstein_normalised",
        root=False,
        plain=exact / scale,
        level=level,
        resamples=resamples,
        seed=seed,
    )


def ks_effect(ks: float, n: int, m: int, *, level: float) -> Effect:
    """A Kolmogorov-Smirnov statistic with limits that hold for any distribution, ties included: no bias is taken off.

    The distance of the true distributions is within the sum of the two bands' half-widths. Sources: Dvoretzky, Kiefer and Wolfowitz (1956);
    Massart (1990), Annals of Probability 18, 1269-1283. `expected` is the asymptotic mean without drift, sqrt(pi/2) ln 2 sqrt(1/n + 1/m).
    """
    alpha = 1 - level
    reach = sum(math.sqrt(math.log(4 / alpha) / (2 * rows)) for rows in (n, m))
    interval = Interval(low=max(0.0, ks - reach), high=min(1.0, ks + reach), level=level, method=BAND)
    expected = min(1.0, math.sqrt(math.pi / 2) * math.log(2) * math.sqrt(1 / n + 1 / m))
    return Effect("ks", ks, ks, _rounded(expected), None, interval, n, m)


def call(interval: Interval, threshold: float) -> DriftState:
    """`drifted` where the whole interval is above the threshold, `stable` where it is below, else `inconclusive`."""
    if interval.low > threshold:
        return DriftState.DRIFTED
    return DriftState.STABLE if interval.high < threshold else DriftState.INCONCLUSIVE


def rows_that_decide(effect: Effect, threshold: float) -> tuple[int, int] | None:
    """Rows of reference and current, in their present proportion, with which the interval would be on one side of the threshold.

    It supposes that the estimate stays and the interval shrinks with the root of the rows. None where the estimate lies on the threshold.
    """
    squared = SCALES.get(effect.metric, (None, False))[1]
    power = 2 if squared else 1
    distance = abs(effect.value**power - threshold**power)
    reach = effect.interval.high**power - effect.value**power
    if effect.value > threshold:
        reach = effect.value**power - effect.interval.low**power
    if distance == 0:
        return None
    growth = max(1.0, (reach / distance) ** 2)
    if growth * max(effect.n, effect.m) > MOST_ROWS:
        return None
    n, m = (math.ceil(round(growth * rows, 6)) for rows in (effect.n, effect.m))
    return n, m


def simultaneous_level(level: float, figures: int) -> float:
    """The level at which each of `figures` intervals is made so that all hold together with at least `level` (Bonferroni)."""
    return 1 - (1 - level) / max(1, figures)


def homogeneity_p_value(reference: np.ndarray, current: np.ndarray) -> float | None:
    """Pearson's chi-square test of two samples over the bins that either occupies; None with fewer than two bins. Told, never decisive."""
    from scipy.special import gammaincc

    bins = int(((reference + current) > 0).sum())
    if bins < 2 or min(reference.sum(), current.sum()) == 0:
        return None
    return float(f"{float(gammaincc((bins - 1) / 2, float(pearson_chi_square(reference, current)) / 2)):.9g}")


def _corrected(
    reference: np.ndarray,
    current: np.ndarray,
    statistic: Statistic,
    *,
    metric: str,
    root: bool,
    plain: float | None,
    level: float,
    resamples: int,
    seed: Sequence[int],
) -> Effect:
    n, m = int(reference.sum()), int(current.sum())
    if min(n, m) == 0:
        raise ValueError(f"{metric}: a sample without rows has no distance ({n} and {m} rows)")
    kept = (reference + current) > 0
    first, second = reference[kept].astype(float), current[kept].astype(float)
    statistic_of = statistic if kept.all() else _over(statistic, kept)
    observed = float(statistic_of(first, second)) if plain is None else plain
    rng = np.random.default_rng(list(seed))
    pooled = (first + second) / (n + m)
    without = statistic_of(rng.multinomial(n, pooled, size=resamples), rng.multinomial(m, pooled, size=resamples))
    around = statistic_of(rng.multinomial(n, first / n, size=resamples), rng.multinomial(m, second / m, size=resamples))
    expected, error = float(without.mean()), float(around.std(ddof=1))
    bias = expected if plain is None else float(around.mean()) - float(statistic_of(first, second))
    middle = observed - bias
    half = normal_quantile(level) * error
    lower, upper = (middle, middle) if plain is None else (observed - expected, observed)
    low, value, high = (_unscaled(limit, root) for limit in (lower - half, middle, upper + half))
    return Effect(
        metric,
        value,
        _unscaled(observed, root),
        _unscaled(expected, root),
        _rounded(error),
        Interval(low=min(low, value), high=max(high, value), level=level, method=CORRECTED),
        n,
        m,
    )


def _over(statistic: Statistic, kept: np.ndarray) -> Statistic:
    """The statistic over all bins, given counts of the occupied ones: an empty bin stays where it is, and is smoothed like any other."""

    def spread(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        sides = []
        for side in (first, second):
            whole = np.zeros((*side.shape[:-1], len(kept)))
            whole[..., kept] = side
            sides.append(whole)
        return statistic(*sides)

    return spread


def _unscaled(value: float, root: bool) -> float:
    value = max(0.0, value)
    return _rounded(math.sqrt(value) if root else value)


def _rounded(value: float) -> float:
    return float(f"{value:.{DECIMALS}g}")
