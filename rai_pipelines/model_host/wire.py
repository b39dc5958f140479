"""What goes over the pipes between auditor and model: a length-prefixed message of a JSON header, Arrow streams, and numbers as they lie in memory.

Nothing is ever unpickled. What comes from the model's side is read with `untrusted=True`: sizes, message kinds, compression and types are checked
before use. Numbers need no Arrow: their bytes have no structure that could be wrong, and a stream costs more than a small model's answer.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Content: TypeAlias = np.ndarray | pa.Array  # plain numbers (as bytes), or what needs Arrow

PREFIX = struct.Struct(">4sIQ")  # mark, bytes of the header, bytes of the payload
MARK = b"RAI1"
MAX_HEADER_BYTES = 4 * 2**20
MAX_ROWS = 2**26
MAX_COLUMNS = 100_000
ARROW_V5, SCHEMA, RECORD_BATCH = 4, 1, 3  # Message.fbs of Apache Arrow


class WireError(Exception):
    """A message that is not what the protocol allows."""


def pack_message(header: Mapping[str, Any], payloads: Sequence[Any] = ()) -> list[memoryview]:
    """The pieces of one message, to be written one after the other; `payloads` are bytes-like."""
    views = [memoryview(payload).cast("B") for payload in payloads]
    text = json.dumps({**header, "sizes": [view.nbytes for view in views]}, allow_nan=False).encode()
    return [memoryview(PREFIX.pack(MARK, len(text), sum(view.nbytes for view in views)) + text), *views]


def read_message(read: Callable[[int], Any], *, most_bytes: int) -> tuple[dict[str, Any], list[memoryview]]:
    """The next message; `read(n)` gives exactly n bytes.

    Raises:
        WireError: it is longer than `most_bytes`, or no message at all.
    """
    mark, header_bytes, payload_bytes = PREFIX.unpack(read(PREFIX.size))
    if mark != MARK or header_bytes > MAX_HEADER_BYTES:
        raise WireError("sent something that is no message")
    if payload_bytes > most_bytes:
        raise WireError(f"sent an answer of {payload_bytes} bytes where {most_bytes} are allowed")
    try:
        header = json.loads(bytes(read(header_bytes)))
        sizes = header["sizes"]
        if not all(type(size) is int and size >= 0 for size in sizes) or sum(sizes) != payload_bytes:
            raise ValueError("sizes that do not add up")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WireError("sent a header that cannot be read") from error
    payload = memoryview(read(payload_bytes))
    places = [sum(sizes[:index]) for index in range(len(sizes))]
    return header, [payload[start : start + size] for start, size in zip(places, sizes, strict=True)]


def lay_out(contents: Sequence[Content]) -> tuple[list[int | None], list[pa.Table | np.ndarray]]:
    """What to send for `contents`, and how to find each there: the bytes of plain numbers, None for what travels in one Arrow stream before them."""
    import numpy as np

    plain = [content for content in contents if isinstance(content, np.ndarray)]
    others = [content for content in contents if not isinstance(content, np.ndarray)]
    layout = [content.nbytes if isinstance(content, np.ndarray) else None for content in contents]
    return layout, [*([as_table(others)] if others else []), *plain]


def take_apart(layout: Any, payloads: Sequence[memoryview], *, untrusted: bool) -> list[Content]:
    """The contents that `lay_out` laid out; numbers are bytes, in the memory of the payload.

    Raises:
        WireError: with `untrusted`, layout and payloads do not agree.
    """
    import numpy as np

    streamed = isinstance(layout, list) and None in layout
    if untrusted and (
        not isinstance(layout, list)
        or not all(size is None or type(size) is int for size in layout)
        or [size for size in layout if size is not None] != [payload.nbytes for payload in payloads[streamed:]]
    ):
        raise WireError("sent numbers that do not add up")
    arrays = iter(unpack_arrays(payloads[0], untrusted=untrusted) if streamed else ())
    numbers = iter(payloads[streamed:])
    try:
        found = [next(arrays) if size is None else np.frombuffer(next(numbers), dtype=np.uint8) for size in layout]
    except StopIteration as error:
        raise WireError("sent fewer arrays than it says") from error
    return found


def as_table(arrays: Sequence[pa.Array]) -> pa.Table:
    """Arrays of different lengths as one table: a single row with one list per array, without copying their values."""
    import pyarrow as pa

    lists = [pa.LargeListArray.from_arrays(pa.array([0, len(array)], type=pa.int64()), array) for array in arrays]
    return pa.Table.from_arrays(lists, names=[str(place) for place in range(len(lists))])


def unpack_arrays(payload: memoryview, *, untrusted: bool) -> list[pa.Array]:
    """The arrays of a stream of `as_table`.

    Raises:
        WireError: with `untrusted`, anything but that.
    """
    import pyarrow as pa

    table = unpack_table(payload, untrusted=untrusted)
    found: list[pa.Array] = []
    for column in table.columns:
        only = column.chunk(0) if column.num_chunks == 1 else None
        if not isinstance(only, pa.LargeListArray) or len(only) != 1 or only.null_count or only.offsets[0].as_py() != 0:
            raise WireError("sent no arrays")
        values = only.values
        if untrusted and (len(values) > MAX_ROWS or (values.null_count and not pa.types.is_large_string(values.type))):
            raise WireError("sent arrays that are not allowed")
        found.append(values)
    return found


def pack_table(table: pa.Table) -> pa.Buffer:
    """A table as an Arrow stream."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    write_table(table, sink)
    return sink.getvalue()


def pack_items(items: Sequence[pa.Table | np.ndarray]) -> list[Any]:
    """Tables as Arrow streams, bytes as they are."""
    import numpy as np

    return [item if isinstance(item, np.ndarray) else pack_table(item) for item in items]


def write_table(table: pa.Table, sink: pa.NativeFile) -> None:
    """Write a table as an Arrow stream."""
    import pyarrow as pa

    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def plain_table(table: pa.Table) -> pa.Table:
    """`table` with its dictionaries written out and without metadata, as an answer may hold it."""
    import pyarrow as pa

    columns = [column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column for column in table.columns]
    return pa.Table.from_arrays(columns, names=table.column_names)


def unpack_table(payload: memoryview, *, untrusted: bool) -> pa.Table:
    """The table of an Arrow stream.

    Raises:
        WireError: with `untrusted`, a stream that is compressed, inconsistent, too long, or of types that answers do not need.
    """
    import pyarrow as pa

    buffer = pa.py_buffer(payload)
    if not untrusted:
        return pa.ipc.open_stream(buffer).read_all()
    try:
        _check_messages(buffer)
        table = pa.ipc.open_stream(buffer).read_all()
        if table.num_rows > MAX_ROWS or table.num_columns > MAX_COLUMNS or not all(_is_plain(field.type) for field in table.schema):
            raise WireError("sent a table that is not allowed")
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, struct.error, IndexError, UnicodeDecodeError) as error:
        raise WireError("sent a table that cannot be read") from error
    return table


def _check_messages(buffer: pa.Buffer) -> None:
    """One schema, then record batches that are not compressed: a compressed one could unpack to any size."""
    import pyarrow as pa

    for place, message in enumerate(pa.ipc.MessageReader.open_stream(buffer)):
        kind, plain = _message_facts(message.metadata.to_pybytes())
        if kind != (SCHEMA if place == 0 else RECORD_BATCH) or not plain:
            raise WireError("sent a table that is compressed or of another kind")


def _message_facts(metadata: bytes) -> tuple[int, bool]:
    """Kind of an Arrow message, and whether it is of version 5, uncompressed and without metadata of its own (FlatBuffers layout)."""
    (root,) = struct.unpack_from("<I", metadata, 0)
    version_at, kind_at, header_at, own_at = (_slot(metadata, root, number) for number in (0, 1, 2, 4))
    kind = metadata[kind_at] if kind_at else 0
    version = struct.unpack_from("<h", metadata, version_at)[0] if version_at else 0
    plain = version == ARROW_V5 and not own_at and bool(header_at)
    if plain and kind == RECORD_BATCH:
        header = header_at + struct.unpack_from("<I", metadata, header_at)[0]
        plain = not _slot(metadata, header, 3)
    return kind, plain


def _slot(metadata: bytes, table: int, number: int) -> int:
    """Where field `number` of a FlatBuffers table lies; 0 when it is absent."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    if vtable < 0:
        raise ValueError("a table before its beginning")
    (size,) = struct.unpack_from("<H", metadata, vtable)
    at = 4 + 2 * number
    offset = struct.unpack_from("<H", metadata, vtable + at)[0] if at + 2 <= size else 0
    return table + offset if offset else 0


def _is_plain(kind: pa.DataType, depth: int = 0) -> bool:
    import pyarrow as pa

    types = pa.types
    if types.is_list(kind) or types.is_large_list(kind):
        return depth < 3 and _is_plain(kind.value_type, depth + 1)
    return bool(
        types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_string(kind) or types.is_large_string(kind)
        or types.is_binary(kind) or types.is_large_binary(kind) or types.is_date(kind) or types.is_timestamp(kind)
    )  # fmt: skip
