"""Judges whether a model card can be complete: every section has its facts or its figures."""

from __future__ import annotations

from pydantic import Field

from rai_pipelines.policy.checks.registry import Check, Question, Threshold
from rai_pipelines.policy.findings import Figure, FindingStatus, Judgement, conclude
from rai_pipelines.policy.three_state import Band, judge_exact


class CardThreshold(Threshold):
    """Share of the card's sections that must be filled."""

    sections_filled_min: float = Field(gt=0, le=1)


def judge_card(question: Question) -> Judgement:
    """The share of filled sections, with the empty ones named."""
    threshold: CardThreshold = question.threshold
    evidence = question.evidence["documentation_check"]
    found = evidence.find("card_sections_filled")
    band = Band(low=threshold.sections_filled_min)
    figures = tuple(judge_exact("filled sections of the model card", item, band) for item in found)
    if not figures:
        figures = (Figure(label="model card", metric="card_sections_filled", value=None, threshold=str(band), status=FindingStatus.MISSING),)
    return conclude(figures, passed="Every section of the model card is filled from declarations and evidence")


CHECKS = (Check("card_complete", ("documentation_check",), CardThreshold, judge_card),)
