"""Proofs over trees: every property as the question whether sums of leaves rise above a bound anywhere in a region.

A step of one input from one cell to another changes only the trees that tell the two apart; their change is again a sum of trees, over pairs of
leaves. So monotonicity and invariance are searched like bounds, one pair of cells at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from rai_pipelines.assessments.verification.certificates import Answer, Certificate
from rai_pipelines.assessments.verification.domain import Asked, Region
from rai_pipelines.assessments.verification.search import LIMIT_REACHED, ROUNDING, Box, Leaves, Part, Search, search_above
from rai_pipelines.assessments.verification.trees import Ensemble

METHOD = "branch and bound over the leaves of all trees"
BY_STRUCTURE = "no tree reads the inputs"


def prove_score(ensemble: Ensemble, asked: Asked, region: Region, bound: float, side: int, *, limit: int) -> Certificate:
    """That the score never rises above (`side` 1) or falls below (-1) a bound."""
    target = side * ensemble.raw_at(bound - side * ensemble.score_rounding)
    leaves = ensemble.leaves if side > 0 else ensemble.leaves.negated()

    def breaks(places: np.ndarray) -> bool:
        scores = asked.scores(places)
        return scores is not None and bool(side * (scores[0] - bound) > 0)

    return _one_place(ensemble, leaves, target, region, breaks, limit=limit)


def prove_decision(ensemble: Ensemble, asked: Asked, region: Region, decision: int, *, limit: int, near: np.ndarray | None = None) -> Certificate:
    """That every decision is the given one; `near` is what a counterexample should stay close to."""
    sign = -1 if decision == 1 else 1
    leaves = ensemble.leaves if sign > 0 else ensemble.leaves.negated()
    return _one_place(
        ensemble, leaves, sign * ensemble.cut, region, lambda places: int(asked.decisions(places)[0]) != decision, limit=limit, near=near
    )


def prove_monotone(ensemble: Ensemble, asked: Asked, region: Region, at: int, sign: int, *, limit: int) -> Certificate:
    """That the score never falls (`sign` 1) or never rises (-1) as one number rises; a change within rounding does not count."""

    def breaks(places: np.ndarray) -> bool:
        scores = asked.scores(places)
        return scores is not None and bool(sign * (scores[1] - scores[0]) < 0)

    def parts(first: int, second: int) -> Sequence[Part]:
        return [Part(signed(change(ensemble, at, first, second), -sign), 2 * ensemble.rounding, ensemble.rounding)]

    return every_pair(ensemble, region, at, [(parts, breaks, True)], pairs=neighbours(ensemble, region, at), limit=limit)


def prove_invariant(
    ensemble: Ensemble, asked: Asked, region: Region, positions: Sequence[int], tolerance: float | None, *, limit: int
) -> Certificate:
    """That changing the features, alone or together, never changes the decision, nor the score by more than `tolerance` where one is given.

    A change of several is a chain of changes of one. Decisions compare like with like along it; the tolerance is shared out among them.
    """
    nodes = 0
    unsettled: Certificate | None = None
    for at in positions:
        if at not in ensemble.used:
            continue
        pairs = list(neighbours(ensemble, region, at) if tolerance is None else all_pairs(ensemble, region, at))
        ways = [_decision_ways, score_ways][tolerance is not None](ensemble, asked, at, tolerance or 0.0, len(positions))
        if tolerance is not None:
            ways = [*ways, *_decision_ways(ensemble, asked, at, 0.0, 1)]
        found = every_pair(ensemble, region, at, ways, pairs=pairs, limit=limit - nodes)
        nodes += found.nodes
        if found.answer is Answer.REFUTED:
            return replace(found, nodes=nodes)
        if found.answer is Answer.UNKNOWN and unsettled is None:
            unsettled = found
    if unsettled is not None:
        return replace(unsettled, nodes=nodes)
    return Certificate(Answer.PROVED, METHOD if set(positions) & ensemble.used else BY_STRUCTURE, nodes)


Possible = Callable[[Sequence[float]], bool]
Way = (
    tuple[Callable[[int, int], Sequence[Part]], Callable[[np.ndarray], bool], bool]
    | tuple[Callable[[int, int], Sequence[Part]], Callable[[np.ndarray], bool], bool, Possible]
)


def _decision_ways(ensemble: Ensemble, asked: Asked, at: int, _tolerance: float, _features: int) -> list[Way]:
    """A favourable decision in one cell and an unfavourable one in the other, either way round."""

    def differ(places: np.ndarray) -> bool:
        decisions = asked.decisions(places)
        return bool(decisions[0] != decisions[1])

    def parts(sign: int) -> Callable[[int, int], Sequence[Part]]:
        return lambda first, second: [
            Part(signed(change(ensemble, at, first, second), -sign), 2 * ROUNDING),
            Part(signed(held(ensemble, at, first), sign), sign * ensemble.cut, ensemble.rounding),
            Part(signed(held(ensemble, at, second), -sign), -sign * ensemble.cut, ensemble.rounding),
        ]

    return [(parts(sign), differ, True) for sign in (1, -1)]


def score_ways(ensemble: Ensemble, asked: Asked, at: int, tolerance: float, features: int) -> list[Way]:
    """A change of the score beyond the tolerance. The logistic curve is nowhere steeper than a quarter of its scale."""
    steepest = 1.0 if ensemble.link == "identity" else ensemble.scale / 4
    target = (tolerance / features - ensemble.score_rounding) / steepest + 2 * ROUNDING

    def beyond(places: np.ndarray) -> bool:
        scores = asked.scores(places)
        return scores is not None and bool(abs(scores[1] - scores[0]) > tolerance)

    def parts(sign: int) -> Callable[[int, int], Sequence[Part]]:
        def made(first: int, second: int) -> Sequence[Part]:
            moved = [Part(signed(change(ensemble, at, first, second), sign), target, ensemble.rounding)]
            # where the curve is flat only the values themselves tell how much the score moves
            return moved if ensemble.link == "identity" else [*moved, Part(held(ensemble, at, first), -math.inf)]

        return made

    return [(parts(sign), beyond, ensemble.link == "identity" or features > 1) for sign in (1, -1)]


def _one_place(
    ensemble: Ensemble,
    leaves: Leaves,
    target: float,
    region: Region,
    breaks: Callable[[np.ndarray], bool],
    *,
    limit: int,
    near: np.ndarray | None = None,
) -> Certificate:
    def place(box: Box) -> np.ndarray:
        return ensemble.grid.place(box, region, near)[None]

    found = search_above([Part(leaves, target, ensemble.rounding)], ensemble.grid.box(region), lambda box: breaks(place(box)), limit=limit)
    return certificate(found, place(found.found) if found.found is not None else None, found.nodes)


def every_pair(ensemble: Ensemble, region: Region, at: int, ways: Sequence[Way], *, pairs: Sequence[tuple[int, int]], limit: int) -> Certificate:
    grid, nodes = ensemble.grid, 0
    unsettled: Certificate | None = None
    for first, second in pairs:
        if nodes >= limit:
            return Certificate(Answer.UNKNOWN, METHOD, nodes, LIMIT_REACHED)
        for parts, breaks, exact, *possible in ways:

            def places(box: Box, first: int = first, second: int = second) -> np.ndarray:
                base = grid.place(box, region)
                return np.stack([grid.place(_with(grid_box, at, ensemble, cell), region, base) for cell, grid_box in ((first, box), (second, box))])

            confirm: Callable[[Box], bool] = lambda box, breaks=breaks, places=places: breaks(places(box))  # type: ignore[misc]  # noqa: E731
            found = search_above(
                parts(first, second), grid.box(region), confirm, limit=max(limit - nodes, 0), exact=exact, possible=possible[0] if possible else None
            )
            nodes += found.nodes
            if found.found is not None:
                return Certificate(Answer.REFUTED, METHOD, nodes, places=places(found.found))
            if not found.settled and unsettled is None:
                unsettled = certificate(found, None, nodes)
    return replace(unsettled, nodes=nodes) if unsettled is not None else Certificate(Answer.PROVED, METHOD, nodes)


def certificate(found: Search, places: np.ndarray | None, nodes: int) -> Certificate:
    if places is not None:
        return Certificate(Answer.REFUTED, METHOD, nodes, places=places)
    return Certificate(Answer.PROVED if found.settled else Answer.UNKNOWN, METHOD, nodes, found.reason)


def signed(leaves: Leaves, sign: int) -> Leaves:
    return leaves if sign > 0 else leaves.negated()


def _cells(ensemble: Ensemble, region: Region, at: int) -> list[int]:
    grid = ensemble.grid
    if at in grid.cell_of:
        return sorted({int(grid.cell_of[at][code]) for code in region.codes[at]})
    return list(range(grid.cell(at, region.low[at]), grid.cell(at, region.high[at]) + 1))


def neighbours(ensemble: Ensemble, region: Region, at: int) -> list[tuple[int, int]]:
    cells = _cells(ensemble, region, at)
    return list(pairwise(cells))


def all_pairs(ensemble: Ensemble, region: Region, at: int) -> Iterator[tuple[int, int]]:
    cells = _cells(ensemble, region, at)
    return ((first, second) for place, first in enumerate(cells) for second in cells[place + 1 :])


def _holds(ensemble: Ensemble, at: int, cell: int) -> np.ndarray:
    """Leaves that a cell of one feature reaches."""
    leaves, grid = ensemble.leaves, ensemble.grid
    if at in grid.cell_of:
        return np.asarray((leaves.bits[:, grid.categories.index(at)] >> cell & 1).astype(bool))
    position = grid.numbers.index(at)
    return np.asarray((leaves.low[:, position] <= cell) & (leaves.high[:, position] >= cell))


def held(ensemble: Ensemble, at: int, cell: int) -> Leaves:
    """The ensemble with one feature held in one cell: that feature no longer matters."""
    return _freed(ensemble, ensemble.leaves.take(_holds(ensemble, at, cell)), at)


def _freed(ensemble: Ensemble, leaves: Leaves, at: int) -> Leaves:
    grid = ensemble.grid
    if at in grid.cell_of:
        bits = leaves.bits.copy()
        bits[:, grid.categories.index(at)] = -1
        return replace(leaves, bits=bits)
    low, high = leaves.low.copy(), leaves.high.copy()
    low[:, grid.numbers.index(at)], high[:, grid.numbers.index(at)] = 0, len(grid.cuts[at])
    return replace(leaves, low=low, high=high)


def change(ensemble: Ensemble, at: int, first: int, second: int) -> Leaves:
    """What a step from one cell to another adds: for each tree that tells them apart, the pairs of leaves that share a place."""
    before, after = _holds(ensemble, at, first), _holds(ensemble, at, second)
    apart = np.unique(ensemble.leaves.tree[before != after])
    start, end = (_freed(ensemble, ensemble.leaves.take(mask & np.isin(ensemble.leaves.tree, apart)), at) for mask in (before, after))
    one, two = np.nonzero(start.tree[:, None] == end.tree[None, :])
    low, high = np.maximum(start.low[one], end.low[two]), np.minimum(start.high[one], end.high[two])
    bits, missing = start.bits[one] & end.bits[two], start.missing[one] & end.missing[two]
    met = (low <= high).all(axis=1) & (bits != 0).all(axis=1)
    return Leaves(start.tree[one], low, high, missing, bits, end.value[two] - start.value[one]).take(met)


def _with(box: Box, at: int, ensemble: Ensemble, cell: int) -> Box:
    grid = ensemble.grid
    if at in grid.cell_of:
        bits = box.bits.copy()
        bits[grid.categories.index(at)] = 1 << cell
        return replace(box, bits=bits)
    low, high = box.low.copy(), box.high.copy()
    low[grid.numbers.index(at)] = high[grid.numbers.index(at)] = cell
    return replace(box, low=low, high=high)
