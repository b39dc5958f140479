"""The area under the ROC curve: from a histogram of scores, with a bracket that surely holds the exact one; and how uncertain an area is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rai_pipelines.assessments.statistics.proportions import proportion
from rai_pipelines.assessments.statistics.uncertainty import Uncertain, normal_quantile
from rai_pipelines.evidence.model import Interval


@dataclass(frozen=True)
class BracketedAuc:
    """`low <= exact area <= high`, whatever the order of scores within bins; `value` counts pairs within a bin half."""

    value: float
    low: float
    high: float
    positives: int
    negatives: int


def binned_auc(by_label: np.ndarray) -> BracketedAuc | None:
    """The area from counts of shape (2, bins): negatives and positives per bin, scores ascending. None when one class is absent.

    A pair in different bins is ordered for certain. A pair within a bin is concordant, tied or discordant, which is not known: `low`
    takes all of them as discordant and `high` as concordant. Whole numbers up to the division, so the bracket is exact.
    """
    negatives, positives = (int(side.sum()) for side in by_label)
    if min(negatives, positives) == 0:
        return None
    below = np.cumsum(by_label[0]) - by_label[0]
    certain = sum(int(p) * int(n) for p, n in zip(by_label[1], below, strict=True))
    within = sum(int(p) * int(n) for p, n in zip(by_label[1], by_label[0], strict=True))
    pairs = positives * negatives
    return BracketedAuc((2 * certain + within) / (2 * pairs), certain / pairs, (certain + within) / pairs, positives, negatives)


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
        bound = proportion(round(auc * smaller), smaller, level).interval
        return Uncertain(
            auc, error, Interval(low=min(bound.low, auc), high=max(bound.high, auc), level=level, method=f"{bound.method} on the smaller class")
        )
    half = normal_quantile(level) * error / (auc * (1 - auc))
    middle = math.log(auc / (1 - auc))
    interval = Interval(low=_logistic(middle - half), high=_logistic(middle + half), level=level, method="Hanley-McNeil, logit scale")
    return Uncertain(auc, error, interval)


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0
