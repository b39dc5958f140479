"""What a person does at the review desk, in plain Python: look, approve, reject, comment, revoke, waive, review. Terminals and pages call it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from rai_pipelines.audit import Auditor
from rai_pipelines.errors import DecisionRefused
from rai_pipelines.governance.decisions.signer import Signer, at_the_desk, role_of
from rai_pipelines.governance.decisions.statement import Decision, DecisionKind, Words, digest_of_words, sign_decision
from rai_pipelines.governance.gate.record import GateRecord, GateState
from rai_pipelines.governance.people.directory import Directory
from rai_pipelines.release import open_gate, open_gatekeeper, tell_registry
from rai_pipelines.steps import steps
from rai_pipelines.subjects.names import ModelVersion

if TYPE_CHECKING:
    from rai_pipelines.governance.decisions.reviews import ReviewKind
    from rai_pipelines.governance.decisions.store import Kept
    from rai_pipelines.governance.decisions.waivers import Waiver, WaiverStanding
    from rai_pipelines.governance.gate.work_out import Gate


LISTED_AT_ONCE = 500


@dataclass(frozen=True)
class Wish:
    """An exception that somebody asks for: a control, for a model or one version of it, up to and including a day."""

    control: str
    model_name: str
    model_version: str | None
    until: date


@dataclass(frozen=True)
class OnDesk:
    """A version in the queue."""

    version: ModelVersion
    state: GateState
    since: datetime
    reason: str
    risk_class: str
    severity: str


@dataclass(frozen=True)
class Shown:
    """A version with everything that a reviewer has to see."""

    gate: Gate
    decisions: tuple[tuple[Kept, Words | None], ...]
    waivers: tuple[WaiverStanding, ...]
    excluded: frozenset[str]
    directory: Directory


def queue(auditor: Auditor, states: Sequence[GateState] = (), *, limit: int = LISTED_AT_ONCE) -> list[OnDesk]:
    """Versions at the gate in these states (all when none is named): what waits for people before the rest, the longest first; at most `limit`."""
    import sqlalchemy as sa

    from rai_pipelines.governance.database.engine import reading
    from rai_pipelines.governance.database.tables import gates

    waits = gates.c.state.in_([GateState.AWAITING_REVIEW.value, GateState.EXPIRED.value])
    chosen = sa.select(gates).order_by(sa.case((waits, 0), else_=1), gates.c.since, gates.c.model_name, gates.c.model_version).limit(limit)
    if states:
        chosen = chosen.where(gates.c.state.in_([state.value for state in states]))
    with open_gatekeeper(auditor) as keeper, reading(keeper.engine) as connection:
        rows = connection.execute(chosen).all()
    return [
        OnDesk(ModelVersion(row.model_name, row.model_version), GateState(row.state), row.since, row.reason, row.risk_class, row.severity)
        for row in rows
    ]


def show(auditor: Auditor, version: ModelVersion) -> Shown:
    """The version as it stands, what was decided about it, and who cannot decide."""
    from rai_pipelines.governance.database.engine import reading
    from rai_pipelines.governance.decisions.waivers import waivers_of
    from rai_pipelines.governance.gate.binding import people_excluded

    with open_gatekeeper(auditor) as keeper:
        gate = keeper.look(version)
        excluded = people_excluded(gate.binding, keeper.book.directory)
        with reading(keeper.engine) as connection:
            rules, today = auditor.policy.release.waiver, keeper.ledger.clock().date()
            waived = waivers_of(connection, keeper.book, rules, model_name=version.name, excluded=excluded, today=today)
        covering = tuple(item for item in waived if item.waiver.covers(version.name, version.version))
        return Shown(gate, keeper.decisions_on(gate.binding), covering, excluded, keeper.book.directory)


def decide(auditor: Auditor, version: ModelVersion, kind: DecisionKind, signer: Signer, words: Words) -> GateRecord:
    """Sign a decision about the version as it stands at the gate, and tell the registry what follows.

    Raises:
        DecisionRefused, PeopleError, KeyProblem: the person may not decide this, or cannot be told.
        RegistryUnavailable: the decision is recorded, the registry is told later.
    """
    with open_gatekeeper(auditor) as keeper:
        gate = keeper.look(version)
        binding = gate.binding
        person, key = at_the_desk(auditor.settings.keys_path, keeper.book.directory, signer)
        wanted = auditor.policy.release.of_risk(gate.measured.risk_class).quorum.roles
        decision = Decision(
            kind=kind,
            model_name=version.name,
            model_version=version.version,
            subject=binding.digest,
            binding=binding.listed,
            person=person.id,
            role=role_of(person, signer.role, wanted) if kind is DecisionKind.APPROVE else None,
            words=digest_of_words(words),
            made_at=keeper.ledger.clock(),
        )
        keeper.decide(sign_decision(decision, key), words)
        return tell_registry(auditor, keeper, version)


def propose_waiver(auditor: Auditor, wish: Wish, signer: Signer, words: Words) -> WaiverStanding:
    """Propose an exception and sign it first; `words` are its reason.

    Raises:
        DecisionRefused, PeopleError, KeyProblem: as `decide`; also a day that the policy does not allow.
    """
    from rai_pipelines.governance.decisions.waivers import Waiver

    with open_gatekeeper(auditor) as keeper:
        waiver = Waiver(
            control=wish.control,
            model_name=wish.model_name,
            model_version=wish.model_version,
            until=wish.until,
            reason=digest_of_words(words),
            proposed_at=keeper.ledger.clock(),
        )
    return sign_waiver(auditor, waiver, signer, words)


def find_waiver(auditor: Auditor, beginning: str) -> Waiver:
    """The proposed waiver whose digest begins so.

    Raises:
        DecisionRefused: there is none, or more than one.
    """
    wanted = "sha256:" + beginning.removeprefix("sha256:")
    found = [item.waiver for item in all_waivers(auditor) if item.waiver.digest.startswith(wanted)]
    if len(found) != 1:
        what = "is no waiver" if not found else "is the beginning of several"
        raise DecisionRefused(what, where=repr(beginning[:80]), hint="Look with: rai waiver list")
    return found[0]


def sign_waiver(auditor: Auditor, waiver: Waiver, signer: Signer, words: Words) -> WaiverStanding:
    """Sign a proposed waiver, and tell the registry what follows for the versions that it covers."""
    with open_gatekeeper(auditor) as keeper:
        person, key = at_the_desk(auditor.settings.keys_path, keeper.book.directory, signer)
        decision = Decision(
            kind=DecisionKind.WAIVE,
            model_name=waiver.model_name,
            model_version=waiver.model_version,
            subject=waiver.digest,
            person=person.id,
            role=role_of(person, signer.role, auditor.policy.release.waiver.quorum.roles),
            words=digest_of_words(words),
            made_at=keeper.ledger.clock(),
        )
        return keeper.waive(waiver, sign_decision(decision, key), words)


def all_waivers(auditor: Auditor, model_name: str | None = None) -> list[WaiverStanding]:
    """Every waiver, with what it is worth today; whoever submitted or owns a covered version does not count there."""
    from rai_pipelines.governance.database.engine import reading
    from rai_pipelines.governance.decisions.waivers import waivers_of

    with open_gatekeeper(auditor) as keeper, reading(keeper.engine) as connection:
        rules, today = auditor.policy.release.waiver, keeper.ledger.clock().date()
        return waivers_of(connection, keeper.book, rules, model_name=model_name, excluded=frozenset(), today=today)


def review(auditor: Auditor, version: ModelVersion, kind: ReviewKind, signer: Signer, words: Words) -> GateRecord:
    """Sign a review that the policy asks for, judge the version again with it, and take the verdict to the gate.

    Raises:
        DecisionRefused, PeopleError, KeyProblem: the person may not sign it, or what it is about was not measured.
    """
    from rai_pipelines.governance.decisions.reviews import digests_reviewed, involved, require_may_review, subject_of

    subject = auditor.context(version).subject
    with open_gatekeeper(auditor) as keeper:
        person, key = at_the_desk(auditor.settings.keys_path, keeper.book.directory, signer)
        require_may_review(kind, person, *involved(keeper.book.directory, subject.submitted_by, subject.datasheet.answerable))
        about = digests_reviewed(kind, auditor.collect(version, tuple(steps())), subject.datasheet.digest)
        decision = Decision(
            kind=DecisionKind.REVIEW,
            model_name=version.name,
            model_version=version.version,
            subject=subject_of(kind, version.name, version.version, about),
            binding=about,
            person=person.id,
            review=kind.value,
            words=digest_of_words(words),
            made_at=keeper.ledger.clock(),
        )
        with keeper.engine.begin() as connection:
            now = keeper.ledger.lock(connection)
            keeper.book.record(connection, sign_decision(decision, key), words, now=now)
    auditor.measure("signed_reviews", version)
    auditor.judge(version)
    return open_gate(auditor, version)
