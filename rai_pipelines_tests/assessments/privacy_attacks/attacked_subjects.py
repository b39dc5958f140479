"""Subjects for the tests: people with an outcome that is hard to learn, and models that learnt much or little of them by heart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.evidence.model import Measurement
from rai_pipelines.subjects.datasheet import Datasheet, parse_datasheet
from rai_pipelines.subjects.model_files import CheckedModel
from rai_pipelines.subjects.model_formats import _estimator
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.privacy_budget import PrivacyDeclaration
from rai_pipelines.subjects.subject import Subject

FEATURES = ["income", "age", "job", "sex", "ill"]
TEXT = """
schema: rai.datasheet/v1
model: m
purpose: Test
out_of_scope: [Anything else]
risk: {class: high, reason: Decides about people}
owner: {name: Team, contact: team@example.org}
task: TASK
columns:
  label: y
  features: [income, age, job, sex, ill]
  categorical_features: [job]
  protected_attributes: {sex: {}, age: {bins: [18, 40, 70]}, rare: {}}
  sensitive_attributes: [ill, region]
data: {training: training.parquet, evaluation: evaluation.parquet}
"""


class DeclaringDatasheet(Datasheet):
    """A datasheet with the section `privacy`."""

    privacy: PrivacyDeclaration = PrivacyDeclaration()


def people(rows: int, seed: int) -> pd.DataFrame:
    """The outcome follows income and illness, with much chance; illness follows age a little."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "income": rng.normal(50, 12, rows),
            "age": rng.integers(18, 70, rows),
            "job": rng.integers(0, 5, rows),
            "sex": rng.choice([1, 2], rows),
            "region": rng.choice(["north", "south"], rows),
            "rare": rng.choice(["common", "rare"], rows, p=[0.99, 0.01]),
        }
    )
    frame["ill"] = (rng.random(rows) < 0.2 + 0.004 * frame["age"]).astype(int)
    chance = 1 / (1 + np.exp(-(frame["income"] - 50) / 12 + 2 * (frame["ill"] - 0.4)))
    frame["y"] = (rng.random(rows) < chance).astype(int)
    return frame


def context(
    folder: Path,
    estimator: Any,
    training: pd.DataFrame,
    evaluation: pd.DataFrame,
    *,
    task: str = "binary_classification",
    privacy: Any = None,
    seed: int = 3,
) -> AuditContext:
    """An audit of `estimator`, fitted here to the whole training table."""
    training.to_parquet(folder / "training.parquet")
    evaluation.to_parquet(folder / "evaluation.parquet")
    estimator.fit(training[FEATURES], training["y"])
    sheet = parse_datasheet(TEXT.replace("TASK", task), source="datasheet.yaml")
    if privacy is not None:
        content = {**sheet.model_dump(mode="json", by_alias=True), "privacy": {"differential_privacy": privacy}}
        sheet = DeclaringDatasheet.model_validate(content)
    model = CheckedModel(_estimator(estimator, "sklearn"), tuple(FEATURES), "1", "model")
    return AuditContext(Subject(ModelVersion("m", "1"), sheet, folder, None, folder, lambda _folder, _sheet: model), seed, folder / "scratch")


def one(measured: Measured, metric: str, **where: Any) -> Measurement:
    """The only figure of that name; about everybody and every class, but for what `where` says."""
    where = {"attribute": None, "group": None, "outcome": None} | where
    (item,) = [item for item in measured.measurements if item.metric == metric and all(getattr(item, key) == value for key, value in where.items())]
    return item
