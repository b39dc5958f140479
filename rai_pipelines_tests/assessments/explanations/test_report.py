"""The whole report: complete, the same again, without anybody's values, and honest about what could not be explained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from rai_pipelines.assessments.base import AuditContext, Measured, run_assessment
from rai_pipelines.assessments.explanations import report
from rai_pipelines.assessments.explanations.parameters import ExplanationParameters
from rai_pipelines.assessments.explanations.report import assess_explanations
from rai_pipelines.assessments.statistics.proportions import proportion_limits
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import Evidence, Measurement, State, Status
from rai_pipelines.subjects.datasheet import parse_datasheet
from rai_pipelines.subjects.model_files import load_model_files
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import Subject
from rai_pipelines_tests.assessments.explanations.explained_subjects import (
    DATASHEET,
    NUMBERS,
    QUICK,
    RuleModel,
    checked,
    context_of,
    numbers_only,
    sheet_of,
    write_tables,
)

METRICS = {
    "feature_importance", "surrogate_fidelity", "surrogate_fidelity_over_majority", "protected_driver_share", "proxy_driver",
    "local_explanation_coverage", "counterfactual_coverage", "counterfactual_distance", "counterfactual_sparsity", "decision_from_score",
    "additivity_error", "deletion_fidelity", "top5_stability", "rank_stability", "shap_lime_agreement", "trace_replay_match", "model_queries",
}  # fmt: skip


def one(measured: Measured | Evidence, metric: str, **where: Any) -> Measurement:
    (item,) = [item for item in measured.measurements if item.metric == metric and all(getattr(item, key) == value for key, value in where.items())]
    return item


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> tuple[AuditContext, Measured]:
    from sklearn.ensemble import RandomForestClassifier

    folder = tmp_path_factory.mktemp("forest")
    training, _ = write_tables(folder)
    sheet = sheet_of(numbers_only())
    fitted = RandomForestClassifier(10, max_depth=5, random_state=0).fit(training[NUMBERS], training["y"])
    context = context_of(folder, checked(fitted, sheet), sheet)
    return context, assess_explanations(context, QUICK)


def test_every_figure_is_there_with_its_rows(forest: tuple[AuditContext, Measured]) -> None:
    _, measured = forest
    assert {item.metric for item in measured.measurements} == METRICS
    assert all(item.n is not None for item in measured.measurements)
    assert one(measured, "local_explanation_coverage").value == 1.0
    assert (one(measured, "additivity_error", group="maximum").value or 1) < 1e-6
    assert one(measured, "trace_replay_match").value == 1.0
    assert (one(measured, "deletion_fidelity").value or 0) > 0
    assert one(measured, "decision_from_score").value == 1.0
    assert measured.details["trace_differences"] == []
    assert measured.details["explainer"] == "TreeExplainer, interventional"
    importance = [item for item in measured.measurements if item.metric == "feature_importance"]
    assert [item.attribute for item in importance][:2] == ["income", "visits"]
    total = sum(item.value or 0 for item in importance)
    assert one(measured, "protected_driver_share", attribute="sex").value == pytest.approx(
        one(measured, "feature_importance", attribute="sex").value / total  # type: ignore[operator]
    )


def test_the_same_seed_gives_the_same_bytes(forest: tuple[AuditContext, Measured]) -> None:
    context, measured = forest
    again = assess_explanations(context, QUICK)
    assert canonical_json([*again.measurements]) == canonical_json([*measured.measurements])
    assert canonical_json(dict(again.details)) == canonical_json(dict(measured.details))
    other = assess_explanations(replace(context, seed=12), QUICK)
    assert one(other, "deletion_fidelity").value != one(measured, "deletion_fidelity").value


def test_no_value_of_a_row_and_no_trace_is_left_behind(forest: tuple[AuditContext, Measured]) -> None:
    context, measured = forest
    text = canonical_json({"m": [*measured.measurements], "d": dict(measured.details)}).decode()
    incomes = pd.read_parquet(Path(context.subject.data_folder) / "evaluation.parquet")["income"]
    assert not [value for value in incomes if f"{value!r}" in text]
    assert [path for path in context.scratch.rglob("*") if "trace" in path.name] == []


def test_a_linear_pipeline_from_a_file_is_explained_whole(tmp_path: Path) -> None:
    from rai_pipelines_tests.house import FEATURES, datasheet, people, write_model

    training, evaluation = people(800), people(400, seed=8)
    training.to_parquet(tmp_path / "training.parquet")
    evaluation.to_parquet(tmp_path / "evaluation.parquet")
    write_model(tmp_path / "model", datasheet(), training=training)
    sheet = parse_datasheet(yaml.safe_dump(datasheet()), source="d")
    context = AuditContext(Subject(ModelVersion("calls", "1"), sheet, tmp_path / "model", None, tmp_path, load_model_files), 3, tmp_path / "s")
    evidence, _ = run_assessment("explainability_report", assess_explanations, context, QUICK, inputs=("training", "evaluation"))
    assert (evidence.status, evidence.reason) == (Status.COMPLETE, None)
    assert evidence.details["explained_output"] == "log-odds"
    assert (evidence.find("additivity_error", group="maximum")[0].value or 1) < 1e-9
    assert {item.attribute for item in evidence.find("feature_importance")} == set(FEATURES)


@pytest.mark.slow
def test_a_score_that_does_not_decide_alone_is_disclosed(tmp_path: Path) -> None:
    write_tables(tmp_path)
    rule = RuleModel(
        lambda frame: (frame["income"] > np.where(frame["sex"] == 2, 60, 45)).astype(int), lambda frame: 1 / (1 + np.exp(-(frame["income"] - 50) / 9))
    )
    measured = assess_explanations(context_of(tmp_path, rule, sheet_of()), QUICK)
    figure = one(measured, "decision_from_score")
    assert figure.value is not None
    assert 0.6 < figure.value < 0.95
    assert measured.details["reads_the_model"] is False
    assert measured.details["why_not_read"]
    assert one(measured, "protected_driver_share", attribute="sex").value == pytest.approx(0.0, abs=1e-9)


def test_queries_stay_within_their_limit_and_the_cut_is_stated(tmp_path: Path) -> None:
    write_tables(tmp_path)
    rule = RuleModel(lambda frame: (frame["income"] > 50).astype(int), lambda frame: frame["income"].clip(0, 200) / 200)
    limited = QUICK.model_copy(update={"max_queries": 30_000, "pool": 200})
    measured = assess_explanations(context_of(tmp_path, rule, sheet_of()), limited)
    queries = one(measured, "model_queries").value
    assert queries == sum(len(frame) for frame in rule.seen)
    assert queries is not None
    assert queries <= 1.2 * 30_000
    assert set(measured.details["cut"]) >= {"sample", "stability"}  # type: ignore[arg-type]


def test_rows_that_cannot_be_explained_count_against_the_coverage(tmp_path: Path) -> None:
    write_tables(tmp_path)
    evaluation = pd.read_parquet(tmp_path / "evaluation.parquet")
    evaluation.loc[::4, "job"] = "astronaut"
    evaluation.to_parquet(tmp_path / "evaluation.parquet")
    rule = RuleModel(lambda frame: (frame["income"] > 50).astype(int), lambda frame: frame["income"].clip(0, 200) / 200)
    measured = assess_explanations(context_of(tmp_path, rule, sheet_of()), QUICK)
    coverage = one(measured, "local_explanation_coverage")
    unseen = measured.details["sample"]["with_unseen_categories"]  # type: ignore[call-overload,index]
    assert unseen > 0
    assert coverage.value == pytest.approx(1 - unseen / 60)
    assert coverage.n == 60


def test_decisions_without_scores_are_explained_and_amounts_have_no_counterfactual(tmp_path: Path) -> None:
    write_tables(tmp_path)
    decisions = assess_explanations(context_of(tmp_path, RuleModel(lambda frame: (frame["income"] > 50).astype(int)), sheet_of()), QUICK)
    assert decisions.details["explained_output"] == "share of favourable decisions"
    assert one(decisions, "decision_from_score").state is State.UNAVAILABLE
    amounts = RuleModel(lambda frame: frame["income"] * 2.0 + frame["visits"])
    regression = assess_explanations(context_of(tmp_path, amounts, sheet_of(DATASHEET + "task: regression\n")), QUICK)
    assert regression.details["explained_output"] == "prediction"
    assert one(regression, "counterfactual_coverage").state is State.UNDEFINED
    assert (one(regression, "surrogate_fidelity").value or 0) > 0.8
    assert (one(regression, "additivity_error", group="maximum").value or 1) < 1e-9


def test_without_shap_the_report_is_missing_and_without_lime_only_lime_is(
    forest: tuple[AuditContext, Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    context, _ = forest
    monkeypatch.setattr("rai_pipelines.assessments.explanations.local_figures.installed", lambda name: name != "lime")
    measured = assess_explanations(context, QUICK)
    assert one(measured, "shap_lime_agreement", group="rank correlation").state is State.UNAVAILABLE
    monkeypatch.setattr(report, "installed", lambda name: False)
    absent = assess_explanations(context, QUICK)
    assert (absent.status, "rai-pipelines[explain]" in str(absent.reason)) == (Status.MISSING, True)


def test_a_version_without_a_model_is_missing(tmp_path: Path) -> None:
    write_tables(tmp_path)
    context = AuditContext(Subject(ModelVersion("m", "1"), sheet_of(), None, None, tmp_path), 1, tmp_path / "scratch")
    evidence, _ = run_assessment("explainability_report", assess_explanations, context, QUICK, inputs=("training", "evaluation"))
    assert evidence.status is Status.MISSING


def test_where_everything_is_immutable_no_counterfactual_is_claimed(tmp_path: Path) -> None:
    write_tables(tmp_path)
    text = DATASHEET.replace("immutable_features: [age]", "immutable_features: [age, income, visits, job]")
    rule = RuleModel(lambda frame: (frame["income"] > 50).astype(int), lambda frame: frame["income"].clip(0, 200) / 200)
    figure = one(assess_explanations(context_of(tmp_path, rule, sheet_of(text)), QUICK), "counterfactual_coverage")
    assert (figure.state, figure.note) == (State.UNDEFINED, "every input is declared immutable or protected")


@pytest.mark.slow
def test_a_confined_model_gives_the_same_report(tmp_path: Path) -> None:
    from lightgbm import LGBMClassifier

    from rai_pipelines.model_host.host import hosted_loader

    training, _ = write_tables(tmp_path)
    (tmp_path / "model").mkdir()
    fitted = LGBMClassifier(n_estimators=20, verbose=-1).fit(training[NUMBERS], training["y"])
    (tmp_path / "model" / "model.lgb").write_text(fitted.booster_.model_to_string())
    sheet = sheet_of(numbers_only())
    found = []
    for loader in (load_model_files, hosted_loader()):
        subject = Subject(ModelVersion("m", "1"), sheet, tmp_path / "model", None, tmp_path, loader)
        found.append(assess_explanations(AuditContext(subject, 5, tmp_path / "scratch"), QUICK))
    assert canonical_json([*found[0].measurements]) == canonical_json([*found[1].measurements])


def test_all_of_the_default_sample_covered_is_enough_for_the_policys_share() -> None:
    whole = ExplanationParameters().sample
    assert proportion_limits(np.array([whole]), np.array([whole]), 0.9)[0][0] >= 0.99
