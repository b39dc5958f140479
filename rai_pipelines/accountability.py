"""What people decided, as evidence: signed reviews, and whether approvals and the ledger behind them hold. Measured in the governance database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from rai_pipelines.assessments.base import Assess, AuditContext, Measured, Parameters
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.settings import Settings
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import Subject

if TYPE_CHECKING:
    import sqlalchemy as sa

    from rai_pipelines.governance.decisions.store import DecisionBook

NEWEST_ENTRIES = 10_000  # of the ledger, read in every audit
ESCALATION = "escalation"  # the heartbeat of who looks for overdue decisions


class AccountabilityParameters(Parameters):
    """These assessments have nothing to set."""


def reviews_assessment(settings: Settings) -> Assess:
    """`assess_signed_reviews` on the governance database that `settings` name."""
    return partial(assess_signed_reviews, settings=settings)


def record_assessment(settings: Settings) -> Assess:
    """`assess_governance_record` on the governance database that `settings` name."""
    return partial(assess_governance_record, settings=settings)


def assess_signed_reviews(context: AuditContext, _: Parameters, *, settings: Settings) -> Measured:
    """Which reviews stand: per kind the day of the newest one by somebody who may sign it, and whether what it was about is still so.

    How old a review may be is the policy's; evidence holds the day. Signatures that do not verify are counted apart and stand for nothing.

    Raises:
        DatabaseError, PeopleError, KeyProblem: nothing can be found out.
    """
    from rai_pipelines.errors import DecisionRefused
    from rai_pipelines.governance.decisions.reviews import ReviewKind, digests_reviewed, involved, standing_reviews, subject_of

    subject = context.subject
    now_about = {}
    for kind in ReviewKind:
        try:
            about = digests_reviewed(kind, context.evidence, subject.datasheet.digest)
        except DecisionRefused:
            continue  # not measured: no review of it can be current
        now_about[kind] = subject_of(kind, subject.version.name, subject.version.version, about)
    with _decisions(settings, subject) as (_connection, book, read):
        valid, problems = read.valid, read.problems
        submitters, owners = involved(book.directory, subject.submitted_by, subject.datasheet.answerable)
        standing = standing_reviews(valid, now_about, submitters, owners)
    facts: dict[str, JsonValue] = {
        kind.value: {"signed_on": item.signed_on.isoformat(), "current": item.current, "decision": item.decision} for kind, item in standing.items()
    }
    measured = tuple(Measurement(metric="review_stands", value=float(item.current), attribute=kind.value, n=1) for kind, item in standing.items())
    return Measured(
        measurements=(*measured, Measurement(metric="decisions_that_do_not_verify", value=float(len(problems)), n=len(valid) + len(problems))),
        details={"reviews": facts, "problems": list(problems)},
    )


def assess_governance_record(context: AuditContext, _: Parameters, *, settings: Settings) -> Measured:
    """Whether decisions about this model hold: signatures, no approval by who submitted or owns it, each in the ledger, and the ledger unbroken.

    Also in which months it was live, and in which of them it was audited. `minutes_since_escalation` is how long ago overdue decisions were
    last looked for.
    """
    from rai_pipelines.governance.decisions.reviews import involved
    from rai_pipelines.governance.decisions.statement import DecisionKind
    from rai_pipelines.governance.gate.months import live_months, month_of

    subject = context.subject
    with _decisions(settings, subject) as (connection, book, read):
        valid, problems = read.valid, read.problems
        submitters, owners = involved(book.directory, subject.submitted_by, subject.datasheet.answerable)
        approvals = [item for item in valid if item.decision.kind is DecisionKind.APPROVE and item.decision.model_version == subject.version.version]
        own = [item for item in approvals if item.decision.person in submitters | owners]
        ledger = _ledger_figures(connection, book, subject.version)
        escalation = _minutes_since(connection, ESCALATION, book.ledger.clock())
        today = book.ledger.clock().date()
        months = live_months(connection, subject.version, today, own_month=context.month)
    looked = len(valid) + len(problems)
    share, empty = (len(valid) / looked, None) if looked else (1.0, "nothing was decided about it yet")
    return Measured(
        measurements=(
            Measurement(metric="signatures_valid_share", value=share, n=looked, denominator=looked, note=empty),
            Measurement(metric="approvals_by_submitter_or_owner", value=float(len(own)), n=len(approvals)),
            Measurement(metric="decisions_not_in_ledger", value=float(len(read.unrecorded)), n=looked),
            *ledger,
            escalation,
        ),
        details={
            "problems": list(problems),
            "approvals": len(approvals),
            "not_in_ledger": list(read.unrecorded),
            "months": {"live": list(months.live), "audited": list(months.audited), "live_now": months.live_now, "looked_in": month_of(today)},
        },
    )


def _ledger_figures(connection: sa.Connection, book: DecisionBook, version: ModelVersion) -> tuple[Measurement, ...]:
    """The newest entries of the chain, and decisions that they name and the database has no more: a rejection that somebody deleted.

    All of the chain is verified offline (`rai ledger verify`), by who does not trust this database.
    """
    import sqlalchemy as sa

    from rai_pipelines.errors import LedgerError
    from rai_pipelines.governance.database.tables import decisions, ledger_entries
    from rai_pipelines.governance.ledger.entry import GENESIS, hash_of, read_entry

    newest = connection.execute(sa.select(sa.func.max(ledger_entries.c.sequence))).scalar() or 0
    place = max(0, newest - NEWEST_ENTRIES)
    previous = connection.execute(sa.select(ledger_entries.c.hash).where(ledger_entries.c.sequence == place)).scalar() if place else GENESIS
    first, broken = place + 1, None
    kept = set(connection.execute(sa.select(decisions.c.id).where(decisions.c.model_name == version.name)).scalars())
    gone = 0
    for sequence, sealed, content in book.ledger.rows(after=place):
        place += 1
        try:
            entry = read_entry(content)
        except LedgerError as error:
            broken = f"entry {sequence}: {error.what}"
            break
        if (entry.sequence, entry.previous, hash_of(content.encode())) != (place, previous, sealed):
            broken = f"entry {sequence} does not follow the one before it, or is not what was sealed"
            break
        previous = sealed
        about = entry.model_name == version.name and entry.model_version in (None, version.version)
        gone += entry.kind == "decision" and about and entry.body.get("decision") not in kept
    note = broken or (f"entries from {first} on" if first > 1 else None)
    return (
        Measurement(metric="ledger_holds", value=float(broken is None), n=max(place - first + 1, 0), note=note),
        Measurement(metric="decisions_gone", value=float(gone), n=max(place - first + 1, 0), note=note),
    )


def _minutes_since(connection: sa.Connection, name: str, now: datetime) -> Measurement:
    import sqlalchemy as sa

    from rai_pipelines.governance.database.tables import heartbeats

    beat = connection.execute(sa.select(heartbeats.c.at).where(heartbeats.c.name == name)).scalar()
    if beat is None:
        return Measurement(metric="minutes_since_escalation", value=None, state=State.UNAVAILABLE, note="overdue decisions were never looked for")
    return Measurement(metric="minutes_since_escalation", value=float(max((now - beat).total_seconds(), 0) // 60))


@contextmanager
def _decisions(settings: Settings, subject: Subject) -> Iterator[Any]:
    """The database with what was decided about the model: (connection, book, what was read of it)."""
    from rai_pipelines.governance.database.engine import answering, open_governance, reading
    from rai_pipelines.governance.decisions.store import DecisionBook
    from rai_pipelines.governance.keys import read_public_keys
    from rai_pipelines.governance.ledger.storage import Ledger
    from rai_pipelines.governance.people.directory import read_directory

    engine = open_governance(settings)
    book = DecisionBook(Ledger(engine), read_directory(settings.people_path), read_public_keys(settings.keys_path))
    try:
        with answering(engine), reading(engine) as connection:
            yield connection, book, book.of_model(connection, subject.version.name, subject.version.version)
    finally:
        engine.dispose()
