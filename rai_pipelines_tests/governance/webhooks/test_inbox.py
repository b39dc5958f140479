"""The inbox takes a delivery once and hands it out until it was looked at; the same on SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from rai_pipelines.governance.webhooks.announcement import NEW_VERSION, POINTER_EVENTS, Announcement
from rai_pipelines.governance.webhooks.inbox import handled, take, waiting

NOW = datetime(2026, 12, 15, 9, 0, tzinfo=UTC)


def test_what_is_announced_waits_for_who_looks_at_such_events_the_oldest_first(engine: sa.Engine) -> None:
    new = [Announcement(f"n{number}", NEW_VERSION, "loans", str(number)) for number in (2, 1)]
    moved = Announcement("m", POINTER_EVENTS[0], "loans", None, "champion")
    for minute, item in enumerate((*new, moved)):
        assert take(engine, item, now=NOW + timedelta(minutes=minute), follows=True)
    assert take(engine, Announcement("p", "prompt.created"), now=NOW, follows=False)
    assert waiting(engine, (NEW_VERSION,)) == new
    assert waiting(engine, (NEW_VERSION,), limit=1) == new[:1]
    assert waiting(engine, POINTER_EVENTS) == [moved]
    handled(engine, new[:1], now=NOW)
    handled(engine, [], now=NOW)
    assert waiting(engine, (NEW_VERSION,)) == new[1:]


def test_one_of_many_processes_at_once_takes_a_delivery(engine: sa.Engine) -> None:
    item = Announcement("one", NEW_VERSION, "loans", "1")
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: take(engine, item, now=NOW, follows=True), range(16)))
    assert sum(taken) == 1 and waiting(engine, (NEW_VERSION,)) == [item]
