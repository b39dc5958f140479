"""Formal properties: refuted fails, unsettled is undecided, none declared is missing; and what a scan could not decide is undecided."""

from __future__ import annotations

import pytest

from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.policy.checks.base import NoParameters, Question
from rai_pipelines.policy.checks.safety import (
    AccuracyThreshold,
    FormalPropertiesThreshold,
    ModelScanThreshold,
    TrainingSourcesThreshold,
    judge_accuracy,
    judge_formal_properties,
    judge_model_scan,
    judge_training_sources,
)
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.model import Statistics
from rai_pipelines_tests.conftest import evidence, figure


def proved(*answers: float | None) -> FindingStatus:
    made: list[Measurement] = []
    for number, answer in enumerate(answers):
        state = State.MEASURED if answer is not None else State.INSUFFICIENT
        made.append(figure("property_proved", answer, attribute=f"p{number}", state=state))
    if answers:
        made.append(figure("proved_share", sum(answer == 1.0 for answer in answers) / len(answers), n=len(answers), denominator=len(answers)))
    found = {"proof_certificates": evidence("proof_certificates", *made)}
    return judge_formal_properties(Question(FormalPropertiesThreshold(proved_min=1.0), NoParameters(), found, Statistics(), "internal")).status


def scanned(dangerous: int, suspicious: int, unread: int) -> FindingStatus:
    figures = (figure("dangerous_files", dangerous), figure("suspicious_files", suspicious), figure("not_scannable_files", unread))
    found = {"model_scan": evidence("model_scan", *figures)}
    return judge_model_scan(Question(ModelScanThreshold(), NoParameters(), found, Statistics(), "internal")).status


@pytest.mark.parametrize(
    ("lead", "least", "expected"),
    [
        ((0.0, 0.0, 0.0), 0.0, "fail"),  # always the majority class
        ((0.01, 0.0, 0.02), 0.0, "inconclusive"),
        ((0.01, 0.001, 0.02), 0.0, "pass"),
        ((0.1, 0.06, 0.14), 0.05, "pass"),
        ((-0.1, -0.12, -0.08), 0.0, "fail"),
    ],
)
def test_a_model_that_is_as_good_as_its_trivial_baseline_is_not_better(lead: tuple[float, float, float], least: float, expected: str) -> None:
    found = {"performance_report": evidence("performance_report", figure("accuracy_over_majority", *lead, n=900, denominator=900))}
    asked = AccuracyThreshold(accuracy_over_majority_min=least)
    judgement = judge_accuracy(Question(asked, NoParameters(), found, Statistics(), "internal"))
    assert judgement.status == expected


def test_properties_that_are_all_proved_pass_and_a_refuted_one_fails() -> None:
    assert proved(1.0, 1.0) is FindingStatus.PASS
    assert proved(1.0, 0.0) is FindingStatus.FAIL
    assert proved(None, 0.0) is FindingStatus.FAIL


def test_a_property_that_the_proof_did_not_settle_is_undecided_and_none_declared_is_missing() -> None:
    assert proved(1.0, None) is FindingStatus.INCONCLUSIVE
    assert proved() is FindingStatus.MISSING


def test_dangerous_files_fail_and_files_of_unknown_effect_never_pass() -> None:
    assert scanned(0, 0, 0) is FindingStatus.PASS
    assert scanned(1, 0, 0) is FindingStatus.FAIL
    assert scanned(0, 1, 0) is FindingStatus.INCONCLUSIVE
    assert scanned(0, 0, 1) is FindingStatus.INCONCLUSIVE


def sources(harmful: float | None, not_compared: int | None, state: State = State.MEASURED) -> FindingStatus:
    made = [figure("harmful_sources", harmful, state=state, attribute="office")]
    made += [figure("sources_not_compared", not_compared, attribute="office")] if not_compared is not None else []
    question = Question(TrainingSourcesThreshold(), NoParameters(), {"poisoning_check": evidence("poisoning_check", *made)}, Statistics(), "internal")
    return judge_training_sources(question).status


def test_a_harmful_source_fails_and_one_too_small_to_compare_is_undecided() -> None:
    assert sources(0, 0) is FindingStatus.PASS
    assert sources(1, 0) is FindingStatus.FAIL
    assert sources(0, 2) is FindingStatus.INCONCLUSIVE
    assert sources(0, 0, State.INSUFFICIENT) is FindingStatus.INCONCLUSIVE
    assert sources(None, None, State.UNAVAILABLE) is FindingStatus.MISSING
