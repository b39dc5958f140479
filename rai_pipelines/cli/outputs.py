"""What the verbs print with `--json`, where it is more than one record; docs/schemas publishes the schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from rai_pipelines.evidence.model import Record
from rai_pipelines.governance.gate.record import GateRecord, ReleaseDecision
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rai_pipelines.desk import OnDesk, Shown
    from rai_pipelines.governance.cases.case import Case
    from rai_pipelines.governance.decisions.waivers import WaiverStanding
    from rai_pipelines.rounds import RoundReport


class AuditOutput(Record):
    """`rai audit --json`."""

    schema_version: Literal["rai.audit-output/v1"] = "rai.audit-output/v1"
    verdict: Verdict
    verdict_digest: str
    gate: GateRecord


class GateOutput(Record):
    """`rai gate --json`. `decision` is what to go by: `problem` blocks a version whatever the gate says about what was judged."""

    schema_version: Literal["rai.gate-output/v1"] = "rai.gate-output/v1"
    gate: GateRecord
    decision: ReleaseDecision
    problem: str | None


class VerdictOutput(Record):
    """`rai verdict --json`. `newest_audit_failed` says that an audit after this verdict did not finish."""

    schema_version: Literal["rai.verdict-output/v1"] = "rai.verdict-output/v1"
    verdict: Verdict
    verdict_digest: str
    newest_audit_failed: bool


class CheckOutput(Record):
    """`rai policy check --json` and `rai datasheet check --json`: usable with its digest, or the problems with their places."""

    schema_version: Literal["rai.check-output/v1"] = "rai.check-output/v1"
    usable: bool
    about: str | None = None
    digest: str | None = None
    cells_without_control: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class PolicyOutput(Record):
    """`rai policy show --json`: the policy, its digest, and the controls in force today."""

    schema_version: Literal["rai.policy-output/v1"] = "rai.policy-output/v1"
    policy: Policy
    digest: str
    in_force: tuple[str, ...]


class DeskOutput(Record):
    """One line of `rai review list --json`."""

    schema_version: Literal["rai.desk/v1"] = "rai.desk/v1"
    model_name: str
    model_version: str
    state: str
    since: str
    reason: str
    risk_class: str
    severity: str

    @classmethod
    def of(cls, item: OnDesk) -> Self:
        """As plain data."""
        return cls(
            model_name=item.version.name,
            model_version=item.version.version,
            state=item.state.value,
            since=item.since.isoformat(timespec="seconds"),
            reason=item.reason,
            risk_class=item.risk_class,
            severity=item.severity,
        )


class WaiverOutput(Record):
    """One line of `rai waiver list --json`; `problem` says why it does not count today."""

    schema_version: Literal["rai.waiver-standing/v1"] = "rai.waiver-standing/v1"
    id: str
    control: str
    model_name: str
    model_version: str | None
    until: str
    signed_by: tuple[str, ...]
    problem: str | None

    @classmethod
    def of(cls, item: WaiverStanding) -> Self:
        """As plain data."""
        waiver = item.waiver
        return cls(
            id=waiver.digest,
            control=waiver.control,
            model_name=waiver.model_name,
            model_version=waiver.model_version,
            until=waiver.until.isoformat(),
            signed_by=tuple(kept.decision.person for kept in item.signatures),
            problem=item.problem,
        )


class DecisionOutput(Record):
    """One decision in `rai review show --json`; without words when they were deleted."""

    id: str
    kind: str
    person: str
    role: str | None
    made_on: str
    meaning: str
    conditions: tuple[str, ...] = ()


class ReviewOutput(Record):
    """`rai review show --json`."""

    schema_version: Literal["rai.review/v1"] = "rai.review/v1"
    model_name: str
    model_version: str
    state: str
    reason: str
    since: str
    approved_until: str | None
    measured_verdict: str
    effective_verdict: str
    policy: str
    policy_status: str
    in_the_way: tuple[str, ...]
    decisions: tuple[DecisionOutput, ...]
    waivers: tuple[WaiverOutput, ...]
    excluded: tuple[str, ...]
    binding_digest: str
    digests: dict[str, str]

    @classmethod
    def of(cls, shown: Shown) -> Self:
        """As plain data."""
        gate, until = shown.gate, shown.gate.standing.approved_until
        return cls(
            model_name=gate.version.name,
            model_version=gate.version.version,
            state=gate.standing.state.value,
            reason=gate.standing.reason,
            since=gate.since.isoformat(timespec="seconds"),
            approved_until=None if until is None else until.isoformat(timespec="seconds"),
            measured_verdict=gate.measured.status.value,
            effective_verdict=gate.effective.status.value,
            policy=gate.measured.policy,
            policy_status=gate.measured.policy_status.value,
            in_the_way=gate.effective.reasons,
            decisions=tuple(
                DecisionOutput(
                    id=kept.id,
                    kind=kept.decision.kind.value,
                    person=kept.decision.person,
                    role=kept.decision.role,
                    made_on=kept.recorded_at.date().isoformat(),
                    meaning="(deleted)" if words is None else words.meaning,
                    conditions=() if words is None else words.conditions,
                )
                for kept, words in shown.decisions
            ),
            waivers=tuple(WaiverOutput.of(item) for item in shown.waivers),
            excluded=tuple(sorted(shown.excluded)),
            binding_digest=gate.binding.digest,
            digests={**gate.binding.listed, **{f"data:{name}": digest for name, digest in gate.binding.data.items()}},
        )


class RoundOutput(Record):
    """`rai round --json`."""

    schema_version: Literal["rai.round/v1"] = "rai.round/v1"
    moved: tuple[str, ...]
    bypasses: tuple[str, ...]
    escalated: tuple[str, ...]
    cases_moved: tuple[str, ...]
    delivered: int
    problems: tuple[str, ...]

    @classmethod
    def of(cls, report: RoundReport) -> Self:
        """As plain data."""
        return cls(
            moved=report.moved,
            bypasses=report.bypasses,
            escalated=report.escalated,
            cases_moved=report.cases_moved,
            delivered=report.delivered,
            problems=report.problems,
        )


class CaseOutput(Record):
    """`rai case show --json`, and one line of `rai case list --json` (without history)."""

    schema_version: Literal["rai.case/v1"] = "rai.case/v1"
    number: int
    kind: str
    severity: str
    state: str
    title: str
    description: str
    model_name: str | None
    model_version: str | None
    ticket: str | None
    url: str | None
    incident_class: str | None
    report_due_at: str | None
    reported_at: str | None
    history: tuple[str, ...] = ()

    @classmethod
    def of(cls, case: Case, history: Sequence[tuple[datetime, str, str]]) -> Self:
        """As plain data."""
        request = case.request
        return cls(
            number=case.id,
            kind=request.kind,
            severity=request.severity.value,
            state=case.state.value,
            title=request.title,
            description=request.description,
            model_name=request.model_name,
            model_version=request.model_version,
            ticket=case.ref,
            url=case.url,
            incident_class=case.incident_class,
            report_due_at=None if case.report_due_at is None else case.report_due_at.isoformat(timespec="seconds"),
            reported_at=None if case.reported_at is None else case.reported_at.isoformat(timespec="seconds"),
            history=tuple(f"{at:%Y-%m-%d %H:%M} {source}: {what}" for at, source, what in history),
        )
