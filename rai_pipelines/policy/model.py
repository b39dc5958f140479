"""The policy as data: controls in seven areas at three tiers, with thresholds and where those come from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from rai_pipelines.evidence.canonical import digest_of


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Area(StrEnum):
    """The seven areas of the policy."""

    FAIRNESS = "fairness"
    TRANSPARENCY = "transparency"
    ACCOUNTABILITY = "accountability"
    PRIVACY = "privacy"
    SAFETY = "safety"
    MONITORING = "monitoring"
    DOCUMENTATION = "documentation"


class Tier(StrEnum):
    """How much is asked; a tier includes the ones below it."""

    BASIC = "basic"
    STANDARD = "standard"
    ADVANCED = "advanced"

    def includes(self, other: Tier) -> bool:
        """Whether a model at this tier has to meet controls of `other`."""
        order = list(Tier)
        return order.index(other) <= order.index(self)


class Severity(StrEnum):
    """What a failed control does: critical and high block the release, medium and low ask for a review."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def blocks(self) -> bool:
        """Whether a failure makes the model version non-compliant."""
        return self in (Severity.CRITICAL, Severity.HIGH)


class ThresholdProvenance(_Frozen):
    """Where a threshold comes from, so that nobody mistakes a house rule for a law."""

    kind: Literal["law", "standard", "paper", "practice", "policy_choice"]
    source: str = Field(min_length=1)
    note: str | None = None


class Control(_Frozen):
    """One testable requirement.

    `effective_from` absent means: announced, no date yet. A control that is not in force is listed and decides nothing.
    """

    id: Annotated[str, Field(pattern=r"^[A-Z]{4}-[A-Z0-9]{1,8}$")]
    area: Area
    tier: Tier
    statement: str = Field(min_length=10)
    check: str
    parameters: Mapping[str, Any] = Field(default_factory=dict)
    threshold: Mapping[str, Any]
    severity: Severity
    evidence: tuple[str, ...] = Field(min_length=1)
    references: tuple[str, ...] = ()
    provenance: ThresholdProvenance
    effective_from: date | None = None

    def in_force(self, day: date) -> bool:
        """Whether this control decides on `day`."""
        return self.effective_from is not None and self.effective_from <= day


class Statistics(_Frozen):
    """How uncertainty is turned into findings (see policy/three_state.py)."""

    alpha: float = Field(default=0.05, gt=0, le=0.2)
    looks_per_year: int = Field(default=12, ge=2, le=366, description="Audits on new data over which alpha is spent (policy/sequential.py)")
    interval_level: float = Field(default=0.90, ge=0.8, le=0.999)
    min_group_n: int = Field(default=30, ge=2)
    min_denominator: int = Field(default=20, ge=1)
    resamples: int = Field(default=10_000, ge=200, le=100_000)
    insufficient_share_max: float = Field(
        default=0.02, ge=0, le=1, description="Rows in groups too small to judge that may stay undecided, as a share of all rows"
    )


class TierByRisk(_Frozen):
    """Which tier a risk class has to meet. A model whose risk class is unknown is treated as high."""

    low: Tier = Tier.BASIC
    limited: Tier = Tier.STANDARD
    high: Tier = Tier.ADVANCED


class InconclusiveByRisk(_Frozen):
    """What an undecided control does: `warn`, or `block` until a person has looked."""

    low: Literal["warn", "block"] = "warn"
    limited: Literal["warn", "block"] = "warn"
    high: Literal["warn", "block"] = "block"


class AuditBudget(_Frozen):
    """What the assessments that question a model may spend on one version, together.

    A query is one row that the model is asked about; its decision and its score are two. Tables that are scored as a whole are not counted.
    Queries cut the same way everywhere. Seconds are a safety limit: an assessment that reaches it ends as an error, or inconclusive.
    """

    queries: int = Field(ge=500_000, le=10**10, description="Rows that the model may be asked about")
    seconds: float = Field(ge=10, le=604_800, description="Wall-clock time")


class BudgetByRisk(_Frozen):
    """How much is spent on a model of each risk class. A model whose risk class is unknown is treated as high."""

    low: AuditBudget = AuditBudget(queries=950_000, seconds=900)
    limited: AuditBudget = AuditBudget(queries=2_375_000, seconds=1_800)
    high: AuditBudget = AuditBudget(queries=4_750_000, seconds=3_600)


Version = Annotated[str, BeforeValidator(str), Field(pattern=r"^\d+\.\d+\.\d+$")]


class PolicyHeader(_Frozen):
    """Identity and ownership of the policy."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,60}$")]
    version: Version
    owner: str = Field(min_length=1)
    effective_from: date
    review_by: date

    @model_validator(mode="after")
    def _review_comes_later(self) -> Self:
        if self.review_by <= self.effective_from:
            raise ValueError("review_by must be later than effective_from")
        return self


class Policy(_Frozen):
    """A whole policy file."""

    api_version: Literal["rai.policy/v1"] = Field(alias="apiVersion")
    policy: PolicyHeader
    tiers: TierByRisk = Field(default_factory=TierByRisk)
    inconclusive: InconclusiveByRisk = Field(default_factory=InconclusiveByRisk)
    statistics: Statistics = Field(default_factory=Statistics)
    budgets: BudgetByRisk = Field(default_factory=BudgetByRisk)
    controls: tuple[Control, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        seen: set[str] = set()
        for control in self.controls:
            if control.id in seen:
                raise ValueError(f"control id {control.id} appears twice")
            seen.add(control.id)
        return self

    @property
    def label(self) -> str:
        """`id@version`."""
        return f"{self.policy.id}@{self.policy.version}"

    @property
    def digest(self) -> str:
        """Digest over the canonical form; layout and comments of the file do not change it."""
        return digest_of(self.model_dump(mode="json", by_alias=True))

    def control(self, control_id: str) -> Control | None:
        """The control with this id."""
        return next((control for control in self.controls if control.id == control_id), None)

    def cells_without_control(self) -> tuple[tuple[Area, Tier], ...]:
        """Cells of the 7 x 3 table that no control stands in."""
        present = {(control.area, control.tier) for control in self.controls}
        return tuple((area, tier) for area in Area for tier in Tier if (area, tier) not in present)
