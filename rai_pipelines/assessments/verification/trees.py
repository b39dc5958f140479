"""One form for every ensemble of trees: leaves over the cells into which its own thresholds cut each input, exact to the last bit.

Between two neighbouring thresholds nothing changes, so a number has finitely many cells; categories that every split treats alike share one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.verification.cuts import before_steps, largest_left
from rai_pipelines.assessments.verification.domain import Region
from rai_pipelines.assessments.verification.preprocessing import stepped
from rai_pipelines.assessments.verification.search import NOWHERE, ROUNDING, Box, Leaves
from rai_pipelines.assessments.verification.tree_dumps import AT_MOST, LEAF, MISSING_AS_ZERO, MISSING_LEFT, ONE_OF, Unsupported
from rai_pipelines.errors import ModelError

MOST_NODES = 500_000
MOST_ROUNDING = 0.01
SINGLE_SCORE = 5e-7  # what a logistic function in single precision may be off
MOST_CLASSES_OF_CODES = 62  # bits of one integer, with room for its sign


@dataclass(frozen=True)
class Grid:
    """Cells of each feature: cell k of a number is what lies above `cuts[k - 1]` and not above `cuts[k]`; `cell_of` each code of a category."""

    space: FeatureSpace
    numbers: tuple[int, ...]
    categories: tuple[int, ...]
    cuts: Mapping[int, np.ndarray]
    cell_of: Mapping[int, np.ndarray]

    def box(self, region: Region) -> Box:
        """The cells that a region reaches."""
        low, high, missing = [], [], []
        for at in self.numbers:
            gone = bool(np.isnan(region.low[at]))
            missing.append(gone)
            low.append(0 if gone else self.cell(at, region.low[at]))
            high.append(0 if gone else self.cell(at, region.high[at]))
        bits = [_bits({int(self.cell_of[at][code]) for code in region.codes[at]}) for at in self.categories]
        return Box(np.array(low, dtype=np.int32), np.array(high, dtype=np.int32), np.array(missing, dtype=bool), np.array(bits, dtype=np.int64))

    def cell(self, at: int, value: float) -> int:
        """Of one number."""
        return int(np.searchsorted(self.cuts[at], value, side="left"))

    def place(self, box: Box, region: Region, near: np.ndarray | None = None) -> np.ndarray:
        """A vector of the region in the given cells, as near to another as can be where one is given."""
        found = np.full(len(self.space.features), np.nan)
        for position, at in enumerate(self.numbers):
            if box.missing[position]:
                continue
            cuts, first, last = self.cuts[at], int(box.low[position]), int(box.high[position])
            least = region.low[at] if first == 0 else max(region.low[at], float(np.nextafter(cuts[first - 1], np.inf)))
            if self.space.features[at].integer and first:
                least = max(region.low[at], float(cuts[first - 1]) + 1)
            most = region.high[at] if last == len(cuts) else min(region.high[at], float(cuts[last]))
            found[at] = most if near is None else min(max(float(near[at]), least), most)
        for position, at in enumerate(self.categories):
            fitting = [code for code in region.codes[at] if int(box.bits[position]) >> int(self.cell_of[at][code]) & 1]
            found[at] = near[at] if near is not None and near[at] in fitting else fitting[0]
        return found


@dataclass(frozen=True)
class Ensemble:
    """Leaves whose sum is the raw value; `score = link(scale * raw)`, favourable above `cut`.

    `rounding` is how far the model's own sum may be from that of the leaves, and `score_rounding` how far its score then still may be off.
    """

    grid: Grid
    leaves: Leaves
    link: str
    scale: float
    cut: float
    used: frozenset[int]
    rounding: float = ROUNDING
    score_rounding: float = 0.0

    def raw(self, vectors: np.ndarray) -> np.ndarray:
        """Raw values, shape (rows,)."""
        everything = np.arange(len(self.leaves.tree))
        boxes = (self.grid.box(_point(self.grid.space, vector)) for vector in vectors)
        return np.array([self.leaves.value[self.leaves.within(box, everything)].sum() for box in boxes])

    def score(self, raw: np.ndarray) -> np.ndarray:
        """Scores of raw values."""
        from scipy.special import expit

        return raw if self.link == "identity" else np.asarray(expit(self.scale * raw))

    def raw_at(self, score: float) -> float:
        """The raw value that has this score; infinite at the ends of the scores and beyond them."""
        if self.link == "identity":
            return score
        return math.copysign(math.inf, score - 0.5) if not 0.0 < score < 1.0 else math.log(score / (1 - score)) / self.scale


def ensemble_of(answer: Mapping[str, Any], nodes: Any, space: FeatureSpace) -> Ensemble:
    """The ensemble that the model's side describes, over the cells of `space`.

    Raises:
        Unsupported: an input is used in a way that the space cannot express.
        ModelError: what the model's side says is no ensemble of trees.
    """
    try:
        table = {
            name: nodes[name].to_pylist()
            for name in ("tree", "kind", "column", "threshold", "missing", "left", "right", "value", "members", "double")
        }
        columns = [_Column.of(item, space) for item in answer["columns"]]
        base, link, scale, cut = float(answer["base"]), str(answer["link"]), float(answer["scale"]), float(answer["cut"])
        own = float(answer.get("rounding", 0.0))
        _check(table, len(columns))
        if not np.isfinite([base, scale, cut]).all() or scale <= 0 or link not in ("identity", "sigmoid", "none") or not 0 <= own < MOST_ROUNDING:
            raise ValueError("base, scale, link, cut or rounding")
    except (KeyError, TypeError, ValueError, IndexError, StopIteration) as error:
        raise ModelError(f"describes its trees with something else ({error})", hint="The model tampers with its process") from error
    grid = _grid(table, columns, space, single=answer.get("single") is True)
    leaves = _leaves(table, columns, grid, single=answer.get("single") is True)
    everywhere = _full(grid)
    whole = Leaves(
        np.array([-1]), everywhere.low[None], everywhere.high[None], np.ones((1, len(grid.numbers)), bool), everywhere.bits[None], np.array([base])
    )
    joined = Leaves(*(np.concatenate([getattr(whole, name), getattr(leaves, name)]) for name in ("tree", "low", "high", "missing", "bits", "value")))
    used = frozenset(columns[column].at for column, kind in zip(table["column"], table["kind"], strict=True) if kind != LEAF)
    return Ensemble(grid, joined, link, scale, cut, used, ROUNDING + own, SINGLE_SCORE if own > 0 else 0.0)


@dataclass(frozen=True)
class _Column:
    """A column of the trees: the feature that it is made of, for categories its number for each code, for numbers how they are scaled."""

    at: int
    numbers: np.ndarray | None
    steps: Sequence[Sequence[Any]] = ()

    @staticmethod
    def of(item: Mapping[str, Any], space: FeatureSpace) -> _Column:
        source, codes = str(item["source"]), item["codes"]
        at = next(at for at, feature in enumerate(space.features) if source in feature.columns)
        feature = space.features[at]
        stepped(np.zeros(1), item["steps"])
        if feature.values is None:
            if codes is not None:
                raise Unsupported(f"the model reads {source!r} as a category: name it in columns.categorical_features")
            return _Column(at, None, item["steps"])
        return _Column(at, numbers_of(item, feature.values, feature.members))


def numbers_of(item: Mapping[str, Any], values: Sequence[Any], members: Sequence[str]) -> np.ndarray:
    """The number that a column has for each value of a category.

    Raises:
        Unsupported: there is none for a value that training has.
    """
    if members:
        return stepped(np.array([float(place == members.index(str(item["source"]))) for place in range(len(values))]), item["steps"])
    if item["codes"] is None:
        if not all(isinstance(value, int | float) for value in values):
            raise Unsupported(f"{item['source']!r} holds texts and the model does not say how it reads them")
        return stepped(np.array(values, dtype=float), item["steps"])
    known = {value: float(number) for value, number in item["codes"]}
    if any(value not in known for value in values):
        raise Unsupported(f"the model's encoder does not know every category of {item['source']!r}")
    return np.array([known[value] for value in values])


def _check(table: Mapping[str, list[Any]], columns: int) -> None:
    """Children come after their parent and have one; a tree's nodes lie together; numbers are finite."""
    size = len(table["kind"])
    if not 0 < size <= MOST_NODES:
        raise ValueError(f"{size} nodes")
    seen: set[int] = set()
    for at, kind in enumerate(table["kind"]):
        if kind not in (LEAF, AT_MOST, ONE_OF) or not 0 <= table["column"][at] < columns or not math.isfinite(table["value"][at]):
            raise ValueError(f"node {at}")
        if math.isnan(table["threshold"][at]) or (at and table["tree"][at] < table["tree"][at - 1]) or table["tree"][at] < 0:
            raise ValueError(f"node {at}")
        if kind != LEAF:
            for child in (table["left"][at], table["right"][at]):
                if not at < child < size or child in seen or table["tree"][child] != table["tree"][at]:
                    raise ValueError(f"child {child}")
                seen.add(child)
    if size - len(seen) != len(set(table["tree"])):
        raise ValueError("a tree with several roots")


def _grid(table: Mapping[str, list[Any]], columns: Sequence[_Column], space: FeatureSpace, *, single: bool) -> Grid:
    cuts: dict[int, set[float]] = {at: set() for at, one in enumerate(space.features) if one.values is None}
    routes: dict[int, set[tuple[bool, ...]]] = {at: set() for at, one in enumerate(space.features) if one.values is not None}
    for node, kind in enumerate(table["kind"]):
        if kind == LEAF:
            continue
        column = columns[table["column"][node]]
        if column.numbers is not None:
            routes[column.at].add(tuple(_left(table, node, column.numbers, single=single).tolist()))
        elif kind == ONE_OF:
            raise Unsupported(f"the model reads {space.features[column.at].name!r} as a category: name it in columns.categorical_features")
        else:
            cuts[column.at].add(_node_cut(table, node, column, space, single=single))
    cell_of = {}
    for at, patterns in routes.items():
        codes = np.array(sorted(patterns), dtype=bool).reshape(len(patterns), len(space.features[at].values or ()))
        _, cells = np.unique(codes.T, axis=0, return_inverse=True) if len(patterns) else (None, np.zeros(codes.shape[1], dtype=int))
        if cells.max() >= MOST_CLASSES_OF_CODES:
            raise Unsupported(f"the trees tell more than {MOST_CLASSES_OF_CODES} categories of {space.features[at].name!r} apart")
        cell_of[at] = np.ravel(cells)
    return Grid(space, tuple(cuts), tuple(routes), {at: np.array(sorted(values)) for at, values in cuts.items()}, cell_of)


def _left(table: Mapping[str, list[Any]], node: int, numbers: np.ndarray, *, single: bool) -> np.ndarray:
    """Which codes of a category go left."""
    if table["kind"][node] == ONE_OF:
        return np.isin(numbers.astype(np.int64), table["members"][node]) & (numbers >= 0)
    rounded = single and not table["double"][node]
    return np.asarray((numbers.astype(np.float32).astype(float) if rounded else numbers) <= table["threshold"][node])


def _node_cut(table: Mapping[str, list[Any]], node: int, column: _Column, space: FeatureSpace, *, single: bool) -> float:
    rounded = single and not table["double"][node]
    integer = space.features[column.at].integer
    largest = before_steps(largest_left(table["threshold"][node], single=rounded), column.steps)
    return math.floor(largest) if integer and math.isfinite(largest) else largest


def _leaves(table: Mapping[str, list[Any]], columns: Sequence[_Column], grid: Grid, *, single: bool) -> Leaves:
    number_at = {at: position for position, at in enumerate(grid.numbers)}
    category_at = {at: position for position, at in enumerate(grid.categories)}
    found: list[tuple[int, Box, float]] = []
    children = {child for side in ("left", "right") for child, kind in zip(table[side], table["kind"], strict=True) if kind != LEAF}
    waiting = [(root, _full(grid)) for root in reversed(range(len(table["kind"]))) if root not in children]
    while waiting:
        node, box = waiting.pop()
        if table["kind"][node] == LEAF:
            found.append((table["tree"][node], box, table["value"][node]))
            continue
        column = columns[table["column"][node]]
        low, high, missing, bits = ([part.copy() for _ in range(2)] for part in (box.low, box.high, box.missing, box.bits))
        if column.numbers is None:
            position = number_at[column.at]
            cut = grid.cell(column.at, _node_cut(table, node, column, grid.space, single=single))
            high[0][position], low[1][position] = min(box.high[position], cut), max(box.low[position], cut + 1)
            way = table["missing"][node]
            goes_left = table["threshold"][node] >= 0.0 if way == MISSING_AS_ZERO else way == MISSING_LEFT
            missing[0 if not goes_left else 1][position] = False
        else:
            position = category_at[column.at]
            left = _left(table, node, column.numbers, single=single)
            inside = _bits(set(grid.cell_of[column.at][left].tolist()))
            bits[0][position] &= inside
            bits[1][position] &= ~inside
        waiting += [(table[name][node], Box(low[side], high[side], missing[side], bits[side])) for side, name in ((1, "right"), (0, "left"))]
    return _stacked(found)


def _stacked(found: Sequence[tuple[int, Box, float]]) -> Leaves:
    trees, boxes, values = zip(*found, strict=True)
    low, high, missing, bits = (np.array([getattr(box, name) for box in boxes]) for name in ("low", "high", "missing", "bits"))
    empty = low > high
    low[empty], high[empty] = NOWHERE, -1  # only a missing number can get there
    return Leaves(np.array(trees), low, high, missing, bits, np.array(values, dtype=float))


def _full(grid: Grid) -> Box:
    high = np.array([len(grid.cuts[at]) for at in grid.numbers], dtype=np.int32)
    bits = np.array([_bits(set(grid.cell_of[at].tolist())) for at in grid.categories], dtype=np.int64)
    return Box(np.zeros(len(high), dtype=np.int32), high, np.ones(len(high), dtype=bool), bits)


def _bits(cells: set[int]) -> int:
    return sum(1 << int(cell) for cell in cells)


def _point(space: FeatureSpace, vector: np.ndarray) -> Region:
    return Region(space, vector, vector, {at: (int(vector[at]),) for at, one in enumerate(space.features) if one.values is not None})
