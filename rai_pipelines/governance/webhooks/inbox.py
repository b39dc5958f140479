"""The inbox: each delivery once for ever, and what still has to be looked at because of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from rai_pipelines.governance.database.engine import reading
from rai_pipelines.governance.database.tables import webhook_deliveries as deliveries
from rai_pipelines.governance.webhooks.announcement import Announcement


def take(engine: sa.Engine, announcement: Announcement, *, now: datetime, follows: bool) -> bool:
    """Keep a delivery; False when it was kept before. One from which nothing `follows` is kept too: it cannot be sent again."""
    fields = {
        "id": announcement.delivery_id,
        "event": announcement.event,
        "model_name": announcement.model_name,
        "model_version": announcement.model_version,
        "pointer": announcement.pointer,
        "received_at": now,
        "handled_at": None if follows else now,
    }
    try:
        with engine.begin() as connection:
            connection.execute(deliveries.insert().values(**fields))
    except IntegrityError:
        return False
    return True


def waiting(engine: sa.Engine, events: Sequence[str], *, limit: int = 1000) -> list[Announcement]:
    """What was announced by these events and not looked at yet, the oldest first."""
    chosen = sa.select(deliveries).where(deliveries.c.handled_at.is_(None), deliveries.c.event.in_(events))
    with reading(engine) as connection:
        rows = connection.execute(chosen.order_by(deliveries.c.received_at, deliveries.c.id).limit(limit)).all()
    return [Announcement(row.id, row.event, row.model_name, row.model_version, row.pointer) for row in rows]


def handled(engine: sa.Engine, looked_at: Iterable[Announcement], *, now: datetime) -> None:
    """Note that these were looked at."""
    values = [{"one": item.delivery_id} for item in looked_at]
    if values:
        with engine.begin() as connection:
            mine = (deliveries.c.id == sa.bindparam("one")) & deliveries.c.handled_at.is_(None)
            connection.execute(deliveries.update().where(mine).values(handled_at=now), values)
