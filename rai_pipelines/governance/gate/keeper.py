"""The gatekeeper: takes verdicts and decisions, has the state worked out, and writes all of it in one transaction with the ledger and the outbox."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from rai_pipelines.clock import utc_now
from rai_pipelines.errors import DecisionRefused, EvidenceError, UnknownModelVersion
from rai_pipelines.evidence.store import EvidenceStore
from rai_pipelines.governance.database.engine import reading
from rai_pipelines.governance.database.tables import gates
from rai_pipelines.governance.decisions.publications import publications, standing_of
from rai_pipelines.governance.decisions.statement import DecisionKind, SignedDecision, Words
from rai_pipelines.governance.decisions.store import DecisionBook, Kept
from rai_pipelines.governance.decisions.waivers import Waiver, WaiverStanding, find_waiver, propose_waiver, require_about, waivers_of
from rai_pipelines.governance.gate.binding import Binding, identity_digests, people_excluded, submitter_known
from rai_pipelines.governance.gate.moves import ACTOR, Moved, distrust, tell_registry
from rai_pipelines.governance.gate.record import GateState
from rai_pipelines.governance.gate.rows import (
    WHOLE_AUDIT,
    Making,
    keep_binding,
    keep_judgement,
    present,
    row_of,
    state_of,
    versions_where,
)
from rai_pipelines.governance.gate.work_out import Court, Gate, work_out
from rai_pipelines.governance.ledger.storage import Happening, Ledger
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.verdict import Verdict
from rai_pipelines.policy.versions.published import any_published
from rai_pipelines.policy.versions.standing import PolicyStanding
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.registry import ModelRegistry

SWEPT_AT_ONCE = 200
SIGNED_BY_OTHERS = (DecisionKind.APPROVE, DecisionKind.REJECT, DecisionKind.WAIVE)


@dataclass(frozen=True)
class Gatekeeper:
    """Everything that decides about a release."""

    engine: sa.Engine
    book: DecisionBook
    policy: Policy
    store: EvidenceStore
    clock: Callable[[], datetime] = utc_now
    published: Path | None = None  # folder with the files of published policies

    def take_verdict(self, verdict: Verdict, binding: Binding, *, created_ms: int, made: Making = WHOLE_AUDIT) -> Gate:
        """Take a new verdict to the gate; what was approved of anything else is void. `made` tells how the verdict came about."""
        version = ModelVersion(verdict.model_name, verdict.model_version)
        with self.engine.begin() as connection:
            now = self.ledger.lock(connection)
            keep_binding(connection, binding)
            gate = self._work_out(connection, (binding, verdict), now, created_ms=created_ms)
            keep_judgement(connection, (verdict, gate.effective), binding, now=now, made=made)
            body: dict[str, Any] = {
                "state": gate.standing.state.value,
                "verdict": verdict.status.value,
                "after_waivers": gate.effective.status.value,
                "verdict_digest": verdict.digest,
                "policy_digest": verdict.policy_digest,
                "policy_status": verdict.policy_status.value,
                "model_digest": verdict.model_digest,
                "datasheet_digest": verdict.datasheet_digest,
                "binding": binding.digest,
                "month": made.month,
                "scope": made.scope,
                "evidence": dict(sorted(binding.evidence.items())),
            }
            self.ledger.append_within(connection, Happening("gate", ACTOR, body, version.name, version.version))
            tell_registry(connection, version, now)
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
            binding, verdict = present(connection, self.store, version)
            if decision.subject != binding.digest or decision.binding != binding.listed:
                raise DecisionRefused(
                    "is about other digests than those at the gate: model, data, policy or evidence have changed, or it was made for another version",
                    where=f"decision of {decision.person!r} about {version}",
                    hint=f"Look again with: rai review show {version}",
                )
            self._may_decide(binding, decision.kind, decision.person, self.policy_standing(connection, now.date()))
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
        require_about(waiver, signed.decision, where)
        with self.engine.begin() as connection:
            now = self.ledger.lock(connection)
            if not waiver.proposed_at.date() <= now.date() <= waiver.until:
                raise DecisionRefused(f"it ends on {waiver.until}, and today is {now.date()}", where=where, hint="Choose a day to come")
            if (waiver.until - waiver.proposed_at.date()).days > rules.days_max:
                raise DecisionRefused(
                    f"it lasts longer than the {rules.days_max} days that the policy allows", where=where, hint="Choose an earlier day"
                )
            covered = versions_where(connection, gates.c.model_name == waiver.model_name)
            stands = self.policy_standing(connection, now.date())
            for version in covered:
                if waiver.covers(version.name, version.version):
                    self._may_decide(present(connection, self.store, version)[0], DecisionKind.WAIVE, signed.decision.person, stands)
            propose_waiver(connection, waiver)
            self.book.record(connection, signed, words, now=now)
            for version in covered:
                if waiver.covers(version.name, version.version):
                    self._work_out(connection, present(connection, self.store, version), now)
            found = waivers_of(connection, self.book, rules, model_name=waiver.model_name, excluded=frozenset(), today=now.date())
            return next(item for item in found if item.waiver.digest == waiver.digest)

    def look(self, version: ModelVersion) -> Gate:
        """The version as it stands now; writes what changed by itself meanwhile.

        Raises:
            EvidenceError: it was never at the gate, or its verdict was altered.
        """
        with self.engine.begin() as connection:
            now = self.ledger.lock(connection)
            return self._work_out(connection, present(connection, self.store, version), now)

    def settled(self, version: ModelVersion, registry: ModelRegistry) -> GateState | None:
        """The state that follows now from what was judged and decided, whatever its row says; None when the version was never at the gate.

        A version whose verdict or binding is gone, was altered, or names another submitter than the registry, loses its approval.

        Raises:
            RegistryUnavailable: nothing is known, and nothing is changed.
        """
        try:
            submitters = set(identity_digests(registry.get(version).submitted_by))
        except UnknownModelVersion:  # nobody can use it
            submitters = set()
        with self.engine.begin() as connection:
            now = self.ledger.lock(connection)
            row = row_of(connection, version)
            if row is None:
                return None
            try:
                brought = present(connection, self.store, version)
                if not submitters <= set(brought[0].submitters):  # fewer: the run that named them may be gone
                    hint = "Audit it again: people who submitted a version do not decide about it"
                    raise EvidenceError("the registry names another submitter than the gate", where=str(version), hint=hint)
                return self._work_out(connection, brought, now).standing.state
            except EvidenceError as error:
                settled = state_of(row)
                over = settled in (GateState.AUDITED, GateState.REJECTED, GateState.REVOKED)
                return settled if over else distrust(self.ledger, connection, version, str(error), now).standing.state

    def sweep(self, *, limit: int = SWEPT_AT_ONCE) -> list[Moved]:
        """Versions whose state changes by itself: an approval or a waiver has ended, or the policy is another one.

        At most `limit` of them, so that a round stays short: what is left is found again by the next one. A version whose verdict or binding is
        gone or was altered loses its approval, and keeps no other one from being looked at.
        """
        with self.engine.begin() as connection:
            now = self.ledger.lock(connection)
            alive = gates.c.state.in_([GateState.APPROVED, GateState.AWAITING_REVIEW, GateState.EXPIRED])
            refused = sa.true() if self.policy_standing(connection, now.date()).refused else gates.c.policy_digest != self.policy.digest
            due = (gates.c.due_at <= now) | (alive & refused)
            found: list[Moved] = []
            for version in versions_where(connection, due, limit=limit):
                try:
                    gate = self._work_out(connection, present(connection, self.store, version), now)
                except EvidenceError as error:
                    found.append(distrust(self.ledger, connection, version, str(error), now))
                else:
                    found += [Moved(version, gate.standing)] if gate.moved else []
        return found

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

    def policy_standing(self, connection: sa.Connection, today: date) -> PolicyStanding:
        """Whether the policy at hand was published by a signature that counts."""
        files = self.published is not None and any_published(self.published)
        return standing_of(self.policy, publications(connection, self.book), today, files=files)

    def _may_decide(self, binding: Binding, kind: DecisionKind, person: str, stands: PolicyStanding) -> None:
        where = f"{kind.value} of {binding.model_name}/{binding.model_version} by {person!r}"
        if kind not in SIGNED_BY_OTHERS:
            return
        if stands.problem is not None and kind is not DecisionKind.REJECT:
            raise DecisionRefused(stands.problem, where=where, hint="Publish the policy first: rai policy publish FILE --as ID")
        if person in people_excluded(binding, self.book.directory):
            raise DecisionRefused("who submitted or owns a model does not decide about it", where=where, hint="Ask somebody else who holds the role")
        if self.policy.release.unknown_submitter == "refuse" and not submitter_known(binding, self.book.directory):
            hint = "Set the tag rai.submitted_by to an identity in the people's file, and audit again"
            raise DecisionRefused("it is not known who submitted the version, so nobody can be told apart from them", where=where, hint=hint)

    def _work_out(self, connection: sa.Connection, brought: tuple[Binding, Verdict], now: datetime, *, created_ms: int | None = None) -> Gate:
        court = Court(self.book, self.store, self.policy, self.policy_standing(connection, now.date()))
        return work_out(court, connection, brought, now, created_ms=created_ms)
