"""Performance of several classes, numbers and scores against scikit-learn on the raw rows; intervals that cover."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.performance.figures import PerformanceParameters
from rai_pipelines.assessments.performance.report import assess_performance
from rai_pipelines.evidence.model import Measurement, State, Status
from rai_pipelines.subjects.datasheet import parse_datasheet
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import Subject

DATASHEET = """
schema: rai.datasheet/v1
model: m
purpose: Testing
out_of_scope: [Anything else]
risk: {class: low, reason: Testing}
owner: {name: Team, contact: team@example.org}
task: TASK
columns: {label: y, COLUMNS, protected_attributes: {sex: {}, age: {bins: [0, 40, 100]}}}
data: {evaluation: rows.parquet}
"""
COLUMNS = {
    "multiclass_classification": "prediction: p, classes: [low, mid, high]",
    "regression": "prediction: p",
    "scoring": "score: p",
}
QUICK = PerformanceParameters(resamples=1_000)


def report(frame: pd.DataFrame, task: str, folder: Path) -> Measured:
    frame.to_parquet(folder / "rows.parquet")
    datasheet = parse_datasheet(DATASHEET.replace("TASK", task).replace("COLUMNS", COLUMNS[task]), source="datasheet.yaml")
    subject = Subject(ModelVersion("m", "1"), datasheet, None, None, folder)
    return assess_performance(AuditContext(subject, 5, folder / "scratch"), QUICK)


def people(rows: int = 2_000, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"sex": rng.choice(["f", "m"], rows), "age": rng.integers(18, 90, rows), "x": rng.normal(size=rows)})


def one(measured: Measured, metric: str, **where: Any) -> Measurement:
    where = {"attribute": None, "group": None, "outcome": None} | where
    (item,) = [item for item in measured.measurements if item.metric == metric and all(getattr(item, key) == value for key, value in where.items())]
    return item


def test_several_classes_have_scikit_learns_figures(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    frame = people().assign(y=lambda f: rng.choice(["low", "mid", "high"], len(f), p=[0.5, 0.3, 0.2]))
    frame["p"] = np.where(rng.random(len(frame)) < 0.7, frame["y"], rng.choice(["low", "mid", "high"], len(frame)))
    measured = report(frame, "multiclass_classification", tmp_path)
    y, p = frame["y"], frame["p"]
    majority = y.value_counts(normalize=True).max()
    expected = {
        "accuracy": metrics.accuracy_score(y, p),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, p),
        "macro_f1": metrics.f1_score(y, p, average="macro"),
        "majority_class_rate": majority,
        "accuracy_over_majority": metrics.accuracy_score(y, p) - majority,
    }
    for metric, value in expected.items():
        item = one(measured, metric)
        assert item.value == pytest.approx(value, abs=1e-12)
        assert item.interval is not None
        assert item.interval.low <= value <= item.interval.high
    recalls = metrics.recall_score(y, p, average=None, labels=["low", "mid", "high"])
    for name, value in zip(["low", "mid", "high"], recalls, strict=True):
        assert one(measured, "recall", outcome=name).value == pytest.approx(value, abs=1e-12)
    own = frame[frame["sex"] == "f"]
    assert one(measured, "accuracy", attribute="sex", group="f").value == pytest.approx((own["y"] == own["p"]).mean(), abs=1e-12)


def test_numbers_have_scikit_learns_figures(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    frame = people().assign(y=lambda f: 1_000 + 3 * f["x"] + rng.normal(size=len(f)), p=lambda f: 1_000 + 2.5 * f["x"])
    frame.loc[:99, "y"] = np.nan
    measured = report(frame, "regression", tmp_path)
    labelled = frame.dropna()
    y, p = labelled["y"], labelled["p"]
    assert one(measured, "r_squared").value == pytest.approx(metrics.r2_score(y, p), abs=1e-9)
    assert one(measured, "rmse").value == pytest.approx(metrics.root_mean_squared_error(y, p), rel=1e-9)
    assert one(measured, "mean_absolute_error").value == pytest.approx(metrics.mean_absolute_error(y, p), rel=1e-9)
    assert one(measured, "mean_residual").value == pytest.approx((p - y).mean(), abs=1e-9)
    old = labelled[labelled["age"] >= 40]
    assert one(measured, "rmse", attribute="age", group="[40, 100)").value == pytest.approx(metrics.root_mean_squared_error(old["y"], old["p"]))
    assert (measured.details["rows"], measured.details["unlabelled_rows"]) == (2_000, 100)


@pytest.mark.slow
def test_the_interval_of_the_share_of_variation_explained_covers_the_true_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    truth = 1 - (0.5**2 + 1) / 10  # residual variance over variance of y = 3 x + e, predicted as 2.5 x
    held = 0
    for trial in range(60):
        frame = people(500, seed=trial).assign(y=lambda f: 3 * f["x"] + rng.normal(size=len(f)), p=lambda f: 2.5 * f["x"])
        interval = one(report(frame, "regression", tmp_path), "r_squared").interval
        assert interval is not None
        held += interval.low <= truth <= interval.high
    assert held >= 47  # 54 are expected at 90 %; three standard errors below


def test_a_constant_label_leaves_nothing_to_explain(tmp_path: Path) -> None:
    measured = report(people(100).assign(y=5.0, p=lambda f: f["x"]), "regression", tmp_path)
    assert one(measured, "r_squared").state is State.UNDEFINED


def test_scores_have_an_area_and_a_lead_over_chance(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    frame = people().assign(p=lambda f: f["x"] + rng.normal(size=len(f)), y=lambda f: (f["x"] > 0).astype(int))
    measured = report(frame, "scoring", tmp_path)
    area = metrics.roc_auc_score(frame["y"], frame["p"])
    assert one(measured, "roc_auc").value == pytest.approx(area, abs=1e-12)
    lead = one(measured, "auc_over_chance")
    assert lead.value == pytest.approx(area - 0.5, abs=1e-12)
    assert lead.interval is not None
    assert lead.interval.low > 0
    assert one(measured, "roc_auc", attribute="sex", group="m").n == int((frame["sex"] == "m").sum())


@pytest.mark.parametrize("task", COLUMNS)
def test_without_a_single_label_the_report_is_missing(task: str, tmp_path: Path) -> None:
    frame = people(50).assign(p=lambda f: "low" if task.startswith("multi") else f["x"])
    frame["y"] = pd.Series([None] * 50, dtype="object" if task.startswith("multi") else "float64")
    if task.startswith("multi"):
        frame["y"] = frame["y"].astype("string")
    assert report(frame, task, tmp_path).status is Status.MISSING
