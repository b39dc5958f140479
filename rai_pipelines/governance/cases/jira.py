"""Cases in Jira and Jira Service Management, by the REST API v3 of Jira Cloud (developer.atlassian.com/cloud/jira/platform/rest/v3).

A ticket is found again by a label that is made from the case's key, so that a create whose answer was lost is not made twice. Jira finds new
tickets seconds to minutes after they were made (developer.atlassian.com/cloud/jira/platform/search-and-reconcile): until then none is made anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from rai_pipelines.governance.cases.case import Case, CaseState, Ticket, TrackerRefused, TrackerUnavailable, mark_of
from rai_pipelines.governance.cases.http import Caller, part, usable_ref
from rai_pipelines.governance.cases.tracker_file import TrackerFile
from rai_pipelines.policy.model import Severity

LABEL = "rai-pipelines"
PRIORITIES = {Severity.CRITICAL: "Highest", Severity.HIGH: "High", Severity.MEDIUM: "Medium", Severity.LOW: "Low"}
CATEGORIES = {"new": CaseState.OPEN, "undefined": CaseState.OPEN, "indeterminate": CaseState.IN_PROGRESS, "done": CaseState.RESOLVED}
WANTED_CATEGORY = {CaseState.OPEN: "new", CaseState.IN_PROGRESS: "indeterminate", CaseState.RESOLVED: "done", CaseState.CLOSED: "done"}
LONGEST_SUMMARY = 250
FOUND_AFTER_S = 300.0
LONGEST_TEXT = 30_000  # Jira takes 32,767 characters
LONGEST_FIELD = 255

_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class JiraTracker:
    """See `Tracker`."""

    file: TrackerFile
    authorisation: tuple[str, str] = field(repr=False)
    name: str = "jira"

    def open(self, case: Case) -> Ticket:
        """See `Tracker.open`."""
        label = mark_of(case)
        query = {"jql": f'labels = "{label}" ORDER BY created ASC', "fields": ["key"], "maxResults": 1}
        found = self._call("POST", "/rest/api/3/search/jql", json=query)
        issues = _part(found, "issues", list)
        if issues:
            return self._ticket(_part(issues[0], "key", str))
        request = case.request
        fields: dict[str, Any] = {
            "project": {"key": self.file.project},
            "issuetype": {"name": self.file.issue_type},
            "summary": " ".join(request.title.split())[:LONGEST_SUMMARY],
            "description": _document(_cut(request.description, case)),
            "labels": [LABEL, label],
            "priority": {"name": self.file.priorities.get(request.severity, PRIORITIES[request.severity])},
            **{name: value[:LONGEST_FIELD] for name, value in self.file.extra_fields(case).items()},
        }
        try:
            return self._ticket(_part(self._call("POST", "/rest/api/3/issue", json={"fields": fields}), "key", str))
        except TrackerUnavailable as error:  # it may be there all the same
            pause = max(error.retry_after_s, FOUND_AFTER_S)
            raise TrackerUnavailable(error.what, where=error.where, hint=error.hint, retry_after_s=pause) from error

    def attach(self, ticket: Ticket, name: str, content: bytes) -> None:
        """See `Tracker.attach`; an attachment of that name and size is not sent again."""
        answer = self._call("GET", f"/rest/api/3/issue/{ticket.ref}", params={"fields": "attachment"})
        there = _part(_part(answer, "fields", dict), "attachment", list)
        if any(isinstance(item, dict) and item.get("filename") == name and item.get("size") == len(content) for item in there):
            return
        files = {"file": (name, content, "text/markdown")}
        taken = self._call("POST", f"/rest/api/3/issue/{ticket.ref}/attachments", headers={"X-Atlassian-Token": "no-check"}, files=files)
        if not isinstance(taken, list) or not taken:
            raise TrackerUnavailable("answered without the attachment", where=self.name, hint="It is tried again")

    def state(self, ticket: Ticket) -> CaseState:
        """See `Tracker.state`."""
        answer = self._call("GET", f"/rest/api/3/issue/{ticket.ref}", params={"fields": "status"})
        status = _part(_part(answer, "fields", dict), "status", dict)
        named = self.file.states.get(str(status.get("name")))
        return named if named is not None else CATEGORIES.get(_part(_part(status, "statusCategory", dict), "key", str), CaseState.OPEN)

    def move(self, ticket: Ticket, state: CaseState, note: str) -> None:
        """See `Tracker.move`; by the first transition whose target means that state.

        The note follows the transition: one that is refused is tried again for ever, and would leave a note each time.
        """
        now = self.state(ticket)
        if now is state or (now.over and state.over):
            return
        for item in _part(self._call("GET", f"/rest/api/3/issue/{ticket.ref}/transitions"), "transitions", list):
            target = _part(item, "to", dict)
            category = _part(_part(target, "statusCategory", dict), "key", str)
            if self.file.states.get(str(target.get("name"))) is state or category == WANTED_CATEGORY[state]:
                self._call("POST", f"/rest/api/3/issue/{ticket.ref}/transitions", json={"transition": {"id": _part(item, "id", str)}})
                self._call("POST", f"/rest/api/3/issue/{ticket.ref}/comment", json={"body": _document(note)})
                return
        hint = "Name a state under states in the tracker file"
        raise TrackerRefused(f"has no transition to a state that means {state.value}", where=ticket.ref, hint=hint)

    def _ticket(self, key: str) -> Ticket:
        return Ticket(usable_ref(key, where=self.name), f"{self.file.url.rstrip('/')}/browse/{key}")

    def _call(self, method: str, path: str, **content: Any) -> Any:
        return Caller(self.file.url.rstrip("/"), self.authorisation).call(method, path, **content)


def _document(text: str) -> dict[str, Any]:
    """Plain text as Atlassian Document Format: nothing in it is markup."""
    paragraphs = [line for line in text.splitlines() if line.strip()] or ["-"]
    return {
        "type": "doc",
        "version": 1,
        "content": [{"type": "paragraph", "content": [{"type": "text", "text": line}]} for line in paragraphs],
    }


def _cut(text: str, case: Case) -> str:
    """As much of a text as Jira takes; the rest is kept here."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…\nCut here; the whole of it: rai case show {case.id}"


def _part(answer: Any, name: str, kind: type[_Kind]) -> _Kind:
    return part(answer, name, kind, where="jira")
