"""Cases in Jira and ServiceNow over real sockets that fail on purpose: each case is one ticket, whatever happens on the way."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from rai_pipelines.errors import DocumentError, SettingsError
from rai_pipelines.governance.cases import http
from rai_pipelines.governance.cases.book import CaseBook
from rai_pipelines.governance.cases.case import Case, CaseRequest, CaseState, Tracker, TrackerRefused, TrackerUnavailable
from rai_pipelines.governance.cases.open_tracker import open_tracker
from rai_pipelines.governance.cases.sync import case_deliveries, follow_tracker
from rai_pipelines.governance.database.engine import make_engine, upgrade
from rai_pipelines.governance.ledger.storage import Ledger
from rai_pipelines.governance.outbox import drain, waiting
from rai_pipelines.policy.model import Severity
from rai_pipelines_tests.governance.cases.trackers import FAILURES, TOKEN, USER, Jira, Service, ServiceNow, served
from rai_pipelines_tests.governance.office import Clock

HOSTILE = 'In use without approval" OR labels is not EMPTY\n{code}[~admin]{code} ^state=7'


class Desk:
    """A case book, and a tracker of one kind behind it."""

    def __init__(self, kind: str, url: str, service: Service, engine: sa.Engine, folder: Path) -> None:
        self.service, self.clock = service, Clock()
        self.book = CaseBook(engine, Ledger(engine, self.clock))
        self.file = folder / "tracker.yaml"
        content = {"schema": "rai.tracker/v1", "tracker": kind, "url": url, "fields": {"customfield_1": "model", "customfield_2": "report_due_at"}}
        self.file.write_text(yaml.safe_dump(content | ({"project": "RAI"} if kind == "jira" else {})), encoding="utf-8")
        opened = open_tracker(self.file)
        assert opened is not None
        self.tracker: Tracker = opened

    def case(self, key: str = "bypass:1", **changes: Any) -> Case:
        fields = {
            "key": key,
            "kind": "gate_bypass",
            "severity": Severity.HIGH,
            "title": HOSTILE,
            "description": "line one\nline two",
            "model_name": "loans",
        }
        return self.book.request(CaseRequest(**{**fields, "model_version": "1", "noticed_at": self.clock.now, **changes}))

    def drain(self) -> list[str | None]:
        return [item.problem for item in drain(self.book.engine, case_deliveries(self.book, self.tracker), now=self.clock.now)]

    def tickets(self) -> list[Any]:
        return list(self.service.issues.values() if isinstance(self.service, Jira) else self.service.records.values())  # type: ignore[attr-defined]


@pytest.fixture(params=["jira", "servicenow"])
def desk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("RAI_TRACKER_USER", USER)
    monkeypatch.setenv("RAI_TRACKER_TOKEN", TOKEN)
    monkeypatch.setattr(http, "ANSWER_S", 1.0)  # the server hangs for 1.5 s; a busy machine answers within one
    engine = make_engine(f"sqlite:///{tmp_path / 'governance.db'}")
    upgrade(engine)
    service = Jira() if request.param == "jira" else ServiceNow()
    with served(service) as url:
        yield Desk(request.param, url, service, engine, tmp_path)
    engine.dispose()


def test_a_case_becomes_one_ticket_with_its_fields_and_hostile_words_are_only_words(desk: Desk) -> None:
    case = desk.case()
    assert desk.drain() == [None]
    (ticket,) = desk.tickets()
    fields = ticket.get("fields", ticket)
    title = fields.get("summary") or fields["short_description"]
    assert title == " ".join(HOSTILE.split()) and fields["customfield_1"] == "loans/1" and "customfield_2" not in fields
    kept = desk.book.get(case.id)
    assert kept.ref and kept.url and kept.url.startswith("http://127.0.0.1")
    assert [what for _, _, what in desk.book.history(case.id)] == ["opened: gate_bypass", f"taken as {kept.ref}"]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("at", [0, 1], ids=["while looking", "while creating"])
def test_whatever_fails_on_the_way_the_outbox_tries_again_and_there_is_one_ticket(desk: Desk, failure: str, at: int) -> None:
    desk.case()
    desk.service.failures = [None] * at + [failure]  # type: ignore[list-item]
    (problem,) = desk.drain()
    assert problem is not None and TOKEN not in problem
    assert desk.drain() == [], "not before its time"
    desk.clock.advance(seconds=29)
    if failure == "429":
        assert desk.drain() == [], "the tracker asked for 30 seconds"
    desk.clock.advance(seconds=1 if at == 0 or isinstance(desk.service, ServiceNow) else 271)
    assert desk.drain() == [None]
    assert len(desk.tickets()) == 1
    with desk.book.engine.connect() as connection:
        assert waiting(connection) == []


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        (lambda: format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True), 590, 600),
        (lambda: format_datetime(datetime.now(UTC) + timedelta(days=365), usegmt=True), 3600, 3600),
        (lambda: "31536000", 3600, 3600),
        (lambda: format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True), 0, 0),
        (lambda: "nan", 0, 0),
        (lambda: "soon", 0, 0),
        (lambda: "-5", 0, 0),
    ],
)
def test_a_tracker_is_left_alone_for_as_long_as_it_asks_and_an_hour_at_most(desk: Desk, asked: Callable[[], str], least: int, most: int) -> None:
    desk.service.failures, desk.service.retry_after = ["429"], asked()
    with pytest.raises(TrackerUnavailable) as caught:
        desk.tracker.open(desk.case())
    assert least <= caught.value.retry_after_s <= most


@pytest.mark.parametrize("desk", ["jira"], indirect=True)
def test_a_ticket_that_jira_made_and_does_not_find_yet_is_not_made_twice(desk: Desk) -> None:
    assert isinstance(desk.service, Jira)
    desk.service.clock, desk.service.indexed_after = desk.clock, timedelta(minutes=2)
    desk.case()
    desk.service.failures = [None, "lost answer"]  # type: ignore[list-item]
    for _ in range(20):
        desk.drain()
        desk.clock.advance(seconds=30)
    assert len(desk.tickets()) == 1 and desk.book.get(1).ref == "RAI-1"


def test_an_outage_of_days_loses_nothing_and_doubles_nothing(desk: Desk) -> None:
    keys = [f"bypass:{number}" for number in range(3)]
    for key in keys:
        desk.case(key)
        desk.case(key)  # the same again, as after a restart
    desk.service.failures = ["500"] * 500
    for _ in range(18):
        desk.drain()
        desk.clock.advance(hours=4)
    desk.service.failures = []
    desk.clock.advance(hours=1)
    assert desk.drain() == [None] * 3
    assert len(desk.tickets()) == 3


def test_a_delivery_that_is_made_twice_makes_one_ticket(desk: Desk) -> None:
    case = desk.case()
    first, second = desk.tracker.open(case), desk.tracker.open(case)
    assert first == second and len(desk.tickets()) == 1


def test_an_attachment_is_there_once_however_often_it_is_sent(desk: Desk) -> None:
    case = desk.case()
    desk.drain()
    desk.book.attach(case.id, "evidence.md", "# Evidence\n")
    desk.service.failures = [None, "lost answer"]  # type: ignore[list-item]
    assert desk.drain()[0] is not None
    desk.clock.advance(minutes=1)
    assert desk.drain() == [None]
    kept = desk.tickets()[0]["attachments"] if isinstance(desk.service, Jira) else desk.service.attachments  # type: ignore[attr-defined]
    assert [item["content"] for item in kept] == ["# Evidence\n"]


def test_what_the_tracker_says_is_noted_here_and_what_is_decided_here_is_told_there(desk: Desk) -> None:
    case = desk.case()
    desk.drain()
    ticket = desk.tickets()[0]
    ticket |= {"status": "Doing"} if isinstance(desk.service, Jira) else {"state": "2"}
    (moved,), problems = follow_tracker(desk.book, desk.tracker, now=desk.clock.now)
    assert (moved.state, problems) == (CaseState.IN_PROGRESS, [])
    assert follow_tracker(desk.book, desk.tracker, now=desk.clock.now) == ([], []), "not asked again at once"
    desk.book.move(case.id, CaseState.RESOLVED, source="here")
    desk.clock.advance(minutes=6)
    assert follow_tracker(desk.book, desk.tracker, now=desk.clock.now) == ([], []), "the tracker has not heard of it yet"
    assert desk.drain() == [None]
    assert desk.tracker.state(desk.tracker.open(case)).over
    desk.drain()
    assert desk.book.get(case.id).state is CaseState.RESOLVED


def test_a_tracker_that_refuses_says_why_without_the_token(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAI_TRACKER_TOKEN", "wrong")
    tracker = open_tracker(desk.file)
    assert tracker is not None
    with pytest.raises(TrackerRefused, match="401") as caught:
        tracker.open(desk.case())
    assert "wrong" not in str(caught.value) and "wrong" not in repr(tracker)


def test_a_ticket_that_was_deleted_there_keeps_no_other_case_from_being_asked_about(desk: Desk) -> None:
    first, second = desk.case("a"), desk.case("b")
    desk.drain()
    tickets = desk.service.issues if isinstance(desk.service, Jira) else desk.service.records  # type: ignore[attr-defined]
    tickets.pop(str(desk.book.get(first.id).ref))
    tickets[str(desk.book.get(second.id).ref)] |= {"status": "Done"} if isinstance(desk.service, Jira) else {"state": "6"}
    (moved,), (problem,) = follow_tracker(desk.book, desk.tracker, now=desk.clock.now)
    assert (moved.id, moved.state) == (second.id, CaseState.RESOLVED)
    assert "404" in problem


def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(TrackerUnavailable, match="did not answer"):
        http.Caller("http://127.0.0.1:9", ("a", "b")).call("GET", "/")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": "http://tracker.example.org"}, "https"),
        ({"project": None}, "Jira needs the key"),
        ({"token": "PATH"}, "token"),
        ({"fields": {"x": "secret"}}, "fields"),
        ({"fields": {"labels": "kind"}}, "labels cannot be filled"),
        ({"tracker": "servicenow", "fields": {"correlation_id": "key"}}, "correlation_id cannot be filled"),
        ({"url": "https://tracker.example.org:123456"}, "port"),
        ({"url": "https://tracker.example.org/?a=b"}, "url"),
    ],
)
def test_a_tracker_file_that_cannot_be_used_says_why(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "tracker.yaml"
    base = {"schema": "rai.tracker/v1", "tracker": "jira", "url": "https://tracker.example.org", "project": "RAI"}
    path.write_text(yaml.safe_dump({**base, **change}), encoding="utf-8")
    with pytest.raises(DocumentError, match=said):
        open_tracker(path)


def test_a_secret_that_is_not_in_the_environment_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAI_TRACKER_TOKEN", raising=False)
    monkeypatch.setenv("RAI_TRACKER_USER", USER)
    path = tmp_path / "tracker.yaml"
    path.write_text(yaml.safe_dump({"schema": "rai.tracker/v1", "tracker": "servicenow", "url": "https://tracker.example.org"}), encoding="utf-8")
    with pytest.raises(SettingsError, match="RAI_TRACKER_TOKEN"):
        open_tracker(path)
    assert open_tracker(tmp_path / "absent.yaml") is None


@pytest.mark.parametrize("url", ["http://127.0.0.1.example.org", "http://localhost.example.org/jira", "http://jira.example.org"])
def test_no_token_goes_out_in_the_clear_to_a_host_that_only_looks_like_this_machine(tmp_path: Path, url: str) -> None:
    path = tmp_path / "tracker.yaml"
    path.write_text(yaml.safe_dump({"schema": "rai.tracker/v1", "tracker": "jira", "project": "RAI", "url": url}), encoding="utf-8")
    with pytest.raises(DocumentError, match="https"):
        open_tracker(path)


@pytest.mark.parametrize(
    ("host", "fits"), [("jira.example.org", True), ("JIRA.example.org:8443", True), ("example.org", False), ("other.org", False)]
)
def test_the_token_goes_to_the_host_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, fits: bool) -> None:
    path = tmp_path / "tracker.yaml"
    content = {"schema": "rai.tracker/v1", "tracker": "jira", "project": "RAI", "url": "https://jira.example.org:8443/base"}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    for name, value in {"RAI_TRACKER_USER": USER, "RAI_TRACKER_TOKEN": TOKEN, "RAI_TRACKER_HOST": host}.items():
        monkeypatch.setenv(name, value)
    if fits:
        assert open_tracker(path) is not None
    else:
        with pytest.raises(SettingsError, match="who changed the file"):
            open_tracker(path)


ODD = (
    "[]",
    "{}",
    '"text"',
    '{"issues": {"0": 1}, "result": "text"}',
    '{"issues": [[]], "result": [[]]}',
    '{"issues": [{"key": null}], "result": [{"sys_id": {"value": "1"}}]}',
    '{"issues": [{"key": "../../secret"}], "result": [{"sys_id": "../../secret"}]}',
    '{"fields": null, "result": null}',
    '{"fields": {"status": "Done", "attachment": [1]}, "result": ["state"]}',
    "[" * 100_000,
)


@pytest.mark.parametrize("body", ODD, ids=lambda body: body[:20])
def test_a_tracker_that_answers_something_else_with_200_is_tried_again_and_holds_nothing_up(desk: Desk, body: str) -> None:
    known = desk.case("known")
    assert desk.drain() == [None]
    desk.case("new")
    desk.book.attach(known.id, "evidence.md", "# Evidence")
    desk.book.move(known.id, CaseState.RESOLVED, source="here")
    desk.service.instead = body
    problems = desk.drain()
    assert len(problems) == 3 and all(problem is not None and "nobody foresaw" not in problem for problem in problems)
    moved, said = follow_tracker(desk.book, desk.tracker, now=desk.clock.now)
    assert moved == [] and len(said) == 1
    desk.service.instead = None
    desk.clock.advance(hours=1)
    assert desk.drain() == [None] * 3 and len(desk.tickets()) == 2


def test_an_answer_that_trickles_in_is_given_up(desk: Desk) -> None:
    desk.case()
    desk.service.trickles = True
    began = time.monotonic()
    (problem,) = desk.drain()
    assert problem is not None and "in time" in problem and time.monotonic() - began < 3


def test_the_token_does_not_follow_a_redirect_to_another_host(desk: Desk) -> None:
    other = Jira()
    with served(other) as elsewhere:
        desk.service.redirect = elsewhere
        desk.case()
        (problem,) = desk.drain()
    assert problem is not None and "307" in problem and other.requests == []


def test_a_token_that_the_tracker_repeats_in_its_answer_is_kept_nowhere(desk: Desk) -> None:
    desk.case()
    desk.service.failures = ["echo"]
    (problem,) = desk.drain()
    login = base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
    assert problem is not None and "bad request" in problem and TOKEN not in problem and login not in problem


def test_a_case_whose_words_are_longer_than_the_tracker_takes_is_opened_all_the_same(desk: Desk) -> None:
    case = desk.case(title="t" * 250, description="word " * 20_000, model_name="m" * 200, model_version="1" * 100)
    assert desk.drain() == [None]
    if isinstance(desk.service, Jira):
        (ticket,) = desk.tickets()
        assert f"rai case show {case.id}" in str(ticket["fields"]["description"])


def test_another_version_of_a_document_is_sent_although_it_is_as_long_as_the_one_before(desk: Desk) -> None:
    case = desk.case()
    desk.drain()
    for draft in ("due on 17 November", "due on 12 November", "due on 12 November"):
        desk.book.attach(case.id, "report.md", draft)
        assert desk.drain() == [None]
    kept = desk.tickets()[0]["attachments"] if isinstance(desk.service, Jira) else desk.service.attachments  # type: ignore[attr-defined]
    assert [item["content"] for item in kept] == ["due on 17 November", "due on 12 November"]
    assert len({item.get("filename") or item["file_name"] for item in kept}) == 2


@pytest.mark.parametrize("desk", ["jira"], indirect=True)
def test_a_transition_that_jira_refuses_leaves_no_note_each_time_it_is_tried(desk: Desk) -> None:
    assert isinstance(desk.service, Jira)
    case = desk.case()
    desk.drain()
    desk.service.needs_resolution = True
    desk.book.move(case.id, CaseState.RESOLVED, source="here")
    for _ in range(3):
        (problem,) = desk.drain()
        assert problem is not None and "Resolution is required" in problem
        desk.clock.advance(hours=2)
    assert desk.tickets()[0]["comments"] == []
    desk.service.needs_resolution = False
    assert desk.drain() == [None] and len(desk.tickets()[0]["comments"]) == 1


def test_what_was_decided_here_while_the_tracker_was_asked_is_not_undone_by_its_answer(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    case = desk.case()
    desk.drain()
    desk.tickets()[0].update({"status": "Doing"} if isinstance(desk.service, Jira) else {"state": "2"})
    asked = type(desk.tracker).state

    def slow(tracker: Any, ticket: Any) -> CaseState:
        said = asked(tracker, ticket)
        monkeypatch.setattr(type(desk.tracker), "state", asked)
        desk.book.move(case.id, CaseState.RESOLVED, source="here")  # by another process, which tells the tracker as well
        assert desk.drain() == [None]
        return said

    monkeypatch.setattr(type(desk.tracker), "state", slow)
    assert follow_tracker(desk.book, desk.tracker, now=desk.clock.now) == ([], [])
    assert desk.book.get(case.id).state is CaseState.RESOLVED and desk.tracker.state(desk.tracker.open(case)).over


def test_a_ticket_that_is_opened_again_there_is_open_here(desk: Desk) -> None:
    case = desk.case()
    desk.drain()
    desk.book.move(case.id, CaseState.RESOLVED, source="here")
    desk.drain()
    assert follow_tracker(desk.book, desk.tracker, now=desk.clock.now) == ([], [])
    desk.tickets()[0].update({"status": "Doing"} if isinstance(desk.service, Jira) else {"state": "2"})
    desk.clock.advance(hours=1)
    (moved,), _ = follow_tracker(desk.book, desk.tracker, now=desk.clock.now)
    assert (moved.id, moved.state, moved.closed_at) == (case.id, CaseState.IN_PROGRESS, None)
