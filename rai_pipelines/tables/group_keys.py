"""What rows are grouped by and weighted with, as expressions for the engine."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from rai_pipelines.errors import DataError
from rai_pipelines.tables.source import TableSource


def group_key(table: Any, name: str, bins: Mapping[str, tuple[float, ...]]) -> Any:
    """The raw value, or for a binned column the number of its bin (-1 outside, null when missing)."""
    import ibis

    column = without_nan(table[name])
    if name not in bins:
        return column
    edges = [float(edge) for edge in bins[name]]
    branches = [((column >= left) & (column < right), position) for position, (left, right) in enumerate(pairwise(edges))]
    return ibis.cases((column.isnull(), ibis.null("int64")), *branches, else_=-1)


def usable_weight(source: TableSource, weight: str) -> Any:
    """The weight as a number; null where it is not a finite one above 0.

    Raises:
        DataError: the column is not there or not numeric.
    """
    import ibis

    source.require(weight)
    column = source.table()[weight]
    if not column.type().is_numeric():
        raise DataError(f"weight column {weight!r} is not numeric ({column.type()})", where=source.shown, hint="Name a column of weights")
    number = without_nan(column.cast("float64"))
    return ibis.ifelse((number > 0) & ~number.isinf(), number, ibis.null("float64"))


def without_nan(column: Any) -> Any:
    """A NaN is a missing value, whatever the file calls it."""
    import ibis

    return column.isnan().ifelse(ibis.null(column.type()), column) if column.type().is_floating() else column
