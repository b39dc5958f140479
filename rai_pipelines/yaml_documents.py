"""Read a YAML document into a pydantic model, and say file, line, field and allowed values when it does not fit.

Shared by policies and datasheets; knows nothing about either.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from rai_pipelines.errors import DocumentError

ModelT = TypeVar("ModelT", bound=BaseModel)
MOST_NODES = 200_000  # of a document with its aliases written out; the largest of ours has some thousand
DEEPEST = 100  # lists and mappings within each other; ours have about ten. The reader in C has no limit of its own, and no stack for much more
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, where PyYAML was built with it


def read_yaml_document(path: Path, model: type[ModelT], *, error: type[DocumentError]) -> ModelT:
    """The document at `path`, validated as `model`.

    Raises:
        error: the file cannot be read, is not YAML, or does not fit; `problems` names line, field and allowed values of each.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise error(f"cannot be read ({cause})", where=str(path), hint="Check the path and that the file is UTF-8 text") from cause
    return parse_yaml_document(text, model, source=str(path), error=error)


def parse_yaml_document(text: str, model: type[ModelT], *, source: str, error: type[DocumentError]) -> ModelT:
    """As `read_yaml_document`, from a text whose origin is called `source` in messages."""
    try:
        root = compose_yaml(text)
        problem = _unfolds(root, {})[1]
        if problem is not None:
            raise error(problem[0], where=f"{source}:{problem[1]}", hint="Write the values out instead of naming them by an alias")
        content = yaml.load(text, Loader=LOADER)  # noqa: S506  (a safe loader)
    except yaml.YAMLError as cause:
        mark = getattr(cause, "problem_mark", None)
        place = f"{source}:{mark.line + 1}" if mark else source
        raise error(f"is not valid YAML ({getattr(cause, 'problem', None) or cause})", where=place, hint="Correct the syntax") from cause
    if not isinstance(content, dict):
        raise error("is not a mapping of fields", where=source, hint="Start from the published JSON Schema in docs/schemas")
    duplicate = _first_duplicate_key(root)
    if duplicate:
        raise error(f"key {duplicate[0]!r} appears twice", where=f"{source}:{duplicate[1]}", hint="Keep one of them")
    try:
        return model.model_validate(content)
    except ValidationError as cause:
        problems = tuple(_describe(item, root, source) for item in cause.errors(include_url=False))
        raise error("; ".join(problems), where=None, hint=None, problems=problems) from cause


def compose_yaml(text: str) -> yaml.Node | None:
    """The nodes of a YAML text, which know their lines.

    Raises:
        yaml.YAMLError: it is not YAML, or is nested so deeply that reading it would end the process.
    """
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            mark: Any = event.start_mark  # one of two classes, by the reader
            raise yaml.MarkedYAMLError(problem=f"nested more than {DEEPEST} levels deep", problem_mark=mark)
    node: yaml.Node | None = yaml.compose(text, Loader=LOADER)
    return node


def describe_problem(location: Sequence[str | int], message: str, value: object, root: yaml.Node | None, source: str) -> str:
    """`file:line: field: message (found value)` for one problem of a YAML document whose root node is `root`."""
    field = ".".join(str(part) for part in location) or "document"
    shown = f" (found {value!r})" if isinstance(value, str | int | float | bool) else ""
    return f"{source}:{_line_of(root, location)}: {field}: {message.removeprefix('Value error, ')}{shown}"


def _describe(item: Any, root: yaml.Node | None, source: str) -> str:
    message = "unknown field" if item["type"] == "extra_forbidden" else item["msg"]
    return describe_problem(item["loc"], message, item.get("input"), root, source)


def _line_of(node: yaml.Node | None, location: Sequence[str | int]) -> int:
    """The line of the deepest part of `location` that the document has; 1-based."""
    line = node.start_mark.line + 1 if node is not None else 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, node = key.start_mark.line + 1, value
                    break
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def _unfolds(node: yaml.Node | None, known: dict[int, int | None]) -> tuple[int, tuple[str, int] | None]:
    """How many nodes there are below `node`, aliases written out; and what is wrong with that (its words and line), or None.

    A few lines of aliases to aliases stand for more values than there is memory, and an alias to what it stands in has no end.
    `known` has the nodes that were counted, and None for those that are being counted.
    """
    if node is None or isinstance(node, yaml.ScalarNode):
        return 1, None
    line = node.start_mark.line + 1
    if id(node) in known:
        counted = known[id(node)]
        return (0, ("contains itself by an alias", line)) if counted is None else (counted, None)
    known[id(node)] = None
    total = 1
    for part in [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value:
        count, problem = _unfolds(part, known)
        total += count
        if problem is None and total > MOST_NODES:
            problem = (f"stands for more than {MOST_NODES:,} values, with its aliases written out", line)
        if problem is not None:
            return total, problem
    known[id(node)] = total
    return total, None


def _first_duplicate_key(node: yaml.Node | None) -> tuple[str, int] | None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                return str(key.value), key.start_mark.line + 1
            seen.add(key.value)
            found = _first_duplicate_key(value)
            if found:
                return found
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            found = _first_duplicate_key(value)
            if found:
                return found
    return None
