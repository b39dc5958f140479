"""Models behind scalers, within thresholds, and of other libraries: what is read of them, against themselves, at random and at every boundary."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from rai_pipelines.assessments.verification.cuts import before_steps
from rai_pipelines.assessments.verification.preprocessing import stepped
from rai_pipelines.assessments.verification.trees import Ensemble
from rai_pipelines.demo.thresholds import GroupThresholdClassifier
from rai_pipelines_tests.assessments.verification.verified_models import FEATURES, checked, context, described, rows, space_of

FOREST = RandomForestClassifier(5, max_depth=4, random_state=1)
TREE = DecisionTreeClassifier(max_depth=5, random_state=1)
BOOSTED = GradientBoostingClassifier(n_estimators=7, loss="exponential", random_state=1)
MIXED = ColumnTransformer([("n", MinMaxScaler((-1, 1)), ["n"]), ("job", OneHotEncoder(), ["job"]), ("x", StandardScaler(), ["x"])])
GBM = lightgbm.LGBMClassifier(n_estimators=7, num_leaves=7, verbose=-1, n_jobs=1)
MODELS = {
    "standardised tree": make_pipeline(StandardScaler(), TREE),
    "clipped tree": make_pipeline(MinMaxScaler((0.2, 0.7), clip=True), TREE),
    "twice scaled forest": make_pipeline(RobustScaler(), MaxAbsScaler(), FOREST),
    "standardised lightgbm": make_pipeline(StandardScaler(), GBM),
    "mixed forest": make_pipeline(MIXED, FOREST),
    "mixed regression": make_pipeline(MIXED, LogisticRegression()),
    "robust regression": make_pipeline(RobustScaler(), MinMaxScaler(), LogisticRegression()),
    "imputed regression": make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()),
    "fixed": FixedThresholdClassifier(FOREST, threshold=0.37),
    "fixed, other label": FixedThresholdClassifier(GBM, threshold=0.37, pos_label=0),
    "fixed, decision function": FixedThresholdClassifier(BOOSTED, threshold=-0.4, response_method="decision_function"),
    "fixed, decision function, other label": FixedThresholdClassifier(
        LinearSVC(random_state=1), threshold=-0.4, response_method="decision_function", pos_label=0
    ),
    "fixed around a pipeline": FixedThresholdClassifier(make_pipeline(MIXED, LogisticRegression()), threshold=0.6),
    "fixed within a pipeline": make_pipeline(MIXED, FixedThresholdClassifier(BOOSTED, threshold=0.31)),
    "everybody": FixedThresholdClassifier(HistGradientBoostingClassifier(max_iter=5), threshold=0.0),
    "perceptron": make_pipeline(StandardScaler(), MLPClassifier((6, 4), max_iter=300, tol=1e-3, random_state=1)),
    "curved perceptron": MLPClassifier((5,), activation="tanh", max_iter=300, tol=1e-3, random_state=1),
    "calibrated regression": CalibratedClassifierCV(make_pipeline(MIXED, LogisticRegression()), ensemble=False, cv=3),
    "calibrated support vectors": CalibratedClassifierCV(LinearSVC(random_state=1), ensemble=False, cv=3),
    "calibrated boosting": CalibratedClassifierCV(BOOSTED, ensemble=False, cv=3),
    "calibrated forest": CalibratedClassifierCV(FOREST, ensemble=False, cv=3),
    "folds": CalibratedClassifierCV(make_pipeline(StandardScaler(), LogisticRegression()), cv=3),
    "folds of a mixed regression": CalibratedClassifierCV(make_pipeline(MIXED, LinearSVC(random_state=1)), cv=2),
    "isotonic": CalibratedClassifierCV(LogisticRegression(), method="isotonic", ensemble=False, cv=3),
    "isotonic folds": CalibratedClassifierCV(make_pipeline(MIXED, LogisticRegression()), method="isotonic", cv=2),
    "fixed around folds": FixedThresholdClassifier(CalibratedClassifierCV(LogisticRegression(), cv=2), threshold=0.37),
    "fixed around a calibrated regression, other label": FixedThresholdClassifier(
        CalibratedClassifierCV(LogisticRegression(), ensemble=False, cv=2), threshold=0.37, pos_label=0
    ),
    "tuned": TunedThresholdClassifierCV(TREE, scoring="balanced_accuracy", cv=2, random_state=1),
}


def agree(native: Any, favourable: str, frame: pd.DataFrame, folder: Path, *, scored: bool = True) -> Any:
    """The form that is read of a model, once it says what the model says on fresh rows and next to each of its own cuts."""
    model = checked(native, favourable)
    found, asked, region = described(model, space_of(folder, frame), frame)
    form = found.form
    assert form is not None, found.reason
    assert found.left_out == 0
    rng = np.random.default_rng(4)
    vectors = [region.sample(rng, 300)]
    if isinstance(form, Ensemble):
        for at, cuts in form.grid.cuts.items():
            for cut in cuts[np.isfinite(cuts) & (cuts > region.low[at]) & (cuts < region.high[at])]:
                beside = region.sample(rng, 2)
                beside[:, at] = cut, cut + 1 if form.grid.space.features[at].integer else np.nextafter(cut, np.inf)
                vectors.append(beside)
    places = np.concatenate(vectors)
    raw, decided = form.raw(places), asked.decisions(places)
    clear = np.abs(raw - form.cut) > form.rounding  # within rounding, and at a tie, the model alone decides
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(raw[clear] > form.cut, decided[clear] == 1)
    scores = asked.scores(places)
    if scored and scores is not None and form.link != "none":
        np.testing.assert_allclose(form.score(raw), scores, atol=1e-9 if form.score_rounding == 0 else 1e-6, rtol=0)
    return form


@pytest.mark.parametrize("favourable", ["1", "0"])
@pytest.mark.parametrize("name", MODELS)
def test_what_is_read_behind_scalers_and_thresholds_is_the_model(name: str, favourable: str, tmp_path: Path) -> None:
    frame = rows(250, 3)
    agree(copy.deepcopy(MODELS[name]).fit(frame[list(FEATURES)], frame.y), favourable, frame, tmp_path)


@pytest.mark.parametrize("last", [TREE, GBM, FixedThresholdClassifier(FOREST, threshold=0.4)], ids=["tree", "lightgbm", "threshold"])
def test_what_an_imputer_fills_goes_where_its_number_goes(last: Any, tmp_path: Path) -> None:
    frame = rows(300, 4)
    frame.loc[frame.index % 5 == 0, "x"] = np.nan
    native = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), copy.deepcopy(last)).fit(frame[list(FEATURES)], frame.y)
    found, asked, _ = described(checked(native), space_of(tmp_path, frame), frame)
    assert isinstance(found.form, Ensemble), found.reason
    vectors = asked.space.encode(frame)
    scores = asked.scores(vectors)
    assert np.isnan(vectors).any() and scores is not None
    np.testing.assert_allclose(found.form.score(found.form.raw(vectors)), scores, atol=1e-12)


def test_an_imputer_that_marks_what_it_fills_is_not_read(tmp_path: Path) -> None:
    frame = rows(200, 4)
    frame.loc[frame.index % 5 == 0, "x"] = np.nan
    native = make_pipeline(SimpleImputer(add_indicator=True), copy.deepcopy(TREE)).fit(frame[list(FEATURES)], frame.y)
    found, _, _ = described(checked(native), space_of(tmp_path, frame), frame)
    assert found.form is None and "marks what it fills" in str(found.reason)


@pytest.mark.parametrize("favourable", ["1", "0"])
def test_thresholds_of_groups_are_read_with_their_bins_and_their_fallback(favourable: str, tmp_path: Path) -> None:
    frame = rows(300, 3)
    for inner in (FOREST, GBM, LogisticRegression(), CalibratedClassifierCV(LogisticRegression(), ensemble=False, cv=2)):
        fitted = copy.deepcopy(inner).fit(frame[list(FEATURES)], frame.y)
        thresholds = {"1/0": 0.2, "1/2": 0.4, "2/0": 0.7, "2/4": 0.95, "3/2": 1.0, "3/0": 0.0}  # 1/4, 2/2 and 3/4 fall back
        model = GroupThresholdClassifier(fitted, ["job", "n"], {"n": [0, 2, 4]}, thresholds, fallback=0.55)
        form = agree(model, favourable, frame, tmp_path, scored=False)
        assert form.link == "none" and form.cut == 0.0


def test_decisions_of_a_group_threshold_model_are_certified_and_its_scores_are_not_claimed(tmp_path: Path) -> None:
    from rai_pipelines.assessments.verification.verification import VerificationParameters, assess_verification

    frame = rows(300, 3)
    model = GroupThresholdClassifier(TREE.fit(frame[list(FEATURES)], frame.y), ["job"], {}, {"1": 0.3, "2": 0.6}, fallback=0.5)
    extra = """
safety_properties:
  - {name: job-is-not-read, invariant_to: {features: [job]}}
  - {name: grows, monotone: {feature: x, direction: increasing}}
"""
    measured = assess_verification(context(tmp_path, model, frame, extra), VerificationParameters(rows=30))
    answers: Any = measured.details["certificates"]
    assert answers["job-is-not-read"]["answer"] == "refuted"  # two groups with equal scores and other thresholds
    assert answers["grows"]["reason"] == "the model gives no score"
    shares = {item.metric: item.value for item in measured.measurements}
    assert shares["unknown_share"] == 0.0 and shares["certified_share"] is not None


def test_group_thresholds_around_a_network_say_that_they_are_not_read(tmp_path: Path) -> None:
    frame = rows(200, 3)
    inner = CalibratedClassifierCV(LogisticRegression(), cv=2).fit(frame[list(FEATURES)], frame.y)
    model = GroupThresholdClassifier(inner, ["job"], {}, {"1": 0.3}, fallback=0.5)
    found, _, _ = described(checked(model), space_of(tmp_path, frame), frame)
    assert found.form is None and "other than trees" in str(found.reason)


steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["subtract", "add"]), st.floats(-1e6, 1e6)),
        st.tuples(st.sampled_from(["divide", "multiply"]), st.floats(1e-6, 1e6)),
        st.tuples(st.sampled_from(["at_least"]), st.floats(-1e6, -1e3)),
        st.tuples(st.sampled_from(["at_most"]), st.floats(1e3, 1e6)),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(st.floats(-1e9, 1e9), steps)
def test_a_threshold_behind_steps_is_the_last_number_before_them_that_goes_left(threshold: float, made: list[tuple[str, float]]) -> None:
    last = before_steps(threshold, made)
    if np.isfinite(last):
        assert stepped(np.array([last]), made)[0] <= threshold
        assert stepped(np.array([np.nextafter(last, np.inf)]), made)[0] > threshold or last == np.finfo(float).max


@pytest.mark.slow  # the libraries of make test-all
@pytest.mark.parametrize("favourable", ["1", "0"])
@pytest.mark.parametrize("missing", [False, True])
def test_xgboost_is_read_with_its_single_precision(favourable: str, missing: bool, tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost", reason="extra boosters: make test-all installs it")
    frame = rows(400, 3)
    if missing:
        frame.loc[frame.index % 5 == 0, "x"] = np.nan
    inputs = frame[list(FEATURES)]
    early = xgboost.XGBClassifier(n_estimators=40, max_depth=3, n_jobs=1, early_stopping_rounds=2)
    early.fit(inputs[:300], frame.y[:300], eval_set=[(inputs[300:], frame.y[300:])], verbose=False)
    assert early.best_iteration < 35
    whole = xgboost.XGBClassifier(n_estimators=30, max_depth=4, n_jobs=1, num_parallel_tree=2, subsample=0.7).fit(inputs, frame.y)
    for native in (early, whole, make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=9, n_jobs=1)).fit(inputs, frame.y)):
        form = agree(native, favourable, frame, tmp_path)
        assert 1e-9 < form.rounding < 1e-4


@pytest.mark.slow
def test_an_xgboost_model_with_other_arithmetic_is_not_read(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost", reason="extra boosters: make test-all installs it")
    frame = rows(200, 3)
    inputs = frame[list(FEATURES)]
    for settings_of, reason in (({"booster": "dart"}, "dart"), ({"booster": "gblinear"}, "a XGBClassifier is not"), ({"missing": 0.0}, "missing")):
        found, _, _ = described(checked(xgboost.XGBClassifier(n_estimators=3, **settings_of).fit(inputs, frame.y)), space_of(tmp_path, frame), frame)
        assert found.form is None and reason in str(found.reason)


@pytest.mark.slow
def test_xgboost_rows_are_certified_and_counterexamples_confirmed(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost", reason="extra boosters: make test-all installs it")
    from rai_pipelines.assessments.verification.verification import VerificationParameters, assess_verification

    frame = rows(300, 3)
    model = xgboost.XGBClassifier(n_estimators=12, max_depth=3, n_jobs=1, monotone_constraints={"n": 1}).fit(frame[list(FEATURES)], frame.y)
    extra = """
safety_properties:
  - {name: n-grows, monotone: {feature: n, direction: increasing}}
  - {name: n-falls, monotone: {feature: n, direction: decreasing}}
"""
    measured = assess_verification(context(tmp_path, model, frame, extra), VerificationParameters(rows=40, clique_rows=4))
    answers: Any = measured.details["certificates"]
    assert (answers["n-grows"]["answer"], answers["n-falls"]["answer"]) == ("proved", "refuted")
    shares = {item.metric: item.value for item in measured.measurements}
    assert (shares["certified_share"] or 0) + (shares["refuted_share"] or 0) > 0.9


@pytest.mark.slow  # the libraries of make test-all
@pytest.mark.parametrize("favourable", ["1", "0"])
def test_catboost_is_read_from_its_own_export(favourable: str, tmp_path: Path) -> None:
    catboost = pytest.importorskip("catboost", reason="extra boosters: make test-all installs it")
    frame = rows(400, 3)
    frame.loc[frame.index % 5 == 0, "x"] = np.nan
    quiet = {"verbose": 0, "thread_count": 1, "allow_writing_files": False, "random_seed": 1}
    native = catboost.CatBoostClassifier(iterations=20, depth=4, nan_mode="Max", **quiet).fit(frame[list(FEATURES)], frame.y)
    agree(native, favourable, frame, tmp_path)
    native.set_probability_threshold(0.3)
    form = agree(native, favourable, frame, tmp_path)
    assert form.cut == pytest.approx(np.log(0.3 / 0.7) * (1 if favourable == "1" else -1))
    other = catboost.CatBoostClassifier(iterations=5, depth=3, cat_features=["job"], **quiet).fit(frame[list(FEATURES)], frame.y)
    found, _, _ = described(checked(other), space_of(tmp_path, frame), frame)
    assert found.form is None and "categories" in str(found.reason)
    lossy = catboost.CatBoostClassifier(iterations=5, depth=3, grow_policy="Lossguide", **quiet).fit(frame[list(FEATURES)], frame.y)
    found, _, _ = described(checked(lossy), space_of(tmp_path, frame), frame)
    assert found.form is None and "oblivious" in str(found.reason)
