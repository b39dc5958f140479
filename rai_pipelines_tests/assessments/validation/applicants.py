"""Tables of applicants and the context of an audit of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.validation.reading import ValidatedTable, expected_of, features_of, read_table
from rai_pipelines.assessments.validation.suite import Outcome
from rai_pipelines.evidence.model import Measurement
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import Subject

COLUMNS: dict[str, Any] = {
    "label": "hired",
    "favourable_outcome": "1",
    "features": ["age", "degree", "score"],
    "protected_attributes": {"sex": {}},
    "quasi_identifiers": ["age", "sex"],
}


def applicants(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    age = random.integers(20, 60, rows)
    score = random.normal(50, 10, rows).round(3)
    return pd.DataFrame(
        {
            "age": age,
            "degree": random.choice(["none", "bachelor", "master"], rows),
            "score": score,
            "sex": random.choice(["F", "M"], rows),
            "hired": (score + random.normal(0, 10, rows) > 50).astype(int),
        }
    )


def context_of(folder: Path, training: pd.DataFrame | None, evaluation: pd.DataFrame, **columns: Any) -> AuditContext:
    evaluation.to_parquet(folder / "evaluation.parquet", index=False)
    columns_folder = columns.pop("model_folder", None)
    data = {"evaluation": "evaluation.parquet"}
    if training is not None:
        training.to_parquet(folder / "training.parquet", index=False)
        data["training"] = "training.parquet"
    task = columns.pop("task", "binary_classification")
    datasheet = Datasheet.model_validate(
        {
            "task": task,
            "schema": "rai.datasheet/v1",
            "model": "hiring",
            "purpose": "testing",
            "out_of_scope": ["anything else"],
            "risk": {"class": "high", "reason": "employment"},
            "owner": {"name": "Data team", "contact": "data@example.org"},
            "columns": COLUMNS | columns,
            "data": data,
        }
    )
    subject = Subject(version=ModelVersion("hiring", "1"), datasheet=datasheet, folder=columns_folder, model_digest=None, data_folder=folder)
    return AuditContext(subject=subject, seed=3, scratch=folder)


def tables_of(context: AuditContext) -> tuple[ValidatedTable | None, ValidatedTable]:
    """Training and evaluation table as the assessment reads them; no rows are held."""
    columns = context.subject.datasheet.columns
    sources = {name: context.table(name) for name in ("training", "evaluation") if context.has_table(name)}
    features, _ = features_of(columns, sources)
    read = {
        name: read_table(source, expected_of(name, columns, features, declared=True, runs_a_model=True), also=(), max_rows=0, values_cap=100)
        for name, source in sources.items()
    }
    return read.get("training"), read["evaluation"]


def as_measured(measurements: list[Measurement], told: list[Outcome], **details: Any) -> Measured:
    """What one part of the assessment found, in the form of the whole."""
    return Measured(tuple(measurements), {"expectations": [item.as_detail() for item in told], **details})


def outcomes(measured: Measured, expectation: str) -> dict[tuple[str, str | None], bool | None]:
    """(table, column) to success of one kind of expectation."""
    rows: Any = measured.details["expectations"]
    return {(row["table"], row["column"]): row["success"] for row in rows if row["expectation"] == expectation}


def find(measured: Measured, metric: str, **where: Any) -> list[Measurement]:
    """The measurements of `metric` whose fields equal `where`."""
    return [item for item in measured.measurements if item.metric == metric and all(getattr(item, key) == want for key, want in where.items())]
