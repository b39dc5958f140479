"""Judge a model version: all controls of a policy on its stored evidence, and what follows.

The verdict is a pure function of (policy, evidence, day). It can be replayed later, under another policy, without data or model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Literal

from pydantic import Field, ValidationError

from rai_pipelines.evidence.canonical import digest_of
from rai_pipelines.evidence.model import Evidence, Record, Status
from rai_pipelines.policy.checks.base import Question
from rai_pipelines.policy.checks.registry import PLANNED, checks
from rai_pipelines.policy.findings import Finding, FindingStatus, Judgement
from rai_pipelines.policy.model import Control, Policy, Tier
from rai_pipelines.policy.versions.standing import PolicyStanding, PolicyStatus

RISK_CLASSES = ("low", "limited", "high")


class VerdictStatus(StrEnum):
    """What follows for the model version."""

    COMPLIANT = "compliant"
    NEEDS_REVIEW = "needs_review"
    NON_COMPLIANT = "non_compliant"


class Verdict(Record):
    """All findings of a model version under one policy on one day."""

    schema_version: Literal["rai.verdict/v1"] = "rai.verdict/v1"
    model_name: str
    model_version: str
    status: VerdictStatus
    reasons: tuple[str, ...]
    policy: str
    policy_digest: str
    policy_status: PolicyStatus = Field(default=PolicyStatus.UNPUBLISHED, description="Whether the policy was published here by a signature")
    judged_for: date = Field(description="Day whose controls are in force")
    risk_class: str
    tier: Tier
    look: int = Field(default=1, ge=1, description="Place of the evaluation table among the different ones of a year, by first use")
    model_digest: str | None
    datasheet_digest: str | None
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> str | None:
        """Why nothing may be approved under its policy; None when that is not so."""
        return self.reasons[0] if self.policy_status is PolicyStatus.REFUSED else None

    @property
    def digest(self) -> str:
        """`sha256:<hex>` over the canonical JSON of this record."""
        return digest_of(self)

    @property
    def could_audit(self) -> bool:
        """Whether anything was measured at all; without it the status says only that evidence is missing."""
        return any(finding.status in (FindingStatus.PASS, FindingStatus.FAIL, FindingStatus.INCONCLUSIVE) for finding in self.findings)

    def finding(self, control: str) -> Finding | None:
        """The finding about that control."""
        return next((finding for finding in self.findings if finding.control == control), None)

    def with_status(self, status: FindingStatus) -> tuple[Finding, ...]:
        """All findings that came out as `status`."""
        return tuple(finding for finding in self.findings if finding.status is status)


def judge(
    policy: Policy,
    evidence: Mapping[str, Evidence],
    *,
    model_name: str,
    model_version: str,
    day: date,
    look: int = 1,
    digests: Mapping[str, str] | None = None,
    policy_digest: str | None = None,
    standing: PolicyStanding | None = None,
) -> Verdict:
    """The verdict on `model_name`/`model_version` from its newest evidence by assessment name.

    Risk class and release class are read from the `registry_record` evidence; unknown reads as high and public. Missing evidence
    fails closed. `look` divides the level of tests over repeated audits on new data (policy/sequential.py). `digests` of the evidence and
    `policy_digest` are for callers that judge many versions and know them; they are computed otherwise. Under a policy whose `standing` is refused
    nothing is compliant; without a standing it reads unpublished.
    """
    record = evidence.get("registry_record")
    risk_class = str(record.details.get("risk_class", "unknown")) if record else "unknown"
    release_class = str(record.details.get("release_class", "unknown")) if record else "unknown"
    tier = policy.tiers.of(risk_class)
    asked = Asked(tier=tier, release_class=release_class, day=day, look=look)
    known = digests if digests is not None else {name: item.digest for name, item in evidence.items()}
    findings = tuple(judge_control(control, policy, evidence, asked, digests=known) for control in policy.on(day))
    stands = standing or PolicyStanding()
    status, reasons = consequence(findings, policy, risk_class, refused=stands.problem, look=look)
    return Verdict(
        model_name=model_name,
        model_version=model_version,
        status=status,
        reasons=reasons,
        policy=policy.label,
        policy_digest=policy_digest or policy.digest,
        policy_status=stands.status,
        judged_for=day,
        risk_class=risk_class,
        tier=tier,
        look=look,
        model_digest=record.provenance.model_digest if record else None,
        datasheet_digest=record.provenance.datasheet_digest if record else None,
        findings=findings,
    )


@dataclass(frozen=True)
class Asked:
    """What is asked of a model version: its tier, who gets the data, the day, and the number of the look."""

    tier: Tier
    release_class: str
    day: date
    look: int = 1


def judge_control(
    control: Control, policy: Policy, evidence: Mapping[str, Evidence], asked: Asked, *, digests: Mapping[str, str] | None = None
) -> Finding:
    """One control on the evidence it names; `digests` as in `judge`."""
    judgement = _judgement(control, policy, evidence, asked)
    known = digests if digests is not None else {name: evidence[name].digest for name in control.evidence if name in evidence}
    return Finding(
        control=control.id,
        area=control.area,
        tier=control.tier,
        severity=control.severity,
        statement=control.statement,
        status=judgement.status,
        reason=judgement.reason + relaxed_words(control.id, policy, asked.day),
        figures=judgement.figures,
        evidence={name: known[name] for name in control.evidence if name in known},
    )


def relaxed_words(control_id: str, policy: Policy, day: date) -> str:
    """That a waiver of the policy relaxes this control on that day, or nothing: a pass by leave is not told as a plain one."""
    waiver = next((item for item in policy.relaxations if item.control.id == control_id and day <= item.until), None)
    return f" (relaxed by a waiver of the policy until {waiver.until.isoformat()}: {', '.join(waiver.fields)})" if waiver is not None else ""


def _judgement(control: Control, policy: Policy, evidence: Mapping[str, Evidence], asked: Asked) -> Judgement:
    if not control.in_force(asked.day):
        when = f"from {control.effective_from.isoformat()}" if control.effective_from else "announced, without a date"
        return Judgement(status=FindingStatus.NOT_IN_FORCE, reason=f"Not in force on {asked.day.isoformat()} ({when}); decides nothing")
    if not asked.tier.includes(control.tier):
        return Judgement(status=FindingStatus.NOT_APPLICABLE, reason=f"Asked at tier {control.tier}; this model has to meet tier {asked.tier}")
    check = checks().get(control.check)
    if check is None:
        why = PLANNED.get(control.check, f"this version has no check named {control.check}")
        return Judgement(status=FindingStatus.MISSING, reason=f"Not measured: {why}")
    unusable = _unusable(check.assessments, evidence)
    if unusable:
        return unusable
    try:
        question = Question(
            threshold=check.threshold.model_validate(dict(control.threshold)),
            parameters=check.parameters.model_validate(dict(control.parameters)),
            evidence=evidence,
            statistics=policy.statistics,
            release_class=asked.release_class,
            look=asked.look,
            day=asked.day,
        )
    except ValidationError as error:
        return Judgement(status=FindingStatus.ERROR, reason=f"The thresholds of {control.id} are not usable: {error.errors()[0]['msg']}")
    return check.judge(question)


def _unusable(assessments: tuple[str, ...], evidence: Mapping[str, Evidence]) -> Judgement | None:
    """Why the evidence a check needs cannot be judged, or None when it can."""
    for name in assessments:
        item = evidence.get(name)
        if item is None:
            return Judgement(status=FindingStatus.MISSING, reason=f"There is no evidence from {name}; run the audit")
        if item.status is Status.ERROR:
            return Judgement(status=FindingStatus.ERROR, reason=f"{name} could not be made: {item.reason}")
        if item.status is Status.MISSING:
            return Judgement(status=FindingStatus.MISSING, reason=f"{name} was not made: {item.reason}")
        if item.status is Status.NOT_APPLICABLE:
            return Judgement(status=FindingStatus.NOT_APPLICABLE, reason=item.reason or f"{name} does not apply")
    return None


_UNMET = (FindingStatus.FAIL, FindingStatus.MISSING, FindingStatus.ERROR)


def consequence(
    findings: tuple[Finding, ...], policy: Policy, risk_class: str, *, refused: str | None = None, look: int = 1
) -> tuple[VerdictStatus, tuple[str, ...]]:
    """The status, and one sentence for every finding that is in the way (or a warning, when nothing is).

    `refused` is why nothing may be approved under the policy at all; what follows is then never compliant.
    A waived finding is not in the way; with nothing but waived ones, there is still nothing that could be judged.
    Beyond the looks that are planned for a year (and the one at registration) hardly anything can fail, so what is undecided then waits for a
    person: whoever audits on ever other data would otherwise turn a failure into a warning.
    """
    blocking = [item for item in findings if item.status in _UNMET and item.severity.blocks]
    asking = [item for item in findings if item.status in _UNMET and not item.severity.blocks]
    undecided = [item for item in findings if item.status is FindingStatus.INCONCLUSIVE]
    effect = getattr(policy.inconclusive, risk_class) if risk_class in RISK_CLASSES else "block"
    planned = policy.statistics.looks_per_year + 1
    if undecided and look > planned:
        effect = "block"
    reasons = tuple(f"{item.control} {item.status.value}: {item.reason}" for item in (*blocking, *asking, *undecided))
    if undecided and look > planned:
        reasons += (f"This is look {look} at new data within a year, of {planned} planned: what is undecided waits for a person",)
    if refused is not None:
        return VerdictStatus.NON_COMPLIANT, (refused, *reasons)
    if blocking:
        return VerdictStatus.NON_COMPLIANT, reasons
    if asking or (undecided and effect == "block"):
        return VerdictStatus.NEEDS_REVIEW, reasons
    if not any(item.status is FindingStatus.PASS for item in findings):
        return VerdictStatus.NEEDS_REVIEW, (*reasons, "No control in force could be judged: an empty policy is not compliance")
    return VerdictStatus.COMPLIANT, reasons
