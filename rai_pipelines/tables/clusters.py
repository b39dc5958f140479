"""Rows that repeat people: sums over units (persons, households) of products of their cells, counted inside the engine.

From these second moments follows the variance of any rate as if the units had been drawn, not the rows; no unit leaves the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rai_pipelines.errors import DataError
from rai_pipelines.tables.contingency import SIGNIFICANT_DIGITS
from rai_pipelines.tables.group_checks import favourable_values
from rai_pipelines.tables.group_keys import group_key, usable_weight, without_nan
from rai_pipelines.tables.group_names import named_groups
from rai_pipelines.tables.source import TableSource

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

CELLS = 6  # TP, FN, FP, TN, selected without label, rejected without label


@dataclass(frozen=True)
class UnitMoments:
    """Groups of one attribute or intersection: their names (a column per attribute), `units` with shape (groups,), weights `mass` in each
    cell (groups, 6), and `moments` (groups, 6, 6)."""

    groups: pd.DataFrame
    units: np.ndarray
    mass: np.ndarray
    moments: np.ndarray


def unit_moments(
    source: TableSource,
    *,
    attributes: Sequence[str],
    bins: Mapping[str, tuple[float, ...]],
    label: str | None,
    prediction: str,
    favourable: str,
    unit: str,
    weight: str | None = None,
) -> UnitMoments:
    """Moments over the units of every group of the intersection of `attributes`; a unit with rows in two groups counts in both.

    Raises:
        DataError: the table lacks a column, or a row does not say whose it is.
    """
    import numpy as np

    source.require(*attributes, prediction, unit, *([label] if label is not None else []))
    table = source.table()
    unnamed = int(source.run(without_nan(table[unit]).isnull().sum()) or 0)
    if unnamed:
        raise DataError(
            f"unit column {unit!r} is empty in {unnamed:,} rows", where=source.shown, hint="Say whose row each one is, or declare no unit_id"
        )
    keys = {f"a{position}": group_key(table, name, bins) for position, name in enumerate(attributes)}
    amount = usable_weight(source, weight) if weight is not None else 1
    cell = _cell(source, label, prediction, favourable)
    chosen = table.select(**keys, u=table[unit], c=cell, w=amount)
    by_unit = chosen.group_by([*keys, "u"]).aggregate(
        **{f"s{index}": chosen["w"].sum(where=chosen["c"] == index).coalesce(0) for index in range(CELLS)}
    )
    figures: dict[str, Any] = {"units": by_unit.count()} | {f"t{i}": by_unit[f"s{i}"].sum() for i in range(CELLS)}
    figures |= {f"m{i}{j}": (by_unit[f"s{i}"] * by_unit[f"s{j}"]).sum() for i in range(CELLS) for j in range(i, CELLS)}
    found = source.run(by_unit.group_by(list(keys)).aggregate(**figures))
    names = named_groups(found, list(attributes), bins)
    moments = np.zeros((len(found), CELLS, CELLS))
    for i in range(CELLS):
        for j in range(i, CELLS):
            moments[:, i, j] = moments[:, j, i] = _rounded(found[f"m{i}{j}"])
    mass = np.stack([_rounded(found[f"t{i}"]) for i in range(CELLS)], axis=1)
    import pandas as pd

    return UnitMoments(pd.DataFrame(names), found["units"].to_numpy(dtype=np.int64), mass, moments)


def _cell(source: TableSource, label: str | None, prediction: str, favourable: str) -> Any:
    """The cell of a row as an expression; the spelling of outcomes is that of `count_groups`."""
    import ibis

    selected = _is_favourable(source, prediction, favourable)
    if label is None:
        return ibis.ifelse(selected, 4, 5)
    truth = without_nan(source.table()[label])
    positive = _is_favourable(source, label, favourable)
    return ibis.cases((truth.isnull(), ibis.ifelse(selected, 4, 5)), (positive, ibis.ifelse(selected, 0, 1)), else_=ibis.ifelse(selected, 2, 3))


def _is_favourable(source: TableSource, name: str, favourable: str) -> Any:
    import ibis

    column = without_nan(source.table()[name])
    matching = favourable_values(source, name, favourable)
    return column.isin(matching) if matching else ibis.literal(False)


def _rounded(values: pd.Series) -> np.ndarray:
    """Engines add in parallel: the digits behind the twelfth differ from run to run where weights are fractions."""
    import numpy as np

    return np.array([float(f"{float(value):.{SIGNIFICANT_DIGITS}g}") for value in values])
