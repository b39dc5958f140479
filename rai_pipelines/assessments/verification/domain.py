"""The inputs that a statement is about: a range for every number, the codes of every category; nothing missing unless a row has it so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import JsonValue

from rai_pipelines.assessments.security.feature_space import FeatureSpace, scalar
from rai_pipelines.errors import DatasheetError
from rai_pipelines.evidence.canonical import digest_of
from rai_pipelines.subjects.safety_properties import Values

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Region:
    """`low`..`high` of each number in the order of the space (NaN: missing there), and the codes of each category, by position."""

    space: FeatureSpace
    low: np.ndarray
    high: np.ndarray
    codes: Mapping[int, tuple[int, ...]]

    def halves_of_codes(self, at: int) -> list[Region]:
        """Two regions that share the codes of the category at that position."""
        codes = self.codes[at]
        half = len(codes) // 2
        return [replace(self, codes={**self.codes, at: part}) for part in (codes[:half], codes[half:])]

    def position(self, name: str, where: str) -> int:
        """Which feature the input `name` is.

        Raises:
            DatasheetError: the model does not read it.
        """
        for at, feature in enumerate(self.space.features):
            if name == feature.name or name in feature.columns:
                return at
        raise DatasheetError(
            f"{name!r} is no input of the model; its inputs are {', '.join(self.space.columns)}",
            where=where,
            hint="Correct the name in datasheet.yaml",
        )

    def holding(self, at: int, value: float) -> Region:
        """The part where one feature has one value."""
        if self.space.features[at].values is not None:
            return replace(self, codes={**self.codes, at: (int(value),)})
        low, high = self.low.copy(), self.high.copy()
        low[at] = high[at] = value
        return replace(self, low=low, high=high)

    def narrowed(self, when: Mapping[str, tuple[float, float] | Values], where: str) -> Region:
        """The part of which a rule speaks. A range that it gives replaces that of training, so that no rule holds for want of inputs.

        Raises:
            DatasheetError: a name is no input, a category is unknown, or no whole number lies in the range of an input that has only those.
        """
        low, high, codes = self.low.copy(), self.high.copy(), dict(self.codes)
        for name, wanted in when.items():
            at = self.position(name, where)
            feature = self.space.features[at]
            if feature.members:
                raise DatasheetError(
                    f"{name!r} is one of a one-hot group, of which rules cannot speak here", where=where, hint="Leave it out of when"
                )
            if isinstance(wanted, Values) != (feature.values is not None):
                kind = "a number: give [low, high]" if feature.values is None else "a category: give values"
                raise DatasheetError(f"{name!r} is {kind}", where=where, hint="Correct when in datasheet.yaml")
            if isinstance(wanted, Values):
                known = {value: code for code, value in enumerate(feature.values or ())}
                unknown = [value for value in wanted.values if scalar(value) not in known]
                if unknown:
                    raise DatasheetError(f"training has no {unknown[0]!r} in {name!r}", where=where, hint="Correct the values of the rule")
                codes[at] = tuple(sorted(known[scalar(value)] for value in wanted.values))
                continue
            ends = (np.ceil(wanted[0]), np.floor(wanted[1])) if feature.integer else wanted
            if ends[0] > ends[1]:
                raise DatasheetError(f"no whole number lies in the range of {name!r}", where=where, hint="Widen the range of the rule")
            low[at], high[at] = ends
        return replace(self, low=low, high=high, codes=codes)

    def sample(self, rng: np.random.Generator, rows: int) -> np.ndarray:
        """Random vectors of it, shape (rows, features)."""
        columns = []
        for at, feature in enumerate(self.space.features):
            if feature.values is not None:
                columns.append(rng.choice(np.array(self.codes[at], dtype=float), rows))
            else:
                drawn = rng.uniform(self.low[at], self.high[at], rows)
                columns.append(np.clip(np.rint(drawn), self.low[at], self.high[at]) if feature.integer else drawn)
        return np.column_stack(columns)

    @property
    def digest(self) -> str:
        """Of the ranges and categories."""
        described: dict[str, JsonValue] = {
            feature.name: [str(value) for value in np.array(feature.values, dtype=object)[list(self.codes[at])]]
            if feature.values is not None
            else [float(self.low[at]), float(self.high[at])]
            for at, feature in enumerate(self.space.features)
        }
        return digest_of(described)


def whole_domain(space: FeatureSpace) -> Region:
    """Everything between the least and the largest values of training, and every category that it has."""
    low, high = (np.array([getattr(feature, name) for feature in space.features], dtype=float) for name in ("low", "high"))
    return Region(space, low, high, {at: tuple(range(len(one.values))) for at, one in enumerate(space.features) if one.values is not None})


def around(space: FeatureSpace, row: np.ndarray) -> Region:
    """Everything that the threat model of the space lets an attacker make of one row, each feature on its own."""
    low, high = (side[0] for side in space.bounds(row[None]))
    codes = {
        at: tuple(range(len(feature.values))) if feature.movable else (int(row[at]),)
        for at, feature in enumerate(space.features)
        if feature.values is not None
    }
    for at, feature in enumerate(space.features):
        if feature.values is None and feature.integer and feature.movable and not np.isnan(row[at]):
            low[at], high[at] = min(np.ceil(low[at] - 1e-9), row[at]), max(np.floor(high[at] + 1e-9), row[at])
    return Region(space, low, high, codes)


@dataclass(frozen=True)
class Asked:
    """The model itself, asked about vectors: decisions as 0 and 1 (1 is favourable), and scores where it gives any."""

    space: FeatureSpace
    like: pd.DataFrame
    decide: Callable[[Any], np.ndarray]
    score_frame: Callable[[Any], np.ndarray | None]

    def decisions(self, vectors: np.ndarray) -> np.ndarray:
        """1 where the decision is favourable, shape (rows,)."""
        return np.asarray(self.decide(self.space.decode(vectors, self.like)))

    def scores(self, vectors: np.ndarray) -> np.ndarray | None:
        """Scores of the favourable outcome, shape (rows,), or None."""
        return self.score_frame(self.space.decode(vectors, self.like))
