"""Known-bad tables fail the expectation that is about them, known-good ones fail none, and the same tables give the same bytes."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.assessments.base import Measured, run_assessment
from rai_pipelines.assessments.validation.data_validation import DataValidationParameters, assess_data_validation
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import State, Status
from rai_pipelines_tests.assessments.validation.applicants import applicants, context_of, find

PARAMETERS = DataValidationParameters()


@pytest.fixture
def training() -> pd.DataFrame:
    return applicants(600, 1)


@pytest.fixture
def evaluation() -> pd.DataFrame:
    return applicants(300, 2)


def _failures(measured: Measured, severity: str) -> set[tuple[str, str, str | None]]:
    rows: Any = measured.details["expectations"]
    failed = {(row["table"], row["expectation"], row["column"]) for row in rows if row["success"] is False and row["severity"] == severity}
    counted = [item.value for item in measured.measurements if item.metric == f"expectations_failed_{severity}"]
    assert counted == [len(failed)]
    return failed


def test_sound_tables_fail_nothing_and_every_part_is_measured(tmp_path: Path, training: pd.DataFrame, evaluation: pd.DataFrame) -> None:
    measured = assess_data_validation(context_of(tmp_path, training, evaluation), PARAMETERS)
    assert _failures(measured, "critical") == set()
    assert _failures(measured, "warning") == set()
    rows: Any = measured.details["expectations"]
    open_questions = [row["expectation"] for row in rows if row["success"] is None]
    assert open_questions == ["distribution_to_match_training"], "300 rows do not decide whether the label drifts"
    assert find(measured, "expectations_evaluated")[0].value == len(rows) - 1 > 60
    assert [(item.group, item.value) for item in find(measured, "rows")] == [("training", 600), ("evaluation", 300)]
    assert {item.attribute for item in find(measured, "label_leakage_auc")} == {"age", "degree", "score"}
    assert find(measured, "missing_share", attribute="sex", group="evaluation")[0].value == 0
    by = "Great Expectations on pandas"
    assert measured.details["rows_validated"] == {"training": {"rows": 600, "of": 600, "by": by}, "evaluation": {"rows": 300, "of": 300, "by": by}}
    suite: Any = measured.details["suite"]
    known = {"column": "degree", "value_set": ["bachelor", "master", "none"]}
    assert {"table": "evaluation", "type": "ExpectColumnValuesToBeInSet", "severity": "warning", "kwargs": known} in suite


def test_a_renamed_feature_fails_as_missing_and_the_rest_is_still_checked(tmp_path: Path, training: pd.DataFrame, evaluation: pd.DataFrame) -> None:
    measured = assess_data_validation(context_of(tmp_path, training, evaluation.rename(columns={"score": "points"})), PARAMETERS)
    assert _failures(measured, "critical") == {("evaluation", "expect_column_to_exist", "score")}
    assert find(measured, "overlap_share")[0].note == "on 3 of 4 columns (features and label)"


def test_decisions_without_a_model_can_be_judged_without_its_inputs(tmp_path: Path, evaluation: pd.DataFrame) -> None:
    frame = evaluation.drop(columns="degree").assign(decision=evaluation["hired"])
    measured = assess_data_validation(context_of(tmp_path, None, frame, prediction="decision"), PARAMETERS)
    assert _failures(measured, "critical") == set()
    assert _failures(measured, "warning") == {("evaluation", "expect_column_to_exist", "degree")}


def test_an_audit_without_training_data_says_so(tmp_path: Path, evaluation: pd.DataFrame) -> None:
    measured = assess_data_validation(context_of(tmp_path, None, evaluation), PARAMETERS)
    assert "evaluation table was validated alone" in str(measured.details["training"])
    for metric in ("overlap_share", "overlap_share_expected", "label_leakage_auc"):
        assert [(item.state, item.value) for item in find(measured, metric)] == [(State.UNAVAILABLE, None)]


def test_missing_label_and_protected_attribute_are_critical(tmp_path: Path, training: pd.DataFrame, evaluation: pd.DataFrame) -> None:
    measured = assess_data_validation(context_of(tmp_path, training, evaluation.drop(columns=["hired", "sex"])), PARAMETERS)
    assert _failures(measured, "critical") == {("evaluation", "expect_column_to_exist", "hired"), ("evaluation", "expect_column_to_exist", "sex")}


def test_an_all_null_protected_attribute_is_critical(tmp_path: Path, training: pd.DataFrame, evaluation: pd.DataFrame) -> None:
    measured = assess_data_validation(context_of(tmp_path, training, evaluation.assign(sex=pd.Series([None] * 300, dtype="string"))), PARAMETERS)
    assert _failures(measured, "critical") == {("evaluation", "expect_column_unique_value_count_to_be_between", "sex")}
    assert ("evaluation", "expect_column_values_to_not_be_null", "sex") in _failures(measured, "warning")


@pytest.mark.parametrize(
    ("labels", "failed"),
    [
        ([1], {"label_to_be_binary"}),
        ([0], {"label_to_be_binary", "label_to_contain_favourable_outcome"}),
        ([0, 1, 2], {"label_to_be_binary"}),
        ([2, 3], {"label_to_contain_favourable_outcome"}),
        ([0.0, 1.0], set()),
        ([False, True], set()),
        (list(range(300)), {"label_to_be_binary", "label_to_contain_favourable_outcome"}),
    ],
)
def test_a_label_must_be_binary_and_know_the_favourable_outcome(
    tmp_path: Path, evaluation: pd.DataFrame, labels: list[Any], failed: set[str]
) -> None:
    values = [labels[position % len(labels)] for position in range(300)]
    measured = assess_data_validation(context_of(tmp_path, None, evaluation.assign(hired=values)), PARAMETERS)
    assert _failures(measured, "critical") == {("evaluation", name, "hired") for name in failed}


def test_unseen_categories_far_numbers_and_new_gaps_are_warnings(tmp_path: Path, training: pd.DataFrame, evaluation: pd.DataFrame) -> None:
    evaluation.loc[:4, "degree"] = "doctorate"
    evaluation.loc[:2, "age"] = 300
    evaluation.loc[:99, "score"] = np.nan
    measured = assess_data_validation(context_of(tmp_path, training, evaluation), PARAMETERS)
    assert _failures(measured, "critical") == set()
    assert _failures(measured, "warning") == {
        ("evaluation", "expect_column_values_to_be_in_set", "degree"),
        ("evaluation", "expect_column_values_to_be_between", "age"),
        ("evaluation", "expect_column_values_to_not_be_null", "score"),
    }
    rows: Any = measured.details["expectations"]
    observed = {row["column"]: row["observed"] for row in rows if row["success"] is False}
    assert observed["degree"] == "5 of 300 rows are not so"
    assert "doctorate" not in str(measured.details)


def test_a_number_that_became_text_is_a_critical_change_of_type(tmp_path: Path, training: pd.DataFrame, evaluation: pd.DataFrame) -> None:
    measured = assess_data_validation(context_of(tmp_path, training, evaluation.assign(age=evaluation["age"].astype(str) + "y")), PARAMETERS)
    assert _failures(measured, "critical") == {("evaluation", "column_type_to_match_training", "age")}


def test_widths_and_flags_are_no_change_of_type(tmp_path: Path, training: pd.DataFrame, evaluation: pd.DataFrame) -> None:
    training["veteran"] = training["age"] % 2 == 0
    evaluation = evaluation.assign(age=evaluation["age"].astype(float), veteran=(evaluation["age"] % 2 == 0).astype("int8"))
    measured = assess_data_validation(context_of(tmp_path, training, evaluation, features=["age", "degree", "score", "veteran"]), PARAMETERS)
    assert _failures(measured, "critical") == set()


def test_a_feature_that_gives_the_label_away_is_critical(tmp_path: Path, training: pd.DataFrame, evaluation: pd.DataFrame) -> None:
    for frame in (training, evaluation):
        frame["contract_signed"] = np.where(frame["hired"] == 1, "yes", "no")
    measured = assess_data_validation(context_of(tmp_path, training, evaluation, features=[]), PARAMETERS)
    assert _failures(measured, "critical") == {("training", "single_feature_auc_to_be_at_most", "contract_signed")}
    assert find(measured, "label_leakage_auc", attribute="contract_signed")[0].value == 1.0
    assert measured.details["features_from"] == "columns of the training table"


def test_copied_rows_are_told_apart_from_equal_people(tmp_path: Path, training: pd.DataFrame, evaluation: pd.DataFrame) -> None:
    copied = pd.concat([training[:150], evaluation[:150]], ignore_index=True)
    measured = assess_data_validation(context_of(tmp_path, training, copied), PARAMETERS)
    assert ("evaluation", "overlap_with_training_to_be_at_most", None) in _failures(measured, "warning")
    assert find(measured, "overlap_share")[0].value == 0.5
    coarse = assess_data_validation(context_of(tmp_path, training, evaluation, features=["degree"]), PARAMETERS)
    assert find(coarse, "overlap_share")[0].value == 1.0
    assert find(coarse, "overlap_share_expected")[0].value == 1.0
    assert ("evaluation", "overlap_with_training_to_be_at_most", None) not in _failures(coarse, "warning")


def test_surplus_equal_rows_are_a_warning_on_their_table(tmp_path: Path, training: pd.DataFrame, evaluation: pd.DataFrame) -> None:
    measured = assess_data_validation(context_of(tmp_path, pd.concat([training, training[:200]]), evaluation), PARAMETERS)
    assert ("training", "duplicate_row_share_to_be_at_most", None) in _failures(measured, "warning")
    assert find(measured, "duplicate_row_share", group="training")[0].value == 200 / 800


def test_values_of_identifying_columns_are_not_written_into_the_suite(tmp_path: Path, training: pd.DataFrame, evaluation: pd.DataFrame) -> None:
    for frame in (training, evaluation):
        frame["email"] = np.where(frame["age"] > 40, "jane@example.org", "joe@example.org")
    context = context_of(tmp_path, training, evaluation, features=["age", "score", "email"], direct_identifiers=["email"])
    measured = assess_data_validation(context, PARAMETERS)
    assert "example.org" not in str(measured.details)


def test_beyond_max_rows_the_engine_counts_all_rows_and_comes_to_the_same(tmp_path: Path, training: pd.DataFrame, evaluation: pd.DataFrame) -> None:
    evaluation.loc[:4, "degree"] = "doctorate"
    evaluation.loc[:99, "score"] = np.nan
    context = context_of(tmp_path, training, evaluation)
    small, large = (assess_data_validation(context, DataValidationParameters(max_rows=rows)) for rows in (1_000, 100))
    rows: Any = large.details["rows_validated"]
    assert rows["training"] == {"rows": 600, "of": 600, "by": "one aggregation in the engine"}
    assert [row for row in rows_of(large) if row["expectation"] != "single_feature_auc_to_be_at_most"] == [
        row for row in rows_of(small) if row["expectation"] != "single_feature_auc_to_be_at_most"
    ]
    assert {item.n for item in find(large, "label_leakage_auc")} == {100}, "leakage alone is measured on a sample, and says so"


def rows_of(measured: Measured) -> list[dict[str, Any]]:
    rows: Any = measured.details["expectations"]
    return list(rows)


def test_an_empty_table_is_an_error_with_its_name_and_becomes_evidence_of_an_error(
    tmp_path: Path, training: pd.DataFrame, evaluation: pd.DataFrame
) -> None:
    context = context_of(tmp_path, training, evaluation[:0])
    with pytest.raises(DataError, match="evaluation table is empty"):
        assess_data_validation(context, PARAMETERS)
    evidence, _ = run_assessment("data_validation", assess_data_validation, context, PARAMETERS, inputs=("training", "evaluation"))  # type: ignore[arg-type]
    assert (evidence.status, evidence.measurements) == (Status.ERROR, ())


def test_no_file_is_left_behind(tmp_path: Path, evaluation: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "temporary"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    assess_data_validation(context_of(tmp_path, None, evaluation), PARAMETERS)
    assert list(scratch.iterdir()) == []


def test_the_same_tables_give_the_same_bytes(tmp_path: Path, training: pd.DataFrame, evaluation: pd.DataFrame) -> None:
    training.loc[3, "score"] = np.inf
    runs = [
        run_assessment(
            "data_validation", assess_data_validation, context_of(tmp_path, training, evaluation), PARAMETERS, inputs=("training", "evaluation")
        )[0]  # type: ignore[arg-type]
        for _ in range(2)
    ]
    assert runs[0].status is Status.COMPLETE
    assert canonical_json(runs[0]) == canonical_json(runs[1])
    assert str(tmp_path) not in canonical_json(runs[0]).decode()


def test_texts_that_hardly_repeat_are_no_categories_and_are_not_written_down(tmp_path: Path) -> None:
    training = applicants(80, 1).assign(who=[f"Jane Doe {number}" for number in range(80)])
    evaluation = applicants(80, 2).assign(who=[f"John Roe {number}" for number in range(80)])
    context = context_of(tmp_path, training, evaluation, features=["age", "degree", "score", "who"])
    measured = assess_data_validation(context, PARAMETERS)
    written = canonical_json(dict(measured.details)).decode()
    assert '"who"' in written
    assert "Jane Doe" not in written
    assert "John Roe" not in written


def test_a_decimal_that_gives_the_label_away_is_a_leak_although_no_value_repeats(
    tmp_path: Path, training: pd.DataFrame, evaluation: pd.DataFrame
) -> None:
    for frame in (training, evaluation):
        frame["fee"] = [Decimal(f"{10_000 * hired + row}.25") for row, hired in enumerate(frame["hired"])]
    measured = assess_data_validation(context_of(tmp_path, training, evaluation, features=["age", "fee"]), PARAMETERS)
    assert find(measured, "label_leakage_auc", attribute="fee")[0].value == 1.0
    assert ("training", "single_feature_auc_to_be_at_most", "fee") in _failures(measured, "critical")
