"""Working time: when so many working hours after a moment are over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from rai_pipelines.errors import PolicyError
from rai_pipelines.policy.escalation_rules import Calendar

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MOST_DAYS = 3660  # a calendar in which nobody works for ten years is a mistake


def add_working_hours(start: datetime, hours: float, calendar: Calendar | None) -> datetime:
    """The moment (UTC) at which `hours` of the calendar have passed since `start`; every hour counts without a calendar or its days.

    Opening hours are wall-clock time of the calendar's zone: on a day on which clocks change, it is open for as long as the clock on the wall says
    between opening and closing, measured in real time.

    Raises:
        PolicyError: the calendar does not have as many hours within ten years.
    """
    if calendar is None or not calendar.days:
        return start.astimezone(UTC) + timedelta(hours=hours)
    zone, left = ZoneInfo(calendar.zone), timedelta(hours=hours)
    at = start.astimezone(UTC)
    day = start.astimezone(zone).date()
    for _ in range(MOST_DAYS):
        if WEEKDAYS[day.weekday()] in calendar.days and day not in calendar.holidays:
            opens = datetime.combine(day, calendar.opens, zone).astimezone(UTC)
            closes = datetime.combine(day, calendar.closes, zone).astimezone(UTC)
            begins = max(at, opens)
            if begins < closes:
                if left <= closes - begins:
                    return begins + left
                left -= closes - begins
        day += timedelta(days=1)
    raise PolicyError(f"has no {hours:g} working hours within ten years", where="escalation.calendar", hint="Check days, opens, closes and holidays")
