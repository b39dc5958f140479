"""The whole assessment, on a model that learnt by heart, one that did not, and tables that differ without any model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from rai_pipelines.assessments.base import Measured
from rai_pipelines.assessments.privacy_attacks.exposed_rows import draw_exposed_rows
from rai_pipelines.assessments.privacy_attacks.parameters import PrivacyAttackParameters
from rai_pipelines.assessments.privacy_attacks.privacy_attacks import assess_privacy_attacks
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import State, Status
from rai_pipelines_tests.assessments.privacy_attacks.attacked_subjects import FEATURES, context, one, people

PARAMETERS = PrivacyAttackParameters(rows=500, copies=6, shadow_models=8)
ATTACKS = {"rule_based", "loss_threshold", "learned", "label_only_noise", "lira_online"}


class Wrapped:
    """Answers as a linear model, and is no estimator that could be cloned."""

    classes_ = np.array([0, 1])

    def fit(self, inputs: pd.DataFrame, outcome: pd.Series) -> None:
        self._inner = linear().fit(inputs, outcome)

    def predict(self, inputs: pd.DataFrame) -> np.ndarray:
        return np.asarray(self._inner.predict(inputs))

    def predict_proba(self, inputs: pd.DataFrame) -> np.ndarray:
        return np.asarray(self._inner.predict_proba(inputs))


def linear() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression())


@pytest.fixture(scope="module")
def by_heart(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    forest = RandomForestClassifier(40, random_state=1)
    return assess_privacy_attacks(context(tmp_path_factory.mktemp("forest"), forest, people(900, 1), people(900, 2)), PARAMETERS)


@pytest.fixture(scope="module")
def modest(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return assess_privacy_attacks(context(tmp_path_factory.mktemp("linear"), linear(), people(4_000, 1), people(4_000, 2)), PARAMETERS)


def test_a_model_that_learnt_by_heart_is_found_by_every_attack(by_heart: Measured) -> None:
    found = {item.group: item for item in by_heart.measurements if item.metric == "membership_auc"}
    assert set(found) == ATTACKS
    for item in found.values():
        assert item.state is State.MEASURED
        assert item.interval is not None
        assert item.interval.low > (0.53 if item.group == "label_only_noise" else 0.6), item
    assert one(by_heart, "membership_tpr_at_fpr_1pct", group="lira_online").interval.low > 0.01  # type: ignore[union-attr]
    assert one(by_heart, "generalisation_gap").interval.low > 0.2  # type: ignore[union-attr]
    assert one(by_heart, "empirical_epsilon_lower_bound").value > 0.5  # type: ignore[operator]


def test_a_linear_model_on_many_rows_gives_nothing_away(modest: Measured) -> None:
    for item in modest.measurements:
        if item.metric == "membership_auc":
            assert item.state is State.MEASURED
            assert abs(item.value - 0.5) < 0.07  # type: ignore[operator]
    assert one(modest, "empirical_epsilon_lower_bound").value == pytest.approx(0.0, abs=0.1)


def test_tables_that_do_not_differ_are_not_told_apart_without_the_model(by_heart: Measured) -> None:
    item = one(by_heart, "membership_auc_without_model")
    assert item.interval is not None
    assert item.interval.low < 0.5 < item.interval.high


def test_a_shift_between_the_tables_is_seen_and_takes_the_proof_from_the_bound(tmp_path: Path) -> None:
    shifted = people(900, 2).assign(income=lambda frame: frame["income"] + 25)
    measured = assess_privacy_attacks(context(tmp_path, RandomForestClassifier(40, random_state=1), people(900, 1), shifted), PARAMETERS)
    assert one(measured, "membership_auc_without_model").value > 0.8  # type: ignore[operator]
    rule = one(measured, "membership_auc", group="rule_based")
    assert rule.state is State.INSUFFICIENT
    assert "shows nothing about the model" in str(rule.note)
    bound = one(measured, "empirical_epsilon_lower_bound")
    assert bound.value > 0  # type: ignore[operator]
    assert bound.state is State.INSUFFICIENT


def test_an_attack_that_misses_its_positive_control_is_insufficient(tmp_path: Path) -> None:
    hardly = PARAMETERS.model_copy(update={"min_control_auc": 1.0})
    measured = assess_privacy_attacks(context(tmp_path, linear(), people(900, 1), people(900, 2)), hardly)
    item = one(measured, "membership_auc", group="label_only_noise")
    assert item.state is State.INSUFFICIENT
    assert "attack not effective" in str(item.note)


def test_rows_that_occur_twice_in_the_two_tables_are_left_out_and_counted(tmp_path: Path) -> None:
    training, evaluation = people(300, 1), people(300, 2)
    evaluation = pd.concat([evaluation, training.iloc[:40]], ignore_index=True)
    training = pd.concat([training, training.iloc[50:60]], ignore_index=True)
    audit = context(tmp_path, linear(), training, evaluation)
    exposed = draw_exposed_rows(audit, tuple(FEATURES), 400)
    both = pd.concat([training, evaluation], ignore_index=True)
    repeated = both.duplicated([*FEATURES, "y"], keep=False).to_numpy()
    assert (exposed.sides[0].repeated, exposed.sides[1].repeated) == (int(repeated[: len(training)].sum()), int(repeated[len(training) :].sum()))
    assert exposed.member.sum() == (~exposed.member).sum() == 310 - 60
    members = exposed.frame[exposed.member].merge(evaluation, on=[*FEATURES, "y"])
    assert members.empty
    non_members = exposed.frame[~exposed.member].merge(training, on=[*FEATURES, "y"])
    assert non_members.empty


def test_number_types_do_not_hide_a_repeated_row(tmp_path: Path) -> None:
    training, evaluation = people(300, 1), people(300, 2)
    evaluation = pd.concat([evaluation, training.iloc[:40]], ignore_index=True).astype({"age": float, "y": float})
    exposed = draw_exposed_rows(context(tmp_path, linear(), training, evaluation), tuple(FEATURES), 400)
    assert (exposed.sides[0].repeated, exposed.sides[1].repeated) == (40, 40)


def test_where_every_row_has_an_equal_no_attack_is_made(tmp_path: Path) -> None:
    coarse = people(500, 1).assign(income=50.0, age=30)
    measured = assess_privacy_attacks(context(tmp_path, linear(), coarse, coarse), PARAMETERS)
    item = one(measured, "membership_auc")
    assert (item.value, item.state, item.n) == (None, State.INSUFFICIENT, 0)
    assert "no attack was made" in str(item.note)


def test_scores_that_tie_at_the_top_give_no_figure_that_reads_as_safe(by_heart: Measured) -> None:
    item = one(by_heart, "membership_tpr_at_fpr_1pct", group="rule_based")
    assert (item.value, item.state) == (None, State.UNDEFINED)
    assert "there is no such threshold" in str(item.note)


def test_small_groups_are_disclosed_and_not_judged(by_heart: Measured) -> None:
    groups = [item for item in by_heart.measurements if item.metric == "group_membership_auc"]
    rare = [item for item in groups if item.group == "rare"]
    assert [item.state for item in rare] == [State.INSUFFICIENT]
    assert {item.group for item in groups if item.state is State.MEASURED} == {"1", "2", "[18, 40)", "[40, 70)", "common"}


def test_the_allowance_of_queries_is_kept_and_what_was_cut_is_said(tmp_path: Path) -> None:
    few = PARAMETERS.model_copy(update={"max_queries": 5_000, "copies": 50})
    measured = assess_privacy_attacks(context(tmp_path, linear(), people(900, 1), people(900, 2)), few)
    assert one(measured, "model_queries").value <= 5_000  # type: ignore[operator]
    assert "of 50 noisy copies" in str(measured.details["cut"])


def test_a_sensitive_attribute_that_the_model_does_not_read_is_not_applicable(by_heart: Measured) -> None:
    item = one(by_heart, "attribute_inference_advantage", attribute="region")
    assert (item.state, item.value) == (State.UNAVAILABLE, None)
    assert "does not read region" in str(item.note)


def test_a_model_that_leans_on_a_sensitive_attribute_gives_it_away(modest: Measured) -> None:
    advantage = one(modest, "attribute_inference_advantage", attribute="ill")
    accuracy, baseline = (one(modest, f"attribute_inference_{part}", attribute="ill").value for part in ("accuracy", "baseline"))
    assert advantage.value == pytest.approx(accuracy - baseline)  # type: ignore[operator]
    assert advantage.interval is not None
    assert advantage.interval.low > 0.1  # the score of a linear model can be solved for the one input that is unknown


def test_a_model_without_scores_is_attacked_by_its_decisions_alone(tmp_path: Path) -> None:
    measured = assess_privacy_attacks(context(tmp_path, LinearSVC(random_state=0), people(400, 1), people(400, 2)), PARAMETERS)
    states = {item.group: item.state for item in measured.measurements if item.metric == "membership_auc"}
    assert set(states) == ATTACKS
    assert {name for name, state in states.items() if state is State.UNAVAILABLE} == {"loss_threshold", "lira_online"}


def test_a_model_that_cannot_be_cloned_says_so(tmp_path: Path) -> None:
    measured = assess_privacy_attacks(context(tmp_path, Wrapped(), people(400, 1), people(400, 2)), PARAMETERS)
    item = one(measured, "membership_auc", group="lira_online")
    assert (item.value, item.state) == (None, State.UNAVAILABLE)
    assert "a Wrapped is neither a scikit-learn estimator" in str(item.note)


def test_another_task_is_missing_with_its_name(tmp_path: Path) -> None:
    measured = assess_privacy_attacks(context(tmp_path, linear(), people(200, 1), people(200, 2), task="scoring"), PARAMETERS)
    assert measured.status is Status.MISSING
    assert "scoring" in str(measured.reason)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_rows(tmp_path: Path) -> None:
    small = PrivacyAttackParameters(rows=150, copies=3, shadow_models=2)

    def made(seed: int) -> bytes:
        tree = DecisionTreeClassifier(random_state=0)
        measured = assess_privacy_attacks(context(tmp_path, tree, people(900, 1), people(900, 2), seed=seed), small)
        return canonical_json([item.model_dump(mode="json") for item in measured.measurements])

    assert made(1) == made(1)
    assert made(1) != made(2)


def test_evidence_holds_no_value_of_any_row(by_heart: Measured) -> None:
    text = canonical_json([item.model_dump(mode="json") for item in by_heart.measurements]) + canonical_json(dict(by_heart.details))
    incomes = np.concatenate([people(900, 1)["income"], people(900, 2)["income"]])
    assert not [value for value in incomes if repr(float(value)).encode() in text]


def test_a_declared_budget_below_what_the_attacks_prove_is_contradicted(tmp_path: Path) -> None:
    declared = {"mechanism": "laplace", "epsilon": 0.1, "sensitivity": 1.0, "scale": 10.0}
    forest = RandomForestClassifier(40, random_state=1)
    measured = assess_privacy_attacks(context(tmp_path, forest, people(900, 1), people(900, 2), privacy=declared), PARAMETERS)
    assert one(measured, "dp_epsilon_recomputed").value == pytest.approx(0.1)
    item = one(measured, "dp_declaration_contradicted")
    assert (item.value, item.state) == (1.0, State.MEASURED)
