"""Proofs against trying every cell."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from rai_pipelines.assessments.verification import tree_proofs
from rai_pipelines.assessments.verification.certificates import Answer, Certificate
from rai_pipelines.assessments.verification.described_model import describe
from rai_pipelines.assessments.verification.domain import Asked, Region, whole_domain
from rai_pipelines.assessments.verification.properties import prove, region_of
from rai_pipelines.assessments.verification.search import bounds_of
from rai_pipelines.assessments.verification.trees import Ensemble
from rai_pipelines.subjects.safety_properties import SafetyProperty
from rai_pipelines_tests.assessments.verification.verified_models import FEATURES, asked_of, checked, described, every_cell, keeps, rows, space_of

LIMIT = 20_000
POSITIONS = {name: at for at, name in enumerate(FEATURES)}
KINDS = {
    "tree": lambda seed: DecisionTreeClassifier(max_depth=4, random_state=seed),
    "forest": lambda seed: RandomForestClassifier(4, max_depth=3, random_state=seed),
    "boosting": lambda seed: GradientBoostingClassifier(n_estimators=6, max_depth=2, random_state=seed),
    "lightgbm": lambda seed: lightgbm.LGBMClassifier(n_estimators=5, num_leaves=5, verbose=-1, n_jobs=1, random_state=seed),
}


def properties() -> list[SafetyProperty]:
    stated: list[dict[str, Any]] = [
        {"monotone": {"feature": "x", "direction": "increasing"}},
        {"monotone": {"feature": "n", "direction": "decreasing"}},
        {"monotone": {"feature": "n", "direction": "increasing"}},
        {"bounded_output": {"low": 0.02, "high": 0.97}},
        {"bounded_output": {"low": 0.0, "high": 0.8}},
        {"invariant_to": {"features": ["job"]}},
        {"invariant_to": {"features": ["n"]}},
        {"invariant_to": {"features": ["job"], "score_tolerance": 0.1}},
        {"invariant_to": {"features": ["n"], "score_tolerance": 0.5}},
        {"rule": {"when": {"x": [-9, -1.5]}, "decision": "unfavourable"}},
        {"rule": {"when": {"x": [1, 9], "n": [4, 5]}, "decision": "favourable"}},
        {"rule": {"when": {"job": {"values": [2]}}, "score_at_most": 0.9}},
        {"rule": {"when": {"x": [1.5, 9]}, "score_at_least": 0.3}},
    ]
    return [SafetyProperty.model_validate({"name": f"p{at}", **item}) for at, item in enumerate(stated)]


def holds(item: SafetyProperty, ensemble: Ensemble, asked: Asked, region: Region) -> bool:
    """By asking the model about every cell; a change of the score within rounding is none."""
    places = every_cell(ensemble, region)
    scores, decisions = asked.scores(places), asked.decisions(places)
    assert scores is not None
    return keeps(item, places, scores, decisions == 1, decisions, [POSITIONS[item.features[0]]] if item.features else [])


def answered(item: SafetyProperty, found: Any, asked: Asked, domain: Region, limit: int = LIMIT) -> tuple[Certificate, Region]:
    region = region_of(item, domain, FEATURES)
    return prove(item, found, asked, region, limit=limit), region


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**16), kind=st.sampled_from(sorted(KINDS)), favourable=st.sampled_from(["0", "1"]))
def test_proved_means_that_no_cell_breaks_it_and_refuted_that_one_does(seed: int, kind: str, favourable: str, tmp_path: Path) -> None:
    frame = rows(120, seed)
    model = checked(KINDS[kind](seed).fit(frame[list(FEATURES)], frame.y), favourable)
    found, asked, domain = described(model, space_of(tmp_path, frame), frame)
    assert isinstance(found.form, Ensemble), found.reason
    unknown = 0
    for item in properties():
        one, region = answered(item, found, asked, domain)
        true = holds(item, found.form, asked, region)
        assert one.answer is not (Answer.REFUTED if true else Answer.PROVED), (item, one)
        unknown += one.answer is Answer.UNKNOWN
    assert unknown <= 1  # a step so small that the logistic curve rounds it away


def test_both_answers_occur_for_every_kind_of_property(tmp_path: Path) -> None:
    seen: Counter[tuple[str, Answer]] = Counter()
    for kind in sorted(KINDS):
        frame = rows(120, 1)
        found, asked, domain = described(checked(KINDS[kind](1).fit(frame[list(FEATURES)], frame.y)), space_of(tmp_path, frame), frame)
        for item in properties():
            seen[item.kind, answered(item, found, asked, domain)[0].answer] += 1
    kinds = {"monotone", "bounded_output", "invariant_to", "rule"}
    assert {name for name, answer in seen if answer is Answer.REFUTED} == kinds == {name for name, answer in seen if answer is Answer.PROVED}


def test_a_model_with_monotone_constraints_is_proved_monotone(tmp_path: Path) -> None:
    frame = rows(400, 5)
    model = lightgbm.LGBMClassifier(n_estimators=60, num_leaves=15, monotone_constraints=[1, 1, 0], verbose=-1, n_jobs=1)
    found, asked, domain = described(checked(model.fit(frame[list(FEATURES)], frame.y)), space_of(tmp_path, frame), frame)
    up, down, _, *_ = properties()
    assert answered(up, found, asked, domain)[0].answer is Answer.PROVED
    assert answered(down, found, asked, domain)[0].answer is Answer.REFUTED


def test_an_input_that_no_tree_reads_changes_nothing(tmp_path: Path) -> None:
    frame = rows(200, 6)
    model = DecisionTreeClassifier(max_depth=3).fit(frame.assign(job=0)[list(FEATURES)], frame.y)
    found, asked, domain = described(checked(model), space_of(tmp_path, frame), frame)
    one, _ = answered(SafetyProperty.model_validate({"name": "p", "invariant_to": {"features": ["job"], "score_tolerance": 0}}), found, asked, domain)
    assert one.answer is Answer.PROVED and one.method == tree_proofs.BY_STRUCTURE


def test_several_inputs_changed_together_are_covered(tmp_path: Path) -> None:
    frame = rows(200, 7)
    model = checked(GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=1).fit(frame[list(FEATURES)], frame.y))
    found, asked, domain = described(model, space_of(tmp_path, frame), frame)
    assert isinstance(found.form, Ensemble)
    places = every_cell(found.form, domain)
    scores = asked.scores(places)
    assert scores is not None
    widest = max(np.ptp(scores[places[:, 0] == x]) for x in np.unique(places[:, 0]))
    for tolerance in (2.5 * widest, widest * 0.4):
        item = SafetyProperty.model_validate({"name": "p", "invariant_to": {"features": ["n", "job"], "score_tolerance": min(1.0, tolerance)}})
        one, _ = answered(item, found, asked, domain)
        assert one.answer is not (Answer.REFUTED if tolerance > widest and _decisions_stay(found.form, asked, domain) else Answer.PROVED)


def _decisions_stay(ensemble: Ensemble, asked: Asked, domain: Region) -> bool:
    places = every_cell(ensemble, domain)
    decisions = asked.decisions(places)
    return all(len(set(decisions[places[:, 0] == x])) == 1 for x in np.unique(places[:, 0]))


def test_a_search_that_is_cut_short_is_unknown_and_never_proved(tmp_path: Path) -> None:
    frame = rows(300, 8)
    found, asked, domain = described(checked(KINDS["forest"](1).fit(frame[list(FEATURES)], frame.y)), space_of(tmp_path, frame), frame)
    for item in properties():
        full, short = (answered(item, found, asked, domain, limit)[0] for limit in (LIMIT, 1))
        assert short.answer in {full.answer, Answer.UNKNOWN} and short.nodes <= 1
        assert short.answer is not Answer.UNKNOWN or "limit" in str(short.reason)


def test_bounds_of_a_box_hold_for_every_place_in_it(tmp_path: Path) -> None:
    frame = rows(200, 2)
    found, asked, domain = described(checked(KINDS["boosting"](3).fit(frame[list(FEATURES)], frame.y)), space_of(tmp_path, frame), frame)
    assert isinstance(found.form, Ensemble)
    low, high = bounds_of(found.form.leaves, found.form.grid.box(domain))
    raw = found.form.raw(domain.sample(np.random.default_rng(1), 500))
    assert low <= raw.min() and raw.max() <= high and high - low < 2 * np.ptp(raw) + 10
    assert asked.space.names == FEATURES


def test_a_bound_at_an_end_of_the_scores_is_answered_where_scores_are_rounded(tmp_path: Path) -> None:
    frame = rows(300, 3)
    model = checked(GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=1).fit(frame[list(FEATURES)], frame.y))
    found, asked, region = described(model, space_of(tmp_path, frame), frame)
    assert isinstance(found.form, Ensemble)
    rounded = replace(found.form, score_rounding=5e-7)
    answers = {
        (bound, side): tree_proofs.prove_score(rounded, asked, region, bound, side, limit=1_000).answer for bound in (0.0, 1.0) for side in (1, -1)
    }
    assert answers == {(0.0, 1): Answer.REFUTED, (0.0, -1): Answer.PROVED, (1.0, 1): Answer.PROVED, (1.0, -1): Answer.REFUTED}


def test_nothing_is_proved_of_scores_that_the_model_does_not_give(tmp_path: Path) -> None:
    frame = rows(300, 3)
    model = checked(GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=1).fit(frame[list(FEATURES)], frame.y))
    space = space_of(tmp_path, frame)
    asked = replace(asked_of(model, space, frame), score_frame=lambda table: None)
    found = describe(model, FEATURES, asked=asked, region=whole_domain(space), rows=space.encode(frame), seed=5)
    bounded = SafetyProperty.model_validate({"name": "bounded", "bounded_output": {"low": 0.0, "high": 0.999}})
    one = prove(bounded, found, asked, whole_domain(space), limit=1_000)
    assert (one.answer, one.reason) == (Answer.UNKNOWN, "the model gives no score")
    steady = SafetyProperty.model_validate({"name": "steady", "invariant_to": {"features": ["job"]}})
    assert prove(steady, found, asked, whole_domain(space), limit=10_000).answer is not Answer.UNKNOWN
