"""Deadlines in working time, and which steps are due: once each, whatever was missed."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_pipelines.errors import PolicyError
from rai_pipelines.governance.escalation.plan import Waiting, due_steps, schedule
from rai_pipelines.governance.escalation.working_time import add_working_hours
from rai_pipelines.policy.escalation_rules import Calendar, EscalationRules

OFFICE = Calendar(zone="Europe/Berlin", holidays=(date(2026, 12, 25), date(2027, 1, 1)))
FRIDAY = datetime(2026, 12, 18, 15, 0, tzinfo=UTC)  # 16:00 in Berlin
RULES = EscalationRules(calendar=OFFICE)


def berlin(day: str, hour: str) -> datetime:
    return datetime.fromisoformat(f"{day}T{hour}").replace(tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)


@pytest.mark.parametrize(
    ("start", "hours", "end"),
    [
        (berlin("2026-12-18", "16:00"), 1, berlin("2026-12-18", "17:00")),
        (berlin("2026-12-18", "16:00"), 2, berlin("2026-12-21", "10:00")),
        (berlin("2026-12-19", "12:00"), 1, berlin("2026-12-21", "10:00")),
        (berlin("2026-12-24", "16:30"), 1, berlin("2026-12-28", "09:30")),  # a holiday and a weekend between
        (berlin("2026-12-21", "07:00"), 8, berlin("2026-12-21", "17:00")),
    ],
)
def test_working_hours_leave_out_nights_weekends_and_holidays(start: datetime, hours: float, end: datetime) -> None:
    assert add_working_hours(start, hours, OFFICE) == end


def test_without_a_calendar_every_hour_counts() -> None:
    assert add_working_hours(FRIDAY, 48, None) == add_working_hours(FRIDAY, 48, Calendar(days=())) == FRIDAY + timedelta(hours=48)


def test_a_calendar_in_which_nobody_works_is_a_mistake() -> None:
    never = Calendar(days=("monday",), holidays=tuple(date(2026, 1, 5) + timedelta(weeks=week) for week in range(600)))
    with pytest.raises(PolicyError, match="no 1 working hours within ten years"):
        add_working_hours(FRIDAY, 1, never)


@given(
    day=st.integers(min_value=0, max_value=270),
    minute=st.integers(min_value=0, max_value=24 * 60 - 1),
    minutes=st.integers(min_value=1, max_value=60 * 20),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
)
@settings(max_examples=20, deadline=None)
def test_it_is_what_walking_minute_by_minute_gives(day: int, minute: int, minutes: int, zone: str) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=day, minutes=minute)
    calendar = Calendar(zone=zone, opens=time(8), closes=time(18), holidays=(date(2026, 5, 1),))
    at, left = start, minutes
    while left:
        local = at.astimezone(ZoneInfo(zone))
        if local.weekday() < 5 and local.date() != date(2026, 5, 1) and time(8) <= local.time() < time(18):
            left -= 1
        at += timedelta(minutes=1)
    assert add_working_hours(start, minutes / 60, calendar) == at


def waiting(severity: str = "high", since: datetime = FRIDAY, about: str = "gate:loans/1", state: str = "awaiting_review") -> Waiting:
    return Waiting(about, state, severity, since, "loans/1 waits")


def test_the_steps_follow_each_other_from_the_deadline_on() -> None:
    steps = schedule(waiting(), RULES)
    assert [step.role for step in steps] == ["owner", "deputy", "ethics_officer", "board"]
    assert steps[0].due_at == steps[0].deadline == berlin("2026-12-22", "16:00"), "16 working hours"
    assert [step.due_at for step in steps] == sorted(step.due_at for step in steps)


def test_what_is_critical_is_counted_round_the_clock() -> None:
    assert schedule(waiting("critical"), RULES)[0].due_at == FRIDAY + timedelta(hours=8)


def test_a_legal_deadline_is_warned_of_before_it_and_is_no_working_time() -> None:
    deadline = FRIDAY + timedelta(days=10)
    steps = schedule(Waiting("report:1", "report", "critical", FRIDAY, "report", deadline=deadline), RULES)
    assert steps[0].due_at == deadline - timedelta(hours=24)
    assert steps[-1].due_at == deadline - timedelta(hours=18), "two hours between steps: the board knows before it is too late"


def test_what_has_no_deadline_is_never_escalated() -> None:
    assert schedule(waiting(state="approved"), RULES) == []


def test_a_missed_tick_catches_up_in_order_and_nothing_is_taken_twice() -> None:
    items = [waiting(), waiting(about="case:1", state="case_open")]
    late = FRIDAY + timedelta(days=60)
    steps = due_steps(items, RULES, taken=(), now=late)
    assert len(steps) == 8 and [step.due_at for step in steps] == sorted(step.due_at for step in steps)
    taken = {(step.waiting.about, step.waiting.since, step.number) for step in steps}
    assert due_steps(items, RULES, taken=taken, now=late) == []
    assert len(due_steps([waiting(since=FRIDAY + timedelta(days=1))], RULES, taken=taken, now=late)) == 4, "it waits again: it begins anew"


@given(st.lists(st.integers(min_value=0, max_value=24 * 30), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_whenever_the_ticks_come_each_step_is_taken_once_and_not_before_its_time(hours: list[int]) -> None:
    taken: set[tuple[str, datetime, int]] = set()
    for hour in sorted(hours):
        now = FRIDAY + timedelta(hours=hour)
        for step in due_steps([waiting()], RULES, taken=taken, now=now):
            key = (step.waiting.about, step.waiting.since, step.number)
            assert key not in taken and step.due_at <= now
            taken.add(key)
    wanted = {step.number for step in schedule(waiting(), RULES) if step.due_at <= FRIDAY + timedelta(hours=max(hours))}
    assert {number for _, _, number in taken} == wanted
