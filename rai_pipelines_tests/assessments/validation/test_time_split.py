"""The evaluation table is later than the training table, or the evidence says by how many rows it is not."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.assessments.base import Measured
from rai_pipelines.assessments.validation.data_validation import DataValidationParameters, assess_data_validation
from rai_pipelines.assessments.validation.time_split import time_split
from rai_pipelines.evidence.model import State
from rai_pipelines_tests.assessments.validation.applicants import applicants, as_measured, context_of, find, outcomes, tables_of

PARAMETERS = DataValidationParameters(as_of=date(2026, 12, 1))


def measured_with(folder: Path, training: Any, evaluation: Any, **columns: Any) -> Measured:
    before = applicants(60, 1).assign(at=training) if training is not None else applicants(60, 1)
    after = applicants(60, 2).assign(at=evaluation) if evaluation is not None else applicants(60, 2)
    context = context_of(folder, before, after, **{"timestamp": "at", **columns})
    held, judged = tables_of(context)
    found, details = time_split(held, judged, context.subject.datasheet.columns.timestamp, private=False, today=date(2026, 12, 1))
    return as_measured(*found, time_split=details)


def days(start: str, count: int = 60, zone: str | None = None) -> pd.Series:
    return pd.Series(pd.date_range(start, periods=count, freq="D", tz=zone))


def value(measured: Measured, metric: str, **where: Any) -> float | None:
    (found,) = find(measured, metric, **where)
    return found.value


def test_a_later_evaluation_table_passes_with_its_gap(tmp_path: Path) -> None:
    measured = measured_with(tmp_path, days("2024-01-01"), days("2024-06-01"))
    assert value(measured, "not_later_share") == 0
    assert value(measured, "period_gap_days") == (pd.Timestamp("2024-06-01") - pd.Timestamp("2024-02-29")).days
    assert value(measured, "period_overlap_days") == 0
    for expectation in ("rows_to_be_later_than_training", "timestamp_zones_to_match_training"):
        assert outcomes(measured, expectation) == {("evaluation", "at"): True}
    facts: Any = measured.details["time_split"]
    assert facts["tables"]["training"]["last_day"] == "2024-02-29"
    assert "future_is_after" not in facts


def test_rows_that_are_not_later_are_counted_exactly(tmp_path: Path) -> None:
    before, after = days("2024-01-01"), days("2024-02-20")
    measured = measured_with(tmp_path, before, after)
    assert value(measured, "not_later_share") == (after <= before.max()).mean() == 10 / 60
    assert value(measured, "period_overlap_days") == 9
    assert outcomes(measured, "rows_to_be_later_than_training") == {("evaluation", "at"): False}
    assert find(measured, "not_later_share")[0].denominator == 60


def test_a_microsecond_later_is_later(tmp_path: Path) -> None:
    moment = pd.Timestamp("1960-01-01T00:00:00.700000")
    measured = measured_with(tmp_path, [moment] * 60, [moment] * 20 + [moment + pd.Timedelta(1, "us")] * 40)
    assert value(measured, "not_later_share") == 20 / 60


def test_texts_with_different_offsets_are_compared_as_instants(tmp_path: Path) -> None:
    before = ["2024-03-01T12:00:00+02:00"] * 60  # 10:00 UTC
    after = ["2024-03-01T11:00:00+02:00"] * 15 + ["2024-03-01T11:00:00Z"] * 45
    measured = measured_with(tmp_path, before, after)
    assert value(measured, "not_later_share") == 15 / 60
    facts: Any = measured.details["time_split"]
    assert facts["tables"]["evaluation"]["zones"] == 2
    assert outcomes(measured, "timestamp_zones_to_be_alike") == {("training", "at"): True, ("evaluation", "at"): True}


def test_zones_in_one_table_only_are_a_warning_and_are_read_as_utc(tmp_path: Path) -> None:
    measured = measured_with(tmp_path, days("2024-01-01"), days("2024-06-01", zone="Asia/Tokyo"))
    assert outcomes(measured, "timestamp_zones_to_match_training") == {("evaluation", "at"): False}
    assert "read as UTC" in str(find(measured, "not_later_share")[0].note)


def test_zones_in_some_texts_only_are_a_warning(tmp_path: Path) -> None:
    mixed = ["2024-06-01T00:00:00Z"] * 30 + ["2024-06-01T00:00:00"] * 30
    measured = measured_with(tmp_path, days("2024-01-01"), mixed)
    assert outcomes(measured, "timestamp_zones_to_be_alike")["evaluation", "at"] is False


def test_unreadable_and_missing_times_are_counted_apart(tmp_path: Path) -> None:
    texts = ["2024-06-01"] * 40 + ["soon"] * 12 + [None] * 8
    measured = measured_with(tmp_path, days("2024-01-01"), texts)
    assert value(measured, "timestamp_unreadable_share", group="evaluation") == 12 / 60
    assert value(measured, "timestamp_missing_share", group="evaluation") == 8 / 60
    assert find(measured, "not_later_share")[0].denominator == 40
    assert outcomes(measured, "timestamp_to_be_readable") == {("training", "at"): True, ("evaluation", "at"): False}
    assert "soon" not in str(measured.details)


def test_future_times_are_counted_and_the_day_is_told_only_then(tmp_path: Path) -> None:
    after = pd.Series([pd.Timestamp("2024-06-01")] * 55 + [pd.Timestamp("2026-12-03")] * 5)
    measured = measured_with(tmp_path, days("2024-01-01"), after)
    assert value(measured, "timestamp_future_share", group="evaluation") == 5 / 60
    assert outcomes(measured, "timestamp_not_to_be_in_the_future") == {("training", "at"): True, ("evaluation", "at"): False}
    facts: Any = measured.details["time_split"]
    assert facts["future_is_after"] == "2026-12-01"


def test_numbers_are_no_times(tmp_path: Path) -> None:
    measured = measured_with(tmp_path, np.arange(60), np.arange(60) + 60)
    (found,) = find(measured, "not_later_share")
    assert (found.state, found.note) == (State.UNAVAILABLE, "no time can be read in the training and the evaluation table")
    assert outcomes(measured, "timestamp_to_be_readable") == {("training", "at"): False, ("evaluation", "at"): False}


@pytest.mark.parametrize(
    ("training", "columns", "why"),
    [(None, {}, "no column 'at' in the training table"), (True, {"timestamp": None}, "the datasheet names no timestamp")],
)
def test_what_cannot_be_compared_says_why(tmp_path: Path, training: Any, columns: dict[str, Any], why: str) -> None:
    measured = measured_with(tmp_path, days("2024-01-01") if training else None, days("2024-06-01"), **columns)
    for metric in ("not_later_share", "period_gap_days", "period_overlap_days"):
        (found,) = find(measured, metric)
        assert (found.state, found.value, found.note) == (State.UNAVAILABLE, None, why)


def test_days_of_a_private_column_are_not_told(tmp_path: Path) -> None:
    before, after = applicants(60, 1).assign(at=days("2024-01-01")), applicants(60, 2).assign(at=days("2024-06-01"))
    told, private = (
        assess_data_validation(context_of(tmp_path, before, after, timestamp="at", direct_identifiers=named), PARAMETERS) for named in ([], ["at"])
    )
    assert "2024-02-29" in str(told.details["time_split"])
    measured = private
    assert "2024-" not in str(measured.details["time_split"])
