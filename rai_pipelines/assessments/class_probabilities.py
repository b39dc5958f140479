"""What a classifier of several classes says of every class: probabilities in the order of the datasheet, asked where the model lives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import JsonValue

from rai_pipelines.errors import ModelError
from rai_pipelines.subjects.model_files import checked_scores
from rai_pipelines.subjects.subject import LoadedModel, Tables

if TYPE_CHECKING:
    import pandas as pd

    from rai_pipelines.subjects.model_files import CheckedModel

TASK = "rai_pipelines.assessments.class_probabilities:told_probabilities"
WHERE = "the probabilities of classes"


def class_probabilities(model: LoadedModel, frame: pd.DataFrame, classes: Sequence[str]) -> np.ndarray | None:
    """The probability of each of `classes`, shape (rows, classes); None where the model gives none, or has other classes.

    Raises:
        ModelError: the model fails, or answers with something else.
    """
    import pyarrow as pa

    answer, found = model.run(TASK, {"classes": list(classes)}, {"rows": pa.Table.from_pandas(frame, preserve_index=False)})
    if answer.get("told") is not True:
        return None
    return probabilities_in(found.get("probabilities"), "", len(classes), len(frame))


def probabilities_in(table: Any, prefix: str, classes: int, rows: int) -> np.ndarray:
    """The columns `prefix0`, `prefix1` ... of what a model's process sent, checked; shape (rows, classes).

    Raises:
        ModelError: they are not there, of another length, or no probabilities.
    """
    try:
        columns = [np.asarray(table.column(f"{prefix}{at}").to_numpy(zero_copy_only=False), dtype=float) for at in range(classes)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError("gives no probability of a class", where=WHERE, hint="The model tampers with its process: do not use it") from error
    if any(column.shape != (rows,) for column in columns):
        raise ModelError(f"gives probabilities for other than {rows} rows", where=WHERE, hint="Check predict_proba of the model")
    return checked_scores(np.column_stack(columns), WHERE)


def told_probabilities(model: CheckedModel, parameters: Mapping[str, JsonValue], tables: Tables) -> tuple[Mapping[str, JsonValue], Tables]:
    """Task: the probability of each of the named classes, in that order; `told` false where there are none or the model has other classes."""
    wanted: Any = parameters["classes"]
    names = [str(name) for name in wanted]
    if model.classes is None or set(model.classes) != set(names):
        return {"told": False}, {}
    shares = probabilities_by_class(model, tables["rows"].to_pandas(), names)
    return {"told": shares is not None}, {} if shares is None else {"probabilities": _columns("", shares)}


def probabilities_by_class(model: CheckedModel, frame: pd.DataFrame, names: Sequence[str]) -> np.ndarray | None:
    """Probabilities where the model is, shape (rows, names); 0 for a class that it does not know, None where it gives none.

    Raises:
        ModelError: the model fails, or its answer has another shape.
    """
    shares = model.probabilities(frame)
    if shares is None or model.classes is None:
        return None
    known = {name: at for at, name in enumerate(model.classes)}
    return np.column_stack([shares[:, known[name]] if name in known else np.zeros(len(frame)) for name in names])


def _columns(prefix: str, shares: np.ndarray) -> Any:
    import pyarrow as pa

    return pa.table({f"{prefix}{at}": pa.array(column) for at, column in enumerate(shares.T)})
