"""A label that drifts and columns that change between versions are told, with what they were compared with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rai_pipelines.assessments.base import Measured, run_assessment
from rai_pipelines.assessments.validation.data_validation import DataValidationParameters, assess_data_validation
from rai_pipelines.assessments.validation.schema_change import METRICS, schema_changes
from rai_pipelines.assessments.validation.target_drift import target_drift
from rai_pipelines.evidence.model import Evidence, State, Status
from rai_pipelines_tests.assessments.validation.applicants import applicants, as_measured, context_of, find, outcomes, tables_of

PARAMETERS = DataValidationParameters()


def assess(folder: Path, training: pd.DataFrame, evaluation: pd.DataFrame, **columns: Any) -> Measured:
    context = context_of(folder, training, evaluation, **columns)
    sheet = context.subject.datasheet
    held, judged = tables_of(context)
    found, details = target_drift(held, judged, sheet.columns, sheet.task, level=0.9, minimum_rows=30, seed=3)
    return as_measured(*found, target_drift=details)


def test_a_label_that_drifts_fails_by_its_interval(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    before = applicants(3_000, 1).assign(hired=(random.random(3_000) < 0.2).astype(int))
    after = applicants(3_000, 2).assign(hired=(random.random(3_000) < 0.7).astype(int))
    measured = assess(tmp_path, before, after)
    assert outcomes(measured, "distribution_to_match_training") == {("evaluation", "hired"): False}
    (found,) = find(measured, "cramers_v", attribute="hired")
    assert found.interval is not None and found.interval.low > 0.2
    assert (found.n, found.denominator) == (6_000, 3_000)
    assert measured.details["target_drift"]["hired"]["state"] == "drifted"  # type: ignore[index,call-overload]


def test_a_label_and_a_score_that_stay_pass(tmp_path: Path) -> None:
    frames = []
    for seed in (1, 2):
        random = np.random.default_rng(seed)
        frames.append(applicants(5_000, seed).assign(hired=(random.random(5_000) < 0.4).astype(int), risk=random.random(5_000).round(4)))
    measured = assess(tmp_path, frames[0], frames[1], score="risk")
    assert outcomes(measured, "distribution_to_match_training") == {("evaluation", "hired"): True, ("evaluation", "risk"): True}
    assert {item.metric for item in find(measured, "ks", attribute="risk")} == {"ks"}


def test_a_score_that_training_lacks_is_unavailable(tmp_path: Path) -> None:
    measured = assess(tmp_path, applicants(100, 1), applicants(100, 2).assign(risk=0.5), score="risk")
    (found,) = find(measured, "psi", attribute="risk")
    assert (found.state, found.note) == (State.UNAVAILABLE, "no such column in the training table")


def test_without_an_earlier_version_nothing_is_said_about_changes(tmp_path: Path) -> None:
    measured = assess_data_validation(context_of(tmp_path, applicants(100, 1), applicants(100, 2)), PARAMETERS)
    assert measured.details["schema_changes"] == {"compared_with": None, "note": "no earlier version was audited"}
    for metric in METRICS:
        assert {(item.state, item.note) for item in find(measured, metric)} == {(State.UNAVAILABLE, "no earlier version was audited")}


def earlier(folder: Path, frame: pd.DataFrame, **columns: Any) -> Evidence:
    folder.mkdir()
    found = run_assessment("data_validation", assess_data_validation, context_of(folder, None, frame, **columns), PARAMETERS, inputs=("evaluation",))
    assert found[0].status is Status.COMPLETE
    return found[0]


def test_changes_since_the_earlier_version_are_counted_and_named(tmp_path: Path) -> None:
    before = applicants(300, 1)
    after = before.assign(degree=before["degree"].replace("none", "doctorate"), score=before["score"].astype("float32"))
    after = after.assign(age=after["age"].astype(str) + "y", talks=1.5)
    previous = earlier(tmp_path / "before", before, features=["age", "degree", "score"])
    context = context_of(tmp_path, None, after, features=["age", "degree", "talks"])
    _, table = tables_of(context)
    (measured, told), details = schema_changes([table], previous)
    counts = {item.metric: item.value for item in measured}
    assert counts == dict(zip(METRICS, (1, 1, 1, 1, 1), strict=True))
    changes = details["tables"]["evaluation"]
    assert (changes["added"], changes["removed"], changes["kind_changed"]) == (["talks"], ["score"], ["age"])
    assert changes["categories_new"] == changes["categories_gone"] == {"degree": 1}
    assert [item.success for item in told] == [False]
    assert details["compared_with"] == {"version": "1", "evidence": previous.digest}


def test_the_same_table_has_not_changed(tmp_path: Path) -> None:
    previous = earlier(tmp_path / "before", applicants(300, 1))
    context = context_of(tmp_path, None, applicants(300, 1))
    if "previous" in {item.name for item in dataclasses.fields(context)}:
        context = dataclasses.replace(context, previous={"data_validation": previous})
    else:
        object.__setattr__(context, "previous", {"data_validation": previous})
    measured = assess_data_validation(context, PARAMETERS)
    assert outcomes(measured, "schema_to_match_earlier_version") == {("evaluation", None): True}
    assert {find(measured, metric)[0].value for metric in METRICS} == {0}


def test_the_kept_schema_holds_digests_and_none_of_private_columns(tmp_path: Path) -> None:
    frame = applicants(300, 1).assign(email=np.where(np.arange(300) % 2, "jane@example.org", "joe@example.org"))
    measured = assess_data_validation(context_of(tmp_path, None, frame, features=["degree", "email"], direct_identifiers=["email"]), PARAMETERS)
    schema: Any = measured.details["schema"]
    assert set(schema["evaluation"]["email"]) == {"dtype", "kind"}
    assert len(schema["evaluation"]["degree"]["categories"]) == 3
    assert "bachelor" not in str(schema)
