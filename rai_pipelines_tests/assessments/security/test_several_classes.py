"""Robustness of classifiers with several classes: any other class counts, and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from rai_pipelines.assessments.base import AuditContext
from rai_pipelines.assessments.security.robustness import RobustnessParameters, assess_robustness
from rai_pipelines.errors import DataError, ModelError
from rai_pipelines.evidence.model import State, Status
from rai_pipelines.subjects.datasheet import parse_datasheet
from rai_pipelines.subjects.model_files import CheckedModel, load_model_files
from rai_pipelines.subjects.model_formats import query_of
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import Subject
from rai_pipelines_tests.assessments.security.network_subjects import applicants
from rai_pipelines_tests.subjects.test_pt2_archive import FOLDER

FEATURES = ("income", "age", "sex")
SHEET = """
schema: rai.datasheet/v1
model: m
purpose: Test
out_of_scope: [Anything else]
risk: {class: high, reason: Decides about people}
owner: {name: Team, contact: team@example.org}
task: multiclass_classification
columns:
  label: grade
  classes: [CLASSES]
  favourable_outcome: FAVOURABLE
  features: [income, age, sex]
  categorical_features: [sex]
  protected_attributes: {sex: {}}
data: {training: training.parquet, evaluation: evaluation.parquet}
robustness: {epsilon_l2: 0.3}
"""
NAMES = ("high", "low", "middle")
PARAMETERS = RobustnessParameters(sample=80, pool=300, control_rows=10, max_iter=2, init_eval=30, max_eval=60)


def graded(rows: int, seed: int, names: tuple[Any, ...] = ("low", "middle", "high")) -> pd.DataFrame:
    frame = applicants(rows, seed)
    levels = np.digitize(frame.income + frame.age / 4, [55, 66])
    return frame.assign(grade=np.array(names, dtype=object)[levels])


def context(folder: Path, model: Any, *, names: tuple[Any, ...] = ("low", "middle", "high"), declared: str | None = None) -> AuditContext:
    graded(400, 1, names).to_parquet(folder / "training.parquet")
    graded(300, 2, names).to_parquet(folder / "evaluation.parquet")
    classes = declared or ", ".join(str(name) for name in names)
    sheet = parse_datasheet(SHEET.replace("CLASSES", classes).replace("FAVOURABLE", str(names[-1])), source="d")
    return AuditContext(Subject(ModelVersion("m", "1"), sheet, folder, None, folder, lambda _folder, _sheet: model), 11, folder / "scratch")


def checked(native: Any) -> CheckedModel:
    frame = graded(400, 1)
    return CheckedModel(query_of(native.fit(frame[list(FEATURES)], frame.grade), "skops"), FEATURES, "high", "m")


@pytest.mark.parametrize(
    ("native", "fitting"),
    [
        (RandomForestClassifier(10, max_depth=6, random_state=1), set()),
        (DecisionTreeClassifier(max_depth=6, random_state=1), {"decision_tree"}),
        (make_pipeline(StandardScaler(), LogisticRegression()), {"fast_gradient", "gradient", "auto_pgd"}),
    ],
    ids=["forest", "tree", "regression"],
)
def test_several_classes_are_attacked_by_every_attack_that_fits(native: Any, fitting: set[str], tmp_path: Path) -> None:
    measured = assess_robustness(context(tmp_path, checked(native)), PARAMETERS)
    assert measured.status is Status.COMPLETE
    attacks = cast(Any, measured.details["attacks"])
    assert set(attacks) == {"hop_skip_jump", "valid_neighbours"} | fitting
    assert all(said == "effective" for said in attacks.values())
    figures = {(item.metric, item.group): item for item in measured.measurements}
    ratio = figures["robust_to_clean_ratio", None]
    assert ratio.state is State.MEASURED and ratio.value is not None and 0.3 < ratio.value < 1
    assert measured.details["against_the_threat_model"] == {}
    assert measured.details["a_changed_decision_is"] == "any other of 3 classes"


def test_rows_break_as_far_from_the_nearest_other_class_as_a_linear_model_says(tmp_path: Path) -> None:
    model = checked(LogisticRegression(max_iter=2_000))
    measured = assess_robustness(context(tmp_path, model), PARAMETERS.model_copy(update={"sample": 300}))
    training, evaluation = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("training", "evaluation"))
    step = np.array([training.income.std(ddof=0), training.age.std(ddof=0)])
    inputs = evaluation[list(FEATURES)]
    own = model.predict(inputs)
    right = np.asarray(own == evaluation.grade)
    native = model.native
    logits = native.decision_function(inputs)
    place = np.array([list(native.classes_).index(one) for one in own])
    nearest = np.full(len(inputs), np.inf)
    for other in range(3):  # the distance to the line between two classes, over the two numbers that can move
        apart = (native.coef_[place] - native.coef_[other])[:, :2] * step
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = (logits[np.arange(len(inputs)), place] - logits[:, other]) / np.linalg.norm(apart, axis=1)
        nearest = np.minimum(nearest, np.where(place == other, np.inf, distance))
    expected = float((nearest[right] > 0.3).mean())
    ratio = next(item for item in measured.measurements if item.metric == "robust_to_clean_ratio")
    assert ratio.value is not None
    assert expected <= ratio.value <= expected + 0.06  # ages are whole numbers, so some ways are longer; none can be shorter


def test_a_network_of_several_classes_is_attacked_along_its_gradients(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.pt2").write_bytes((FOLDER / "three.pt2").read_bytes())
    sheet = parse_datasheet(SHEET.replace("CLASSES", "0, 1, 2").replace("FAVOURABLE", "2"), source="d")
    measured = assess_robustness(context(tmp_path, load_model_files(tmp_path / "model", sheet), names=(0, 1, 2)), PARAMETERS)
    figures = {(item.metric, item.group): item.value for item in measured.measurements}
    assert (figures["clean_accuracy", None] or 0) > 0.8
    assert (figures["attack_success_rate", "auto_pgd"] or 0) > 0.05


def test_classes_that_the_datasheet_does_not_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="which columns"):
        assess_robustness(context(tmp_path, checked(DecisionTreeClassifier()), declared="low, high, other"), PARAMETERS)

    class Odd(CheckedModel):
        def predict(self, frame: pd.DataFrame) -> np.ndarray:
            return np.full(len(frame), "none of them", dtype=object)

    odd = checked(DecisionTreeClassifier())
    odd.__class__ = Odd
    with pytest.raises(ModelError, match="'none of them'"):
        assess_robustness(context(tmp_path, odd), PARAMETERS)
