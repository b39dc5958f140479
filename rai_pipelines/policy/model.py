"""The policy as data: controls in seven areas at three tiers, with thresholds and where those come from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from rai_pipelines.errors import EvidenceError
from rai_pipelines.evidence.canonical import canonical_json, digest_of
from rai_pipelines.policy.direction import Direction, Stricter
from rai_pipelines.policy.escalation_rules import EscalationRules
from rai_pipelines.policy.release_rules import ReleaseRules, Signatories
from rai_pipelines.policy.retention_rules import RetentionRules
from rai_pipelines.policy.versions.legal_dates import day_of_law

LONGEST_UNREVIEWED_DAYS = 1096  # three years


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
    """Where a threshold comes from, so that nobody mistakes a house rule for a law.

    `date` is that of the source, or of the choice, as precisely as it is known (2026-11-01, "2006"). `confidence` says how sure the owner is
    that the figure is the right one: high (the source states it), medium (it follows from the source by a stated step), low (chosen, and to be
    revisited).
    """

    kind: Literal["law", "standard", "paper", "practice", "policy_choice"]
    source: str = Field(min_length=1)
    date: Annotated[str, BeforeValidator(str), Field(pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$")]
    confidence: Literal["high", "medium", "low"]
    note: str | None = None


def _day(value: object) -> object:
    """`{legal_date: NAME}` as the day that policy/versions/legal_dates.yaml has for it."""
    return day_of_law(str(value["legal_date"])) if isinstance(value, Mapping) and set(value) == {"legal_date"} else value


LEGAL_DATE = {
    "type": "object",
    "properties": {"legal_date": {"type": "string"}},
    "required": ["legal_date"],
    "additionalProperties": False,
    "description": "A name in policy/versions/legal_dates.yaml",
}
EffectiveDay = Annotated[
    date | None, BeforeValidator(_day), WithJsonSchema({"anyOf": [{"type": "string", "format": "date"}, LEGAL_DATE, {"type": "null"}]})
]
ControlId = Annotated[str, Field(pattern=r"^[A-Z]{4}-[A-Z0-9]{1,8}$")]


def _name_of_law(content: Any) -> Any:
    """Keep the name of a legal date beside the day that it stands for."""
    if not isinstance(content, Mapping):
        return content
    effective = content.get("effective_from")
    named = effective.get("legal_date") if isinstance(effective, Mapping) else None
    return {**content, "legal_date": named} if isinstance(named, str) else content


class Control(_Frozen):
    """One testable requirement.

    `effective_from` absent means: announced, no date yet. A control that is not in force is listed and decides nothing. A file says
    `effective_from: {legal_date: NAME}` where the law sets the day; `legal_date` keeps the name. `threshold_provenance` holds the sources of
    those thresholds that have one of their own.
    """

    id: ControlId
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
    threshold_provenance: Mapping[str, ThresholdProvenance] = Field(default={}, description="By threshold; the others are as in provenance")
    effective_from: EffectiveDay = None
    legal_date: str | None = Field(default=None, description="Filled in from effective_from; not written by hand")

    @model_validator(mode="before")
    @classmethod
    def _keep_the_name_of_the_law(cls, content: Any) -> Any:
        return _name_of_law(content)

    @model_validator(mode="after")
    def _values_have_a_digest(self) -> Self:
        """Values of checks that this version does not have are not looked at by any check; NaN and infinity would read as absent in the digest."""
        for name in ("threshold", "parameters"):
            try:
                canonical_json(getattr(self, name))
            except EvidenceError as error:
                raise ValueError(f"{name} holds what has no JSON form: {error.what}") from error
        return self

    @model_validator(mode="after")
    def _own_sources_are_about_own_thresholds(self) -> Self:
        strange = sorted(set(self.threshold_provenance) - set(self.threshold))
        if strange:
            raise ValueError(f"threshold_provenance names {', '.join(strange)}, which threshold does not have")
        return self

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
    """Which tier a risk class has to meet. A model whose risk class is unknown has to meet the highest there is."""

    low: Tier = Tier.BASIC
    limited: Tier = Tier.STANDARD
    high: Tier = Tier.ADVANCED

    def of(self, risk_class: str) -> Tier:
        """The tier that models of `risk_class` have to meet."""
        return {"low": self.low, "limited": self.limited, "high": self.high}.get(risk_class, Tier.ADVANCED)

    def asked(self, tier: Tier) -> tuple[str, ...]:
        """The risk classes that have to meet controls of `tier`."""
        return tuple(risk for risk in ("low", "limited", "high") if self.of(risk).includes(tier))


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

    stricter: ClassVar[Mapping[str, Stricter]] = {"queries": Direction.HIGHER, "seconds": Direction.HIGHER}
    queries: int = Field(ge=500_000, le=10**10, description="Rows that the model may be asked about")
    seconds: float = Field(ge=10, le=604_800, description="Wall-clock time")


class BudgetByRisk(_Frozen):
    """How much is spent on a model of each risk class. A model whose risk class is unknown is treated as high."""

    low: AuditBudget = AuditBudget(queries=1_000_000, seconds=900)
    limited: AuditBudget = AuditBudget(queries=2_500_000, seconds=1_800)
    high: AuditBudget = AuditBudget(queries=5_000_000, seconds=3_600)


Version = Annotated[str, BeforeValidator(str), Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]


class PolicyHeader(_Frozen):
    """Identity and ownership of the policy."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,60}$")]
    version: Version
    owner: str = Field(min_length=1)
    effective_from: date
    review_by: date
    review_every_days: int = Field(
        default=365, ge=30, le=LONGEST_UNREVIEWED_DAYS, description="Days from one recorded review of the policy to the next"
    )

    @model_validator(mode="after")
    def _review_comes_later(self) -> Self:
        if self.review_by <= self.effective_from:
            raise ValueError("review_by must be later than effective_from")
        if (self.review_by - self.effective_from).days > LONGEST_UNREVIEWED_DAYS:
            raise ValueError(f"review_by must be within {LONGEST_UNREVIEWED_DAYS} days of effective_from")
        return self


class BasePolicy(_Frozen):
    """A policy that another one extends: `id@version` and the digest of its resolved form."""

    policy: str
    digest: str


class Relaxation(_Frozen):
    """A control as it reads until the end of the day `until`, because the extending policy names a waiver. It ends by itself."""

    control: Control
    fields: tuple[str, ...]
    until: date
    reason: str


class Policy(_Frozen):
    """A whole policy: a file as it stands, or what an extending file resolves to (`extends`, nearest base first, and `relaxations`).

    Defaults of `rai.policy/v1` never change, and fields at their default are left out of the digest: a field that a later version adds does
    not change the digest of a policy that was published before.
    """

    api_version: Literal["rai.policy/v1"] = Field(alias="apiVersion")
    policy: PolicyHeader
    tiers: TierByRisk = Field(default_factory=TierByRisk)
    inconclusive: InconclusiveByRisk = Field(default_factory=InconclusiveByRisk)
    statistics: Statistics = Field(default_factory=Statistics)
    release: ReleaseRules = Field(default_factory=ReleaseRules)
    escalation: EscalationRules = Field(default_factory=EscalationRules)
    retention: RetentionRules = Field(default_factory=RetentionRules)
    budgets: BudgetByRisk = Field(default_factory=BudgetByRisk)
    signatories: Signatories = Field(default_factory=Signatories)
    controls: tuple[Control, ...] = Field(min_length=1)
    extends: tuple[BasePolicy, ...] = Field(default=(), description="Filled in when an extending file is resolved; not written by hand")
    relaxations: tuple[Relaxation, ...] = Field(default=(), description="Filled in from waivers of an extending file; not written by hand")

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
        return digest_of(self.model_dump(mode="json", by_alias=True, exclude_defaults=True))

    def on(self, day: date) -> tuple[Control, ...]:
        """The controls as they read on `day`: relaxed ones while their waiver lasts."""
        relaxed = {item.control.id: item.control for item in self.relaxations if day <= item.until}
        return tuple(relaxed.get(control.id, control) for control in self.controls)

    def control(self, control_id: str) -> Control | None:
        """The control with this id."""
        return next((control for control in self.controls if control.id == control_id), None)

    def cells_without_control(self) -> tuple[tuple[Area, Tier], ...]:
        """Cells of the 7 x 3 table that no control stands in."""
        present = {(control.area, control.tier) for control in self.controls}
        return tuple((area, tier) for area in Area for tier in Tier if (area, tier) not in present)
