"""The gatekeeper: takes verdicts and decisions, works out the state, and writes all of it in one transaction with the ledger and the outbox."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa

from rai_pipelines.clock import utc_now
from rai_pipelines.errors import DecisionRefused, EvidenceError
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.store import EvidenceStore
from rai_pipelines.governance.database.engine import reading
from rai_pipelines.governance.database.tables import bindings, gate_transitions, gates, judgements
from rai_pipelines.governance.decisions.statement import DecisionKind, SignedDecision, Words
from rai_pipelines.governance.decisions.store import DecisionBook, Kept
from rai_pipelines.governance.decisions.waivers import Waiver, WaiverStanding, apply_waivers, find_waiver, propose_waiver, waivers_of
from rai_pipelines.governance.gate.binding import Binding, people_excluded, submitter_known
from rai_pipelines.governance.gate.record import GateState
from rai_pipelines.governance.gate.state import Facts, Standing, standing
from rai_pipelines.governance.ledger.storage import Happening, Ledger
from rai_pipelines.governance.outbox import put
from rai_pipelines.policy.model import Policy, Severity
from rai_pipelines.policy.verdict import Verdict
from rai_pipelines.subjects.names import ModelVersion

ACTOR = "system:release_gate"
REGISTRY = "registry"  # the outbox's kind for what the registry is told
SWEPT_AT_ONCE = 200
SIGNED_BY_OTHERS = (DecisionKind.APPROVE, DecisionKind.REJECT, DecisionKind.WAIVE)


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
class Gatekeeper:
    """Everything that decides about a release."""

    engine: sa.Engine
    book: DecisionBook
    policy: Policy
    store: EvidenceStore
    clock: Callable[[], datetime] = utc_now

    def take_verdict(self, verdict: Verdict, binding: Binding, *, created_ms: int) -> Gate:
        """Take a new verdict to the gate; what was approved of anything else is void."""
        version = ModelVersion(verdict.model_name, verdict.model_version)
        with self.engine.begin() as connection:
            now = self.ledger.lock(connection)
            if connection.execute(sa.select(bindings.c.digest).where(bindings.c.digest == binding.digest)).first() is None:
                connection.execute(bindings.insert().values(digest=binding.digest, content=canonical_json(binding).decode()))
            gate = self._work_out(connection, (binding, verdict), now, created_ms=created_ms)
            connection.execute(
                judgements.insert().values(
                    model_name=version.name,
                    model_version=version.version,
                    verdict_digest=verdict.digest,
                    status=verdict.status.value,
                    effective_status=gate.effective.status.value,
                    risk_class=verdict.risk_class,
                    policy_digest=verdict.policy_digest,
                    binding_digest=binding.digest,
                    judged_for=verdict.judged_for,
                    recorded_at=now,
                )
            )
            body: dict[str, Any] = {
                "state": gate.standing.state.value,
                "verdict": verdict.status.value,
                "after_waivers": gate.effective.status.value,
                "verdict_digest": verdict.digest,
                "policy_digest": verdict.policy_digest,
                "model_digest": verdict.model_digest,
                "datasheet_digest": verdict.datasheet_digest,
                "binding": binding.digest,
                "evidence": dict(sorted(binding.evidence.items())),
            }
            self.ledger.append_within(connection, Happening("gate", ACTOR, body, version.name, version.version))
            self._tell_registry(connection, version, now)
        return gate

    def decide(self, signed: SignedDecision, words: Words) -> Gate:
        """Record a decision about a version, and work out what follows.

        Raises:
            DecisionRefused: the person may not decide this, or it is about something else than what stands at the gate.
        """
        decision = signed.decision
        if decision.model_version is None:
            raise DecisionRefused("names no version", where=decision.model_name, hint="Decide about NAME/VERSION")
        version = ModelVersion(decision.model_name, decision.model_version)
        with self.engine.begin() as connection:
            now = self.ledger.lock(connection)
            binding, verdict = self._present(connection, version)
            if decision.subject != binding.digest or decision.binding != binding.listed:
                raise DecisionRefused(
                    "is about other digests than those at the gate: model, data, policy or evidence have changed, or it was made for another version",
                    where=f"decision of {decision.person!r} about {version}",
                    hint=f"Look again with: rai review show {version}",
                )
            self._may_decide(binding, decision.kind, decision.person)
            self.book.record(connection, signed, words, now=now)
            return self._work_out(connection, (binding, verdict), now)

    def waive(self, waiver: Waiver, signed: SignedDecision, words: Words) -> WaiverStanding:
        """Record a signature under a waiver, and work out what follows for the versions that it covers.

        Raises:
            DecisionRefused: it lasts longer than the policy allows, its control does not exist, or the signer submitted or owns the model.
        """
        where = f"waiver of {waiver.control} for {waiver.model_name}"
        rules = self.policy.release.waiver
        if self.policy.control(waiver.control) is None:
            raise DecisionRefused("the policy has no such control", where=where, hint="Look with: rai policy show")
        if signed.decision.subject != waiver.digest or signed.decision.kind is not DecisionKind.WAIVE:
            raise DecisionRefused("the signature is about something else", where=where, hint="Sign the waiver as it is")
        if (signed.decision.model_name, signed.decision.model_version) != (waiver.model_name, waiver.model_version):
            raise DecisionRefused("the signature names another scope than the waiver", where=where, hint="Sign the waiver as it is")
        with self.engine.begin() as connection:
            now = self.ledger.lock(connection)
            if not waiver.proposed_at.date() <= now.date() <= waiver.until:
                raise DecisionRefused(f"it ends on {waiver.until}, and today is {now.date()}", where=where, hint="Choose a day to come")
            if (waiver.until - waiver.proposed_at.date()).days > rules.days_max:
                raise DecisionRefused(
                    f"it lasts longer than the {rules.days_max} days that the policy allows", where=where, hint="Choose an earlier day"
                )
            covered = self._versions(connection, gates.c.model_name == waiver.model_name)
            for version in covered:
                if waiver.covers(version.name, version.version):
                    self._may_decide(self._present(connection, version)[0], DecisionKind.WAIVE, signed.decision.person)
            propose_waiver(connection, waiver)
            self.book.record(connection, signed, words, now=now)
            for version in covered:
                if waiver.covers(version.name, version.version):
                    self._work_out(connection, self._present(connection, version), now)
            found = waivers_of(connection, self.book, rules, model_name=waiver.model_name, excluded=frozenset(), today=now.date())
            return next(item for item in found if item.waiver.digest == waiver.digest)

    def look(self, version: ModelVersion) -> Gate:
        """The version as it stands now; writes what changed by itself meanwhile.

        Raises:
            EvidenceError: it was never at the gate, or its verdict was altered.
        """
        with self.engine.begin() as connection:
            now = self.ledger.lock(connection)
            return self._work_out(connection, self._present(connection, version), now)

    def sweep(self, *, limit: int = SWEPT_AT_ONCE) -> list[Gate]:
        """Versions whose state changes by itself: an approval or a waiver has ended, or the policy is another one.

        At most `limit` of them, so that a round stays short: what is left is found again by the next one.
        """
        with self.engine.begin() as connection:
            now = self.ledger.lock(connection)
            alive = gates.c.state.in_([GateState.APPROVED, GateState.AWAITING_REVIEW, GateState.EXPIRED])
            due = (gates.c.due_at <= now) | (alive & (gates.c.policy_digest != self.policy.digest))
            versions = self._versions(connection, due, limit=limit)
            found = [self._work_out(connection, self._present(connection, version), now) for version in versions]
        return [gate for gate in found if gate.moved]

    def signed_waiver(self, digest: str) -> Waiver | None:
        """A waiver that was proposed."""
        with reading(self.engine) as connection:
            return find_waiver(connection, digest)

    def decisions_on(self, binding: Binding) -> tuple[tuple[Kept, Words | None], ...]:
        """What was decided about that binding, with the words."""
        with reading(self.engine) as connection:
            return tuple((kept, self.book.words_of(connection, kept)) for kept in self.book.about(connection, binding.digest).valid)

    @property
    def ledger(self) -> Ledger:
        """The ledger that decisions are recorded in."""
        return self.book.ledger

    def _versions(self, connection: sa.Connection, condition: sa.ColumnElement[bool], *, limit: int | None = None) -> list[ModelVersion]:
        chosen = sa.select(gates.c.model_name, gates.c.model_version).where(condition).order_by(gates.c.due_at, gates.c.model_name).limit(limit)
        rows = connection.execute(chosen).all()
        return [ModelVersion(row.model_name, row.model_version) for row in rows]

    def _present(self, connection: sa.Connection, version: ModelVersion) -> tuple[Binding, Verdict]:
        """What stands at the gate, verified against its digests."""
        row = _row(connection, version)
        if row is None:
            raise EvidenceError("was never at the gate", where=str(version), hint=f"Run: rai audit {version}")
        kept = connection.execute(sa.select(bindings.c.content).where(bindings.c.digest == row.binding_digest)).first()
        binding = None if kept is None else Binding.model_validate_json(kept.content)
        if binding is None or binding.digest != row.binding_digest:
            raise EvidenceError(
                "what was bound at the gate was altered", where=str(version), hint="Restore the database from a backup and verify the ledger"
            )
        return binding, self.store.get(row.verdict_digest, Verdict)

    def _may_decide(self, binding: Binding, kind: DecisionKind, person: str) -> None:
        where = f"{kind.value} of {binding.model_name}/{binding.model_version} by {person!r}"
        if kind not in SIGNED_BY_OTHERS:
            return
        if person in people_excluded(binding, self.book.directory):
            raise DecisionRefused("who submitted or owns a model does not decide about it", where=where, hint="Ask somebody else who holds the role")
        if self.policy.release.unknown_submitter == "refuse" and not submitter_known(binding, self.book.directory):
            hint = "Set the tag rai.submitted_by to an identity in the people's file, and audit again"
            raise DecisionRefused("it is not known who submitted the version, so nobody can be told apart from them", where=where, hint=hint)

    def _work_out(self, connection: sa.Connection, brought: tuple[Binding, Verdict], now: datetime, *, created_ms: int | None = None) -> Gate:
        """The state that follows now for what was brought to the gate, written where it differs from what stands."""
        binding, verdict = brought
        version = ModelVersion(binding.model_name, binding.model_version)
        row = _row(connection, version)
        rules, excluded = self.policy.release, people_excluded(binding, self.book.directory)
        today = now.date()
        waived = waivers_of(connection, self.book, rules.waiver, model_name=version.name, excluded=excluded, today=today)
        effective = apply_waivers(verdict, self.policy, waived)
        stale = None
        if verdict.policy_digest != self.policy.digest:
            stale = f"It was judged under {verdict.policy}, and the policy in force is another one ({self.policy.label}); audit it again"
        decided = self.book.about(connection, binding.digest)
        found = standing(
            Facts(
                effective=effective.status,
                risk_class=verdict.risk_class,
                rules=rules,
                decisions=decided.valid,
                excluded=excluded,
                submitter_known=submitter_known(binding, self.book.directory),
                binding=binding.digest,
                now=now,
                stale=stale,
                before=None if row is None else GateState(row.state),
                approved_binding=self._approved_before(connection, version),
            )
        )
        if decided.problems:
            found = Standing(found.state, f"{found.reason}. Not counted: {'; '.join(decided.problems[:3])}", found.approved_until)
        moved = row is None or row.state != found.state.value
        values: dict[str, Any] = {
            "state": found.state.value,
            "since": now if moved else row.since,
            "reason": found.reason,
            "approved_until": found.approved_until,
            "risk_class": verdict.risk_class,
            "severity": _severity(effective),
            "effective_status": effective.status.value,
            "binding_digest": binding.digest,
            "verdict_digest": verdict.digest,
            "policy": f"{verdict.policy} {verdict.policy_digest}",
            "policy_digest": verdict.policy_digest,
            "created_ms": created_ms if created_ms is not None else row.created_ms,
            "due_at": _due(found, waived, version, now),
        }
        where = (gates.c.model_name == version.name) & (gates.c.model_version == version.version)
        if row is None:
            connection.execute(gates.insert().values(model_name=version.name, model_version=version.version, **values))
        elif any(getattr(row, name) != value for name, value in values.items()):
            connection.execute(gates.update().where(where).values(**values))
        if moved or (row is not None and row.effective_status != values["effective_status"]):
            self._record_move(connection, binding, None if row is None else row.state, found, now=now)
        return Gate(version, found, values["since"], binding, verdict, effective, moved)

    def _record_move(self, connection: sa.Connection, binding: Binding, before: str | None, found: Standing, *, now: datetime) -> None:
        version = ModelVersion(binding.model_name, binding.model_version)
        connection.execute(
            gate_transitions.insert().values(
                model_name=version.name,
                model_version=version.version,
                before=before,
                after=found.state.value,
                reason=found.reason,
                binding_digest=binding.digest,
                recorded_at=now,
            )
        )
        body: dict[str, Any] = {"before": before, "after": found.state.value, "binding": binding.digest}
        self.ledger.append_within(connection, Happening("gate_state", ACTOR, body, version.name, version.version))
        self._tell_registry(connection, version, now)

    def _tell_registry(self, connection: sa.Connection, version: ModelVersion, now: datetime) -> None:
        """By model: its versions share the aliases, so one process at a time tells about any of them."""
        put(connection, REGISTRY, registry_key(version), {"versions": [version.key]}, now=now, anew=True, joined="versions")

    def _approved_before(self, connection: sa.Connection, version: ModelVersion) -> str | None:
        where = (gate_transitions.c.model_name == version.name) & (gate_transitions.c.model_version == version.version)
        chosen = sa.select(gate_transitions.c.binding_digest).where(where, gate_transitions.c.after == GateState.APPROVED.value)
        row = connection.execute(chosen.order_by(gate_transitions.c.id.desc()).limit(1)).first()
        return None if row is None else str(row.binding_digest)


def registry_key(version: ModelVersion) -> str:
    """The outbox's key for what the registry is told about the model of that version."""
    return version.key.split("/")[0]


def _row(connection: sa.Connection, version: ModelVersion) -> Any:
    return connection.execute(sa.select(gates).where(gates.c.model_name == version.name, gates.c.model_version == version.version)).first()


def _severity(effective: Verdict) -> str:
    """That of the worst finding in the way; low when there is none."""
    in_the_way = {item.severity for item in effective.findings if item.status.value in ("fail", "missing", "error", "inconclusive")}
    return next((severity.value for severity in Severity if severity in in_the_way), Severity.LOW.value)


def _due(found: Standing, waived: Sequence[WaiverStanding], version: ModelVersion, now: datetime) -> datetime | None:
    """When the state has to be looked at again without anybody doing anything."""
    ends = [item.waiver.until for item in waived if item.active and item.waiver.covers(version.name, version.version)]
    moments = [datetime.combine(day + timedelta(days=1), time(), UTC) for day in ends] + ([found.approved_until] if found.approved_until else [])
    return min((moment for moment in moments if moment > now), default=None)
