"""Profile a table: rows and, per column, nulls, distinct values, range and spread; counts of few-valued columns.

NaN counts as null, everywhere in this room: both mean that no value is there. Infinite values are counted apart and kept out of range and mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rai_pipelines.tables.value_counts import Counts, counts_of_few_valued

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir

    from rai_pipelines.tables.source import TableSource

Kind = Literal["numeric", "boolean", "text", "temporal", "other"]
Scalar = str | int | float | bool

VALUES_CAP = 100
LARGEST_SUMMABLE = 1e150  # its square is still a number; engines refuse the whole query otherwise
SIGNIFICANT_DIGITS = 9  # engines add in parallel: the digits behind differ from run to run


@dataclass(frozen=True)
class ColumnProfile:
    """One column in figures.

    `distincts` does not count null. `minimum` and `maximum` are numbers for numeric columns, ISO text for dates and times, and None
    for others. `infinite` counts values that are +-infinity. `values` are (value, rows), most frequent first, without null;
    None when there are more than `values_cap` of them (`values_capped` is then true). Mean and standard deviation leave out values beyond 1e150.
    """

    name: str
    kind: Kind
    dtype: str
    rows: int
    nulls: int
    distincts: int
    infinite: int = 0
    minimum: float | str | None = None
    maximum: float | str | None = None
    mean: float | None = None
    std: float | None = None
    values: tuple[tuple[Scalar, int], ...] | None = None
    values_capped: bool = False

    @property
    def missing_share(self) -> float:
        """Share of rows without a value."""
        return self.nulls / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class TableProfile:
    """Row count and column profiles of one table."""

    rows: int
    columns: Mapping[str, ColumnProfile]


def profile(source: TableSource, columns: Sequence[str] | None = None, *, values_cap: int = VALUES_CAP) -> TableProfile:
    """The profile of `columns` (default: all), counted in the table's engine.

    Columns of few values are grouped, many of them in one query, and all their figures follow from the groups. One more query makes the
    figures of the other columns. Mean and standard deviation (n - 1) are rounded to 9 significant digits.

    Raises:
        DataError: a column is not there, or the engine refuses.
    """
    names = tuple(dict.fromkeys(source.columns if columns is None else columns))
    source.require(*names)
    schema = source.table().schema()
    table = comparable(source, names)
    grouped = counts_of_few_valued(source, table)
    figures: dict[str, Any] = {"rows": table.count()}
    for index, name in enumerate(names):
        if f"c{index}" not in grouped:
            figures |= _figures(table[f"c{index}"], kind_of(schema[name]), index)
    row = source.run(table.aggregate(**figures)).iloc[0].to_dict()
    rows = int(row["rows"])
    found = {}
    for index, name in enumerate(names):
        kind, counts = kind_of(schema[name]), grouped.get(f"c{index}")
        facts = _from_row(row, index) if counts is None else _from_counts(counts, kind)
        distincts = facts["distincts"]
        values = None
        if distincts <= values_cap:
            values = (
                _value_counts(source, table, f"c{index}")
                if counts is None
                else _ordered((as_scalar(v), n) for v, n in counts.items() if v is not None)
            )
        dtype = str(schema[name].copy(nullable=True))
        found[name] = ColumnProfile(name=name, kind=kind, dtype=dtype, rows=rows, values=values, values_capped=distincts > values_cap, **facts)
    return TableProfile(rows=rows, columns=found)


def comparable(source: TableSource, columns: Sequence[str]) -> ir.Table:
    """`columns` of the table as `c0`, `c1`, ..., ready for GROUP BY: NaN is null, and what cannot be grouped is text."""
    table = source.table()
    return table.select(**{f"c{index}": _comparable(table[name]) for index, name in enumerate(columns)})


def kind_of(dtype: dt.DataType) -> Kind:
    """The family of a column type; columns of one family can be compared."""
    if dtype.is_boolean():
        return "boolean"
    if dtype.is_numeric():
        return "numeric"
    if dtype.is_string():
        return "text"
    return "temporal" if dtype.is_temporal() else "other"


def as_scalar(value: Any) -> Scalar:
    """A value out of an engine as a plain Python value; what JSON does not know becomes text."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return value + 0.0  # -0.0 and 0.0 are one group, and engines differ in which of them stands for it
    return value if isinstance(value, str | int | bool) else str(value)


def _comparable(column: Any) -> Any:
    dtype = column.type()
    if dtype.is_floating():
        import ibis

        return ibis.ifelse(column.isnan(), ibis.null(dtype), column)
    return column.cast("string") if kind_of(dtype) == "other" else column


def _figures(column: Any, kind: Kind, index: int) -> dict[str, Any]:
    figures = {f"nulls{index}": column.isnull().sum(), f"distincts{index}": column.nunique()}
    if kind == "numeric":
        number = column.cast("float64")
        finite = ~number.isinf()
        summable = number.abs() < LARGEST_SUMMABLE
        figures |= {
            f"infinite{index}": number.isinf().sum(),
            f"minimum{index}": number.min(where=finite),
            f"maximum{index}": number.max(where=finite),
            f"mean{index}": number.mean(where=summable),
            f"std{index}": number.std(where=summable, how="sample"),
        }
    elif kind == "temporal":
        figures |= {f"minimum{index}": column.min().cast("string"), f"maximum{index}": column.max().cast("string")}
    return figures


def _from_row(row: Mapping[str, Any], index: int) -> dict[str, Any]:
    return {
        "nulls": whole(row[f"nulls{index}"]),
        "distincts": int(row[f"distincts{index}"]),
        "infinite": whole(row.get(f"infinite{index}")),
        "minimum": _edge(row.get(f"minimum{index}")),
        "maximum": _edge(row.get(f"maximum{index}")),
        "mean": _rounded(row.get(f"mean{index}")),
        "std": _rounded(row.get(f"std{index}")),
    }


def _from_counts(counts: Counts, kind: Kind) -> dict[str, Any]:
    """The same figures from rows per value."""
    present = {value: rows for value, rows in counts.items() if value is not None}
    facts: dict[str, Any] = {"nulls": counts.get(None, 0), "distincts": len(present)}
    if kind != "numeric":
        return facts
    finite = [value for value in present if math.isfinite(value)]
    summable = [(float(value), present[value]) for value in finite if abs(value) < LARGEST_SUMMABLE]
    n = sum(rows for _, rows in summable)
    mean = math.fsum(value * rows for value, rows in summable) / n if n else None
    squares = math.fsum(rows * (value - mean) ** 2 for value, rows in summable) if mean is not None else 0.0
    return facts | {
        "infinite": sum(rows for value, rows in present.items() if math.isinf(value)),
        "minimum": _edge(min(finite)) if finite else None,
        "maximum": _edge(max(finite)) if finite else None,
        "mean": _rounded(mean),
        "std": _rounded(math.sqrt(squares / (n - 1))) if n > 1 else None,
    }


def _value_counts(source: TableSource, table: ir.Table, column: str) -> tuple[tuple[Scalar, int], ...]:
    present = table.filter(table[column].notnull())
    frame = source.run(present.group_by(value=present[column]).aggregate(rows=present.count()))
    return _ordered((as_scalar(value), int(rows)) for value, rows in zip(frame["value"], frame["rows"], strict=True))


def _ordered(pairs: Iterable[tuple[Scalar, int]]) -> tuple[tuple[Scalar, int], ...]:
    return tuple(sorted(pairs, key=lambda pair: (-pair[1], str(pair[0]))))


def whole(value: Any) -> int:
    """A count out of an engine, where a sum over no rows is null."""
    return 0 if value is None or math.isnan(value) else int(value)


def _edge(value: Any) -> float | str | None:
    if isinstance(value, str):
        return value
    return float(value) + 0.0 if value is not None and math.isfinite(value) else None


def _rounded(value: Any) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(f"{float(value):.{SIGNIFICANT_DIGITS}g}")
