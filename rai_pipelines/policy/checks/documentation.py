"""Judges whether a model card can be complete: every section has its facts or its figures."""

from __future__ import annotations

from pydantic import Field

from rai_pipelines.policy.checks.base import Check, Question, Threshold, exact_figures
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


CHECKS = (
    Check(
        "card_complete",
        ("documentation_check",),
        CardThreshold,
        judge_card,
        if_red="Fill in the datasheet fields that the finding names; where evidence is absent, mend that assessment first",
    ),
)
