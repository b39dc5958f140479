"""A case as this project keeps it, whatever tracker works on it; and what a tracker can do."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from pydantic import Field

from rai_pipelines.errors import RaiError
from rai_pipelines.evidence.model import Record
from rai_pipelines.policy.model import Severity


class CaseState(StrEnum):
    """How far the work on a case is. Trackers have more states; each is one of these to us."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    RESOLVED = "resolved"
    CLOSED = "closed"

    @property
    def over(self) -> bool:
        """Whether nobody has to do anything any more."""
        return self in (CaseState.RESOLVED, CaseState.CLOSED)


class CaseRequest(Record):
    """What happened, to which version, how bad it is. `key` makes the same request twice one case."""

    key: str = Field(min_length=1, max_length=200)
    kind: str = Field(pattern=r"^[a-z][a-z_]{1,39}$")
    severity: Severity
    title: str = Field(min_length=1, max_length=250)
    description: str = Field(max_length=1_000_000)
    model_name: str | None = None
    model_version: str | None = None
    noticed_at: datetime


@dataclass(frozen=True)
class Case:
    """A case with where it stands. `ref` and `url` are the tracker's, None while it has not taken it."""

    id: int
    request: CaseRequest
    state: CaseState
    ref: str | None = None
    url: str | None = None
    incident_class: str | None = None
    aware_at: datetime | None = None
    report_due_at: datetime | None = None
    reported_at: datetime | None = None
    closed_at: datetime | None = None
    lesson: str | None = None


def mark_of(case: Case) -> str:
    """By which a tracker finds the ticket of a case again: letters and digits, whatever the case's key is made of."""
    return f"rai-{hashlib.sha256(case.request.key.encode()).hexdigest()[:24]}"


@dataclass(frozen=True)
class Ticket:
    """A case in a tracker: its key for people, what the API calls it, and where to look at it."""

    ref: str
    url: str


class TrackerUnavailable(RaiError):
    """The tracker did not answer, or not whole: try again. `retry_after_s` is what it asked for."""

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None, retry_after_s: float = 0.0) -> None:
        super().__init__(what, where=where, hint=hint)
        self.retry_after_s = retry_after_s


class TrackerRefused(RaiError):
    """The tracker answered that it will not: a person has to correct the configuration."""


class Tracker(Protocol):
    """What an adapter does. Every verb may raise `TrackerUnavailable` or `TrackerRefused`, and can be called twice with the same effect."""

    @property
    def name(self) -> str: ...

    def open(self, case: Case) -> Ticket:
        """The ticket of the case; the one that is there already, when an earlier call was not answered."""

    def attach(self, ticket: Ticket, name: str, content: bytes) -> None:
        """A file on the ticket, once under that name."""

    def state(self, ticket: Ticket) -> CaseState:
        """How far the work is."""

    def move(self, ticket: Ticket, state: CaseState, note: str) -> None:
        """Bring the ticket to that state, with a note; nothing where it is there already."""
