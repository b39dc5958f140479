"""Fairness in production by window: Fairlearn's figures on the raw rows of each, late outcomes are not compared, and absent columns are said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.fairness.windows import FairnessWindowParameters, assess_fairness_windows
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import State, Status
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
columns:
  label: paid
  prediction: decision
  timestamp: at
  protected_attributes: {sex: {labels: {1: men, 2: women}}, age: {bins: [0, 40, 100]}}
data: {evaluation: evaluation.parquet, production: production.parquet}
"""
PARAMETERS = FairnessWindowParameters(window_decisions=1_000, resamples=300)


def log(rows: int = 3_500, *, seed: int = 1, gap_from: int = 10**9, gap: float = 0.3) -> pd.DataFrame:
    """Decisions a minute apart; from row `gap_from` on, women are selected less often by `gap`."""
    rng = np.random.default_rng(seed)
    sex, place = rng.choice([1, 2], rows), np.arange(rows)
    chance = np.where((sex == 2) & (place >= gap_from), 0.6 - gap, 0.6)
    return pd.DataFrame(
        {
            "at": pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(place, unit="min"),
            "sex": sex,
            "age": rng.integers(18, 90, rows),
            "decision": (rng.random(rows) < chance).astype(int),
            "paid": rng.integers(0, 2, rows).astype(float),
        }
    )


def measured(folder: Path, frame: pd.DataFrame | None, *, sheet: str = DATASHEET, live: bool = False, **changes: Any) -> Measured:
    if frame is None:
        sheet = sheet.replace(", production: production.parquet", "")
    else:
        frame.to_parquet(folder / "production.parquet")
    subject = Subject(
        version=ModelVersion("loans", "1"),
        datasheet=parse_datasheet(sheet, source="datasheet.yaml"),
        folder=None,
        data_folder=folder,
        model_digest=None,
        loader=None,
        live=live,
    )
    return assess_fairness_windows(AuditContext(subject=subject, seed=5, scratch=folder), PARAMETERS.model_copy(update=changes))


def test_each_window_has_fairlearns_figures_on_its_own_rows(tmp_path: Path) -> None:
    frame = log(gap_from=1_500)
    found = measured(tmp_path, frame.sample(frac=1.0, random_state=3))
    assert [item["window"] for item in found.details["windows"]] == [0, 1, 2, 3]  # type: ignore[union-attr, index, call-overload]
    for number in range(4):
        rows = frame.iloc[1_000 * number : 1_000 * (number + 1)]
        old = (rows["age"] >= 40).astype(int)
        for attribute, groups in (("sex", rows["sex"]), ("age", old)):
            figures = {item.metric: item for item in found.measurements if (item.group, item.attribute) == (f"window {number}", attribute)}
            parity = demographic_parity_difference(rows["paid"], rows["decision"], sensitive_features=groups)
            odds = equalized_odds_difference(rows["paid"], rows["decision"], sensitive_features=groups)
            assert figures["demographic_parity_difference"].value == pytest.approx(parity, abs=1e-12)
            assert figures["equalized_odds_difference"].value == pytest.approx(odds, abs=1e-12)
            interval = figures["demographic_parity_difference"].interval
            assert interval is not None and interval.low <= parity <= interval.high
            assert figures["demographic_parity_difference"].n == len(rows)


def test_the_gap_shows_in_the_windows_after_it_opened_and_names_the_groups(tmp_path: Path) -> None:
    found = measured(tmp_path, log(4_000, gap_from=2_000))
    values = {item.group: item for item in found.measurements if (item.metric, item.attribute) == ("demographic_parity_difference", "sex")}
    assert max(values[f"window {number}"].value or 0 for number in (0, 1)) < 0.1
    for number in (2, 3):
        item = values[f"window {number}"]
        assert item.value == pytest.approx(0.3, abs=0.07)
        assert {item.reference, item.comparison} == {"1", "2"}
    assert found.details["groups"]["sex"]["labels"] == {"1": "men", "2": "women"}  # type: ignore[index, call-overload]


def test_errors_are_not_compared_where_too_few_outcomes_have_arrived(tmp_path: Path) -> None:
    frame = log(2_000)
    frame.loc[1_400:, "paid"] = np.nan
    found = measured(tmp_path, frame)
    odds = {item.group: item for item in found.measurements if (item.metric, item.attribute) == ("equalized_odds_difference", "sex")}
    assert odds["window 0"].state is State.MEASURED
    assert (odds["window 1"].state, odds["window 1"].value) == (State.INSUFFICIENT, None)
    assert odds["window 1"].note == "outcomes are known of 40.0% of 1,000 decisions"
    parity = [item.state for item in found.measurements if item.metric == "demographic_parity_difference"]
    assert set(parity) == {State.MEASURED}


def test_without_a_label_column_parity_is_measured_and_errors_are_not(tmp_path: Path) -> None:
    found = measured(tmp_path, log(2_000).drop(columns="paid"), sheet=DATASHEET.replace("  label: paid\n", ""))
    states = {item.metric: item.state for item in found.measurements}
    assert states == {"demographic_parity_difference": State.MEASURED, "equalized_odds_difference": State.INSUFFICIENT}


def test_a_declared_label_that_production_does_not_hold_yet_leaves_parity_measured(tmp_path: Path) -> None:
    found = measured(tmp_path, log(2_000).drop(columns="paid"))
    states = {item.metric: item.state for item in found.measurements}
    assert states == {"demographic_parity_difference": State.MEASURED, "equalized_odds_difference": State.INSUFFICIENT}


def test_an_attribute_that_production_does_not_hold_is_unavailable_and_not_left_out(tmp_path: Path) -> None:
    found = measured(tmp_path, log().drop(columns="age"))
    absent = [item for item in found.measurements if item.attribute == "age"]
    assert [(item.metric, item.state, item.group) for item in absent] == [
        ("demographic_parity_difference", State.UNAVAILABLE, None),
        ("equalized_odds_difference", State.UNAVAILABLE, None),
    ]
    assert found.details["not_in_production"] == ["age"]


def test_a_group_that_is_too_small_in_a_window_is_named_and_not_compared(tmp_path: Path) -> None:
    frame = log(2_000)
    frame["sex"] = np.where(frame.index < 5, 2, 1)
    found = measured(tmp_path, frame)
    wanted = ("demographic_parity_difference", "sex", "window 0")
    first = next(item for item in found.measurements if (item.metric, item.attribute, item.group) == wanted)
    assert (first.state, first.value) == (State.INSUFFICIENT, None)
    assert "fewer than two groups have enough rows" in str(first.note) and "'2' (5)" in str(first.note)


def test_only_the_newest_windows_are_measured(tmp_path: Path) -> None:
    found = measured(tmp_path, log(5_000), windows=2)
    assert {item.group for item in found.measurements} == {"window 3", "window 4"}
    assert found.details["decisions"] == 5_000


@pytest.mark.parametrize(("live", "status"), [(True, Status.MISSING), (False, Status.NOT_APPLICABLE)])
def test_without_production_data_a_version_in_use_reads_missing(tmp_path: Path, live: bool, status: Status) -> None:
    assert measured(tmp_path, None, live=live).status is status


def test_without_a_time_nothing_can_be_put_in_order(tmp_path: Path) -> None:
    found = measured(tmp_path, log(), sheet=DATASHEET.replace("  timestamp: at\n", ""))
    assert found.status is Status.MISSING and "columns.timestamp" in str(found.reason)
    with pytest.raises(DataError, match="holds no times"):
        measured(tmp_path, log().assign(at=range(3_500)))


def test_the_same_log_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (measured(tmp_path, log().sample(frac=1.0, random_state=seed)) for seed in (1, 2))
    assert canonical_json([item.model_dump(mode="json") for item in first.measurements]) == canonical_json(
        [item.model_dump(mode="json") for item in second.measurements]
    )
    assert first.details == second.details
