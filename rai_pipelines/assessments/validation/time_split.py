"""Is the evaluation table later than the training table? Periods, gap and overlap, zones, and times that cannot be right; all from counts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from rai_pipelines.assessments.validation.reading import NO_TRAINING, ValidatedTable
from rai_pipelines.assessments.validation.rows import Found
from rai_pipelines.assessments.validation.suite import Outcome
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.tables.instants import DAY_US, Times, rows_from, rows_until, times

FARTHEST_ZONE_H = 14  # a time without a zone may be that of Kiritimati
METRICS = ("not_later_share", "period_gap_days", "period_overlap_days")
NO_TIMESTAMP = "the datasheet names no timestamp"
AS_UTC = "times without a zone were read as UTC"


def time_split(
    training: ValidatedTable | None, evaluation: ValidatedTable, timestamp: str | None, *, private: bool, today: date
) -> tuple[Found, dict[str, Any] | None]:
    """`not_later_share` (evaluation rows not later than the newest training row), `period_gap_days`, `period_overlap_days`, and per table (group)
    `timestamp_missing_share`, `timestamp_unreadable_share`, `timestamp_future_share` (of readable ones).

    Future is what lies after `today`, in whichever zone. The details name the day only where a row lies after it, so that they do not change from
    day to day; they name the days at which periods begin and end unless the column is `private`.
    """
    if timestamp is None:
        return ([Measurement(metric=metric, value=None, state=State.UNAVAILABLE, note=NO_TIMESTAMP) for metric in METRICS], []), None
    measured: list[Measurement] = []
    outcomes: list[Outcome] = []
    found: dict[str, Times] = {}
    details: dict[str, Any] = {"column": timestamp, "tables": {}}
    for table in (training, evaluation):
        if table is None:
            continue
        if timestamp not in table.source.columns:
            outcomes.append(
                Outcome(table.name, "timestamp_to_exist", timestamp, "warning", False, "it does not", "the time that the datasheet names")
            )
            continue
        found[table.name] = held = times(table.source, timestamp)
        future = _future(table, timestamp, held, today)
        figures, judged = _quality(table.name, timestamp, held, future)
        measured += figures
        outcomes += judged
        details["tables"][table.name] = _facts(held, private)
        if future:
            details["future_is_after"] = today.isoformat()
    split, judged = _compared(training, evaluation, timestamp, found)
    return ([*split, *measured], [*outcomes, *judged]), details


def _future(table: ValidatedTable, timestamp: str, held: Times, today: date) -> int:
    end = datetime(today.year, today.month, today.day, tzinfo=UTC) + timedelta(days=1)
    if held.form != "aware":
        end += timedelta(hours=FARTHEST_ZONE_H)
    limit = (end - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return rows_from(table.source, timestamp, limit) if held.latest_us is not None and held.latest_us >= limit else 0


def _quality(name: str, timestamp: str, held: Times, future: int) -> Found:
    measured = []
    counts = (("missing", held.missing, held.rows), ("unreadable", held.unreadable, held.rows), ("future", future, held.readable))
    for kind, rows, of in counts:
        metric = f"timestamp_{kind}_share"
        where: dict[str, Any] = {"metric": metric, "n": held.rows, "denominator": of, "attribute": timestamp, "group": name}
        if of:
            measured.append(Measurement(value=rows / of, note=f"{rows} rows", **where))
        else:
            measured.append(Measurement(value=None, state=State.UNDEFINED, note="no time can be read", **where))

    def warning(expectation: str, success: bool | None, observed: str, expected: str) -> Outcome:
        return Outcome(name, expectation, timestamp, "warning", success, observed, expected)

    mixed = 0 < held.zoned < held.readable
    return measured, [
        warning(
            "timestamp_to_be_readable", held.unreadable == 0, f"{held.unreadable} of {held.rows} rows are not", "a date, a time or ISO 8601 text"
        ),
        warning(
            "timestamp_not_to_be_in_the_future",
            future == 0 if held.readable else None,
            f"{future} of {held.readable} rows are",
            "no later than the day of the audit",
        ),
        warning(
            "timestamp_zones_to_be_alike",
            not mixed if held.readable else None,
            f"{held.zoned} of {held.readable} rows tell a zone; {held.offsets} different zones",
            "a zone in all rows or in none",
        ),
    ]


def _compared(training: ValidatedTable | None, evaluation: ValidatedTable, timestamp: str, found: dict[str, Times]) -> Found:
    before, after = found.get("training"), found.get("evaluation")
    why = NO_TRAINING if training is None else None
    if why is None and (before is None or after is None):
        lacking = [name for name in ("training", "evaluation") if name not in found]
        why = f"no column {timestamp!r} in the {' and the '.join(lacking)} table"
    if why is None and before is not None and after is not None:
        unread = [name for name, held in found.items() if held.earliest_us is None]
        why = f"no time can be read in the {' and the '.join(unread)} table" if unread else None
    if why is not None or before is None or after is None:
        return [Measurement(metric=metric, value=None, attribute=timestamp, state=State.UNAVAILABLE, note=why) for metric in METRICS], []
    assert before.latest_us is not None and before.earliest_us is not None
    assert after.latest_us is not None and after.earliest_us is not None
    early = rows_until(evaluation.source, timestamp, before.latest_us)
    gap = max(0, after.earliest_us - before.latest_us) / DAY_US
    shared = max(0, min(before.latest_us, after.latest_us) - max(before.earliest_us, after.earliest_us)) / DAY_US
    zones = [held.zoned / held.readable for held in (before, after)]
    unlike = zones[0] != zones[1] or any(0 < share < 1 for share in zones)
    notes = [AS_UTC] if unlike else []
    if "date" in (before.form, after.form):
        notes.append("dates count as their midnight")
    where: dict[str, Any] = {"attribute": timestamp, "reference": "training", "comparison": "evaluation", "note": "; ".join(notes) or None}
    n = before.readable + after.readable
    measured = [
        Measurement(metric=METRICS[0], value=early / after.readable, n=after.rows, denominator=after.readable, **where),
        Measurement(metric=METRICS[1], value=gap, n=n, denominator=min(before.readable, after.readable), **where),
        Measurement(metric=METRICS[2], value=shared, n=n, denominator=min(before.readable, after.readable), **where),
    ]
    told = f"{early} of {after.readable} rows are not later than the newest training row"
    zones_told = "both tell their zone or neither does" if not unlike else "one table tells zones where the other does not"
    return measured, [
        Outcome("evaluation", "rows_to_be_later_than_training", timestamp, "warning", early == 0, told, "evaluation after the end of training"),
        Outcome("evaluation", "timestamp_zones_to_match_training", timestamp, "warning", not unlike, zones_told, "times of one kind in both tables"),
    ]


def _facts(held: Times, private: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "form": held.form, "rows": held.rows, "missing": held.missing, "unreadable": held.unreadable, "with_zone": held.zoned, "zones": held.offsets,
    }  # fmt: skip
    if not private:
        facts |= {"first_day": _day(held.earliest_us), "last_day": _day(held.latest_us)}
    return facts


def _day(microseconds: int | None) -> str | None:
    """ISO day; years that Python's calendar lacks have none."""
    if microseconds is None:
        return None
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)).date().isoformat()
    except OverflowError:
        return None
