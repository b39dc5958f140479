"""Bounds on the robust radius of trees by the toolbox's clique method (Chen et al. 2019, Robustness Verification of Tree-based Models).

Inputs are scaled to 0 to 1 in such a way that one epsilon is the same number of standard deviations for every number. Inputs that nobody
can change are fixed, by leaving out the leaves that the row cannot reach. A category that can change may take any value, in each tree another:
the bound is on the careful side.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from rai_pipelines.assessments.verification.search import ROUNDING
from rai_pipelines.assessments.verification.trees import Ensemble

CLIQUE, LEVELS, STEPS = 2, 1, 10


def clique_bounds(
    ensemble: Ensemble,
    rows: np.ndarray,
    *,
    epsilon: float,
    most_pairs: int,
    all_free: bool = False,
    low: np.ndarray | None = None,
    unit: float | None = None,
) -> tuple[np.ndarray, np.ndarray, float]:
    """For each row the proved radius and whether `epsilon` is proved, both in standard deviations; NaN where the work is above `most_pairs`.

    Args:
        rows: vectors without missing values, shape (rows, features).
        most_pairs: pairs of leaves that the first level looks at, at most.
        all_free: every number can move, also those declared fixed.
        low: what becomes 0, and `unit`: what becomes 1, in steps of the space; by default as rows need it.

    Returns:
        Radii, certified (1, 0 or NaN), and the number of standard deviations that stand for 1.
    """
    grid, space = ensemble.grid, ensemble.grid.space
    moving = [at for at in grid.numbers if all_free or space.features[at].movable]
    step = np.array([space.features[at].step for at in moving])
    start = rows[:, moving].min(axis=0) if low is None and moving else (low if low is not None else np.empty(0))
    unit = unit or float(max([((rows[:, moving] - start) / step).max() if moving else 1.0, 2 * epsilon]))
    radii, certified = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for at, row in enumerate(rows):
        decision = int(ensemble.raw(row[None])[0] > ensemble.cut)
        # the model's own sum may be off by as much, so that much has to be left
        cut = ensemble.cut + (ensemble.rounding - ROUNDING) * (1 if decision else -1)
        trees = _trees_of(ensemble, row, moving, start, step * unit, cut=cut)
        sizes = [len(tree.leaf_nodes) for tree in trees]
        if sum(one * two for one, two in zip(sizes[::CLIQUE], sizes[1::CLIQUE], strict=False)) * STEPS > most_pairs:
            continue
        scaled = np.append(np.clip((row[moving] - start) / (step * unit), 0.0, 1.0), 0.5)
        radius, failed = _verified(trees, scaled, decision, epsilon / unit)
        radii[at], certified[at] = radius * unit, 1.0 - failed
    return radii, certified, unit


def clique_bounds_of_classes(
    pairs: Sequence[Ensemble],
    rows: np.ndarray,
    *,
    epsilon: float,
    most_pairs: int,
    low: np.ndarray,
    unit: float,
) -> tuple[np.ndarray, np.ndarray]:
    """As `clique_bounds`, for rows decided for one class: `pairs` are its differences to each other class, one radius for all of them.

    The toolbox searches the radius itself. Where leaves speak of all classes, as in forests, its own reading of a model sums what it should
    subtract; so it is given the trees of a difference for each other class, and nothing else.
    """
    grid, space = pairs[0].grid, pairs[0].grid.space
    moving = [at for at in grid.numbers if space.features[at].movable]
    step = np.array([space.features[at].step for at in moving])
    radii, certified = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for at, row in enumerate(rows):
        trees: list[Any] = []
        work = 0
        for number, pair in enumerate(pairs, start=1):
            made = _trees_of(pair, row, moving, low, step * unit, cut=pair.rounding - ROUNDING, label=number, negated=True)
            sizes = [len(tree.leaf_nodes) for tree in made]
            work += sum(one * two for one, two in zip(sizes[::CLIQUE], sizes[1::CLIQUE], strict=False)) * STEPS
            trees += made
        if work > most_pairs:
            continue
        scaled = np.append(np.clip((row[moving] - low) / (step * unit), 0.0, 1.0), 0.5)
        radius, failed = _verified(trees, scaled, 0, epsilon / unit, classes=len(pairs) + 1)
        radii[at], certified[at] = radius * unit, 1.0 - failed
    return radii, certified


def _verified(trees: list[Any], scaled: np.ndarray, decision: int, epsilon: float, classes: int = 2) -> tuple[float, float]:
    class Described:
        """What the method asks of a classifier."""

        nb_classes = classes

        def get_trees(self) -> list[Any]:
            return trees

    method: Any = _toolbox().RobustnessVerificationTreeModelsCliqueMethod
    return method(classifier=Described(), verbose=False).verify(  # type: ignore[no-any-return]
        x=scaled[None], y=np.array([decision]), eps_init=epsilon, norm=np.inf, nb_search_steps=STEPS, max_clique=CLIQUE, max_level=LEVELS
    )


def _trees_of(
    ensemble: Ensemble, row: np.ndarray, moving: list[int], start: np.ndarray, span: np.ndarray, *, cut: float,
    label: int = 0, negated: bool = False,
) -> list[Any]:  # fmt: skip
    """The trees that the row can still reach, as the toolbox has them, in scaled units; the base and the cut are one more leaf.

    Args:
        label: the class of every tree and leaf, in a model of several.
        negated: values are turned, because the toolbox turns those of that class again.
    """
    toolbox = _toolbox()
    Box, Interval, LeafNode, Tree = toolbox.Box, toolbox.Interval, toolbox.LeafNode, toolbox.Tree

    grid, space, leaves = ensemble.grid, ensemble.grid.space, ensemble.leaves
    kept = np.ones(len(leaves.tree), dtype=bool)
    for position, at in enumerate(grid.numbers):
        if at not in moving:
            cell = grid.cell(at, row[at])
            kept &= (leaves.low[:, position] <= cell) & (leaves.high[:, position] >= cell)
    for position, at in enumerate(grid.categories):
        if not space.features[at].movable:
            kept &= (leaves.bits[:, position] >> int(grid.cell_of[at][int(row[at])]) & 1).astype(bool)
    anything = Interval(-np.inf, np.inf)  # the toolbox takes a box without any interval for an empty one
    edges = [np.concatenate([[-np.inf], (grid.cuts[at] - start[place]) / span[place], [np.inf]]) for place, at in enumerate(moving)]
    positions = [grid.numbers.index(at) for at in moving]
    trees: dict[int, list[Any]] = {}
    for leaf in np.flatnonzero(kept):
        intervals = {len(moving): anything}
        for place, position in enumerate(positions):
            low, high = int(leaves.low[leaf, position]), int(leaves.high[leaf, position])
            if low > high:
                break
            if low > 0 or high < len(edges[place]) - 2:
                intervals[place] = Interval(float(edges[place][low]), float(edges[place][high + 1]))
        else:
            tree = int(leaves.tree[leaf])
            value = float(leaves.value[leaf]) - (cut if tree < 0 else 0.0)
            if tree < 0 and label and value == 0.0:
                continue  # nothing to add
            trees.setdefault(tree, []).append(LeafNode(tree, label, int(leaf), Box(intervals), -value if negated else value))
    return [Tree(label or None, nodes) for nodes in trees.values()]


def _toolbox() -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PyTorch not found", category=UserWarning)
        from art.metrics import verification_decisions_trees
    return verification_decisions_trees
