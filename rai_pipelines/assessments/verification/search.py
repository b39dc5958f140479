"""Whether a sum of trees rises above a bound anywhere in a box: bounds by leaves within reach, then branch and bound.

The bound of a box is the sum over trees of the largest leaf within reach (interval propagation); a box that it does not settle is split along
the leaf that the most uncertain tree prefers, until every tree has one leaf left (Chen et al. 2019 bound in the same way; the split is ours).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

ROUNDING = 1e-9  # of the raw value: sums in another order differ by less
NOWHERE = np.int32(2**30)
LIMIT_REACHED = "the limit of boxes to look at was reached"


@dataclass(frozen=True)
class Box:
    """Cells `low`..`high` of each number, shape (numbers,), which of them are missing, and the cells of each category as bits."""

    low: np.ndarray
    high: np.ndarray
    missing: np.ndarray
    bits: np.ndarray


@dataclass(frozen=True)
class Leaves:
    """Leaves in the order of their trees: cells from `low` to `high` and whether a missing number gets there, shapes (leaves, numbers);
    cells of categories as `bits`, shape (leaves, categories). The leaves of one tree share out every box."""

    tree: np.ndarray
    low: np.ndarray
    high: np.ndarray
    missing: np.ndarray
    bits: np.ndarray
    value: np.ndarray

    def take(self, chosen: np.ndarray) -> Leaves:
        """Only the chosen ones."""
        return Leaves(*(getattr(self, name)[chosen] for name in ("tree", "low", "high", "missing", "bits", "value")))

    def within(self, box: Box, chosen: np.ndarray) -> np.ndarray:
        """Which of the chosen leaves the box reaches."""
        numbers = np.where(box.missing, self.missing[chosen], (self.low[chosen] <= box.high) & (self.high[chosen] >= box.low)).all(axis=1)
        return np.asarray(chosen[numbers & ((self.bits[chosen] & box.bits) != 0).all(axis=1)])

    def negated(self) -> Leaves:
        """The same with the sign of every value turned."""
        return replace(self, value=-self.value)


@dataclass(frozen=True)
class Search:
    """`found` is a box that every tree answers with one leaf, confirmed; `settled` whether the search came to an end."""

    settled: bool
    nodes: int
    found: Box | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Part:
    """A sum of leaves and the target that it has to be above; within `rounding` of it, the model itself decides."""

    leaves: Leaves
    target: float
    rounding: float = ROUNDING


def search_above(
    parts: Sequence[Part],
    box: Box,
    confirm: Callable[[Box], bool],
    *,
    limit: int,
    exact: bool = True,
    most_asked: int = 100,
    possible: Callable[[Sequence[float]], bool] | None = None,
) -> Search:
    """A place in the box where every sum of leaves is above its target, or the proof that there is none.

    Args:
        confirm: asks the model itself about a place; what is within rounding of a target is decided by it alone.
        limit: boxes looked at; beyond it nothing is settled.
        exact: whether to be above the targets is the question itself; else it only allows what `confirm` then decides.
        possible: whether sums up to these numbers, one for each part, leave room for what is looked for; by default, all are above their targets.
    """
    waiting = [(box, [np.arange(len(part.leaves.tree)) for part in parts])]
    nodes = asked = 0
    while waiting:
        here, chosen = waiting.pop()
        if nodes >= limit:
            return Search(False, nodes, reason=LIMIT_REACHED)
        nodes += 1
        chosen = [part.leaves.within(here, kept) for part, kept in zip(parts, chosen, strict=True)]
        tops = [_top(part.leaves, kept) for part, kept in zip(parts, chosen, strict=True)]
        if possible is not None:
            if not possible(tops):
                continue
        elif any(top <= part.target - part.rounding for top, part in zip(tops, parts, strict=True)):
            continue
        split = _split(parts, chosen, here)
        if split is not None:
            waiting += [(half, chosen) for half in split]  # the half with the preferred leaf is looked at first
            continue
        if asked >= most_asked:
            return Search(False, nodes, reason=f"the model was asked about {most_asked} places within rounding of the bound")
        asked += 1
        if confirm(here):
            return Search(True, nodes, here)
        if exact and all(top > part.target + part.rounding for top, part in zip(tops, parts, strict=True)):
            return Search(False, nodes, reason="the model does not confirm what its own trees say")
    return Search(True, nodes)


def bounds_of(leaves: Leaves, box: Box) -> tuple[float, float]:
    """Numbers that the sum never falls below and never exceeds in the box."""
    kept = leaves.within(box, np.arange(len(leaves.tree)))
    return -_top(leaves.negated(), kept), _top(leaves, kept)


def _top(leaves: Leaves, kept: np.ndarray) -> float:
    if not len(kept):
        return 0.0
    return float(np.maximum.reduceat(leaves.value[kept], _starts(leaves.tree[kept])).sum())


def _starts(tree: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.concatenate([[True], tree[1:] != tree[:-1]]))


def _split(parts: Sequence[Part], chosen: Sequence[np.ndarray], box: Box) -> tuple[Box, Box] | None:
    """The box in two, the preferred part last; None where every tree has one leaf left."""
    widest, where = -1.0, None
    for part, kept in zip(parts, chosen, strict=True):
        if not len(kept):
            continue
        leaves = part.leaves
        starts, values = _starts(leaves.tree[kept]), leaves.value[kept]
        counts = np.diff(np.append(starts, len(kept)))
        spread = np.maximum.reduceat(values, starts) - np.minimum.reduceat(values, starts)
        spread = np.where(counts > 1, spread, -1.0)
        at = int(spread.argmax())
        if spread[at] > widest:
            widest, where = float(spread[at]), (leaves, kept[starts[at] : starts[at] + counts[at]])
    if where is None or widest <= 0.0:  # trees whose leaves all agree need no further split
        return None
    leaves, kept = where
    return _cut(leaves, int(kept[leaves.value[kept].argmax()]), box)


def _cut(leaves: Leaves, leaf: int, box: Box) -> tuple[Box, Box]:
    size = np.where(box.missing, 0, box.high - box.low + 1)
    below = np.where(box.missing, 0, np.maximum(leaves.low[leaf] - box.low, 0))
    above = np.where(box.missing, 0, np.maximum(box.high - leaves.high[leaf], 0))
    share = np.maximum(below, above) / np.maximum(size, 1)
    if len(share) and share.max() > 0:
        at = int(share.argmax())
        low, high = box.low.copy(), box.high.copy()
        if below[at] >= above[at]:
            low[at], high[at] = leaves.low[leaf, at], leaves.low[leaf, at] - 1
            return replace(box, high=high), replace(box, low=low)
        low[at], high[at] = leaves.high[leaf, at] + 1, leaves.high[leaf, at]
        return replace(box, low=low), replace(box, high=high)
    at = int(np.flatnonzero(box.bits & ~leaves.bits[leaf])[0])
    inside, outside = box.bits.copy(), box.bits.copy()
    inside[at] &= leaves.bits[leaf, at]
    outside[at] &= ~leaves.bits[leaf, at]
    return replace(box, bits=outside), replace(box, bits=inside)
