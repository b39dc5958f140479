"""The inputs of a model as an attacker may move them: standardised, within the range and among the values that training has seen.

A row is a vector of numbers: the value of a numeric feature, the code (position in the sorted seen values) of a categorical one, NaN
where it is missing. A missing value stays missing. The columns of a one-hot group are one categorical feature, so that they stay valid.
Made from a table by `training_space`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

NONE_OF_THEM = ""  # the value of a one-hot group whose columns are all 0
ROUNDING = 1e-9


@dataclass(frozen=True)
class Feature:
    """One input, or one group of one-hot inputs (`members`).

    Numeric: `low`..`high` and `step`, the amount that counts as a distance of 1 (the standard deviation over the declared `cost`).
    Categorical: the `values` seen in training; changing it counts as `swap`. `direction` is 1 where it may only rise, -1 where only fall.
    """

    name: str
    low: float
    high: float
    step: float
    integer: bool
    values: tuple[Any, ...] | None
    mutable: bool
    swap: float = 2.0
    cost: float = 1.0
    direction: int = 0
    members: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the table that it is read from."""
        return self.members or (self.name,)

    @property
    def deviation(self) -> float:
        """Standard deviation of training."""
        return self.step * self.cost

    @property
    def movable(self) -> bool:
        """Whether an attack can change it at all."""
        return self.mutable and self.high > self.low


@dataclass(frozen=True)
class FeatureSpace:
    """The features of a model and the rules of moving them. `columns` are the model's inputs in its order.

    `epsilon_linf` is the furthest that one feature may move, `most_changes` the number of features that may change at once.
    """

    features: tuple[Feature, ...]
    columns: tuple[str, ...] = field(default=())
    epsilon_linf: float = math.inf
    most_changes: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names, in the order of vectors."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def movable(self) -> np.ndarray:
        """Positions that an attack may change."""
        return np.flatnonzero([feature.movable for feature in self.features])

    @cached_property
    def step(self) -> np.ndarray:
        """The amount of each feature that counts as 1; for codes, 1."""
        return np.array([feature.step for feature in self.features])

    @cached_property
    def categorical(self) -> np.ndarray:
        """Whether each feature is a code."""
        return np.array([feature.values is not None for feature in self.features])

    @property
    def diameter(self) -> float:
        """A distance that no two rows in range exceed."""
        return float(np.sqrt(sum((one.swap if one.values is not None else (one.high - one.low) / one.step) ** 2 for one in self.features)))

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Rows of the table as vectors, shape (rows, features); a category that training never saw is NaN."""
        return np.column_stack([_encoded(feature, frame) for feature in self.features])

    def known(self, frame: pd.DataFrame, vectors: np.ndarray) -> np.ndarray:
        """Rows that the vectors hold in full: each has a code for every category that is not missing."""
        given = np.column_stack([frame[list(feature.columns)].notna().all(axis=1).to_numpy() for feature in self.features])
        return np.asarray(~(np.isnan(vectors) & given).any(axis=1))

    def decode(self, rows: np.ndarray, like: pd.DataFrame) -> pd.DataFrame:
        """Vectors as rows of the table, with the column types of `like`."""
        import pandas as pd

        columns: dict[str, Any] = {}
        for position, feature in enumerate(self.features):
            columns |= _decoded(feature, rows[:, position], like)
        return pd.DataFrame({name: columns[name] for name in self.columns or columns})

    def bounds(self, origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest value that each feature of rows may be given, shapes of `origin`; NaN where the row has no value."""
        low, high, direction = (np.array([getattr(feature, name) for feature in self.features]) for name in ("low", "high", "direction"))
        fixed = np.array([not feature.movable for feature in self.features])
        reach = np.where(self.categorical, np.inf, self.epsilon_linf * self.step)
        # a row outside the range of training may stay where it is
        lowest = np.where((direction > 0) | fixed, origin, np.maximum(np.minimum(low, origin), origin - reach))
        highest = np.where((direction < 0) | fixed, origin, np.minimum(np.maximum(high, origin), origin + reach))
        return lowest, highest

    def project(self, rows: np.ndarray, origin: np.ndarray) -> np.ndarray:
        """The nearest rows that could exist and that the attacker may make of `origin`.

        In range, whole where whole, seen categories, in the declared direction, no feature further than `epsilon_linf`, at most
        `most_changes` changed (those moved furthest); immutable and missing inputs as in `origin`.
        """
        origin = np.broadcast_to(origin, rows.shape)
        low, high = self.bounds(origin)
        whole = np.array([feature.integer for feature in self.features])
        with np.errstate(invalid="ignore"):
            projected = np.clip(np.where(np.isnan(rows), origin, rows), low, high)
            rounded = np.clip(np.rint(projected), np.ceil(low - ROUNDING), np.floor(high + ROUNDING))
        projected = np.where(whole & (projected != origin), rounded, projected)
        # between two whole numbers there may be no other: then nothing moves
        possible = (projected >= low - ROUNDING) & (projected <= high + ROUNDING)
        return self._fewest(np.where(possible, projected, origin), origin)

    def moves(self, rows: np.ndarray, origin: np.ndarray) -> np.ndarray:
        """How far each feature moved, shape of `rows`: standard deviations times cost; a changed category counts as its `swap`."""
        swap = np.array([feature.swap for feature in self.features])
        gap = np.nan_to_num(rows - origin)
        return np.asarray(np.where(self.categorical, (gap != 0) * swap, np.abs(gap) / self.step))

    def distance(self, rows: np.ndarray, origin: np.ndarray) -> np.ndarray:
        """Euclidean distance over `moves`, shape (rows,)."""
        return np.asarray(np.sqrt((self.moves(rows, origin) ** 2).sum(axis=-1)))

    def reaches(self, epsilon: float) -> bool:
        """Whether a budget of `epsilon` allows any change to any movable feature: one category, or the least amount of a number."""
        least = [
            feature.swap if feature.values is not None else (1.0 / feature.step if feature.integer else 0.0)
            for feature in self.features
            if feature.movable
        ]
        return any(cost <= min(epsilon, self.epsilon_linf) for cost in least)

    def _fewest(self, rows: np.ndarray, origin: np.ndarray) -> np.ndarray:
        if self.most_changes is None or self.most_changes >= len(self.features):
            return rows
        order = np.argsort(-self.moves(rows, origin), axis=-1, kind="stable")
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.broadcast_to(np.arange(rows.shape[-1]), rows.shape), axis=-1)
        return np.where(rank < self.most_changes, rows, origin)


def scalar(value: Any) -> Any:
    """A plain Python value; None for anything missing; whole floats as integers, so that 1.0 in one table is 1 in the other."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or (isinstance(value, float) and math.isnan(value)) or str(value) in {"<NA>", "NaT"}:
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _encoded(feature: Feature, frame: pd.DataFrame) -> np.ndarray:
    if feature.values is None:
        return frame[feature.name].to_numpy(dtype=float, na_value=np.nan)
    codes = {value: float(code) for code, value in enumerate(feature.values)}
    if not feature.members:
        return np.array([codes.get(scalar(value), np.nan) for value in frame[feature.name]], dtype=float)
    given = np.column_stack([frame[name].to_numpy(dtype=float, na_value=np.nan) for name in feature.members])
    hot = np.where(given.sum(axis=1) == 0, codes.get(NONE_OF_THEM, np.nan), given.argmax(axis=1))
    return np.where(np.isin(given, (0.0, 1.0)).all(axis=1) & (given.sum(axis=1) <= 1), hot, np.nan)


def _decoded(feature: Feature, values: np.ndarray, like: pd.DataFrame) -> dict[str, Any]:
    if feature.members:
        unknown = np.isnan(values)
        return {
            name: np.where(unknown, np.nan, values == code) if unknown.any() else (values == code).astype(_plain_kind(like[name].dtype))
            for code, name in enumerate(feature.members)
        }
    kind: Any = like[feature.name].dtype
    if feature.values is None:
        return {feature.name: _numbers(values, kind)}
    numeric = isinstance(kind, np.dtype) and kind.kind in "iuf" and all(isinstance(value, int | float) for value in feature.values)
    if numeric and not np.isnan(values).any():
        return {feature.name: np.array(feature.values, dtype=kind)[values.astype(int)]}
    lookup = np.array([*feature.values, None], dtype=object)
    return {feature.name: _typed(lookup[np.where(np.isnan(values), len(feature.values), values).astype(int)], kind)}


def _numbers(values: np.ndarray, kind: Any) -> Any:
    import pandas as pd

    if np.isnan(values).any() or (isinstance(kind, np.dtype) and kind.kind in "iu" and not _fits(values, kind)):
        return values
    return values.astype(kind) if isinstance(kind, np.dtype) and kind.kind in "iuf" else pd.Series(values).astype(kind)


def _fits(values: np.ndarray, kind: Any) -> bool:
    limits = np.iinfo(kind)
    return not len(values) or bool(values.min() >= limits.min and values.max() <= limits.max)


def _plain_kind(kind: Any) -> Any:
    return kind if isinstance(kind, np.dtype) and kind.kind in "iufb" else float


def _typed(values: np.ndarray, kind: Any) -> Any:
    """Categories in the column type that the model is given elsewhere; objects where a missing value does not fit it."""
    import pandas as pd

    series = pd.Series(values, dtype=object)
    if series.isna().any() and isinstance(kind, np.dtype) and kind.kind in "iub":
        return series.astype(float)
    return series.astype(kind)
