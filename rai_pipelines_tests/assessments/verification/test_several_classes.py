"""Proofs over classifiers of three classes: against trying every cell, a fine grid, linear programming and the toolbox."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from rai_pipelines.assessments.class_probabilities import class_probabilities
from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.security.robust_sample import Outcomes
from rai_pipelines.assessments.verification import clique
from rai_pipelines.assessments.verification.certificates import Answer, Certificate
from rai_pipelines.assessments.verification.certified import certify_classes
from rai_pipelines.assessments.verification.class_properties import prove_of_classes
from rai_pipelines.assessments.verification.clique import clique_bounds_of_classes
from rai_pipelines.assessments.verification.described_model import DescribedClasses, describe_classes
from rai_pipelines.assessments.verification.domain import Region, around, whole_domain
from rai_pipelines.assessments.verification.extraction import TASK
from rai_pipelines.assessments.verification.linear import Linear
from rai_pipelines.assessments.verification.properties import region_of
from rai_pipelines.assessments.verification.several import AskedClasses, several_of
from rai_pipelines.assessments.verification.tree_dumps import Unsupported
from rai_pipelines.assessments.verification.trees import Ensemble
from rai_pipelines.assessments.verification.verification import VerificationParameters, assess_verification
from rai_pipelines.errors import DatasheetError, ModelError
from rai_pipelines.model_host.host import HostedModel
from rai_pipelines.subjects.safety_properties import SafetyProperty
from rai_pipelines_tests.assessments.verification.test_certified import toolbox_of
from rai_pipelines_tests.assessments.verification.verified_models import DATASHEET, FEATURES, checked, context, every_cell, keeps, rows, space_of

NAMES = ("high", "low", "middle")  # not the order in which any model knows them
OWN = ("low", "middle", "high")
POSITIONS = {name: at for at, name in enumerate(FEATURES)}
LIMIT = 20_000
KINDS: dict[str, Any] = {
    "tree": lambda seed: DecisionTreeClassifier(max_depth=4, random_state=seed),
    "forest": lambda seed: RandomForestClassifier(4, max_depth=3, random_state=seed),
    "extra": lambda seed: ExtraTreesClassifier(3, max_depth=3, random_state=seed),
    "boosting": lambda seed: GradientBoostingClassifier(n_estimators=3, max_depth=2, random_state=seed),
    "histogram": lambda seed: HistGradientBoostingClassifier(max_iter=2, max_leaf_nodes=4, random_state=seed),
    "lightgbm": lambda seed: lightgbm.LGBMClassifier(n_estimators=3, num_leaves=4, verbose=-1, n_jobs=1, random_state=seed),
}


def graded(number: int, seed: int) -> pd.DataFrame:
    frame = rows(number, seed)
    noise = np.random.default_rng([seed, 1]).normal(scale=0.6, size=number)
    grade = frame.x + 0.3 * frame.n - 0.5 * (frame.job == 2) + noise
    return frame.assign(y=np.array(OWN)[np.digitize(grade, [0.2, 1.3])])


def described(native: Any, space: FeatureSpace, frame: pd.DataFrame, names: tuple[str, ...] = NAMES) -> tuple[DescribedClasses, AskedClasses, Region]:
    model, outcomes, domain = checked(native), Outcomes("1", names), whole_domain(space)
    asked = AskedClasses(
        space, frame[list(FEATURES)], lambda table: outcomes.decisions(model, table, "m"), lambda table: class_probabilities(model, table, names)
    )
    return describe_classes(model, FEATURES, names, asked=asked, region=domain, rows=space.encode(frame), seed=5), asked, domain


def properties() -> list[SafetyProperty]:
    stated: list[dict[str, Any]] = [
        {"outcome": "high", "monotone": {"feature": "x", "direction": "increasing"}},
        {"outcome": "middle", "monotone": {"feature": "n", "direction": "increasing"}},
        {"outcome": "low", "monotone": {"feature": "n", "direction": "decreasing"}},
        {"outcome": "middle", "bounded_output": {"low": 0.02, "high": 0.97}},
        {"outcome": "high", "bounded_output": {"low": 0.0, "high": 0.6}},
        {"invariant_to": {"features": ["job"]}},
        {"invariant_to": {"features": ["n"]}},
        {"outcome": "low", "invariant_to": {"features": ["job"], "score_tolerance": 0.2}},
        {"outcome": "low", "invariant_to": {"features": ["n", "job"], "score_tolerance": 0.9}},
        {"outcome": "high", "rule": {"when": {"x": [-9, -1.5]}, "decision": "unfavourable"}},
        {"outcome": "low", "rule": {"when": {"x": [-9, -2], "n": [0, 1]}, "decision": "favourable"}},
        {"outcome": "middle", "rule": {"when": {"job": {"values": [2]}}, "score_at_most": 0.8}},
        {"outcome": "high", "rule": {"when": {"x": [1.5, 9]}, "score_at_least": 0.2}},
    ]
    return [SafetyProperty.model_validate({"name": f"p{at}", **item}) for at, item in enumerate(stated)]


def holds(item: SafetyProperty, places: np.ndarray, asked: AskedClasses) -> bool:
    """By asking the model about every place; a change of the score within rounding is none."""
    scores, decisions = asked.scores(places), asked.decisions(places)
    assert scores is not None
    outcome = NAMES.index(item.outcome or "high")
    return keeps(item, places, scores[:, outcome], decisions == outcome, decisions, [POSITIONS[name] for name in item.features])


def answered(item: SafetyProperty, found: DescribedClasses, asked: AskedClasses, domain: Region, limit: int = LIMIT) -> tuple[Certificate, Region]:
    region = region_of(item, domain, FEATURES)
    outcome = NAMES.index(item.outcome or "high")
    return prove_of_classes(item, found.form, found.reason, asked, region, outcome=outcome, limit=limit), region


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_proved_means_that_no_cell_breaks_it_and_refuted_that_one_does(kind: str, seed: int, tmp_path: Path) -> None:
    frame = graded(120, seed)
    found, asked, domain = described(KINDS[kind](seed).fit(frame[list(FEATURES)], frame.y), space_of(tmp_path, frame), frame)
    assert found.form is not None, found.reason
    like = found.form.first
    assert isinstance(like, Ensemble) and found.difference is not None and found.difference < 1e-12
    unknown = 0
    for item in properties():
        one, region = answered(item, found, asked, domain)
        true = holds(item, every_cell(like, region), asked)
        assert one.answer is not (Answer.REFUTED if true else Answer.PROVED), (item, one)
        unknown += one.answer is Answer.UNKNOWN
    assert unknown <= 1  # two features at once share out the tolerance


def test_both_answers_occur_for_every_kind_of_property(tmp_path: Path) -> None:
    seen: Counter[tuple[str, Answer]] = Counter()
    stump = lightgbm.LGBMClassifier(n_estimators=1, num_leaves=2, verbose=-1, n_jobs=1)
    for native in (KINDS["forest"](1), KINDS["lightgbm"](1), stump):
        frame = graded(120, 1)
        found, asked, domain = described(native.fit(frame[list(FEATURES)], frame.y), space_of(tmp_path, frame), frame)
        for item in properties():
            seen[item.kind, answered(item, found, asked, domain)[0].answer] += 1
    kinds = {"monotone", "bounded_output", "invariant_to", "rule"}
    assert {name for name, answer in seen if answer is Answer.REFUTED} == kinds == {name for name, answer in seen if answer is Answer.PROVED}


def test_a_search_that_is_cut_short_is_unknown_and_never_proved(tmp_path: Path) -> None:
    frame = graded(200, 8)
    found, asked, domain = described(KINDS["forest"](1).fit(frame[list(FEATURES)], frame.y), space_of(tmp_path, frame), frame)
    for item in properties():
        full, short = (answered(item, found, asked, domain, limit)[0] for limit in (LIMIT, 1))
        assert short.answer in {full.answer, Answer.UNKNOWN} and short.nodes <= 1
        assert short.answer is not Answer.UNKNOWN or "limit" in str(short.reason)


@pytest.mark.parametrize("kind", ["forest", "boosting", "lightgbm"])
def test_certified_means_that_no_cell_of_the_box_decides_otherwise(kind: str, tmp_path: Path) -> None:
    frame = graded(200, 3)
    space = space_of(tmp_path, frame, immutable=("job",), epsilon_linf=0.3)
    found, asked, _ = described(KINDS[kind](1).fit(frame[list(FEATURES)], frame.y), space, frame)
    assert found.form is not None and isinstance(found.form.first, Ensemble)
    vectors = space.encode(frame)[:30]
    made = certify_classes(found, asked, vectors, epsilon=0.3, limit=5_000, clique_rows=30, most_pairs=10**7)
    assert {Answer.PROVED, Answer.REFUTED} >= set(made.answers) and Answer.PROVED in made.answers
    for at, (row, answer) in enumerate(zip(vectors, made.answers, strict=True)):
        stays = len(set(asked.decisions(np.vstack([row[None], every_cell(found.form.first, around(space, row))])))) == 1
        assert stays == (answer is Answer.PROVED)
        if made.clique_certified[at] == 1:
            assert stays  # the clique method never certifies what is not so
    assert made.clique_certified.sum() > 0


@pytest.mark.parametrize("native", [
    GradientBoostingClassifier(n_estimators=3, max_depth=3, learning_rate=1.0, init="zero", random_state=1),
    lightgbm.LGBMClassifier(n_estimators=4, num_leaves=5, verbose=-1, n_jobs=1),
], ids=["boosting", "lightgbm"])  # fmt: skip
def test_clique_bounds_are_those_of_the_toolbox_on_its_own_reading_of_the_model(native: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = graded(200, 2)
    for name in ("x", "n"):
        frame[name] = (frame[name] - frame[name].min()) / np.ptp(frame[name])
    frame = frame.assign(n=frame.n * 0.999 + 0.0005, job=1)
    classes = ("0", "1", "2")
    native.fit(frame[list(FEATURES)], [OWN.index(name) for name in frame.y])
    space = space_of(tmp_path, frame, epsilon_l2=0.2)
    space = replace(space, features=tuple(replace(one, step=1.0) if one.values is None else one for one in space.features))
    found, asked, _ = described(native, space, frame, classes)
    assert found.form is not None, found.reason
    monkeypatch.setattr(clique, "LEVELS", 2)
    vectors = space.encode(frame)[:12]
    decisions = asked.decisions(vectors)
    wrapped = toolbox_of(native)
    if isinstance(native, lightgbm.LGBMClassifier):
        wrapped._nb_classes = 3
    seen = set()
    for row, decision in zip(vectors, decisions, strict=True):
        pairs = [pair for pair in found.form.against(int(decision)) if isinstance(pair, Ensemble)]
        ours, certified = clique_bounds_of_classes(pairs, row[None], epsilon=0.02, most_pairs=10**8, low=np.zeros(2), unit=1.0)
        bound, failed = _by_toolbox(wrapped, row, int(decision))
        assert (ours[0], certified[0]) == (pytest.approx(bound, abs=1e-12), 1 - failed)
        seen.add(round(bound, 6))
    assert len(seen) > 3


def _by_toolbox(wrapped: Any, row: np.ndarray, decision: int) -> tuple[float, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from art.metrics.verification_decisions_trees import RobustnessVerificationTreeModelsCliqueMethod
    method = RobustnessVerificationTreeModelsCliqueMethod(classifier=wrapped, verbose=False)
    bound, failed = method.verify(x=row[None], y=np.array([decision]), eps_init=0.02, norm=np.inf, nb_search_steps=10, max_clique=2, max_level=2)
    return bound, failed


def test_linear_certificates_agree_with_linear_programming_for_each_other_class(tmp_path: Path) -> None:
    frame = graded(300, 4)
    space = space_of(tmp_path, frame, immutable=("job",), epsilon_linf=0.3)
    found, asked, _ = described(make_pipeline(StandardScaler(), LogisticRegression()).fit(frame[list(FEATURES)], frame.y), space, frame)
    assert found.form is not None, found.reason
    vectors = space.encode(frame)[:60]
    made = certify_classes(found, asked, vectors, epsilon=0.3, limit=1, clique_rows=0, most_pairs=1)
    for row, decision, answer in zip(vectors, asked.decisions(vectors), made.answers, strict=True):
        box, worst = around(space, row), np.inf
        for pair in found.form.against(int(decision)):
            assert isinstance(pair, Linear)
            least = linprog(pair.slopes[:2], bounds=list(zip(box.low[:2], box.high[:2], strict=True))).fun
            worst = min(worst, float(pair.raw(row[None])[0]) + least - pair.slopes[:2] @ row[:2])
        assert (worst > 0) == (answer is Answer.PROVED)
    assert len(set(made.answers)) == 2 and (made.radii > 0).all()


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.parametrize("kind", ["linear", "network"])
def test_properties_of_softmax_models_hold_on_a_fine_grid_where_proved_and_fail_where_refuted(kind: str, tmp_path: Path) -> None:
    frame = graded(300, 4)
    native: Any = LogisticRegression() if kind == "linear" else MLPClassifier((4,), activation="tanh", solver="lbfgs", max_iter=60, random_state=1)
    found, asked, domain = described(make_pipeline(StandardScaler(), native).fit(frame[list(FEATURES)], frame.y), space_of(tmp_path, frame), frame)
    assert found.form is not None, found.reason
    assert type(found.form.first).__name__ == ("Linear" if kind == "linear" else "Feedforward")
    answers = Counter()
    for item in properties():
        one, region = answered(item, found, asked, domain, limit=3_000)
        line = np.linspace(region.low[0], region.high[0], 101)
        whole = range(int(region.low[1]), int(region.high[1]) + 1)
        grid = np.array([[x, n, job] for x in line for n in whole for job in region.codes[2]])
        true = holds(item, grid, asked)
        assert one.answer is not Answer.PROVED or true, (item, one)
        if one.answer is Answer.REFUTED:
            assert one.places is not None and not holds(item, one.places, asked), (item, one)
        answers[one.answer] += 1
    assert answers[Answer.PROVED] >= 3 and answers[Answer.REFUTED] >= 4 and answers[Answer.UNKNOWN] <= (0 if kind == "linear" else 3)


def test_xgboost_of_several_classes_is_read_exactly(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed")
    frame = graded(150, 6)
    classes = ("0", "1", "2")
    native = xgboost.XGBClassifier(n_estimators=3, max_depth=2, n_jobs=1).fit(frame[list(FEATURES)], [OWN.index(name) for name in frame.y])
    found, asked, domain = described(native, space_of(tmp_path, frame), frame, classes)
    assert found.form is not None, found.reason
    assert found.difference is not None and found.difference < 1e-6
    never = SafetyProperty.model_validate({"name": "p", "outcome": "2", "rule": {"when": {"x": [-9, -2]}, "decision": "unfavourable"}})
    region = region_of(never, domain, FEATURES)
    one = prove_of_classes(never, found.form, None, asked, region, outcome=2, limit=LIMIT)
    assert isinstance(found.form.first, Ensemble)
    assert (one.answer is Answer.PROVED) == (2 not in asked.decisions(every_cell(found.form.first, region)))


def test_scores_of_one_against_the_rest_are_unknown_and_decisions_are_still_certified(tmp_path: Path) -> None:
    frame = graded(200, 3)
    native = make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=0)).fit(frame[list(FEATURES)], frame.y)
    found, asked, domain = described(native, space_of(tmp_path, frame, epsilon_linf=0.3), frame)
    assert found.form is not None and found.form.link == "none"
    bounded = answered(properties()[3], found, asked, domain)[0]
    assert (bounded.answer, bounded.method) == (Answer.UNKNOWN, "none") and "how it makes it" in str(bounded.reason)
    vectors = asked.space.encode(frame)[:20]
    made = certify_classes(found, asked, vectors, epsilon=0.3, limit=1, clique_rows=0, most_pairs=1)
    assert Answer.PROVED in made.answers and Answer.UNKNOWN not in made.answers


def test_where_the_model_tells_no_probabilities_none_of_its_trees_are_believed(tmp_path: Path) -> None:
    frame = graded(200, 3)
    native = KINDS["boosting"](1).fit(frame[list(FEATURES)], frame.y)
    space = space_of(tmp_path, frame)
    model, outcomes, domain = checked(native), Outcomes("1", NAMES), whole_domain(space)
    asked = AskedClasses(space, frame[list(FEATURES)], lambda table: outcomes.decisions(model, table, "m"), lambda table: None)
    found = describe_classes(model, FEATURES, NAMES, asked=asked, region=domain, rows=space.encode(frame), seed=5)
    assert found.form is not None and found.difference is None
    answers = {item.name: answered(item, found, asked, domain)[0] for item in properties()}
    assert all(answers[name].answer is Answer.UNKNOWN and answers[name].method == "none" for name in ("p0", "p3", "p7", "p11"))
    assert answers["p5"].method != "none"  # decisions are compared, and proved


SHEET = DATASHEET.replace("columns:\n", "task: multiclass_classification\ncolumns:\n  classes: [high, low, middle]\n")
DECLARED = """
safety_properties:
  - {name: grows, outcome: high, monotone: {feature: x, direction: increasing}}
  - {name: poor, outcome: high, rule: {when: {x: [-9, -2]}, decision: unfavourable}}
  - {name: sure, outcome: middle, bounded_output: {high: 0.05}}
  - {name: same, invariant_to: {features: [job]}}
"""


def test_the_assessment_proves_properties_and_certifies_rows_of_three_classes(tmp_path: Path) -> None:
    frame = graded(200, 1)
    native = KINDS["lightgbm"](1).fit(frame[list(FEATURES)], frame.y)
    measured = assess_verification(context(tmp_path, native, frame, DECLARED, SHEET), VerificationParameters(rows=40, property_nodes=20_000))
    assert measured.details["form"] == "ensemble" and measured.details["classes"] == list(NAMES)
    answers: Any = measured.details["certificates"]
    assert (answers["poor"]["answer"], answers["sure"]["answer"]) == ("proved", "refuted")
    assert answers["sure"]["counterexample_confirmed_by_the_model"] is True
    shares = {item.metric: item.value for item in measured.measurements}
    assert sum(shares[name] or 0 for name in ("certified_share", "refuted_share", "unknown_share")) == pytest.approx(1)
    assert (shares["certified_share"] or 0) > 0.3 and shares["clique_certified_share"] is not None


@pytest.mark.slow
def test_through_the_confined_process_the_certificates_are_the_same(tmp_path: Path) -> None:
    import skops.io

    frame = graded(200, 1)
    for kind in ("forest", "boosting"):
        native = KINDS[kind](1).fit(frame[list(FEATURES)], frame.y)
        folder = tmp_path / kind
        folder.mkdir()
        skops.io.dump(native, folder / "model.skops")
        given = context(tmp_path, native, frame, DECLARED, SHEET)
        parameters = VerificationParameters(rows=20, property_nodes=20_000)
        with HostedModel(folder, given.subject.datasheet) as hosted:
            there = replace(given, subject=replace(given.subject, loader=lambda _folder, _sheet, hosted=hosted: hosted))
            assert assess_verification(there, parameters) == assess_verification(given, parameters)


def test_a_process_that_sends_something_else_than_trees_of_classes_is_an_error(tmp_path: Path) -> None:
    frame = graded(100, 1)
    space = space_of(tmp_path, frame)
    model = checked(KINDS["forest"](1).fit(frame[list(FEATURES)], frame.y))
    answer, tables = model.run(TASK, {"columns": list(FEATURES), "classes": list(NAMES)}, {})
    several_of(answer, tables, NAMES, space)
    for wrong in ({"places": [0, 0, 1]}, {"bases": [0.0]}, {"link": "tanh"}, {"bases": ["x", 0, 0]}):
        with pytest.raises(ModelError, match="tampers"):
            several_of({**answer, **wrong}, tables, NAMES, space)
    with pytest.raises(ModelError, match="tampers"):
        several_of({**answer, "outcomes": []}, {"nodes": tables["nodes"]}, NAMES, space)
    with pytest.raises(Unsupported, match="13 classes"):
        several_of(answer, tables, tuple(map(str, range(13))), space)


def test_a_model_that_cannot_be_read_is_unknown_in_everything(tmp_path: Path) -> None:
    from sklearn.naive_bayes import GaussianNB

    frame = graded(200, 1)
    measured = assess_verification(
        context(tmp_path, GaussianNB().fit(frame[list(FEATURES)], frame.y), frame, DECLARED, SHEET), VerificationParameters(rows=20)
    )
    assert "GaussianNB" in str(measured.details["why_not_verified"])
    assert {item.metric: item.value for item in measured.measurements}["unknown_share"] == 1.0


@pytest.mark.parametrize("wrong", [
    "safety_properties: [{name: p, outcome: huge, bounded_output: {high: 0.5}}]",
    "safety_properties: [{name: p, bounded_output: {high: 0.5}}]",  # of which class? the favourable outcome, 1, is none of them
])  # fmt: skip
def test_a_property_of_no_class_is_refused_when_the_datasheet_is_read(wrong: str, tmp_path: Path) -> None:
    frame = graded(100, 1)
    with pytest.raises(DatasheetError, match="outcome"):
        context(tmp_path, LogisticRegression(), frame, "\n" + wrong, SHEET)
