"""An audit of the network that was trained by PyTorch and stored beside the tests of its reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rai_pipelines.assessments.base import AuditContext
from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.security.training_space import read_feature_space
from rai_pipelines.subjects.datasheet import RobustnessBudget, parse_datasheet
from rai_pipelines.subjects.model_files import CheckedModel, load_model_files
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import Subject
from rai_pipelines.tables.source import open_table
from rai_pipelines_tests.subjects.test_pt2_archive import FOLDER

FEATURES = ("income", "age", "sex")
SHEET = """
schema: rai.datasheet/v1
model: m
purpose: Test
out_of_scope: [Anything else]
risk: {class: high, reason: Decides about people}
owner: {name: Team, contact: team@example.org}
columns:
  label: y
  features: [income, age, sex]
  categorical_features: [sex]
  protected_attributes: {sex: {}}
data: {training: training.parquet, evaluation: evaluation.parquet}
robustness: {epsilon_l2: 0.3}
"""


def applicants(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"income": rng.normal(50, 12, rows), "age": rng.integers(18, 70, rows), "sex": rng.choice([1, 2], rows)})
    chance = 1 / (1 + np.exp(-(frame.income - 50) / 4 - (frame.age - 44) / 15))
    return frame.assign(y=(rng.random(rows) < chance).astype(int))


def network_model(folder: Path, name: str = "binary.pt2") -> CheckedModel:
    here = folder / "model"
    here.mkdir(exist_ok=True)
    (here / "model.pt2").write_bytes((FOLDER / name).read_bytes())
    loaded: Any = load_model_files(here, parse_datasheet(SHEET, source="d"))
    assert isinstance(loaded, CheckedModel)
    return loaded


def space_of_applicants(folder: Path, **budget: Any) -> FeatureSpace:
    applicants(400, 1).to_parquet(folder / "training.parquet")
    source = open_table("training.parquet", name="training", data_folder=folder)
    return read_feature_space(source, FEATURES, categorical=("sex",), immutable=("sex",), budget=RobustnessBudget(**budget))


def context(folder: Path, sheet: str = SHEET) -> AuditContext:
    applicants(400, 1).to_parquet(folder / "training.parquet")
    applicants(300, 2).to_parquet(folder / "evaluation.parquet")
    model = network_model(folder)
    subject = Subject(ModelVersion("m", "1"), parse_datasheet(sheet, source="d"), folder, None, folder, lambda _folder, _sheet: model)
    return AuditContext(subject, 11, folder / "scratch")
