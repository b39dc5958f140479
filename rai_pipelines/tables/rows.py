"""Rows told apart by content, inside the engine: the digest of a table that is no file, and a sample that does not depend on row order.

A SQL table has no order. Whatever depends on which row is which therefore goes by a hash of the row's values. Engines write values as
text each in their own way, so digests and samples compare within one engine, not between two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rai_pipelines.evidence.canonical import digest_of

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

BUCKET_DIGITS = 3  # 4,096 buckets of row hashes: few enough to fetch, small enough to sort
_ROW, _COPY, _DRAW = "__rai_row", "__rai_copy", "__rai_draw"


def digest_of_rows(table: ir.Table, run: Callable[[Any], pd.DataFrame]) -> str:
    """`rows-sha256:` over column names, types and the multiset of rows: the same content in any order has the same digest.

    The rows are hashed and combined inside the engine; at most 4,096 hashes leave it. It costs about as much as sorting
    the table once (10 s for a million rows on two busy cores).
    """
    engine = table.get_backend().name
    hashed = table.select(row=_sha256(_row_text(table, engine), engine))
    hashed = hashed.mutate(bucket=hashed.row.substr(0, BUCKET_DIGITS))
    buckets = hashed.group_by("bucket").aggregate(rows=hashed.count(), content=_sha256(_joined(hashed.row, engine), engine))
    found = run(buckets)
    content = sorted((str(bucket), int(rows), str(digest)) for bucket, rows, digest in found[["bucket", "rows", "content"]].itertuples(index=False))
    schema = [[name, str(kind.copy(nullable=True))] for name, kind in table.schema().items()]
    return "rows-" + digest_of({"schema": schema, "buckets": [list(item) for item in content]})


def draw_rows(table: ir.Table, rows: int, *, seed: int) -> ir.Table:
    """A simple random sample of at most `rows` rows, in random order: those with the smallest hash of (seed, content, number among equal rows).

    It depends on content and seed alone, so it is the same in another database of the same kind with the same rows.
    """
    import ibis

    engine = table.get_backend().name
    keyed = table.mutate(**{_ROW: _sha256(_row_text(table, engine), engine)})
    keyed = keyed.mutate(**{_COPY: ibis.row_number().over(ibis.window(group_by=_ROW, order_by=_ROW)).cast("string")})
    keyed = keyed.mutate(**{_DRAW: _sha256(ibis.literal(f"{seed}/") + keyed[_ROW] + "/" + keyed[_COPY], engine)})
    return keyed.order_by(_DRAW).limit(rows).drop(_ROW, _COPY, _DRAW)


def _row_text(table: ir.Table, engine: str) -> Any:
    """A row as one text; two rows have the same text only when they have the same values (lengths come first, null is its own sign)."""
    import ibis

    text = ibis.literal("")
    for column in table.columns:
        value = ibis.literal("") + _text(table[column], engine)  # an enumeration counts as text for ibis, but only "" || makes it text
        text = text + ibis.ifelse(value.isnull(), "~", value.length().cast("string") + ":" + value)
    return text


def _text(column: Any, engine: str) -> Any:
    """A value as text, one text per value. Spark's own casts write ['a, b'] and ['a', 'b'] alike, and keep no bytes that are not UTF-8."""
    kind = column.type()
    if engine == "pyspark" and kind.is_nested():
        return _builtin("to_json", (kind,), "string")(column)
    if engine == "pyspark" and kind.is_binary():
        return _builtin("hex", (kind,), "string")(column)
    return column.cast("string")


def _sha256(text: Any, engine: str) -> Any:
    """The SHA-256 of a text, as 64 hex digits, by the engine's own functions."""
    if engine == "duckdb":
        return _builtin("sha256", ("string",), "string")(text)
    if engine == "pyspark":
        return _builtin("sha2", ("string", "int32"), "string")(text, 256)
    as_bytes = _builtin("convert_to", ("string", "string"), "binary")(text, "UTF8")
    return _builtin("encode", ("binary", "string"), "string")(_builtin("sha256", ("binary",), "binary")(as_bytes), "hex")


def _joined(hashes: Any, engine: str) -> Any:
    """The hashes of a group in ascending order as one text; Spark orders no aggregation, so it sorts an array."""
    return hashes.collect().sort().join("") if engine == "pyspark" else hashes.group_concat("", order_by=hashes)


def _builtin(name: str, takes: tuple[Any, ...], gives: str) -> Any:
    import ibis

    functions: dict[int, Callable[..., Any]] = {1: lambda first: None, 2: lambda first, second: None}
    return ibis.udf.scalar.builtin(functions[len(takes)], name=name, signature=(takes, gives))
