"""The area under the ROC curve from a histogram of scores, with a bracket that surely holds the exact one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
