"""Work that needs the model itself, not only its answers (trees, gradients, Shapley values): functions of this package, called by name.

A task is `function(model, parameters, tables) -> (answer, tables)`, where `model` is the `CheckedModel` with its `native` object, `parameters`
and `answer` are JSON, and tables are Arrow. So the same call works in this process and in the model's own: nothing but data goes either way.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from rai_pipelines.errors import ModelError, RaiError, without_values
from rai_pipelines.subjects.subject import Tables

if TYPE_CHECKING:
    from rai_pipelines.subjects.model_files import CheckedModel

PACKAGE = "rai_pipelines."


def run_task(task: str, model: CheckedModel, parameters: Mapping[str, JsonValue], tables: Tables) -> tuple[Mapping[str, JsonValue], Tables]:
    """What the task called `module:function` answers for `model`.

    Raises:
        ModelError: the task failed on this model; a library's own error is named.
        ValueError: there is no such task in this package.
    """
    function = _find(task)
    try:
        answer: tuple[Mapping[str, JsonValue], Tables] = function(model, parameters, tables)
    except RaiError:
        raise
    except Exception as error:
        columns = [column for table in tables.values() for column in getattr(table, "column_names", ())]
        first = without_values((str(error).strip().splitlines() or [""])[0][:300], known=columns, error=error)
        name = task.rpartition(":")[2]
        raise ModelError(f"fails in {name} ({type(error).__name__}: {first})", hint="See whether the model's library is supported") from error
    return answer


def _find(task: str) -> Callable[..., Any]:
    module, _, name = task.partition(":")
    if not module.startswith(PACKAGE) or not name.isidentifier() or name.startswith("_"):
        raise ValueError(f"{task!r} is no task of this package")
    found: Callable[..., Any] | None = getattr(importlib.import_module(module), name, None)
    if found is None or not callable(found):
        raise ValueError(f"{task!r} is no task of this package")
    return found
