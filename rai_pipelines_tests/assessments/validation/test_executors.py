"""Great Expectations on pandas and the aggregation in the engine come to the same outcomes, whatever is in the table."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rai_pipelines.assessments.validation.executors import ALLOWED, run
from rai_pipelines.assessments.validation.patterns import portable
from rai_pipelines.assessments.validation.suite import Outcome, Planned
from rai_pipelines.tables.source import TableSource, open_table, table_of
from rai_pipelines_tests.postgres import PostgresServer

SCHEMA = pa.schema([("n", pa.int64()), ("x", pa.float64()), ("t", pa.string()), ("b", pa.bool_()), ("d", pa.timestamp("us")), ("y", pa.date32())])
NEW_YEAR = dt.datetime.fromisoformat("2024-01-01")
HALF_SECOND = dt.datetime.fromisoformat("1960-01-01T00:00:00.5")
ROW = st.tuples(
    st.one_of(st.none(), st.integers(-5, 5)),
    st.sampled_from([None, 1.5, -0.0, 0.0, float("nan"), float("inf"), -float("inf"), 2.0]),
    st.sampled_from([None, "", "a", "A", "b", " a", "é", "🙂", "12"]),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, NEW_YEAR, HALF_SECOND]),
    st.sampled_from([None, dt.date(2024, 1, 1), dt.date(1960, 5, 5)]),
)
FIXED: list[Any] = [
    (1, 1.5, "a", True, NEW_YEAR, dt.date(2024, 1, 1)),
    (None, float("nan"), "", None, None, None),
    (-4, float("inf"), "12", False, HALF_SECOND, dt.date(1960, 5, 5)),
    (1, -0.0, "A", True, NEW_YEAR, None),
]


def planned(kind: str, column: str | None, **kwargs: Any) -> Planned:
    return Planned("evaluation", kind, "warning", "what is said", column, kwargs)


def suite() -> list[Planned]:
    """Every expectation that both run, with and without `mostly`, on columns of every type, fitting or not."""
    made = [
        planned("ExpectColumnToExist", "n"),
        planned("ExpectColumnToExist", "absent"),
        planned("ExpectColumnValuesToBeUnique", "absent"),
        planned("ExpectTableRowCountToBeBetween", None, min_value=2, max_value=9),
        planned("ExpectTableRowCountToBeBetween", None, max_value=4, strict_max=True),
    ]
    for name in SCHEMA.names:
        made += [
            planned("ExpectColumnValuesToNotBeNull", name, mostly=0.5),
            planned("ExpectColumnValuesToBeNull", name, mostly=0.5),
            planned("ExpectColumnValuesToBeUnique", name, mostly=0.75),
            planned("ExpectColumnUniqueValueCountToBeBetween", name, min_value=2, max_value=3, strict_max=True),
            planned("ExpectColumnValuesToBeInSet", name, value_set=["a", 1, 2.0, True, 1.5, "12", 0], mostly=0.5),
            planned("ExpectColumnValuesToNotBeInSet", name, value_set=["A", 0, False, "é"]),
            planned("ExpectColumnValuesToBeInSet", name, value_set=[]),
            planned("ExpectColumnValuesToBeBetween", name, min_value=-1, max_value=2, mostly=0.5),
            planned("ExpectColumnValuesToBeBetween", name, min_value=0, strict_min=True),
            planned("ExpectColumnValuesToBeBetween", name, min_value="1960-01-01T00:00:00.5Z", max_value="2024-01-01", strict_max=True),
            planned("ExpectColumnValueLengthsToBeBetween", name, min_value=1, max_value=1, mostly=0.25),
        ]
    return made


def table(rows: list[Any], folder: Path) -> TableSource:
    columns = [pa.array([row[position] for row in rows], kind) for position, kind in enumerate(SCHEMA.types)]
    pq.write_table(pa.table(columns, schema=SCHEMA), folder / "t.parquet")
    return open_table("t.parquet", name="evaluation", data_folder=folder)


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROW, min_size=1, max_size=12))
def test_both_executors_come_to_the_same_outcomes(tmp_path: Path, rows: list[Any]) -> None:
    source = table(rows, tmp_path)
    assert run(suite(), source, None) == run(suite(), source, source.sample(100, seed=0))


def test_the_outcomes_are_those_that_a_person_counts(tmp_path: Path) -> None:
    found = {(item.expectation, item.column): item for item in run(suite(), table(FIXED, tmp_path), None)}

    def said(expectation: str, column: str | None) -> tuple[bool | None, str]:
        item = found[expectation, column]
        return item.success, item.observed

    assert said("expect_column_values_to_not_be_null", "x") == (True, "1 of 4 rows are not so")
    assert said("expect_column_values_to_be_unique", "n") == (False, "2 of 4 rows are not so")
    assert said("expect_column_values_to_not_be_in_set", "b") == (False, "1 of 4 rows are not so")
    assert said("expect_column_value_lengths_to_be_between", "t") == (True, "2 of 4 rows are not so")
    assert said("expect_column_values_to_be_between", "d") == (False, "2 of 4 rows are not so"), "the last one planned: between two times"
    assert said("expect_column_values_to_be_in_set", "d") == (False, "could not be evaluated: the values are of another type")
    assert said("expect_column_values_to_be_unique", "absent") == (False, "could not be evaluated: the column is not there")


def test_every_allowed_expectation_is_compared() -> None:
    regexes = {"ExpectColumnValuesToMatchRegex", "ExpectColumnValuesToNotMatchRegex"}
    assert {item.type for item in suite()} == set(ALLOWED) - regexes


@pytest.fixture(scope="module")
def server(postgres: PostgresServer) -> PostgresServer:
    postgres.create_database("expectations")
    with postgres.connect("expectations") as connection:
        connection.execute("CREATE TABLE t (n bigint, x float8, t text, b boolean, d timestamp, y date)")
        with connection.cursor() as cursor, cursor.copy("COPY t FROM STDIN") as copy:
            for row in FIXED:
                copy.write_row(row)
    return postgres


def test_postgresql_counts_what_great_expectations_counts(tmp_path: Path, server: PostgresServer) -> None:
    address = f"postgresql://postgres:{server.password}@127.0.0.1:{server.port}/expectations::t"
    in_sql, in_file = open_table(address, name="evaluation", data_folder=tmp_path), table(FIXED, tmp_path)
    assert run(suite(), in_sql, None) == run(suite(), in_file, in_file.sample(100, seed=0))
    assert run(matching(r"^[aA]?$"), in_sql, None) == run(matching(r"^[aA]?$"), in_file, None)


def matching(pattern: str) -> list[Planned]:
    return [planned(f"ExpectColumnValuesTo{kind}Regex", "t", regex=pattern) for kind in ("Match", "NotMatch")]


@pytest.mark.parametrize("pattern", [r"^\d+$", r"a|b", r"^.$", r"[^a-c\d]", r"^(ab|c)x?$", r"\.", r"^[\w-]{2,3}$", r"\s"])
def test_patterns_find_what_python_finds(pattern: str) -> None:
    import pandas as pd

    texts = ["", "a", "b", "12", "1a", " ", ".", "ab", "abx", "c", "é", "x-y", "\t", "abc", "٣"]
    found: tuple[Outcome, ...] = run(matching(pattern), table_of(pd.DataFrame({"t": texts}), name="evaluation"), None)
    hits = sum(bool(re.search(portable(pattern), text)) for text in texts)
    assert [item.observed for item in found] == [f"{len(texts) - hits} of 15 rows are not so", f"{hits} of 15 rows are not so"]
    assert 0 < hits < len(texts)
