"""Thresholds of groups around linear models: certificates of decisions against a fine grid of the model itself."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rai_pipelines.assessments.verification.certificates import Answer
from rai_pipelines.assessments.verification.certified import certify
from rai_pipelines.assessments.verification.domain import around
from rai_pipelines.assessments.verification.grouped import Grouped, grouped_of
from rai_pipelines.assessments.verification.properties import prove, region_of
from rai_pipelines.demo.thresholds import GroupThresholdClassifier
from rai_pipelines.errors import ModelError
from rai_pipelines.subjects.safety_properties import SafetyProperty
from rai_pipelines_tests.assessments.verification.test_calibrated import grid_of
from rai_pipelines_tests.assessments.verification.verified_models import FEATURES, checked, described, rows, space_of

GROUPS: dict[str, Any] = {
    "job": (["job"], {}, {"1": 0.3, "2": 0.6}),
    "job and ages": (["job", "n"], {"n": [0, 2, 4]}, {"1/0": 0.2, "1/2": 0.4, "2/0": 0.7, "2/4": 0.95, "3/2": 1.0, "3/0": 0.0}),
    "whole numbers": (["n"], {}, {"0": 0.1, "3": 0.8}),
    "alike": (["job"], {}, {"1": 0.5, "2": 0.5}),
}
STATED: list[dict[str, Any]] = [
    {"invariant_to": {"features": ["job"]}},
    {"invariant_to": {"features": ["n"]}},
    {"invariant_to": {"features": ["n", "job"]}},
    {"invariant_to": {"features": ["x"]}},
    {"rule": {"when": {"x": [-9, -3]}, "decision": "unfavourable"}},
    {"rule": {"when": {"x": [3, 9], "job": {"values": [1]}}, "decision": "favourable"}},
    {"rule": {"when": {"n": [4, 5]}, "decision": "favourable"}},
]


def model_of(frame: pd.DataFrame, name: str, *, blind: bool = False) -> GroupThresholdClassifier:
    """With `blind`, a model inside that hardly looks at anything but x."""
    inputs = frame[list(FEATURES)]
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(inputs, frame.y)
    if blind:
        fitted[-1].coef_[0, 1:] = 0.0
    columns, bins, thresholds = GROUPS[name]
    return GroupThresholdClassifier(fitted, columns, bins, thresholds, fallback=0.5)


@pytest.mark.parametrize("blind", [False, True])
@pytest.mark.parametrize("favourable", ["1", pytest.param("0", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", GROUPS)
def test_proved_means_that_a_fine_grid_agrees_and_refuted_that_the_model_breaks_it(name: str, favourable: str, blind: bool, tmp_path: Path) -> None:
    frame = rows(250, 3)
    found, asked, domain = described(checked(model_of(frame, name, blind=blind), favourable), space_of(tmp_path, frame), frame)
    assert isinstance(found.form, Grouped), found.reason
    unknown = 0
    for at, stated in enumerate(STATED):
        item = SafetyProperty.model_validate({"name": f"p{at}", **stated})
        region = region_of(item, domain, FEATURES)
        one = prove(item, found, asked, region, limit=1)
        grid = grid_of(region, 61)
        decided = asked.decisions(grid).reshape(61, -1, len(region.codes[2]))
        if item.rule is not None:
            true = bool((decided == (item.rule.decision == "favourable")).all())
        else:
            true = not np.ptp(decided, axis=tuple(FEATURES.index(name) for name in item.features)).any()
        assert one.answer is not Answer.PROVED or true, (item, one)
        if one.answer is Answer.REFUTED:
            assert one.places is not None and (item.rule is not None or len(set(asked.decisions(one.places))) == 2)
        unknown += one.answer is Answer.UNKNOWN
    assert unknown == 0


def test_invariance_to_the_groups_themselves_holds_where_their_thresholds_are_equal(tmp_path: Path) -> None:
    frame = rows(250, 3)
    space = space_of(tmp_path, frame)
    item = SafetyProperty.model_validate({"name": "p", "invariant_to": {"features": ["job"]}})
    answers = {}
    for name in ("alike", "job"):
        found, asked, domain = described(checked(model_of(frame, name, blind=True)), space, frame)
        answers[name] = prove(item, found, asked, domain, limit=1).answer
    assert answers == {"alike": Answer.PROVED, "job": Answer.REFUTED}


@pytest.mark.parametrize("name", GROUPS)
def test_certified_rows_keep_their_decision_on_a_fine_grid_of_their_box(name: str, tmp_path: Path) -> None:
    frame = rows(250, 3)
    space = space_of(tmp_path, frame, epsilon_linf=0.4)
    found, asked, _ = described(checked(model_of(frame, name)), space, frame)
    vectors = space.encode(frame)[:40]
    made = certify(found, asked, vectors, epsilon=0.4, limit=1, clique_rows=0, most_pairs=1)
    for row, answer in zip(vectors, made.answers, strict=True):
        stays = len(set(asked.decisions(np.vstack([row[None], grid_of(around(space, row), 41)])))) == 1
        assert stays or answer is not Answer.PROVED
        assert not stays or answer is not Answer.UNKNOWN
    assert Counter(made.answers)[Answer.PROVED] >= 3 and len(made.radii) == 40


def test_a_process_that_sends_something_else_than_groups_is_an_error(tmp_path: Path) -> None:
    from rai_pipelines.assessments.verification.extraction import TASK

    frame = rows(200, 3)
    space = space_of(tmp_path, frame)
    answer: Any = checked(model_of(frame, "job")).run(TASK, {"columns": list(FEATURES)}, {})[0]
    grouped_of(answer, space)
    groups = answer["groups"]
    for wrong in ({"columns": []}, {"cuts": {"1": "x"}}, {"fallback": float("nan")}, {"bins": [1]}, {"cuts": None}):
        with pytest.raises(ModelError, match="tampers"):
            grouped_of({**answer, "groups": {**groups, **wrong}}, space)
