"""Count equal rows: within one table (duplicates) and between two (overlap). Values are compared themselves, never only their hashes.

Null equals null here, as in GROUP BY: two records that lack the same field are the same record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rai_pipelines.errors import DataError
from rai_pipelines.tables.profile import comparable, whole
from rai_pipelines.tables.source import TableSource

if TYPE_CHECKING:
    import ibis.expr.types as ir


@dataclass(frozen=True)
class Duplicates:
    """Equal rows of one table: `distinct` value combinations in `rows` rows; `repeated` rows share theirs with another row."""

    rows: int
    distinct: int
    repeated: int

    @property
    def duplicate_share(self) -> float:
        """Share of rows that could be deleted without losing a value combination."""
        return (self.rows - self.distinct) / self.rows if self.rows else 0.0

    @property
    def repeated_share(self) -> float:
        """Share of rows whose values occur in another row too: the chance that an independent draw of the same kind meets a known row."""
        return self.repeated / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class Overlap:
    """Rows of the right table, and how many of them have values that occur in the left one."""

    rows: int
    shared: int

    @property
    def share(self) -> float:
        """`shared / rows`."""
        return self.shared / self.rows if self.rows else 0.0


def duplicate_rows(source: TableSource, columns: Sequence[str] | None = None) -> Duplicates:
    """Equal rows of the table on `columns` (default: all).

    Raises:
        DataError: a column is not there, or the engine refuses.
    """
    names = source.columns if columns is None else tuple(columns)
    _some(source, names)
    source.require(*names)
    table = comparable(source, names)
    groups = table.group_by(list(table.columns)).aggregate(size=table.count())
    row = source.run(groups.aggregate(rows=groups.size.sum(), distinct=groups.count(), repeated=groups.size.sum(where=groups.size > 1))).iloc[0]
    return Duplicates(rows=whole(row["rows"]), distinct=whole(row["distinct"]), repeated=whole(row["repeated"]))


def overlap(left: TableSource, right: TableSource, columns: Sequence[str]) -> Overlap:
    """How many rows of `right` have values on `columns` that occur in `left`.

    Both tables are grouped in one engine (DuckDB for files, the database for two tables of the same database). Across engines, each
    side is grouped where it lies and only distinct combinations with their counts travel. Columns whose types have no common type are
    compared as text.

    Raises:
        DataError: a column is not there, or an engine refuses.
    """
    _some(right, columns)
    left.require(*columns)
    right.require(*columns)
    here, there = same_types(*in_one_engine(left, right, columns))
    both = side(here, "in_left", "in_right").union(side(there, "in_right", "in_left"))
    keys = [name for name in both.columns if name not in {"in_left", "in_right"}]
    groups = both.group_by(keys).aggregate(in_left=both.in_left.sum(), in_right=both.in_right.sum())
    row = left.run(groups.aggregate(rows=groups.in_right.sum(), shared=groups.in_right.sum(where=groups.in_left > 0))).iloc[0]
    return Overlap(rows=whole(row["rows"]), shared=whole(row["shared"]))


def in_one_engine(left: TableSource, right: TableSource, columns: Sequence[str]) -> tuple[ir.Table, ir.Table]:
    neighbour = right.beside(left)
    if neighbour is not None:
        return _counts(left, columns), _counts(neighbour, columns)
    import ibis

    return _counts(left, columns), ibis.memtable(right.to_arrow(_counts(right, columns)))


def _counts(source: TableSource, columns: Sequence[str]) -> ir.Table:
    table = comparable(source, columns)
    return table.group_by(list(table.columns)).aggregate(n=table.count().cast("int64"))


def side(counts: ir.Table, mine: str, other: str) -> ir.Table:
    """Counts with the rows of this side in `mine`, none in `other`; the same schema for both sides."""
    import ibis

    keys = [name for name in counts.columns if name != "n"]
    figures = {mine: counts.n, other: ibis.literal(0, "int64")}
    made = counts.select(*keys, in_left=figures["in_left"], in_right=figures["in_right"])
    return made.cast({name: kind.copy(nullable=True) for name, kind in made.schema().items()})


def same_types(left: ir.Table, right: ir.Table) -> tuple[ir.Table, ir.Table]:
    casts = {name: _common_type(left[name].type(), right[name].type()) for name in left.columns}
    return left.cast(casts), right.cast(casts)


def _common_type(left: Any, right: Any) -> Any:
    import ibis.expr.datatypes as dt
    from ibis.common.exceptions import IbisTypeError

    try:
        return dt.highest_precedence([left, right]).copy(nullable=True)
    except IbisTypeError:
        return dt.string


def _some(source: TableSource, columns: Sequence[str]) -> None:
    if not columns:
        raise DataError(f"no columns were given to compare rows of the {source.name} table on", where=source.reference.rsplit("@", 1)[-1])
