"""Times of rows as whole microseconds since 1970, computed in the engine, and counts of those that cannot be read or have no zone.

Dates are their midnight. Texts are read as ISO 8601 (2024-02-29, 2024-02-29T12:30:00.5+02:00, ...Z); a time without a zone is read as UTC.
Numbers are no times: whether they are seconds, milliseconds or years cannot be told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rai_pipelines.tables.profile import whole

if TYPE_CHECKING:
    from rai_pipelines.tables.source import TableSource

Form = Literal["date", "naive", "aware", "text", "other"]

SECOND_US, DAY_US = 1_000_000, 86_400_000_000
SHIFT_DAYS = 719_468  # from 0000-03-01 to 1970-01-01
ISO_8601 = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?[ ]?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?$"
HAS_ZONE = r"[0-9][ ]?(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
HAS_CLOCK = r"^[^T ]+[T ][0-9]"


@dataclass(frozen=True)
class Times:
    """The times of one column in counts: `earliest_us` and `latest_us` are microseconds since 1970, None where no time can be read.

    `missing` rows have no value, `unreadable` ones a value that is no time, `zoned` readable ones tell their zone. `offsets` counts the
    different zones that texts tell (1 for a column that has a zone as its type, 0 without).
    """

    form: Form
    rows: int
    missing: int
    unreadable: int
    zoned: int
    offsets: int
    earliest_us: int | None
    latest_us: int | None

    @property
    def readable(self) -> int:
        """Rows whose time is known."""
        return self.rows - self.missing - self.unreadable


def times(source: TableSource, column: str) -> Times:
    """Counts and edges of the times in `column`, over all rows.

    Raises:
        DataError: the column is not there, or the engine refuses.
    """
    source.require(column)
    values, form, instant = source.table()[column], form_of(source, column), instant_us(source, column)
    # projected first: the engine then reads a text once, and not once per figure
    read = {"value": values} | ({} if instant is None else {"us": instant}) | ({"zone": _zone(values)} if form == "text" else {})
    table = source.table().select(**read)
    figures: dict[str, Any] = {"rows": table.count(), "missing": table.value.isnull().sum()}
    if instant is not None:
        figures |= {"readable": table.us.count(), "low": table.us.min(), "high": table.us.max()}
    if form == "text":
        known = table.us.notnull()
        figures |= {"zoned": (known & table.zone.notnull()).sum(), "offsets": table.zone.nunique(where=known)}
    row = source.to_arrow(table.aggregate(**figures)).to_pylist()[0]
    rows, missing, readable = int(row["rows"]), int(row["missing"] or 0), int(row.get("readable") or 0)
    zoned = readable if form == "aware" else int(row.get("zoned") or 0)
    offsets = int(form == "aware") if form != "text" else int(row["offsets"])
    return Times(form, rows, missing, rows - missing - readable, zoned, offsets, row.get("low"), row.get("high"))


def rows_until(source: TableSource, column: str, limit_us: int) -> int:
    """Rows whose time is not later than `limit_us`.

    Raises:
        DataError: as `times`.
    """
    return _rows_where(source, column, lambda instant: instant <= limit_us)


def rows_from(source: TableSource, column: str, limit_us: int) -> int:
    """Rows whose time is `limit_us` or later.

    Raises:
        DataError: as `times`.
    """
    return _rows_where(source, column, lambda instant: instant >= limit_us)


def form_of(source: TableSource, column: str) -> Form:
    """How the column holds times."""
    kind = source.table()[column].type()
    if kind.is_timestamp():
        return "aware" if kind.timezone else "naive"
    if kind.is_date():
        return "date"
    return "text" if kind.is_string() else "other"


def instant_us(source: TableSource, column: str) -> Any:
    """The expression of the column's times as int64 microseconds since 1970, null where none can be read; None where the type holds no times."""
    values, form = source.table()[column], form_of(source, column)
    if form == "other":
        return None
    if form == "text":
        return _parsed(values)
    moment = values.cast("timestamp")
    # engines round the seconds of a time with a fraction, each in its own way
    return moment.truncate("s").epoch_seconds().cast("int64") * SECOND_US + moment.microsecond().cast("int64")


def _rows_where(source: TableSource, column: str, condition: Any) -> int:
    instant = instant_us(source, column)
    return 0 if instant is None else whole(source.run(source.table().aggregate(n=condition(instant).sum())).iloc[0]["n"])


def _parsed(values: Any) -> Any:
    """ISO 8601 text by arithmetic on its digits: an engine's own cast ends the whole query at the first text it cannot read."""
    import ibis

    text = ibis.ifelse(values.re_search(ISO_8601), values, ibis.null("string"))
    with_clock = text.re_search(HAS_CLOCK)

    def digits(start: int, count: int, present: Any = None) -> Any:
        piece = text.substr(start, count)
        return piece.cast("int64") if present is None else ibis.ifelse(present, piece, "0").cast("int64")

    year, month, day = digits(0, 4), digits(5, 2), digits(8, 2)
    with_seconds = with_clock & text.re_search(r"^[^T ]+[T ][0-9]{2}:[0-9]{2}:")
    with_fraction = with_seconds & text.contains(".")
    hour, minute = digits(11, 2, with_clock), digits(14, 2, with_clock)
    second = digits(17, 2, with_seconds)
    fraction = ibis.ifelse(with_fraction, text.re_extract(r"[.]([0-9]+)", 1) + "000000", "000000").substr(0, 6).cast("int64")
    zone = _zone(text)
    offset_minutes = _offset_minutes(zone)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    longest = ibis.cases((month == 2, ibis.ifelse(leap, 29, 28)), (month.isin([4, 6, 9, 11]), 30), else_=31)
    valid = month.between(1, 12) & (day >= 1) & (day <= longest) & (hour <= 23) & (minute <= 59) & (second <= 59) & (offset_minutes.abs() <= 18 * 60)
    # days since 1970 in the proleptic Gregorian calendar, counted in years that begin in March
    early = ibis.ifelse(month <= 2, 1, 0)
    shifted, position = year - early, month + ibis.ifelse(month > 2, -3, 9)
    days = shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400 + (position * 153 + 2) // 5 + day - 1 - SHIFT_DAYS
    seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset_minutes * 60
    return ibis.ifelse(valid, seconds * SECOND_US + fraction, ibis.null("int64")).cast("int64")


def _zone(text: Any) -> Any:
    """`Z` or the offset at the end of a text, null where there is none."""
    import ibis

    return ibis.ifelse(text.re_search(HAS_CLOCK) & text.re_search(HAS_ZONE), text.re_extract(r"(Z|[+-][0-9:]+)$", 1), ibis.null("string"))


def _offset_minutes(zone: Any) -> Any:
    import ibis

    told = zone.notnull() & (zone != "Z")
    plain = ibis.ifelse(told, zone.replace(":", ""), "+0000") + "00"
    minutes = plain.substr(1, 2).cast("int64") * 60 + plain.substr(3, 2).cast("int64")
    return ibis.ifelse(plain.startswith("-"), -minutes, minutes)
