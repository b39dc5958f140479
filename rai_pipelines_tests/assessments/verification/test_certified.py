"""Certified robustness against the toolbox itself, trying every cell, and optimisation."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from scipy.optimize import linprog
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from rai_pipelines.assessments.verification import clique
from rai_pipelines.assessments.verification.certificates import Answer
from rai_pipelines.assessments.verification.certified import certify, robust_measurements
from rai_pipelines.assessments.verification.clique import clique_bounds
from rai_pipelines.assessments.verification.described_model import representable
from rai_pipelines.assessments.verification.domain import around
from rai_pipelines.assessments.verification.linear import Linear
from rai_pipelines.assessments.verification.properties import prove
from rai_pipelines.assessments.verification.trees import Ensemble
from rai_pipelines.evidence.model import State
from rai_pipelines.subjects.safety_properties import SafetyProperty
from rai_pipelines_tests.assessments.verification.verified_models import FEATURES, checked, described, every_cell, rows, space_of


def scaled_rows(number: int, seed: int) -> Any:
    """Numbers from 0 to 1 that reach both ends, one category that no model reads."""
    frame = rows(number, seed)
    for name in ("x", "n"):
        frame[name] = (frame[name] - frame[name].min()) / np.ptp(frame[name])
    return frame.assign(n=frame.n * 0.999 + 0.0005, job=1)


def toolbox_of(native: Any) -> Any:
    """The toolbox's own reading of a model's trees."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from art.estimators.classification import LightGBMClassifier
        from art.estimators.classification.scikitlearn import ScikitlearnGradientBoostingClassifier, ScikitlearnRandomForestClassifier
    if isinstance(native, RandomForestClassifier):
        return ScikitlearnRandomForestClassifier(native)
    if isinstance(native, GradientBoostingClassifier):
        return ScikitlearnGradientBoostingClassifier(native)
    wrapped = LightGBMClassifier.__new__(LightGBMClassifier)  # its constructor counts one class in a binary booster and refuses it
    wrapped._model, wrapped._nb_classes = native.booster_, 2
    return wrapped


def by_toolbox(native: Any, row: np.ndarray, decision: int, epsilon: float) -> tuple[float, float]:
    from art.metrics.verification_decisions_trees import RobustnessVerificationTreeModelsCliqueMethod

    method = RobustnessVerificationTreeModelsCliqueMethod(classifier=toolbox_of(native), verbose=False)
    bound, failed = method.verify(x=row[None], y=np.array([decision]), eps_init=epsilon, norm=np.inf, nb_search_steps=10, max_clique=2, max_level=2)
    return bound, 1 - failed


@pytest.mark.parametrize("native", [
    GradientBoostingClassifier(n_estimators=4, max_depth=3, learning_rate=1.0, init="zero", random_state=1),
    lightgbm.LGBMClassifier(n_estimators=6, num_leaves=5, verbose=-1, n_jobs=1),
], ids=["boosting", "lightgbm"])  # fmt: skip
def test_bounds_are_those_of_the_toolbox_on_its_own_reading_of_the_model(native: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = scaled_rows(200, 2)
    native.fit(frame[list(FEATURES)], frame.y)
    found, asked, _ = described(checked(native), space_of(tmp_path, frame, epsilon_l2=0.2), frame)
    assert isinstance(found.form, Ensemble), found.reason
    monkeypatch.setattr(clique, "LEVELS", 2)
    vectors = found.form.grid.space.encode(frame)[:12]
    ours, certified, unit = clique_bounds(_in_units(found.form), vectors, epsilon=0.05, most_pairs=10**8, low=np.zeros(2), unit=1.0)
    theirs = [by_toolbox(native, row, int(decision), 0.05) for row, decision in zip(vectors, asked.decisions(vectors), strict=True)]
    np.testing.assert_allclose(ours, [bound for bound, _ in theirs], atol=1e-12)
    np.testing.assert_array_equal(certified, [done for _, done in theirs])
    assert unit == 1.0 and len(set(ours)) > 3 and 0 < certified.mean() < 1


def test_the_toolbox_certifies_every_favourable_row_of_a_binary_forest_and_is_not_followed(tmp_path: Path) -> None:
    frame = scaled_rows(200, 2)
    native = RandomForestClassifier(5, max_depth=3, random_state=1).fit(frame[list(FEATURES)], frame.y)
    found, asked, _ = described(checked(native), space_of(tmp_path, frame, epsilon_l2=0.2), frame)
    assert isinstance(found.form, Ensemble), found.reason
    vectors = found.form.grid.space.encode(frame)
    favourable = vectors[asked.decisions(vectors) == 1][:6]
    assert len(favourable) == 6 and len(set(asked.decisions(vectors))) == 2
    assert [by_toolbox(native, row, 1, 1.0)[1] for row in favourable] == [1.0] * 6  # it sums probabilities of both classes, never negative
    _, certified, _ = clique_bounds(_in_units(found.form), favourable, epsilon=1.0, most_pairs=10**8, low=np.zeros(2), unit=1.0)
    assert not certified.any()  # the other decision lies within the same box


def _in_units(form: Ensemble) -> Ensemble:
    """The same trees where one standard deviation is one unit of the data, as the toolbox counts."""
    space = form.grid.space
    features = tuple(replace(one, step=1.0) if one.values is None else one for one in space.features)
    return replace(form, grid=replace(form.grid, space=replace(space, features=features)))


@pytest.mark.parametrize("immutable", [(), ("job",), ("x",)])
def test_certified_means_that_no_cell_of_the_box_decides_otherwise(immutable: tuple[str, ...], tmp_path: Path) -> None:
    frame = rows(200, 3)
    model = checked(RandomForestClassifier(5, max_depth=4, random_state=1).fit(frame[list(FEATURES)], frame.y))
    space = space_of(tmp_path, frame, immutable=immutable, epsilon_linf=0.4, category_step=0.3)
    found, asked, _ = described(model, space, frame)
    assert isinstance(found.form, Ensemble)
    vectors = space.encode(frame)[:40]
    made = certify(found, asked, vectors, epsilon=0.4, limit=5_000, clique_rows=40, most_pairs=10**7)
    assert set(made.answers) == {Answer.PROVED, Answer.REFUTED}
    for at, (row, answer) in enumerate(zip(vectors, made.answers, strict=True)):
        stays = len(set(asked.decisions(np.vstack([row[None], every_cell(found.form, around(space, row))])))) == 1
        assert stays == (answer is Answer.PROVED)
        if made.clique_certified[at] == 1:
            assert stays  # the clique method never certifies what is not so


def test_shares_add_up_and_what_is_too_much_work_is_unknown(tmp_path: Path) -> None:
    frame = rows(200, 3)
    model = checked(RandomForestClassifier(9, max_depth=6, random_state=1).fit(frame[list(FEATURES)], frame.y))
    space = space_of(tmp_path, frame, epsilon_linf=0.4)
    found, asked, _ = described(model, space, frame)
    vectors = space.encode(frame)[:30]
    vectors[0, 1] = 2.5  # a fraction where training has whole numbers only
    made = certify(found, asked, vectors, epsilon=0.4, limit=2, clique_rows=5, most_pairs=1)
    figures = {item.metric: item for item in robust_measurements(made, epsilon=0.4, level=0.9)}
    assert sum(figures[name].value or 0 for name in ("certified_share", "refuted_share", "unknown_share")) == pytest.approx(1)
    assert (figures["unknown_share"].value or 0) > 0 and sum(made.reasons.values()) == made.answers.count(Answer.UNKNOWN)
    assert figures["mean_bound"].state is State.UNAVAILABLE
    assert not representable(found.form, vectors)[0]  # type: ignore[arg-type]


def test_linear_certificates_agree_with_linear_programming(tmp_path: Path) -> None:
    frame = rows(300, 4)
    model = checked(make_pipeline(StandardScaler(), LogisticRegression()).fit(frame[list(FEATURES)], frame.y))
    space = space_of(tmp_path, frame, immutable=("job",), epsilon_linf=0.5)
    found, asked, _ = described(model, space, frame)
    assert isinstance(found.form, Linear)
    vectors = space.encode(frame)[:60]
    made = certify(found, asked, vectors, epsilon=0.5, limit=1, clique_rows=0, most_pairs=1)
    raw = found.form.raw(vectors)
    for row, value, answer, radius in zip(vectors, raw, made.answers, made.radii, strict=True):
        box, side = around(space, row), 1 if value > 0 else -1
        slopes = found.form.slopes * side
        worst = linprog(slopes[:2], bounds=list(zip(box.low[:2], box.high[:2], strict=True))).fun
        assert (side * value + worst - slopes[:2] @ row[:2] > 0) == (answer is Answer.PROVED)
        pull = np.abs(found.form.slopes[:2] * [one.step for one in space.features[:2]])
        nearest = linprog([1, 0, 0], A_ub=[[-1, 1, 0], [-1, -1, 0], [-1, 0, 1], [-1, 0, -1]], b_ub=np.zeros(4),
                          A_eq=[[0, *pull]], b_eq=[abs(value)], bounds=[(0, None), (None, None), (None, None)]).fun  # fmt: skip
        assert radius == pytest.approx(min(nearest, space.diameter))


@pytest.mark.parametrize("stated", [
    {"monotone": {"feature": "x", "direction": "increasing"}},
    {"monotone": {"feature": "x", "direction": "decreasing"}},
    {"bounded_output": {"low": 0.0, "high": 0.999999}},
    {"bounded_output": {"low": 0.3, "high": 1.0}},
    {"invariant_to": {"features": ["job"]}},
    {"invariant_to": {"features": ["job"], "score_tolerance": 0.9}},
    {"rule": {"when": {"x": [-9, -4]}, "decision": "unfavourable"}},
    {"rule": {"when": {"x": [-9, 1]}, "decision": "unfavourable"}},
])  # fmt: skip
def test_properties_of_linear_models_hold_on_a_fine_grid_exactly_where_proved(stated: dict[str, Any], tmp_path: Path) -> None:
    frame = rows(300, 4)
    model = checked(LogisticRegression().fit(frame[list(FEATURES)], frame.y))
    found, asked, domain = described(model, space_of(tmp_path, frame), frame)
    item = SafetyProperty.model_validate({"name": "p", **stated})
    region = domain.narrowed(item.rule.when, "p") if item.rule else domain
    one = prove(item, found, asked, region, limit=1)
    line = np.linspace(region.low[0], region.high[0], 201)
    grid = np.array([[x, n, job] for x in line for n in range(6) for job in range(3)])
    scores, decisions = asked.scores(grid), asked.decisions(grid)
    assert scores is not None
    by = scores.reshape(len(line), 6, 3)
    if item.monotone:
        true = bool((np.diff(by, axis=0) * (1 if item.monotone.direction == "increasing" else -1) >= 0).all())
    elif item.bounded_output:
        true = bool(scores.min() >= item.bounded_output.low and scores.max() <= item.bounded_output.high)
    elif item.invariant_to:
        true = not np.ptp(decisions.reshape(by.shape), axis=2).any()
    else:
        true = not decisions.any()
    assert one.answer is (Answer.PROVED if true else Answer.REFUTED)


def test_a_tree_without_any_split_is_certified_everywhere(tmp_path: Path) -> None:
    frame = rows(50, 1)
    model = checked(DecisionTreeClassifier(max_depth=1, min_samples_leaf=40).fit(frame[list(FEATURES)], frame.y))
    space = space_of(tmp_path, frame, epsilon_linf=0.5)
    found, asked, _ = described(model, space, frame)
    made = certify(found, asked, space.encode(frame), epsilon=0.5, limit=5, clique_rows=5, most_pairs=100)
    assert set(made.answers) == {Answer.PROVED} and made.clique_certified.all()
    without = certify(found, asked, space.encode(frame), epsilon=0.5, limit=5, clique_rows=0, most_pairs=100)
    assert without.answers == made.answers and not len(without.radii)
