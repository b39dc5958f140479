"""The counts of every group of an attribute or intersection: the table of `tables.contingency` collapsed along its lattice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rai_pipelines.tables.group_names import JOIN

if TYPE_CHECKING:
    import pandas as pd

CELLS = 6
TP, FN, FP, TN, SELECTED_UNLABELLED, REJECTED_UNLABELLED = range(CELLS)


@dataclass(frozen=True)
class GroupCounts:
    """The cells of every group of one attribute or intersection; `cells` are rows and have shape (groups, 6), groups sorted by name.

    With weights or units: `mass` are the weights of the rows in the cells, shape (groups, 6); `moments` the sums over units of products of their
    cells, shape (groups, 6, 6); `units` the number of units, shape (groups,), None where every row is one. `values` as `values_of_groups`.
    """

    attribute: str
    parts: tuple[str, ...]
    groups: tuple[str, ...]
    cells: np.ndarray
    mass: np.ndarray | None = None
    moments: np.ndarray | None = None
    units: np.ndarray | None = None
    values: tuple[tuple[str, ...], ...] = ()

    @property
    def values_of_groups(self) -> tuple[tuple[str, ...], ...]:
        """The value of each attribute in each group, in the order of `parts`; a name alone does not tell them where a value has JOIN in it."""
        return self.values or tuple((group,) if len(self.parts) == 1 else tuple(group.split(JOIN)) for group in self.groups)

    @property
    def figures(self) -> np.ndarray:
        """What rates are made of: weights where there are any, rows otherwise."""
        return self.cells if self.mass is None else self.mass

    @property
    def labelled(self) -> int:
        """Rows with a label."""
        return int(self.cells[:, :4].sum())

    def only(self, keep: np.ndarray) -> GroupCounts:
        """The groups where `keep`, shape (groups,), is true."""
        chosen = tuple(group for group, kept in zip(self.groups, keep, strict=True) if kept)
        mass, moments, units = (None if part is None else part[keep] for part in (self.mass, self.moments, self.units))
        values = tuple(value for value, kept in zip(self.values, keep, strict=True) if kept) if self.values else ()
        return GroupCounts(self.attribute, self.parts, chosen, self.cells[keep], mass, moments, units, values)


def lattice(attributes: Sequence[str], depth: int) -> Iterator[tuple[str, ...]]:
    """Every attribute, then every combination of two, and so on up to `depth`."""
    for size in range(1, min(depth, len(attributes)) + 1):
        yield from itertools.combinations(attributes, size)


def group_counts(counts: pd.DataFrame, attributes: Sequence[str], *, depth: int) -> list[GroupCounts]:
    """The table of `count_groups` collapsed to every attribute and to every intersection of up to `depth` attributes.

    With the columns `weight` and `weight_squares` each row is a unit of its own.
    """
    import pandas as pd

    cell, rows = _cell_of(counts), counts["count"].to_numpy(dtype=np.int64)
    weighted = "weight" in counts.columns
    factorized = {name: pd.factorize(counts[name].astype(str), sort=True) for name in attributes}
    codes = {name: (numbers, np.asarray(values, dtype=object)) for name, (numbers, values) in factorized.items()}
    collapsed = []
    for parts in lattice(attributes, depth):
        groups, position, values = _named(parts, codes)
        shape = (len(groups), CELLS)
        cells = np.zeros(shape, dtype=np.int64)
        np.add.at(cells, (position, cell), rows)
        mass = moments = None
        if weighted:
            mass, squares = np.zeros(shape), np.zeros(shape)
            np.add.at(mass, (position, cell), counts["weight"].to_numpy(dtype=float))
            np.add.at(squares, (position, cell), counts["weight_squares"].to_numpy(dtype=float))
            moments = squares[:, :, None] * np.eye(CELLS)[None]
        collapsed.append(GroupCounts(JOIN.join(parts), parts, groups, cells, mass, moments, None, values))
    return collapsed


def rows(cells: np.ndarray) -> np.ndarray:
    """All rows of a group."""
    return np.asarray(cells.sum(axis=-1))


def selected(cells: np.ndarray) -> np.ndarray:
    """Rows with the favourable decision, labelled or not."""
    return np.asarray(cells[..., TP] + cells[..., FP] + cells[..., SELECTED_UNLABELLED])


def positives(cells: np.ndarray) -> np.ndarray:
    """Labelled rows whose true outcome is favourable."""
    return np.asarray(cells[..., TP] + cells[..., FN])


def negatives(cells: np.ndarray) -> np.ndarray:
    """Labelled rows whose true outcome is not."""
    return np.asarray(cells[..., FP] + cells[..., TN])


def _named(parts: Sequence[str], codes: dict[str, tuple[np.ndarray, np.ndarray]]) -> tuple[tuple[str, ...], np.ndarray, tuple[tuple[str, ...], ...]]:
    """Names of the groups that occur, sorted; the group of each row of the table; and the values behind each name."""
    combined = np.zeros(len(codes[parts[0]][0]), dtype=np.int64)
    for part in parts:
        combined = combined * len(codes[part][1]) + codes[part][0]
    occurring, first, position = np.unique(combined, return_index=True, return_inverse=True)
    values = [tuple(str(codes[part][1][codes[part][0][row]]) for part in parts) for row in first]
    order = sorted(range(len(occurring)), key=lambda at: (JOIN.join(values[at]), values[at]))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return tuple(JOIN.join(values[at]) for at in order), place[position], tuple(values[at] for at in order)


def _cell_of(counts: pd.DataFrame) -> np.ndarray:
    """The cell number of each row of the contingency table."""
    label = counts["label"].to_numpy(dtype=float, na_value=np.nan)
    decision = counts["prediction"].to_numpy(dtype=int)
    return np.select([label == 1, label == 0], [np.where(decision == 1, TP, FN), np.where(decision == 1, FP, TN)], np.where(decision == 1, 4, 5))
