"""What one assessment may ask of a model: counted in rows, which cut the same everywhere, and bounded in seconds, for a model that hangs.

Assessments plan with a part of their queries, cut rows or effort where these do not do, and say so. What is here is the hard end behind that:
whoever reaches it gets no answer any more, and the assessment ends as an error, whatever it has found until then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import JsonValue

from rai_pipelines.assessments import class_probabilities
from rai_pipelines.assessments.base import Assess, AuditContext, Measured
from rai_pipelines.errors import BudgetSpent, RaiError
from rai_pipelines.evidence.model import Status
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.subjects.subject import LoadedModel, ModelLoader, Tables

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PLANNED = 0.8  # of the queries and seconds; the rest is for steps whose number depends on what is found
PROGRESS_EVERY_S = 5.0
QUERIES, SECONDS = "queries", "seconds"
COUNTED = (class_probabilities.TASK,)  # tasks that ask the model about their `rows` once, as `score` does
T = TypeVar("T")


@dataclass(frozen=True)
class Budget:
    """Rows that the model may be asked about (a decision and a score of one row are two), and seconds from the first question on."""

    queries: int
    seconds: float

    @property
    def planned_queries(self) -> int:
        """What an assessment plans with."""
        return int(self.queries * PLANNED)

    @property
    def planned_seconds(self) -> float:
        """When an assessment that can end early does."""
        return self.seconds * PLANNED


@dataclass(frozen=True)
class Progress:
    """How far an assessment is."""

    title: str
    queries: int
    of: int

    def __str__(self) -> str:
        return f"{self.title}: {self.queries:,} of {self.of:,} queries"


OnProgress = Callable[[Progress], None]


def within_budget(assess: Assess, budget: Budget, title: str, on_progress: OnProgress | None = None) -> Assess:
    """`assess` with a model that stops answering at the end of `budget`; `details.budget` says what was allotted, asked and cut.

    A figure made after the end may rest on a question without an answer (some parts count what a model does not answer), so there is none:
    the evidence has status `error`, names the limit, and is marked `cut`.
    """

    def run(context: AuditContext, parameters: Any) -> Measured:
        meter = Meter(budget, title, on_progress)
        metered = replace(context, subject=replace(context.subject, loader=meter.loader(context.subject.loader)))
        try:
            measured = assess(metered, parameters)
        except Exception:  # whatever follows from an answer that did not come
            if meter.spent is None:
                raise
            measured = Measured()
        finally:
            meter.tell()
        if meter.spent is not None:
            return Measured(status=Status.ERROR, reason=str(meter.ended()), details={"budget": meter.told()})
        return replace(measured, details={**measured.details, "budget": meter.told()})

    return run


class Meter:
    """Counts what is asked of the models that `loader` loads, and ends it."""

    def __init__(self, budget: Budget, title: str, on_progress: OnProgress | None = None) -> None:
        self.budget, self.title, self.on_progress = budget, title, on_progress
        self.queries = 0
        self.spent: str | None = None  # what was reached first
        self.ends: float | None = None
        self._told_at = time.monotonic()
        self._told_queries = 0

    def loader(self, loader: ModelLoader | None) -> ModelLoader | None:
        """`loader`, with models that are metered."""
        return partial(self._load, loader) if loader is not None else None

    def ask(self, model: LoadedModel, rows: int, question: Callable[[], T]) -> T:
        """`question()`, which asks `model` about `rows` rows.

        Raises:
            BudgetSpent: the budget does not hold it, or the time is over before there is an answer.
        """
        now = time.monotonic()
        self.ends = now + self.budget.seconds if self.ends is None else self.ends
        if self.spent is None and self.queries + rows > self.budget.queries:
            self.spent = QUERIES
        if self.spent is None and now >= self.ends:
            self.spent = SECONDS
        if self.spent is not None:
            raise self.ended()
        self.queries += rows
        if hasattr(model, "deadline"):  # a process of its own can be ended while it works
            model.deadline = self.ends
        try:
            return question()
        except RaiError as error:
            if time.monotonic() < self.ends:
                raise
            self.spent = SECONDS
            raise self.ended() from error
        finally:
            if hasattr(model, "deadline"):
                model.deadline = None
            if time.monotonic() - self._told_at >= PROGRESS_EVERY_S:
                self.tell()

    def ended(self) -> BudgetSpent:
        """What is raised at the end, in words."""
        if self.spent == QUERIES:
            what, hint = f"asks for more than its {self.budget.queries:,} queries", "Raise budgets in the policy"
        else:
            what, hint = f"was not done within its {self.budget.seconds:g} seconds", "Look how fast the model answers, or raise budgets in the policy"
        return BudgetSpent(f"{what}, so nothing is concluded", where=self.title, hint=hint)

    def tell(self) -> None:
        """Report how far it is, when there is something new."""
        if self.on_progress is not None and self.queries > self._told_queries:
            self.on_progress(Progress(self.title, self.queries, self.budget.queries))
            self._told_queries = self.queries
        self._told_at = time.monotonic()

    def told(self) -> dict[str, JsonValue]:
        """For evidence. How many seconds it took is not told: it differs from run to run."""
        asked = None if self.spent == SECONDS else self.queries  # where time cut, the number is chance
        return {"queries": self.budget.queries, "queries_asked": asked, "seconds": self.budget.seconds, "cut_by": self.spent}

    def _load(self, loader: ModelLoader, folder: Path, datasheet: Datasheet) -> LoadedModel:
        return _Metered(loader(folder, datasheet), self)


class _Metered:
    """A `LoadedModel` whose questions are counted."""

    def __init__(self, model: LoadedModel, meter: Meter) -> None:
        self._model, self._meter = model, meter
        self.flavor, self.features = model.flavor, model.features

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return self._meter.ask(self._model, len(frame), lambda: self._model.predict(frame))

    def score(self, frame: pd.DataFrame) -> np.ndarray | None:
        return self._meter.ask(self._model, len(frame), lambda: self._model.score(frame))

    def run(self, task: str, parameters: Mapping[str, JsonValue], tables: Tables) -> tuple[Mapping[str, JsonValue], Tables]:
        rows = tables["rows"].num_rows if task in COUNTED else 0
        return self._meter.ask(self._model, rows, lambda: self._model.run(task, parameters, tables))
