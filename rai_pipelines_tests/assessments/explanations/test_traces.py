"""Traces: a decision is made again to the last bit, or what differs is said."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_pipelines.assessments.base import AuditContext
from rai_pipelines.assessments.explanations.row import plain_inputs
from rai_pipelines.assessments.explanations.traces import TracedModel, TraceRecord, make_trace, open_traced, read_trace, replay_trace, write_trace
from rai_pipelines.errors import EvidenceError
from rai_pipelines.evidence.canonical import canonical_json, digest_of
from rai_pipelines_tests.assessments.explanations.explained_subjects import (
    FEATURES,
    NUMBERS,
    QUICK,
    RuleModel,
    checked,
    context_of,
    numbers_only,
    sheet_of,
    write_tables,
)

NOON = datetime(2026, 12, 15, 12, tzinfo=UTC)


def forest_context(folder: Path, *, state: int = 0, digest: str = "0") -> tuple[AuditContext, pd.DataFrame]:
    from sklearn.ensemble import RandomForestClassifier

    training, evaluation = write_tables(folder)
    sheet = sheet_of(numbers_only())
    fitted = RandomForestClassifier(10, random_state=state).fit(training[NUMBERS], training["y"])
    return context_of(folder, checked(fitted, sheet), sheet, digest=digest), evaluation


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> tuple[TracedModel, TracedModel, pd.DataFrame]:
    """The same model opened twice, and rows for it."""
    context, evaluation = forest_context(tmp_path_factory.mktemp("forest"))
    return open_traced(context, QUICK), open_traced(context, QUICK), evaluation


Forest = tuple[TracedModel, TracedModel, pd.DataFrame]


@pytest.mark.parametrize("keep", [True, False])
def test_a_decision_is_made_again_to_the_last_bit_after_the_record_was_a_file(keep: bool, forest: Forest, tmp_path: Path) -> None:
    model, again, rows = forest
    for position in range(5):
        row = rows.iloc[[position]]
        record = make_trace(model, row, prediction_id=f"p-{position}", at=NOON, keep_inputs=keep, table="evaluation", row_id=str(position))
        write_trace(record, tmp_path / f"{position}.json")
        read = read_trace(tmp_path / f"{position}.json")
        assert read == record
        assert (read.inputs is not None) == keep
        replay = replay_trace(read, None if keep else row, again)
        assert (replay.matches, replay.differences, replay.changed) == (True, (), ())


def test_contributions_add_up_to_the_recorded_score(forest: Forest) -> None:
    model, _, rows = forest
    record = make_trace(model, rows.iloc[[3]], prediction_id="p", at=NOON)
    assert record.base is not None
    assert record.score == record.output == pytest.approx(record.base + sum(record.contributions.values()), abs=1e-6)
    assert record.decision == int(record.output > 0.5)
    assert record.at == "2026-12-15T12:00:00+00:00"


def test_without_the_inputs_the_row_is_needed_and_another_row_is_told(forest: Forest) -> None:
    model, again, rows = forest
    record = make_trace(model, rows.iloc[[0]], prediction_id="p", at=NOON, table="evaluation", row_id="1000")
    lost = replay_trace(record, None, again)
    assert lost.differences == ("the inputs were not kept: give row 1000 of table evaluation",)
    other = replay_trace(record, rows.iloc[[1]], again)
    assert not other.matches
    assert any(text.startswith("inputs digest: recorded sha256:") for text in other.differences)
    assert replay_trace(record, rows.iloc[[0]].drop(columns="income"), again).differences == ("the inputs lack income",)
    assert replay_trace(record, rows.head(2), again).differences == ("2 rows were given, not one",)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"score": 0.123}, "score"),
        ({"decision": 7}, "decision"),
        ({"seed": 12}, "seed"),
        ({"model_digest": "sha256:" + "1" * 64}, "model digest"),
        ({"inputs_digest": "sha256:" + "1" * 64}, "inputs digest"),
    ],
)
def test_whatever_was_altered_in_a_record_is_named(changes: dict[str, Any], told: str, forest: Forest) -> None:
    model, again, rows = forest
    record = make_trace(model, rows.iloc[[2]], prediction_id="p", at=NOON, keep_inputs=True).model_copy(update=changes)
    replay = replay_trace(record, None, again)
    assert not replay.matches
    assert any(text.startswith(f"{told}: recorded {next(iter(changes.values()))}") for text in replay.differences)


def test_the_least_change_of_one_contribution_is_a_difference(forest: Forest) -> None:
    model, again, rows = forest
    record = make_trace(model, rows.iloc[[2]], prediction_id="p", at=NOON, keep_inputs=True)
    nudged = {**record.contributions, "income": float(np.nextafter(record.contributions["income"], 1))}
    replay = replay_trace(record.model_copy(update={"contributions": nudged}), None, again)
    (difference,) = replay.differences
    assert difference.startswith("contribution of income: recorded ")


def test_other_code_or_libraries_are_told_and_do_not_make_a_difference_by_themselves(forest: Forest) -> None:
    model, again, rows = forest
    record = make_trace(model, rows.iloc[[2]], prediction_id="p", at=NOON, keep_inputs=True)
    older = record.model_copy(update={"code_digest": "sha256:" + "1" * 64, "libraries": {**record.libraries, "numpy": "1.0"}})
    replay = replay_trace(older, None, again)
    assert (replay.matches, replay.changed) == (True, ("code digest", "library numpy"))


def test_another_model_is_told_from_the_one_that_decided(forest: Forest, tmp_path: Path) -> None:
    model, _, rows = forest
    context, _ = forest_context(tmp_path, state=1, digest="1")
    replay = replay_trace(make_trace(model, rows.iloc[[0]], prediction_id="p", at=NOON, keep_inputs=True), None, open_traced(context, QUICK))
    assert {text.partition(":")[0] for text in replay.differences} >= {"model digest", "output", "contribution of income"}


@pytest.mark.slow
def test_estimates_from_answers_are_the_same_again_too(tmp_path: Path) -> None:
    _, evaluation = write_tables(tmp_path)
    rule = RuleModel(lambda frame: (frame["income"] > 50).astype(int), lambda frame: 1 / (1 + np.exp(-(frame["income"] - 50) * frame["visits"] / 20)))
    context = context_of(tmp_path, rule, sheet_of())
    first, second = open_traced(context, QUICK), open_traced(context, QUICK)
    assert first.explainer.method.explainer == "PermutationExplainer"
    for position in range(3):
        record = make_trace(first, evaluation.iloc[[position]], prediction_id="p", at=NOON, keep_inputs=True)
        assert replay_trace(record, None, second).differences == ()


def test_a_trace_is_private_and_not_overwritten(forest: Forest, tmp_path: Path) -> None:
    model, _, rows = forest
    record = make_trace(model, rows.iloc[[0]], prediction_id="p", at=NOON)
    path = tmp_path / "deep" / "trace.json"
    write_trace(record, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == canonical_json(record)
    with pytest.raises(EvidenceError, match="not overwritten"):
        write_trace(record, path)
    path.write_text(json.dumps({"prediction_id": "p"}))
    with pytest.raises(EvidenceError, match="is no trace of a decision"):
        read_trace(path)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=True, allow_infinity=False), st.text(max_size=8)),
        min_size=1,
        max_size=5,
    )
)
def test_inputs_of_any_kind_have_one_digest_and_survive_json(values: list[Any]) -> None:
    frame = pd.DataFrame({f"c{at}": pd.Series([value], dtype=object) for at, value in enumerate(values)})
    inputs = plain_inputs(frame)
    assert digest_of(inputs) == digest_of(json.loads(canonical_json(inputs)))
    assert [inputs[f"c{at}"] is None for at in range(len(values))] == [value is None or value != value for value in values]


def test_a_record_refuses_a_number_that_json_cannot_carry() -> None:
    with pytest.raises(ValueError, match="finite"):
        TraceRecord(
            prediction_id="p", at="2026", model_name="m", model_version="1", inputs_digest="d", model_digest=None, datasheet_digest="d",
            background_digest="d", code_digest="d", libraries={}, seed=1, decision=1, score=None, output=float("nan"), explainer="e", explained="x",
            base=None, contributions={},
        )  # fmt: skip


def test_kept_inputs_with_a_missing_value_are_replayed(tmp_path: Path) -> None:
    _, evaluation = write_tables(tmp_path)
    rule = RuleModel(lambda frame: (frame["income"].fillna(0) > 50).astype(int), lambda frame: frame["income"].fillna(0) / 200)
    traced = open_traced(context_of(tmp_path, rule, sheet_of()), QUICK)
    row = evaluation.iloc[[0]][FEATURES].assign(age=np.nan, income=np.nan)
    record = make_trace(traced, row, prediction_id="p", at=NOON, keep_inputs=True)
    assert dict(record.inputs or {})["age"] is None
    assert replay_trace(record, None, traced).matches
