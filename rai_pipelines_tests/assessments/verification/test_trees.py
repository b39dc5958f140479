"""Trees read from models, against the models themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from rai_pipelines.assessments.verification.cuts import largest_left
from rai_pipelines.assessments.verification.extraction import TASK
from rai_pipelines.assessments.verification.trees import Ensemble, ensemble_of
from rai_pipelines.errors import ModelError
from rai_pipelines_tests.assessments.verification.verified_models import FEATURES, checked, described, rows, space_of


def encoded(last: Any, encoder: Any) -> Any:
    return make_pipeline(ColumnTransformer([("job", encoder, ["job"])], remainder="passthrough"), last)


MODELS = {
    "decision tree": DecisionTreeClassifier(max_depth=5, random_state=1),
    "random forest": RandomForestClassifier(7, max_depth=5, random_state=1),
    "extra trees": ExtraTreesClassifier(7, max_depth=5, random_state=1),
    "gradient boosting": GradientBoostingClassifier(n_estimators=9, random_state=1),
    "gradient boosting, exponential": GradientBoostingClassifier(n_estimators=9, loss="exponential", random_state=1),
    "histogram boosting": HistGradientBoostingClassifier(max_iter=9, random_state=1),
    "lightgbm": lightgbm.LGBMClassifier(n_estimators=9, num_leaves=7, verbose=-1, n_jobs=1),
    "one-hot forest": encoded(RandomForestClassifier(5, max_depth=4, random_state=1), OneHotEncoder()),
    "ordinal forest": encoded(RandomForestClassifier(5, max_depth=4, random_state=1), OrdinalEncoder()),
    "logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
    "linear machine": LinearSVC(),
    "stochastic descent": SGDClassifier(loss="log_loss", random_state=1),
    "one-hot regression": encoded(LogisticRegression(), OneHotEncoder()),
}


@pytest.mark.parametrize("favourable", ["1", "0"])
@pytest.mark.parametrize("name", MODELS)
def test_what_is_read_from_a_model_is_the_model(name: str, favourable: str, tmp_path: Path) -> None:
    frame = rows(300, 3)
    model = checked(MODELS[name].fit(frame[list(FEATURES)], frame.y), favourable)
    found, asked, _ = described(model, space_of(tmp_path, frame), frame)
    assert found.form is not None, found.reason
    assert found.compared == 600 and found.left_out == 0
    assert (found.difference is None) == (found.form.link == "none") and (found.difference or 0.0) < 1e-12
    fresh = rows(200, 9)
    fresh = fresh[fresh.x.between(frame.x.min(), frame.x.max())]
    vectors = asked.space.encode(fresh)
    raw = found.form.raw(vectors)
    clear = np.abs(raw - found.form.cut) > 1e-9  # a tie goes to the first class, favourable or not
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(raw[clear] > found.form.cut, asked.decisions(vectors)[clear] == 1)


def test_lightgbm_categories_of_numbers_and_of_pandas_are_read(tmp_path: Path) -> None:
    frame = rows(400, 3)
    frame["y"] = ((frame.job == 2) ^ (frame.x > 0)).astype(int)
    by_number = lightgbm.LGBMClassifier(n_estimators=5, min_child_samples=5, min_data_per_group=1, cat_smooth=0, n_jobs=1, verbose=-1).fit(
        frame[list(FEATURES)], frame.y, categorical_feature=["job"]
    )
    assert "==" in set(by_number.booster_.trees_to_dataframe().decision_type)
    found, _, _ = described(checked(by_number), space_of(tmp_path, frame), frame)
    assert isinstance(found.form, Ensemble)
    words = frame.assign(job=frame.job.map({1: "cook", 2: "nurse", 3: "pilot"}).astype("category"))
    by_word = lightgbm.LGBMClassifier(n_estimators=5, min_child_samples=5, min_data_per_group=1, cat_smooth=0, n_jobs=1, verbose=-1).fit(
        words[list(FEATURES)], words.y
    )
    read, _, _ = described(checked(by_word), space_of(tmp_path, words), words)
    assert isinstance(read.form, Ensemble), read.reason
    assert "==" in set(by_word.booster_.trees_to_dataframe().decision_type)


@pytest.mark.parametrize("name", ["lightgbm", "histogram boosting", "decision tree"])
def test_missing_numbers_go_where_the_model_sends_them(name: str, tmp_path: Path) -> None:
    frame = rows(300, 4)
    frame.loc[frame.index % 5 == 0, "x"] = np.nan
    found, asked, _ = described(checked(MODELS[name].fit(frame[list(FEATURES)], frame.y)), space_of(tmp_path, frame), frame)
    assert isinstance(found.form, Ensemble), found.reason
    vectors = asked.space.encode(frame)
    scores = asked.scores(vectors)
    assert np.isnan(vectors).any() and scores is not None
    np.testing.assert_allclose(found.form.score(found.form.raw(vectors)), scores, atol=1e-12)


def test_what_cannot_be_read_exactly_says_why(tmp_path: Path) -> None:
    frame = rows(200, 3)
    inputs = frame[list(FEATURES)]
    odd = {
        "CalibratedClassifierCV": CalibratedClassifierCV(DecisionTreeClassifier(max_depth=2)).fit(inputs, frame.y),
        "PolynomialFeatures": make_pipeline(PolynomialFeatures(), DecisionTreeClassifier(max_depth=2)).fit(inputs, frame.y),
        "encoded": make_pipeline(StandardScaler(), OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(inputs, frame.y),
        "cut off": make_pipeline(MinMaxScaler(clip=True), LogisticRegression()).fit(inputs, frame.y),
        "categorical": HistGradientBoostingClassifier(categorical_features=["job"], max_iter=2).fit(inputs, frame.y),
    }
    for reason, native in odd.items():
        found, _, _ = described(checked(native), space_of(tmp_path, frame), frame)
        assert found.form is None and found.reason is not None and reason in found.reason


def test_trees_that_are_not_the_models_are_not_believed(tmp_path: Path) -> None:
    frame = rows(200, 3)
    one, other = (DecisionTreeClassifier(max_depth=depth).fit(frame[list(FEATURES)], frame.y) for depth in (4, 2))
    model = checked(one)
    model.native = other
    found, _, _ = described(model, space_of(tmp_path, frame), frame)
    assert found.form is None and "otherwise" in str(found.reason)


def test_the_cut_of_a_single_precision_threshold_is_the_last_number_that_goes_left() -> None:
    rng = np.random.default_rng(1)
    thresholds = np.concatenate([rng.normal(size=300), rng.normal(size=300).astype(np.float32), [0.0, 1.0, -1.0, 16777216.5]])
    for threshold in thresholds.tolist():
        cut = largest_left(threshold, single=True)
        assert float(np.float32(cut)) <= threshold < float(np.float32(np.nextafter(cut, np.inf)))


@pytest.mark.parametrize(("column", "value"), [("left", 0), ("right", -5), ("column", 99), ("value", float("nan")), ("kind", 7), ("tree", -1)])
def test_tables_that_are_no_trees_are_refused(column: str, value: float, tmp_path: Path) -> None:
    frame = rows(100, 3)
    model = checked(DecisionTreeClassifier(max_depth=3).fit(frame[list(FEATURES)], frame.y))
    answer, tables = model.run(TASK, {"columns": list(FEATURES)}, {})
    content = tables["nodes"].to_pydict()
    content[column][0] = value
    with pytest.raises(ModelError):
        ensemble_of(answer, pa.table(content), space_of(tmp_path, frame))
