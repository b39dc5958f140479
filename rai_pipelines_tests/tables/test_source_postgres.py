"""SQL tables are opened where they lie, in PostgreSQL; errors say what is wrong and nothing that is secret."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd
import pytest

from rai_pipelines.errors import DataError
from rai_pipelines.tables.contingency import count_groups
from rai_pipelines.tables.equivalence_classes import equivalence_classes
from rai_pipelines.tables.overlap import duplicate_rows, overlap
from rai_pipelines.tables.profile import profile
from rai_pipelines.tables.source import TableSource, open_table
from rai_pipelines_tests.postgres import PostgresServer
from rai_pipelines_tests.tables.people import ROWS, message, people

PASSWORD = "hush/hush@home:100%"
ENCODED = "hush%2Fhush%40home%3A100%25"


@dataclass(frozen=True)
class Database:
    """A database `people` with `public.people`, `"Odd.Schema"."the table"` and others, and a role that can only read it."""

    server: PostgresServer

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server.port}/people"

    def reference(self, table: str) -> str:
        return f"postgresql://reader:{ENCODED}@{self.place}::{table}"

    def open(self, table: str, *, name: str = "training") -> TableSource:
        return open_table(self.reference(table), name=name, data_folder=Path("unused"))


@pytest.fixture(scope="module")
def database(postgres: PostgresServer) -> Database:
    postgres.create_database("people")
    with postgres.connect("people") as connection:
        connection.execute("CREATE SCHEMA \"Odd.Schema\"; CREATE SCHEMA other; CREATE TYPE mood AS ENUM ('good', 'bad')")
        create(connection, "public.people", people())
        create(connection, "other.people", people(50))
        create(connection, '"Odd.Schema"."the table"', people())
        connection.execute("CREATE TABLE nothing (x int)")
        connection.execute(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
        connection.execute("GRANT CONNECT ON DATABASE people TO reader")
        connection.execute("REVOKE TEMPORARY ON DATABASE people FROM PUBLIC")
        for schema in ("public", "other", '"Odd.Schema"'):
            connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader")
            connection.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO reader")
    return Database(postgres)


def create(connection: Any, table: str, frame: pd.DataFrame) -> None:
    """The rows of `frame` as a table; NaN is null, as in the Parquet file."""
    kinds = {"i": "bigint", "f": "double precision", "O": "text", "M": "timestamp", "b": "boolean", "U": "text"}
    columns = ", ".join(f'"{name}" {kinds.get(kind.kind, "text")}' for name, kind in frame.dtypes.items())
    connection.execute(f"CREATE TABLE {table} ({columns})")
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
        for row in frame.astype(object).where(frame.notna(), None).itertuples(index=False):
            copy.write_row(row)


@pytest.fixture
def in_file(tmp_path: Path) -> TableSource:
    people().to_parquet(tmp_path / "people.parquet")
    return open_table("people.parquet", name="training", data_folder=tmp_path)


@pytest.mark.parametrize(
    "table",
    [
        "people",
        "public.people",
        '"public"."people"',
        '"Odd.Schema"."the table"',
        "SELECT * FROM people",
        "select\n*\nfrom public.people -- all of them",
    ],
)
def test_table_schema_and_query_count_what_the_same_rows_in_parquet_count(database: Database, in_file: TableSource, table: str) -> None:
    in_sql = database.open(table)
    assert in_sql.columns == in_file.columns
    assert in_sql.count_rows() == in_file.count_rows() == ROWS
    arguments: dict[str, Any] = {"attributes": ["race", "age", "citizen"], "bins": {"age": (18, 22, 26)}, "label": "y", "prediction": "p"}
    pd.testing.assert_frame_equal(count_groups(in_sql, favourable="1", **arguments), count_groups(in_file, favourable="1", **arguments))
    assert equivalence_classes(in_sql, ["age", "race"], ["income", "citizen"]) == equivalence_classes(in_file, ["age", "race"], ["income", "citizen"])
    assert duplicate_rows(in_sql, ["age", "race"]) == duplicate_rows(in_file, ["age", "race"])


def test_the_profile_of_a_sql_table_is_that_of_the_same_rows_in_parquet(database: Database, in_file: TableSource) -> None:
    in_sql, expected = profile(database.open("people")), profile(in_file)
    assert in_sql.rows == expected.rows
    for name, column in expected.columns.items():
        found = in_sql.columns[name]
        for figure in ("kind", "nulls", "distincts", "infinite", "mean", "std", "values", "values_capped"):
            assert getattr(found, figure) == getattr(column, figure), f"{figure} of {name}"
        assert str(found.minimum) == str(column.minimum) and str(found.maximum) == str(column.maximum)


def test_overlap_is_counted_within_one_database_and_across_engines(database: Database, in_file: TableSource) -> None:
    in_sql, few = database.open("people"), database.open("other.people", name="evaluation")
    columns = ["id", "age", "race"]
    expected = people(50)[columns].merge(people()[columns], how="inner").shape[0]
    for left in (in_sql, in_file):
        found = overlap(left, few, columns)
        assert (found.rows, found.shared) == (50, expected)


def test_with_queries_and_types_that_ibis_does_not_know_can_be_counted(database: Database) -> None:
    query = "WITH young AS (SELECT * FROM people WHERE age < 20) SELECT id, 'good'::mood AS mood, id::numeric(9, 2) AS price FROM young;"
    source = database.open(query)
    assert source.count_rows() == int((people()["age"] < 20).sum())
    assert profile(source, ["mood"]).columns["mood"].distincts == 1
    assert source.digest().startswith("rows-sha256:")
    assert len(source.sample(5, seed=1)) == 5


def test_a_query_cannot_change_the_database(database: Database) -> None:
    for query in (
        "SELECT 1; DROP TABLE people",
        "WITH gone AS (DELETE FROM people RETURNING *) SELECT * FROM gone",
        "SELECT 1) AS q; DROP TABLE people; SELECT * FROM (SELECT 1",
    ):
        owner = f"postgresql://postgres:{database.server.password}@{database.place}::{query}"
        message(owner, Path("unused"))
    assert database.open("people").count_rows() == ROWS


def test_the_digest_of_a_sql_table_is_that_of_its_content_whatever_the_order(database: Database) -> None:
    frame = people(200)
    swapped = frame.copy()
    swapped.loc[[0, 1], "y"] = [1 - frame["y"][0], frame["y"][1]]
    same_margins = frame.assign(y=frame["y"].to_numpy()[::-1])  # every column has the same values; rows pair them differently
    tables = {
        "original": frame,
        "shuffled": frame.sample(frac=1, random_state=1),
        "one_value": swapped,
        "same_margins": same_margins,
        "null_for_text": frame.assign(race=frame["race"].fillna("~")),
        "twice": pd.concat([frame, frame[:1]]),
        "renamed": frame.rename(columns={"y": "z"}),
        "retyped": frame.assign(y=frame["y"].astype(float)),
    }
    with database.server.connect("people") as connection:
        for name, content in tables.items():
            create(connection, f"other.digest_{name}", content)
    digests = {name: database.open(f"other.digest_{name}").digest() for name in tables}
    assert digests["shuffled"] == digests["original"] == database.open("SELECT * FROM other.digest_original ORDER BY age").digest()
    assert len(set(digests.values())) == len(tables) - 1


def test_rows_that_look_alike_when_joined_have_different_digests(database: Database) -> None:
    assert database.open("SELECT 'ab' AS x, 'c' AS y").digest() != database.open("SELECT 'a' AS x, 'bc' AS y").digest()
    assert database.open("SELECT '1:' AS x, '' AS y").digest() != database.open("SELECT '' AS x, '1:' AS y").digest()


def test_a_sample_of_a_sql_table_follows_from_seed_and_content_not_from_the_order_of_rows(database: Database) -> None:
    source, turned = database.open("people"), database.open("SELECT * FROM people ORDER BY id DESC")
    drawn = source.sample(100, seed=1, columns=["id", "race"])
    pd.testing.assert_frame_equal(drawn, turned.sample(100, seed=1, columns=["id", "race"]))
    assert drawn["id"].is_unique and len(drawn) == 100
    assert set(drawn["id"]) != set(source.sample(100, seed=2, columns=["id", "race"])["id"])
    everything = source.sample(ROWS, seed=1)
    assert sorted(everything["id"]) == list(range(ROWS))
    pd.testing.assert_frame_equal(everything, turned.sample(2 * ROWS, seed=1))


def test_equal_rows_are_drawn_one_by_one(database: Database) -> None:
    source = database.open("SELECT i % 2 AS x FROM generate_series(1, 1000) AS i")
    ones = [int(source.sample(100, seed=seed)["x"].sum()) for seed in range(5)]
    assert all(25 <= count <= 75 for count in ones), "a hypergeometric count with mean 50 and standard deviation 4.7"


def test_variables_in_an_address_are_read_from_the_environment_and_never_shown(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = "postgresql://${RAI_DATA_USER}:${RAI_DATA_PASSWORD}@${RAI_DATA_HOST}:${RAI_DATA_PORT}/${RAI_DATA_NAME}::people"
    values = {
        "RAI_DATA_USER": "reader",
        "RAI_DATA_PASSWORD": PASSWORD,
        "RAI_DATA_HOST": "127.0.0.1",
        "RAI_DATA_PORT": str(database.server.port),
        "RAI_DATA_NAME": "people",
    }
    assert "the environment has no variable RAI_DATA_USER" in message(reference, Path("unused"))
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    source = open_table(reference, name="training", data_folder=Path("unused"))
    assert source.count_rows() == ROWS
    assert source.shown == "postgresql://${RAI_DATA_HOST}:${RAI_DATA_PORT}/${RAI_DATA_NAME}::people"
    for name, wrong in {"RAI_DATA_USER": "stranger", "RAI_DATA_PASSWORD": "wr0ng", "RAI_DATA_NAME": "elsewhere"}.items():
        with monkeypatch.context() as changed:
            changed.setenv(name, wrong)
            said = message(reference, Path("unused"))
        assert said.startswith(
            "postgresql://${RAI_DATA_HOST}:${RAI_DATA_PORT}/${RAI_DATA_NAME}::people: the engine of the training table does not answer"
        )
        for secret in (wrong, values["RAI_DATA_PASSWORD"], ENCODED, values["RAI_DATA_USER"], values["RAI_DATA_HOST"], values["RAI_DATA_PORT"]):
            assert secret not in said


@pytest.mark.parametrize(
    "declared",
    [
        "postgresql://reader:RIGHT@HOST/people::absent",
        "postgresql://reader:RIGHT@HOST/people::SELECT nothing FROM people",
        "postgresql://reader:RIGHT@HOST/nowhere::people",
        "postgresql://reader:RIGHT@HOST/people?sslmode=require::people",
        "postgresql://reader:hush77@HOST/people::people",
        "postgresql://reader:hush77@HOST/people?sslmode=disable&password=hush78::people",
        "postgresql://HOST/people?user=reader&password=hush77::people",
        "postgresql://reader:hush77/x@HOST/people::people",
        "postgresql://reader:hush77@x@HOST/people::people",
        "postgresql://reader:hush77::x@HOST/people::people",
        "postgresql://reader:hush77%zz@HOST/people::people",
        "postgresql://reader:hush77@HOST/people",
        "postgresql://reader:hush77@127.0.0.1:1/people::people",
    ],
)
def test_a_password_in_an_address_is_in_no_error(database: Database, declared: str) -> None:
    reference = declared.replace("HOST", f"127.0.0.1:{database.server.port}").replace("RIGHT", ENCODED)
    assert "hush" not in message(reference, Path("unused"))


def test_a_source_does_not_show_its_password_in_whatever_is_printed_of_it(database: Database) -> None:
    source = database.open("people")
    for text in (repr(source), source.reference, source.shown):
        assert "hush" not in text
    assert source.shown == f"postgresql://{database.place}::people"
    assert source.reference == f"postgresql://reader@{database.place}::people"
    with pytest.raises(DataError) as caught:
        count_groups(source, attributes=["race"], bins={}, label="age", prediction="p", favourable="1")
    assert "hush" not in str(caught.value)


def test_absent_tables_columns_and_databases_are_data_errors_that_say_so(database: Database) -> None:
    assert "cannot be opened" in message(database.reference("absent"), Path("unused"))
    assert "cannot be opened" in message(database.reference("a.b.c"), Path("unused"))
    assert 'column "absent" does not exist' in message(database.reference("SELECT absent FROM people"), Path("unused"))
    assert "nowhere" in message(database.reference("people").replace("/people::", "/nowhere::"), Path("unused"))
    assert "the training table is empty" in message(database.reference("nothing"), Path("unused"))
    with pytest.raises(DataError, match=r"no column 'absent'"):
        database.open("people").require("absent")


@pytest.mark.parametrize("table", ["people", "public.people", '"Odd.Schema"."the%20table"', "%22Odd.Schema%22.%22the table%22"])
def test_the_table_can_stand_in_the_path_of_the_address(database: Database, table: str) -> None:
    source = open_table(f"postgresql://reader:{ENCODED}@{database.place}/{table}", name="training", data_folder=Path("unused"))
    assert source.count_rows() == ROWS
    assert source.digest() == database.open("people").digest()
    assert source.reference == f"postgresql://reader@{database.place}::{unquote(table)}", "both spellings are one reference"


@pytest.mark.parametrize(
    "declared",
    [
        "postgresql://reader:hush77/x@HOST/people",
        "postgresql://reader:hush77/x/y@HOST/people",
        "postgresql://reader:77/hush@HOST/people/people",
        "postgresql://reader:hush77/people/people",
        "postgresql://reader:77hush/people/people",
        "postgresql://HOST/people/people?user=reader&password=hush77&application_name=a@b",
        "postgresql://reader:hush77@HOST/people/SELECT 1",
        "postgresql://reader:hush77@HOST/people/people/more",
        "postgresql://reader:hush77@HOST/people/absent",
    ],
)
def test_a_password_in_an_address_with_the_table_in_its_path_is_in_no_error(database: Database, declared: str) -> None:
    assert "hush" not in message(declared.replace("HOST", f"127.0.0.1:{database.server.port}"), Path("unused"))


def test_a_server_that_is_not_there_is_said_within_seconds() -> None:
    assert "does not answer" in message("postgresql://127.0.0.1:1/people::people", Path("unused"))


@pytest.mark.parametrize("kind", ["integer", "double precision", "timestamp", "date"])
def test_a_value_that_a_query_cannot_convert_is_not_repeated(database: Database, kind: str) -> None:
    source = database.open(f"SELECT ('Ja' || 'ne Doe ' || age)::{kind} AS x FROM people")
    with pytest.raises(DataError) as caught:
        source.run(source.table().x.max())
    assert "…" in str(caught.value)
    assert "Jane" not in str(caught.value)
