"""Distances between two distributions over the same bins, from counts alone; every function takes replicates in the leading dimensions.

All are 0 for equal shares and grow with the difference. From samples they are biased upward: two samples of one distribution are never
equal. `statistics.drift_tests` corrects that; the figures here are the plain ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

HALF = 0.5  # added to every bin of both samples where a logarithm is taken (Jeffreys' prior), so that an empty bin is a small share, not none
Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def psi(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Population stability index: the sum over bins of (q - p) ln(q / p); shares are smoothed by half a row in every bin of both samples.

    Args:
        reference: counts, shape (..., bins).
        current: counts, the same shape.

    Sources: Siddiqi (2006), Credit Risk Scorecards; Yurdakul (2018), Statistical properties of population stability index: without drift
    it is distributed as (1/n + 1/m) times chi-square with bins - 1 degrees of freedom.
    """
    p, q = _smoothed(reference), _smoothed(current)
    found: np.ndarray = ((q - p) * np.log(q / p)).sum(axis=-1)
    return found


def js_divergence(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence to base 2, in [0, 1]; its square root is the distance. Source: Lin (1991), IEEE Trans. Inf. Theory 37, 145-151."""
    p, q = _shares(reference), _shares(current)
    middle = (p + q) / 2
    found: np.ndarray = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    clipped: np.ndarray = np.clip(found, 0.0, 1.0)
    return clipped


def squared_hellinger(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Square of the Hellinger distance, in [0, 1]."""
    found: np.ndarray = ((np.sqrt(_shares(reference)) - np.sqrt(_shares(current))) ** 2).sum(axis=-1) / 2
    return found


def total_variation(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Half the sum of absolute differences of shares, in [0, 1]: the share of rows that would have to change their bin."""
    found: np.ndarray = np.abs(_shares(reference) - _shares(current)).sum(axis=-1) / 2
    return found


def squared_cramers_v(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Square of Cramer's V of the table sample x bin, in [0, 1]: Pearson's chi-square over all rows. Source: Cramer (1946), section 21.9."""
    rows = reference.sum(axis=-1) + current.sum(axis=-1)
    found: np.ndarray = pearson_chi_square(reference, current) / np.maximum(rows, 1)
    return found


def pearson_chi_square(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Pearson's statistic of homogeneity of two samples; bins empty in both are no bins."""
    n, m = reference.sum(axis=-1, keepdims=True).astype(float), current.sum(axis=-1, keepdims=True).astype(float)
    together = (reference + current).astype(float)
    # equal to the sum of (observed - expected)^2 / expected over both samples
    terms = np.divide((reference * m - current * n) ** 2, together, out=np.zeros(together.shape), where=together > 0)
    found: np.ndarray = terms.sum(axis=-1) / np.maximum((n * m)[..., 0], 1)
    return found


def binned_wasserstein(reference: np.ndarray, current: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Wasserstein-1 distance of two histograms whose bins lie at ascending `places`, shape (bins,); in units of the places."""
    apart = np.abs(np.cumsum(_shares(reference) - _shares(current), axis=-1))[..., :-1]
    found: np.ndarray = (apart * np.diff(places)).sum(axis=-1)
    return found


SCALES: Mapping[str, tuple[Distance, bool]] = {
    # metric: (what is added up over bins, whether the metric is its square root)
    "psi": (psi, False),
    "js_distance": (js_divergence, True),
    "cramers_v": (squared_cramers_v, True),
    "total_variation": (total_variation, False),
    "hellinger": (squared_hellinger, True),
}


def _shares(counts: np.ndarray) -> np.ndarray:
    shares: np.ndarray = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    return shares


def _smoothed(counts: np.ndarray) -> np.ndarray:
    raised = counts + HALF
    shares: np.ndarray = raised / raised.sum(axis=-1, keepdims=True)
    return shares


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    ratio = np.divide(p, q, out=np.ones(p.shape), where=p > 0)
    found: np.ndarray = (p * np.log2(ratio)).sum(axis=-1)
    return found
