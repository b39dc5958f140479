"""Count the rows that break conditions on single columns: all conditions of a table in one aggregation, in its engine, over all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rai_pipelines.tables.instants import instant_us
from rai_pipelines.tables.overlap import duplicate_rows
from rai_pipelines.tables.profile import kind_of

if TYPE_CHECKING:
    from rai_pipelines.tables.source import TableSource

Test = Literal["present", "absent", "among", "not_among", "between", "length", "match", "no_match", "unique", "distincts"]
Number = int | float


@dataclass(frozen=True)
class Condition:
    """What every value of `column` should be.

    `among` and `not_among` use `values`; `between` and `length` the limits (microseconds since 1970 for dates and times), which belong to the
    range unless `strict`; `match` and `no_match` search `pattern`. `distincts` breaks in no row: it asks for the number of values.
    """

    column: str
    test: Test
    values: tuple[str | int | float | bool, ...] = ()
    low: Number | None = None
    high: Number | None = None
    strict_low: bool = False
    strict_high: bool = False
    pattern: str = ""


@dataclass(frozen=True)
class Broken:
    """`rows` of the table, `nulls` of them without a value (NaN is none), `unexpected` rows that break the condition, or distinct values."""

    rows: int
    nulls: int
    unexpected: int


def count_unexpected(source: TableSource, conditions: Sequence[Condition]) -> tuple[Broken, ...]:
    """How many rows break each condition. A null breaks none but `present`.

    Raises:
        DataError: a column is not there, or the engine refuses.
    """
    source.require(*dict.fromkeys(condition.column for condition in conditions))
    table = source.table()
    figures: dict[str, Any] = {"rows": table.count()}
    for position, condition in enumerate(conditions):
        value = _value(source, condition)
        figures[f"nulls{position}"] = value.isnull().sum()
        if condition.test == "distincts":
            figures[f"broken{position}"] = value.nunique()
        elif condition.test != "unique":
            figures[f"broken{position}"] = _breaks(value, condition).sum()
    row = source.to_arrow(table.aggregate(**figures)).to_pylist()[0]
    found = []
    for position, condition in enumerate(conditions):
        nulls = int(row[f"nulls{position}"] or 0)
        broken = _repeated(source, condition.column, nulls) if condition.test == "unique" else int(row[f"broken{position}"] or 0)
        found.append(Broken(int(row["rows"]), nulls, broken))
    return tuple(found)


def _value(source: TableSource, condition: Condition) -> Any:
    import ibis

    column = source.table()[condition.column]
    kind = column.type()
    if condition.test == "between" and kind_of(kind) == "temporal":
        return instant_us(source, condition.column)
    if kind.is_floating():
        number = column.cast("float64")
        return ibis.ifelse(number.isnan(), ibis.null("float64"), number)
    return column.cast("float64") if kind.is_decimal() else column


def _breaks(value: Any, condition: Condition) -> Any:
    import ibis

    match condition.test:
        case "present":
            return value.isnull()
        case "absent":
            return value.notnull()
        case "among":
            return value.notin(condition.values) if condition.values else value.notnull()
        case "not_among":
            return value.isin(condition.values) if condition.values else ibis.literal(False)
        case "between" | "length":
            measured = value.length() if condition.test == "length" else value
            sides = []
            if condition.low is not None:
                sides.append(measured <= condition.low if condition.strict_low else measured < condition.low)
            if condition.high is not None:
                sides.append(measured >= condition.high if condition.strict_high else measured > condition.high)
            return sides[0] | sides[1] if len(sides) == 2 else sides[0]
        case "match":
            return ~value.re_search(condition.pattern)
        case "no_match":
            return value.re_search(condition.pattern)
    raise AssertionError(condition.test)


def _repeated(source: TableSource, column: str, nulls: int) -> int:
    """Rows whose value another row has too; nulls are no values."""
    return duplicate_rows(source, [column]).repeated - (nulls if nulls > 1 else 0)
