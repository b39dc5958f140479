"""What others have still to be told: written in the transaction that decides it, delivered afterwards, as often as it takes.

A crash between the two loses nothing, and an outage of the registry or of a tracker of any length only makes the box longer. A delivery
can happen twice (the process ends after it and before it is noted), so every receiver has to take the same message twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError

from rai_pipelines.errors import RaiError
from rai_pipelines.governance.database.engine import reading
from rai_pipelines.governance.database.tables import heartbeats, outbox

FIRST_PAUSE_S, LONGEST_PAUSE_S = 5, 3600
LEASE_S = 120  # a delivery that has not ended by then is taken for lost, and made again
HANGS_S = 5.0  # a receiver that took longer to fail is not asked again in the same round: what others wait for would wait behind it
LONGEST_PROBLEM = 500

_log = structlog.get_logger(__name__)

Deliver = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Delivery:
    """One message and how it went; `problem` says what is in the way, and None means delivered."""

    kind: str
    key: str
    attempts: int
    problem: str | None


def put(
    connection: sa.Connection, kind: str, key: str, payload: Mapping[str, Any], *, now: datetime, anew: bool = False, joined: str | None = None
) -> bool:
    """Put a message into the box, in the caller's transaction; whether it is new.

    The same (kind, key) is one message for ever. With `anew` it is to be delivered again: for receivers that are told the present state. The list
    that stands under `joined` in the payload is then joined with that of a message that was not delivered yet.
    """
    found = connection.execute(sa.select(outbox).where(outbox.c.kind == kind, outbox.c.key == key)).first()
    if found is None:
        fields = {"kind": kind, "key": key, "payload": _text(payload), "created_at": now, "due_at": now, "attempts": 0, "generation": 0}
        connection.execute(outbox.insert().values(**fields))
        return True
    if anew:
        if joined is not None and found.done_at is None:
            payload = {**payload, joined: sorted({*json.loads(found.payload)[joined], *payload[joined]})}
        fresh = {"payload": _text(payload), "due_at": now, "attempts": 0, "done_at": None, "problem": None, "generation": found.generation + 1}
        connection.execute(outbox.update().where(outbox.c.id == found.id).values(**fresh))
    return False


def drain(engine: sa.Engine, deliver: Mapping[str, Deliver], *, now: datetime, limit: int = 500, key: str | None = None) -> list[Delivery]:
    """Deliver what is due and of a kind that `deliver` has (only under `key`, when given); what fails is due again later, twice as late each
    time, at most hourly.

    Two processes can drain at once: a message is claimed by one of them for two minutes, and while it is, nobody else delivers it, not even
    when it has to be told anew: the receiver never hears an older state after a newer one.

    What nobody has attempted yet is due whatever the clock says: the ledger's time, by which it was put, can be ahead. So is what is due later
    than any pause lasts.

    Args:
        engine: of the governance database.
        deliver: how each kind is delivered.
        now: the moment at which the drain begins; what it takes is added.
        limit: how many messages at most.
        key: only those with that key.
    """
    began, hanging, found = time.monotonic(), set[str](), []
    due_now = (outbox.c.due_at <= now) | (outbox.c.attempts == 0) | (outbox.c.due_at > now + timedelta(seconds=LONGEST_PAUSE_S))
    chosen = sa.select(outbox).where(outbox.c.done_at.is_(None), due_now, _free(now), outbox.c.kind.in_(list(deliver)))
    if key is not None:
        chosen = chosen.where(outbox.c.key == key)
    with reading(engine) as connection:
        due = connection.execute(chosen.order_by(outbox.c.due_at, outbox.c.id).limit(limit)).all()
    for row in due:
        if row.kind in hanging:
            continue
        asked = time.monotonic()
        delivery = _attempt(engine, row, deliver[row.kind], now, claimed_at=now + timedelta(seconds=int(asked - began)))
        if delivery is not None:
            found.append(delivery)
            if delivery.problem is not None and time.monotonic() - asked > HANGS_S:
                hanging.add(row.kind)
    return found


def waiting(connection: sa.Connection) -> list[Delivery]:
    """What is not delivered yet, oldest first."""
    rows = connection.execute(sa.select(outbox).where(outbox.c.done_at.is_(None)).order_by(outbox.c.created_at, outbox.c.id)).all()
    return [Delivery(row.kind, row.key, row.attempts, row.problem or "not attempted yet") for row in rows]


def beat(engine: sa.Engine, name: str, *, now: datetime) -> None:
    """Note that the part of this software called `name` has just done its round."""
    with engine.begin() as connection:
        if not connection.execute(heartbeats.update().where(heartbeats.c.name == name).values(at=now)).rowcount:
            connection.execute(heartbeats.insert().values(name=name, at=now))


def _attempt(engine: sa.Engine, row: Any, deliver: Deliver, now: datetime, *, claimed_at: datetime) -> Delivery | None:
    """One delivery; None when another process has it. The claim counts from when it is made: a round can have begun long before."""
    lease = claimed_at + timedelta(seconds=LEASE_S)
    mine = (outbox.c.id == row.id) & (outbox.c.generation == row.generation)
    with engine.begin() as connection:
        claim = outbox.update().where(mine, outbox.c.done_at.is_(None), outbox.c.attempts == row.attempts, _free(claimed_at))
        if connection.execute(claim.values(attempts=row.attempts + 1, claimed_until=lease)).rowcount != 1:
            return None
    problem, asked_s = None, 0.0
    try:
        deliver(json.loads(row.payload))
    except RaiError as error:
        problem, asked_s = str(error)[:LONGEST_PROBLEM], float(getattr(error, "retry_after_s", 0.0))
    except SQLAlchemyError:
        raise  # this project's own database
    except Exception as error:  # a defect here, or an answer that nobody thought of: it must not keep everything behind it from being delivered
        _log.exception("not delivered", kind=row.kind, key=row.key)
        problem = f"{row.kind} {row.key}: failed in a way that nobody foresaw ({type(error).__name__}). The log has where; it is tried again."
    with engine.begin() as connection:
        pause = max(min(FIRST_PAUSE_S * 2 ** min(row.attempts, 20), LONGEST_PAUSE_S), asked_s)
        outcome = {"done_at": now, "problem": None} if problem is None else {"due_at": now + timedelta(seconds=pause), "problem": problem}
        connection.execute(outbox.update().where(mine).values(**outcome))  # told anew meanwhile: it is due again as it was put
        connection.execute(outbox.update().where(outbox.c.id == row.id, outbox.c.claimed_until == lease).values(claimed_until=None))
    return Delivery(row.kind, row.key, row.attempts + 1, problem)


def _free(now: datetime) -> sa.ColumnElement[bool]:
    """No process has it, or the one that had it is gone; a claim longer than any was made by a clock that was ahead."""
    until = outbox.c.claimed_until
    return until.is_(None) | (until <= now) | (until > now + timedelta(seconds=LONGEST_PAUSE_S))


def _text(payload: Mapping[str, Any]) -> str:
    return json.dumps(payload, sort_keys=True)
