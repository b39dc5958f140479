"""Cases as they are kept here: once a key, with their history, clocks of the law, and lessons; on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa

from rai_pipelines.errors import DecisionRefused
from rai_pipelines.governance.cases.book import CaseBook
from rai_pipelines.governance.cases.case import Case, CaseRequest, CaseState, Ticket, TrackerUnavailable
from rai_pipelines.governance.cases.incidents import incident_classes
from rai_pipelines.governance.cases.sync import case_deliveries, follow_tracker
from rai_pipelines.governance.decisions.statement import Words
from rai_pipelines.governance.ledger.storage import Ledger
from rai_pipelines.governance.outbox import drain, waiting
from rai_pipelines.policy.model import Severity
from rai_pipelines_tests.governance.office import START, Clock

LESSON = Words(meaning="The alias could be moved by everybody; it cannot any more")


@pytest.fixture
def book(engine: sa.Engine) -> CaseBook:
    return CaseBook(engine, Ledger(engine, Clock()))


def request(key: str = "k", **changes: Any) -> CaseRequest:
    fields = {"key": key, "kind": "gate_bypass", "severity": Severity.CRITICAL, "title": "In use without approval", "description": "Look at it"}
    return CaseRequest(**{**fields, "noticed_at": START, **changes})


def test_the_same_key_is_one_case_and_every_step_is_in_its_history_and_the_ledger(book: CaseBook) -> None:
    first, again = book.request(request()), book.request(request(title="another title"))
    assert first == again
    book.move(first.id, CaseState.IN_PROGRESS, source="here")
    book.move(first.id, CaseState.CLOSED, source="here", lesson=LESSON)
    assert [what for _, _, what in book.history(first.id)] == ["opened: gate_bypass", "moved to in_progress", "moved to closed"]
    assert [entry.kind for entry in book.ledger.entries()] == ["case_opened", "case_moved", "case_moved"]
    assert [case.id for case in book.listed([CaseState.CLOSED])] == [first.id] and book.listed([CaseState.OPEN]) == []


def test_a_critical_case_is_not_closed_without_a_lesson_and_another_is(book: CaseBook) -> None:
    critical, other = book.request(request()), book.request(request("other", severity=Severity.LOW))
    with pytest.raises(DecisionRefused, match="what was learnt"):
        book.move(critical.id, CaseState.CLOSED, source="here")
    assert book.move(other.id, CaseState.CLOSED, source="here").closed_at == START
    assert book.move(critical.id, CaseState.CLOSED, source="here", lesson=LESSON).lesson is not None


@pytest.mark.parametrize(
    ("incident_class", "days"), [("serious_incident", 15), ("death", 10), ("widespread_infringement", 2), ("critical_infrastructure", 2)]
)
def test_the_law_gives_calendar_days_from_awareness_weekends_included(book: CaseBook, incident_class: str, days: int) -> None:
    aware = datetime(2026, 12, 11, 17, 30, tzinfo=UTC)  # a Friday
    case = book.classify(book.request(request()).id, incident_class, aware_at=aware)
    assert case.report_due_at == datetime(2026, 12, 11, 23, 59, 59, tzinfo=UTC) + timedelta(days=days)
    assert "Regulation (EU) 2024/1689" in incident_classes()[incident_class].source
    assert book.reported(case.id).reported_at == START


def test_what_cannot_be_classified_or_reported_says_why(book: CaseBook) -> None:
    case = book.request(request())
    with pytest.raises(DecisionRefused, match="there are serious_incident"):
        book.classify(case.id, "bad day", aware_at=START)
    with pytest.raises(DecisionRefused, match="aware of it yet"):
        book.classify(case.id, "death", aware_at=START + timedelta(days=1))
    with pytest.raises(DecisionRefused, match="not classified"):
        book.reported(case.id)
    with pytest.raises(DecisionRefused, match="is no case"):
        book.get(999)


def test_without_a_tracker_there_is_nobody_to_tell_and_the_outbox_empties(book: CaseBook) -> None:
    book.request(request())
    drain(book.engine, case_deliveries(book, None), now=START)
    with book.engine.connect() as connection:
        assert waiting(connection) == []


def test_awareness_in_another_time_zone_is_counted_and_noted_in_utc(book: CaseBook) -> None:
    aware = datetime(2026, 12, 12, 1, 30, tzinfo=timezone(timedelta(hours=9)))  # 16:30 UTC of the day before
    case = book.classify(book.request(request()).id, "death", aware_at=aware)
    assert case.report_due_at == datetime(2026, 12, 21, 23, 59, 59, tzinfo=UTC)
    assert book.history(case.id)[-1][2].endswith("report due 2026-12-21 23:59 UTC")


def test_an_incident_that_is_classified_anew_has_another_report_to_make_and_what_was_reported_stays_when_it_was(book: CaseBook) -> None:
    number = book.request(request()).id
    book.classify(number, "serious_incident", aware_at=START - timedelta(days=1))
    assert book.reported(number).reported_at == START
    book.ledger.clock.advance(days=1)  # type: ignore[attr-defined]
    assert book.reported(number).reported_at == START, "said twice, reported once"
    assert book.classify(number, "serious_incident", aware_at=START - timedelta(days=1)).reported_at == START
    assert book.classify(number, "death", aware_at=START).reported_at is None, "a person has died: the authority has to hear of that"
    assert [entry.kind for entry in book.ledger.entries()].count("incident_reported") == 1


class Desk:
    """A tracker that answers for some tickets only; it notes which it was asked about."""

    name = "desk"

    def __init__(self, *broken: str) -> None:
        self.broken, self.asked = broken, list[str]()

    def open(self, case: Case) -> Ticket:
        return Ticket(f"T-{case.id}", "")

    def attach(self, ticket: Ticket, name: str, content: bytes) -> None:
        raise NotImplementedError

    def state(self, ticket: Ticket) -> CaseState:
        self.asked.append(ticket.ref)
        if ticket.ref in self.broken:
            raise TrackerUnavailable("answered without 'fields'")
        return CaseState.OPEN

    def move(self, ticket: Ticket, state: CaseState, note: str) -> None:
        raise NotImplementedError


def test_cases_that_were_never_asked_about_come_first_and_one_that_gives_no_answer_holds_up_no_others(book: CaseBook) -> None:
    desk = Desk("T-1", "T-2")
    for number in range(40):
        book.request(request(f"k{number}"))
    drain(book.engine, case_deliveries(book, desk), now=START)
    for tick in range(4):
        follow_tracker(book, desk, now=START + timedelta(seconds=30 * tick))
    assert sorted(desk.asked, key=lambda ref: int(ref[2:])) == [f"T-{number}" for number in range(1, 41)], "each once, within five minutes"
    desk.asked.clear()
    for number in range(40, 70):
        book.request(request(f"k{number}"))
    drain(book.engine, case_deliveries(book, desk), now=START + timedelta(minutes=6))
    follow_tracker(book, desk, now=START + timedelta(minutes=6))
    assert desk.asked[:25] == [f"T-{number}" for number in range(41, 66)]
