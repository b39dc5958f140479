"""Times are read as Python reads them, in files and in PostgreSQL; what is no time ends no query."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rai_pipelines.tables.instants import instant_us, rows_from, rows_until, times
from rai_pipelines.tables.source import open_table, table_of
from rai_pipelines_tests.postgres import PostgresServer

TEXTS = [
    "2024-02-29", "2023-02-29", "1900-02-29", "2000-02-29", "2024-02-29T12:30", "2024-02-29 12:30:05", "2024-02-29T12:30:05.5Z",
    "2024-02-29T12:30:05.123456+02:00", "1960-01-01T00:00:00.7-05:30", "2024-02-29T12:30+0200", "hello", "", "2024-13-01", "2024-00-10",
    "0001-01-01", "9999-12-31T23:59:59.999999Z", "2024-02-29T25:00", "2024-02-29T23:60", "24-02-29", "2024-02-29T12:30:05.5Z; DROP", None,
]  # fmt: skip


def by_python(text: str | None) -> int | None:
    """Microseconds since 1970 as the standard library reads ISO 8601."""
    if text is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def read(texts: list[str | None]) -> list[int | None]:
    source = table_of(pd.DataFrame({"row": range(len(texts)), "t": pd.Series(texts, dtype="string")}))
    found = source.to_arrow(source.table().select("row", us=instant_us(source, "t")).order_by("row"))
    us: list[int | None] = found["us"].to_pylist()
    return us


def test_texts_are_read_as_the_standard_library_reads_them() -> None:
    assert read(TEXTS) == [by_python(text) for text in TEXTS]


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.datetimes(timezones=st.sampled_from([None, dt.UTC, dt.timezone(dt.timedelta(hours=-9, minutes=-30))])), min_size=1, max_size=20))
def test_any_time_is_read_to_the_microsecond(moments: list[dt.datetime]) -> None:
    texts: list[str | None] = [moment.isoformat() for moment in moments]
    assert read(texts) == [by_python(text) for text in texts]


@pytest.fixture(scope="module")
def server(postgres: PostgresServer) -> PostgresServer:
    postgres.create_database("instants")
    with postgres.connect("instants") as connection:
        connection.execute("CREATE TABLE t (row bigint, t text, aware timestamptz, naive timestamp, day date)")
        with connection.cursor() as cursor, cursor.copy("COPY t FROM STDIN") as copy:
            for row, text in enumerate(TEXTS):
                moment = dt.datetime(1960, 1, 1, 0, 0, row, 700_000, tzinfo=dt.UTC)
                copy.write_row((row, text, moment, moment.replace(tzinfo=None), moment.date()))
    return postgres


def test_postgresql_reads_the_same(server: PostgresServer) -> None:
    address = f"postgresql://postgres:{server.password}@127.0.0.1:{server.port}/instants::t"
    source = open_table(address, name="training", data_folder=Path("unused"))
    columns = {name: instant_us(source, name) for name in ("t", "aware", "naive", "day")}
    found = source.to_arrow(source.table().select(n="row", **columns).order_by("n"))
    assert found["t"].to_pylist() == [by_python(text) for text in TEXTS]
    seconds = [by_python(f"1960-01-01T00:00:{row:02}.7") for row in range(len(TEXTS))]
    assert found["aware"].to_pylist() == found["naive"].to_pylist() == seconds
    assert set(found["day"].to_pylist()) == {by_python("1960-01-01")}
    assert times(source, "t") == times(table_of(pd.DataFrame({"t": pd.Series(TEXTS, dtype="string")})), "t")


def test_times_are_counted() -> None:
    source = table_of(pd.DataFrame({"t": pd.Series(TEXTS, dtype="string")}))
    known = [us for us in map(by_python, TEXTS) if us is not None]
    found = times(source, "t")
    assert (found.rows, found.missing, found.readable) == (len(TEXTS), 1, len(known))
    assert (found.earliest_us, found.latest_us) == (min(known), max(known))
    assert (found.zoned, found.offsets) == (5, 4), "Z, +02:00, -05:30, +0200"
    limit = sorted(known)[2]
    assert rows_until(source, "t", limit) == 3
    assert rows_from(source, "t", limit) == len(known) - 2


def test_numbers_hold_no_times() -> None:
    found = times(table_of(pd.DataFrame({"t": [2024, 2025]})), "t")
    assert (found.form, found.readable, found.unreadable, found.earliest_us) == ("other", 0, 2, None)
