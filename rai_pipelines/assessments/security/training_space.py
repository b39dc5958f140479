"""The feature space of a training table: ranges, standard deviations and seen categories, computed in its engine, under the declared budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rai_pipelines.assessments.security.feature_space import NONE_OF_THEM, Feature, FeatureSpace, scalar
from rai_pipelines.errors import DataError, DatasheetError
from rai_pipelines.subjects.datasheet import RobustnessBudget
from rai_pipelines.tables.source import TableSource

MAX_CATEGORIES = 1_000


def read_feature_space(
    source: TableSource, names: Sequence[str], *, categorical: Sequence[str], immutable: Sequence[str], budget: RobustnessBudget
) -> FeatureSpace:
    """The inputs `names` of a model as `source` has them and `budget` allows to move them.

    Raises:
        DataError: a column is absent, entirely missing, or categorical with more than 1,000 values; a one-hot column is not 0 or 1.
        DatasheetError: the budget names a column that is no input, or gives a range or a direction to a category.
    """
    source.require(*names)
    schema = source.table().schema()
    members = {name: group for group in budget.one_hot for name in group}
    numeric = [name for name in names if name not in categorical and name not in members and schema[name].is_numeric()]
    _check_declared(budget, names, numeric)
    figures = _figures(source, numeric, budget.one_hot)
    features: list[Feature] = []
    for name in names:
        if name in members:
            if not any(name in feature.members for feature in features):
                features.append(_one_hot(source, members[name], figures, immutable, budget))
        elif name in numeric:
            features.append(_number(source, name, figures[name], budget, mutable=name not in immutable))
        else:
            features.append(_category(name, _seen_values(source, name), budget, mutable=name not in immutable))
    return FeatureSpace(tuple(features), tuple(names), budget.epsilon_linf or math.inf, budget.max_changed_features)


def _check_declared(budget: RobustnessBudget, names: Sequence[str], numeric: Sequence[str]) -> None:
    named = {
        "ranges": budget.ranges,
        "directions": budget.directions,
        "costs": budget.costs,
        "one_hot": [name for part in budget.one_hot for name in part],
    }
    for part, declared in named.items():
        unknown = [name for name in declared if name not in names]
        if unknown:
            raise DatasheetError(
                f"{', '.join(map(repr, unknown))} is no input of the model; its inputs are {', '.join(names)}",
                where=f"robustness.{part}",
                hint="Correct the names in datasheet.yaml",
            )
        if part in ("ranges", "directions"):
            codes = [name for name in declared if name not in numeric]
            if codes:
                raise DatasheetError(
                    f"{', '.join(map(repr, codes))} is a category: its codes have no order",
                    where=f"robustness.{part}",
                    hint="Name numeric inputs only",
                )


def _figures(source: TableSource, numeric: Sequence[str], groups: Sequence[Sequence[str]]) -> dict[str, dict[str, float]]:
    """Per numeric column low, high, standard deviation and values that are not whole; per one-hot group (by its first column) rows by sum."""
    import ibis

    table, schema = source.table(), source.table().schema()
    asked: dict[str, Any] = {"rows": table.count()}
    for position, name in enumerate(numeric):
        column = table[name].isnan().ifelse(ibis.null(table[name].type()), table[name]) if schema[name].is_floating() else table[name]
        amount = column.cast("float64")
        asked |= {
            f"low{position}": amount.min(),
            f"high{position}": amount.max(),
            f"std{position}": amount.std(how="pop"),
            f"broken{position}": (amount != amount.round()).sum(),
        }
    for position, group in enumerate(groups):
        values = [table[name].cast("float64") for name in group]
        proper = [(value == 0) | (value == 1) for value in values]
        total = sum(values[1:], values[0])
        asked |= {
            f"bad{position}": sum((part.fill_null(False).ifelse(0, 1) for part in proper[1:]), proper[0].fill_null(False).ifelse(0, 1)).sum(),
            f"none{position}": (total == 0).sum(),
        }
    found = source.run(table.aggregate(**asked)).iloc[0]
    if found["rows"] == 0:
        raise DataError(f"the {source.name} table is empty", where=source.shown, hint="Check the reference and the query behind it")
    figures = {name: {key: float(found[f"{key}{at}"]) for key in ("low", "high", "std", "broken")} for at, name in enumerate(numeric)}
    return figures | {group[0]: {key: float(found[f"{key}{at}"] or 0) for key in ("bad", "none")} for at, group in enumerate(groups)}


def _number(source: TableSource, name: str, figures: dict[str, float], budget: RobustnessBudget, *, mutable: bool) -> Feature:
    low, high, deviation = figures["low"], figures["high"], figures["std"]
    if not np.isfinite([low, high, deviation]).all():
        raise DataError(f"column {name!r} has no finite value in the {source.name} table", where=source.shown, hint="Drop the feature or fill it")
    low, high = budget.ranges.get(name, (low, high))
    cost = budget.costs.get(name, 1.0)
    step = (deviation if deviation > 0 else 1.0) / cost
    direction = {"increase": 1, "decrease": -1}.get(budget.directions.get(name, ""), 0)
    return Feature(name, low, high, step, figures["broken"] == 0, None, mutable, cost=cost, direction=direction)


def _category(name: str, values: tuple[Any, ...], budget: RobustnessBudget, *, mutable: bool, members: tuple[str, ...] = ()) -> Feature:
    swap = budget.category_step * budget.costs.get(members[0] if members else name, 1.0)
    reachable = swap <= (budget.epsilon_linf or math.inf)
    return Feature(name, 0.0, len(values) - 1.0, 1.0, True, values, mutable and reachable, swap=swap, members=members)


def _one_hot(
    source: TableSource, group: tuple[str, ...], figures: dict[str, dict[str, float]], immutable: Sequence[str], budget: RobustnessBudget
) -> Feature:
    counts = figures[group[0]]
    if counts["bad"]:
        raise DataError(
            f"the one-hot columns {', '.join(group)} have {counts['bad']:,.0f} values other than 0 and 1",
            where=source.shown,
            hint="Correct robustness.one_hot in datasheet.yaml",
        )
    values = (*group, NONE_OF_THEM) if counts["none"] else group
    return _category("|".join(group), values, budget, mutable=not set(group) & set(immutable), members=group)


def _seen_values(source: TableSource, name: str) -> tuple[Any, ...]:
    chosen = source.table().select(v=source.table()[name]).distinct().limit(MAX_CATEGORIES + 2)
    values = [scalar(value) for value in source.run(chosen)["v"]]
    seen = sorted((value for value in values if value is not None), key=lambda value: (str(type(value)), value))
    if not seen:
        raise DataError(f"column {name!r} has no value in the {source.name} table", where=source.shown, hint="Drop the feature or fill it")
    if len(seen) > MAX_CATEGORIES:
        raise DataError(
            f"categorical feature {name!r} has more than {MAX_CATEGORIES:,} values",
            where=source.shown,
            hint="Leave it out of columns.features, or group its values",
        )
    return tuple(seen)
