"""Attacks on classifiers of three classes: against ART called directly, the likelihood ratio by hand, and the whole assessment with its controls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.budget import Budget, within_budget
from rai_pipelines.assessments.class_probabilities import class_probabilities
from rai_pipelines.assessments.privacy_attacks.membership import Rows, confidence, fragile_target, learned, rule_based
from rai_pipelines.assessments.privacy_attacks.parameters import PrivacyAttackParameters
from rai_pipelines.assessments.privacy_attacks.privacy_attacks import assess_privacy_attacks
from rai_pipelines.assessments.privacy_attacks.shadow_models import control_shadows
from rai_pipelines.assessments.refits import LEFT_OUT, Plan, answers_of_refits
from rai_pipelines.errors import DataError, ModelError
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import State
from rai_pipelines.model_host.host import HostedModel
from rai_pipelines.subjects.datasheet import parse_datasheet
from rai_pipelines.subjects.model_files import CheckedModel
from rai_pipelines.subjects.model_formats import _estimator, open_model
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import Subject
from rai_pipelines_tests.assessments.privacy_attacks.attacked_subjects import FEATURES, TEXT, one, people

CLASSES = ("none", "part", "full")
SEED = 11
PARAMETERS = PrivacyAttackParameters(rows=500, copies=6, shadow_models=8)
ATTACKS = {"rule_based", "loss_threshold", "learned", "label_only_noise", "lira_online"}


def workers(rows: int, seed: int) -> pd.DataFrame:
    """How much somebody works: follows income and illness, with much chance."""
    frame = people(rows, seed)
    rng = np.random.default_rng([seed, 1])
    work = (frame["income"] - 50) / 12 - 1.5 * (frame["ill"] - 0.4) + rng.normal(size=rows)
    frame["y"] = np.array(CLASSES)[np.digitize(work, [-0.6, 0.6])]
    return frame


def linear() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression())


def context(folder: Path, estimator: Any, training: pd.DataFrame, evaluation: pd.DataFrame, *, seed: int = 3) -> AuditContext:
    """An audit of `estimator`, fitted here to the whole training table."""
    training.to_parquet(folder / "training.parquet")
    evaluation.to_parquet(folder / "evaluation.parquet")
    estimator.fit(training[FEATURES], training["y"])
    text = TEXT.replace("TASK", "multiclass_classification").replace("  label: y\n", "  label: y\n  classes: [none, part, full]\n")
    model = CheckedModel(_estimator(estimator, "sklearn"), tuple(FEATURES), "1", "model")
    sheet = parse_datasheet(text, source="datasheet.yaml")
    return AuditContext(Subject(ModelVersion("m", "1"), sheet, folder, None, folder, lambda _folder, _sheet: model), seed, folder / "scratch")


@pytest.fixture(scope="module")
def attacked() -> tuple[Rows, DecisionTreeClassifier]:
    frame = workers(1_200, 5)
    truth = np.searchsorted(sorted(CLASSES), frame["y"])
    member = np.arange(1_200) < 600
    tree = DecisionTreeClassifier(max_depth=8, random_state=1).fit(frame[FEATURES].to_numpy()[member], truth[member])
    return Rows(frame[FEATURES], truth, member, np.arange(1_200) % 2 == 0, 3), tree


@pytest.fixture(scope="module")
def by_heart(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    forest = RandomForestClassifier(40, random_state=1)
    return assess_privacy_attacks(context(tmp_path_factory.mktemp("forest"), forest, workers(900, 1), workers(900, 2)), PARAMETERS)


@pytest.mark.filterwarnings("ignore:PyTorch not found")
def test_rule_and_learned_attack_equal_art_on_the_same_seed_and_split(attacked: tuple[Rows, DecisionTreeClassifier]) -> None:
    from art.attacks.inference.membership_inference import MembershipInferenceBlackBox, MembershipInferenceBlackBoxRuleBased
    from art.estimators.classification.scikitlearn import ScikitlearnDecisionTreeClassifier

    rows, tree = attacked
    inputs = rows.frame.to_numpy()
    estimator = ScikitlearnDecisionTreeClassifier(tree)
    rule = MembershipInferenceBlackBoxRuleBased(estimator).infer(inputs, rows.truth)
    assert rule_based(tree.predict(inputs), rows.truth, 3).tolist() == rule.tolist()
    known, unknown, judged = rows.learning & rows.member, rows.learning & ~rows.member, ~rows.learning
    art = MembershipInferenceBlackBox(estimator, attack_model_type="gb")
    art.attack_model.set_params(random_state=SEED)
    art.fit(inputs[known], rows.truth[known], inputs[unknown], rows.truth[unknown])
    expected = art.infer(inputs[judged], rows.truth[judged]).ravel() > 0
    likely, guess = learned(tree.predict(inputs), tree.predict_proba(inputs), rows, seed=SEED)
    assert guess[judged].tolist() == expected.tolist()
    assert np.array_equal(likely > 0.5, guess)


def test_two_columns_of_probabilities_say_the_same_as_one_score() -> None:
    rng = np.random.default_rng(4)
    score, truth, member = rng.random(400), rng.integers(0, 2, 400), rng.random(400) < 0.5
    rows = Rows(pd.DataFrame(), truth, member, np.arange(400) % 2 == 0)
    both = np.column_stack([1 - score, score])
    assert np.array_equal(confidence(both, truth), confidence(score, truth))
    decisions = (score > 0.5).astype(int)
    assert np.array_equal(learned(decisions, both, rows, seed=1)[0], learned(decisions, score, rows, seed=1)[0])


def test_the_likelihood_ratio_of_the_true_class_equals_normal_densities_by_hand() -> None:
    rng = np.random.default_rng(7)
    inputs = rng.normal(size=(120, 3))
    fragile, pool = fragile_target(inputs, seed=(1,), encode=lambda frame: frame.to_numpy(), classes=3)
    rows = Rows(pd.DataFrame(inputs), pool.truth, pool.member, pool.learning, 3)
    answers = fragile.answer(rows.frame)
    found = control_shadows(inputs, rows, answers, models=4, seed=(2,))
    draws = np.random.default_rng([2])
    assert np.array_equal(np.sort(draws.permutation(120)), np.arange(120))
    logit = lambda p: np.log(np.clip(p, 1e-4, 1 - 1e-4) / (1 - np.clip(p, 1e-4, 1 - 1e-4)))  # noqa: E731
    inside, said = [], []
    for pair in range(2):
        half = np.zeros(120, dtype=bool)
        half[draws.permutation(120)[:60]] = True
        for at, part in enumerate((half, ~half)):
            tree = DecisionTreeClassifier(random_state=2 * pair + at).fit(inputs[part], rows.truth[part])
            inside.append(part)
            said.append(logit(tree.predict_proba(inputs)[np.arange(120), rows.truth]))  # all three classes are in every half
    within, values = np.array(inside), np.array(said)
    means = [(values * part).sum(axis=0) / part.sum(axis=0) for part in (within, ~within)]
    spreads = [np.sqrt((((values - mean) * part) ** 2).sum() / part.sum()) for mean, part in zip(means, (within, ~within), strict=True)]
    own = logit(answers[1][np.arange(120), rows.truth])  # type: ignore[index]
    expected = norm.logpdf(own, means[0], max(spreads[0], 1e-3)) - norm.logpdf(own, means[1], max(spreads[1], 1e-3))
    assert np.allclose(found.score, expected)


def test_a_model_that_learnt_by_heart_is_found_by_every_attack_and_every_control_is_met(by_heart: Measured) -> None:
    found = {item.group: item for item in by_heart.measurements if item.metric == "membership_auc"}
    assert set(found) == ATTACKS
    for item in found.values():
        assert item.state is State.MEASURED
        assert item.interval is not None
        assert item.interval.low > (0.53 if item.group == "label_only_noise" else 0.6), item
    controls = {item.group: item.value for item in by_heart.measurements if item.metric == "membership_control_auc"}
    assert set(controls) == ATTACKS
    assert min(controls.values()) > 0.6  # type: ignore[type-var]
    without = one(by_heart, "membership_auc_without_model")
    assert without.interval is not None
    assert without.interval.low < 0.5 < without.interval.high
    assert one(by_heart, "membership_tpr_at_fpr_1pct", group="lira_online").interval.low > 0.01  # type: ignore[union-attr]
    assert one(by_heart, "generalisation_gap").interval.low > 0.2  # type: ignore[union-attr]
    assert one(by_heart, "empirical_epsilon_lower_bound").value > 0.5  # type: ignore[operator]


def test_every_class_and_every_protected_group_has_its_area_or_says_how_few_rows_it_has(by_heart: Measured) -> None:
    classes = {item.outcome: item for item in by_heart.measurements if item.metric == "class_membership_auc"}
    assert tuple(classes) == CLASSES
    assert all(item.state is State.MEASURED and item.value > 0.6 for item in classes.values())  # type: ignore[operator]
    assert sum(item.n or 0 for item in classes.values()) == one(by_heart, "membership_auc", group=str(by_heart.details["strongest"])).n
    groups = {item.group: item.state for item in by_heart.measurements if item.metric == "group_membership_auc"}
    assert groups["rare"] is State.INSUFFICIENT
    assert {name for name, state in groups.items() if state is State.MEASURED} == {"1", "2", "[18, 40)", "[40, 70)", "common"}


def test_a_linear_model_on_many_rows_gives_no_member_away_but_the_illness_that_it_leans_on(tmp_path: Path) -> None:
    measured = assess_privacy_attacks(context(tmp_path, linear(), workers(4_000, 1), workers(4_000, 2)), PARAMETERS)
    areas = [item for item in measured.measurements if item.metric == "membership_auc"]
    assert len(areas) == len(ATTACKS)
    assert all(item.state is State.MEASURED and abs(item.value - 0.5) < 0.07 for item in areas)  # type: ignore[operator]
    assert one(measured, "attribute_inference_advantage", attribute="ill").interval.low > 0.1  # type: ignore[union-attr]


def test_a_model_without_probabilities_is_attacked_by_its_decisions_alone(tmp_path: Path) -> None:
    measured = assess_privacy_attacks(context(tmp_path, LinearSVC(random_state=0), workers(400, 1), workers(400, 2)), PARAMETERS)
    states = {item.group: item.state for item in measured.measurements if item.metric == "membership_auc"}
    assert set(states) == ATTACKS
    assert {name for name, state in states.items() if state is State.UNAVAILABLE} == {"loss_threshold", "lira_online"}


def test_refits_answer_as_the_learner_fitted_by_hand_with_classes_in_the_order_of_the_datasheet() -> None:
    frame = workers(300, 1)
    forest = RandomForestClassifier(10, random_state=4).fit(frame[FEATURES], frame["y"])
    model = CheckedModel(_estimator(forest, "sklearn"), tuple(FEATURES), "1", "model")
    labels = np.array([CLASSES.index(name) for name in frame["y"]])
    labels[:100] = LEFT_OUT
    answers = answers_of_refits(model, frame[FEATURES], frame[FEATURES], [Plan(labels, 1)], CLASSES)
    seed = int(np.random.default_rng(1).integers(2**31))
    by_hand = clone(forest).set_params(random_state=seed, n_jobs=1).fit(frame[FEATURES].iloc[100:], frame["y"].iloc[100:])
    order = [by_hand.classes_.tolist().index(name) for name in CLASSES]
    assert np.array_equal(answers.shares[0], by_hand.predict_proba(frame[FEATURES])[:, order])
    assert [CLASSES[at] for at in answers.decisions[0]] == by_hand.predict(frame[FEATURES]).tolist()


def test_half_of_briers_score_of_two_classes_is_the_squared_error() -> None:
    from rai_pipelines.assessments.refits import Answers

    rng = np.random.default_rng(3)
    score, truth = rng.random((2, 50)), rng.integers(0, 2, 50)
    both = Answers((score > 0.5).astype(int), np.stack([1 - score, score], axis=2), classes=3)
    padded = Answers(both.decisions, np.concatenate([both.shares, np.zeros((2, 50, 1))], axis=2), classes=3)
    assert np.allclose(padded.squared_error(truth), Answers(score > 0.5, score).squared_error(truth))
    assert np.allclose(padded.belief_in(truth), Answers(score > 0.5, score).belief_in(truth))


def test_a_class_that_the_datasheet_does_not_name_ends_as_an_error_that_names_it(tmp_path: Path) -> None:
    odd = workers(300, 2)
    odd.loc[5, "y"] = "twice"
    with pytest.raises(DataError, match="twice"):
        assess_privacy_attacks(context(tmp_path, linear(), workers(300, 1), odd), PARAMETERS)
    with pytest.raises(ModelError, match="twice"):
        audit = context(tmp_path, linear(), workers(300, 1), workers(300, 2))
        forest = RandomForestClassifier(5, random_state=0).fit(workers(300, 1)[FEATURES], ["twice", "full", "none"] * 100)
        model = CheckedModel(_estimator(forest, "sklearn"), tuple(FEATURES), "1", "model")
        subject = replace(audit.subject, loader=lambda _folder, _sheet: model)
        assess_privacy_attacks(replace(audit, subject=subject), PARAMETERS)


def test_probabilities_count_against_the_budget_as_scores_do(tmp_path: Path) -> None:
    audit = context(tmp_path, linear(), workers(200, 1), workers(200, 2))
    asked = []

    def ask(context: AuditContext, parameters: Any) -> Measured:
        asked.append(class_probabilities(context.subject.load_model(), workers(200, 1)[FEATURES], CLASSES))
        return Measured()

    measured = within_budget(ask, Budget(1_000, 60.0), "probabilities")(audit, None)
    assert measured.details["budget"]["queries_asked"] == 200  # type: ignore[index, call-overload]
    assert np.allclose(asked[0].sum(axis=1), 1)  # type: ignore[union-attr]


def test_a_model_of_other_classes_gives_no_probabilities() -> None:
    frame = workers(200, 1)
    model = CheckedModel(_estimator(linear().fit(frame[FEATURES], frame["y"]), "sklearn"), tuple(FEATURES), "1", "model")
    assert class_probabilities(model, frame[FEATURES], ("none", "part", "all")) is None


@pytest.mark.slow
def test_through_the_confined_process_probabilities_and_refits_are_the_same(tmp_path: Path) -> None:
    import skops.io

    frame = workers(200, 1)
    audit = context(tmp_path, linear(), frame, workers(200, 2))
    native: Any = audit.subject.load_model().native  # type: ignore[attr-defined]
    skops.io.dump(native, tmp_path / "model.skops")
    here = audit.subject.load_model()
    plans = [Plan(np.array([CLASSES.index(name) for name in frame["y"]]), 1)]
    with HostedModel(tmp_path, audit.subject.datasheet) as hosted:
        assert np.array_equal(class_probabilities(hosted, frame[FEATURES], CLASSES), class_probabilities(here, frame[FEATURES], CLASSES))  # type: ignore[arg-type]
        there, at_home = (answers_of_refits(model, frame[FEATURES], frame[FEATURES], plans, CLASSES) for model in (hosted, here))
        assert np.array_equal(there.shares, at_home.shares) and np.array_equal(there.decisions, at_home.decisions)


def test_a_booster_of_three_classes_read_from_its_text_is_fitted_again_as_it_was(tmp_path: Path) -> None:
    import lightgbm

    frame = workers(400, 7)
    truth = np.array([CLASSES.index(name) for name in frame["y"]])
    learner = lightgbm.LGBMClassifier(n_estimators=8, min_child_samples=10, n_jobs=1, verbose=-1).fit(frame[FEATURES], truth)
    (tmp_path / "model.txt").write_text(learner.booster_.model_to_string())
    query = open_model(tmp_path / "model.txt", "model.txt", trusted_skops_types=(), trust_pickles=False)
    model = CheckedModel(query, tuple(FEATURES), "1", "model")
    names = ("0", "1", "2")
    answers = answers_of_refits(model, frame[FEATURES], frame[FEATURES], [Plan(truth, 1)], names)
    assert np.allclose(answers.shares[0], learner.predict_proba(frame[FEATURES]))


def test_refits_of_more_than_a_hundred_classes_learn_each_row_as_what_it_is() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    names = tuple(f"c{at:03d}" for at in range(260))
    truth = np.repeat(np.arange(260), 2)
    frame = pd.DataFrame({"a": truth.astype(float)})
    learner = KNeighborsClassifier(1).fit(frame, np.array(names)[truth])
    model = CheckedModel(_estimator(learner, "test"), ("a",), "1", "model")
    answers = answers_of_refits(model, frame, frame, [Plan(truth, 1)], names)
    assert (answers.decisions[0] == truth).all()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_no_value_of_any_row(tmp_path: Path) -> None:
    small = PrivacyAttackParameters(rows=150, copies=3, shadow_models=2)

    def made(seed: int) -> bytes:
        measured = assess_privacy_attacks(
            context(tmp_path, DecisionTreeClassifier(random_state=0), workers(900, 1), workers(900, 2), seed=seed), small
        )
        return canonical_json([item.model_dump(mode="json") for item in measured.measurements])

    first = made(1)
    assert first == made(1)
    assert first != made(2)
    incomes = np.concatenate([workers(900, 1)["income"], workers(900, 2)["income"]])
    assert not [value for value in incomes if repr(float(value)).encode() in first]
