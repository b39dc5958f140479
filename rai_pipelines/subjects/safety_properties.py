"""Safety properties that the owner declares of a model, to be proved: the section `safety_properties` of the datasheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Text = Annotated[str, Field(min_length=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Decision = Literal["favourable", "unfavourable"]
KINDS = ("monotone", "bounded_output", "invariant_to", "rule")


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class Monotone(_Declared):
    """All else equal, the score of the favourable outcome never moves against `direction` as `feature` rises."""

    feature: Text
    direction: Literal["increasing", "decreasing"]


class BoundedOutput(_Declared):
    """The score of the favourable outcome always lies from `low` to `high`."""

    low: Probability = 0.0
    high: Probability = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"bounded_output is upside down: {self.low:g} is above {self.high:g}")
        if self.low == 0 and self.high == 1:
            raise ValueError("bounded_output from 0 to 1 holds for every model: give a low above 0 or a high below 1")
        return self


class InvariantTo(_Declared):
    """Changing these inputs, alone or together, never changes the decision; with `score_tolerance`, nor moves the score further than that."""

    features: tuple[Text, ...] = Field(min_length=1)
    score_tolerance: Probability | None = None


class Rule(_Declared):
    """Wherever every input of `when` lies in its range (`[low, high]`) or among its values, exactly one of the others holds."""

    when: Mapping[Text, tuple[float, float] | Values] = Field(min_length=1)
    decision: Decision | None = None
    score_at_most: Probability | None = None
    score_at_least: Probability | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if sum(item is not None for item in (self.decision, self.score_at_most, self.score_at_least)) != 1:
            raise ValueError("a rule says one of decision, score_at_most and score_at_least")
        for name, wanted in self.when.items():
            if not isinstance(wanted, Values) and wanted[0] > wanted[1]:
                raise ValueError(f"rule.when.{name} is upside down: {wanted[0]:g} is above {wanted[1]:g}")
        return self


class Values(_Declared):
    """The categories for which a rule speaks."""

    values: tuple[str | int | float | bool, ...] = Field(min_length=1)


class SafetyProperty(_Declared):
    """One property, by a name that evidence carries; exactly one kind.

    Of three or more classes, scores are those of the class `outcome`, and to decide for it is favourable; without it, of the favourable outcome.
    """

    name: Text
    outcome: Text | None = Field(default=None, description="The class that it speaks of, for multiclass models; default: the favourable outcome")
    monotone: Monotone | None = None
    bounded_output: BoundedOutput | None = None
    invariant_to: InvariantTo | None = None
    rule: Rule | None = None

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise ValueError(f"the safety property {self.name!r} states one of {', '.join(KINDS)}")
        return self

    @property
    def needs_outcome(self) -> bool:
        """Whether it speaks of one outcome; to change no decision speaks of all."""
        return self.invariant_to is None or self.invariant_to.score_tolerance is not None

    @property
    def kind(self) -> str:
        """Which of the kinds it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def features(self) -> tuple[str, ...]:
        """The inputs that it names."""
        if self.monotone is not None:
            return (self.monotone.feature,)
        if self.invariant_to is not None:
            return self.invariant_to.features
        return tuple(self.rule.when) if self.rule is not None else ()


def named_once(properties: Sequence[SafetyProperty]) -> None:
    """Raises ValueError where two properties share a name, because evidence tells them apart by it."""
    names = [item.name for item in properties]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"safety_properties has {', '.join(twice)} twice")


Rule.model_rebuild()
