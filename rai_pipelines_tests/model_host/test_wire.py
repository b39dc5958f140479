"""Messages from the model's side are data from a stranger: whatever they hold, they are read as what they should be, or refused."""

from __future__ import annotations

import contextlib
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_pipelines.model_host.wire import (
    PREFIX,
    WireError,
    as_table,
    lay_out,
    pack_items,
    pack_message,
    pack_table,
    plain_table,
    read_message,
    take_apart,
    unpack_arrays,
    unpack_table,
)


def reader(content: bytes) -> Callable[[int], bytes]:
    stream = io.BytesIO(content)

    def read(size: int) -> bytes:
        found = stream.read(size)
        if len(found) < size:
            raise EOFError
        return found

    return read


def streamed(table: pa.Table, **options: Any) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())


def endless(length: int) -> pa.Array:
    """Nulls that take no memory, as a stream may claim them."""
    return pa.Array.from_buffers(pa.null(), length, [None])


def test_a_message_arrives_with_its_payloads_in_order() -> None:
    content = b"".join(pack_message({"do": "predict"}, [b"one", b"", b"three"]))
    header, payloads = read_message(reader(content), most_bytes=100)
    assert header["do"] == "predict"
    assert [bytes(payload) for payload in payloads] == [b"one", b"", b"three"]
    with pytest.raises(WireError, match="8 bytes where 7 are allowed"):
        read_message(reader(content), most_bytes=7)


@given(content=st.binary(max_size=200), mark=st.booleans())
@settings(max_examples=200, deadline=None)
def test_noise_is_refused_and_never_misread(content: bytes, mark: bool) -> None:
    with pytest.raises((WireError, EOFError)):
        read_message(reader(b"RAI1" * mark + content), most_bytes=2**20)


@pytest.mark.parametrize(
    "header", [b"{}", b"[]", b'{"sizes": [-1, 3]}', b'{"sizes": [true, 1]}', b'{"sizes": [3]}', b"[" * 100_000, pickle.dumps({"sizes": [2]})]
)
def test_a_header_that_does_not_add_up_is_refused(header: bytes) -> None:
    with pytest.raises(WireError):
        read_message(reader(PREFIX.pack(b"RAI1", len(header), 2) + header + b"ab"), most_bytes=2**20)


def test_plain_tables_pass_and_dictionaries_are_written_out() -> None:
    table = pa.table({"x": [1.5, None], "name": ["a", "b"], "list": [[1], [2, 3]], "code": pa.array(["u", "v"]).dictionary_encode()})
    arrived = unpack_table(memoryview(pack_table(plain_table(table))), untrusted=True)
    assert arrived.to_pylist() == table.to_pylist()


@pytest.mark.parametrize(
    "payload",
    [
        streamed(pa.table({"x": np.zeros(100_000)}), compression="zstd"),
        streamed(pa.table({"x": np.zeros(100_000)}), compression="lz4"),
        streamed(pa.table({"x": np.zeros(3)}), metadata_version=pa.ipc.MetadataVersion.V4),
        streamed(pa.table({"x": pa.array(["a"]).dictionary_encode()})),
        streamed(pa.table({"x": endless(2**31 - 1)})),
        streamed(pa.table({"x": pa.array([{"a": 1}])})),
        streamed(pa.table({"x": pa.FixedSizeListArray.from_arrays(endless(2**30), 2**30)})),
        memoryview(b""),
        memoryview(pickle.dumps(1)),
    ],
    ids=["zstd", "lz4", "version 4", "dictionary", "endless nulls", "struct", "endless lists", "empty", "pickle"],
)
def test_tables_that_answers_do_not_need_are_refused(payload: memoryview) -> None:
    with pytest.raises(WireError):
        unpack_table(payload, untrusted=True)


@given(place=st.integers(0, 2**31), byte=st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_gives_an_error_or_a_valid_table(place: int, byte: int) -> None:
    content = bytearray(pack_table(pa.table({"x": [1.5, 2.5], "name": ["ab", None]})))
    content[place % len(content)] = byte
    with contextlib.suppress(WireError):
        unpack_table(memoryview(bytes(content)), untrusted=True).validate(full=True)


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"0": [[1], [2]]}),
        pa.table({"0": [1]}),
        pa.table({"0": pa.array([None], type=pa.large_list(pa.int64()))}),
        pa.table({"0": pa.array([[1, None]], type=pa.large_list(pa.int64()))}),
    ],
    ids=["two rows", "no list", "no value", "a gap"],
)
def test_arrays_that_are_not_one_whole_list_each_are_refused(table: pa.Table) -> None:
    with pytest.raises(WireError):
        unpack_arrays(memoryview(pack_table(table)), untrusted=True)


def test_arrays_of_any_lengths_arrive_together() -> None:
    arrived = unpack_arrays(memoryview(pack_table(as_table([pa.array([1, 2]), pa.array([], pa.int8())]))), untrusted=True)
    assert [array.to_pylist() for array in arrived] == [[1, 2], []]


def test_numbers_travel_as_their_bytes_beside_what_needs_arrow() -> None:
    numbers, texts = np.array([1.5, -0.0]).view(np.uint8), pa.array(["a", None], type=pa.large_string())
    layout, items = lay_out([numbers, texts, numbers[:0]])
    assert layout == [16, None, 0]
    first, second, third = take_apart(layout, [memoryview(payload).cast("B") for payload in pack_items(items)], untrusted=True)
    assert first.tobytes() == numbers.tobytes() and second.to_pylist() == ["a", None] and third.nbytes == 0


@pytest.mark.parametrize("layout", [None, 3, [], [8], [True], [16, 16], ["16"], [16.0], [None], [None, 16], {"0": 16}])
def test_numbers_that_do_not_add_up_are_refused(layout: Any) -> None:
    with pytest.raises(WireError):
        take_apart(layout, [memoryview(bytes(16))], untrusted=True)
