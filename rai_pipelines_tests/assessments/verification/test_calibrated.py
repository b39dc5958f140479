"""Calibrated classifiers over linear models: certificates against a fine grid of the model itself."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from rai_pipelines.assessments.verification.calibrated import mean_of
from rai_pipelines.assessments.verification.certificates import Answer
from rai_pipelines.assessments.verification.certified import certify
from rai_pipelines.assessments.verification.domain import Asked, Region, around
from rai_pipelines.assessments.verification.extraction import TASK
from rai_pipelines.assessments.verification.properties import prove, region_of
from rai_pipelines.errors import ModelError
from rai_pipelines.subjects.safety_properties import SafetyProperty
from rai_pipelines_tests.assessments.verification.test_proofs import POSITIONS, properties
from rai_pipelines_tests.assessments.verification.verified_models import FEATURES, checked, described, rows, space_of

SCALED = make_pipeline(StandardScaler(), LogisticRegression())
MODELS: dict[str, Any] = {
    "one fold": CalibratedClassifierCV(SCALED, ensemble=False, cv=3),
    "folds": CalibratedClassifierCV(SCALED, cv=3),
    "isotonic": CalibratedClassifierCV(SCALED, method="isotonic", ensemble=False, cv=3),
    "isotonic folds": CalibratedClassifierCV(SCALED, method="isotonic", cv=2),
}


def grid_of(region: Region, fine: int) -> np.ndarray:
    whole = range(int(region.low[1]), int(region.high[1]) + 1)
    return np.array([[x, n, job] for x in np.linspace(region.low[0], region.high[0], fine) for n in whole for job in region.codes[2]], dtype=float)


def holds(item: SafetyProperty, region: Region, asked: Asked, fine: int = 61) -> bool:
    """By asking the model about a fine grid; a change of the score within rounding is none."""
    grid = grid_of(region, fine)
    scores, decisions = asked.scores(grid), asked.decisions(grid)
    assert scores is not None
    shape = (fine, int(region.high[1] - region.low[1]) + 1, len(region.codes[2]))
    by, decided = scores.reshape(shape), decisions.reshape(shape)
    if item.bounded_output is not None:
        return bool(scores.min() >= item.bounded_output.low and scores.max() <= item.bounded_output.high)
    if item.rule is not None and item.rule.decision is not None:
        return bool((decisions == (item.rule.decision == "favourable")).all())
    if item.rule is not None:
        return bool(scores.max() <= (item.rule.score_at_most or 1.0) and scores.min() >= (item.rule.score_at_least or 0.0))
    at = POSITIONS[item.features[0]]
    if item.monotone is not None:
        return bool((np.diff(by, axis=at) * (1 if item.monotone.direction == "increasing" else -1) >= -1e-9).all())
    assert item.invariant_to is not None
    tolerance = item.invariant_to.score_tolerance
    return not np.ptp(decided, axis=at).any() and (tolerance is None or float(np.ptp(by, axis=at).max()) <= tolerance)


@pytest.mark.parametrize("name", ["one fold", "folds", "isotonic folds", pytest.param("isotonic", marks=pytest.mark.slow)])
def test_proved_means_that_a_fine_grid_agrees_and_refuted_that_the_model_breaks_it(name: str, tmp_path: Path) -> None:
    frame = rows(250, 3)
    found, asked, domain = described(checked(MODELS[name].fit(frame[list(FEATURES)], frame.y)), space_of(tmp_path, frame), frame)
    assert found.form is not None, found.reason
    assert type(found.form).__name__ == ("Linear" if name == "one fold" else "Feedforward")
    answers: Counter[Answer] = Counter()
    for item in properties():
        region = region_of(item, domain, FEATURES)
        one = prove(item, found, asked, region, limit=2_000)
        answers[one.answer] += 1
        if one.answer is Answer.PROVED:
            assert holds(item, region, asked), item
        if one.answer is Answer.REFUTED:
            assert one.places is not None
            scores, decisions = asked.scores(one.places), asked.decisions(one.places)
            assert scores is not None and (len(one.places) == 1 or scores[0] != scores[1] or decisions[0] != decisions[1])
    assert answers[Answer.PROVED] >= 2 and answers[Answer.REFUTED] >= 5 and answers[Answer.UNKNOWN] <= 2, answers


@pytest.mark.parametrize("name", ["one fold", "isotonic folds", *(pytest.param(name, marks=pytest.mark.slow) for name in ("folds", "isotonic"))])
def test_certified_rows_keep_their_decision_on_a_fine_grid_of_their_box(name: str, tmp_path: Path) -> None:
    frame = rows(250, 3)
    space = space_of(tmp_path, frame, epsilon_linf=0.4, immutable=("job",))
    found, asked, _ = described(checked(MODELS[name].fit(frame[list(FEATURES)], frame.y)), space, frame)
    vectors = space.encode(frame)[:40]
    made = certify(found, asked, vectors, epsilon=0.4, limit=500, clique_rows=0, most_pairs=1)
    for row, answer in zip(vectors, made.answers, strict=True):
        stays = len(set(asked.decisions(np.vstack([row[None], grid_of(around(space, row), 21)])))) == 1
        assert stays or answer is not Answer.PROVED
    counts = Counter(made.answers)
    assert counts[Answer.PROVED] >= 10 and counts[Answer.REFUTED] >= 3 and counts[Answer.UNKNOWN] <= 2, counts


@pytest.mark.parametrize("native, why", [
    (CalibratedClassifierCV(DecisionTreeClassifier(max_depth=2), cv=2), "around linear models only"),
    (CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=3), method="isotonic", ensemble=False, cv=2), "around linear models only"),
    (CalibratedClassifierCV(LogisticRegression(), method="temperature", cv=2), "'temperature'"),
])  # fmt: skip
def test_a_calibration_that_is_not_followed_says_so(native: Any, why: str, tmp_path: Path) -> None:
    frame = rows(200, 3)
    found, _, _ = described(checked(native.fit(frame[list(FEATURES)], frame.y)), space_of(tmp_path, frame), frame)
    assert found.form is None and why in str(found.reason) and "CalibratedClassifierCV" in str(found.reason)


def test_a_process_that_sends_something_else_than_curves_is_an_error(tmp_path: Path) -> None:
    frame = rows(200, 3)
    space = space_of(tmp_path, frame)
    answer: Any = checked(MODELS["isotonic folds"].fit(frame[list(FEATURES)], frame.y)).run(TASK, {"columns": list(FEATURES)}, {})[0]
    mean_of(answer, space)
    first, second = answer["parts"]
    for wrong in (
        {"parts": []},
        {"parts": [first, {"weights": second["weights"], "base": 0.0, "columns": second["columns"], "steep": 1.0, "start": 0.0}]},
        {"parts": [{**first, "ramps": [[1.0, 1.0, 0.5]]}, second]},
        {"parts": [{**first, "ramps": [[2.0, 1.0, 0.5]]}, second]},
        {"parts": [{**first, "ramps": [[0.0, 1.0, -0.5]]}, second]},
        {"cut": "half"},
    ):
        with pytest.raises(ModelError, match="tampers"):
            mean_of({**answer, **wrong}, space)
