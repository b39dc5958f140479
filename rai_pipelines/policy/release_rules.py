"""Who decides about a release: which verdicts a person has to sign, how many people in which roles, and what exceptions may be made.

And who signs for the policy itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rai_pipelines.policy.direction import Direction, Stricter

Role = Annotated[str, Field(pattern=r"^[a-z][a-z_]{1,39}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Quorum(_Frozen):
    """How many different people have to sign, and the roles that have to be among them; one person stands for one role."""

    stricter: ClassVar[Mapping[str, Stricter]] = {"people": Direction.HIGHER, "roles": Direction.MORE}
    people: int = Field(ge=1, le=9)
    roles: tuple[Role, ...] = Field(default=(), description="Each of these roles signs; further people may hold any role that reviews")

    @model_validator(mode="after")
    def _roles_fit(self) -> Self:
        if len(self.roles) > self.people:
            raise ValueError(f"{len(self.roles)} roles cannot be held by {self.people} people: one person stands for one role")
        if len(set(self.roles)) != len(self.roles):
            raise ValueError("a role is named twice")
        return self


class ReleaseOfRisk(_Frozen):
    """What a verdict leads to for one risk class. `compliant: approve` lets the policy itself approve; `review` asks people."""

    stricter: ClassVar[Mapping[str, Stricter]] = {"compliant": ("approve", "review")}
    compliant: Literal["approve", "review"] = "review"
    quorum: Quorum


class WaiverRules(_Frozen):
    """How long an exception may last and who signs it."""

    stricter: ClassVar[Mapping[str, Stricter]] = {"days_max": Direction.LOWER}
    days_max: int = Field(default=30, ge=1, le=366)
    quorum: Quorum = Quorum(people=2, roles=("ethics_officer", "risk_owner"))


class Signatories(_Frozen):
    """Who signs for the policy itself: the roles of which one publishes a version, and those of which one records its review.

    Where none is named, nobody can. The next version is published by who the one before it names: a changed file cannot choose its own signatory.
    """

    stricter: ClassVar[Mapping[str, Stricter]] = {"publish": Direction.FEWER, "review": Direction.FEWER}
    publish: tuple[Role, ...] = Field(default=(), description="One person in one of these roles publishes a version")
    review: tuple[Role, ...] = Field(default=(), description="One person in one of these roles records the review of the policy")


class ReleaseRules(_Frozen):
    """The gate's part of the policy. A model of unknown risk class is treated as high.

    `approval_days_max`: an approval ends by itself after so many days. `unknown_submitter`: what happens to approvals of a version nobody
    known has submitted; `refuse` is the only way in which nobody can approve their own model. `bypass`: whether a live alias that points at a
    version without approval is only reported, or also put back.
    """

    stricter: ClassVar[Mapping[str, Stricter]] = {
        "approval_days_max": Direction.LOWER,
        "unknown_submitter": ("allow", "refuse"),
        "bypass": ("report", "enforce"),
    }
    low: ReleaseOfRisk = ReleaseOfRisk(compliant="approve", quorum=Quorum(people=1, roles=("validator",)))
    limited: ReleaseOfRisk = ReleaseOfRisk(quorum=Quorum(people=1, roles=("validator",)))
    high: ReleaseOfRisk = ReleaseOfRisk(quorum=Quorum(people=2, roles=("validator", "risk_owner")))
    approval_days_max: int = Field(default=365, ge=1, le=1826)
    unknown_submitter: Literal["refuse", "allow"] = "refuse"
    bypass: Literal["report", "enforce"] = "report"
    waiver: WaiverRules = WaiverRules()

    def of_risk(self, risk_class: str) -> ReleaseOfRisk:
        """The rules for a risk class; those for high where it is unknown."""
        return {"low": self.low, "limited": self.limited}.get(risk_class, self.high)
