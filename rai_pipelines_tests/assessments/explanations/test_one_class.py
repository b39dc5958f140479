"""Models of several classes, each class explained against all others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shap
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from rai_pipelines.assessments.base import Measured, run_assessment
from rai_pipelines.assessments.explanations.one_class import OneClass, context_for_class
from rai_pipelines.assessments.explanations.report import assess_explanations
from rai_pipelines.assessments.explanations.scene import open_scene
from rai_pipelines.evidence.model import Measurement, State, Status
from rai_pipelines.policy.checks.base import Question
from rai_pipelines.policy.checks.transparency import LocalThreshold, judge_local_explanations
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.model import Statistics
from rai_pipelines_tests.assessments.explanations.explained_subjects import QUICK
from rai_pipelines_tests.assessments.security.test_several_classes import FEATURES, checked, context, graded

CLASSES = ("low", "middle", "high")


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("forest")
    audit = context(folder, checked(RandomForestClassifier(8, max_depth=5, random_state=1)))
    return audit, run_assessment("explainability_report", assess_explanations, audit, QUICK, inputs=("training", "evaluation"))[0]


def figures(measured: Any, metric: str, **where: Any) -> list[Measurement]:
    return [one for one in measured.measurements if one.metric == metric and all(getattr(one, name) == want for name, want in where.items())]


def test_every_class_has_its_own_figures(forest: Any) -> None:
    _, evidence = forest
    assert evidence.status is Status.COMPLETE
    assert {one.outcome for one in evidence.measurements} == set(CLASSES)
    for name in CLASSES:
        assert [one.value for one in figures(evidence, "local_explanation_coverage", outcome=name)] == [1.0]
        assert next(one.attribute for one in figures(evidence, "feature_importance", outcome=name)) == "income"
        assert (figures(evidence, "surrogate_fidelity", outcome=name)[0].value or 0) > 0.85
        assert figures(evidence, "counterfactual_coverage", outcome=name, group="decisions for other classes")
    assert evidence.details["explained"] == "each class against all others"
    assert evidence.details["explained_output"] == "probability"


def test_shapley_values_of_a_class_are_those_of_the_shap_library(forest: Any) -> None:
    audit, _ = forest
    model = audit.subject.load_model()
    for place, name in enumerate(model.native.classes_):
        scene = open_scene(context_for_class(audit, name), QUICK)
        background, rows = scene.explainer.background[list(FEATURES)], scene.frame[list(FEATURES)]
        masker = shap.maskers.Independent(background.to_numpy(dtype=float), max_samples=len(background))
        explainer = shap.TreeExplainer(model.native, masker, model_output="probability", feature_perturbation="interventional")
        expected = explainer.shap_values(rows.to_numpy(dtype=float), check_additivity=False)[:, :, place]
        np.testing.assert_allclose(scene.shapley.values, expected, atol=1e-6)


def test_scores_of_a_class_are_its_probabilities_and_decisions_are_the_models(forest: Any) -> None:
    audit, _ = forest
    model = audit.subject.load_model()
    rows = graded(40, 8)[list(FEATURES)]
    for place, name in enumerate(model.native.classes_):
        seen = OneClass(model, name)
        assert seen.score(rows) == pytest.approx(model.native.predict_proba(rows)[:, place])
        np.testing.assert_array_equal(seen.predict(rows), model.predict(rows))
    assert model.favourable == "high"


@pytest.mark.slow
def test_a_regression_over_several_classes_is_explained_by_its_answers(tmp_path: Path) -> None:
    few = QUICK.model_copy(update={"sample": 30, "stability_rows": 5, "trace_rows": 1, "permutations": 1, "background": 10, "max_classes": 1})
    measured = assess_explanations(context(tmp_path, checked(LogisticRegression(max_iter=2_000))), few)
    (coverage,) = figures(measured, "local_explanation_coverage", state=State.MEASURED)
    assert coverage.value == 1.0
    assert measured.details["explainer"] == "PermutationExplainer"


def judged(evidence: Any) -> Any:
    threshold = LocalThreshold(coverage_min=0.9, additivity_error_max=0.001)
    return judge_local_explanations(Question(threshold, None, {"explainability_report": evidence}, Statistics(), "internal"))


def test_the_control_asks_for_every_class(forest: Any) -> None:
    _, evidence = forest
    passed = judged(evidence)
    assert passed.status is FindingStatus.PASS
    names = {figure.label for figure in passed.figures}
    assert {f"local explanation coverage, class {name}" for name in CLASSES} <= names
    cut = [one if one.outcome != "low" else one.model_copy(update={"value": None, "interval": None, "state": State.UNAVAILABLE})
           for one in evidence.measurements if one.metric == "local_explanation_coverage"]  # fmt: skip
    kept = [one for one in evidence.measurements if one.metric != "local_explanation_coverage"]
    assert judged(evidence.model_copy(update={"measurements": (*cut, *kept)})).status is not FindingStatus.PASS


def test_a_model_without_probabilities_is_explained_by_its_decisions(tmp_path: Path) -> None:
    class Rule:
        flavor, features, native, classes, favourable = "rule", FEATURES, None, None, "high"

        def predict(self, frame: pd.DataFrame) -> np.ndarray:
            return np.array(CLASSES, dtype=object)[np.digitize(frame.income, [45, 60])]

        def score(self, frame: pd.DataFrame) -> None:
            return None

        def run(self, task: str, parameters: Any, tables: Any) -> Any:
            from rai_pipelines.subjects.model_tasks import run_task

            return run_task(task, self, parameters, tables)  # type: ignore[arg-type]

    few = QUICK.model_copy(update={"sample": 30, "stability_rows": 5, "trace_rows": 1, "permutations": 1, "background": 10, "max_classes": 1})
    measured: Measured = assess_explanations(context(tmp_path, Rule()), few)
    assert measured.details["explained_output"] == "share of favourable decisions"
    assert (figures(measured, "surrogate_fidelity")[0].value or 0) > 0.9
    left_out: Any = measured.details["classes_not_explained"]
    assert len(left_out) == 2 and figures(measured, "surrogate_fidelity")[0].outcome not in left_out
    assert {one.outcome for one in figures(measured, "local_explanation_coverage", state=State.UNAVAILABLE)} == set(left_out)
