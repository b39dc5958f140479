"""Judges what people decided: signed reviews and their age, and whether approvals and the ledger hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, ClassVar, Literal

from pydantic import Field

from rai_pipelines.policy.checks.base import Check, Question, Threshold, exact_figures
from rai_pipelines.policy.direction import Direction
from rai_pipelines.policy.findings import Figure, FindingStatus, Judgement, conclude
from rai_pipelines.policy.three_state import Band


class SignedReviewThreshold(Threshold):
    """How many days ago the review may have been signed at most."""

    max_age_days: int = Field(ge=1, le=1826)


class SignedReviewParameters(Threshold):
    """Which review is asked for."""

    stricter: ClassVar[Mapping[str, Direction | tuple[str, ...]]] = {"kind": Direction.NO_ORDER}
    kind: Literal["training_data_bias", "key_figures", "owner_acknowledgement"] = "training_data_bias"


class ApprovalsThreshold(Threshold):
    """How long ago overdue decisions may have been looked for at most; signatures, people and ledger have to hold whatever is set."""

    escalation_minutes_max: float = Field(gt=0, le=1440)


def judge_signed_review(question: Question) -> Judgement:
    """A person who may has signed it, it is about what is there today, and it is recent enough."""
    threshold: SignedReviewThreshold = question.threshold
    kind = question.parameters.kind
    evidence = question.evidence["signed_reviews"]
    reviews: Any = evidence.details.get("reviews", {})
    facts = reviews.get(kind)
    name, wanted = f"review {kind.replace('_', ' ')}", f"at most {threshold.max_age_days} days old"
    if facts is None:
        return Judgement(status=FindingStatus.MISSING, reason=f"Nobody who may has signed the {name}")
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
    return conclude((figure,), passed=f"The {name} was signed on {facts['signed_on']}")


def judge_approvals(question: Question) -> Judgement:
    """Every signature holds, nobody approved their own model, every decision is in an unbroken ledger, and overdue ones are looked for."""
    threshold: ApprovalsThreshold = question.threshold
    bands = {
        "signatures_valid_share": Band(low=1.0),
        "approvals_by_submitter_or_owner": Band(high=0.0),
        "decisions_not_in_ledger": Band(high=0.0),
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
        basis="declared",
        if_red="Let somebody who neither submitted nor owns the model look, and sign: rai review sign NAME/VERSION --kind KIND",
    ),
    Check(
        "approvals_and_ledger",
        ("governance_record",),
        ApprovalsThreshold,
        judge_approvals,
        if_red="Find out what was changed (rai ledger verify on an export), and see that the governance rounds run every few minutes",
    ),
)
