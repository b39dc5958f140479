"""Judges what the registry holds and what the owner declared: transparency and accountability at the basic tier."""

from __future__ import annotations

from pydantic import Field

from rai_pipelines.policy.checks.base import Check, Question, Threshold, exact_figures
from rai_pipelines.policy.findings import Judgement, conclude
from rai_pipelines.policy.three_state import Band


class RegistryEntryThreshold(Threshold):
    """Share of the documentation fields that must be filled in."""

    required_fields_min: float = Field(gt=0, le=1)


class OwnerThreshold(Threshold):
    """Which responsibilities must be declared, out of owner, contact, deputy and runbook."""

    declared_min: float = Field(gt=0, le=1)


def judge_registry_entry(question: Question) -> Judgement:
    """Fields of the datasheet, and that the datasheet is about the model under whose name it is registered."""
    threshold: RegistryEntryThreshold = question.threshold
    figures = exact_figures(
        question.evidence["registry_record"],
        {"required_field_share": Band(low=threshold.required_fields_min), "datasheet_names_this_model": Band(low=1.0)},
    )
    return conclude(figures, passed="The registered version carries a complete datasheet about itself")


def judge_owner(question: Question) -> Judgement:
    """Every responsibility is declared."""
    threshold: OwnerThreshold = question.threshold
    figures = exact_figures(question.evidence["registry_record"], {"responsibility_share": Band(low=threshold.declared_min)})
    return conclude(figures, passed="Owner, deputy, contact and runbook are declared")


CHECKS = (
    Check("registry_entry_complete", ("registry_record",), RegistryEntryThreshold, judge_registry_entry),
    Check("owner_assigned", ("registry_record",), OwnerThreshold, judge_owner),
)
