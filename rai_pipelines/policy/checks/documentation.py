"""Judges whether documents can be complete: every section of the model card, every point of the technical documentation."""

from __future__ import annotations

from pydantic import Field

from rai_pipelines.policy.checks.base import Check, Question, Reads, Threshold, exact_figures
from rai_pipelines.policy.findings import Judgement, conclude
from rai_pipelines.policy.three_state import Band


class CardThreshold(Threshold):
    """Share of the card's sections that must be filled."""

    sections_filled_min: float = Field(gt=0, le=1)


def judge_card(question: Question) -> Judgement:
    """The share of filled sections, with the empty ones named."""
    threshold: CardThreshold = question.threshold
    figures = exact_figures(question.evidence["documentation_check"], {"card_sections_filled": Band(low=threshold.sections_filled_min)})
    return conclude(figures, passed="Every section of the model card is filled from declarations and evidence")


class TechnicalDocumentationThreshold(Threshold):
    """Share of the points of Annex IV that must be resolved or not apply."""

    items_resolved_min: float = Field(gt=0, le=1)


def judge_technical_documentation(question: Question) -> Judgement:
    """The share of resolved points, with the open ones named. Whether a statement is true or enough is for the people who sign."""
    threshold: TechnicalDocumentationThreshold = question.threshold
    evidence = question.evidence["technical_documentation_check"]
    figures = exact_figures(evidence, {"annex_iv_points_resolved": Band(low=threshold.items_resolved_min)})
    return conclude(figures, passed="Every point of the technical documentation has its statement and its evidence, or does not apply")


CHECKS = (
    Check(
        "card_complete",
        ("documentation_check",),
        CardThreshold,
        judge_card,
        if_red="Fill in the datasheet fields that the finding names; where evidence is absent, mend that assessment first",
    ),
    Check(
        "technical_documentation",
        ("technical_documentation_check",),
        TechnicalDocumentationThreshold,
        judge_technical_documentation,
        reads={"technical_documentation_check": Reads(frozenset(("annex_iv_points_resolved",)))},
        basis="declared",
        if_red="Fill in the statements under technical_documentation in the datasheet that the finding names; where evidence is absent, mend that "
        "assessment first. The document itself (rai technical-documentation NAME/VERSION) shows what is there",
    ),
)
