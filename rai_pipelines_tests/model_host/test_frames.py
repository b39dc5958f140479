"""The frame that the model sees is the frame that the auditor holds: every type, missing value and memory layout survives the way."""

from __future__ import annotations

import datetime
import decimal
import json
import string
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rai_pipelines.errors import ModelError
from rai_pipelines.model_host.frames import pack_array, pack_frame, unpack_answer, unpack_frame
from rai_pipelines.model_host.wire import WireError, lay_out, pack_items, take_apart


def there(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` after the whole way: description through JSON, content as bytes and through an Arrow stream."""
    described, contents = pack_frame(frame)
    return unpack_frame(json.loads(json.dumps(described, allow_nan=False)), sent(contents, untrusted=False))


def sent(contents: list[Any], *, untrusted: bool) -> list[Any]:
    layout, items = lay_out(contents)
    return take_apart(json.loads(json.dumps(layout)), [memoryview(payload).cast("B") for payload in pack_items(items)], untrusted=untrusted)


def assert_same(frame: pd.DataFrame) -> None:
    arrived = there(frame)
    pd.testing.assert_frame_equal(arrived, frame, check_exact=True, check_freq=False)
    for place, label in enumerate(frame.columns):
        own, other = frame.iloc[:, place], arrived.iloc[:, place]
        assert own.dtype == other.dtype, label
        if own.dtype == object:
            assert [type(value) for value in own] == [type(value) for value in other], label
            assert [repr(value) for value in own] == [repr(value) for value in other], label


TEXT = st.text(alphabet=string.printable + "äß漢🙂", max_size=6)
NUMBERS = st.sampled_from(["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "?"])
OBJECTS = st.one_of(
    st.none(), TEXT, st.booleans(), st.integers(-(2**80), 2**80), st.floats(), st.binary(max_size=4), st.just(pd.NA), st.just(pd.NaT),
    st.dates(), st.times().filter(lambda time: not time.fold), st.decimals(allow_nan=False, allow_infinity=False),
    st.integers(-5, 5).map(np.int32), st.floats(width=32).map(np.float32),
)  # fmt: skip


@st.composite
def columns(draw: st.DrawFn, rows: int) -> Any:
    kind = draw(st.sampled_from(["numbers", "texts", "objects", "category", "masked", "string", "time", "zone", "duration", "arrow"]))
    some = st.lists(st.one_of(st.none(), TEXT), min_size=rows, max_size=rows)
    whole = st.lists(st.one_of(st.none(), st.integers(-100, 100)), min_size=rows, max_size=rows)
    seconds = st.lists(st.one_of(st.none(), st.integers(0, 2**31)), min_size=rows, max_size=rows)
    match kind:
        case "numbers":
            return draw(hnp.arrays(draw(NUMBERS), rows))
        case "texts":
            return pd.Series(draw(some), dtype=draw(st.sampled_from(["str", "object"])))
        case "objects":
            return pd.Series(draw(st.lists(OBJECTS, min_size=rows, max_size=rows)), dtype=object)
        case "category":
            return pd.Categorical(draw(draw(st.sampled_from([some, whole]))), ordered=draw(st.booleans()))
        case "masked":
            return pd.array(draw(whole), dtype=draw(st.sampled_from(["Int64", "Int8", "Float64", "Float32"])))
        case "string":
            return pd.array(draw(some), dtype=draw(st.sampled_from(["string", "string[python]"])))
        case "time":
            return pd.to_datetime(pd.Series(draw(seconds), dtype="Int64"), unit="s").astype(f"datetime64[{draw(st.sampled_from(['s', 'us', 'ns']))}]")
        case "zone":
            zone = draw(st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]))
            return pd.to_datetime(pd.Series(draw(seconds), dtype="Int64"), unit="s").dt.tz_localize("UTC").dt.tz_convert(zone)
        case "duration":
            return pd.to_timedelta(pd.Series(draw(seconds), dtype="Int64"), unit="s")
    return pd.array(draw(whole), dtype="int64[pyarrow]")


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(0, 6))
    made = {f"c{place}": pd.Series(draw(columns(rows))).reset_index(drop=True) for place in range(draw(st.integers(1, 4)))}
    frame = pd.DataFrame(made)
    frame.columns = draw(st.sampled_from([frame.columns, pd.RangeIndex(frame.shape[1]), pd.Index(["same"] * frame.shape[1], name="named")]))
    index = draw(
        st.sampled_from(
            [None, pd.RangeIndex(3, 3 + 2 * rows, 2), pd.Index(np.arange(rows) * 1.5, name="at"), pd.Index([f"r{i}" for i in range(rows)])]
        )
    )
    return frame if index is None else frame.set_axis(index)


@given(frame=frames())
@settings(max_examples=150, deadline=None)
def test_every_type_of_column_arrives_as_it_left(frame: pd.DataFrame) -> None:
    assert_same(frame)


def test_missing_values_of_every_kind_are_told_apart() -> None:
    assert_same(
        pd.DataFrame(
            {
                "int_or_none": pd.Series([1, None, 3], dtype=object),
                "true_or_none": pd.Series([True, None, False], dtype=object),
                "text_nan": pd.Series(["a", np.nan, None], dtype=object),
                "mixed": pd.Series(
                    [decimal.Decimal("1.50"), datetime.date(2020, 1, 1), datetime.datetime.fromisoformat("2020-01-01T02:00")], dtype=object
                ),
                "nan": [np.nan, -0.0, np.inf],
                "masked": pd.array([True, None, False], dtype="boolean"),
                "category": pd.Categorical(["x", None, "y"], categories=["y", "x", "unused"], ordered=True),
            },
            index=pd.Index(["r", "s", "t"], name="row"),
        )
    )


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_memory_layout_of_a_matrix_arrives_and_can_be_written_to(order: Any) -> None:
    frame = pd.DataFrame(np.asarray(np.random.default_rng(1).normal(size=(50, 7)), order=order))
    arrived = there(frame)
    assert arrived.to_numpy().strides == frame.to_numpy().strides
    arrived.iloc[0, 0] = 5.0
    arrived.to_numpy(copy=True)[0] = 1


@pytest.mark.parametrize(
    ("column", "complaint"),
    [
        (pd.Series([1 + 2j]), "complex128"),
        (pd.Series([[1, 2]], dtype=object), "value of the type list"),
        (pd.Series([datetime.time(2, fold=1)], dtype=object), "value of the type time"),
        (pd.Series([datetime.datetime.now(datetime.UTC)], dtype=object), "value of the type datetime"),
        (pd.Series(pd.period_range("2020", periods=1, freq="D")), "period"),
        (pd.Series(["\ud800"], dtype=object), "not valid Unicode"),
    ],
)
def test_what_cannot_be_handed_on_is_refused_by_name_and_never_changed(column: pd.Series, complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint):
        pack_frame(pd.DataFrame({"odd": column, "fine": [1]}))
    with pytest.raises(ModelError, match="several levels"):
        pack_frame(pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)])))


ANSWERS = (
    np.array([1, 2]),
    np.array([0.5, np.nan]),
    np.array(["yes", "no"]),
    np.array(["a", None], dtype=object),
    np.array([True, False]),
)


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: str(answer.dtype))
def test_an_answer_arrives_bit_for_bit(answer: np.ndarray) -> None:
    arrays: list[Any] = []
    described = pack_array(answer, arrays)
    found = unpack_answer(described, sent(arrays, untrusted=True), most_bytes=2**20)
    assert found.dtype == answer.dtype
    assert found.tolist() == answer.tolist() or np.isnan(answer[1])


@pytest.mark.parametrize(
    "described",
    [
        None, 5, {}, {"kind": "numbers"}, {"kind": "numbers", "type": "O"}, {"kind": "numbers", "type": "V8"},
        {"kind": "numbers", "type": [["a", "O"]]},
        {"kind": "text", "type": "<U900000000"}, {"kind": "objects", "tags": ["int"]}, {"kind": "objects", "tags": 3}, {"kind": "category"},
    ],
)  # fmt: skip
def test_a_description_that_does_not_fit_its_arrays_is_refused(described: Any) -> None:
    arrays: list[Any] = []
    pack_array(np.array([1.0, 2.0]), arrays)
    with pytest.raises(WireError):
        unpack_answer(described, sent(arrays, untrusted=True), most_bytes=2**20)
