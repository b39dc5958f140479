"""Files are opened where they lie, by DuckDB; errors say what is wrong and no path of the machine."""

from __future__ import annotations

import gc
import threading
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rai_pipelines.errors import DataError
from rai_pipelines.tables.overlap import duplicate_rows
from rai_pipelines.tables.profile import profile
from rai_pipelines.tables.source import open_table
from rai_pipelines_tests.tables.people import ROWS, message, people


def test_parquet_csv_and_json_lines_hold_the_same_table(tmp_path: Path) -> None:
    frame = people()[["age", "race", "y"]]
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "zipped.CSV.gz", index=False)
    frame.to_parquet(tmp_path / "LOUD.PARQUET")
    for name in ("a.jsonl", "b.ndjson", "zipped.jsonl.gz", "zipped.NDJSON.gz"):
        frame.to_json(tmp_path / name, orient="records", lines=True, compression="gzip" if name.endswith("gz") else None)
    for path in ("a.parquet", "a.csv", "zipped.CSV.gz", "LOUD.PARQUET", "a.jsonl", "b.ndjson", "zipped.jsonl.gz", "zipped.NDJSON.gz"):
        name = str(tmp_path / path) if path == "a.csv" else path
        source = open_table(name, name="training", data_folder=tmp_path)
        assert (source.columns, source.count_rows()) == (tuple(frame.columns), ROWS)
        pd.testing.assert_frame_equal(source.sample(ROWS, seed=1), frame, check_dtype=False)


def test_a_glob_is_one_table_of_all_its_files_and_its_digest_is_over_their_content(tmp_path: Path) -> None:
    frame = people()
    for folder in ("one", "two"):
        (tmp_path / folder / "deep").mkdir(parents=True)
        frame[:400].to_parquet(tmp_path / folder / "a.parquet")
        frame[400:].to_parquet(tmp_path / folder / "deep" / f"{folder}.parquet")
    source = open_table("one/**/*.parquet", name="training", data_folder=tmp_path)
    assert source.count_rows() == ROWS
    assert source.digest() == open_table("two/**/*.parquet", name="training", data_folder=tmp_path).digest()
    assert source.digest() != open_table("one/*.parquet", name="training", data_folder=tmp_path).digest()


@pytest.mark.parametrize("name", ["a[1].parquet", "b*.parquet", "c?.parquet", "d[[]1].parquet"])
def test_a_file_name_with_glob_characters_means_that_file(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "data[x]"
    folder.mkdir()
    for other in ("a1.parquet", "bb.parquet", "cc.parquet", "d[1].parquet"):
        pd.DataFrame({"x": ["other"]}).to_parquet(folder / other)
    pd.DataFrame({"x": ["meant"]}).to_parquet(folder / name)
    source = open_table(name, name="training", data_folder=folder)
    assert source.sample(9, seed=1)["x"].tolist() == ["meant"]
    assert len(source.files) == 1


def test_a_glob_works_below_a_folder_with_glob_characters_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "data[x]"
    folder.mkdir()
    for number in (1, 2):
        pd.DataFrame({"x": [number]}).to_parquet(folder / f"part-{number}.parquet")
    assert open_table("part-?.parquet", name="training", data_folder=folder).count_rows() == 2


def test_what_cannot_be_opened_is_said_without_any_path_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 this is no Parquet file")
    (tmp_path / "broken[1].parquet").write_bytes(b"PAR1 nor is this")
    (tmp_path / "table.xlsx").write_bytes(b"")
    (tmp_path / "folder.parquet").mkdir()
    pd.DataFrame({"x": [1]}).to_csv(tmp_path / "mixed.csv")
    (tmp_path / "broken.jsonl").write_text('{"x": 1}\nno line of JSON\n')
    (tmp_path / "list.jsonl").write_text("[1, 2]\n[3, 4]\n")
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "mixed.parquet")
    pd.DataFrame({"x": []}).to_parquet(tmp_path / "empty.parquet")
    expected = {
        "absent.parquet": "no file of the training table is there",
        "absent/*.csv": "no file of the training table is there",
        "broken.parquet": "cannot be opened",
        "broken[[]1].parquet": "cannot be opened",
        "broken.jsonl": "cannot be opened",
        "list.jsonl": "cannot be opened",
        "table.xlsx": "neither Parquet nor CSV",
        "folder.parquet": "is a folder",
        "mixed.*": "matches Parquet and CSV files",
        "empty.parquet": "the training table is empty",
        "http://host/table.parquet": "a kind that is not supported",
        "https://user:hush@host/table.parquet": "a kind that is not supported",
        "simplecache::s3://bucket/table.parquet": "a kind that is not supported",
        "file:///etc/table.parquet": "a kind that is not supported",
        "mysql://root:hush@host/db::t": "a kind that is not supported",
    }
    for reference, words in expected.items():
        said = message(reference, tmp_path)
        assert words in said
        assert str(tmp_path) not in said and "hush" not in said


def test_the_last_line_of_a_json_lines_file_counts_for_the_type_of_a_column(tmp_path: Path) -> None:
    lines = ['{"x": 1}'] * 50_000 + ['{"x": 1.5, "late": {"deep": [1]}}']
    (tmp_path / "long.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    source = open_table("long.jsonl", name="training", data_folder=tmp_path)
    found = profile(source)
    assert (found.columns["x"].maximum, found.columns["x"].rows) == (1.5, 50_001)
    assert found.columns["late"].nulls == 50_000


@pytest.mark.slow
def test_a_memory_limit_makes_a_large_grouping_spill_instead_of_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    numbers = pd.DataFrame({"x": np.arange(3_000_000), "y": np.arange(3_000_000)[::-1].astype(str)})
    numbers.to_parquet(tmp_path / "numbers.parquet")
    source = open_table("numbers.parquet", name="training", data_folder=tmp_path, memory_limit="160MB")
    watched: set[str] = set()
    modes: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            watched.update(path.parent.name for path in tmp_path.glob("rai-duckdb-*/*"))
            modes.update(oct(path.stat().st_mode & 0o777) for path in tmp_path.glob("rai-duckdb-*"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert duplicate_rows(source).distinct == len(numbers)
    finally:
        done.set()
        watcher.join()
    assert len(watched) == 1, "the table did not need to spill, so that nothing was shown"
    assert modes == {"0o700"}, "rows that spill are for nobody else to read"
    assert source.table().get_backend().settings["memory_limit"].startswith("152.")  # DuckDB answers in MiB
    del source
    gc.collect()
    assert not list(tmp_path.glob("rai-duckdb-*")), "the folder goes with the engine"


@pytest.mark.parametrize("limit", ["much", "-1GB", "80%", "2GB; INSTALL httpfs", ""])
def test_a_memory_limit_that_is_no_amount_is_said_with_the_variable_it_comes_from(tmp_path: Path, limit: str) -> None:
    people().to_parquet(tmp_path / "a.parquet")
    source = open_table("a.parquet", name="training", data_folder=tmp_path, memory_limit=limit)
    with pytest.raises(DataError, match="no amount of memory") as caught:
        source.count_rows()
    assert caught.value.where == "RAI_TABLE_MEMORY_LIMIT"


def test_a_sample_of_a_file_is_in_table_order_and_follows_from_the_seed(tmp_path: Path) -> None:
    people().to_parquet(tmp_path / "a.parquet")
    drawn = [open_table("a.parquet", name="training", data_folder=tmp_path).sample(100, seed=seed) for seed in (1, 1, 2)]
    pd.testing.assert_frame_equal(drawn[0], drawn[1])
    assert drawn[0]["id"].is_monotonic_increasing and drawn[0]["id"].is_unique
    assert drawn[0]["id"].tolist() != drawn[2]["id"].tolist()


def test_decimals_of_a_sample_are_doubles_with_their_order(tmp_path: Path) -> None:
    amounts = pa.array([Decimal("2.50"), None, Decimal("-1.25")], pa.decimal128(12, 2))
    pq.write_table(pa.table({"amount": amounts, "n": [1, 2, 3]}), tmp_path / "t.parquet")
    for rows in (10, 2):
        drawn = open_table("t.parquet", name="training", data_folder=tmp_path).sample(rows, seed=1)
        assert drawn["amount"].dtype == np.float64
    assert open_table("t.parquet", name="training", data_folder=tmp_path).sample(10, seed=1)["amount"].fillna(0).tolist() == [2.5, 0, -1.25]
