"""Cases in the governance database: found, moved, classified and closed. A tracker outside only works on copies of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from rai_pipelines.errors import DecisionRefused
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.governance.cases.case import Case, CaseRequest, CaseState, Ticket
from rai_pipelines.governance.cases.incidents import incident_classes
from rai_pipelines.governance.cases.request import ACTOR, CASE_ATTACH, CASE_MOVE, MOVED_TO, request_case
from rai_pipelines.governance.database.engine import reading
from rai_pipelines.governance.database.tables import case_events, cases, outbox, texts
from rai_pipelines.governance.decisions.statement import Words, digest_of_words
from rai_pipelines.governance.ledger.storage import Happening, Ledger
from rai_pipelines.governance.outbox import put


@dataclass(frozen=True)
class CaseBook:
    """All cases."""

    engine: sa.Engine
    ledger: Ledger

    def request(self, request: CaseRequest) -> Case:
        """Open a case, once a key."""
        with self.engine.begin() as connection:
            now = self.ledger.lock(connection)
            number = request_case(connection, self.ledger, request, now=now)
            return _case(self._row(connection, number))

    def get(self, number: int) -> Case:
        """One case.

        Raises:
            DecisionRefused: there is no such case.
        """
        with reading(self.engine) as connection:
            return _case(self._row(connection, number))

    def listed(self, states: Sequence[CaseState] = (), *, limit: int = 500) -> list[Case]:
        """Cases in these states (all when none is named), newest first."""
        chosen = sa.select(cases).order_by(cases.c.id.desc()).limit(limit)
        if states:
            chosen = chosen.where(cases.c.state.in_([state.value for state in states]))
        with reading(self.engine) as connection:
            return [_case(row) for row in connection.execute(chosen)]

    def opened_since(self, moment: datetime | None) -> list[Case]:
        """Every case that was opened at or after that moment, oldest first."""
        chosen = sa.select(cases).order_by(cases.c.id)
        if moment is not None:
            chosen = chosen.where(cases.c.opened_at >= moment)
        with reading(self.engine) as connection:
            return [_case(row) for row in connection.execute(chosen)]

    def lesson_of(self, case: Case) -> Words | None:
        """What was learnt from it; None where nothing is written down, or it was deleted."""
        if case.lesson is None:
            return None
        with reading(self.engine) as connection:
            content = connection.execute(sa.select(texts.c.content).where(texts.c.digest == case.lesson)).scalar()
        return None if content is None else Words.model_validate_json(content)

    def history(self, number: int) -> list[tuple[datetime, str, str]]:
        """(when, who says so, what) of everything that happened to the case."""
        with reading(self.engine) as connection:
            rows = connection.execute(sa.select(case_events).where(case_events.c.case_id == number).order_by(case_events.c.id))
            return [(row.at, row.source, row.what) for row in rows]

    def taken(self, number: int, ticket: Ticket, *, tracker: str) -> None:
        """Note that a tracker has the case."""
        with self.engine.begin() as connection:
            now = self.ledger.lock(connection)
            if self._row(connection, number).ref is None:
                self._note(connection, number, tracker, f"taken as {ticket.ref}", now, ref=ticket.ref, url=ticket.url)

    def attach(self, number: int, name: str, content: str) -> None:
        """Let the tracker have a document of this project beside the case; a later one of the same name is another version of it."""
        with self.engine.begin() as connection:
            now = self.ledger.lock(connection)
            put(connection, CASE_ATTACH, f"{number}/{name}", {"case": number, "name": name, "content": content}, now=now, anew=True)
            self._note(connection, number, "here", f"attached {name}", now)

    def move(self, number: int, state: CaseState, *, source: str, lesson: Words | None = None) -> Case:
        """Bring a case to a state. From here the tracker is told; what the tracker says (`source` is its name) is only noted.

        `lesson` is what was learnt; it is kept for the review of the policy, and a case that was critical is not closed without one.

        Raises:
            DecisionRefused: a critical case is to be closed without a lesson.
        """
        with self.engine.begin() as connection:
            now = self.ledger.lock(connection)
            row = self._row(connection, number)
            if row.state == state.value and lesson is None:
                return _case(row)
            return self._moved(connection, row, state, source=source, lesson=lesson, now=now)

    def follow(self, seen: Case, state: CaseState, *, source: str) -> Case | None:
        """Bring a case to the state that the tracker says it has; None where nothing follows.

        `seen` is the case as it was when the tracker was asked. What was decided here since, or was decided and the tracker has not heard of yet,
        counts more than what the tracker said.
        """
        told = (outbox.c.kind == CASE_MOVE) & (outbox.c.key == str(seen.id))
        with self.engine.begin() as connection:
            now = self.ledger.lock(connection)
            row = self._row(connection, seen.id)
            untold = connection.execute(sa.select(outbox.c.id).where(told, outbox.c.done_at.is_(None))).first() is not None
            if untold or row.state != seen.state.value or row.state == state.value:
                return None
            return self._moved(connection, row, state, source=source, lesson=None, now=now)

    def classify(self, number: int, incident_class: str, *, aware_at: datetime) -> Case:
        """Say that a case is an incident of a class that the law gives days for, from when the organisation became aware of it.

        Classified anew, it has another day, and a report that was made about it before is not the one that is due then.

        Raises:
            DecisionRefused: the class is unknown, or the moment is still to come.
        """
        chosen = incident_classes().get(incident_class)
        if chosen is None:
            raise DecisionRefused(f"is no incident class; there are {', '.join(incident_classes())}", where=repr(incident_class[:60]))
        aware_at = aware_at.astimezone(UTC)
        with self.engine.begin() as connection:
            now = self.ledger.lock(connection)
            if aware_at > now:
                raise DecisionRefused("nobody is aware of it yet", where=f"case {number}", hint="--aware is when the organisation became aware")
            due = chosen.report_due(aware_at)
            row = self._row(connection, number)
            values = {"incident_class": incident_class, "aware_at": aware_at, "report_due_at": due}
            if (row.incident_class, row.report_due_at) != (incident_class, due):
                values["reported_at"] = None
            self._note(connection, number, "here", f"classified as {incident_class}, report due {due:%Y-%m-%d %H:%M} UTC", now, **values)
            body: dict[str, Any] = {"case": number, "incident_class": incident_class, "report_due": due.isoformat(timespec="seconds")}
            self.ledger.append_within(connection, Happening("incident_classified", ACTOR, body, row.model_name, None))
            return _case(self._row(connection, number))

    def reported(self, number: int) -> Case:
        """Note that the authority has the report.

        Raises:
            DecisionRefused: the case is no incident that is reported.
        """
        with self.engine.begin() as connection:
            now = self.ledger.lock(connection)
            row = self._row(connection, number)
            if row.report_due_at is None:
                raise DecisionRefused("is not classified as an incident", where=f"case {number}", hint="Run: rai case classify")
            if row.reported_at is not None:
                return _case(row)  # it was reported then, not now
            self._note(connection, number, "here", "reported to the authority", now, reported_at=now)
            self.ledger.append_within(connection, Happening("incident_reported", ACTOR, {"case": number}, row.model_name, None))
            return _case(self._row(connection, number))

    def _moved(self, connection: sa.Connection, row: Any, state: CaseState, *, source: str, lesson: Words | None, now: datetime) -> Case:
        if source == "here" and state is CaseState.CLOSED and lesson is None and row.lesson is None and row.severity == "critical":
            raise DecisionRefused("a critical case is not closed without what was learnt", where=f"case {row.id}", hint="Add --lesson")
        values: dict[str, Any] = {"state": state.value, "closed_at": now if state.over else None}
        if lesson is not None:
            values["lesson"] = digest_of_words(lesson)
            if connection.execute(sa.select(texts.c.digest).where(texts.c.digest == values["lesson"])).first() is None:
                connection.execute(texts.insert().values(digest=values["lesson"], content=canonical_json(lesson).decode()))
        what = f"{MOVED_TO}{state.value}" if state.value != row.state else "a lesson was written down"
        self._note(connection, row.id, source, what, now, **values)
        body: dict[str, Any] = {"case": row.id, "state": state.value, "said_by": source}
        self.ledger.append_within(connection, Happening("case_moved", ACTOR, body, row.model_name, None))
        if source == "here":
            put(connection, CASE_MOVE, str(row.id), {"case": row.id}, now=now, anew=True)
        return _case(self._row(connection, row.id))

    def _note(self, connection: sa.Connection, number: int, source: str, what: str, now: datetime, **values: Any) -> None:
        connection.execute(cases.update().where(cases.c.id == number).values(changed_at=now, **values))
        connection.execute(case_events.insert().values(case_id=number, at=now, source=source, what=what))

    def _row(self, connection: sa.Connection, number: int) -> Any:
        row = connection.execute(sa.select(cases).where(cases.c.id == number)).first()
        if row is None:
            raise DecisionRefused("is no case", where=repr(number), hint="Look with: rai case list")
        return row


def _case(row: Any) -> Case:
    return Case(
        id=row.id,
        request=CaseRequest.model_validate_json(row.content),
        state=CaseState(row.state),
        ref=row.ref,
        url=row.url,
        incident_class=row.incident_class,
        aware_at=row.aware_at,
        report_due_at=row.report_due_at,
        reported_at=row.reported_at,
        closed_at=row.closed_at,
        lesson=row.lesson,
    )
