"""The typed record of what was measured: measurements with uncertainty, sample sizes and provenance.

Wall-clock durations are not part of evidence: the same inputs give byte-identical evidence. They lie in `Receipt`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from rai_pipelines.evidence.canonical import digest_of

EVIDENCE_SCHEMA: Literal["rai.evidence/v1"] = "rai.evidence/v1"


class Record(BaseModel):
    """Base of everything that is kept: frozen, no unknown fields, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class State(StrEnum):
    """Whether a figure may be read as one."""

    MEASURED = "measured"
    INSUFFICIENT = "insufficient"  # too few rows, or too small a denominator, to say anything
    UNDEFINED = "undefined"  # the denominator is zero: the figure does not exist
    UNAVAILABLE = "unavailable"  # an input is absent (no label, no score, no model)


class Status(StrEnum):
    """How an assessment ended."""

    COMPLETE = "complete"
    NOT_APPLICABLE = "not_applicable"
    MISSING = "missing"  # an input that the assessment needs does not exist
    ERROR = "error"


class Interval(Record):
    """A confidence interval: `low <= high`, at `level` (0.90 means 90 %), by `method`."""

    low: float
    high: float
    level: float = Field(gt=0, lt=1)
    method: str

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"interval is upside down: {self.low} > {self.high}")
        return self


class Measurement(Record):
    """One figure with what it rests on.

    `n` is the number of rows looked at, `denominator` the number the rate is a share of (for a comparison: the smaller of the two).
    A comparison names `reference` and `comparison`; a figure of one group names `group`; an overall figure names none. `outcome` is the
    class that a multiclass figure is about (against all others).
    `standard_error` is on `scale` (`log` for ratios), so that a threshold that changes later can be tested again without the data.
    """

    metric: str
    value: float | None
    interval: Interval | None = None
    n: int | None = Field(default=None, ge=0)
    denominator: int | None = Field(default=None, ge=0)
    attribute: str | None = None
    group: str | None = None
    reference: str | None = None
    comparison: str | None = None
    outcome: str | None = None
    state: State = State.MEASURED
    standard_error: float | None = Field(default=None, ge=0)
    scale: Literal["identity", "log"] = "identity"
    note: str | None = None

    @model_validator(mode="after")
    def _a_figure_has_a_value(self) -> Self:
        if self.state is State.MEASURED and self.value is None:
            raise ValueError(f"{self.metric}: a measured figure needs a value")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"{self.metric}: {self.value} is not finite")
        return self


class Provenance(Record):
    """What the evidence was made from, by digest, so that anyone can make it again."""

    model_name: str
    model_version: str
    model_digest: str | None
    datasheet_digest: str | None
    data_digests: Mapping[str, str]
    policy: str | None = None
    policy_digest: str | None = None
    parameters: Mapping[str, JsonValue]
    parameters_digest: str
    code_version: str
    code_digest: str
    seed: int
    libraries: Mapping[str, str]


class Evidence(Record):
    """The result of one assessment of one model version; immutable, addressed by `digest`."""

    schema_version: Literal["rai.evidence/v1"] = EVIDENCE_SCHEMA
    assessment: str
    status: Status
    reason: str | None = None
    measurements: tuple[Measurement, ...] = ()
    details: Mapping[str, JsonValue] = Field(default_factory=dict)
    provenance: Provenance

    @model_validator(mode="after")
    def _what_did_not_complete_says_why(self) -> Self:
        if self.status is not Status.COMPLETE and not self.reason:
            raise ValueError(f"{self.assessment}: status {self.status} needs a reason")
        return self

    @property
    def digest(self) -> str:
        """`sha256:<hex>` over the canonical JSON of this record."""
        return digest_of(self)

    def find(self, metric: str, **where: Any) -> tuple[Measurement, ...]:
        """All measurements of `metric` whose fields equal `where`."""
        return tuple(item for item in self.among((metric,)) if all(getattr(item, key) == want for key, want in where.items()))

    def among(self, metrics: Collection[str]) -> tuple[Measurement, ...]:
        """All measurements of any of `metrics`, in the order of the evidence."""
        return tuple(item for item in self.measurements if item.metric in metrics)

    def detail(self, name: str, default: Any = None) -> Any:
        """The detail called `name`; `default` where the assessment left none."""
        return self.details.get(name, default)

    def value(self, metric: str, **where: Any) -> float | None:
        """The value of the only matching measurement, or None when there is none or it has no value."""
        found = self.find(metric, **where)
        return found[0].value if len(found) == 1 else None

    def spoken(self, attribute: str | None, group: str | None) -> str:
        """`group` with what its code means, where the owner said so: `1 (with a disability)`."""
        groups = self.detail("groups")
        facts = groups.get(attribute or "") if isinstance(groups, dict) else None
        labels = facts.get("labels") if isinstance(facts, dict) else None
        label = labels.get(group or "") if isinstance(labels, dict) else None
        return f"{group} ({label})" if isinstance(label, str) else str(group)


class Receipt(Record):
    """What the store keeps beside evidence and outside its digest: where it lies and how long it took."""

    digest: str
    assessment: str
    model_name: str
    model_version: str
    status: Status
    recorded_at: str
    duration_s: float = Field(ge=0)
