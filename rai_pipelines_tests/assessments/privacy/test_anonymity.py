"""The anonymity assessment: what it counts, what it refuses to call safe, and that no value of a person gets into it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.privacy.anonymity import assess_anonymity, measure_anonymity
from rai_pipelines.assessments.privacy.parameters import AnonymityParameters
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import Subject
from rai_pipelines.tables.source import TableSource, open_table

PARAMETERS = AnonymityParameters()


def _table(folder: Path, frame: pd.DataFrame, name: str = "training") -> TableSource:
    frame.to_parquet(folder / f"{name}.parquet", index=False)
    return open_table(f"{name}.parquet", name=name, data_folder=folder)


def _one(measured: Measured, metric: str, attribute: str | None = None) -> Measurement:
    found = [item for item in measured.measurements if item.metric == metric and (attribute is None or item.attribute == attribute)]
    assert len(found) == 1, (metric, found)
    return found[0]


@pytest.fixture
def patients() -> pd.DataFrame:
    random = np.random.default_rng(2)
    rows = 400
    return pd.DataFrame(
        {
            "zip": random.choice(["02139", "02140", "02141"], rows),
            "sex": random.choice(["F", "M"], rows),
            "illness": random.choice(["flu", "cancer", "none"], rows),
            "income": random.integers(10, 90, rows),
        }
    )


def test_the_figures_of_a_small_table_follow_from_its_class_sizes(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": [30, 30, 30, 40, 40, 50], "illness": ["flu", "flu", "cold", "flu", "cold", "cold"]})
    measured = measure_anonymity(_table(tmp_path, frame), quasi_identifiers=["age"], sensitive=["illness"], parameters=PARAMETERS, seed=1)
    assert _one(measured, "k_minimum").value == 1
    assert _one(measured, "class_count").value == 3
    assert _one(measured, "rows_below_k").value == 1.0
    assert _one(measured, "singling_out_share").value == 1 / 6
    assert _one(measured, "prosecutor_risk_maximum").value == 1.0
    assert _one(measured, "prosecutor_risk_average").value == 0.5
    assert _one(measured, "l_distinct_minimum", "illness").value == 1
    assert _one(measured, "t_maximum", "illness").value == 0.5
    assert measured.details["class_size_histogram"] == [[1, 1], [2, 1], [3, 1]]
    interval = _one(measured, "singling_out_share").interval
    assert interval is not None
    assert interval.low < 1 / 6 < interval.high


def test_without_quasi_identifiers_nothing_reads_as_anonymous(tmp_path: Path, patients: pd.DataFrame) -> None:
    measured = measure_anonymity(_table(tmp_path, patients), quasi_identifiers=[], sensitive=["illness"], parameters=PARAMETERS, seed=1)
    for metric in ("k_minimum", "rows_below_k", "singling_out_share", "prosecutor_risk_maximum", "l_distinct_minimum", "t_maximum"):
        item = _one(measured, metric)
        assert (item.state, item.value) == (State.UNAVAILABLE, None)
        assert "no quasi-identifiers" in str(item.note)


def test_a_sensitive_attribute_that_is_a_quasi_identifier_is_undefined_and_the_others_are_measured(tmp_path: Path, patients: pd.DataFrame) -> None:
    source = _table(tmp_path, patients)
    measured = measure_anonymity(source, quasi_identifiers=["sex", "zip"], sensitive=["sex", "illness"], parameters=PARAMETERS, seed=1)
    assert _one(measured, "t_maximum", "sex").state is State.UNDEFINED
    assert _one(measured, "t_maximum", "illness").state is State.MEASURED


def test_declared_named_and_written_identifiers_each_count_their_column_once(tmp_path: Path, patients: pd.DataFrame) -> None:
    patients["patient_id"] = [f"P{i:05}" for i in range(len(patients))]
    patients["loyalty"] = range(len(patients))
    patients["comment"] = [f"write to jane{i}@example.org or call (617) 253-1{i:03}" if i % 4 == 0 else f"visit {i}" for i in range(len(patients))]
    measured = measure_anonymity(
        _table(tmp_path, patients),
        quasi_identifiers=["zip", "sex"],
        sensitive=[],
        declared_identifiers=["loyalty", "gone"],
        parameters=PARAMETERS,
        seed=1,
    )
    assert _one(measured, "direct_identifier_columns").value == 3
    shares = {(item.attribute, item.group): item.value for item in measured.measurements if item.metric == "direct_identifier_share"}
    assert shares == {
        ("patient_id", "other_unique_identifier"): 1.0,
        ("loyalty", "declared"): 1.0,
        ("comment", "email"): 0.25,
        ("comment", "phone"): 0.25,
    }
    assert measured.details["row_key_columns"] == ["patient_id", "loyalty", "comment"]
    assert measured.details["declared_as_quasi_identifier"] == {"zip": "geographic"}


def test_a_flag_about_an_identifier_is_told_apart_from_the_identifier(tmp_path: Path, patients: pd.DataFrame) -> None:
    patients["PhoneService"] = np.where(patients["income"] > 40, "Yes", "No")
    measured = measure_anonymity(_table(tmp_path, patients), quasi_identifiers=["zip"], sensitive=[], parameters=PARAMETERS, seed=1)
    assert _one(measured, "direct_identifier_columns").value == 0
    assert measured.details["too_few_values_to_identify"] == {"PhoneService": "phone"}


def test_the_declared_row_key_is_not_reported_as_one(tmp_path: Path, patients: pd.DataFrame) -> None:
    patients["row"] = range(len(patients))
    source = _table(tmp_path, patients)
    undeclared = measure_anonymity(source, quasi_identifiers=["zip"], sensitive=[], parameters=PARAMETERS, seed=1)
    declared = measure_anonymity(source, quasi_identifiers=["zip"], sensitive=[], parameters=PARAMETERS, seed=1, row_id="row")
    assert (_one(undeclared, "row_key_columns").value, _one(declared, "row_key_columns").value) == (1, 0)


def test_in_few_rows_uniqueness_says_nothing_about_keys(tmp_path: Path) -> None:
    measured = measure_anonymity(
        _table(tmp_path, pd.DataFrame({"age": [30, 41]})), quasi_identifiers=["age"], sensitive=[], parameters=PARAMETERS, seed=1
    )
    assert _one(measured, "row_key_columns").state is State.INSUFFICIENT


def test_without_presidio_the_scan_is_unavailable_and_names_still_count(
    tmp_path: Path, patients: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)  # what an import of a package that is not installed meets
    patients["email"] = [f"jane{i}@example.org" for i in range(len(patients))]
    measured = measure_anonymity(_table(tmp_path, patients), quasi_identifiers=["zip"], sensitive=[], parameters=PARAMETERS, seed=1)
    assert _one(measured, "direct_identifier_columns").value == 1
    assert "not scanned" in str(_one(measured, "direct_identifier_columns").note)
    scan = [item for item in measured.measurements if item.group == "content"]
    assert [(item.state, item.value) for item in scan] == [(State.UNAVAILABLE, None)]
    assert "rai-pipelines[presidio]" in str(scan[0].note)


def test_the_same_table_gives_the_same_bytes_and_none_of_its_values(tmp_path: Path, patients: pd.DataFrame) -> None:
    patients["remark"] = [f"remark {i} of jane{i}@example.org" for i in range(len(patients))]
    parameters = AnonymityParameters(scan_values=50)

    def once(frame: pd.DataFrame) -> bytes:
        measured = measure_anonymity(
            _table(tmp_path, frame), quasi_identifiers=["zip", "sex"], sensitive=["illness", "income"], parameters=parameters, seed=9
        )
        assert measured.details["content_scan"]["not_every_value_scanned"] == ["remark"]
        return canonical_json([*measured.measurements, dict(measured.details)])

    first = once(patients)
    assert once(patients.sample(frac=1, random_state=4)) == first
    for value in ("02139", "cancer", "jane", str(tmp_path)):
        assert value not in first.decode()


def test_a_long_histogram_says_how_much_it_leaves_out(tmp_path: Path) -> None:
    frame = pd.DataFrame({"q": np.repeat(np.arange(1, 8), np.arange(1, 8))})
    measured = measure_anonymity(
        _table(tmp_path, frame), quasi_identifiers=["q"], sensitive=[], parameters=AnonymityParameters(histogram_cap=3), seed=1
    )
    assert measured.details["class_size_histogram"] == [[1, 1], [2, 1], [3, 1]]
    assert measured.details["class_sizes_not_listed"] == 4
    assert [entry["rows"] for entry in measured.details["worst_classes"]] == [1, 2, 3, 4, 5, 6, 7]


def test_a_missing_quasi_identifier_stops_with_its_name(tmp_path: Path, patients: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="no column 'age'"):
        measure_anonymity(_table(tmp_path, patients), quasi_identifiers=["age"], sensitive=[], parameters=PARAMETERS, seed=1)


@pytest.mark.parametrize("training", [True, False])
def test_the_assessment_reads_the_training_table_or_says_which_else(tmp_path: Path, patients: pd.DataFrame, training: bool) -> None:
    _table(tmp_path, patients, "training")
    _table(tmp_path, patients[:150], "evaluation")
    _table(tmp_path, pd.concat([patients] * 3), "population")
    columns = {
        "protected_attributes": {"sex": {}, "income": {"labels": {"10": "ten"}}},
        "quasi_identifiers": ["zip", "sex"],
        "sensitive_attributes": ["illness", "income"],
    }
    datasheet = Datasheet.model_validate(
        {
            "schema": "rai.datasheet/v1",
            "model": "triage",
            "purpose": "testing",
            "out_of_scope": ["anything else"],
            "risk": {"class": "high", "reason": "health"},
            "owner": {"name": "Data team", "contact": "data@example.org"},
            "columns": columns,
            "data": {"evaluation": "evaluation.parquet", "population": "population.parquet"} | ({"training": "training.parquet"} if training else {}),
        }
    )
    subject = Subject(version=ModelVersion("triage", "1"), datasheet=datasheet, folder=None, model_digest=None, data_folder=tmp_path)
    measured = assess_anonymity(AuditContext(subject=subject, seed=3, scratch=tmp_path), PARAMETERS)
    population: Any = measured.details["population"]
    assert population["rows"] == 1_200
    assert "declared population" in str(_one(measured, "journalist_risk_maximum").note)
    assert measured.details["table"] == ("training" if training else "evaluation")
    assert measured.details["rows"] == (400 if training else 150)
    assert _one(measured, "t_maximum", "income").note == "total variation distance"  # its numbers have labels: codes
    assert json.loads(canonical_json(dict(measured.details)))


@pytest.mark.parametrize(("release_class", "proposal"), [("internal", {"needed": False}), ("public", 11)])
def test_a_proposal_aims_at_the_k_of_the_release_class(tmp_path: Path, release_class: str, proposal: object) -> None:
    _table(tmp_path, pd.DataFrame({"q": [1] * 6 + [2] * 6, "sex": ["F", "M"] * 6}))
    datasheet = Datasheet.model_validate(
        {
            "schema": "rai.datasheet/v1",
            "model": "triage",
            "purpose": "testing",
            "out_of_scope": ["anything else"],
            "risk": {"class": "high", "reason": "health"},
            "release_class": release_class,
            "owner": {"name": "Data team", "contact": "data@example.org"},
            "columns": {"protected_attributes": {"sex": {}}, "quasi_identifiers": ["q"], "sensitive_attributes": ["sex"]},
            "data": {"training": "training.parquet", "evaluation": "training.parquet"},
        }
    )
    subject = Subject(version=ModelVersion("triage", "1"), datasheet=datasheet, folder=None, model_digest=None, data_folder=tmp_path)
    found = assess_anonymity(AuditContext(subject=subject, seed=3, scratch=tmp_path), PARAMETERS).details["recoding"]
    assert (found if release_class == "internal" else found["k_target"]) == proposal  # type: ignore[index,call-overload]
    if release_class == "public":
        assert found["k"] >= 11  # type: ignore[index,call-overload,operator]
