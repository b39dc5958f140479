"""One table in every kind of source gives one result: the engines are interchangeable as far as a format can carry the values."""

from __future__ import annotations

import dataclasses
import datetime
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rai_pipelines.tables.contingency import count_groups
from rai_pipelines.tables.equivalence_classes import equivalence_classes
from rai_pipelines.tables.overlap import duplicate_rows, overlap
from rai_pipelines.tables.profile import profile
from rai_pipelines.tables.source import TableSource, open_table, table_of
from rai_pipelines_tests.postgres import PostgresServer

BIG = 2**53
ROWS = 60


def rows() -> list[dict[str, Any]]:
    """Rows with what engines treat differently: null, NaN, negative zero, integers that no double holds, unicode, dates, zones."""
    random = np.random.default_rng(11)
    names = ["Zoë", "zoe", "山田", 'O\'Brien; "x"', "a, b", " trailing ", "🙂", None]
    zero = [0.0, -0.0, 1.5, -2.25, float("nan"), None, 1e300, 0.1]
    start = datetime.datetime(2024, 3, 31, 0, 30, tzinfo=datetime.UTC)
    made = []
    for position in range(ROWS):
        made.append(
            {
                "name": names[random.integers(len(names))],
                "amount": zero[random.integers(len(zero))],
                "big": [BIG, BIG + 1, BIG + 2, -BIG - 1, None][random.integers(5)],
                "flag": [True, False, None][random.integers(3)],
                "day": [datetime.date(1969, 12, 31), datetime.date(2024, 2, 29), None][random.integers(3)],
                "at": start + datetime.timedelta(minutes=15 * int(random.integers(8))),
                "age": int(random.integers(18, 25)),
                "y": int(random.integers(2)),
                "p": bool(random.integers(2)),
            }
        )
        if position % 10 == 9:
            made.append(dict(made[-1]))  # and some rows twice
    return made


SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("amount", pa.float64()),
        ("big", pa.int64()),
        ("flag", pa.bool_()),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("age", pa.int64()),
        ("y", pa.int64()),
        ("p", pa.bool_()),
    ]
)
ELSEWHERE = SCHEMA.set(5, pa.field("at", pa.timestamp("us", tz="Asia/Kathmandu")))  # the same instants, told by another clock


def as_arrow(schema: pa.Schema = SCHEMA) -> pa.Table:
    return pa.Table.from_pylist(rows(), schema=SCHEMA).cast(schema)


def parquet(schema: pa.Schema) -> Callable[[Path], TableSource]:
    def write(folder: Path) -> TableSource:
        pq.write_table(as_arrow(schema), folder / "t.parquet")
        return open_table("t.parquet", name="training", data_folder=folder)

    return write


def csv(folder: Path) -> TableSource:
    frame = as_arrow().to_pandas(types_mapper=pd.ArrowDtype)
    frame["at"] = [moment.isoformat() for moment in as_arrow()["at"].to_pylist()]
    frame.to_csv(folder / "t.csv", index=False)
    return open_table("t.csv", name="training", data_folder=folder)


def json_lines(folder: Path) -> TableSource:
    import json

    def plain(value: Any) -> Any:
        if isinstance(value, float) and value != value:
            return None  # JSON has no NaN
        return value.isoformat() if isinstance(value, datetime.date) else value

    lines = [json.dumps({name: plain(value) for name, value in row.items()}) for row in rows()]
    (folder / "t.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return open_table("t.jsonl", name="training", data_folder=folder)


def frame(folder: Path) -> TableSource:
    return table_of(as_arrow().to_pandas(types_mapper={pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}.get), name="training")


STREAMED = ("name", "big", "flag", "day", "at", "age")  # all but the column with NaN, which equals nothing
FORMATS: dict[str, Callable[[Path], TableSource]] = {
    "parquet in another zone": parquet(ELSEWHERE),
    # text has no types of its own: DuckDB finds dates, and instants with their zone, in ISO 8601 text; JSON has no NaN, which counts as null anyway
    "csv": csv,
    "json lines": json_lines,
    "frame": frame,
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> TableSource:
    """The table in Parquet, which carries every type."""
    return parquet(SCHEMA)(tmp_path_factory.mktemp("reference"))


@pytest.fixture(scope="module")
def expected(reference: TableSource) -> dict[str, Any]:
    return results(reference)


def results(source: TableSource) -> dict[str, Any]:
    """What every reduction says of the table; each holds plain numbers and texts."""
    arguments: dict[str, Any] = {"bins": {"age": (18.0, 21.0, 25.0)}, "label": "y", "prediction": "p", "favourable": "1"}
    attributes = ["name", "amount", "big", "flag", "day", "age"]
    described = profile(source)
    return {
        "counts": [count_groups(source, attributes=[name], **arguments).to_dict("records") for name in attributes],
        "crossed": count_groups(source, attributes=["name", "flag", "age"], **arguments).to_dict("records"),
        "weighted": count_groups(source, attributes=["name"], weight="age", **arguments).to_dict("records"),
        "rows": described.rows,
        "profile": {name: without_dtype(column) for name, column in described.columns.items()},
        "duplicates": {name: duplicate_rows(source, [name]) for name in source.columns},
        "duplicate rows": duplicate_rows(source),
        "classes": equivalence_classes(source, ["name", "flag", "day"], ["big", "amount", "at", "y"]),
        "codes": equivalence_classes(source, ["age"], ["big"], categorical=["big"]),
    }


def without_dtype(column: Any) -> dict[str, Any]:
    """A column's profile but for the engine's name of its type; instants as instants, whatever the spelling."""
    found = dataclasses.asdict(column)
    del found["dtype"]
    if column.kind == "temporal":
        for edge in ("minimum", "maximum"):
            found[edge] = instant(found[edge])
        found["values"] = sorted((instant(value), count) for value, count in found["values"])
    return found


def instant(text: Any) -> str:
    moment = pd.Timestamp(str(text))
    return (moment.tz_convert("UTC").tz_localize(None) if moment.tzinfo else moment).isoformat()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_table_in_another_kind_of_file_counts_alike(reference: TableSource, expected: dict[str, Any], tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    assert_alike(FORMATS[kind](folder), reference, expected)


def assert_alike(source: TableSource, reference: TableSource, expected: dict[str, Any], *, apart: tuple[str, ...] = ("amount",)) -> None:
    """The same columns and results; rows are found in each other on all columns but those `apart`."""
    assert source.columns == reference.columns
    found = results(source)
    for reduction, figures in expected.items():
        if isinstance(figures, dict):
            for name, figure in figures.items():
                assert found[reduction][name] == figure, f"{reduction} of {name}"
        assert found[reduction] == figures, reduction
    shared = overlap(reference, source, [name for name in reference.columns if name not in apart])
    assert shared.shared == shared.rows == found["rows"]
    streamed = list(source.batches(STREAMED, 64))
    assert max(batch.num_rows for batch in streamed) <= 64 < found["rows"]
    assert counted(streamed) == counted([source.to_arrow(source.table().select(*STREAMED))])


def counted(parts: Sequence[pa.RecordBatch | pa.Table]) -> Counter[tuple[Any, ...]]:
    """How often each row occurs, with instants as such."""
    return Counter(tuple(str(value) for value in row.values()) for part in parts for row in part.to_pylist())


def test_integers_beside_a_null_are_exact_in_every_answer(reference: TableSource) -> None:
    expected = sorted(value for value in as_arrow()["big"].to_pylist() if value is not None)
    drawn = reference.sample(1_000, seed=1)["big"]
    assert sorted(drawn.dropna()) == expected
    assert drawn.isna().sum() == len(drawn) - len(expected) > 0
    groups = count_groups(reference, attributes=["big"], bins={}, label="y", prediction="p", favourable="1")
    assert set(groups["big"]) == {str(value) for value in expected} | {"(missing)"}


def test_the_reference_holds_what_is_compared(reference: TableSource) -> None:
    described = profile(reference).columns
    assert described["big"].distincts == 4, "2**53 and 2**53 + 1 are two values"
    assert described["amount"].nulls > pa.compute.count(as_arrow()["amount"], mode="only_null").as_py(), "NaN counts as null"
    assert 0.0 in {value for value, _ in described["amount"].values or ()}
    assert sum(str(value) in {"0.0", "-0.0"} for value, _ in described["amount"].values or ()) == 1, "-0.0 and 0.0 are one value"
    assert described["at"].kind == described["day"].kind == "temporal"
    assert duplicate_rows(reference).repeated >= ROWS // 10


@pytest.fixture(scope="module")
def server(postgres: PostgresServer) -> PostgresServer:
    postgres.create_database("conformance")
    with postgres.connect("conformance") as connection:
        connection.execute(
            "CREATE TABLE t (name text, amount float8, big bigint, flag boolean, day date, at timestamptz, age bigint, y bigint, p boolean)"
        )
        with connection.cursor() as cursor, cursor.copy("COPY t FROM STDIN") as copy:
            for row in rows():
                copy.write_row(tuple(row.values()))
    return postgres


def test_a_table_in_postgresql_counts_like_the_file(reference: TableSource, expected: dict[str, Any], server: PostgresServer) -> None:
    address = f"postgresql://postgres:{server.password}@127.0.0.1:{server.port}/conformance"
    assert_alike(open_table(f"{address}::t", name="training", data_folder=Path("unused")), reference, expected)
    by_query = open_table(f"{address}::SELECT * FROM t ORDER BY age", name="training", data_folder=Path("unused"))
    assert results(by_query) == expected


@pytest.mark.slow  # Spark takes seconds to start
@pytest.mark.skipif(shutil.which("java") is None, reason="NO JAVA HERE: Spark is not tested")
def test_a_table_in_spark_counts_like_the_file(reference: TableSource, expected: dict[str, Any], tmp_path: Path) -> None:
    from rai_pipelines_tests.spark import running_spark

    parquet(SCHEMA)(tmp_path)
    with running_spark(tmp_path / "warehouse"):
        source = open_table(f"spark:parquet:{tmp_path}/t.parquet", name="training", data_folder=Path("unused"))
        assert_alike(source, reference, expected)
        exact = source.to_arrow(source.table().select("big").order_by("big"))["big"]
        assert exact.to_pylist().count(BIG + 1) == reference.run((reference.table().big == BIG + 1).sum()) > 0
