"""A connection that PostgreSQL drops in the middle of a query: the query is asked again, whole, or the audit is told; nothing is half counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from rai_pipelines.errors import DataError
from rai_pipelines.tables import source as room
from rai_pipelines.tables.overlap import duplicate_rows, overlap
from rai_pipelines.tables.source import TableSource, open_table, table_of
from rai_pipelines_tests.postgres import PostgresServer

ROWS = 400
SLOW_QUERY = f"SELECT i AS x, pg_sleep(0.002) IS NULL AS slept FROM generate_series(1, {ROWS}) AS i"


@pytest.fixture(scope="module")
def server(postgres: PostgresServer) -> PostgresServer:
    postgres.create_database("numbers")
    with postgres.connect("numbers") as connection:
        connection.execute("CREATE ROLE caller LOGIN PASSWORD 'hush77'; GRANT CONNECT ON DATABASE numbers TO caller")
        connection.execute("CREATE TABLE numbers AS SELECT i AS x FROM generate_series(1, 100) AS i; CREATE TABLE closed (x int)")
        connection.execute("GRANT SELECT ON numbers TO caller")
    return postgres


def opened(server: PostgresServer, table: str) -> TableSource:
    return open_table(f"postgresql://caller:hush77@127.0.0.1:{server.port}/numbers::{table}", name="training", data_folder=Path("unused"))


@contextmanager
def sessions_are_killed(server: PostgresServer, *, times: int) -> Iterator[list[int]]:
    """End the session of `caller` while it runs a slow query, up to `times` times; the list holds the server processes that ended."""
    killed: list[int] = []
    stopped = threading.Event()

    def kill() -> None:
        with server.connect("numbers") as connection:
            while len(killed) < times and not stopped.wait(0.05):
                # only in mid-query: a query that has run for a tenth of a second, of those that take almost a whole one
                found = connection.execute(
                    "SELECT pid FROM pg_stat_activity WHERE usename = 'caller' AND state = 'active' "
                    "AND clock_timestamp() - query_start > interval '0.1 s' AND pid <> ALL(%s)",
                    (killed,),
                ).fetchall()
                for (process,) in found:
                    connection.execute("SELECT pg_terminate_backend(%s)", (process,))
                    killed.append(process)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        stopped.set()
        killer.join()


@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_query_whose_session_is_killed_is_run_again_whole(server: PostgresServer, times: int) -> None:
    source = opened(server, SLOW_QUERY)
    source.table()
    with sessions_are_killed(server, times=times) as killed:
        assert source.count_rows() == ROWS
    assert len(set(killed)) == times
    assert source.run(source.table().x.sum()) == ROWS * (ROWS + 1) // 2, "expressions made before hold over the new connection"


def test_a_session_that_is_killed_every_time_is_a_data_error_after_three_attempts(server: PostgresServer) -> None:
    source = opened(server, SLOW_QUERY)
    with sessions_are_killed(server, times=99) as killed, pytest.raises(DataError) as caught:
        source.count_rows()
    assert len(killed) == 3
    assert "The connection broke 3 times" in str(caught.value)
    assert "terminating connection" in str(caught.value) and "hush" not in str(caught.value)
    assert source.count_rows() == ROWS, "it works again when the database does"


def test_rows_that_stream_are_not_asked_again_when_the_session_is_killed(server: PostgresServer) -> None:
    source = opened(server, SLOW_QUERY)
    with sessions_are_killed(server, times=1) as killed, pytest.raises(DataError, match="cannot be read to its end") as caught:
        list(source.batches(("x",), 200))
    assert len(killed) == 1
    assert "hush77" not in str(caught.value)


def test_a_session_that_ended_between_two_queries_is_replaced(server: PostgresServer) -> None:
    source = opened(server, "numbers")
    source.table()
    with server.connect("numbers") as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'caller'")
    time.sleep(0.1)
    assert duplicate_rows(source).distinct == 100


def test_what_travelled_to_the_database_travels_again_over_the_new_connection(server: PostgresServer) -> None:
    source, few = opened(server, "numbers"), table_of(pd.DataFrame({"x": [1, 2, 1_000]}), name="evaluation")
    with server.connect("numbers") as connection:
        connection.execute("GRANT TEMPORARY ON DATABASE numbers TO caller")
        assert overlap(source, few, ["x"]).shared == 2
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'caller'")
    time.sleep(0.1)
    assert overlap(source, few, ["x"]).shared == 2


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("SELECT 1 / (x - 1) AS x FROM numbers", "division by zero"),
        ("closed", "permission denied"),
        ("SELECT x::text::date AS x FROM numbers", "invalid input syntax"),
        ("SELECT set_config('statement_timeout', '50', false) AS x, pg_sleep(1) IS NULL AS slept", "statement timeout"),
    ],
)
def test_what_the_database_refuses_is_not_asked_again(server: PostgresServer, monkeypatch: pytest.MonkeyPatch, table: str, words: str) -> None:
    def never(seconds: float) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(room, "sleep", never)
    source = opened(server, table)
    with pytest.raises(DataError, match=words):
        source.run(source.table().x.max())
        source.run(source.table().count())
