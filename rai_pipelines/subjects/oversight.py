"""What the owner declares about human oversight: which decisions are high-stakes, and how the logs of decisions and reviews are read."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Text = Annotated[str, Field(min_length=1)]


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class HighStakesRule(_Declared):
    """A decision is high-stakes where a column of the decision log has one of `values`, or a number of `at_least` or `at_most`."""

    column: Text
    values: tuple[Annotated[str, BeforeValidator(_as_text)], ...] = ()
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _one_condition(self) -> Self:
        if sum((bool(self.values), self.at_least is not None, self.at_most is not None)) != 1:
            raise ValueError("name exactly one of values, at_least and at_most")
        return self


class DecisionLogColumns(_Declared):
    """Columns of `data.decisions`. An empty `took_effect_at` means: not yet."""

    decision_id: Text = "decision_id"
    decided_at: Text = "decided_at"
    took_effect_at: Text = "took_effect_at"


class ReviewLogColumns(_Declared):
    """Columns of `data.reviews`. `overridden` are the outcomes by which a reviewer decided otherwise than the model."""

    decision_id: Text = "decision_id"
    reviewer_id: Text = "reviewer_id"
    started_at: Text = "started_at"
    finished_at: Text = "finished_at"
    outcome: Text = "outcome"
    overridden: tuple[Annotated[str, BeforeValidator(_as_text)], ...] = Field(min_length=1)


class TrainingRecords(_Declared):
    """Who was trained, from when until when: a CSV file (relative to the data root) or an https:// address of one."""

    source: Text
    reviewer_id: Text = "reviewer_id"
    valid_from: Text = "valid_from"
    valid_until: Text = "valid_until"


class Oversight(_Declared):
    """Human oversight of single decisions (EU AI Act Art. 14 and 26(2), GDPR Art. 22). The tables are `data.decisions` and `data.reviews`."""

    high_stakes: HighStakesRule
    decisions: DecisionLogColumns = Field(default_factory=DecisionLogColumns)
    reviews: ReviewLogColumns
    training: TrainingRecords | None = None
