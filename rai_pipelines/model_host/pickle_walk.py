"""Read a pickle without running it: every opcode, with names and constants on a symbolic stack, so that computed names are seen too.

Array data that joblib writes between two opcodes are stepped over as joblib itself would read them. Nothing is imported or called.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

JOBLIB_ARRAY = ("joblib.numpy_pickle", "NumpyArrayWrapper")
ARRAY_WRAPPERS = ("NumpyArrayWrapper", "NDArrayWrapper", "ZNDArrayWrapper")
MAX_NESTED = 8
MAX_OPCODES = 50_000_000
HAS_OBJECT = 1  # NPY_ITEM_HASOBJECT among the flags of a pickled dtype


@dataclass
class Walk:
    """What a pickle stream holds. `imports` are (module, name) in order of appearance, `calls` counts opcodes that call something.

    `whole` says that its last opcode was reached and understood; otherwise `problem` says what was in the way.
    """

    imports: dict[tuple[str, str], None] = field(default_factory=dict)
    calls: int = 0
    arrays: int = 0
    whole: bool = False
    problem: str | None = None
    oddities: dict[str, None] = field(default_factory=dict)


def walk_pickle(stream: IO[bytes]) -> Walk:
    """Walk the one pickle that starts where `stream` (seekable) stands; afterwards it stands behind that pickle, if `whole`."""
    walk = Walk()
    try:
        _Machine(stream, walk, 0).run()
        walk.whole = True
    except RecursionError:
        walk.problem = "is nested too deep to be read"
    except Exception as error:  # any opcode that cannot be followed ends the walk, and the walk says so
        walk.problem = f"{type(error).__name__}: {error}"[:200]
    return walk


@dataclass(frozen=True, eq=False)
class _Global:
    module: str
    name: str


@dataclass(eq=False)
class _Made:
    """The result of a call; a later BUILD sets `state` wherever the object is already held."""

    function: Any
    arguments: Any
    state: Any = None


@dataclass(eq=False)
class _Dict:
    items: dict[str, Any] = field(default_factory=dict)


class _Mark:
    pass


class _Other:
    """A value that nothing here depends on."""


MARK, OTHER = _Mark(), _Other()


class _Machine:
    def __init__(self, stream: IO[bytes], walk: Walk, depth: int) -> None:
        if depth > MAX_NESTED:
            raise ValueError("pickles inside pickles are nested too deep")
        self.stream, self.walk, self.depth = stream, walk, depth
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.frame_end = 0

    def run(self) -> None:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(self.stream)):
            if count > MAX_OPCODES:
                raise ValueError("has too many opcodes")
            self._step(opcode.name, argument)

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "FRAME":
                self.frame_end = self.stream.tell() + argument
            case "PROTO" | "STOP" | "READONLY_BUFFER":
                pass
            case "MARK":
                stack.append(MARK)
            case "POP":
                stack.pop()
            case "POP_MARK":
                self._to_mark()
            case "DUP":
                stack.append(self._top())
            case "EMPTY_DICT":
                stack.append(_Dict())
            case "EMPTY_LIST" | "EMPTY_SET" | "NEXT_BUFFER":
                stack.append(OTHER)
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE":
                stack.append(tuple(self._to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self._pop(int(name[-1]))))
            case "LIST" | "FROZENSET":
                self._to_mark()
                stack.append(OTHER)
            case "DICT":
                values = self._to_mark()
                stack.append(_Dict())
                self._set_items(values)
            case "APPEND":
                self._pop(1)
            case "APPENDS" | "ADDITEMS":
                self._to_mark()
            case "SETITEM":
                self._set_items(self._pop(2))
            case "SETITEMS":
                self._set_items(self._to_mark())
            case "GLOBAL":
                stack.append(self._import(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                module, attribute = self._pop(2)
                stack.append(self._import(module, attribute))
            case "INST":
                arguments = tuple(self._to_mark())
                self._call(self._import(*argument.split(" ", 1)), arguments)
            case "OBJ":
                function, *rest = self._to_mark()
                self._call(function, tuple(rest))
            case "REDUCE" | "NEWOBJ":
                self._call(*self._pop(2))
            case "NEWOBJ_EX":
                function, arguments, _ = self._pop(3)
                self._call(function, arguments)
            case "BUILD":
                self._build(*self._pop(1))
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self._top()
            case "MEMOIZE":
                self.memo[len(self.memo)] = self._top()
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "EXT1" | "EXT2" | "EXT4":
                self.walk.oddities["uses a registered extension code, which hides a name"] = None
                stack.append(OTHER)
            case "PERSID" | "BINPERSID":
                if name == "BINPERSID":
                    self._pop(1)
                stack.append(OTHER)
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(name == "NEWTRUE")
            case _ if argument is not None:
                stack.append(argument)
            case _:
                raise ValueError(f"opcode {name} is not known")

    def _top(self) -> Any:
        if not self.stack or self.stack[-1] is MARK:
            raise ValueError("takes a value from an empty stack")
        return self.stack[-1]

    def _pop(self, count: int) -> list[Any]:
        values = self.stack[-count:]
        if len(values) < count or any(value is MARK for value in values):
            raise ValueError("takes a value from an empty stack")
        del self.stack[-count:]
        return values

    def _to_mark(self) -> list[Any]:
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is MARK:
                values = self.stack[index + 1 :]
                del self.stack[index:]
                return values
        raise ValueError("closes a group that was not opened")

    def _set_items(self, values: list[Any]) -> None:
        target = self._top()
        if isinstance(target, _Dict):
            for key, value in zip(values[::2], values[1::2], strict=True):
                if isinstance(key, str):
                    target.items[key] = value

    def _import(self, module: Any, name: Any) -> _Global:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("computes the name of what it imports")
        self.walk.imports[(module, name)] = None
        if name.rpartition(".")[2] in ARRAY_WRAPPERS and (module, name) != JOBLIB_ARRAY:
            raise ValueError("keeps arrays in a way that is not read here")
        return _Global(module, name)

    def _call(self, function: Any, arguments: Any) -> None:
        self.walk.calls += 1
        made = _Made(function, arguments)
        given = arguments if isinstance(arguments, tuple) else ()
        if any(isinstance(item, _Global) and (item.module, item.name) == JOBLIB_ARRAY for item in given) and not _is_joblib_array(made):
            raise ValueError("makes an array in a way that is not read here")
        self.stack.append(made)

    def _build(self, state: Any) -> None:
        self.walk.calls += 1
        target = self._top()
        if not isinstance(target, _Made):
            return
        built_before, target.state = target.state is not None, state
        if _is_joblib_array(target):
            if built_before or self.frame_end > self.stream.tell():  # joblib would go on reading elsewhere
                raise ValueError("holds an array that joblib did not write")
            self._step_over_array(state)
            self.stack[-1] = OTHER

    def _step_over_array(self, state: Any) -> None:
        self.walk.arrays += 1
        facts = state.items if isinstance(state, _Dict) else {}
        itemsize, has_object = _dtype_facts(facts.get("dtype"))
        if has_object:
            _Machine(self.stream, self.walk, self.depth + 1).run()
            return
        shape = facts.get("shape")
        if not isinstance(shape, tuple) or not all(isinstance(extent, int) and extent >= 0 for extent in shape):
            raise ValueError("holds an array of unknown shape")
        if facts.get("numpy_array_alignment_bytes") is not None:
            self.stream.seek(self.stream.read(1)[0], 1)
        size = itemsize * math.prod(shape)
        here = self.stream.tell()
        if self.stream.seek(0, 2) < here + size:
            raise ValueError("ends inside an array")
        self.stream.seek(here + size)


def _is_joblib_array(made: _Made) -> bool:
    return any((item.module, item.name) == JOBLIB_ARRAY for item in _globals_of(made))


def _globals_of(made: _Made) -> Iterator[_Global]:
    """The class of an object that NEWOBJ made, or that protocols 0 and 1 rebuild through `copyreg._reconstructor`."""
    if isinstance(made.function, _Global):
        yield made.function
        if made.function.name == "_reconstructor" and isinstance(made.arguments, tuple) and made.arguments and isinstance(made.arguments[0], _Global):
            yield made.arguments[0]


def _is_dtype(made: _Made) -> bool:
    return isinstance(made.function, _Global) and (made.function.module, made.function.name) == ("numpy", "dtype")


def _dtype_facts(value: Any) -> tuple[int, bool]:
    """Bytes per element, and whether elements are Python objects."""
    import numpy as np

    if not isinstance(value, _Made) or not _is_dtype(value) or not isinstance(value.arguments, tuple) or not isinstance(value.arguments[0], str):
        raise ValueError("holds an array of unknown type")
    dtype = np.dtype(value.arguments[0])
    if value.state is None:
        return dtype.itemsize, dtype.hasobject
    if not isinstance(value.state, tuple) or len(value.state) < 8 or value.state[2] is not None:
        raise ValueError("holds an array of unknown type")
    size, flags = value.state[5], value.state[7]
    if not isinstance(size, int) or not isinstance(flags, int) or (dtype.kind not in "VSU" and size != -1):
        raise ValueError("holds an array of unknown type")
    return size if dtype.kind in "VSU" else dtype.itemsize, dtype.hasobject or bool(flags & HAS_OBJECT)
