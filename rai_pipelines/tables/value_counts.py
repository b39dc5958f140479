"""Rows per value of the columns that have few values: many columns in one query, one grouping each.

Grouping a column of few values costs less than counting its distinct values, and every figure of the column follows from the groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from rai_pipelines.tables.source import TableSource

Counts = dict[Any, int]

PREFIX_ROWS = 10_000  # rows by which it is guessed which columns have few values; a wrong guess costs time and changes no figure
FEW = 1_000  # distinct values among them
MOST_GROUPS = 10_000  # groups of a column beyond which it has many values after all
COLUMNS_AT_ONCE = 32  # groupings in one query


def counts_of_few_valued(source: TableSource, table: ir.Table) -> dict[str, Counts]:
    """By column name: rows per value, None for null, for the whole numbers, doubles, flags and texts of `table` that have few values.

    Columns of other types, and those of many values, are left out. Values keep their type; integers are exact.

    Raises:
        DataError: the engine refuses.
    """
    chosen = _guessed(source, table)
    found: dict[str, Counts] = {}
    for start in range(0, len(chosen), COLUMNS_AT_ONCE):
        found |= _grouped(source, table, chosen[start : start + COLUMNS_AT_ONCE])
    return {name: counts for name, counts in found.items() if len(counts) <= MOST_GROUPS}


def _guessed(source: TableSource, table: ir.Table) -> list[str]:
    """Columns that can be grouped and have few values among the first rows."""
    names = [name for name in table.columns if _form(table[name]) is not None]
    if not names:
        return []
    prefix = table.select(*names).limit(PREFIX_ROWS)
    figures = {f"d{position}": prefix[name].nunique() for position, name in enumerate(names)}
    row = source.to_arrow(prefix.aggregate(**figures)).to_pylist()[0]
    return [name for position, name in enumerate(names) if row[f"d{position}"] <= FEW]


def _grouped(source: TableSource, table: ir.Table, names: Sequence[str]) -> dict[str, Counts]:
    import ibis

    forms = {name: _form(table[name]) for name in names}
    kinds = {"i": "int64", "f": "float64", "t": "string"}
    parts = []
    for position, name in enumerate(names):
        column = table[name]
        groups = column.as_table().rename(v=name)
        counted = groups.group_by("v").aggregate(n=groups.count().cast("int64")).limit(MOST_GROUPS + 1)
        value = ibis.ifelse(counted.v, 1, 0) if counted.v.type().is_boolean() else counted.v
        value = ibis.ifelse(counted.v.isnull(), ibis.null("int64"), value) if counted.v.type().is_boolean() else value
        values = {key: value.cast(kind) if forms[name] == key else ibis.null(kind) for key, kind in kinds.items()}
        parts.append(counted.select(c=ibis.literal(position, "int32"), **values, n=counted.n))
    answer = source.to_arrow(ibis.union(*parts) if len(parts) > 1 else parts[0]).to_pydict()
    found: dict[str, Counts] = {name: {} for name in names}
    for position, whole, number, text, rows in zip(answer["c"], answer["i"], answer["f"], answer["t"], answer["n"], strict=True):
        name = names[position]
        value = {"i": whole, "f": number, "t": text}[str(forms[name])]
        if value is not None and table[name].type().is_boolean():
            value = bool(value)
        found[name][value] = found[name].get(value, 0) + rows
    return found


def _form(column: Any) -> str | None:
    """The column of the answer that carries its values without loss; None where there is none."""
    kind = column.type()
    if kind.is_boolean() or (kind.is_integer() and not kind.is_uint64()):
        return "i"
    if kind.is_floating():
        return "f"
    return "t" if kind.is_string() else None
