"""The state of a version at the gate, as a pure function of what was judged and decided. Nothing waits: it is worked out anew each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from rai_pipelines.governance.decisions.quorum import missing_of, newest_of_each
from rai_pipelines.governance.decisions.statement import DecisionKind
from rai_pipelines.governance.decisions.store import Kept
from rai_pipelines.governance.gate.record import GateState
from rai_pipelines.policy.model import Policy, Severity
from rai_pipelines.policy.release_rules import Quorum, ReleaseRules
from rai_pipelines.policy.verdict import Verdict, VerdictStatus
from rai_pipelines.policy.versions.standing import PolicyStanding, PolicyStatus


@dataclass(frozen=True)
class Facts:
    """What the state follows from. `decisions` are those about the present binding that verify, oldest first."""

    effective: VerdictStatus  # after waivers
    risk_class: str
    rules: ReleaseRules
    decisions: Sequence[Kept]
    excluded: frozenset[str]
    submitter_known: bool
    binding: str
    now: datetime
    stale: str | None = None  # why the verdict is not about today's policy
    before: GateState | None = None
    approved_binding: str | None = None  # what was approved when it last was
    refused_last: bool = False  # the last word of people about this version, whatever it was bound to then, was no
    outgrown: frozenset[str] = frozenset()  # ids of approvals that were given on a better verdict than this one


@dataclass(frozen=True)
class Standing:
    """The state, why, and until when an approval counts."""

    state: GateState
    reason: str
    approved_until: datetime | None = None


def standing(facts: Facts) -> Standing:
    """Where the version stands now."""
    revoked = [item for item in facts.decisions if item.decision.kind is DecisionKind.REVOKE]
    since = revoked[-1].sequence if revoked else 0
    later = [item for item in facts.decisions if item.sequence > since]
    if facts.stale is not None:
        return Standing(GateState.REVOKED if facts.before in (GateState.APPROVED, GateState.REVOKED) else GateState.AUDITED, facts.stale)
    if facts.effective is VerdictStatus.NON_COMPLIANT:
        if facts.before in (GateState.APPROVED, GateState.REVOKED):
            return Standing(GateState.REVOKED, "It no longer meets the policy")
        return Standing(GateState.AUDITED, "It does not meet the policy")
    if any(item.decision.kind is DecisionKind.REJECT for item in facts.decisions):  # taking approvals back takes no rejection back
        return Standing(GateState.REJECTED, "A reviewer rejected it")
    rules = facts.rules.of_risk(facts.risk_class)
    if facts.effective is VerdictStatus.COMPLIANT and rules.compliant == "approve" and not revoked and not facts.refused_last:
        return Standing(GateState.APPROVED, f"Compliant, and the policy approves models of risk class {facts.risk_class} by itself")
    return _by_people(facts, later, rules.quorum, revoked=bool(revoked))


def _by_people(facts: Facts, decisions: Sequence[Kept], quorum: Quorum, *, revoked: bool) -> Standing:
    if not facts.submitter_known and facts.rules.unknown_submitter == "refuse":
        reason = "It is not known who submitted it, so nobody can be told apart from them; set the tag rai.submitted_by"
        return Standing(GateState.AWAITING_REVIEW, reason)
    approvals = newest_of_each([item for item in decisions if item.decision.kind is DecisionKind.APPROVE], excluded=facts.excluded)
    lasting = timedelta(days=facts.rules.approval_days_max)
    dated = [item for item in approvals if facts.now < item.recorded_at + lasting]
    fresh = [item for item in dated if item.id not in facts.outgrown]
    missing = missing_of(quorum, fresh)
    if missing is None:
        until = min(item.recorded_at for item in fresh) + lasting
        return Standing(GateState.APPROVED, f"Approved by {len(fresh)} of {quorum.people} people", until)
    if missing_of(quorum, dated) is None:
        return Standing(GateState.REVOKED, f"The verdict is worse than the one that was approved; waits for {missing}")
    if missing_of(quorum, approvals) is None:
        return Standing(GateState.EXPIRED, f"The approval is older than {facts.rules.approval_days_max} days; waits for {missing}")
    if revoked:
        return Standing(GateState.REVOKED, f"The approval was revoked; waits for {missing}")
    changed = facts.approved_binding is not None and facts.approved_binding != facts.binding
    why = "What was approved has changed; waits for" if changed else "Waits for"
    return Standing(GateState.AWAITING_REVIEW, f"{why} {missing}")


def why_stale(verdict: Verdict, policy: Policy, stands: PolicyStanding) -> str | None:
    """Why the verdict says nothing about `policy`, the one in force, which `stands` so; None when it does."""
    if stands.problem is not None:
        return f"The policy in force approves nothing. {stands.problem}"
    if verdict.policy_digest != policy.digest:
        return f"It was judged under {verdict.policy}, and the policy in force is another one ({policy.label}); audit it again"
    if verdict.policy_status is PolicyStatus.PUBLISHED and stands.status is not PolicyStatus.PUBLISHED:
        return f"It was judged under {policy.label} as published, and no publication of it is left; verify an export of the ledger"
    return None


def worst_severity(effective: Verdict) -> str:
    """That of the worst finding in the way; low when there is none."""
    in_the_way = {item.severity for item in effective.findings if item.status.value in ("fail", "missing", "error", "inconclusive")}
    return next((severity.value for severity in Severity if severity in in_the_way), Severity.LOW.value)


def changes_by_itself_at(found: Standing, waived_until: Sequence[date], now: datetime) -> datetime | None:
    """When the state has to be looked at again without anybody doing anything: the approval ends, or the last day of a waiver is over."""
    moments = [datetime.combine(day + timedelta(days=1), time(), UTC) for day in waived_until]
    moments += [found.approved_until] if found.approved_until else []
    return min((moment for moment in moments if moment > now), default=None)
