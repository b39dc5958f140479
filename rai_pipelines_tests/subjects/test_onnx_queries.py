"""Models asked through ONNX Runtime decide as they do themselves, or are not asked that way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from rai_pipelines.demo.thresholds import GroupThresholdClassifier
from rai_pipelines.subjects import onnx_queries
from rai_pipelines.subjects.model_files import CheckedModel
from rai_pipelines.subjects.model_formats import Query, _estimator
from rai_pipelines.subjects.onnx_queries import PREPARE, RESTORE, TOLERANCE, compare, fast_query

WIDTH = 20


def table(number: int = 600, seed: int = 1) -> pd.DataFrame:
    rows = np.random.default_rng(seed).normal(size=(number, WIDTH))
    return pd.DataFrame(rows, columns=[f"c{at}" for at in range(WIDTH)])


def outcome(frame: pd.DataFrame) -> np.ndarray:
    return np.asarray(frame["c0"] + frame["c1"] * frame["c2"] > 0).astype(int)


def fitted(model: Any, labels: Callable[[np.ndarray], np.ndarray] = lambda found: found) -> Any:
    return model.fit(table(), labels(outcome(table())))


MODELS = [
    RandomForestClassifier(20, random_state=0),
    ExtraTreesClassifier(20, random_state=0),
    DecisionTreeClassifier(random_state=0),
    GradientBoostingClassifier(n_estimators=20, random_state=0),
    HistGradientBoostingClassifier(max_iter=20, random_state=0),
    LogisticRegression(),
    make_pipeline(StandardScaler(), LogisticRegression()),
    CalibratedClassifierCV(RandomForestClassifier(5, random_state=0), cv=2),
    lightgbm.LGBMClassifier(n_estimators=20, n_jobs=1, verbose=-1),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_model_decides_alike_through_onnx_on_rows_that_it_was_not_compared_on(model: Any) -> None:
    own = _estimator(fitted(model), "skops")
    fast, parity = fast_query(own, table(seed=2))
    assert (parity.proved, parity.rows, parity.decisions_different) == (True, 600, 0)
    assert fast.flavor == "skops through onnx"
    fresh = table(3_000, seed=3)
    assert (fast.predict(fresh) == own.predict(fresh)).all()
    assert own.probabilities is not None
    assert fast.probabilities is not None
    assert np.abs(fast.probabilities(fresh) - own.probabilities(fresh)).max() <= TOLERANCE


@pytest.mark.parametrize("labels", [np.array(["no", "yes"]), np.array([-1, 1]), np.array([0.0, 1.0]), np.array([False, True])])
def test_labels_are_those_of_the_model(labels: np.ndarray) -> None:
    for model in (RandomForestClassifier(10, random_state=0), LogisticRegression()):
        own = _estimator(fitted(model, lambda found: labels[found]), "skops")
        fast, parity = fast_query(own, table(seed=2))
        assert parity.proved, parity
        assert fast.predict(table(seed=3)).tolist() == own.predict(table(seed=3)).tolist()


def test_a_lightgbm_booster_without_labels_of_its_own_is_asked_through_onnx() -> None:
    booster = lightgbm.Booster(model_str=fitted(lightgbm.LGBMClassifier(n_estimators=20, n_jobs=1, verbose=-1)).booster_.model_to_string())

    def probabilities(frame: pd.DataFrame) -> np.ndarray:
        raw = np.asarray(booster.predict(frame))
        return np.column_stack([1 - raw, raw])

    own = Query("lightgbm", tuple(table()), ("0", "1"), lambda frame: probabilities(frame).argmax(axis=1), probabilities, booster)
    fast, parity = fast_query(own, table(seed=2))
    assert parity.proved, parity
    assert (fast.predict(table(seed=3)) == own.predict(table(seed=3))).all()


def test_a_pipeline_that_tells_columns_apart_gets_one_input_per_column() -> None:
    rng = np.random.default_rng(1)
    mixed = pd.DataFrame({"amount": rng.normal(size=400), "count": rng.integers(0, 9, 400), "colour": rng.choice(["red", "blue"], 400)})
    columns = ColumnTransformer([("n", StandardScaler(), ["amount", "count"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["colour"])])
    model = make_pipeline(columns, RandomForestClassifier(10, random_state=0)).fit(mixed, (mixed["amount"] > 0) ^ (mixed["colour"] == "red"))
    own = _estimator(model, "skops")
    fast, parity = fast_query(own, mixed)
    assert parity.proved, parity
    assert (fast.predict(mixed[::-1]) == own.predict(mixed[::-1])).all()


def test_a_value_between_a_threshold_and_its_rounding_is_seen_and_refuses_the_conversion() -> None:
    """Double precision tells these rows apart from the threshold, single precision does not."""
    own = _estimator(LogisticRegression(C=1e9).fit(pd.DataFrame({"a": [-1.0, 1.0]}), [0, 1]), "skops")
    model = own.native
    model.coef_, model.intercept_ = np.array([[1e6]]), np.array([-1e6])
    near = pd.DataFrame({"a": 1 + np.linspace(-3e-8, 3e-8, 40)})
    fast, parity = fast_query(own, near)
    assert not parity.proved
    assert parity.decisions_different
    assert parity.reason == f"{parity.decisions_different} of 40 decisions differ"
    assert fast is own


def test_a_difference_of_probabilities_alone_refuses_the_conversion_too() -> None:
    own = _estimator(fitted(LogisticRegression()), "skops")
    assert own.probabilities is not None
    shifted = Query("other", None, own.classes, own.predict, lambda frame: own.native.predict_proba(frame) + 2e-5)
    parity = compare(own, shifted, table())
    assert (parity.proved, parity.decisions_different) == (False, 0)
    assert "a probability differs by 2e-05" in str(parity.reason)
    assert compare(own, own, table()[:0]).reason == "there is no row to compare"


class Custom(BaseEstimator):  # type: ignore[misc]
    """A class that no converter knows."""

    classes_ = np.array([0, 1])

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return outcome(frame)

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        return np.eye(2)[outcome(frame)]


def test_models_that_have_no_conversion_answer_themselves_and_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    thresholds = GroupThresholdClassifier(fitted(lightgbm.LGBMClassifier(n_estimators=3, verbose=-1)), ["c0"], {}, {}, 0.5)
    for model, reason in ((thresholds, "GroupThresholdClassifier has no conversion"), (Custom(), "Custom has no conversion")):
        own = _estimator(model, "skops")
        assert fast_query(own, table())[1].reason == reason
        assert fast_query(own, table())[0] is own
    unknown = make_pipeline(StandardScaler(), Custom())
    unknown.steps[0][1].fit(table())
    assert "the conversion fails" in str(fast_query(_estimator(unknown, "skops"), table())[1].reason)
    monkeypatch.setattr(onnx_queries, "MAX_NODES", 10)
    forest = _estimator(fitted(RandomForestClassifier(5)), "skops")
    assert "nodes, more than 10" in str(fast_query(forest, table())[1].reason)


@pytest.mark.parametrize("model", [RandomForestClassifier(100, random_state=0), lightgbm.LGBMClassifier(n_estimators=100, n_jobs=1, verbose=-1)])
def test_answers_are_the_same_bits_for_every_size_of_question(model: Any) -> None:
    fast, parity = fast_query(_estimator(fitted(model), "skops"), table(seed=2))
    assert parity.proved
    assert fast.probabilities is not None
    frame = table(500, seed=3)
    whole = fast.probabilities(frame)
    for size in (1, 7, 128):
        parts = np.concatenate([fast.probabilities(frame[start : start + size]) for start in range(0, 500, size)])
        assert np.array_equal(parts, whole)


def test_a_loaded_model_takes_the_fast_way_and_back_and_says_which() -> None:
    checked = CheckedModel(_estimator(fitted(RandomForestClassifier(20, random_state=0)), "skops"), tuple(table()), "1", "model.skops")
    before = checked.predict(table(seed=3)), checked.score(table(seed=3))
    rows = {"rows": pa.Table.from_pandas(table(seed=2), preserve_index=False)}
    for _ in range(2):  # preparing again compares with the model itself, not with the conversion
        answer, tables = checked.run(PREPARE, {}, rows)
        assert (answer["path"], answer["decisions_different"], tables) == ("onnx", 0, {})
        assert 0 < float(str(answer["max_difference"])) < TOLERANCE
    fast_score = checked.score(table(seed=3))
    assert (checked.predict(table(seed=3)) == before[0]).all()
    assert fast_score is not None
    assert before[1] is not None
    assert not np.array_equal(fast_score, before[1])  # single precision: it really is the other way
    assert checked.run(RESTORE, {}, {})[0] == {"path": "native"}
    assert np.array_equal(checked.score(table(seed=3)), before[1])  # type: ignore[arg-type]


@pytest.mark.slow  # the libraries of make test-all
def test_xgboost_with_named_columns_decides_alike_through_onnx() -> None:
    import xgboost

    own = _estimator(fitted(xgboost.XGBClassifier(n_estimators=20, n_jobs=1)), "pickle")
    assert fast_query(own, table(seed=2))[1].proved


@pytest.mark.slow  # the libraries of make test-all
def test_catboost_decides_alike_through_its_own_export() -> None:
    import catboost

    own = _estimator(fitted(catboost.CatBoostClassifier(iterations=20, verbose=0, thread_count=1, allow_writing_files=False)), "pickle")
    assert fast_query(own, table(seed=2))[1].proved
