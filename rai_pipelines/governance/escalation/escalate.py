"""Look for what waits too long and take the steps that are due: recorded once, in the ledger, with the notices in the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from rai_pipelines.evidence.canonical import digest_of
from rai_pipelines.governance.cases.case import CaseRequest, CaseState
from rai_pipelines.governance.cases.request import MOVED_TO
from rai_pipelines.governance.database.tables import case_events, cases, escalations, gates
from rai_pipelines.governance.escalation.notices import MAIL, WEBHOOK, Channels
from rai_pipelines.governance.escalation.plan import Step, Waiting, due_steps
from rai_pipelines.governance.gate.binding import Binding, owners_of
from rai_pipelines.governance.gate.keeper import Gatekeeper
from rai_pipelines.governance.gate.record import GateState
from rai_pipelines.governance.gate.rows import read_binding, row_of
from rai_pipelines.governance.ledger.storage import Happening
from rai_pipelines.governance.outbox import put
from rai_pipelines.governance.people.directory import Person
from rai_pipelines.subjects.names import ModelVersion

ACTOR = "system:escalation"
OWNER, DEPUTY = "owner", "deputy"
STEPS_AT_ONCE = 200  # in one round; the next one goes on
NAMED_AT_ONCE = 500  # in one query


@dataclass(frozen=True)
class Taken:
    """A step that this round took, and how many notices go out; none, where nobody holds the role or no way to tell them is set up."""

    step: Step
    notices: int


def escalate(keeper: Gatekeeper, channels: Channels) -> list[Taken]:
    """Take every step that is due.

    A step is recorded with its notices in one transaction, and the database keeps a second one out: a missed round catches up, and two
    rounds at once tell nobody twice.
    """
    rules = keeper.policy.escalation
    with keeper.engine.begin() as connection:
        now = keeper.ledger.lock(connection)
        waiting = _waiting(connection)
        steps = due_steps(waiting, rules, taken=_taken(connection, [item.about for item in waiting]), now=now)[:STEPS_AT_ONCE]
        return [_take(connection, keeper, channels, step, now=now) for step in steps]


def _waiting(connection: sa.Connection) -> list[Waiting]:
    found = []
    asks = (GateState.AWAITING_REVIEW.value, GateState.EXPIRED.value)
    for row in connection.execute(sa.select(gates).where(gates.c.state.in_(asks))):
        version = ModelVersion(row.model_name, row.model_version)
        found.append(Waiting(f"gate:{version.key}", row.state, row.severity, row.since, f"{version} is {row.state.replace('_', ' ')}: {row.reason}"))
    working = (CaseState.OPEN.value, CaseState.IN_PROGRESS.value)
    moved = _last_moved(connection, working)
    for row in connection.execute(sa.select(cases).where(cases.c.state.in_(working))):
        title = f"Case {row.id} is {row.state.replace('_', ' ')}: {CaseRequest.model_validate_json(row.content).title}"
        found.append(Waiting(f"case:{row.id}", f"case_{row.state}", row.severity, moved.get(row.id, row.opened_at), title))
    for row in connection.execute(sa.select(cases).where(cases.c.report_due_at.is_not(None), cases.c.reported_at.is_(None))):
        title = f"The report on case {row.id} ({row.incident_class}) is due on {row.report_due_at:%Y-%m-%d}"
        about = f"report:{row.id}:{row.report_due_at:%Y-%m-%d}"
        found.append(Waiting(about, "report", "critical", row.aware_at, title, deadline=row.report_due_at))
    return found


def _last_moved(connection: sa.Connection, working: Sequence[str]) -> dict[int, datetime]:
    """When cases came into the state that they are in; without those that are as they were opened."""
    at_work = sa.select(cases.c.id).where(cases.c.state.in_(working))
    moves = sa.select(case_events.c.case_id, sa.func.max(case_events.c.at).label("at"))
    moves = moves.where(case_events.c.what.startswith(MOVED_TO), case_events.c.case_id.in_(at_work)).group_by(case_events.c.case_id)
    return {row.case_id: row.at for row in connection.execute(moves)}


def _taken(connection: sa.Connection, about: Sequence[str]) -> set[tuple[str, datetime, int]]:
    found: set[tuple[str, datetime, int]] = set()
    for start in range(0, len(about), NAMED_AT_ONCE):
        chosen = sa.select(escalations.c.about, escalations.c.since, escalations.c.step)
        rows = connection.execute(chosen.where(escalations.c.about.in_(about[start : start + NAMED_AT_ONCE])))
        found |= {(row.about, row.since, row.step) for row in rows}
    return found


def _take(connection: sa.Connection, keeper: Gatekeeper, channels: Channels, step: Step, *, now: datetime) -> Taken:
    item = step.waiting
    fields = {"about": item.about, "since": item.since, "step": step.number, "role": step.role, "due_at": step.due_at, "taken_at": now}
    connection.execute(escalations.insert().values(**fields))
    model = _model_of(connection, item)
    notices = _notices(step, _people(connection, keeper, step.role, model), channels)
    for kind, payload in notices:
        put(connection, kind, payload["id"], payload, now=now)
    late = max(now - step.due_at, timedelta())
    body: dict[str, Any] = {
        "about": item.about[:250],
        "step": step.number,
        "role": step.role,
        "notices": len(notices),
        "deadline": step.deadline.isoformat(timespec="seconds"),
        "minutes_late": int(late.total_seconds() // 60),
    }
    keeper.ledger.append_within(connection, Happening("escalation", ACTOR, body, *(model or (None, None))))
    return Taken(step, len(notices))


def _notices(step: Step, people: Sequence[Person], channels: Channels) -> list[tuple[str, dict[str, Any]]]:
    """A mail to each of the people who has an address, and one message to the webhook, which is read by many. The id makes each one once."""
    item = step.waiting
    subject = f"[{item.severity}] {item.title}"[:200]
    lines = [
        item.title,
        f"It waits since {item.since:%Y-%m-%d %H:%M} UTC; the deadline is {step.deadline:%Y-%m-%d %H:%M} UTC.",
        f"This is for: {step.role}." + ("" if people else " Nobody is known in that role."),
    ]
    to: list[tuple[str, str]] = [(MAIL, person.mail) for person in people if person.mail] if channels.smtp else []
    to += [(WEBHOOK, "")] if channels.webhook else []
    found = []
    for kind, address in to:
        notice = digest_of([item.about, item.since.isoformat(), step.number, kind, address])[7:39]
        found.append((kind, {"id": notice, "to": address, "subject": subject, "text": "\n".join(lines)}))
    return found


def _model_of(connection: sa.Connection, item: Waiting) -> tuple[str, str] | None:
    """The model version that something is about; None for a case about none."""
    kind, _, rest = item.about.partition(":")
    if kind == "gate":
        version = ModelVersion.from_key(rest)
        return version.name, version.version
    content = connection.execute(sa.select(cases.c.content).where(cases.c.id == int(rest.partition(":")[0]))).scalar_one()
    request = CaseRequest.model_validate_json(content)
    return None if request.model_name is None or request.model_version is None else (request.model_name, request.model_version)


def _people(connection: sa.Connection, keeper: Gatekeeper, role: str, model: tuple[str, str] | None) -> list[Person]:
    """Who is told: the declared owner, the owner's deputy, or whoever holds the role."""
    directory = keeper.book.directory
    if role not in (OWNER, DEPUTY):
        return list(directory.in_role(role))
    binding = None if model is None else _binding(connection, model)
    owners = [] if binding is None else owners_of(binding, directory)
    if role == OWNER:
        return [person for person in owners if person.active]
    deputies = [directory.find(person.deputy) for person in owners if person.deputy]
    return [person for person in deputies if person is not None and person.active]


def _binding(connection: sa.Connection, model: tuple[str, str]) -> Binding | None:
    row = row_of(connection, ModelVersion(*model))
    return None if row is None else read_binding(connection, row.binding_digest)
