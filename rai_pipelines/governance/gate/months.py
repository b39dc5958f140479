"""In which months a version was live, and in which of them it was audited: what the gate recorded, month by month in UTC."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa

from rai_pipelines.governance.database.tables import gate_transitions, judgements
from rai_pipelines.governance.gate.record import GateState
from rai_pipelines.policy.verdict import VerdictStatus
from rai_pipelines.subjects.names import ModelVersion


@dataclass(frozen=True)
class LiveMonths:
    """Months (`2026-11`) in which a version was approved or compliant, up to the day that was looked on, and months for which it was audited.

    `live_now` is whether it still was then.
    """

    live: tuple[str, ...]
    audited: tuple[str, ...]
    live_now: bool


def live_months(connection: sa.Connection, version: ModelVersion, today: date, *, own_month: str | None = None) -> LiveMonths:
    """What the gate recorded about the version until `today`.

    A whole audit counts for the month in which it came to the gate, a look at production between two for none. One that was asked for in the month
    before, and made up for late, counts for that month too; a month further back is never made up for, whatever a run says.

    Args:
        connection: of the governance database.
        version: of which model version.
        today: the last day that counts.
        own_month: the month that the audit at hand was asked for, which has not come to the gate yet.
    """
    events: list[tuple[datetime, int, str, bool]] = []
    audited = {month_of(today), *_made_up(own_month, month_of(today))}
    mine = judgements.c
    of_version = (mine.model_name == version.name) & (mine.model_version == version.version)
    chosen = sa.select(mine.recorded_at, mine.effective_status, mine.month, mine.scope, mine.id)
    for row in connection.execute(chosen.where(of_version).order_by(mine.id)):
        events.append((row.recorded_at, row.id, "compliant", row.effective_status == VerdictStatus.COMPLIANT.value))
        month = month_of(row.recorded_at.date())
        if row.scope == "audit":
            audited |= {month, *_made_up(row.month, month)}
    moved = gate_transitions.c
    of_version = (moved.model_name == version.name) & (moved.model_version == version.version)
    for row in connection.execute(sa.select(moved.recorded_at, moved.after, moved.id).where(of_version).order_by(moved.id)):
        events.append((row.recorded_at, row.id, "approved", row.after == GateState.APPROVED.value))
    live, live_now = _live(sorted(events), month_of(today))
    return LiveMonths(tuple(sorted(live)), tuple(sorted(audited)), live_now)


def month_of(day: date) -> str:
    """`2026-11`."""
    return f"{day:%Y-%m}"


def next_month(month: str) -> str:
    """The month after."""
    year, number = int(month[:4]), int(month[5:7])
    return f"{year + number // 12:04d}-{number % 12 + 1:02d}"


def _made_up(asked_for: str | None, made_in: str) -> Iterable[str]:
    return (asked_for,) if asked_for is not None and next_month(asked_for) == made_in else ()


def _live(events: list[tuple[datetime, int, str, bool]], last: str) -> tuple[set[str], bool]:
    """Months with a moment at which one of the two was so."""
    found: set[str] = set()
    standing: dict[str, bool] = {}
    month = month_of(events[0][0].date()) if events else last
    for moment, _, what, so in events:
        now = month_of(moment.date())
        if now > last:
            break
        while month < now:
            found |= {month} if any(standing.values()) else set()
            month = next_month(month)
        found |= {month} if any(standing.values()) else set()
        standing[what] = so
        found |= {month} if any(standing.values()) else set()
    live_now = any(standing.values())
    while live_now and month <= last:
        found.add(month)
        month = next_month(month)
    return found, live_now
