"""Cases as incidents in ServiceNow, by its Table and Attachment APIs (docs.servicenow.com: REST API reference).

A ticket is found again by `correlation_id`, the field that ServiceNow has for the key of another system.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from rai_pipelines.governance.cases.case import Case, CaseState, Ticket, mark_of
from rai_pipelines.governance.cases.http import Caller, part, usable_ref
from rai_pipelines.governance.cases.tracker_file import TrackerFile
from rai_pipelines.policy.model import Severity

TABLE = "/api/now/table/incident"
URGENCIES = {Severity.CRITICAL: "1", Severity.HIGH: "1", Severity.MEDIUM: "2", Severity.LOW: "3"}
STATES = {
    "1": CaseState.OPEN,
    "2": CaseState.IN_PROGRESS,
    "3": CaseState.IN_PROGRESS,  # on hold
    "6": CaseState.RESOLVED,
    "7": CaseState.CLOSED,
    "8": CaseState.CLOSED,  # cancelled
}
CODES = {CaseState.OPEN: "1", CaseState.IN_PROGRESS: "2", CaseState.RESOLVED: "6", CaseState.CLOSED: "7"}
CLOSE_CODE = "Solved (Permanently)"
LONGEST_TITLE = 160

_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class ServiceNowTracker:
    """See `Tracker`."""

    file: TrackerFile
    authorisation: tuple[str, str] = field(repr=False)
    name: str = "servicenow"

    def open(self, case: Case) -> Ticket:
        """See `Tracker.open`."""
        request = case.request
        correlation = mark_of(case)
        query = {"sysparm_query": f"correlation_id={correlation}^ORDERBYsys_created_on", "sysparm_fields": "sys_id", "sysparm_limit": "1"}
        found = _result(self._call("GET", TABLE, params=query), list)
        if found:
            return self._ticket(part(found[0], "sys_id", str, where=self.name))
        urgency = self.file.priorities.get(request.severity, URGENCIES[request.severity])
        fields = {
            "short_description": " ".join(request.title.split())[:LONGEST_TITLE],
            "description": request.description,
            "urgency": urgency,
            "impact": urgency,
            "correlation_id": correlation,
            "correlation_display": "rai_pipelines",
            **self.file.extra_fields(case),
        }
        return self._ticket(part(_result(self._call("POST", TABLE, json=fields), dict), "sys_id", str, where=self.name))

    def attach(self, ticket: Ticket, name: str, content: bytes) -> None:
        """See `Tracker.attach`; an attachment of that name and size is not sent again."""
        query = f"table_name=incident^table_sys_id={ticket.ref}^file_name={name}"
        there = _result(self._call("GET", "/api/now/attachment", params={"sysparm_query": query}), list)
        if any(isinstance(item, dict) and str(item.get("size_bytes")) == str(len(content)) for item in there):
            return
        where = {"table_name": "incident", "table_sys_id": ticket.ref, "file_name": name}
        _result(self._call("POST", "/api/now/attachment/file", params=where, content=content, headers={"Content-Type": "text/markdown"}), dict)

    def state(self, ticket: Ticket) -> CaseState:
        """See `Tracker.state`."""
        found = _result(self._call("GET", f"{TABLE}/{ticket.ref}", params={"sysparm_fields": "state"}), dict)
        code = str(found.get("state"))
        return self.file.states.get(code) or STATES.get(code, CaseState.OPEN)

    def move(self, ticket: Ticket, state: CaseState, note: str) -> None:
        """See `Tracker.move`."""
        if self.state(ticket) is state:
            return
        fields = {"state": CODES[state], "work_notes": note}
        if state.over:
            fields |= {"close_code": CLOSE_CODE, "close_notes": note}
        _result(self._call("PATCH", f"{TABLE}/{ticket.ref}", json=fields), dict)

    def _ticket(self, sys_id: str) -> Ticket:
        return Ticket(usable_ref(sys_id, where=self.name), f"{self.file.url.rstrip('/')}/nav_to.do?uri=incident.do?sys_id={sys_id}")

    def _call(self, method: str, path: str, **content: Any) -> Any:
        headers = {"Accept": "application/json", **content.pop("headers", {})}
        return Caller(self.file.url.rstrip("/"), self.authorisation).call(method, path, headers=headers, **content)


def _result(answer: Any, kind: type[_Kind]) -> _Kind:
    return part(answer, "result", kind, where="servicenow")
