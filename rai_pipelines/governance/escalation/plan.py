"""Which steps of escalation are due, as a pure function of what waits, since when, what was done already, and the time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rai_pipelines.governance.escalation.working_time import add_working_hours
from rai_pipelines.policy.escalation_rules import EscalationRules


@dataclass(frozen=True)
class Waiting:
    """Something that waits for somebody: a version at the gate (`gate:KEY`), a case (`case:N`) or a legal report (`report:N:DAY`).

    `since` is when it came into its state: what comes into another one, and a report that is due on another day, waits anew. `deadline` is set
    where the law gives it; otherwise it follows from `state` and `severity`.
    """

    about: str
    state: str
    severity: str
    since: datetime
    title: str
    deadline: datetime | None = None


@dataclass(frozen=True)
class Step:
    """A step that is due: the `number`-th for what waits, to the people of `role`."""

    waiting: Waiting
    number: int
    role: str
    due_at: datetime
    deadline: datetime


def due_steps(waiting: Sequence[Waiting], rules: EscalationRules, *, taken: Collection[tuple[str, datetime, int]], now: datetime) -> list[Step]:
    """Steps that are due and were not taken, the earliest first.

    After an outage several steps of the same thing can be due at once: each is due once, and none is left out, so that the record is whole.

    Args:
        waiting: what waits now. Something that waits again has another `since`, and begins anew.
        rules: deadlines, calendar and steps.
        taken: (about, since, number) of the steps that were taken.
        now: the present moment.
    """
    found = []
    for item in waiting:
        for step in schedule(item, rules):
            if step.due_at <= now and (item.about, item.since, step.number) not in taken:
                found.append(step)
    return sorted(found, key=lambda step: (step.due_at, step.waiting.about, step.number))


def schedule(item: Waiting, rules: EscalationRules) -> list[Step]:
    """Every step for what waits, with its time; none where the rules give it no deadline."""
    legal = item.deadline is not None
    calendar = None if legal or item.severity in rules.round_the_clock else rules.calendar
    if item.deadline is not None:
        deadline, due = item.deadline, item.deadline - timedelta(hours=rules.report_warning_hours)
    elif item.state in rules.waiting:
        deadline = due = add_working_hours(item.since, rules.waiting[item.state].of(item.severity), calendar)
    else:
        return []
    steps = []
    for number, step in enumerate(rules.steps):
        if number:
            due = add_working_hours(due, step.after.of(item.severity), calendar)
        steps.append(Step(item, number, step.tell, due, deadline))
    return steps
