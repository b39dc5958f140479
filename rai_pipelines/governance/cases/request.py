"""A case that somebody has to look at, asked for in the transaction that found out; the tracker gets it through the outbox."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from pydantic import Field

from rai_pipelines.evidence.model import Record
from rai_pipelines.governance.outbox import put
from rai_pipelines.policy.model import Severity

CASE = "case"  # the outbox's kind


class CaseRequest(Record):
    """What happened, to which version, how bad it is. `key` makes the same request twice one case."""

    key: str = Field(min_length=1, max_length=200)
    kind: str = Field(pattern=r"^[a-z][a-z_]{1,39}$")
    severity: Severity
    title: str = Field(min_length=1, max_length=250)
    description: str
    model_name: str | None = None
    model_version: str | None = None
    noticed_at: datetime


def request_case(connection: sa.Connection, request: CaseRequest, *, now: datetime) -> bool:
    """Ask for the case, in the caller's transaction; whether it was not asked for before."""
    return put(connection, CASE, request.key, request.model_dump(mode="json"), now=now)
