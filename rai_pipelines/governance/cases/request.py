"""Ask for a case in the transaction that found out why; the tracker gets it through the outbox."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from rai_pipelines.governance.cases.case import CaseRequest, CaseState
from rai_pipelines.governance.database.tables import case_events, cases
from rai_pipelines.governance.ledger.storage import Happening, Ledger
from rai_pipelines.governance.outbox import put

CASE_OPEN, CASE_ATTACH, CASE_MOVE = "case_open", "case_attach", "case_move"  # the outbox's kinds
ACTOR = "system:cases"
MOVED_TO = "moved to "  # how the history of a case says that it came into a state


def request_case(connection: sa.Connection, ledger: Ledger, request: CaseRequest, *, now: datetime) -> int:
    """Open the case here, record it, and let the outbox tell the tracker; returns its number. The same key is one case for ever."""
    known = connection.execute(sa.select(cases.c.id).where(cases.c.key == request.key)).scalar()
    if known is not None:
        return int(known)
    number = connection.execute(
        cases.insert()
        .values(
            key=request.key,
            severity=request.severity.value,
            model_name=request.model_name,
            state=CaseState.OPEN.value,
            content=request.model_dump_json(),
            opened_at=now,
            changed_at=now,
        )
        .returning(cases.c.id)
    ).scalar_one()
    connection.execute(case_events.insert().values(case_id=number, at=now, source="here", what=f"opened: {request.kind}"))
    body: dict[str, Any] = {"case": number, "key": request.key, "case_kind": request.kind, "severity": request.severity.value}
    ledger.append_within(connection, Happening("case_opened", ACTOR, body, request.model_name, request.model_version))
    put(connection, CASE_OPEN, str(number), {"case": number}, now=now)
    return int(number)
