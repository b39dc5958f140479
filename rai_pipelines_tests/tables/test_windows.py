"""Windows of decisions: equally many by time, counted from the oldest, the same whatever the order of rows, on every engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_pipelines.errors import DataError
from rai_pipelines.tables.source import TableSource, open_table, table_of
from rai_pipelines.tables.windows import WINDOW, decision_windows
from rai_pipelines_tests.postgres import PostgresServer

DAY = pd.Timestamp("2026-01-01", tz="UTC")


def decisions(minutes: list[int | None], **columns: Any) -> pd.DataFrame:
    at = [DAY + pd.Timedelta(minutes=minute) if minute is not None else pd.NaT for minute in minutes]
    return pd.DataFrame({"at": pd.Series(at, dtype="datetime64[us, UTC]"), "id": range(len(minutes)), **columns})


def cut(frame: pd.DataFrame, **asked: Any) -> Any:
    return decision_windows(table_of(frame, name="production"), "at", **{"size": 3, "most": 10, **asked})


def test_windows_have_the_asked_number_of_decisions_by_time_and_the_last_one_is_not_complete() -> None:
    found = cut(decisions([50, 10, 20, 40, 30, 0, 60]))
    assert [(item.number, item.rows, item.complete) for item in found.windows] == [(0, 3, True), (1, 3, True), (2, 1, False)]
    held = found.source.run(found.source.table())
    assert held.sort_values("at")[WINDOW].tolist() == [0, 0, 0, 1, 1, 1, 2]
    first = found.windows[0]
    assert (first.latest_us - first.earliest_us) / 60e6 == 20
    assert (found.decisions, found.undated) == (7, 0)


def test_only_the_newest_windows_are_kept_and_their_numbers_stay() -> None:
    found = cut(decisions(list(range(20))), most=2)
    assert [item.number for item in found.windows] == [5, 6]
    assert sorted(found.source.run(found.source.table())["id"]) == list(range(15, 20))


def test_a_window_keeps_its_rows_when_the_log_grows() -> None:
    early, late = (_held(cut(decisions(list(range(length)))).source) for length in (7, 12))
    for number in (0, 1):
        rows = [[row for row, window in held if window == number] for held in (early, late)]
        assert rows[0] == rows[1] == list(range(3 * number, 3 * number + 3))


def test_decisions_without_a_time_are_counted_and_belong_to_no_window() -> None:
    found = cut(decisions([0, None, 1, None, 2]))
    assert (found.decisions, found.undated, [item.rows for item in found.windows]) == (3, 2, [3])


def test_without_any_time_there_is_no_window() -> None:
    found = cut(decisions([None, None]))
    assert found.windows == () and found.undated == 2


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=40), st.integers(1, 7), st.randoms(use_true_random=False))
def test_the_order_of_rows_decides_nothing_and_one_moment_stands_in_one_window(minutes: list[int], size: int, shuffler: Any) -> None:
    frame = decisions(list(minutes))
    order = list(range(len(minutes)))
    shuffler.shuffle(order)
    found, other = cut(frame, size=size, most=100), cut(frame.iloc[order].reset_index(drop=True), size=size, most=100)
    assert found.windows == other.windows
    held = found.source.run(found.source.table())
    assert held.groupby("at")[WINDOW].nunique().max() == 1
    expected = {minute: sum(other < minute for other in minutes) // size for minute in minutes}
    assert held[WINDOW].tolist() == [expected[minute] for minute in minutes] or sorted(held[WINDOW]) == sorted(expected[minute] for minute in minutes)
    assert sum(item.rows for item in found.windows) == len(minutes)


def test_a_column_that_holds_no_times_is_refused_with_its_name() -> None:
    with pytest.raises(DataError, match="column 'id' of the production table holds no times"):
        decision_windows(table_of(decisions([0, 1]), name="production"), "id", size=2, most=2)
    with pytest.raises(DataError, match="no column 'when'"):
        decision_windows(table_of(decisions([0, 1]), name="production"), "when", size=2, most=2)


def test_files_texts_and_postgresql_are_cut_alike(tmp_path: Path, postgres: PostgresServer) -> None:
    rng = np.random.default_rng(3)
    frame = decisions(sorted(rng.integers(0, 500, 300).tolist()))
    frame.to_parquet(tmp_path / "log.parquet")
    texts = frame.assign(at=frame["at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    texts.to_csv(tmp_path / "log.csv", index=False)
    postgres.create_database("windows")
    url = postgres.url("windows", "postgres", postgres.password)
    engine = sa.create_engine(postgres.url("windows", "postgres", postgres.password, driver="+psycopg2"))
    frame.to_sql("log", engine, index=False)
    engine.dispose()
    sources = [open_table(name, name="production", data_folder=tmp_path) for name in ("log.parquet", "log.csv")]
    sources.append(open_table(f"{url}::log", name="production", data_folder=tmp_path))
    found = [decision_windows(source, "at", size=50, most=4) for source in sources]
    assert found[0].windows == found[1].windows == found[2].windows and len(found[0].windows) == 4
    held = [_held(item.source) for item in found]
    assert held[0] == held[1] == held[2]


def _held(source: TableSource) -> list[tuple[int, int]]:
    """Rows and the windows they are in, sorted."""
    return sorted((int(row["id"]), int(row[WINDOW])) for _, row in source.run(source.table().select("id", WINDOW)).iterrows())
