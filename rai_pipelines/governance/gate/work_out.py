"""How a version stands at the gate now: worked out from what was brought there, decided and waived, and written where it differs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from rai_pipelines.evidence.store import EvidenceStore
from rai_pipelines.governance.decisions.store import DecisionBook
from rai_pipelines.governance.decisions.waivers import apply_waivers, waivers_of
from rai_pipelines.governance.gate.binding import Binding, people_excluded, submitter_known
from rai_pipelines.governance.gate.moves import record_move
from rai_pipelines.governance.gate.record import GateState
from rai_pipelines.governance.gate.rows import approved_before, class_asked, row_of, state_of, write_row
from rai_pipelines.governance.gate.said_before import SaidBefore
from rai_pipelines.governance.gate.state import Facts, Standing, changes_by_itself_at, standing, why_stale, worst_severity
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.verdict import Verdict
from rai_pipelines.policy.versions.standing import PolicyStanding
from rai_pipelines.subjects.names import ModelVersion


@dataclass(frozen=True)
class Gate:
    """A version as it stands, with the verdict after waivers."""

    version: ModelVersion
    standing: Standing
    since: datetime
    binding: Binding
    measured: Verdict
    effective: Verdict
    moved: bool  # whether this call changed the state


@dataclass(frozen=True)
class Court:
    """What a state is worked out by: decisions, the store of verdicts, the policy, and how that one stands."""

    book: DecisionBook
    store: EvidenceStore
    policy: Policy
    stands: PolicyStanding


def work_out(court: Court, connection: sa.Connection, brought: tuple[Binding, Verdict], now: datetime, *, created_ms: int | None = None) -> Gate:
    """The state that follows now for what was brought to the gate, written where it differs from what stands.

    `created_ms` is when the registry created the version; left out for one that is at the gate already.

    Raises:
        EvidenceError: a verdict or a decision's words that the state rests on were altered.
    """
    book, store, policy, stands = court.book, court.store, court.policy, court.stands
    binding, verdict = brought
    version = ModelVersion(binding.model_name, binding.model_version)
    row = row_of(connection, version)
    rules, excluded = policy.release, people_excluded(binding, book.directory)
    today = now.date()
    waived = waivers_of(connection, book, rules.waiver, model_name=version.name, excluded=excluded, today=today)
    effective = apply_waivers(verdict, policy, waived)
    ends = [item.waiver.until for item in waived if item.active and item.waiver.covers(version.name, version.version)]
    stale = why_stale(verdict, policy, stands)
    made_ms = created_ms if created_ms is not None else row.created_ms
    asked = class_asked(connection, version, verdict.risk_class, created_ms=made_ms)
    decided = book.about(connection, binding.digest)
    before = SaidBefore(connection, book, store, policy, effective, excluded)
    found = standing(
        Facts(
            effective=effective.status,
            risk_class=asked,
            rules=rules,
            decisions=decided.valid,
            excluded=excluded,
            submitter_known=submitter_known(binding, book.directory),
            binding=binding.digest,
            now=now,
            stale=stale,
            before=None if row is None else state_of(row),
            approved_binding=approved_before(connection, version),
            refused_last=rules.of_risk(asked).compliant == "approve" and before.refused_last(),
            outgrown=before.outgrown(decided.valid, waived),
        )
    )
    if asked != verdict.risk_class and found.state is not GateState.APPROVED:
        why = f"It declares risk class {verdict.risk_class}, and what was approved before {asked}: people decide as for {asked}"
        found = Standing(found.state, f"{found.reason}. {why}", found.approved_until)
    if decided.problems:
        found = Standing(found.state, f"{found.reason}. Not counted: {'; '.join(decided.problems[:3])}", found.approved_until)
    moved = row is None or row.state != found.state.value
    values: dict[str, Any] = {
        "state": found.state.value,
        "since": now if moved else row.since,
        "reason": found.reason,
        "approved_until": found.approved_until,
        "risk_class": verdict.risk_class,
        "severity": worst_severity(effective),
        "effective_status": effective.status.value,
        "binding_digest": binding.digest,
        "verdict_digest": verdict.digest,
        "policy": f"{verdict.policy} {verdict.policy_digest}",
        "policy_digest": verdict.policy_digest,
        "created_ms": made_ms,
        "due_at": changes_by_itself_at(found, ends, now),
    }
    write_row(connection, version, row, values)
    if moved or (row is not None and row.effective_status != values["effective_status"]):
        record_move(book.ledger, connection, version, binding.digest, before=None if row is None else row.state, found=found, now=now)
    return Gate(version, found, values["since"], binding, verdict, effective, moved)
