"""How long things may wait, by how bad they are, and who is told when they wait longer. Hours are working hours of the policy's calendar."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from typing import ClassVar, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rai_pipelines.policy.direction import Direction, Stricter
from rai_pipelines.policy.release_rules import Role

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
ALL_DAY_H = 24.0


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Calendar(_Frozen):
    """When people work. Without `days` every hour counts."""

    zone: str = "UTC"
    days: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday")
    opens: time = time(9)
    closes: time = time(17)
    holidays: tuple[date, ...] = ()

    @field_validator("zone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value!r} is no time zone") from error
        return value

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> Self:
        if self.days and self.opens >= self.closes:
            raise ValueError("closes must be later than opens")
        return self


class Hours(_Frozen):
    """Hours by the severity of the worst finding or of the case."""

    critical: float = Field(gt=0, le=2000)
    high: float = Field(gt=0, le=2000)
    medium: float = Field(gt=0, le=2000)
    low: float = Field(gt=0, le=2000)

    def of(self, severity: str) -> float:
        """Those for a severity; the shortest where it is unknown."""
        return float({"high": self.high, "medium": self.medium, "low": self.low}.get(severity, self.critical))


class EscalationStep(_Frozen):
    """Who is told, and how much later than the step before (the first: when the deadline passes). `owner` and `deputy` are the datasheet's."""

    tell: Role
    after: Hours = Hours(critical=2, high=8, medium=16, low=40)


STEPS = (EscalationStep(tell="owner"), EscalationStep(tell="deputy"), EscalationStep(tell="ethics_officer"), EscalationStep(tell="board"))
WAITING: Mapping[str, Hours] = {
    "awaiting_review": Hours(critical=8, high=16, medium=40, low=80),
    "expired": Hours(critical=4, high=8, medium=16, low=40),
    "case_open": Hours(critical=2, high=8, medium=24, low=80),
    "case_in_progress": Hours(critical=24, high=80, medium=160, low=320),
}


class EscalationRules(_Frozen):
    """What may wait how long, in which calendar, and the steps after that. Legal days (incident reports) are calendar days, whatever is set here."""

    stricter: ClassVar[Mapping[str, Stricter]] = {
        "calendar": Direction.NO_ORDER,
        "round_the_clock": Direction.MORE,
        "waiting": Direction.LOWER,
        "steps": Direction.NO_ORDER,
        "report_warning_hours": Direction.HIGHER,
    }
    calendar: Calendar = Calendar()
    round_the_clock: tuple[Literal["critical", "high", "medium", "low"], ...] = Field(
        default=("critical",), description="Severities for which every hour counts, at night and on holidays too"
    )
    waiting: Mapping[str, Hours] = Field(default_factory=lambda: dict(WAITING))
    steps: tuple[EscalationStep, ...] = Field(default=STEPS, min_length=1)
    report_warning_hours: float = Field(default=24, gt=0, le=240, description="How long before a legal report is due its escalation begins")

    @field_validator("waiting")
    @classmethod
    def _known_states(cls, value: Mapping[str, Hours]) -> Mapping[str, Hours]:
        unknown = sorted(set(value) - set(WAITING))
        if unknown:
            raise ValueError(f"unknown: {', '.join(unknown)}; allowed: {', '.join(WAITING)}")
        return value
