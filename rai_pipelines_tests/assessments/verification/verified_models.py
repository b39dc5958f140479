"""Small models over small tables, and every answer found by trying all cells."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rai_pipelines.assessments.base import AuditContext
from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.security.robust_sample import decisions_of
from rai_pipelines.assessments.security.training_space import read_feature_space
from rai_pipelines.assessments.verification.described_model import Described, describe
from rai_pipelines.assessments.verification.domain import Asked, Region, whole_domain
from rai_pipelines.assessments.verification.trees import Ensemble
from rai_pipelines.errors import DatasheetError
from rai_pipelines.subjects.datasheet import Datasheet, RobustnessBudget
from rai_pipelines.subjects.model_files import CheckedModel
from rai_pipelines.subjects.model_formats import _estimator
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.safety_properties import SafetyProperty
from rai_pipelines.subjects.subject import Subject
from rai_pipelines.tables.source import open_table
from rai_pipelines.yaml_documents import parse_yaml_document

FEATURES = ("x", "n", "job")


class Declared(Datasheet):
    """A datasheet with the section on safety properties."""

    safety_properties: tuple[SafetyProperty, ...] = ()


DATASHEET = """
schema: rai.datasheet/v1
model: m
purpose: Test
out_of_scope: [Anything else]
risk: {class: high, reason: Decides about people}
owner: {name: Team, contact: team@example.org}
columns:
  label: y
  features: [x, n, job]
  categorical_features: [job]
  protected_attributes: {job: {}}
data: {training: training.parquet, evaluation: training.parquet}
robustness: {epsilon_l2: 0.3}
"""


def rows(number: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=number), "n": rng.integers(0, 6, number), "job": rng.integers(1, 4, number)})
    noise = rng.normal(scale=0.8, size=number)
    return frame.assign(y=((frame.x + 0.3 * frame.n - 0.5 * (frame.job == 2) + noise) > 0.7).astype(int))


def checked(native: Any, favourable: str = "1") -> CheckedModel:
    return CheckedModel(_estimator(native, "test"), FEATURES, favourable, "m")


def space_of(folder: Path, frame: pd.DataFrame, *, immutable: tuple[str, ...] = (), **budget: Any) -> FeatureSpace:
    frame.to_parquet(folder / "training.parquet")
    source = open_table("training.parquet", name="training", data_folder=folder)
    return read_feature_space(source, FEATURES, categorical=("job",), immutable=immutable, budget=RobustnessBudget(**budget))


def asked_of(model: CheckedModel, space: FeatureSpace, frame: pd.DataFrame) -> Asked:
    return Asked(space, frame[list(FEATURES)], lambda table: decisions_of(model, table, model.favourable, "m"), model.score)


def described(model: CheckedModel, space: FeatureSpace, frame: pd.DataFrame) -> tuple[Described, Asked, Region]:
    asked, region = asked_of(model, space, frame), whole_domain(space)
    return describe(model, FEATURES, asked=asked, region=region, rows=space.encode(frame), seed=5), asked, region


def every_cell(ensemble: Ensemble, region: Region) -> np.ndarray:
    """One vector for each combination of cells that the region reaches, from the thresholds themselves."""
    return np.array(list(_combinations(ensemble, region)))


def _combinations(ensemble: Ensemble, region: Region) -> Iterator[tuple[float, ...]]:
    values: list[list[float]] = []
    for at, feature in enumerate(region.space.features):
        if feature.values is not None:
            values.append([float(code) for code in region.codes[at]])
        elif feature.integer:
            values.append([float(number) for number in range(int(region.low[at]), int(region.high[at]) + 1)])
        else:
            cuts = ensemble.grid.cuts[at]
            values.append(sorted({region.high[at], region.low[at], *cuts[(cuts >= region.low[at]) & (cuts <= region.high[at])]}))
    yield from product(*values)


def context(folder: Path, native: Any, frame: pd.DataFrame, extra: str = "", datasheet: str = DATASHEET) -> AuditContext:
    frame.to_parquet(folder / "training.parquet")
    sheet = parse_yaml_document(datasheet + extra, Declared, source="d", error=DatasheetError)
    model = native if hasattr(native, "run") else checked(native)
    subject = Subject(ModelVersion("m", "1"), sheet, folder, "sha256:" + "0" * 64, folder, lambda _folder, _sheet: model)
    return AuditContext(subject, 11, folder / "scratch")


def keeps(item: SafetyProperty, places: np.ndarray, score: np.ndarray, favoured: np.ndarray, decisions: np.ndarray, free: list[int]) -> bool:
    """Whether what a model answers at these places has the property; `free` are the inputs that it is about. A change within rounding is none."""
    if item.bounded_output is not None:
        return bool(score.min() >= item.bounded_output.low and score.max() <= item.bounded_output.high)
    if item.rule is not None:
        if item.rule.decision is not None:
            return bool((favoured == (item.rule.decision == "favourable")).all())
        return bool(score.max() <= (item.rule.score_at_most or 1.0) and score.min() >= (item.rule.score_at_least or 0.0))
    lines: dict[tuple[float, ...], list[tuple[float, float, int]]] = {}
    for place, one, decision in zip(places, score, decisions, strict=True):
        lines.setdefault(tuple(np.delete(place, free)), []).append((place[free[0]], one, int(decision)))
    for line in lines.values():
        along = sorted(line)
        if item.monotone is not None:
            sign = 1 if item.monotone.direction == "increasing" else -1
            if any(sign * (later[1] - earlier[1]) < -1e-9 for earlier, later in pairwise(along)):
                return False
        elif item.invariant_to is not None:
            tolerance = item.invariant_to.score_tolerance
            if len({one[2] for one in along}) > 1 or (tolerance is not None and np.ptp([one[1] for one in along]) > tolerance):
                return False
    return True
