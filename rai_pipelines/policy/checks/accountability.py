"""Judges what people decided: signed reviews and their age, and whether approvals and the ledger hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, ClassVar, Literal

from pydantic import Field

from rai_pipelines.evidence.model import Measurement, Status
from rai_pipelines.policy.checks.base import Check, Question, Threshold, absent_figure, exact_figures
from rai_pipelines.policy.direction import Direction
from rai_pipelines.policy.findings import Figure, FindingStatus, Judgement, conclude, describe
from rai_pipelines.policy.three_state import Band, judge_exact

GOVERNANCE_RECORD = "governance_record"
MONTHS_LOOKED_AT = 12


class SignedReviewThreshold(Threshold):
    """How many days ago the review may have been signed at most; and in how many of the last 12 full months a live version may have gone unaudited.

    `missed_audit_months_max` absent: nobody asks.
    """

    max_age_days: int = Field(ge=1, le=1826)
    missed_audit_months_max: int | None = Field(default=None, ge=0, le=12)


class SignedReviewParameters(Threshold):
    """Which review is asked for."""

    stricter: ClassVar[Mapping[str, Direction | tuple[str, ...]]] = {"kind": Direction.NO_ORDER}
    kind: Literal["training_data_bias", "key_figures", "owner_acknowledgement"] = "training_data_bias"


class ApprovalsThreshold(Threshold):
    """How long ago overdue decisions may have been looked for at most; signatures, people and ledger have to hold whatever is set."""

    escalation_minutes_max: float = Field(gt=0, le=1440)


def judge_signed_review(question: Question) -> Judgement:
    """A person who may has signed it, it is about what is there today, and it is recent; and, where asked, no month went by without an audit."""
    threshold: SignedReviewThreshold = question.threshold
    kind = question.parameters.kind
    evidence = question.evidence["signed_reviews"]
    reviews: Any = evidence.detail("reviews", {})
    facts = reviews.get(kind)
    name, wanted = f"review {kind.replace('_', ' ')}", f"at most {threshold.max_age_days} days old"
    months = _months_missed(question, threshold.missed_audit_months_max)
    if facts is None:
        reason = "; ".join((f"Nobody who may has signed the {name}", *(describe(item) for item in months if item.status is not FindingStatus.PASS)))
        return Judgement(status=FindingStatus.MISSING, reason=reason, figures=months)
    age = (question.day - date.fromisoformat(facts["signed_on"])).days
    note = None if facts["current"] else "it was about another state of what is there today"
    fits = facts["current"] and 0 <= age <= threshold.max_age_days
    figure = Figure(
        label=f"age in days of the {name}",
        metric="review_age_days",
        value=float(age),
        threshold=wanted,
        status=FindingStatus.PASS if fits else FindingStatus.FAIL,
        note=note,
    )
    return conclude((figure, *months), passed=f"The {name} was signed on {facts['signed_on']}")


def _months_missed(question: Question, most: int | None) -> tuple[Figure, ...]:
    """In how many of the last 12 full months before the day of the verdict the version was live and not audited; named.

    Evidence says what was so when it was made: that month is audited, and a version that was live then is taken to have stayed so.
    """
    if most is None:
        return ()
    metric, band = "months_without_audit", Band(high=most)
    evidence = question.evidence.get(GOVERNANCE_RECORD)
    facts: Any = evidence.detail("months") if evidence is not None and evidence.status is Status.COMPLETE else None
    if facts is None:
        why = evidence.reason if evidence is not None and evidence.reason else "there is no record of its audits"
        return (absent_figure(metric, str(band)).model_copy(update={"note": why}),)
    this = question.day.year * 12 + question.day.month - 1
    window = [f"{number // 12:04d}-{number % 12 + 1:02d}" for number in range(this - MONTHS_LOOKED_AT, this)]
    live = [month for month in window if month in facts["live"] or (facts["live_now"] and month > facts["looked_in"])]
    missed = [month for month in live if month not in facts["audited"]]
    measured = Measurement(metric=metric, value=float(len(missed)), n=len(live), note=", ".join(missed) or None)
    return (judge_exact(f"months without an audit, of {len(live)} in which it was live", measured, band),)


def judge_approvals(question: Question) -> Judgement:
    """Every signature holds, nobody approved their own model, every decision is in an unbroken ledger, and overdue ones are looked for."""
    threshold: ApprovalsThreshold = question.threshold
    bands = {
        "signatures_valid_share": Band(low=1.0),
        "approvals_by_submitter_or_owner": Band(high=0.0),
        "decisions_not_in_ledger": Band(high=0.0),
        "decisions_gone": Band(high=0.0),
        "ledger_holds": Band(low=1.0),
        "minutes_since_escalation": Band(high=threshold.escalation_minutes_max),
    }
    return conclude(exact_figures(question.evidence["governance_record"], bands), passed="Decisions are signed, separated, recorded and followed up")


CHECKS = (
    Check(
        "signed_review",
        ("signed_reviews",),
        SignedReviewThreshold,
        judge_signed_review,
        SignedReviewParameters,
        also_reads={"missed_audit_months_max": GOVERNANCE_RECORD},
        basis="declared",
        if_red="Let somebody who neither submitted nor owns the model look, and sign: rai review sign NAME/VERSION --kind KIND; where months went by "
        "without an audit, find out what kept the monthly audits from running: they count until they are a year old, or excuse them with a waiver",
    ),
    Check(
        "approvals_and_ledger",
        ("governance_record",),
        ApprovalsThreshold,
        judge_approvals,
        if_red="Find out what was changed (rai ledger verify on an export), and see that the governance rounds run every few minutes",
    ),
)
