"""Exceptions: a control that a model need not meet, for a stated reason, until a day, signed by a quorum. It expires by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal

import sqlalchemy as sa
from pydantic import Field, ValidationError

from rai_pipelines.errors import DecisionRefused
from rai_pipelines.evidence.canonical import canonical_json, digest_of
from rai_pipelines.evidence.model import Record
from rai_pipelines.governance.database.tables import waivers
from rai_pipelines.governance.decisions.quorum import missing_of, newest_of_each
from rai_pipelines.governance.decisions.statement import Decision, DecisionKind
from rai_pipelines.governance.decisions.store import DecisionBook, Kept
from rai_pipelines.governance.ledger.entry import Digest
from rai_pipelines.policy.findings import Finding, FindingStatus
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.release_rules import WaiverRules
from rai_pipelines.policy.verdict import Verdict, consequence

WAIVABLE = (FindingStatus.FAIL, FindingStatus.MISSING, FindingStatus.ERROR, FindingStatus.INCONCLUSIVE)


class Waiver(Record):
    """What is excused: one control, for one model or one version of it, up to and including `until`."""

    schema_version: Literal["rai.waiver/v1"] = "rai.waiver/v1"
    control: str = Field(pattern=r"^[A-Z]{4}-[A-Z0-9]{1,8}$")
    model_name: str
    model_version: str | None = Field(default=None, description="Absent: every version")
    until: date
    reason: Digest = Field(description="Digest of the reason, which is kept apart")
    proposed_at: datetime

    @property
    def digest(self) -> str:
        """What signers sign: a change of scope, control or day is another waiver, which nobody signed."""
        return digest_of(self)

    def covers(self, model_name: str, model_version: str) -> bool:
        """Whether it is about that version."""
        return self.model_name == model_name and self.model_version in (None, model_version)


@dataclass(frozen=True)
class WaiverStanding:
    """A waiver, who signed it, and whether it counts today; `problem` says why not."""

    waiver: Waiver
    signatures: tuple[Kept, ...]
    problem: str | None = None

    @property
    def active(self) -> bool:
        """Whether it excuses anything."""
        return self.problem is None


def propose_waiver(connection: sa.Connection, waiver: Waiver) -> None:
    """Keep the waiver; it counts for nothing until it is signed. Safe to repeat."""
    if connection.execute(sa.select(waivers.c.id).where(waivers.c.id == waiver.digest)).first() is None:
        connection.execute(
            waivers.insert().values(
                id=waiver.digest,
                control=waiver.control,
                model_name=waiver.model_name,
                model_version=waiver.model_version,
                until=waiver.until,
                content=canonical_json(waiver).decode(),
            )
        )


def require_about(waiver: Waiver, decision: Decision, where: str) -> None:
    """Refuse what is no signature under `waiver`.

    Raises:
        DecisionRefused: it is about something else, or names another scope.
    """
    if decision.subject != waiver.digest or decision.kind is not DecisionKind.WAIVE:
        raise DecisionRefused("the signature is about something else", where=where, hint="Sign the waiver as it is")
    if (decision.model_name, decision.model_version) != (waiver.model_name, waiver.model_version):
        raise DecisionRefused("the signature names another scope than the waiver", where=where, hint="Sign the waiver as it is")


def find_waiver(connection: sa.Connection, digest: str) -> Waiver | None:
    """The waiver with that digest; None when there is none, or its content is no longer what the digest says."""
    row = connection.execute(sa.select(waivers.c.content).where(waivers.c.id == digest)).first()
    return None if row is None else _read(row.content, digest)


def waivers_of(
    connection: sa.Connection, book: DecisionBook, rules: WaiverRules, *, model_name: str | None, excluded: frozenset[str], today: date
) -> list[WaiverStanding]:
    """Every waiver about `model_name` (all models when None), with what it is worth today for a version that `excluded` submitted or own."""
    chosen = sa.select(waivers.c.id, waivers.c.content).order_by(waivers.c.until, waivers.c.id)
    if model_name is not None:
        chosen = chosen.where(waivers.c.model_name == model_name)
    found = []
    for row in connection.execute(chosen).all():
        waiver = _read(row.content, row.id)
        if waiver is not None:  # a changed row is no waiver: what was signed is found under its digest only
            signed = book.about(connection, waiver.digest).of(DecisionKind.WAIVE)
            found.append(WaiverStanding(waiver, signed, _problem(waiver, signed, rules, excluded, today)))
    return found


def in_effect_at(standings: Sequence[WaiverStanding], rules: WaiverRules, excluded: frozenset[str], moment: datetime) -> list[WaiverStanding]:
    """Those that counted at an earlier moment: signed by the quorum until then, and not over."""
    found = [replace(item, signatures=tuple(kept for kept in item.signatures if kept.recorded_at <= moment)) for item in standings]
    worth = [replace(item, problem=_problem(item.waiver, item.signatures, rules, excluded, moment.date())) for item in found]
    return [item for item in worth if item.active]


def apply_waivers(verdict: Verdict, policy: Policy, standings: Sequence[WaiverStanding]) -> Verdict:
    """The verdict with its excused findings marked as waived, and what follows from it then."""
    active = [item.waiver for item in standings if item.active and item.waiver.covers(verdict.model_name, verdict.model_version)]
    until = {waiver.control: max(other.until for other in active if other.control == waiver.control) for waiver in active}
    findings = tuple(_waived(item, until[item.control]) if item.control in until and item.status in WAIVABLE else item for item in verdict.findings)
    if findings == verdict.findings:
        return verdict
    status, reasons = consequence(findings, policy, verdict.risk_class, refused=verdict.refused, look=verdict.look)
    return verdict.model_copy(update={"findings": findings, "status": status, "reasons": reasons})


def _waived(finding: Finding, until: date) -> Finding:
    return finding.model_copy(
        update={"status": FindingStatus.WAIVED, "reason": f"Waived until {until.isoformat()}; measured: {finding.status.value}: {finding.reason}"}
    )


def _problem(waiver: Waiver, signed: Sequence[Kept], rules: WaiverRules, excluded: frozenset[str], today: date) -> str | None:
    if today > waiver.until:
        return f"expired on {waiver.until.isoformat()}"
    days = (waiver.until - waiver.proposed_at.date()).days
    if days > rules.days_max:
        return f"lasts {days} days, the policy allows {rules.days_max}"
    missing = missing_of(rules.quorum, newest_of_each(signed, excluded=excluded))
    return f"waits for the signature of {missing}" if missing else None


def _read(content: str, digest: str) -> Waiver | None:
    try:
        waiver = Waiver.model_validate_json(content)
    except ValidationError:
        return None
    return waiver if waiver.digest == digest else None
