"""Integers out of an engine, whole: pandas keeps a column of integers with a null in it as doubles, which hold no integer beyond 2**53."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

LARGEST_IN_A_DOUBLE = 2**53


def execute_exactly(execute: Callable[[Any], Any], expression: Any) -> Any:
    """What `execute` answers; where that rounded an integer, the expression is executed again with the column as text.

    A rounded integer is still at least 2**53 in size, so that the first answer tells. Columns asked for again are pandas' Int64 or UInt64.
    """
    import pandas as pd

    answer = execute(expression)
    if not isinstance(answer, pd.DataFrame):
        return answer
    rounded = _rounded_columns(answer, expression)
    if not rounded:
        return answer
    answer = execute(expression.mutate(**{name: expression[name].cast("string") for name in rounded}))
    for name in rounded:
        kind: Any = "UInt64" if expression[name].type().is_unsigned_integer() else "Int64"
        answer[name] = pd.array([None if pd.isna(text) else int(text) for text in answer[name]], dtype=kind)
    return answer


def _rounded_columns(answer: pd.DataFrame, expression: Any) -> list[str]:
    return [
        name
        for name, kind in expression.schema().items()
        if kind.is_integer() and answer[name].dtype.kind == "f" and bool((answer[name].abs() >= LARGEST_IN_A_DOUBLE).any())
    ]
