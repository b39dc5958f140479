"""Signed reviews and the governance record, judged: age, being about something else, absence, and each part of the record alone."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from rai_pipelines.policy.checks.accountability import (
    ApprovalsThreshold,
    SignedReviewParameters,
    SignedReviewThreshold,
    judge_approvals,
    judge_signed_review,
)
from rai_pipelines.policy.checks.base import Question
from rai_pipelines.policy.findings import FindingStatus, Judgement
from rai_pipelines.policy.model import Statistics
from rai_pipelines_tests.conftest import DAY, evidence, figure

HOLDS = {
    "signatures_valid_share": 1.0,
    "approvals_by_submitter_or_owner": 0.0,
    "decisions_not_in_ledger": 0.0,
    "ledger_holds": 1.0,
    "minutes_since_escalation": 3.0,
}


def judged(signed_on: date | None, *, current: bool = True, kind: str = "key_figures") -> Judgement:
    reviews: dict[str, Any] = {} if signed_on is None else {"key_figures": {"signed_on": signed_on.isoformat(), "current": current}}
    found = {"signed_reviews": evidence("signed_reviews", details={"reviews": reviews})}
    parameters: Any = SignedReviewParameters(kind=kind)  # type: ignore[arg-type]
    return judge_signed_review(Question(SignedReviewThreshold(max_age_days=36), parameters, found, Statistics(), "internal", day=DAY))


@pytest.mark.parametrize(
    ("days", "current", "status"),
    [(0, True, "pass"), (36, True, "pass"), (37, True, "fail"), (5, False, "fail"), (-1, True, "fail")],
)
def test_a_review_counts_while_it_is_recent_and_about_what_is_there(days: int, current: bool, status: str) -> None:
    assert judged(DAY - timedelta(days=days), current=current).status == status


def test_a_review_that_nobody_signed_is_missing_and_another_kind_does_not_stand_for_it() -> None:
    assert judged(None).status is FindingStatus.MISSING
    assert judged(DAY, kind="training_data_bias").status is FindingStatus.MISSING


@pytest.mark.parametrize(
    ("metric", "value", "status"),
    [
        ("signatures_valid_share", 0.9, "fail"),
        ("approvals_by_submitter_or_owner", 1.0, "fail"),
        ("decisions_not_in_ledger", 1.0, "fail"),
        ("ledger_holds", 0.0, "fail"),
        ("minutes_since_escalation", 16.0, "fail"),
        ("minutes_since_escalation", None, "missing"),
        ("minutes_since_escalation", 15.0, "pass"),
    ],
)
def test_each_part_of_the_governance_record_has_to_hold(metric: str, value: float | None, status: str) -> None:
    found = {"governance_record": evidence("governance_record", *(figure(name, number) for name, number in {**HOLDS, metric: value}.items()))}
    judgement = judge_approvals(Question(ApprovalsThreshold(escalation_minutes_max=15), None, found, Statistics(), "internal", day=DAY))
    assert judgement.status == status
