"""A pandas frame as plain numbers and texts and back, so that the model sees the very frame that the auditor holds.

Arrow alone does not do: whole numbers with None become floats, categories and text types change, NaN and missing are mixed up. So each
column says what it was (a JSON description) and its content travels as plain numbers or Arrow arrays. Nothing is pickled either way.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rai_pipelines.errors import ModelError
from rai_pipelines.model_host.wire import WireError

if TYPE_CHECKING:
    import pandas as pd

    from rai_pipelines.model_host.wire import Content

NUMBERS = "biufMm"
NAMES_IN_DESCRIPTION, NAME_LENGTH = 1_000, 500  # more or longer names travel as arrays
MASKED_TYPES = frozenset({"boolean", "Float32", "Float64", *(f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))})


def pack_frame(frame: pd.DataFrame) -> tuple[dict[str, Any], list[Content]]:
    """`frame` as a description and arrays.

    Raises:
        ModelError: a column or the index is of a kind that cannot be handed on.
    """
    arrays: list[Content] = []
    described: dict[str, Any] = {
        "rows": len(frame),
        "columns": _pack_names(frame.columns) or _pack_index(frame.columns, arrays),
        "index": _pack_index(frame.index, arrays),
    }
    types = set(frame.dtypes.tolist())
    first = next(iter(types), None)
    if len(types) == 1 and isinstance(first, np.dtype) and first.kind in "biuf" and first.itemsize <= 8 and len(frame):
        # one block of numbers: its memory layout is kept, because sums over rows and over columns round differently
        matrix = frame.to_numpy()
        by_row = bool(matrix.flags.c_contiguous and not matrix.flags.f_contiguous)
        flat = np.ascontiguousarray(matrix if by_row else matrix.T).reshape(-1)
        return {**described, "matrix": {"by_row": by_row, **pack_array(flat, arrays)}}, arrays
    described["parts"] = [pack_column(frame.iloc[:, place], arrays, name=repr(label)) for place, label in enumerate(frame.columns)]
    return described, arrays


def unpack_frame(described: dict[str, Any], arrays: Sequence[Content]) -> pd.DataFrame:
    """The frame that `pack_frame` packed; its memory is its own, to be written to."""
    import pandas as pd

    left = iter(arrays)
    columns, index = _unpack_index(described["columns"], left), _unpack_index(described["index"], left)
    if "matrix" in described:
        flat = unpack_array(described["matrix"], left)
        rows = described["rows"]
        matrix = flat.reshape(rows, -1) if described["matrix"]["by_row"] else flat.reshape(-1, rows).T
        return pd.DataFrame(matrix, index=index, columns=columns, copy=False)
    values = [unpack_column(part, left) for part in described["parts"]]
    # the type is named, or pandas would take objects that are all text for its own text type
    parts = {place: pd.Series(column, index=index, dtype=column.dtype, copy=False) for place, column in enumerate(values)}
    frame = pd.DataFrame(parts, index=index, copy=False)
    frame.columns = columns
    return frame


def pack_column(column: pd.Series, arrays: list[Content], *, name: str) -> dict[str, Any]:
    """The description of one column; its content is added to `arrays`."""
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, np.dtype):
        try:
            return pack_array(column.to_numpy(), arrays)
        except ValueError as error:
            raise _cannot_travel(name, str(error)) from error
    if isinstance(dtype, pd.CategoricalDtype):
        categories = pack_column(pd.Series(dtype.categories), arrays, name=name)
        codes = pack_array(column.cat.codes.to_numpy(), arrays)
        return {"kind": "category", "ordered": bool(dtype.ordered), "categories": categories, "codes": codes}
    if isinstance(dtype, pd.StringDtype):
        _add_texts([None if missing else text for text, missing in zip(column.tolist(), column.isna(), strict=True)], arrays, name)
        return {"kind": "string", "storage": dtype.storage, "missing": "NA" if dtype.na_value is pd.NA else "nan"}
    if isinstance(dtype, pd.DatetimeTZDtype):
        instants = column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
        return {"kind": "instant", "zone": str(dtype.tz), "instants": pack_array(instants, arrays)}
    if isinstance(dtype, pd.ArrowDtype):
        import pyarrow as pa

        found = pa.chunked_array(pa.array(column.array))
        arrays.append(found.combine_chunks() if found.num_chunks != 1 else found.chunk(0))
        return {"kind": "arrow"}
    if str(dtype) in MASKED_TYPES:
        missing = column.isna().to_numpy()
        plain: np.dtype[Any] = np.dtype(str(dtype).lower().replace("boolean", "bool"))
        values = column.to_numpy(dtype=plain, na_value=plain.type(0))
        return {"kind": "masked", "type": str(dtype), "values": pack_array(values, arrays), "missing": pack_array(missing, arrays)}
    raise _cannot_travel(name, f"is of the type {dtype}")


def unpack_column(part: dict[str, Any], left: Iterator[Any]) -> Any:
    """One column's values, of the type that they had."""
    import pandas as pd

    match part["kind"]:
        case "category":
            known = unpack_column(part["categories"], left)
            categories = pd.Index(known, dtype=known.dtype)
            return pd.Categorical.from_codes(unpack_array(part["codes"], left), categories=categories, ordered=part["ordered"])
        case "string":
            return pd.array(next(left).to_pylist(), dtype=_text_type(part["storage"], part["missing"]))
        case "instant":
            return pd.DatetimeIndex(unpack_array(part["instants"], left)).tz_localize("UTC").tz_convert(part["zone"]).array
        case "arrow":
            import pyarrow as pa

            found = next(left)  # copied, because the next request will lie in the same memory
            return pd.arrays.ArrowExtensionArray(pa.concat_arrays([found, found.slice(0, 0)]))
        case "masked":
            values, missing_rows = unpack_array(part["values"], left), unpack_array(part["missing"], left)
            made = pd.array(values, dtype=part["type"])
            made[missing_rows] = pd.NA
            return made
    return unpack_array(part, left)


def pack_array(values: np.ndarray, arrays: list[Content]) -> dict[str, Any]:
    """The description of a one-dimensional NumPy array of numbers, texts or plain Python values.

    Raises:
        ValueError: it holds something else; says what.
    """
    if values.dtype.kind in NUMBERS and values.dtype.itemsize <= 8:
        arrays.append(_bytes_of(values))
        return {"kind": "numbers", "type": values.dtype.str}
    if values.dtype.kind == "U":
        _add_texts(values.tolist(), arrays, "text")
        return {"kind": "text", "type": values.dtype.str}
    if values.dtype.kind == "O":
        return _pack_objects(values.tolist(), arrays)
    raise ValueError(f"is of the type {values.dtype}")


def unpack_array(part: dict[str, Any], left: Iterator[Any]) -> np.ndarray:
    """The array that `pack_array` packed."""
    if part["kind"] == "objects":
        return _unpack_objects(part, left)
    dtype = np.dtype(part["type"])
    if part["kind"] == "text":
        return np.array(next(left).to_pylist(), dtype=dtype)
    if dtype.kind not in NUMBERS:
        raise ValueError(f"{dtype} is no type of numbers")
    return _numbers(next(left), dtype)


def unpack_answer(part: Any, arrays: Sequence[Content], *, most_bytes: int) -> np.ndarray:
    """As `unpack_array`, for what an untrusted process sent.

    Raises:
        WireError: the description and the arrays do not agree, or would take more than `most_bytes`.
    """
    import pyarrow as pa

    try:
        if part["kind"] == "text" and np.dtype(part["type"]).itemsize * len(arrays[0]) > most_bytes:
            raise WireError("sent texts that take too much memory")
        return unpack_array(part, iter(arrays))
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration, IndexError, ArithmeticError, pa.ArrowException) as error:
        raise WireError("sent an answer that cannot be read") from error


def _pack_names(names: pd.Index) -> dict[str, Any] | None:
    """Few short names of pandas' own text type: within the description, because they are the same for every request."""
    import pandas as pd

    if not isinstance(names.dtype, pd.StringDtype) or len(names) > NAMES_IN_DESCRIPTION or not isinstance(names.name, str | None):
        return None
    texts = names.tolist()
    if not all(type(text) is str and len(text) <= NAME_LENGTH for text in texts):
        return None
    missing = "NA" if names.dtype.na_value is pd.NA else "nan"
    return {"kind": "names", "name": names.name, "storage": names.dtype.storage, "missing": missing, "texts": texts}


def _pack_index(index: pd.Index, arrays: list[Content]) -> dict[str, Any]:
    import pandas as pd

    if index.name is not None and not isinstance(index.name, str | int):
        raise _cannot_travel("the index", f"is named by a {type(index.name).__name__}")
    if isinstance(index, pd.RangeIndex):
        return {"kind": "range", "name": index.name, "range": [index.start, index.stop, index.step]}
    if isinstance(index, pd.MultiIndex):
        raise _cannot_travel("the index", "has several levels")
    if isinstance(index.dtype, np.dtype) and index.dtype.kind in NUMBERS and index.dtype.itemsize <= 8:
        return {"kind": "index", "name": index.name, "values": pack_array(index.to_numpy(), arrays)}
    return {"kind": "index", "name": index.name, "values": pack_column(pd.Series(index), arrays, name="the index")}


def _unpack_index(part: dict[str, Any], left: Iterator[Any]) -> pd.Index:
    import pandas as pd

    if part["kind"] == "names":
        return _names(part["name"], part["storage"], part["missing"], tuple(part["texts"]))

    if part["kind"] == "range":
        start, stop, step = part["range"]
        return pd.RangeIndex(start, stop, step, name=part["name"])
    values = unpack_column(part["values"], left)
    made: pd.Index = pd.Index(values, dtype=values.dtype, name=part["name"])
    return made


@lru_cache(maxsize=8)
def _names(name: str | None, storage: Literal["python", "pyarrow"], missing: str, texts: tuple[str, ...]) -> pd.Index:
    import pandas as pd

    made: pd.Index = pd.Index(texts, dtype=_text_type(storage, missing), name=name)
    return made


def _text_type(storage: Literal["python", "pyarrow"], missing: str) -> Any:
    """The auditor's text type; plain objects where the model's own pandas is older than that type (2.3)."""
    import pandas as pd

    try:
        return pd.StringDtype(storage, na_value=pd.NA if missing == "NA" else np.nan)
    except TypeError:
        return object


_WRITTEN: dict[str, tuple[type, Callable[[Any], str], Callable[[str], Any]]] = {
    "int": (int, str, int),
    "decimal": (decimal.Decimal, str, decimal.Decimal),
    "date": (datetime.date, datetime.date.isoformat, datetime.date.fromisoformat),
    "time": (datetime.time, datetime.time.isoformat, datetime.time.fromisoformat),
    "datetime": (datetime.datetime, datetime.datetime.isoformat, datetime.datetime.fromisoformat),
}


def _pack_objects(values: list[Any], arrays: list[Content]) -> dict[str, Any]:
    """Plain Python values: texts alone, or a tag per value and the values of each tag together."""
    import pyarrow as pa

    if set(map(type, values)) <= {str, type(None)}:
        _add_texts(values, arrays, "text")
        return {"kind": "objects", "tags": None}
    named = [_tag(value) for value in values]
    tags = sorted(set(named))
    place = {tag: number for number, tag in enumerate(tags)}
    arrays.append(_bytes_of(np.array([place[tag] for tag in named], dtype=np.int32)))
    for tag in tags:
        held = [value for value, own in zip(values, named, strict=True) if own == tag]
        if tag.startswith("numpy "):
            arrays.append(_bytes_of(np.array(held, dtype=tag[6:])))
        elif tag == "float":
            arrays.append(_bytes_of(np.array(held, dtype=np.float64)))
        elif tag == "bytes":
            arrays.append(pa.array(held, type=pa.large_binary()))
        elif tag == "bool":
            arrays.append(pa.array(held, type=pa.bool_()))
        elif tag == "str" or tag in _WRITTEN:
            _add_texts([value if tag == "str" else _WRITTEN[tag][1](value) for value in held], arrays, "text")
    return {"kind": "objects", "tags": tags}


def _tag(value: Any) -> str:
    import pandas as pd

    kind = type(value)
    if value is None or value is pd.NA or value is pd.NaT:
        return {id(None): "none", id(pd.NA): "na", id(pd.NaT): "nat"}[id(value)]
    if kind in (str, bool, float, bytes):
        return str(kind.__name__)
    for tag, (written, _, _) in _WRITTEN.items():
        if kind is written and getattr(value, "tzinfo", None) is None and not getattr(value, "fold", 0):
            return tag
    if isinstance(value, np.generic) and value.dtype.kind in NUMBERS and value.dtype.itemsize <= 8:
        return f"numpy {value.dtype.str}"
    raise ValueError(f"holds a value of the type {kind.__name__}")


def _unpack_objects(part: dict[str, Any], left: Iterator[Any]) -> np.ndarray:
    if part["tags"] is None:
        return _objects(next(left).to_pylist())
    numbers = _numbers(next(left), np.dtype(np.int32)).tolist()
    held = [_values_of(tag, left) for tag in part["tags"]]
    return _objects([next(held[number]) for number in numbers])


def _values_of(tag: str, left: Iterator[Any]) -> Iterator[Any]:
    import itertools

    import pandas as pd

    if tag in ("none", "na", "nat"):
        return itertools.repeat({"none": None, "na": pd.NA, "nat": pd.NaT}[tag])
    found = next(left)
    if tag.startswith("numpy "):
        dtype = np.dtype(tag[6:])
        if dtype.kind not in NUMBERS:
            raise ValueError(f"{dtype} is no type of numbers")
        return iter(list(_numbers(found, dtype)))
    if tag == "float":
        return iter(_numbers(found, np.dtype(np.float64)).tolist())
    if tag in _WRITTEN:
        return iter([_WRITTEN[tag][2](text) for text in found.to_pylist()])
    return iter(found.to_pylist())


def _bytes_of(values: np.ndarray) -> np.ndarray:
    """Numbers as they lie in memory, shape (bytes,)."""
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)


def _numbers(found: Any, dtype: np.dtype[Any]) -> np.ndarray:
    """Numbers of those bytes, in memory of their own."""
    if not isinstance(found, np.ndarray):
        raise ValueError("numbers are sent as bytes")
    return (found != 0) if dtype.kind == "b" else found.copy().view(dtype)


def _objects(values: list[Any]) -> np.ndarray:
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made


def _add_texts(values: list[Any], arrays: list[Content], name: str) -> None:
    import pyarrow as pa

    try:
        arrays.append(pa.array(values, type=pa.large_string()))
    except (UnicodeEncodeError, pa.ArrowException) as error:
        raise _cannot_travel(name, "holds text that is not valid Unicode") from error


def _cannot_travel(name: str, why: str) -> ModelError:
    return ModelError(f"column {name} {why}, which cannot be handed to the model's process", hint="Store the column as numbers, text or categories")
