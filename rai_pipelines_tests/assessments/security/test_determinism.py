"""Asking again: a model that changes its mind is counted row by row, one that does not has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.assessments.security.determinism import measure_determinism
from rai_pipelines.subjects.model_files import CheckedModel
from rai_pipelines.subjects.model_formats import Query

FRAME = pd.DataFrame({"a": np.arange(40.0)})


def model(predict: Callable[[Any], Any], probabilities: Callable[[Any], Any] | None = None) -> CheckedModel:
    return CheckedModel(Query("test", ("a",), ("0", "1"), predict, probabilities), ("a",), "1", "model.test")


def steady(frame: Any) -> Any:
    return (frame["a"] > 20).astype(int)


def test_a_steady_model_changes_nothing() -> None:
    found = measure_determinism(model(steady, lambda frame: np.column_stack([frame["a"] / 40, 1 - frame["a"] / 40])), FRAME)
    assert (found.rows, found.repeats, found.decision_share, found.score_share, found.largest_score_change) == (40, 5, 0.0, 0.0, 0.0)


def test_rows_that_waver_are_counted_once_however_often_they_change() -> None:
    calls = iter(range(100))

    def wavering(frame: Any) -> Any:
        return (frame["a"] < 10 * (next(calls) % 2)).astype(int)

    found = measure_determinism(model(wavering), FRAME, repeats=6)
    assert (found.changed_decisions, found.decision_share) == (10, 0.25)
    assert found.changed_scores is found.score_share is found.largest_score_change is None


def test_the_last_bit_of_a_score_counts_and_its_range_is_told() -> None:
    calls = iter(range(100))

    def drifting(frame: Any) -> Any:
        score = np.full(len(frame), 0.5)
        turn = next(calls)
        score[0] = 0.5 + 0.1 * turn
        score[1] = np.nextafter(0.5, 1.0) if turn == 1 else 0.5
        return np.column_stack([1 - score, score])

    found = measure_determinism(model(steady, drifting), FRAME, repeats=3)
    assert (found.changed_decisions, found.changed_scores) == (0, 2)
    assert found.largest_score_change == pytest.approx(0.2)


def test_one_call_or_no_row_shows_nothing_and_is_refused() -> None:
    for repeats, frame in ((1, FRAME), (3, FRAME.head(0))):
        with pytest.raises(ValueError, match="show nothing"):
            measure_determinism(model(steady), frame, repeats)


def test_a_decision_that_depends_on_who_else_is_asked_about_has_changed() -> None:
    found = measure_determinism(model(lambda frame: (frame["a"] > frame["a"].median()).astype(int)), FRAME)
    assert found.changed_decisions == 20
    assert measure_determinism(model(lambda frame: (np.arange(len(frame)) < 5).astype(int)), FRAME).changed_decisions > 0
