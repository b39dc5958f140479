"""The inputs of a model as an attacker may move them: standardised, within the range and among the values that training has seen.

A row is a vector of numbers: the value of a numeric feature, the code (position in the sorted seen values) of a categorical one, NaN
where it is missing. A missing value stays missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_pipelines.errors import DataError
from rai_pipelines.tables.source import TableSource

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 1_000


@dataclass(frozen=True)
class Feature:
    """One input. Numeric: `low`..`high` and `step` (the standard deviation) from training; categorical: the `values` seen in training."""

    name: str
    low: float
    high: float
    step: float
    integer: bool
    values: tuple[Any, ...] | None
    mutable: bool

    @property
    def movable(self) -> bool:
        """Whether an attack can change it at all."""
        return self.mutable and self.high > self.low


@dataclass(frozen=True)
class FeatureSpace:
    """The features of a model in its order. Codes have no amount: one changed category counts as `category_step` standard deviations."""

    features: tuple[Feature, ...]
    category_step: float = 2.0

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the model's order."""
        return tuple(feature.name for feature in self.features)

    @property
    def movable(self) -> np.ndarray:
        """Positions that an attack may change."""
        return np.flatnonzero([feature.movable for feature in self.features])

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Rows of the table as vectors, shape (rows, features); a category that training never saw is NaN."""
        columns = []
        for feature in self.features:
            if feature.values is None:
                columns.append(frame[feature.name].to_numpy(dtype=float, na_value=np.nan))
            else:
                codes = {value: float(code) for code, value in enumerate(feature.values)}
                columns.append(np.array([codes.get(_scalar(value), np.nan) for value in frame[feature.name]], dtype=float))
        return np.column_stack(columns)

    def decode(self, rows: np.ndarray, like: pd.DataFrame) -> pd.DataFrame:
        """Vectors as rows of the table, with the column types of `like`."""
        import pandas as pd

        columns: dict[str, Any] = {}
        for position, feature in enumerate(self.features):
            values: Any = rows[:, position]
            if feature.values is not None:
                lookup = np.array([*feature.values, None], dtype=object)
                values = lookup[np.where(np.isnan(values), len(feature.values), values).astype(int)]
            kind = like[feature.name].dtype
            if feature.values is None and not np.isnan(values).any():
                columns[feature.name] = values.astype(kind) if isinstance(kind, np.dtype) and kind.kind in "iuf" else pd.Series(values).astype(kind)
            elif feature.values is not None:
                columns[feature.name] = _typed(values, kind)
            else:
                columns[feature.name] = values
        return pd.DataFrame(columns)

    def project(self, rows: np.ndarray, origin: np.ndarray) -> np.ndarray:
        """The nearest rows that could exist: in range, whole where whole, seen categories; immutable and missing inputs as in `origin`."""
        projected = np.where(np.isnan(rows), origin, rows)
        low, high, whole, fixed = self._limits()
        projected = np.clip(projected, np.minimum(low, origin), np.maximum(high, origin))
        projected = np.where(whole, np.rint(projected), projected)
        return np.where(fixed | np.isnan(origin), origin, projected)

    def distance(self, rows: np.ndarray, origin: np.ndarray) -> np.ndarray:
        """Euclidean distance in standard deviations of the training data; a changed category counts as `category_step`."""
        categorical = np.array([feature.values is not None for feature in self.features])
        step = np.array([feature.step for feature in self.features])
        gap = np.nan_to_num(rows - origin)
        scaled = np.where(categorical, (gap != 0) * self.category_step, gap / step)
        return np.asarray(np.sqrt((scaled**2).sum(axis=-1)))

    def reaches(self, epsilon: float) -> bool:
        """Whether a budget of `epsilon` allows any change to any movable feature: one category, or the least amount of a number."""
        least = [
            self.category_step if feature.values is not None else (1.0 / feature.step if feature.integer else 0.0)
            for feature in self.features
            if feature.movable
        ]
        return any(cost <= epsilon for cost in least)

    def _limits(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        low, high = (np.array([getattr(feature, name) for feature in self.features]) for name in ("low", "high"))
        whole = np.array([feature.integer for feature in self.features])
        return low, high, whole, np.array([not feature.movable for feature in self.features])


def read_feature_space(
    source: TableSource, names: Sequence[str], *, categorical: Sequence[str], immutable: Sequence[str], category_step: float
) -> FeatureSpace:
    """Ranges, standard deviations and seen categories of the training table, computed in its engine over all rows.

    Raises:
        DataError: a column is absent, entirely missing, or categorical with more than 1,000 values.
    """
    import ibis

    source.require(*names)
    table, schema = source.table(), source.table().schema()
    numeric = [name for name in names if name not in categorical and schema[name].is_numeric()]
    figures: dict[str, Any] = {"rows": table.count()}
    for position, name in enumerate(numeric):
        column = table[name].isnan().ifelse(ibis.null(table[name].type()), table[name]) if schema[name].is_floating() else table[name]
        amount = column.cast("float64")
        figures |= {
            f"low{position}": amount.min(),
            f"high{position}": amount.max(),
            f"std{position}": amount.std(how="pop"),
            f"broken{position}": (amount != amount.round()).sum(),
        }
    found = source.run(table.aggregate(**figures)).iloc[0]
    if found["rows"] == 0:
        raise DataError(f"the {source.name} table is empty", where=source.reference, hint="Check the reference and the query behind it")
    features = []
    for name in names:
        mutable = name not in immutable
        if name not in numeric:
            values = _seen_values(source, name)
            features.append(Feature(name, 0.0, len(values) - 1.0, 1.0, True, values, mutable))
            continue
        position = numeric.index(name)
        low, high, deviation, broken = (float(found[f"{key}{position}"]) for key in ("low", "high", "std", "broken"))
        if not np.isfinite([low, high, deviation]).all():
            raise DataError(
                f"column {name!r} has no finite value in the {source.name} table", where=source.reference, hint="Drop the feature or fill it"
            )
        features.append(Feature(name, low, high, deviation if deviation > 0 else 1.0, broken == 0, None, mutable))
    return FeatureSpace(tuple(features), category_step)


def _seen_values(source: TableSource, name: str) -> tuple[Any, ...]:
    chosen = source.table().select(v=source.table()[name]).distinct().limit(MAX_CATEGORIES + 2)
    values = [_scalar(value) for value in source.run(chosen)["v"]]
    seen = sorted((value for value in values if value is not None), key=lambda value: (str(type(value)), value))
    if not seen:
        raise DataError(f"column {name!r} has no value in the {source.name} table", where=source.reference, hint="Drop the feature or fill it")
    if len(seen) > MAX_CATEGORIES:
        raise DataError(
            f"categorical feature {name!r} has more than {MAX_CATEGORIES:,} values",
            where=source.reference,
            hint="Leave it out of columns.features, or group its values",
        )
    return tuple(seen)


def _scalar(value: Any) -> Any:
    """A plain Python value; None for anything missing; whole floats as integers, so that 1.0 in one table is 1 in the other."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or (isinstance(value, float) and math.isnan(value)) or str(value) in {"<NA>", "NaT"}:
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _typed(values: np.ndarray, kind: Any) -> Any:
    """Categories in the column type that the model is given elsewhere; objects where a missing value does not fit it."""
    import pandas as pd

    series = pd.Series(values, dtype=object)
    if series.isna().any() and isinstance(kind, np.dtype) and kind.kind in "iub":
        return series.astype(float)
    return series.astype(kind)
