"""Keys that repeat, columns that say nothing, and numbers among texts are counted and told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from rai_pipelines.assessments.base import Measured
from rai_pipelines.assessments.validation.columns import contents
from rai_pipelines.assessments.validation.rows import row_ids
from rai_pipelines.evidence.model import State
from rai_pipelines_tests.assessments.validation.applicants import applicants, as_measured, context_of, find, outcomes, tables_of


def assess(folder: Path, evaluation: pd.DataFrame, **columns: object) -> Measured:
    context = context_of(folder, None, evaluation, **columns)
    _, table = tables_of(context)
    parts = [contents(table, key_share=0.5, values_cap=100, level=0.9), row_ids(table, context.subject.datasheet.columns.row_id)]
    return as_measured([item for part in parts for item in part[0]], [item for part in parts for item in part[1]])


def test_repeated_and_missing_keys_are_counted(tmp_path: Path) -> None:
    keys = [None] * 4 + ["k1"] * 3 + ["k2"] * 2 + [f"k{position}" for position in range(3, 94)]
    measured = assess(tmp_path, applicants(100, 3).assign(key=keys), row_id="key")
    (repeated,) = find(measured, "row_id_repeated_share")
    assert (repeated.value, repeated.denominator, repeated.n, repeated.note) == (5 / 96, 96, 100, "5 rows")
    (missing,) = find(measured, "row_id_missing_share")
    assert (missing.value, missing.denominator) == (4 / 100, 100)
    assert outcomes(measured, "row_id_to_be_unique") == {("evaluation", "key"): False}
    assert outcomes(measured, "row_id_to_be_present") == {("evaluation", "key"): False}
    assert "k1" not in str(measured.details)


def test_one_missing_key_is_no_repeated_one(tmp_path: Path) -> None:
    measured = assess(tmp_path, applicants(100, 3).assign(key=[None, *range(1, 100)]), row_id="key")
    assert find(measured, "row_id_repeated_share")[0].value == 0
    assert outcomes(measured, "row_id_to_be_unique") == {("evaluation", "key"): True}


def test_a_key_that_is_not_there_is_a_warning_and_unavailable(tmp_path: Path) -> None:
    measured = assess(tmp_path, applicants(100, 3), row_id="key")
    assert outcomes(measured, "row_id_to_exist") == {("evaluation", "key"): False}
    assert {item.state for item in find(measured, "row_id_repeated_share")} == {State.UNAVAILABLE}


def test_empty_and_constant_columns_and_texts_like_keys_are_warnings(tmp_path: Path) -> None:
    frame = applicants(300, 4).assign(
        nothing=pd.Series([None] * 300, dtype="string"), always="yes", note=[f"text {position}" for position in range(300)]
    )
    measured = assess(tmp_path, frame, features=["age", "degree", "nothing", "always", "note"])
    assert {key: done for key, done in outcomes(measured, "column_to_have_values").items() if not done} == {("evaluation", "nothing"): False}
    assert [column for (_, column), done in outcomes(measured, "column_to_vary").items() if done is False] == ["always"]
    assert outcomes(measured, "column_to_vary")["evaluation", "nothing"] is None
    assert [column for (_, column), done in outcomes(measured, "text_to_repeat").items() if done is False] == ["note"]


def test_numbers_among_texts_are_counted_with_an_interval(tmp_path: Path) -> None:
    texts = np.array(["low", "high", "99", " -1.5e3 ", "", "  ", "1,000", "1e", "."])[np.arange(180) % 9]
    measured = assess(tmp_path, applicants(180, 5).assign(degree=texts))
    (found,) = find(measured, "numeric_text_share", attribute="degree")
    assert (found.value, found.denominator, found.n) == (40 / 140, 140, 180)
    assert found.interval is not None and found.interval.low < 40 / 140 < found.interval.high
    assert outcomes(measured, "text_to_be_of_one_form")["evaluation", "degree"] is False
    assert outcomes(measured, "text_to_be_of_one_form")["evaluation", "sex"] is True
