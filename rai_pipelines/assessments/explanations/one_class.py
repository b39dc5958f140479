"""A classifier of several classes seen as one of two: one of its classes, or any other. So each class is explained for itself."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import JsonValue

from rai_pipelines.assessments.base import AuditContext
from rai_pipelines.errors import ModelError
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.subjects.model_files import checked_scores
from rai_pipelines.subjects.model_tasks import run_task
from rai_pipelines.subjects.subject import LoadedModel, Tables

if TYPE_CHECKING:
    import pandas as pd

    from rai_pipelines.subjects.model_files import CheckedModel

SCORES = "rai_pipelines.assessments.explanations.one_class:class_scores"
WITHIN = "rai_pipelines.assessments.explanations.one_class:for_class"


def context_for_class(context: AuditContext, name: str) -> AuditContext:
    """The audit as if its model told that class from all others, and that class were the favourable outcome.

    Raises, when the model is loaded:
        As the audit's own loader.
    """
    subject, sheet = context.subject, context.subject.datasheet
    columns = sheet.columns.model_copy(update={"favourable_outcome": name, "classes": ()})
    seen = sheet.model_copy(update={"task": "binary_classification", "columns": columns})

    def load(folder: Path, datasheet: Datasheet) -> LoadedModel:  # the audit's loader has both already
        return OneClass(subject.load_model(), name)

    return replace(context, subject=replace(subject, datasheet=seen, loader=load))


class OneClass:
    """A `LoadedModel` whose score is the probability of one class; its decisions are the model's own."""

    def __init__(self, model: LoadedModel, name: str) -> None:
        self.model, self.name = model, name
        self.flavor, self.features = model.flavor, model.features

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return self.model.predict(frame)

    def score(self, frame: pd.DataFrame) -> np.ndarray | None:
        import pyarrow as pa

        table = pa.Table.from_pandas(frame, preserve_index=False)
        answer, found = self.model.run(SCORES, {"class": self.name}, {"rows": table})
        if answer.get("scored") is not True:
            return None
        try:
            scores = np.asarray(found["scores"].column("score").to_numpy(zero_copy_only=False), dtype=float)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError("gives no probability of a class", hint="The model tampers with its process: do not use it") from error
        if scores.shape != (len(frame),):
            raise ModelError(f"gives {len(scores)} probabilities for {len(frame)} rows", hint="Check predict_proba of the model")
        return checked_scores(scores, "the probability of a class")

    def run(self, task: str, parameters: Mapping[str, JsonValue], tables: Tables) -> tuple[Mapping[str, JsonValue], Tables]:
        return self.model.run(WITHIN, {"task": task, "class": self.name, "parameters": dict(parameters)}, tables)


def class_scores(model: CheckedModel, parameters: Mapping[str, JsonValue], tables: Tables) -> tuple[Mapping[str, JsonValue], Tables]:
    """Task: the probability of one class for each row, where the model gives any."""
    import pyarrow as pa

    scores = _seen_as(model, str(parameters["class"])).score(tables["rows"].to_pandas())
    return {"scored": scores is not None}, {} if scores is None else {"scores": pa.table({"score": pa.array(scores)})}


def for_class(model: CheckedModel, parameters: Mapping[str, JsonValue], tables: Tables) -> tuple[Mapping[str, JsonValue], Tables]:
    """Task: another task, for a model whose favourable outcome is one class."""
    inner: Any = parameters["parameters"]
    return run_task(str(parameters["task"]), _seen_as(model, str(parameters["class"])), inner, tables)


def _seen_as(model: CheckedModel, name: str) -> CheckedModel:
    other = copy.copy(model)
    other.favourable = name
    return other
