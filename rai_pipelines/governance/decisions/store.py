"""Decisions in the governance database: accepted or refused, and read back verified."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from pydantic import ValidationError

from rai_pipelines.errors import DecisionRefused, LedgerError
from rai_pipelines.evidence.canonical import canonical_json, digest_of
from rai_pipelines.governance.database.tables import decisions, ledger_entries, texts
from rai_pipelines.governance.decisions.statement import Decision, DecisionKind, SignedDecision, Words, digest_of_words, open_decision
from rai_pipelines.governance.ledger.entry import read_entry
from rai_pipelines.governance.ledger.storage import Happening, Ledger
from rai_pipelines.governance.people.directory import Directory, Person, require_person

if TYPE_CHECKING:
    from securesystemslib.signer import Key

ABOUT_POLICIES = (DecisionKind.PUBLISH, DecisionKind.REVIEW_POLICY)
NEEDS_ROLE = (DecisionKind.APPROVE, DecisionKind.WAIVE, *ABOUT_POLICIES)
SKEW = timedelta(minutes=10)  # how far the clocks of who signs and who records may be apart
WRITING = timedelta(minutes=1)  # from the look at the clock to the entry


class NotRecorded(DecisionRefused):
    """The ledger has no entry about a decision where its row says."""


@dataclass(frozen=True)
class Kept:
    """A decision as it was recorded: signed, at that time by the recorder's clock, with the number of its ledger entry."""

    id: str
    decision: Decision
    keyid: str
    recorded_at: datetime
    sequence: int


@dataclass(frozen=True)
class Read:
    """Decisions that verify, oldest first, and what is wrong with those that do not."""

    valid: tuple[Kept, ...]
    problems: tuple[str, ...] = ()
    unrecorded: tuple[str, ...] = ()  # ids of those among the problems that the ledger does not know
    lost: tuple[int, ...] = ()  # entries of the ledger about the others: decisions that were recorded, and no longer verify

    def of(self, *kinds: DecisionKind) -> tuple[Kept, ...]:
        """Those of these kinds."""
        return tuple(item for item in self.valid if item.decision.kind in kinds)


@dataclass(frozen=True)
class DecisionBook:
    """Writes and reads decisions. `keys` are the public keys by id, `directory` says whose they are."""

    ledger: Ledger
    directory: Directory
    keys: Mapping[str, Key]

    def record(self, connection: sa.Connection, signed: SignedDecision, words: Words, *, now: datetime) -> Kept:
        """Check who signed and when, and keep it with its words and a ledger entry, in the caller's transaction. Safe to repeat.

        Whether the person may decide this is asked before, by gate/ and the callers: here it is only whether they did.

        Raises:
            DecisionRefused: not signed by that person with a key of today, in a role they hold, within minutes of now, over these words.
        """
        opened = open_decision(signed.envelope, self.directory, self.keys)
        known = connection.execute(sa.select(decisions).where(decisions.c.id == opened.id)).first()
        if known is not None:
            return self._kept(connection, known)
        decision, person = opened.decision, require_person(self.directory, opened.decision.person)
        _check_today(opened, person, now)
        if digest_of_words(words) != decision.words:
            raise DecisionRefused("was signed over other words", where=f"decision of {decision.person!r}", hint="Sign what is handed in")
        body: dict[str, Any] = {
            "decision": opened.id,
            "decided": decision.kind.value,
            "subject": decision.subject,
            "words": decision.words,
            "people": self.directory.digest,
        }
        body |= {name: value for name, value in (("role", decision.role), ("review", decision.review)) if value}
        if decision.kind in ABOUT_POLICIES:
            body["about"] = dict(decision.binding)
        entry = self.ledger.append_within(connection, Happening("decision", f"key:{opened.keyid}", body, decision.model_name, decision.model_version))
        if not connection.execute(sa.select(texts.c.digest).where(texts.c.digest == decision.words)).first():
            connection.execute(texts.insert().values(digest=decision.words, content=canonical_json(words).decode()))
        connection.execute(
            decisions.insert().values(
                id=opened.id,
                kind=decision.kind.value,
                model_name=decision.model_name,
                model_version=decision.model_version,
                subject=decision.subject,
                recorded_at=entry.recorded_at,
                sequence=entry.sequence,
                envelope=json.dumps(opened.envelope, sort_keys=True),
            )
        )
        return Kept(opened.id, decision, opened.keyid, entry.recorded_at, entry.sequence)

    def about(self, connection: sa.Connection, subject: str) -> Read:
        """Every decision about that digest."""
        return self._read(connection, decisions.c.subject == subject)

    def of_model(self, connection: sa.Connection, model_name: str, model_version: str | None = None) -> Read:
        """Every decision about that model, or about one version and about all versions of it."""
        about = decisions.c.model_name == model_name
        if model_version is not None:
            about &= (decisions.c.model_version == model_version) | decisions.c.model_version.is_(None)
        return self._read(connection, about)

    def of_kind(self, connection: sa.Connection, kind: DecisionKind) -> Read:
        """Every decision of that kind, about whatever."""
        return self._read(connection, decisions.c.kind == kind.value)

    def words_of(self, connection: sa.Connection, kept: Kept) -> Words | None:
        """What was written with it; None when it was deleted, or is no longer what was signed."""
        row = connection.execute(sa.select(texts.c.content).where(texts.c.digest == kept.decision.words)).first()
        if row is None:
            return None
        try:
            words = Words.model_validate_json(row.content)
        except ValidationError:
            return None
        return words if digest_of(words) == kept.decision.words else None

    def _read(self, connection: sa.Connection, condition: sa.ColumnElement[bool]) -> Read:
        rows: Sequence[Any] = connection.execute(sa.select(decisions).where(condition).order_by(decisions.c.sequence)).all()
        valid: list[Kept] = []
        problems: list[str] = []
        unrecorded: list[str] = []
        lost: list[int] = []
        for row in rows:
            try:
                valid.append(self._kept(connection, row))
            except DecisionRefused as error:
                problems.append(f"decision {row.id[:19]}… {error.what}")
                if isinstance(error, NotRecorded):
                    unrecorded.append(row.id)
                elif _is_named(connection, row):
                    lost.append(row.sequence)
        return Read(tuple(valid), tuple(problems), tuple(unrecorded), tuple(lost))

    def _kept(self, connection: sa.Connection, row: Any) -> Kept:
        """The row as what was signed; its columns only find it and have to say the same, and so does the ledger.

        Who may write rows could otherwise date a signature back to when its key still counted, or sign in a role that they do not hold.
        """
        try:
            envelope = json.loads(row.envelope)
        except (ValueError, RecursionError) as error:
            raise DecisionRefused("is unreadable", where=f"decision {row.id}", hint="Treat it as forged") from error
        opened = open_decision(envelope, self.directory, self.keys)
        decision = opened.decision
        said = (opened.id, decision.kind.value, decision.model_name, decision.model_version, decision.subject)
        if said != (row.id, row.kind, row.model_name, row.model_version, row.subject):
            raise DecisionRefused("stands under other words than were signed", where=f"decision {row.id}", hint="Treat it as forged")
        why = why_not_counted(opened, self.directory, row.recorded_at)
        if why is not None:
            raise DecisionRefused(why, where=f"decision {row.id}")
        _check_entry(connection, row, opened)
        return Kept(opened.id, decision, opened.keyid, row.recorded_at, row.sequence)


def why_not_counted(signed: SignedDecision, directory: Directory, when: datetime) -> str | None:
    """Why a verified signature does not count that was recorded at that time, by who its signer was then; None when it does."""
    decision, person = signed.decision, directory.find(signed.decision.person)
    if person is None or not _key_counted(person, signed.keyid, when):
        return "was signed with a key that no longer counted"
    if decision.role is not None and not person.held(decision.role, when.date()):
        return f"was made as {decision.role}, which this person is not"
    if decision.role is None and decision.kind in NEEDS_ROLE:
        return "was made in no role"
    if abs(decision.made_at - when) > SKEW + WRITING:
        return "was recorded at another time than it was made"
    return None


def _check_today(signed: SignedDecision, person: Person, now: datetime) -> None:
    decision, where = signed.decision, f"decision of {signed.decision.person!r}"
    if not _key_counted(person, signed.keyid, now):
        raise DecisionRefused("is signed with a key that no longer counts", where=where, hint="Sign with a key that the people's file lists")
    if abs(decision.made_at - now) > SKEW:
        minutes = int(SKEW.total_seconds() // 60)
        hint = f"Sign again; the clocks may be {minutes} minutes apart at most"
        if decision.made_at < now:
            hint += ", and the time of the ledger, which never goes back, counts: look whether one that wrote to it was ahead"
        raise DecisionRefused(f"is dated {decision.made_at:%Y-%m-%d %H:%M} UTC, and it is {now:%Y-%m-%d %H:%M}", where=where, hint=hint)
    if decision.role is None and (decision.kind in NEEDS_ROLE or (decision.kind is DecisionKind.REJECT and not person.roles)):
        raise DecisionRefused("is made in no role", where=where, hint="Who approves, rejects or waives holds a role in the people's file")
    if decision.role is not None and decision.role not in person.roles:
        held = ", ".join(person.roles) or "none"
        raise DecisionRefused(f"is made as {decision.role}, and this person holds: {held}", where=where, hint="Decide in a role that you hold")


def _check_entry(connection: sa.Connection, row: Any, opened: SignedDecision) -> None:
    """That the ledger says the same under the number of the row, at a time that follows the entry before.

    Raises:
        NotRecorded: it does not.
    """
    place = ledger_entries.c
    found = connection.execute(sa.select(place.sequence, place.content).where(place.sequence.in_((row.sequence - 1, row.sequence)))).all()
    contents = {item.sequence: item.content for item in found}
    try:
        entry = read_entry(contents.get(row.sequence, ""))
        before = read_entry(contents[row.sequence - 1]).recorded_at if row.sequence > 1 else entry.recorded_at
    except (LedgerError, KeyError) as error:
        raise NotRecorded("is not in the ledger", where=f"decision {row.id}", hint="Verify an export of the ledger") from error
    decision = opened.decision
    said = (entry.kind, entry.actor, entry.body.get("decision"), entry.body.get("subject"), entry.model_name, entry.model_version)
    if said != ("decision", f"key:{opened.keyid}", opened.id, decision.subject, decision.model_name, decision.model_version):
        raise NotRecorded("is not what the ledger says", where=f"decision {row.id}", hint="Verify an export of the ledger")
    if not before <= entry.recorded_at == row.recorded_at:
        raise NotRecorded("is dated otherwise than in the ledger", where=f"decision {row.id}", hint="Verify an export of the ledger")


def _is_named(connection: sa.Connection, row: Any) -> bool:
    """Whether the entry under the number of the row is about it: whoever adds rows can number them as they like, and entries only at the end."""
    content = connection.execute(sa.select(ledger_entries.c.content).where(ledger_entries.c.sequence == row.sequence)).scalar()
    try:
        return content is not None and read_entry(content).body.get("decision") == row.id
    except LedgerError:
        return False


def _key_counted(person: Person, keyid: str, when: datetime) -> bool:
    key = next((key for key in person.keys if key.id == keyid), None)
    return key is not None and (key.until is None or when.date() <= key.until)
