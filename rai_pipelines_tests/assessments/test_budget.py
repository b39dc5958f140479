"""What an assessment may ask of a model ends where the policy says, and what was made beyond that end is no figure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.assessments.base import AuditContext, Measured, run_assessment
from rai_pipelines.assessments.budget import Budget, Progress, within_budget
from rai_pipelines.assessments.security.robustness import RobustnessParameters
from rai_pipelines.audit import build_auditor
from rai_pipelines.errors import ModelError
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import Evidence, Measurement, Status
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.model import AuditBudget, BudgetByRisk
from rai_pipelines.settings import Settings
from rai_pipelines.steps import QUERY_SHARES, SECOND_SHARES, assessment_of, budget_of
from rai_pipelines.subjects.datasheet import parse_datasheet
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import LoadedModel, Subject
from rai_pipelines_tests.assessments.security.test_robustness import DATASHEET
from rai_pipelines_tests.house import House

ROWS = pd.DataFrame({"x": np.arange(40.0)})
Ask = Callable[[LoadedModel], object]


class Model:
    """Answers after `seconds`; counts the rows that it was really asked about."""

    flavor, features = "test", ("x",)

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.asked = seconds, 0

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        time.sleep(self.seconds)
        self.asked += len(frame)
        return np.ones(len(frame), dtype=int)

    def score(self, frame: pd.DataFrame) -> np.ndarray | None:
        self.asked += len(frame)
        return np.full(len(frame), 0.5)

    def run(self, task: str, parameters: Mapping[str, Any], tables: Any) -> tuple[Mapping[str, Any], Any]:
        return {}, {}


def assessed(model: Model, budget: Budget, ask: Ask, heard: list[Progress] | None = None) -> Evidence:
    """Evidence of an assessment that asks `model` as `ask` does."""

    def assess(context: AuditContext, parameters: Any) -> Measured:
        ask(context.subject.load_model())
        return Measured(measurements=(Measurement(metric="robust_to_clean_ratio", value=1.0),), details={"own": 1})

    subject = Subject(ModelVersion("m", "1"), parse_datasheet(DATASHEET, source="test"), Path(), None, Path(), loader=lambda folder, sheet: model)
    context = AuditContext(subject, seed=1, scratch=Path())
    bounded = within_budget(assess, budget, "Adversarial robustness", heard.append if heard is not None else None)
    return run_assessment("adversarial_robustness", bounded, context, RobustnessParameters(), inputs=())[0]


def test_queries_within_the_budget_are_counted_and_stand_in_the_evidence() -> None:
    model, heard = Model(), list[Progress]()
    made = assessed(model, Budget(100, 60), lambda asked: (asked.predict(ROWS), asked.score(ROWS)), heard)
    assert made.status is Status.COMPLETE
    assert made.details == {"own": 1, "budget": {"queries": 100, "queries_asked": 80, "seconds": 60, "cut_by": None}}
    assert model.asked == 80
    assert [str(progress) for progress in heard] == ["Adversarial robustness: 80 of 100 queries"]


def test_a_question_beyond_the_budget_is_not_asked_and_nothing_is_concluded() -> None:
    model = Model()
    made = assessed(model, Budget(100, 60), lambda asked: [asked.predict(ROWS) for _ in range(5)])
    assert made.status is Status.ERROR
    assert made.measurements == ()
    assert "Adversarial robustness: asks for more than its 100 queries, so nothing is concluded" in str(made.reason)
    assert made.details["budget"] == {"queries": 100, "queries_asked": 80, "seconds": 60, "cut_by": "queries"}
    assert model.asked == 80


def test_an_assessment_that_takes_the_end_for_an_answer_has_no_figure_either() -> None:
    def swallows(asked: LoadedModel) -> None:
        for _ in range(5):
            try:
                asked.predict(ROWS)
            except Exception:  # as the parts do that count what a model refuses
                continue

    made = assessed(Model(), Budget(100, 60), swallows)
    assert made.status is Status.ERROR and made.measurements == ()


def test_time_that_is_over_is_marked_in_the_evidence_without_a_number_of_chance() -> None:
    made = assessed(Model(seconds=0.06), Budget(10_000, 0.1), lambda asked: [asked.predict(ROWS) for _ in range(50)])
    assert made.status is Status.ERROR
    assert "was not done within its 0.1 seconds, so nothing is concluded" in str(made.reason)
    assert made.details["budget"] == {"queries": 10_000, "queries_asked": None, "seconds": 0.1, "cut_by": "seconds"}
    again = assessed(Model(seconds=0.03), Budget(10_000, 0.1), lambda asked: [asked.predict(ROWS) for _ in range(50)])
    assert canonical_json(again) == canonical_json(made)


def test_an_error_of_the_model_before_the_end_is_told_as_its_own() -> None:
    class Fails(Model):
        def predict(self, frame: pd.DataFrame) -> np.ndarray:
            raise ModelError("fails on 40 rows")

    made = assessed(Fails(), Budget(100, 60), lambda asked: asked.predict(ROWS))
    assert made.status is Status.ERROR
    assert str(made.reason) == "fails on 40 rows."


@pytest.mark.parametrize("risk", ["low", "limited", "high"])
def test_the_parts_of_an_audit_share_the_policys_budget_and_plan_below_their_part(risk: str) -> None:
    policy = read_policy(None)
    whole = getattr(policy.budgets, risk)
    parts = {name: budget_of(name, policy, risk) for name in QUERY_SHARES}
    assert QUERY_SHARES.keys() == SECOND_SHARES.keys()
    assert whole.queries - 4 <= sum(part.queries for part in parts.values() if part) <= whole.queries
    assert sum(part.seconds for part in parts.values() if part) == pytest.approx(whole.seconds)
    for name, part in parts.items():
        assert part is not None
        _, parameters = assessment_of(name, policy, Settings(), part)
        planned = getattr(parameters, "max_queries", 0) * (2 if name == "privacy_attacks" else 1)
        assert planned <= 0.8 * part.queries
        assert getattr(parameters, "time_limit_s", 0.0) <= 0.8 * part.seconds


def test_a_risk_class_that_nobody_declared_gets_the_budget_of_a_high_one() -> None:
    policy = read_policy(None)
    assert budget_of("privacy_attacks", policy, "unheard of") == budget_of("privacy_attacks", policy, "high")
    assert budget_of("bias_assessment", policy, "high") is None


@pytest.mark.slow
def test_a_small_budget_is_kept_by_every_assessment_says_what_it_cut_and_gives_the_same_bytes(tmp_path: Path) -> None:
    house = House(tmp_path)
    auditor = build_auditor(house.settings)
    least = AuditBudget(queries=500_000, seconds=600)
    auditor.policy = auditor.policy.model_copy(update={"budgets": BudgetByRisk(low=least, limited=least, high=least)})
    version = house.register()
    made = {name: auditor.measure(name, version) for name in QUERY_SHARES}
    for name, evidence in made.items():
        assert evidence.status is Status.COMPLETE, evidence.reason
        told: Any = evidence.details["budget"]
        assert 0 < told["queries_asked"] <= told["queries"] == 500_000 * QUERY_SHARES[name] // sum(QUERY_SHARES.values())
        assert told["cut_by"] is None
    robust = made["adversarial_robustness"]
    assert robust.details["sample"] < robust.details["sample_asked_for"]  # type: ignore[operator]
    again = replace(auditor, _contexts={}, _models={})
    assert again.measure("adversarial_robustness", version).digest == robust.digest
    auditor.close()
    again.close()
