"""Judges what the registry holds and what the owner declared: transparency and accountability at the basic tier."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, ClassVar

from pydantic import Field

from rai_pipelines.evidence.model import Measurement, Status
from rai_pipelines.policy.checks.base import Check, Question, Threshold, absent_figure, exact_figures
from rai_pipelines.policy.direction import Direction
from rai_pipelines.policy.findings import Figure, Judgement, conclude
from rai_pipelines.policy.three_state import Band, judge_exact

SIGNED_REVIEWS = "signed_reviews"  # evidence of what people signed; the owner's acknowledgement is one of them


class RegistryEntryThreshold(Threshold):
    """Share of the documentation fields that must be filled in."""

    required_fields_min: float = Field(gt=0, le=1)


class OwnerThreshold(Threshold):
    """Which responsibilities must be declared, out of owner, contact, deputy and runbook, and how old the owner's signed word may be.

    `acknowledged_within_days` absent: nobody has to sign.
    """

    stricter: ClassVar[Mapping[str, Direction | tuple[str, ...]]] = {"acknowledged_within_days": Direction.LOWER}
    declared_min: float = Field(gt=0, le=1)
    acknowledged_within_days: int | None = Field(default=None, ge=1)


def judge_registry_entry(question: Question) -> Judgement:
    """Fields of the datasheet, and that the datasheet is about the model under whose name it is registered."""
    threshold: RegistryEntryThreshold = question.threshold
    figures = exact_figures(
        question.evidence["registry_record"],
        {"required_field_share": Band(low=threshold.required_fields_min), "datasheet_names_this_model": Band(low=1.0)},
    )
    return conclude(figures, passed="The registered version carries a complete datasheet about itself")


def judge_owner(question: Question) -> Judgement:
    """Every responsibility is declared and, where the policy asks, the owner has signed for it lately; no signature is missing, not forgiven."""
    threshold: OwnerThreshold = question.threshold
    figures = exact_figures(question.evidence["registry_record"], {"responsibility_share": Band(low=threshold.declared_min)})
    if threshold.acknowledged_within_days is None:
        return conclude(figures, passed="Owner, deputy, contact and runbook are declared")
    figures += (_acknowledgement(question, Band(high=threshold.acknowledged_within_days)),)
    return conclude(figures, passed="Owner, deputy, contact and runbook are declared, and the owner has acknowledged it")


def _acknowledgement(question: Question, band: Band) -> Figure:
    """Days since the owner or the deputy signed for this datasheet, counted to the day of the verdict."""
    evidence = question.evidence.get(SIGNED_REVIEWS)
    absent = absent_figure("days_since_acknowledgement", str(band))
    if evidence is None or evidence.status is not Status.COMPLETE:
        why = evidence.reason if evidence is not None else "the owner has not acknowledged the ownership"
        return absent.model_copy(update={"note": why})
    reviews: Any = evidence.detail("reviews", {})
    facts = reviews.get("owner_acknowledgement")
    if facts is None:
        return absent.model_copy(update={"note": "the owner has not acknowledged the ownership"})
    signed = date.fromisoformat(facts["signed_on"])
    if signed > question.day:
        return absent.model_copy(update={"note": f"the acknowledgement is dated {signed.isoformat()}, later than the day of the verdict"})
    if not facts["current"]:
        return absent.model_copy(update={"note": "what was acknowledged is another datasheet"})
    return judge_exact("days since the owner acknowledged", Measurement(metric=absent.metric, value=(question.day - signed).days), band)


CHECKS = (
    Check(
        "registry_entry_complete",
        ("registry_record",),
        RegistryEntryThreshold,
        judge_registry_entry,
        basis="declared",
        if_red="Fill in the datasheet fields that the finding names, and correct its model name",
    ),
    Check(
        "owner_assigned",
        ("registry_record",),
        OwnerThreshold,
        judge_owner,
        also_reads={"acknowledged_within_days": SIGNED_REVIEWS},
        basis="declared",
        if_red="Name owner, deputy, contact and runbook in the datasheet; where an acknowledgement is asked for, the owner signs one",
    ),
)
