"""Conflicting labels are counted as pandas counts them, and planted label noise is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.assessments.base import Measured
from rai_pipelines.assessments.validation.label_noise import confident_joint, label_noise
from rai_pipelines.assessments.validation.labels import conflicts
from rai_pipelines.evidence.model import State
from rai_pipelines_tests.assessments.validation.applicants import applicants, as_measured, context_of, find, tables_of


def assess(folder: Path, training: pd.DataFrame | None, evaluation: pd.DataFrame, **columns: Any) -> Measured:
    context = context_of(folder, training, evaluation, **columns)
    sheet = context.subject.datasheet
    held, judged = tables_of(context)
    table, features = held or judged, sheet.columns.features
    noise = label_noise(table, sheet.columns, sheet.task, features, rows=2_000, minimum_class=20, level=0.9, seed=3)
    return as_measured([*conflicts(table, features, level=0.9), *noise], [])


def test_rows_of_equal_features_with_different_labels_are_counted(tmp_path: Path) -> None:
    frame = applicants(300, 6).astype({"age": "float64"})
    frame.loc[:9, "age"] = np.nan
    frame["hired"] = frame["hired"].astype("Int64")
    frame.loc[20:24, "hired"] = pd.NA
    features = ["age", "degree"]
    measured = assess(tmp_path, None, frame, features=features)
    labelled = frame[frame["hired"].notna()]
    classes = labelled.groupby(features, dropna=False)["hired"]
    conflicting = int((classes.transform("nunique") > 1).sum())
    minority = len(labelled) - int(classes.agg(lambda labels: labels.value_counts().max()).sum())
    (share,), (least,) = find(measured, "label_conflict_share"), find(measured, "label_minority_share")
    assert (share.value, share.denominator, share.n) == (conflicting / 295, 295, 300)
    assert least.value == minority / 295 > 0
    assert share.interval is not None and "Kish" in share.interval.method
    assert share.interval.low < conflicting / 295 < share.interval.high


def test_few_large_classes_make_a_wide_interval(tmp_path: Path) -> None:
    coarse = find(assess(tmp_path, None, applicants(300, 6), features=["degree"]), "label_conflict_share")[0]
    assert coarse.value == 1.0 and coarse.interval is not None
    assert coarse.interval.low < 0.5, "three classes of equal rows are three observations"


def test_planted_noise_is_told_from_clean_labels_by_class_and_reproducibly(tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    training = applicants(2_000, 7)
    truth = (training["score"] > 50).astype(int).to_numpy()
    wrong = (truth == 0) & (random.random(2_000) < 0.2)
    training["hired"] = np.where(wrong, 1, truth)
    runs = [find(assess(tmp_path, training, applicants(100, 9)), "suspicious_label_share") for _ in range(2)]
    assert runs[0] == runs[1]
    by_class = {item.outcome: item for item in runs[0]}
    overall, given_one, given_zero = by_class[None], by_class["favourable"], by_class["other"]
    planted = wrong.sum() / (training["hired"] == 1).sum()
    assert given_one.value is not None and 0.4 * planted < given_one.value < planted, "too low, as the docstring says: no rate of wrong labels"
    assert given_one.interval is not None and given_one.interval.high < planted, "the interval is none of that rate, and the note says so"
    assert str(given_one.note).startswith("hint:") and str(overall.note).startswith("hint:")
    assert given_zero.interval is not None and given_one.interval.low > 3 * given_zero.interval.high
    assert overall.n == 2_000 and overall.interval is not None and overall.value is not None
    assert overall.interval.low < overall.value < overall.interval.high


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2, 0.4])
def test_exact_probabilities_give_the_planted_share_whole(rate: float) -> None:
    random = np.random.default_rng(int(rate * 100))
    truth = random.integers(0, 2, 4_000)
    wrong = (truth == 0) & (random.random(4_000) < rate)
    given = np.where(wrong, 1, truth)
    of_one = np.where(truth == 1, 1.0, rate)
    joint = confident_joint(np.column_stack([1 - of_one, of_one]), given)
    assert joint[1, 0] == wrong.sum() and joint[0, 1] == 0 and joint.sum() == 4_000


def test_clean_labels_look_clean(tmp_path: Path) -> None:
    training = applicants(1_000, 7)
    training["hired"] = (training["score"] > 50).astype(int)
    overall = find(assess(tmp_path, training, applicants(100, 9)), "suspicious_label_share", outcome=None)[0]
    assert overall.value is not None and overall.value < 0.01


def test_the_confident_joint_is_that_of_the_definition() -> None:
    random = np.random.default_rng(3)
    probabilities, labels = random.dirichlet([1, 1, 1], 60), random.integers(0, 3, 60)
    expected = np.zeros((3, 3), dtype=int)
    limits = [np.mean([row[code] for row, label in zip(probabilities, labels, strict=True) if label == code]) for code in range(3)]
    for row, label in zip(probabilities, labels, strict=True):
        candidates = [code for code in range(3) if row[code] >= limits[code]]
        if candidates:
            expected[label, max(candidates, key=lambda code: row[code])] += 1
    assert confident_joint(probabilities, labels).tolist() == expected.tolist()


def test_too_few_rows_and_other_tasks_are_disclosed(tmp_path: Path) -> None:
    few = applicants(100, 7).assign(hired=[1] * 12 + [0] * 88)
    (item,) = find(assess(tmp_path, few, applicants(100, 9)), "suspicious_label_share")
    assert (item.state, item.value, item.denominator) == (State.INSUFFICIENT, None, 12)
    (other,) = find(assess(tmp_path, few, applicants(100, 9), task="regression"), "suspicious_label_share")
    assert (other.state, other.note) == (State.UNAVAILABLE, "label noise is estimated for classes only; the task is regression")
