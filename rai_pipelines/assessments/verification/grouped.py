"""A linear model with one threshold for each group of people, and proofs of its decisions: within a group it is a linear model with one cut."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.verification import linear_proofs
from rai_pipelines.assessments.verification.certificates import Answer, Certificate
from rai_pipelines.assessments.verification.domain import Asked, Region
from rai_pipelines.assessments.verification.linear import Linear, linear_of
from rai_pipelines.assessments.verification.search import ROUNDING
from rai_pipelines.assessments.verification.tree_dumps import Unsupported
from rai_pipelines.errors import ModelError

METHOD = "closed form of a linear model, group by group"
MOST_CELLS = 200  # of all columns that make groups together
ORDER = (Answer.REFUTED, Answer.UNKNOWN, Answer.PROVED)


@dataclass(frozen=True)
class Cell:
    """Values of one column that belong to one part of a group's name: codes of a category, or a range of numbers, ends included."""

    part: str
    codes: tuple[int, ...] = ()
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class Grouped:
    """Favourable where the linear raw value is above the cut of the row's group; `raw` is what it is above it. There is no score."""

    space: FeatureSpace
    linear: Linear
    cells: Mapping[int, tuple[Cell, ...]]
    cuts: Mapping[str, float]
    fallback: float
    link: str = "none"
    cut: float = 0.0
    rounding: float = ROUNDING

    def raw(self, vectors: np.ndarray) -> np.ndarray:
        """Raw values less the cut of each row's group, shape (rows,)."""
        return np.asarray(self.linear.raw(vectors) - self.cuts_of(vectors))

    def cuts_of(self, vectors: np.ndarray) -> np.ndarray:
        """The cut of each row's group, shape (rows,)."""
        names = np.full(len(vectors), "", dtype=object)
        for at, cells in self.cells.items():
            part = np.full(len(vectors), "nan", dtype=object)
            for cell in cells:
                values = vectors[:, at]
                inside = np.isin(values, cell.codes) if cell.codes else (values >= cell.low) & (values <= cell.high)
                part[inside] = cell.part
            names = names + "/" + part
        return np.array([self.cuts.get(name[1:], self.fallback) for name in names])

    def groups(self, region: Region) -> Iterator[tuple[tuple[int, ...], Region, Linear]]:
        """Each group that the region reaches: its cells by number, the part of the region, and the linear model with its cut."""
        for chosen in product(*(range(len(cells)) for cells in self.cells.values())):
            part: Region | None = region
            for (at, cells), number in zip(self.cells.items(), chosen, strict=True):
                part = _within(part, at, cells[number]) if part is not None else None
            if part is None:
                continue
            name = "/".join(cells[number].part for cells, number in zip(self.cells.values(), chosen, strict=True))
            yield chosen, part, replace(self.linear, space=self.space, cut=self.cuts.get(name, self.fallback))


def grouped_of(answer: Mapping[str, Any], space: FeatureSpace) -> Grouped:
    """The linear model with thresholds of groups that the model's side describes.

    Raises:
        Unsupported: a group is made of a column that is no input, or of a number that has too many values.
        ModelError: what the model's side says is no such model.
    """
    linear = linear_of(answer, space)
    try:
        groups = answer["groups"]
        cuts = {str(name): float(cut) for name, cut in groups["cuts"].items()}
        fallback = float(groups["fallback"])
        bins = {str(name): [float(edge) for edge in edges] for name, edges in groups["bins"].items()}
        names = [str(name) for name in groups["columns"]]
        if not np.isfinite([fallback, *cuts.values(), *(edge for edges in bins.values() for edge in edges)]).all() or not names:
            raise ValueError("thresholds that are no numbers")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"describes its groups with something else ({error})", hint="The model tampers with its process") from error
    cells = {}
    for name in names:
        at = next((at for at, one in enumerate(space.features) if one.name == name and not one.members), None)
        if at is None or at in cells:
            raise Unsupported(f"{name!r}, which makes groups, is no input of its own")
        cells[at] = _cells_of(space, at, bins.get(name))
    if math.prod(len(one) for one in cells.values()) > MOST_CELLS:
        raise Unsupported(f"it has more than {MOST_CELLS} groups")
    return Grouped(space, linear, cells, cuts, fallback)


def prove_decision(form: Grouped, asked: Asked, region: Region, decision: int) -> Certificate:
    """That every decision is the given one, in every group."""
    found = [linear_proofs.prove_decision(linear, asked, part, decision) for _, part, linear in form.groups(region)]
    return _worst(found)


def prove_invariant(form: Grouped, asked: Asked, region: Region, positions: Sequence[int]) -> Certificate:
    """That changing the features, alone or together, changes no decision; groups that they make are changed with them.

    Of every two groups that differ in the features alone: the rest of the raw value would have to lift the one above its cut and leave the other
    below. The features are set as far apart as they go, and the rest has a range.
    """
    groups = list(form.groups(region))
    fixed = [place for place, at in enumerate(form.cells) if at not in positions]
    found = []
    for one, first, above in groups:
        for other, second, below in groups:
            if all(one[place] == other[place] for place in fixed):
                found.append(_between(form, asked, positions, (first, above), (second, below)))
    return _worst(found)


def certified_radius(form: Grouped, row: np.ndarray) -> float:
    """As of a linear model with the cut of the row's group; NaN where a number that can move makes groups."""
    if any(form.space.features[at].movable and form.space.features[at].values is None for at in form.cells):
        return math.nan
    steps = np.array([one.step if one.movable and one.values is None else 0.0 for one in form.space.features])
    pull = float(np.abs(form.linear.slopes * steps).sum())
    return min(abs(float(form.raw(row[None])[0])) / pull, form.space.diameter) if pull > 0 else form.space.diameter


def _between(form: Grouped, asked: Asked, positions: Sequence[int], first: tuple[Region, Linear], second: tuple[Region, Linear]) -> Certificate:
    """Whether a place of the first group can be favourable and the same place, with the features as in the second, unfavourable."""
    (region, above), (elsewhere, below) = first, second
    if above.cut == below.cut and _without_weight(above, positions):
        return Certificate(Answer.PROVED, METHOD)  # the same number against the same cut
    lifted, lowered = above.extreme(region, 1)[1], below.extreme(elsewhere, -1)[1]
    least, most = above.extreme(region, -1)[1], lifted.copy()

    def moved(rest: np.ndarray, features: np.ndarray) -> np.ndarray:
        place = rest.copy()
        place[list(positions)] = features[list(positions)]
        return place

    def odds(rest: np.ndarray) -> tuple[float, float]:
        up, down = moved(rest, lifted), moved(rest, lowered)
        return float(above.raw(up[None])[0]) - above.cut, float(below.raw(down[None])[0]) - below.cut

    start, end = odds(least), odds(most)
    # along the way from least to most both rise alike, by `way`
    way = end[0] - start[0]
    lower, upper = max(0.0, -start[0]), min(way, -start[1])
    if upper < lower - ROUNDING:
        return Certificate(Answer.PROVED, METHOD)
    rest = _raised(form.linear, least, most, positions, (lower + upper) / 2)
    places = np.stack([moved(rest, lifted), moved(rest, lowered)])
    decisions = asked.decisions(places)
    if decisions[0] != decisions[1]:
        return Certificate(Answer.REFUTED, METHOD, places=places)
    return Certificate(Answer.UNKNOWN, METHOD, reason=linear_proofs.UNCONFIRMED)


def _without_weight(linear: Linear, positions: Sequence[int]) -> bool:
    return all(not np.ptp(linear.terms[at]) if at in linear.terms else linear.slopes[at] == 0.0 for at in positions)


def _raised(linear: Linear, least: np.ndarray, most: np.ndarray, positions: Sequence[int], by: float) -> np.ndarray:
    """The place where the features outside of `positions` have raised the raw value by that much, as nearly as they can."""
    here = least.copy()
    for at in sorted((at for at in range(len(here)) if at not in positions), key=lambda at: at not in linear.terms):  # numbers last: they can stop
        further = here.copy()
        further[at] = most[at]
        gain = float(linear.raw(further[None])[0] - linear.raw(here[None])[0])
        if gain <= by:
            here, by = further, by - gain
        elif at not in linear.terms:
            stop = here[at] + (by / gain) * (most[at] - here[at])
            here[at] = np.rint(stop) if linear.space.features[at].integer else stop
            by = 0.0
    return here


def _worst(found: Sequence[Certificate]) -> Certificate:
    worst = min(found, key=lambda one: ORDER.index(one.answer))
    return replace(worst, method=METHOD, nodes=len(found))


def _cells_of(space: FeatureSpace, at: int, edges: Sequence[float] | None) -> tuple[Cell, ...]:
    """What of one column makes one part of a group's name, in the words of the model: `{:g}` of its value, or of the lower edge of its bin."""
    feature = space.features[at]
    if feature.values is not None:
        if not all(isinstance(value, int | float) for value in feature.values):
            raise Unsupported(f"{feature.name!r}, which makes groups, holds no numbers")
        parts: dict[str, list[int]] = {}
        for code, value in enumerate(feature.values):
            parts.setdefault(f"{_edge(float(value), edges):g}", []).append(code)
        return tuple(Cell(part, tuple(codes)) for part, codes in parts.items())
    if edges is not None:
        lows = [-math.inf, *edges[1:-1], edges[-1]] if len(edges) > 1 else [-math.inf]
        highs = [*(float(np.nextafter(edge, -math.inf)) for edge in lows[1:]), math.inf]
        return tuple(Cell(f"{edge:g}", (), low, high) for edge, low, high in zip(edges, lows, highs, strict=True))
    if not feature.integer or feature.high - feature.low >= MOST_CELLS:
        raise Unsupported(f"{feature.name!r}, which makes groups, is a number with too many values")
    return tuple(Cell(f"{value:g}", (), float(value), float(value)) for value in range(int(feature.low), int(feature.high) + 1))


def _edge(value: float, edges: Sequence[float] | None) -> float:
    return value if edges is None else float(np.asarray(edges)[np.clip(np.digitize(value, edges) - 1, 0, len(edges) - 1)])


def _within(region: Region, at: int, cell: Cell) -> Region | None:
    """The part of the region in a cell; None where there is none."""
    if cell.codes:
        codes = tuple(code for code in region.codes[at] if code in cell.codes)
        return replace(region, codes={**region.codes, at: codes}) if codes else None
    low, high = region.low.copy(), region.high.copy()
    low[at], high[at] = max(low[at], cell.low), min(high[at], cell.high)
    if region.space.features[at].integer:
        low[at], high[at] = np.ceil(low[at]), np.floor(high[at])
    return replace(region, low=low, high=high) if low[at] <= high[at] else None
