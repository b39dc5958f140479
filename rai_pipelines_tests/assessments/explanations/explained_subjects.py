"""Models of all kinds over the same synthetic people, ready to be explained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from rai_pipelines.assessments.base import AuditContext
from rai_pipelines.assessments.explanations.parameters import ExplanationParameters
from rai_pipelines.subjects.datasheet import Datasheet, parse_datasheet
from rai_pipelines.subjects.model_files import CheckedModel
from rai_pipelines.subjects.model_formats import Query, _estimator
from rai_pipelines.subjects.model_tasks import run_task
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import LoadedModel, Subject

DATASHEET = """
schema: rai.datasheet/v1
model: m
purpose: Test
out_of_scope: [Anything else]
risk: {class: high, reason: Decides about people}
owner: {name: Team, contact: team@example.org}
columns:
  label: y
  features: [age, income, visits, job, sex]
  categorical_features: [job, sex]
  immutable_features: [age]
  protected_attributes: {sex: {labels: {1: Male, 2: Female}}}
  row_id: row
data: {training: training.parquet, evaluation: evaluation.parquet}
"""
FEATURES = ["age", "income", "visits", "job", "sex"]
NUMBERS = ["age", "income", "visits", "sex"]
QUICK = ExplanationParameters(
    sample=60, background=30, pool=300, surrogate_rows=600, held_out_rows=400, lime_rows=8, lime_samples=200, counterfactual_rows=8,
    deletion_rows=20, deletion_repeats=3, stability_rows=10, stability_runs=2, trace_rows=4, resamples=200, min_rows=5,
)  # fmt: skip


def people(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "row": np.arange(rows) + 1000,
            "age": rng.integers(18, 65, rows),
            "income": rng.normal(50, 12, rows),
            "visits": rng.poisson(3, rows),
            "job": rng.choice(["cook", "nurse", "pilot"], rows),
            "sex": rng.choice([1, 2], rows),
        }
    )
    lean = (frame["income"] - 50) / 8 + (frame["visits"] - 3) / 2 + (frame["job"] == "nurse") - 0.8 * (frame["sex"] == 2)
    frame["y"] = (rng.random(rows) < 1 / (1 + np.exp(-lean))).astype(int)
    return frame


def write_tables(folder: Path, *, rows: int = 800) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and evaluation tables, in `folder`."""
    training, evaluation = people(rows, 1), people(rows // 2, 2)
    training.to_parquet(folder / "training.parquet")
    evaluation.to_parquet(folder / "evaluation.parquet")
    return training, evaluation


def sheet_of(text: str = DATASHEET, **changes: str) -> Datasheet:
    """The datasheet with pieces of its text replaced, as `old="new"` pairs by position in the text."""
    for old, new in changes.items():
        text = text.replace(old, new)
    return parse_datasheet(text, source="datasheet")


def numbers_only(text: str = DATASHEET) -> str:
    """The datasheet of a model that does not read the job."""
    return text.replace("income, visits, job, sex]", "income, visits, sex]").replace("[job, sex]", "[sex]")


def checked(native: Any, sheet: Datasheet) -> CheckedModel:
    """A fitted estimator as the audit loads it."""
    query = native if isinstance(native, Query) else _estimator(native, "skops")
    return CheckedModel(query, tuple(sheet.columns.features), sheet.columns.favourable_outcome, "model")


def context_of(folder: Path, model: LoadedModel, sheet: Datasheet, *, seed: int = 11, digest: str = "0") -> AuditContext:
    """An audit of `model`; the tables are in `folder`."""
    subject = Subject(ModelVersion("m", "1"), sheet, folder, "sha256:" + digest * 64, folder, lambda _folder, _sheet: model)
    return AuditContext(subject, seed, folder / "scratch")


class RuleModel:
    """Decisions and scores by formulas over the frame; remembers what it was asked."""

    flavor, native, classes = "rule", None, None

    def __init__(self, decide: Any, score: Any = None, *, features: tuple[str, ...] = tuple(FEATURES)) -> None:
        self.decide, self.rate, self.features = decide, score, features
        self.seen: list[pd.DataFrame] = []

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        self.seen.append(frame.copy())
        return np.asarray(self.decide(frame))

    def score(self, frame: pd.DataFrame) -> np.ndarray | None:
        self.seen.append(frame.copy())
        return None if self.rate is None else np.asarray(self.rate(frame), dtype=float)

    def run(self, task: str, parameters: Mapping[str, Any], tables: Any) -> tuple[Mapping[str, Any], Any]:
        return run_task(task, cast(Any, self), parameters, tables)
