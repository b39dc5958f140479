"""Each attack against ART called directly, and the figures against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve
from sklearn.tree import DecisionTreeClassifier

from rai_pipelines.assessments.privacy_attacks.attribute_inference import paired_difference
from rai_pipelines.assessments.privacy_attacks.epsilon_bound import empirical_bound
from rai_pipelines.assessments.privacy_attacks.membership import Attack, Noise, Rows, best_threshold, learned, noisy_copy, rule_based
from rai_pipelines.assessments.privacy_attacks.membership_figures import Controls, area, attack_figures, hits_at_few_false_alarms
from rai_pipelines.assessments.privacy_attacks.shadow_models import likelihood_ratio
from rai_pipelines.evidence.model import State
from rai_pipelines_tests.assessments.privacy_attacks.attacked_subjects import FEATURES, people

SEED = 11


@pytest.fixture(scope="module")
def attacked() -> tuple[Rows, DecisionTreeClassifier]:
    frame = people(1_200, 5)
    member = np.arange(1_200) < 600
    tree = DecisionTreeClassifier(max_depth=8, random_state=1).fit(frame[FEATURES].to_numpy()[member], frame["y"][member])
    return Rows(frame[FEATURES], frame["y"].to_numpy(), member, np.arange(1_200) % 2 == 0), tree


@pytest.mark.filterwarnings("ignore:PyTorch not found")
def test_the_rule_equals_art_on_the_model_itself(attacked: tuple[Rows, DecisionTreeClassifier]) -> None:
    from art.attacks.inference.membership_inference import MembershipInferenceBlackBoxRuleBased
    from art.estimators.classification.scikitlearn import ScikitlearnDecisionTreeClassifier

    rows, tree = attacked
    inputs = rows.frame.to_numpy()
    expected = MembershipInferenceBlackBoxRuleBased(ScikitlearnDecisionTreeClassifier(tree)).infer(inputs, rows.truth)
    assert rule_based(tree.predict(inputs), rows.truth).tolist() == expected.tolist()
    assert rule_based(np.ones(5, dtype=int), np.ones(5, dtype=int)).tolist() == [1] * 5  # one outcome alone


@pytest.mark.filterwarnings("ignore:PyTorch not found")
def test_the_learned_attack_has_the_accuracy_of_art_on_the_same_seed_and_split(attacked: tuple[Rows, DecisionTreeClassifier]) -> None:
    from art.attacks.inference.membership_inference import MembershipInferenceBlackBox
    from art.estimators.classification.scikitlearn import ScikitlearnDecisionTreeClassifier

    rows, tree = attacked
    inputs = rows.frame.to_numpy()
    known, unknown, judged = rows.learning & rows.member, rows.learning & ~rows.member, ~rows.learning
    art = MembershipInferenceBlackBox(ScikitlearnDecisionTreeClassifier(tree), attack_model_type="gb")
    art.attack_model.set_params(random_state=SEED)
    art.fit(inputs[known], rows.truth[known], inputs[unknown], rows.truth[unknown])
    expected = art.infer(inputs[judged], rows.truth[judged]).ravel() > 0
    likely, guess = learned(tree.predict(inputs), tree.predict_proba(inputs)[:, 1], rows, seed=SEED)
    assert guess[judged].tolist() == expected.tolist()
    assert np.array_equal(likely > 0.5, guess)


@given(st.lists(st.integers(0, 12), min_size=3, max_size=300), st.integers(0, 2**31), st.sampled_from([0.01, 0.05, 0.2]))
def test_hits_at_few_false_alarms_equal_the_roc_curve(values: list[int], seed: int, rate: float) -> None:
    score = np.array(values, dtype=float)
    member = np.random.default_rng(seed).random(len(score)) < 0.5
    member[:2] = [True, False]
    hits, alarms = hits_at_few_false_alarms(score, member, rate)
    false, true, _ = roc_curve(member, score, drop_intermediate=False)
    allowed = false <= math.floor(rate * (~member).sum()) / (~member).sum() + 1e-12
    assert hits / member.sum() == pytest.approx(true[allowed].max())
    assert alarms <= rate * (~member).sum()


def test_fewer_than_a_hundred_non_members_cannot_show_one_in_a_hundred() -> None:
    rng = np.random.default_rng(1)
    member = np.repeat([True, False], 99)
    every = np.ones(198, dtype=bool)
    attack = Attack(rng.random(198), rng.random(198) > 0.5, every, every, "chance")
    fine = area(np.where(member, 1.0, 0.0) + rng.random(198), member, 0.9)
    figures = attack_figures({"a": attack}, member, Controls({"a": fine}, area(rng.random(198), member, 0.9), 0.6, 0.9, 198))
    states = {item.metric: item.state for item in figures}
    assert states["membership_tpr_at_fpr_1pct"] is State.INSUFFICIENT
    assert states["membership_auc"] is State.MEASURED


def test_where_tables_differ_an_attack_a_little_above_the_comparison_without_the_model_shows_nothing() -> None:
    """Both areas are estimates: what is left of the attack has to be more than chance before it counts against the model."""
    rng = np.random.default_rng(3)
    member = np.repeat([True, False], 150)
    every = np.ones(300, dtype=bool)
    known = area(np.where(member, 1.0, 0.0) + rng.random(300), member, 0.9)
    shifted = rng.normal(size=300) + 1.2 * member

    def state(score: np.ndarray, without: np.ndarray) -> tuple[State, float]:
        found = attack_figures(
            {"a": Attack(score, score > 0, every, every, "")}, member, Controls({"a": known}, area(without, member, 0.9), 0.6, 0.9, 300)
        )
        (one,) = (item for item in found if item.metric == "membership_auc")
        return one.state, one.value or 0.0

    slightly, value = state(shifted + 0.15 * member, shifted)
    assert (slightly, value > area(shifted, member, 0.9).value) == (State.INSUFFICIENT, True)
    assert state(shifted + 2 * member, shifted)[0] is State.MEASURED
    assert state(shifted, rng.normal(size=300))[0] is State.MEASURED  # the tables do not differ


def test_the_best_threshold_separates_as_the_roc_curve_does() -> None:
    rng = np.random.default_rng(2)
    member = rng.random(400) < 0.5
    score = np.round(rng.normal(size=400) + member, 1)
    guess = score >= best_threshold(score, member)
    false, true, _ = roc_curve(member, score, drop_intermediate=False)
    assert guess[member].mean() - guess[~member].mean() == pytest.approx((true - false).max())


def test_the_bound_on_epsilon_is_that_of_clopper_and_pearson_on_rows_that_chose_nothing() -> None:
    rng = np.random.default_rng(3)
    member = np.tile([True, False], 2_000)
    learning = np.arange(4_000) < 2_000
    epsilon = 2.0
    right = np.exp(epsilon) / (1 + np.exp(epsilon))  # randomised response: exactly epsilon-private
    score = np.where(rng.random(4_000) < right, member, ~member).astype(float)
    attack = Attack(score, score > 0, np.ones(4_000, dtype=bool), ~learning, "randomised response")
    bound = empirical_bound({"a": attack}, member, learning, delta=0.0, level=0.9)
    assert bound is not None
    low = binomtest(*bound.hits).proportion_ci(0.9, method="exact").low
    high = binomtest(*bound.alarms).proportion_ci(0.9, method="exact").high
    assert bound.value == pytest.approx(math.log(low / high))
    assert 1.6 < bound.value < epsilon


def test_the_bound_holds_as_often_as_it_says_for_randomised_response() -> None:
    epsilon, kept = 0.5, 0
    right = np.exp(epsilon) / (1 + np.exp(epsilon))
    member, learning = np.tile([True, False], 200), np.arange(400) < 200
    for seed in range(200):
        score = np.where(np.random.default_rng(seed).random(400) < right, member, ~member).astype(float)
        attack = Attack(score, score > 0, np.ones(400, dtype=bool), ~learning, "randomised response")
        bound = empirical_bound({"a": attack}, member, learning, delta=0.0, level=0.9)
        kept += bound is not None and bound.value <= epsilon
    assert binomtest(kept, 200, 0.9, alternative="less").pvalue > 0.01


def test_the_likelihood_ratio_is_that_of_two_normal_densities() -> None:
    rng = np.random.default_rng(4)
    inside = np.array([[True, False], [False, True], [True, False], [False, True]])
    refits, said = rng.normal(size=(4, 2)), rng.normal(size=2)
    means = [np.array([refits[[0, 2], 0].mean(), refits[[1, 3], 1].mean()]), np.array([refits[[1, 3], 0].mean(), refits[[0, 2], 1].mean()])]
    deviations = [np.sqrt((((refits - mean) * kind) ** 2).sum() / 4) for mean, kind in zip(means, (inside, ~inside), strict=True)]
    expected = norm.logpdf(said, means[0], deviations[0]) - norm.logpdf(said, means[1], deviations[1])
    assert likelihood_ratio(said, refits, inside) == pytest.approx(expected)


def test_noise_keeps_types_ranges_and_missing_values() -> None:
    frame = pd.DataFrame(
        {"n": pd.array([1, 5, None, 9], dtype="Int64"), "x": [0.0, 1.0, np.nan, 2.0], "job": ["a", "b", "c", "a"], "flag": [True, False, True, True]}
    )
    noise = Noise(("n", "x", "job", "flag"), ("job",), copies=1, scale=3.0, flip=1.0)
    copies = [noisy_copy(frame, noise, np.random.default_rng(seed)) for seed in range(20)]
    for copy in copies:
        assert copy.dtypes.to_dict() == frame.dtypes.to_dict()
        assert copy["n"].isna().tolist() == copy["x"].isna().tolist() == [False, False, True, False]
        assert copy["n"].dropna().between(1, 9).all()
        assert copy["x"].dropna().between(0, 2).all()
        assert set(copy["job"]) <= {"a", "b", "c"}
    assert any(not copy.equals(frame) for copy in copies)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 200))
def test_a_paired_difference_lies_in_its_interval(better: int, worse: int, agreeing: int) -> None:
    rows = better + worse + agreeing + 1
    figure = paired_difference(better, worse, rows, 0.9)
    mirrored = paired_difference(worse, better, rows, 0.9)
    assert -1 <= figure.interval.low <= figure.value <= figure.interval.high <= 1
    assert figure.interval.low == pytest.approx(-mirrored.interval.high)


def test_logistic_regression_answers_give_the_attacks_no_more_than_chance() -> None:
    frame = people(4_000, 6)
    member = np.arange(4_000) < 2_000
    inputs = frame[FEATURES].to_numpy(dtype=float)
    model = LogisticRegression(max_iter=2_000).fit(inputs[member], frame["y"][member])
    rows = Rows(frame[FEATURES], frame["y"].to_numpy(), member, np.arange(4_000) % 2 == 0)
    likely, _ = learned(model.predict(inputs), model.predict_proba(inputs)[:, 1], rows, seed=SEED)
    figure = area(likely[~rows.learning], member[~rows.learning], 0.99)
    assert figure.interval.low < 0.5 < figure.interval.high
