"""The few facts about an ONNX file that matter before ONNX Runtime opens it: operator domains, and data kept in other files.

The file is a Protocol Buffers message (onnx.proto3); only the fields named below are followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

KNOWN_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training", "ai.onnx.training", "com.microsoft", "com.microsoft.nchwc"})
MAX_DEPTH = 64
# message -> field number -> message inside it
_MESSAGES: Mapping[str, Mapping[int, str]] = {
    "Model": {7: "Graph", 8: "OperatorSet", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 9: "OperatorSet", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "Entry"},
    "OperatorSet": {},
    "Entry": {},
}
_DOMAIN_FIELD: Mapping[str, int] = {"Node": 7, "OperatorSet": 1}  # of a function of the model itself (Function 10) no code is needed


@dataclass
class Outline:
    """Operator domains in use, and the paths of files that tensors lie in."""

    domains: set[str] = field(default_factory=set)
    external_paths: set[str] = field(default_factory=set)
    own_functions: set[str] = field(default_factory=set)
    graphs: int = 0


def outline_of(content: bytes) -> Outline:
    """The outline of a serialised ModelProto.

    Raises:
        ValueError: not a whole Protocol Buffers message, or no graph in it.
    """
    outline = Outline()
    _follow(memoryview(content), "Model", outline, 0)
    if not outline.graphs:
        raise ValueError("it holds no graph")
    outline.domains -= outline.own_functions
    return outline


def _follow(content: memoryview, message: str, outline: Outline, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError("it is nested too deep")
    outline.graphs += message == "Graph"
    entry: dict[int, str] = {}
    for number, value in _fields(content):
        if value is None:
            continue
        if message == "Entry":
            entry[number] = _text(value)
        elif number == _DOMAIN_FIELD.get(message):
            outline.domains.add(_text(value))
        elif message == "Function" and number == 10:
            outline.own_functions.add(_text(value))
        elif (inner := _MESSAGES[message].get(number)) is not None:
            _follow(value, inner, outline, depth + 1)
    if entry.get(1) == "location":
        outline.external_paths.add(entry.get(2, ""))


def _text(value: memoryview) -> str:
    return bytes(value[:1000]).decode("utf-8", errors="replace")


def _fields(content: memoryview) -> Iterator[tuple[int, memoryview | None]]:
    """Field numbers with their bytes; None for a field that is a number."""
    position, end = 0, len(content)
    while position < end:
        key, position = _varint(content, position)
        number, kind = key >> 3, key & 7
        if kind == 0:
            _, position = _varint(content, position)
            yield number, None
        elif kind in (1, 5):
            position += 8 if kind == 1 else 4
            yield number, None
        elif kind == 2:
            size, position = _varint(content, position)
            if position + size > end:
                raise ValueError("it is cut off")
            yield number, content[position : position + size]
            position += size
        else:
            raise ValueError(f"a field of wire type {kind}")
    if position != end:
        raise ValueError("it is cut off")


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(content):
            raise ValueError("it is cut off")
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
    raise ValueError("a number that is too long")
