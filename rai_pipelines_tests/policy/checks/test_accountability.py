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
    "decisions_gone": 0.0,
    "ledger_holds": 1.0,
    "minutes_since_escalation": 3.0,
}


def judged(signed_on: date | None, *, current: bool = True, kind: str = "key_figures") -> Judgement:
    reviews: dict[str, Any] = {} if signed_on is None else {"key_figures": {"signed_on": signed_on.isoformat(), "current": current}}
    found = {"signed_reviews": evidence("signed_reviews", details={"reviews": reviews})}
    parameters: Any = SignedReviewParameters(kind=kind)  # type: ignore[arg-type]
    return judge_signed_review(Question(SignedReviewThreshold(max_age_days=36), parameters, found, Statistics(), "internal", day=DAY))


def months(day: date, *, most: int | None = 0, looked_in: str = "2026-12", live_now: bool = True, **facts: list[str]) -> Judgement:
    """A review that was signed today, and a record of months."""
    record = {"live": [], "audited": [], "live_now": live_now, "looked_in": looked_in, **facts}
    found = {
        "signed_reviews": evidence("signed_reviews", details={"reviews": {"key_figures": {"signed_on": day.isoformat(), "current": True}}}),
        "governance_record": evidence("governance_record", details={"months": record}),
    }
    threshold = SignedReviewThreshold(max_age_days=36, missed_audit_months_max=most)
    return judge_signed_review(Question(threshold, SignedReviewParameters(kind="key_figures"), found, Statistics(), "internal", day=day))


def test_months_without_an_audit_are_counted_and_named() -> None:
    live = ["2026-08", "2026-09", "2026-10", "2026-11", "2026-12"]
    found = months(DAY, live=live, audited=["2026-08", "2026-10", "2026-12"])
    assert found.status is FindingStatus.FAIL
    assert "of 4 in which it was live is 2, required at most 0 [2026-09, 2026-11]" in found.reason
    assert months(DAY, most=2, live=live, audited=["2026-08", "2026-10", "2026-12"]).status is FindingStatus.PASS
    assert months(DAY, most=None, live=live).status is FindingStatus.PASS, "nobody asks"
    assert months(DAY, live=live[-1:]).status is FindingStatus.PASS, "a month that is not over misses nothing"


def test_only_the_last_twelve_full_months_count() -> None:
    live = [f"2025-{number:02d}" for number in range(1, 13)] + [f"2026-{number:02d}" for number in range(1, 13)]
    audited = [month for month in live if month != "2025-11"]
    assert months(DAY, live=live, audited=audited).status is FindingStatus.PASS
    missed = months(DAY, live=live, audited=[month for month in live if month != "2025-12"])
    assert missed.status is FindingStatus.FAIL and "of 12 in which it was live is 1" in missed.reason


def test_months_that_went_by_since_the_record_was_made_are_missed_while_it_was_live() -> None:
    later = date(2027, 3, 2)
    found = months(later, live=["2026-12"], audited=["2026-12"])
    assert found.status is FindingStatus.FAIL and "[2027-01, 2027-02]" in found.reason
    assert months(later, live=["2026-12"], audited=["2026-12"], live_now=False).status is FindingStatus.PASS


def test_without_a_record_of_audits_the_months_are_missing_and_never_none() -> None:
    found = {"signed_reviews": evidence("signed_reviews", details={"reviews": {"key_figures": {"signed_on": DAY.isoformat(), "current": True}}})}
    threshold = SignedReviewThreshold(max_age_days=36, missed_audit_months_max=0)
    question = Question(threshold, SignedReviewParameters(kind="key_figures"), found, Statistics(), "internal", day=DAY)
    assert judge_signed_review(question).status is FindingStatus.MISSING


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
        ("decisions_gone", 1.0, "fail"),
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
