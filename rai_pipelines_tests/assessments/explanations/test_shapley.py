"""Shapley values equal those of shap itself on the library's own model, and those of formulas where there are any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shap

from rai_pipelines.assessments.explanations.explained_model import open_explained
from rai_pipelines.assessments.explanations.shapley import Explainer, choose_explainer
from rai_pipelines.errors import ModelError
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.subjects.model_formats import _booster
from rai_pipelines.subjects.subject import LoadedModel
from rai_pipelines_tests.assessments.explanations.explained_subjects import (
    DATASHEET,
    FEATURES,
    NUMBERS,
    RuleModel,
    checked,
    context_of,
    numbers_only,
    sheet_of,
    write_tables,
)


def explainer_of(folder: Path, model: LoadedModel, sheet: Datasheet, *, permutations: int = 2) -> Explainer:
    explained = open_explained(context_of(folder, model, sheet), pool_rows=200)
    return choose_explainer(explained, background_rows=30, permutations=permutations, tolerance=1e-3, seed=11)


def against(explainer: Explainer) -> Any:
    background = explainer.background[list(explainer.explained.features)].to_numpy(dtype=float)
    return shap.maskers.Independent(background, max_samples=len(background))


def test_a_booster_read_from_text_has_the_values_that_shap_gives_for_it(tmp_path: Path) -> None:
    from lightgbm import LGBMClassifier

    training, evaluation = write_tables(tmp_path)
    fitted = LGBMClassifier(n_estimators=20, verbose=-1).fit(training[NUMBERS], training["y"])
    (tmp_path / "model.lgb").write_text(fitted.booster_.model_to_string())
    sheet = sheet_of(numbers_only())
    explainer = explainer_of(tmp_path, checked(_booster(tmp_path / "model.lgb", "model.lgb"), sheet), sheet)
    rows = evaluation.head(40)
    expected = shap.TreeExplainer(fitted, against(explainer), model_output="probability")
    made = explainer.explain(rows)
    assert (explainer.method.explainer, explainer.method.output) == ("TreeExplainer, interventional", "probability")
    np.testing.assert_array_equal(made.values, expected.shap_values(rows[NUMBERS].to_numpy(dtype=float)))
    assert made.base[0] == expected.expected_value
    assert made.errors.max() < 1e-6


@pytest.mark.parametrize("favourable", ["1", "0"])
@pytest.mark.parametrize("kind", ["RandomForestClassifier", "GradientBoostingClassifier", "DecisionTreeClassifier"])
def test_trees_of_scikit_learn_have_shaps_values_for_the_favourable_class(kind: str, favourable: str, tmp_path: Path) -> None:
    import sklearn.ensemble
    import sklearn.tree

    training, evaluation = write_tables(tmp_path)
    made_by = getattr(sklearn.ensemble, kind, None) or getattr(sklearn.tree, kind)
    fitted = made_by(random_state=0, **({"n_estimators": 10} if "Forest" in kind else {"max_depth": 3})).fit(training[NUMBERS], training["y"])
    sheet = sheet_of(numbers_only().replace("label: y", f"label: y\n  favourable_outcome: {favourable}"))
    explainer = explainer_of(tmp_path, checked(fitted, sheet), sheet)
    rows = evaluation.head(30)
    expected = shap.TreeExplainer(fitted, against(explainer), model_output="probability").shap_values(rows[NUMBERS].to_numpy(dtype=float))
    by_class = {"0": expected[:, :, 0], "1": expected[:, :, 1]} if expected.ndim == 3 else {"0": -expected, "1": expected}
    made = explainer.explain(rows)
    assert explainer.method.explainer == "TreeExplainer, interventional"
    np.testing.assert_array_equal(made.values, by_class[favourable])
    assert made.errors.max() < 1e-6  # base plus values is the score of the favourable class, whichever it is


def test_trees_with_categorical_splits_are_explained_along_their_paths(tmp_path: Path) -> None:
    from lightgbm import LGBMClassifier

    training, evaluation = write_tables(tmp_path)
    fitted = LGBMClassifier(n_estimators=10, verbose=-1, min_data_per_group=5).fit(training[NUMBERS], training["y"], categorical_feature=["visits"])
    sheet = sheet_of(numbers_only())
    explainer = explainer_of(tmp_path, checked(fitted, sheet), sheet)
    made = explainer.explain(evaluation.head(20))
    own = fitted.booster_.predict(evaluation[NUMBERS].head(20), pred_contrib=True)
    assert (explainer.method.explainer, explainer.method.output) == ("TreeExplainer, tree path dependent", "log-odds")
    np.testing.assert_allclose(made.values, own[:, :-1], atol=1e-12)
    assert made.errors.max() < 1e-6


def test_values_at_a_threshold_are_exact_where_shap_alone_does_not_add_up(tmp_path: Path) -> None:
    """shap 0.51 walks trees in single precision; a stump whose threshold is a background value shows it, and says what is right."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    training, evaluation = write_tables(tmp_path)
    sheet = sheet_of(numbers_only())
    stump = HistGradientBoostingClassifier(max_iter=1, max_leaf_nodes=2, random_state=0).fit(training[NUMBERS], training["y"])
    (cut,) = [node["num_threshold"] for node in stump._predictors[0][0].nodes if not node["is_leaf"]]
    cut = float(np.nextafter(cut, 0))  # still to the left, and not a number of single precision
    assert cut != float(np.float32(cut))
    training.loc[training.index % 2 == 0, "income"] = cut
    training.to_parquet(tmp_path / "training.parquet")
    explainer = explainer_of(tmp_path, checked(stump, sheet), sheet)
    rows = evaluation.head(30)
    made = explainer.explain(rows)
    scores, usual = stump.predict_proba(rows[NUMBERS])[:, 1], stump.predict_proba(explainer.background[NUMBERS])[:, 1].mean()
    np.testing.assert_allclose(made.values[:, NUMBERS.index("income")], scores - usual, atol=1e-6)
    own = shap.TreeExplainer(stump, against(explainer), model_output="probability")
    summed = own.shap_values(rows[NUMBERS].to_numpy(dtype=float), check_additivity=False).sum(axis=1) + own.expected_value
    expected = "interventional" if np.abs(summed - scores).max() <= 1e-3 else "interventional on ranks"
    assert explainer.method.explainer == f"TreeExplainer, {expected}"


@pytest.mark.parametrize("kind", ["RandomForestClassifier", "HistGradientBoostingClassifier"])
def test_ranks_change_nothing_where_shap_adds_up(kind: str, tmp_path: Path) -> None:
    import sklearn.ensemble

    from rai_pipelines.assessments.explanations.native_shapley import INTERVENTIONAL, RANKS, _by_trees

    training, evaluation = write_tables(tmp_path)
    extra = {"n_estimators": 8} if "Forest" in kind else {"max_iter": 8}
    fitted = getattr(sklearn.ensemble, kind)(random_state=0, **extra).fit(training[NUMBERS], training["y"])
    rows, background = (part[NUMBERS].head(40).to_numpy(dtype=float) for part in (evaluation, training))
    rows, background = np.floor(rows), np.floor(background)  # whole numbers lie on no threshold of these models' halves
    rows[3, 1] = background[5, 2] = np.nan
    plain, ranked = (_by_trees(fitted, rows, background, 1, way) for way in (INTERVENTIONAL, RANKS))
    assert not isinstance(plain, str)
    assert not isinstance(ranked, str)
    np.testing.assert_array_equal(plain[2], ranked[2])
    assert plain[3] == ranked[3]


def test_a_pipeline_adds_the_columns_of_one_input_up(tmp_path: Path) -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    training, evaluation = write_tables(tmp_path)
    made = make_pipeline(make_column_transformer((OneHotEncoder(), ["job"]), (StandardScaler(), NUMBERS)), LogisticRegression())
    fitted = made.fit(training[FEATURES], training["y"])
    sheet = sheet_of()
    explainer = explainer_of(tmp_path, checked(fitted, sheet), sheet)
    rows = evaluation.head(25)
    transformed, background = (fitted[:-1].transform(part[FEATURES]) for part in (rows, explainer.background))
    own = shap.LinearExplainer(fitted[-1], shap.maskers.Independent(background, max_samples=len(background))).shap_values(transformed)
    given = explainer.explain(rows)
    names = list(explainer.explained.space.names)
    assert (explainer.method.explainer, explainer.method.output) == ("LinearExplainer, interventional", "log-odds")
    np.testing.assert_allclose(given.values[:, names.index("job")], own[:, :3].sum(axis=1), atol=1e-12)
    for at, name in enumerate(NUMBERS):
        np.testing.assert_allclose(given.values[:, names.index(name)], own[:, 3 + at], atol=1e-12)
    slope = fitted[-1].coef_[0][3 + NUMBERS.index("income")] / fitted[0].named_transformers_["standardscaler"].scale_[NUMBERS.index("income")]
    by_hand = slope * (rows["income"] - explainer.background["income"].mean())
    np.testing.assert_allclose(given.values[:, names.index("income")], by_hand, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["mixing", "calibrated"])
def test_a_model_that_cannot_be_read_is_explained_by_its_answers_and_says_why(what: str, tmp_path: Path) -> None:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    training, evaluation = write_tables(tmp_path)
    model = make_pipeline(PCA(2), LogisticRegression()) if what == "mixing" else CalibratedClassifierCV(LogisticRegression())
    sheet = sheet_of(numbers_only())
    loaded = checked(model.fit(training[NUMBERS], training["y"]), sheet)
    explainer = explainer_of(tmp_path, loaded, sheet)
    assert (explainer.method.explainer, explainer.method.reads) == ("PermutationExplainer", False)
    assert ("mixes several inputs" if what == "mixing" else "CalibratedClassifierCV") in str(explainer.method.why)
    rows = evaluation.head(5)
    coded = np.array([0, 0, 0, 1])  # sex is 1 or 2 in the table, and 0 or 1 as a code
    background = explainer.explained.space.encode(explainer.background)
    masker = shap.maskers.Independent(background, max_samples=len(background))
    own = shap.PermutationExplainer(lambda inputs: loaded.score(pd.DataFrame(inputs + coded, columns=NUMBERS)), masker, seed=explainer.seed)
    made = explainer.explain(rows)
    np.testing.assert_allclose(made.values, own(rows[NUMBERS].to_numpy(dtype=float) - coded, max_evals=2 * 9, silent=True).values, atol=1e-12)
    assert made.errors.max() < 1e-12


def test_values_from_answers_are_exact_for_an_additive_rule_and_leave_numpys_state_alone(tmp_path: Path) -> None:
    write_tables(tmp_path)
    effect = {"cook": 0.0, "nurse": 0.2, "pilot": 0.1}
    rule = RuleModel(lambda frame: np.ones(len(frame)), lambda frame: 0.3 + frame["income"] / 500 + frame["job"].map(effect).astype(float))
    sheet = sheet_of()
    explainer = explainer_of(tmp_path, rule, sheet)
    rows = pd.read_parquet(tmp_path / "evaluation.parquet").head(12)
    np.random.seed(5)
    before = np.random.get_state()[1].copy()  # type: ignore[index,union-attr]
    made = explainer.explain(rows)
    assert (np.random.get_state()[1] == before).all()  # type: ignore[index]
    names = list(explainer.explained.space.names)
    np.testing.assert_allclose(made.values[:, names.index("income")], (rows["income"] - explainer.background["income"].mean()) / 500, atol=1e-12)
    jobs = rows["job"].map(effect) - explainer.background["job"].map(effect).mean()
    np.testing.assert_allclose(made.values[:, names.index("job")], jobs, atol=1e-12)
    assert np.abs(made.values[:, names.index("age")]).max() < 1e-12


def test_decisions_alone_can_be_explained(tmp_path: Path) -> None:
    write_tables(tmp_path)
    explainer = explainer_of(tmp_path, RuleModel(lambda frame: (frame["income"] > 50).astype(int)), sheet_of())
    made = explainer.explain(pd.read_parquet(tmp_path / "evaluation.parquet").head(10))
    assert explainer.method.output == "share of favourable decisions"
    assert made.errors.max() < 1e-12
    assert (np.abs(made.values).argmax(axis=1) == list(explainer.explained.space.names).index("income")).all()


def test_a_row_with_an_unseen_category_has_no_explanation_from_answers(tmp_path: Path) -> None:
    write_tables(tmp_path)
    explainer = explainer_of(tmp_path, RuleModel(lambda frame: np.ones(len(frame)), lambda frame: frame["income"] / 200), sheet_of())
    rows = pd.read_parquet(tmp_path / "evaluation.parquet").head(3)
    rows.loc[1, "job"] = "astronaut"
    made = explainer.explain(rows)
    assert np.isfinite(made.values).all(axis=1).tolist() == [True, False, True]
    assert made.within(1e-3).tolist() == [True, False, True]


def test_a_wrapper_that_only_adds_thresholds_is_read_and_one_that_changes_scores_is_not(tmp_path: Path) -> None:
    from sklearn.ensemble import RandomForestClassifier

    class Wrapped:
        def __init__(self, model: Any, factor: float) -> None:
            self.model, self.factor, self.classes_ = model, factor, model.classes_

        def predict(self, frame: pd.DataFrame) -> Any:
            return (self.predict_proba(frame)[:, 1] > 0.3).astype(int)

        def predict_proba(self, frame: pd.DataFrame) -> Any:
            second = self.model.predict_proba(frame)[:, 1] * self.factor
            return np.column_stack([1 - second, second])

    training, _ = write_tables(tmp_path)
    forest = RandomForestClassifier(10, random_state=0).fit(training[NUMBERS], training["y"])
    sheet = sheet_of(numbers_only())
    told = [explainer_of(tmp_path, checked(Wrapped(forest, factor), sheet), sheet).method for factor in (1.0, 0.8)]
    assert [method.reads for method in told] == [True, False]
    assert "does not add up" in str(told[1].why)


def test_amounts_are_explained_in_their_own_units(tmp_path: Path) -> None:
    from sklearn.ensemble import RandomForestRegressor

    training, evaluation = write_tables(tmp_path)
    fitted = RandomForestRegressor(10, random_state=0).fit(training[NUMBERS], training["income"] * 100 + training["visits"])
    sheet = sheet_of(numbers_only() + "task: regression\n")
    explainer = explainer_of(tmp_path, checked(fitted, sheet), sheet)
    rows = evaluation.head(20)
    made = explainer.explain(rows)
    own = shap.TreeExplainer(fitted, against(explainer)).shap_values(rows[NUMBERS].to_numpy(dtype=float))
    assert (explainer.method.output, explainer.method.reads) == ("prediction", True)
    np.testing.assert_allclose(made.values, own, atol=1e-9)
    assert made.errors.max() < 1e-6


def test_a_model_that_lies_about_itself_is_refused(tmp_path: Path) -> None:
    write_tables(tmp_path)

    class Liar(RuleModel):
        def run(self, task: str, parameters: Any, tables: Any) -> Any:
            return {"explainer": "x", "output": "probability", "base": "many"}, {}

    with pytest.raises(ModelError, match="something else than one number per input"):
        explainer_of(tmp_path, Liar(lambda frame: np.ones(len(frame)), lambda frame: frame["income"] / 200), sheet_of(DATASHEET))
