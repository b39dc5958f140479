"""Tables in Spark: what a `spark:` reference may name, and that counting, digests and samples happen there. A real Spark, so they are slow."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.errors import DataError
from rai_pipelines.tables.overlap import duplicate_rows, overlap
from rai_pipelines.tables.profile import profile
from rai_pipelines.tables.source import TableSource, open_table, table_of

ROWS = 300
needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="NO JAVA HERE: Spark is not tested")


def opened(relation: str, *, name: str = "training") -> TableSource:
    return open_table(f"spark:{relation}", name=name, data_folder=Path("unused"))


def message(relation: str) -> str:
    with pytest.raises(DataError) as caught:
        opened(relation).count_rows()
    return str(caught.value)


def people(rows: int = ROWS) -> pd.DataFrame:
    random = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "race": random.choice(np.array(["White", "Black", None], dtype=object), rows),
            "amount": np.where(random.random(rows) < 0.1, np.nan, np.round(random.normal(0, 1, rows), 3)),
            "y": random.integers(0, 2, rows),
        }
    )


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Spark with `shop.people`, `shop.turned` (the same rows in another order), `shop.alike` and a Parquet file `people.parquet`."""
    from rai_pipelines_tests.spark import running_spark

    folder = tmp_path_factory.mktemp("spark")
    people().to_parquet(folder / "people.parquet")
    people()[::-1].to_parquet(folder / "turned.parquet")
    with running_spark(folder / "warehouse") as session:
        session.sql("CREATE DATABASE shop")
        for name in ("people", "turned"):
            session.read.parquet(str(folder / f"{name}.parquet")).write.saveAsTable(f"shop.{name}")
        session.sql("CREATE TABLE shop.`2024_people` AS SELECT 1 AS x")
        yield session, folder


@pytest.mark.slow
@needs_java
def test_a_table_a_query_and_a_parquet_path_are_counted_in_spark(spark: Any) -> None:
    _, folder = spark
    expected = profile(table_of(people()))
    for relation in ("shop.people", "spark_catalog.shop.people", "SELECT * FROM shop.people -- all\n;", f"parquet:{folder}/people.parquet"):
        source = opened(relation)
        found = profile(source)
        assert {name: (column.nulls, column.distincts, column.mean, column.std) for name, column in found.columns.items()} == {
            name: (column.nulls, column.distincts, column.mean, column.std) for name, column in expected.columns.items()
        }
        assert source.files == () and source.table().get_backend().name == "pyspark"
    assert opened("shop.`2024_people`").count_rows() == 1
    assert opened("WITH few AS (SELECT * FROM shop.people WHERE id < 9) SELECT * FROM few").count_rows() == 9


@pytest.mark.slow
@needs_java
def test_digest_and_sample_follow_from_content_not_from_the_order_of_rows(spark: Any) -> None:
    source, turned = opened("shop.people"), opened("shop.turned")
    assert source.digest() == turned.digest() == opened("SELECT * FROM shop.people ORDER BY y").digest()
    assert source.digest().startswith("rows-sha256:")
    others = [
        "SELECT id, race, amount, 1 - y AS y FROM shop.people",
        "SELECT id, race, amount, y AS z FROM shop.people",
        "SELECT * FROM shop.people LIMIT 299",
        "SELECT array('a, b') AS x",
        "SELECT array('a', 'b') AS x",
        "SELECT X'FF' AS x",
        "SELECT X'FE' AS x",
        "SELECT named_struct('a', 1, 'b', 2) AS x",
    ]
    assert len({opened(query).digest() for query in others} | {source.digest()}) == len(others) + 1
    drawn = source.sample(50, seed=1)
    pd.testing.assert_frame_equal(drawn, turned.sample(50, seed=1))
    assert drawn["id"].is_unique and set(drawn["id"]) != set(source.sample(50, seed=2)["id"])
    assert sorted(source.sample(ROWS, seed=1)["id"]) == list(range(ROWS))


@pytest.mark.slow
@needs_java
def test_rows_are_compared_within_spark_and_with_other_engines(spark: Any) -> None:
    source = opened("shop.people")
    assert duplicate_rows(source, ["race", "y"]).distinct == 6
    for other in (opened("shop.turned", name="evaluation"), table_of(people(40), name="evaluation")):
        found = overlap(source, other, ["id", "race"])
        assert found.shared == found.rows == other.count_rows()
    beside = opened("shop.turned", name="evaluation").beside(source)
    assert beside is not None and beside.count_rows() == ROWS
    assert table_of(people()).beside(source) is None


@pytest.mark.slow
@needs_java
@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT java_method('java.lang.System', 'getProperty', 'user.home') AS x", "calls Java methods"),
        ("SELECT (SELECT `reflect`('java.lang.System', 'getProperty', 'user.home')) AS x", "calls Java methods"),
        ("WITH a AS (SELECT try_reflect('java.lang.Math', 'abs', -1) AS x) SELECT 1 AS x WHERE EXISTS (SELECT * FROM a)", "calls Java methods"),
        ("SELECT TRANSFORM(id) USING 'touch MARK' AS x FROM shop.people", "starts programs"),
        ("SELECT * FROM (MAP id USING 'touch MARK' AS x FROM shop.people)", "cannot be opened|starts programs"),
        ("SELECT 1) AS q; DROP TABLE shop.people; SELECT * FROM (SELECT 1", "cannot be opened"),
        ("WITH q AS (SELECT 1 AS id) INSERT INTO shop.people SELECT * FROM q", "cannot be opened"),
        ("SELECT absent FROM shop.people", "UNRESOLVED_COLUMN"),
        ("shop.absent", "TABLE_OR_VIEW_NOT_FOUND"),
        ("parquet:/nowhere/t.parquet", "PATH_NOT_FOUND"),
        ("SELECT * FROM shop.people WHERE id < 0", "the training table is empty"),
    ],
)
def test_what_reaches_beyond_data_or_is_not_there_is_refused_before_it_runs(spark: Any, query: str, words: str) -> None:
    session, folder = spark
    with pytest.raises(DataError, match=words):
        opened(query.replace("MARK", str(folder / "mark"))).count_rows()
    assert not (folder / "mark").exists()
    assert session.table("shop.people").count() == ROWS


@pytest.mark.slow
@needs_java
def test_the_users_own_session_is_left_as_it_is(spark: Any) -> None:
    session, _ = spark
    before = session.conf.get("spark.sql.session.timeZone")
    views = {view.name for view in session.catalog.listTables()}
    assert opened("shop.people").count_rows() == ROWS
    assert session.conf.get("spark.sql.session.timeZone") == before == "America/New_York"
    assert {view.name for view in session.catalog.listTables()} == views


@pytest.mark.parametrize(
    "relation",
    [
        "",
        "a.b.c.d",
        "DROP TABLE people",
        "INSERT INTO people VALUES (1)",
        "people; DROP TABLE people",
        "parquet:relative/hush.parquet",
        "parquet:http://hush/t.parquet",
        "parquet:s3a://KEY:hush@bucket/t.parquet",
        "parquet:s3a://hush@bucket/t.parquet",
        "parquet:s3a://KEY:hush/hush@bucket/t.parquet",
        "parquet:hdfs://KEY:hush/t.parquet",
        "parquet:abfss://box@account/hush@t.parquet",
        "parquet:abfss://box:hush@account/t.parquet",
    ],
)
def test_references_of_other_forms_are_refused_without_starting_spark(monkeypatch: pytest.MonkeyPatch, relation: str) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    said = message(relation)
    assert "hush" not in said and "Install" not in said


def test_without_spark_the_error_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pyspark", "pyspark.sql", "pyspark.errors"):
        monkeypatch.setitem(sys.modules, module, None)
    assert "Install rai-pipelines[spark], and Java 17" in message("shop.people")
    assert opened("shop.people").shown == "spark:shop.people"
