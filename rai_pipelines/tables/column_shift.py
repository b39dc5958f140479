"""One column in two tables, reduced to counts where they lie: numbers by bins of the reference's ranks, anything else by category.

Everything that is added up is an integer, so that no figure depends on the order in which a parallel engine adds. Grouping and sorting
spill in the engine; at most a few hundred bins or categories leave it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rai_pipelines.errors import DataError
from rai_pipelines.tables.group_keys import without_nan
from rai_pipelines.tables.group_names import group_name
from rai_pipelines.tables.profile import LARGEST_SUMMABLE, SIGNIFICANT_DIGITS, kind_of, whole

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from rai_pipelines.tables.source import TableSource

LARGEST_AMOUNT = 8e307  # two such values still have a difference
LARGEST_INTEGER = 2**63 - 1
MEAN_UNITS = 2**30  # a bin's mean value is a sum of integers in units of range / 2**30
DISTANCE_UNITS = 2.0**80  # the Wasserstein distance is a sum of integers in these units
RANK_BINS = 100
MAX_CATEGORIES = 200


@dataclass(frozen=True)
class NumericBin:
    """Finite values of two samples within one bin; `mean` is over both, `lowest` and `highest` are values that occur."""

    lowest: float
    highest: float
    mean: float
    reference: int
    current: int


@dataclass(frozen=True)
class NumericShift:
    """Two samples of one number.

    `ks` is the largest distance between the two distribution functions, `wasserstein` the area between them in units of the number; both over
    finite values, None where a sample has none. `bins` are in ascending order. Rows without a value, and infinite ones, are counted apart
    as `(reference, current)`.
    """

    reference: int
    current: int
    missing: tuple[int, int]
    infinite: tuple[int, int]
    ks: float | None
    wasserstein: float | None
    bins: tuple[NumericBin, ...]


@dataclass(frozen=True)
class CategoryShift:
    """Two samples of one category.

    `categories` are `(name, reference, current)`, the reference's most frequent first; beyond 200 the rest is in `other` as
    `(reference, current)`. `new_rows` current rows hold one of `new_categories` values that the reference lacks; `singletons` values occur
    once in the reference.
    """

    reference: int
    current: int
    missing: tuple[int, int]
    categories: tuple[tuple[str, int, int], ...]
    other: tuple[int, int]
    new_rows: int
    new_categories: int
    singletons: int


def compare_numbers(
    reference: TableSource, current: TableSource, column: str, *, rank_bins: int = RANK_BINS, edges: Sequence[float] | None = None
) -> NumericShift:
    """A column of numbers, dates or times in two tables; bins hold equal shares of the reference (fewer where values repeat) or lie between `edges`.

    Where the tables lie in different engines, the current table's distinct values travel with their counts. Dates and times are seconds
    since 1970 (instants: the time zone they are told in does not matter). Integers beyond 2**53 are compared as doubles, and values beyond 8e307
    count as infinite.

    Raises:
        DataError: the column is not there, or is no number, date or time; there are too many rows for exact integers.
    """
    both = _both(reference, current, column, as_number)
    figures = reference.run(both.aggregate(**_overview(both))).iloc[0]
    n, m = whole(figures["r"]), whole(figures["c"])
    missing, infinite = ((whole(figures[f"{kind}_r"]), whole(figures[f"{kind}_c"])) for kind in ("missing", "infinite"))
    if n + m == 0:
        return NumericShift(0, 0, missing, infinite, None, None, ())
    if 2 * max(n, 1) * max(m, rank_bins) > LARGEST_INTEGER:
        raise DataError(f"column {column!r} has too many rows for exact ranks ({n:,} and {m:,})", where=reference.shown, hint="Compare a sample")
    low, high = float(figures["low"]), float(figures["high"])
    found = reference.run(_binned(both, n, m, low, high, rank_bins=rank_bins, edges=edges).order_by("b"))
    comparable_samples = n > 0 and m > 0
    apart = sum(int(units) for units in found["units"]) / DISTANCE_UNITS
    return NumericShift(
        reference=n,
        current=m,
        missing=missing,
        infinite=infinite,
        ks=max(whole(value) for value in found["ks"]) / (n * m) if comparable_samples else None,
        wasserstein=apart * (high - low) if comparable_samples else None,
        bins=tuple(_as_bin(row, low, high) for row in found.to_dict("records")),
    )


def compare_categories(
    reference: TableSource, current: TableSource, column: str, *, as_numbers: bool = False, most: int = MAX_CATEGORIES
) -> CategoryShift:
    """A column's values as categories in two tables; `as_numbers` where one holds true and false and the other 1 and 0.

    Raises:
        DataError: the column is not there, or the two types cannot be compared.
    """
    import ibis

    both = _both(reference, current, column, as_number if as_numbers else _category)
    values = both.group_by("v").aggregate(r=both.r.sum().cast("int64"), c=both.c.sum().cast("int64"))
    present = values.filter(values.v.notnull())
    place = ibis.row_number().over(ibis.window(order_by=[present.r.desc(), present.c.desc(), present.v]))
    shown = ibis.ifelse(place < most, present.v, ibis.null(present.v.type()))
    named = present.mutate(name=shown, new=ibis.ifelse(present.r == 0, present.c, 0), is_new=ibis.ifelse(present.r == 0, 1, 0))
    named = named.mutate(once=ibis.ifelse(named.r == 1, 1, 0))
    sums = {key: named[source].sum().cast("int64") for key, source in (("r", "r"), ("c", "c"), ("new", "new"), ("kinds", "is_new"), ("once", "once"))}
    found = reference.run(named.group_by("name").aggregate(**sums)).to_dict("records")
    absent = reference.run(both.aggregate(r=both.r.sum(where=both.v.isnull()), c=both.c.sum(where=both.v.isnull()))).iloc[0]
    rest = [row for row in found if _is_null(row["name"])]
    kept = sorted(
        ((group_name(row["name"]), whole(row["r"]), whole(row["c"])) for row in found if not _is_null(row["name"])),
        key=lambda item: (-item[1], -item[2], item[0]),
    )
    return CategoryShift(
        reference=sum(whole(row["r"]) for row in found),
        current=sum(whole(row["c"]) for row in found),
        missing=(whole(absent["r"]), whole(absent["c"])),
        categories=tuple(kept),
        other=(sum(whole(row["r"]) for row in rest), sum(whole(row["c"]) for row in rest)),
        new_rows=sum(whole(row["new"]) for row in found),
        new_categories=sum(whole(row["kinds"]) for row in found),
        singletons=sum(whole(row["once"]) for row in found),
    )


def as_number(source: TableSource, column: str) -> Any:
    """The column as doubles: numbers and true/false as they are, dates and times as seconds since 1970, NaN as null.

    Raises:
        DataError: it is none of these.
    """
    values = source.table()[column]
    kind = values.type()
    if kind.is_boolean():
        return values.cast("int8").cast("float64")
    if kind.is_numeric():
        return without_nan(values.cast("float64")) + 0.0  # -0.0 is 0.0
    if kind.is_date() or kind.is_timestamp():
        return (values.cast("timestamp") if kind.is_date() else values).epoch_seconds().cast("float64")
    raise DataError(f"column {column!r} is no number, date or time ({kind})", where=source.shown, hint="Compare it as a category")


def spread(source: TableSource, column: str) -> float | None:
    """Standard deviation (n - 1) of the finite values as `as_number` takes them, to 9 significant digits; None with fewer than two."""
    number = source.table().select(v=as_number(source, column))
    found = source.run(number.v.std(where=number.v.abs() < LARGEST_SUMMABLE, how="sample"))
    return float(f"{float(found):.{SIGNIFICANT_DIGITS}g}") if found is not None and math.isfinite(found) else None


def is_amount(source: TableSource, column: str) -> bool:
    """Whether `as_number` takes the column and its values are amounts: true and false are categories."""
    kind = source.table()[column].type()
    return bool(kind.is_numeric() and not kind.is_boolean()) or bool(kind.is_date() or kind.is_timestamp())


def kinds(reference: TableSource, current: TableSource, column: str) -> tuple[str, str]:
    """The families of the two columns' types."""
    return kind_of(reference.table()[column].type()), kind_of(current.table()[column].type())


def _both(reference: TableSource, current: TableSource, column: str, values: Any) -> ir.Table:
    """Distinct values with the counts of both sides (`r`, `c`), one row per side and value."""
    import ibis

    reference.require(column)
    current.require(column)
    beside = current.beside(reference)
    mine, theirs = (_value_counts(source, values(source, column)) for source in (reference, beside or current))
    if beside is None:
        theirs = ibis.memtable(current.to_arrow(theirs))
    return _side(mine, "r", "c", mine.v.type()).union(_side(theirs, "c", "r", mine.v.type()))


def _value_counts(source: TableSource, values: Any) -> ir.Table:
    table = source.table().select(v=values)
    return table.group_by("v").aggregate(k=table.count().cast("int64"))


def _side(counts: ir.Table, mine: str, other: str, kind: Any) -> ir.Table:
    import ibis

    figures = {mine: counts.k, other: ibis.literal(0, "int64")}
    made = counts.select(v=counts.v.cast(kind), r=figures["r"], c=figures["c"])
    return made.cast({name: kind.copy(nullable=True) for name, kind in made.schema().items()})


def _category(source: TableSource, column: str) -> Any:
    """The value itself; numbers as doubles, so that 1 and 1.0 are one category."""
    if source.table()[column].type().is_numeric() and not source.table()[column].type().is_boolean():
        return as_number(source, column)
    return _groupable(source, column)


def _groupable(source: TableSource, column: str) -> Any:
    values = source.table()[column]
    return values if kind_of(values.type()) in {"boolean", "text"} else values.cast("string")


def _infinite(values: Any) -> Any:
    return values.abs() > LARGEST_AMOUNT


def _overview(both: ir.Table) -> dict[str, Any]:
    finite = both.v.notnull() & ~_infinite(both.v)
    figures: dict[str, Any] = {"low": both.v.min(where=finite), "high": both.v.max(where=finite)}
    for side in ("r", "c"):
        figures |= {
            side: both[side].sum(where=finite).cast("int64"),
            f"missing_{side}": both[side].sum(where=both.v.isnull()).cast("int64"),
            f"infinite_{side}": both[side].sum(where=both.v.notnull() & _infinite(both.v)).cast("int64"),
        }
    return figures


def _binned(both: ir.Table, n: int, m: int, low: float, high: float, *, rank_bins: int, edges: Sequence[float] | None) -> ir.Table:
    """Per bin: counts, range and mean, the largest distance of the cumulative counts (times n m), and the area between them."""
    import ibis

    finite = both.filter(both.v.notnull() & ~_infinite(both.v))
    values = finite.group_by("v").aggregate(r=finite.r.sum().cast("int64"), c=finite.c.sum().cast("int64"))
    window = ibis.window(order_by="v", preceding=None, following=0)
    ranked = values.mutate(
        below_r=values.r.sum().over(window).cast("int64"),
        below_c=values.c.sum().over(window).cast("int64"),
        following=values.v.lead().over(ibis.window(order_by="v")),
    )
    ranked = ranked.mutate(apart=(ranked.below_r * m - ranked.below_c * n).abs())
    span = (high - low) or 1.0
    gap = (ranked.following - ranked.v).fill_null(0.0) / span
    units = (ranked.apart.cast("float64") / (float(max(n, 1)) * float(max(m, 1))) * gap * DISTANCE_UNITS).cast("decimal(38, 0)")
    if edges is None:
        first = ((ranked.below_r - ranked.r) * rank_bins) // max(n, 1)
        position = ibis.least(first.cast("int64"), rank_bins - 1)
    else:
        inside = [((ranked.v >= left) & (ranked.v < right), place) for place, (left, right) in enumerate(pairwise(edges))]
        position = ibis.cases((ranked.v < edges[0], -1), *inside, else_=len(edges) - 1).cast("int64")
    place = ((ranked.v - low) / span * MEAN_UNITS).round().cast("int64")
    ranked = ranked.mutate(b=position, units=units, place=(place * (ranked.r + ranked.c)).cast("decimal(38, 0)"))
    return ranked.group_by("b").aggregate(
        r=ranked.r.sum().cast("int64"),
        c=ranked.c.sum().cast("int64"),
        low=ranked.v.min(),
        high=ranked.v.max(),
        place=ranked.place.sum().cast("string"),
        ks=ranked.apart.max(),
        units=ranked.units.sum().cast("string"),
    )


def _as_bin(row: Mapping[str, Any], low: float, high: float) -> NumericBin:
    rows = int(row["r"]) + int(row["c"])
    mean = low + int(row["place"]) / rows * ((high - low) or 1.0) / MEAN_UNITS
    return NumericBin(float(row["low"]), float(row["high"]), float(f"{mean:.12g}"), int(row["r"]), int(row["c"]))


def _is_null(value: Any) -> bool:
    import pandas as pd

    return bool(pd.isna(value))
