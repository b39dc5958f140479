"""Performance figures against scikit-learn on the raw rows."""

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
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import Measurement, State, Status
from rai_pipelines.subjects.datasheet import parse_datasheet
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import Subject

DATASHEET = """
schema: rai.datasheet/v1
model: loans
purpose: Estimates repayment.
out_of_scope: [Anything else]
risk: {class: high, reason: Decides about people}
owner: {name: Team, contact: team@example.org}
columns: {label: paid, prediction: decision, score: score, protected_attributes: {group: {}, age: {bins: [0, 40, 100]}}}
data: {evaluation: rows.parquet}
"""
PARAMETERS = PerformanceParameters(resamples=1_000)


def people(rows: int = 3_000) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    score = rng.random(rows)
    return pd.DataFrame(
        {
            "group": rng.choice(["a", "b", "c"], rows, p=[0.6, 0.395, 0.005]),
            "age": rng.integers(18, 90, rows),
            "paid": (rng.random(rows) < 0.2 + 0.6 * score).astype(int),
            "decision": (score > 0.4).astype(int),
            "score": score,
        }
    )


def report(frame: pd.DataFrame, folder: Path, datasheet: str = DATASHEET, parameters: PerformanceParameters = PARAMETERS) -> Measured:
    frame.to_parquet(folder / "rows.parquet")
    subject = Subject(ModelVersion("loans", "1"), parse_datasheet(datasheet, source="datasheet.yaml"), None, None, folder)
    return assess_performance(AuditContext(subject, 5, folder / "scratch"), parameters)


def one(measured: Measured, metric: str, **where: Any) -> Measurement:
    where = {"attribute": None, "group": None} | where
    (item,) = [item for item in measured.measurements if item.metric == metric and all(getattr(item, key) == value for key, value in where.items())]
    return item


def test_headline_figures_equal_scikit_learn_on_the_raw_rows(tmp_path: Path) -> None:
    frame = people()
    measured = report(frame, tmp_path)
    y, p, s = frame["paid"], frame["decision"], frame["score"]
    majority = max(y.mean(), 1 - y.mean())
    expected = {
        "accuracy": metrics.accuracy_score(y, p),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, p),
        "precision": metrics.precision_score(y, p),
        "recall": metrics.recall_score(y, p),
        "specificity": metrics.recall_score(y, p, pos_label=0),
        "f1": metrics.f1_score(y, p),
        "roc_auc": metrics.roc_auc_score(y, s),
        "brier_score": metrics.brier_score_loss(y, s),
        "majority_class_rate": majority,
        "accuracy_over_majority": metrics.accuracy_score(y, p) - majority,
    }
    for metric, value in expected.items():
        item = one(measured, metric)
        assert item.value == pytest.approx(value, abs=1e-12)
        assert item.interval is not None
        assert item.interval.low <= value <= item.interval.high
        assert (item.state, item.n) == (State.MEASURED, len(frame))


def test_slices_equal_scikit_learn_and_small_ones_are_insufficient(tmp_path: Path) -> None:
    frame = people()
    measured = report(frame, tmp_path)
    for attribute, groups in (("group", frame["group"]), ("age", np.where(frame["age"] < 40, "[0, 40)", "[40, 100)"))):
        for group, rows in frame.groupby(groups):
            accuracy, area = (one(measured, metric, attribute=attribute, group=group) for metric in ("accuracy", "roc_auc"))
            assert accuracy.value == pytest.approx((rows["paid"] == rows["decision"]).mean(), abs=1e-12)
            assert area.value == pytest.approx(metrics.roc_auc_score(rows["paid"], rows["score"]), abs=1e-12)
            assert accuracy.state is (State.INSUFFICIENT if len(rows) < 30 else State.MEASURED)
    assert one(measured, "recall", attribute="group", group="c").state is State.INSUFFICIENT


def test_without_scores_area_and_brier_score_are_unavailable(tmp_path: Path) -> None:
    measured = report(people(), tmp_path, DATASHEET.replace(" score: score,", ""))
    for metric in ("roc_auc", "brier_score"):
        assert (one(measured, metric).value, one(measured, metric).state) == (None, State.UNAVAILABLE)
    assert one(measured, "accuracy").state is State.MEASURED


def test_scores_that_are_no_probabilities_have_an_area_and_no_brier_score(tmp_path: Path) -> None:
    frame = people()
    measured = report(frame.assign(score=frame["score"] * 10 - 5), tmp_path)
    assert one(measured, "brier_score").state is State.UNAVAILABLE
    assert one(measured, "roc_auc").value == pytest.approx(metrics.roc_auc_score(frame["paid"], frame["score"]))


def test_rows_without_a_label_are_left_out_and_counted(tmp_path: Path) -> None:
    frame = people()
    unlabelled = frame.assign(paid=frame["paid"].where(frame.index >= 500).astype("Int64"))
    measured = report(unlabelled, tmp_path)
    known = frame[500:]
    assert one(measured, "accuracy").value == pytest.approx((known["paid"] == known["decision"]).mean())
    assert measured.details["unlabelled_rows"] == 500


def test_one_class_only_leaves_undefined_what_needs_two(tmp_path: Path) -> None:
    measured = report(people().assign(paid=1), tmp_path)
    for metric in ("specificity", "roc_auc", "balanced_accuracy"):
        assert (one(measured, metric).value, one(measured, metric).state) == (None, State.UNDEFINED)
    assert one(measured, "recall").state is State.MEASURED


def test_no_label_is_missing_evidence_and_says_what_to_do(tmp_path: Path) -> None:
    no_column = report(people(), tmp_path, DATASHEET.replace("label: paid, ", ""))
    no_value = report(people().assign(paid=pd.array([None] * 3_000, dtype="Int64")), tmp_path)
    assert [made.status for made in (no_column, no_value)] == [Status.MISSING] * 2
    assert "columns.label" in str(no_column.reason)
    assert "'paid'" in str(no_value.reason)


@pytest.mark.slow
def test_the_lead_over_the_majority_class_is_covered_by_its_interval(tmp_path: Path) -> None:
    """Right in 80 % of cases where 70 % are favourable: a lead of 0.1, which 90 % intervals reach about as often as they say."""
    rng = np.random.default_rng(9)
    covered = 0
    for trial in range(24):
        truth = (rng.random(400) < 0.7).astype(int)
        decision = np.where(rng.random(400) < 0.8, truth, 1 - truth)
        frame = people(400).assign(paid=truth, decision=decision)
        folder = tmp_path / str(trial)
        folder.mkdir()
        interval = one(report(frame, folder, parameters=PerformanceParameters(resamples=400)), "accuracy_over_majority").interval
        assert interval is not None
        covered += interval.low <= 0.1 <= interval.high
    assert covered >= 19


def test_the_same_rows_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = report(people(), tmp_path), report(people(), tmp_path)
    assert canonical_json([list(first.measurements), dict(first.details)]) == canonical_json([list(second.measurements), dict(second.details)])
