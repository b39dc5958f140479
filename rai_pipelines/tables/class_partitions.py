"""Divide the grouping of a table by its quasi-identifiers into passes, so that memory does not grow with the number of classes.

Every pass reads the table and keeps the rows whose hashed key falls to it. A class lies in one pass whole, so minima, maxima and sums over
passes are those over the table. The number of passes changes memory and time, and no figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from rai_pipelines.tables.source import TableSource

GROUPS_PER_PASS = 1_250_000  # groups that an engine holds at once: about 150 MB of DuckDB's memory for eight keys
HASH_RANGE = 2_147_483_629  # a prime below 2**31: sums of a few products with MULTIPLIER stay below 2**63
MULTIPLIER = 1_000_003
# Engines whose own hash takes every type and null, and 0.0 as -0.0. What Ibis makes of `hash()` goes through a text of bits in DuckDB, and has 32
# bits in Spark, where sums then overflow.
OWN_HASHES = {"duckdb": ("hash", "uint64"), "pyspark": ("xxhash64", "int64")}


def passes(source: TableSource, table: ir.Table, keys: Sequence[str], rows: int, *, groups_by: Sequence[str] = ()) -> Iterator[ir.Table]:
    """`table` (columns ready for GROUP BY, NaN already null) in as many parts as its groups need, none of which divides a class.

    Args:
        source: the table's source, for its engine.
        table: an expression with the columns `keys` and `groups_by`.
        keys: columns whose combination is a class.
        rows: rows of the table; no more groups than that.
        groups_by: further columns of the grouping, for the number of groups.

    A table whose key columns the engine cannot hash is one part; databases other than DuckDB then rely on their own spilling.
    """
    count = 1
    hashed = [column for column in (_hashed(source, table[name]) for name in keys) if column is not None]
    if rows > GROUPS_PER_PASS and hashed:
        fine = [column for column in (_hashed(source, table[name]) for name in (*keys, *groups_by)) if column is not None]
        groups = int(source.run(_mixed(fine).approx_nunique()))
        count = max(1, -(-min(groups, rows) // GROUPS_PER_PASS))
    if count == 1:
        yield table
        return
    part = _mixed(hashed) % count
    for index in range(count):
        yield table.filter(part == index)


def _hashed(source: TableSource, column: Any) -> Any:
    """The column as an integer in 0..HASH_RANGE-1, or None. Equal values have equal hashes; null is 0."""
    import ibis

    dtype = column.type()
    engine = source.table().get_backend().name
    if engine in OWN_HASHES:
        name, returned = OWN_HASHES[engine]
        value = ibis.udf.scalar.builtin(_hash, name=name, signature=((dtype.copy(nullable=True),), returned))(column)
    elif dtype.is_integer():
        value = column.cast("int64").hash()
    elif dtype.is_string():
        value = column.hash()
    else:
        return None
    return ((value % HASH_RANGE).cast("int64") + HASH_RANGE).fill_null(0) % HASH_RANGE


def _hash(value: Any) -> Any:
    """Stands for the function that an engine has."""
    raise NotImplementedError


def _mixed(hashed: Sequence[Any]) -> Any:
    mixed = hashed[0]
    for column in hashed[1:]:
        mixed = (mixed * MULTIPLIER + column) % HASH_RANGE
    return mixed
