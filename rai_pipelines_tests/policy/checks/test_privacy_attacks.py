"""Privacy budget and attacks: an undeclared budget is missing, an understated one fails, an attack that was not shown to work passes nothing."""

from __future__ import annotations

from typing import Any

from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.policy.checks.base import NoParameters, Question
from rai_pipelines.policy.checks.privacy_attacks import PrivacyBudgetThreshold, judge_privacy_budget
from rai_pipelines.policy.findings import FindingStatus, Judgement
from rai_pipelines.policy.model import Statistics
from rai_pipelines_tests.conftest import evidence, figure

WEAK = figure("membership_auc", 0.51, 0.49, 0.53, group="loss", n=4_000, denominator=2_000)
STRONG = figure("membership_auc", 0.72, 0.70, 0.74, group="lira", n=4_000, denominator=2_000)


def budget(declared: float, recomputed: float) -> tuple[Measurement, ...]:
    return (
        figure("dp_epsilon_declared", declared),
        figure("dp_epsilon_recomputed", recomputed),
        figure("dp_epsilon_ratio", recomputed / declared),
        figure("dp_delta_declared", 1e-6),
    )


def judged(*measurements: Measurement, purposeless: int = 0, **threshold: Any) -> Judgement:
    found = {
        "privacy_attacks": evidence("privacy_attacks", *measurements),
        "anonymization_check": evidence("anonymization_check", figure("purposeless_columns", purposeless)),
    }
    asked = PrivacyBudgetThreshold.model_validate({"epsilon_max": 3.0, "membership_auc_max": 0.6} | threshold)
    return judge_privacy_budget(Question(asked, NoParameters(), found, Statistics(), "internal"))


def test_a_budget_that_holds_and_attacks_that_find_little_pass() -> None:
    assert judged(WEAK, *budget(2.0, 2.0)).status is FindingStatus.PASS


def test_a_budget_that_was_never_declared_is_missing_where_one_is_asked() -> None:
    assert judged(WEAK).status is FindingStatus.MISSING
    assert judged(WEAK, epsilon_max=None).status is FindingStatus.PASS


def test_a_declared_budget_below_the_recomputed_one_fails() -> None:
    assert judged(WEAK, *budget(1.0, 2.5)).status is FindingStatus.FAIL


def test_a_budget_that_an_attack_contradicts_fails() -> None:
    assert judged(WEAK, *budget(1.0, 1.0), figure("dp_declaration_contradicted", 1)).status is FindingStatus.FAIL


def test_an_attack_that_tells_members_apart_fails() -> None:
    assert judged(WEAK, STRONG, epsilon_max=None).status is FindingStatus.FAIL


def test_attacks_that_were_not_shown_to_work_pass_nothing() -> None:
    idle = figure("membership_auc", 0.5, 0.48, 0.52, group="loss", n=4_000, state=State.INSUFFICIENT, note="attack not effective")
    assert judged(idle, epsilon_max=None).status is FindingStatus.INCONCLUSIVE
    assert judged(epsilon_max=None).status is FindingStatus.MISSING


def test_a_column_without_a_purpose_fails() -> None:
    assert judged(WEAK, *budget(2.0, 2.0), purposeless=1).status is FindingStatus.FAIL
