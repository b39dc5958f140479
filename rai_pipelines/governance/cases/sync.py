"""Cases between here and a tracker: what the outbox delivers, and what the tracker says about open ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from rai_pipelines.errors import RaiError
from rai_pipelines.governance.cases.book import CaseBook
from rai_pipelines.governance.cases.case import Case, CaseState, Ticket, Tracker, TrackerUnavailable
from rai_pipelines.governance.cases.request import CASE_ATTACH, CASE_MOVE, CASE_OPEN
from rai_pipelines.governance.database.engine import reading
from rai_pipelines.governance.database.tables import cases
from rai_pipelines.governance.outbox import Deliver

LOOK_EVERY = timedelta(minutes=5)
LOOK_AGAIN_EVERY = timedelta(hours=1)  # at what is resolved: it can be closed or opened again there
LOOKED_AT_ONCE = 25  # cases that one round asks the tracker about


def case_deliveries(book: CaseBook, tracker: Tracker | None) -> Mapping[str, Deliver]:
    """How the outbox tells the tracker; without one, cases are worked on here and there is nobody to tell."""
    if tracker is None:
        return {kind: _nobody_to_tell for kind in (CASE_OPEN, CASE_ATTACH, CASE_MOVE)}

    def opened(payload: Mapping[str, Any]) -> None:
        case = book.get(int(payload["case"]))
        if case.ref is None:
            book.taken(case.id, tracker.open(case), tracker=tracker.name)

    def attached(payload: Mapping[str, Any]) -> None:
        content = str(payload["content"]).encode()
        tracker.attach(_ticket(book.get(int(payload["case"]))), _named_after(str(payload["name"]), content), content)

    def moved(payload: Mapping[str, Any]) -> None:
        case = book.get(int(payload["case"]))
        tracker.move(_ticket(case), case.state, f"Moved to {case.state.value} in rai_pipelines (case {case.id})")

    return {CASE_OPEN: opened, CASE_ATTACH: attached, CASE_MOVE: moved}


def follow_tracker(book: CaseBook, tracker: Tracker, *, now: datetime) -> tuple[list[Case], list[str]]:
    """Ask the tracker how far open cases are, the longest not asked first; returns those that moved, and what could not be asked.

    A case whose own move the tracker has not heard of yet is left alone: what was decided here last counts.
    """
    looked, state = cases.c.looked_at, cases.c.state
    open_ones = state.in_([CaseState.OPEN.value, CaseState.IN_PROGRESS.value]) & (looked <= now - LOOK_EVERY)
    resolved = (state == CaseState.RESOLVED.value) & (looked <= now - LOOK_AGAIN_EVERY)
    never = (state != CaseState.CLOSED.value) & (looked.is_(None) | (looked > now))  # or by a clock that was ahead
    waiting = sa.select(cases.c.id).where(cases.c.ref.is_not(None), open_ones | resolved | never)
    with reading(book.engine) as connection:
        numbers = connection.execute(waiting.order_by(looked.asc().nulls_first(), cases.c.id).limit(LOOKED_AT_ONCE)).scalars().all()
    moved: list[Case] = []
    problems: list[str] = []
    for number in numbers:
        case = book.get(number)
        with book.engine.begin() as connection:  # before it is asked: one that cannot be answered waits its turn like all others
            connection.execute(cases.update().where(cases.c.id == number).values(looked_at=now))
        try:
            said = tracker.state(_ticket(case))
        except TrackerUnavailable as error:
            return moved, [*problems, str(error)]  # it is down: the others would only wait for the same
        except RaiError as error:
            problems.append(f"case {number}: {error}")
            continue
        followed = book.follow(case, said, source=tracker.name)
        if followed is not None:
            moved.append(followed)
    return moved, problems


def _ticket(case: Case) -> Ticket:
    if case.ref is None:
        raise TrackerUnavailable("has not taken the case yet", where=f"case {case.id}", hint="It is tried again")
    return Ticket(case.ref, case.url or "")


def _named_after(name: str, content: bytes) -> str:
    """The name of a document with a piece of its digest, so that another version of the same size is another file."""
    stem, dot, kind = name.rpartition(".")
    return f"{stem or kind}-{hashlib.sha256(content).hexdigest()[:8]}{dot}{kind if stem else ''}"


def _nobody_to_tell(_: Mapping[str, Any]) -> None:
    return None
