"""What `rai measure` says about options and files that cannot be used: exit code 3, one line that names them, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rai_pipelines_tests.cli.conftest import Rai

QUICK = ["--resamples", "200"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """160 people of two races, labelled and decided."""
    people = pd.DataFrame({"race": ["White", "Black"] * 80, "age": range(160), "y": [0, 1, 1, 0] * 40, "p": [1, 0, 1, 0, 0, 1, 1, 1] * 20})
    people.to_csv(tmp_path / "people.csv", index=False)
    return tmp_path / "people.csv"


def bias(*more: str, by: str = "race", data: str = "people.csv") -> list[str]:
    return ["measure", "bias", "--data", data, "--label", "y", "--prediction", "p", "--by", by, *QUICK, *more]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (bias("--reference", "race=Purple"), ("--reference: ", "'Purple'", "'race'", "'Black', 'White'")),
        (bias("--reference", "sex=male"), ("--reference: ", "'sex=male'", "ATTRIBUTE=GROUP", "race")),
        (bias("--reference", "White"), ("--reference: ", "'White'", "ATTRIBUTE=GROUP")),
        (bias(by="sex"), ("people.csv: ", "--by names 'sex'", "'race', 'age', 'y', 'p'")),
        (bias("--label", "outcome"), ("people.csv: ", "--label names 'outcome'")),
        (bias("--prediction", "score"), ("people.csv: ", "--prediction names 'score'")),
        (bias("--favourable", "yes"), ("people.csv: ", "'yes'", "'y' has '0', '1'", "Correct --favourable")),
        (bias("--label", "race"), ("people.csv: ", "share two classes", "'race' has 'Black', 'White'")),
        (bias("--label", "age"), ("people.csv: ", "'age' has 160 classes, not two")),
        (bias("--bins", "age=18,40"), ("--bins: ", "'age=18,40'", "ascending")),
        (bias("--bins", "age=40,18", by="age"), ("--bins: ", "'age=40,18'", "ascending")),
        (bias("--bins", "age=18,nan,40", by="age"), ("--bins: ", "'age=18,nan,40'")),
        (bias("--bins", "age", by="age"), ("--bins: ", "'age'")),
        (bias("--bins", "race=1,2"), ("people.csv: ", "'race' has bins but is not numeric")),
        (bias(data="nowhere.csv"), ("nowhere.csv: ", "Correct --data")),
        (bias(data="people.xlsx"), ("people.xlsx", "Correct --data")),
        (["measure", "anonymity", "--data", "nowhere.csv", "--quasi", "race"], ("nowhere.csv: ", "Correct --data")),
        (["measure", "anonymity", "--data", "people.csv", "--quasi", "race,zip"], ("people.csv: ", "--quasi names 'zip'")),
        (["measure", "anonymity", "--data", "people.csv", "--quasi", "race", "--sensitive", "illness"], ("--sensitive names 'illness'",)),
        (["measure", "anonymity", "--data", "people.csv", "--quasi", " , "], ("--quasi: names no column",)),
    ],
    ids=lambda value: " ".join(value[4:]) if isinstance(value, list) else None,
)
def test_an_option_that_cannot_be_used_is_named_on_one_line(arguments: list[str], said: tuple[str, ...], rai: Rai, data: Path) -> None:
    line = rai(*arguments).could_not()
    for part in said:
        assert part in line
    assert "datasheet" not in line


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_without_rows_is_an_error(suffix: str, rai: Rai, tmp_path: Path, data: Path) -> None:
    none = pd.read_csv(data).head(0)
    none.to_csv(tmp_path / "none.csv", index=False)
    none.to_parquet(tmp_path / "none.parquet")
    assert f"none.{suffix}: the given table is empty" in rai(*bias(data=f"none.{suffix}")).could_not()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_without_a_byte_is_an_error(suffix: str, rai: Rai, tmp_path: Path) -> None:
    (tmp_path / f"hollow.{suffix}").touch()
    assert f"hollow.{suffix} is an empty file" in rai(*bias(data=f"hollow.{suffix}")).could_not()


def test_a_file_that_is_not_parquet_is_an_error_and_not_a_traceback(rai: Rai, tmp_path: Path) -> None:
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and then nothing more")
    assert "torn.parquet: the given table cannot be opened" in rai(*bias(data="torn.parquet")).could_not()


def test_a_column_name_cannot_steer_the_terminal(rai: Rai, tmp_path: Path) -> None:
    pd.DataFrame({"y": [0, 1], "p": [1, 0], "a\x1b[2J\x1b[31mgone": [1, 2]}).to_csv(tmp_path / "people.csv", index=False)
    line = rai(*bias()).could_not()
    assert "\x1b" not in line
    assert "gone" in line


def test_a_group_name_cannot_steer_the_terminal(rai: Rai, data: Path) -> None:
    people = pd.read_csv(data)
    people["race"] = people["race"].replace({"White": "Wh\x1b[8mite", "Black": "Bla\u202eck"})
    people.to_csv(data, index=False)
    ended = rai(*bias())
    assert ended.code == 0
    assert "\x1b" not in ended.out and "\u202e" not in ended.out
    assert "Wh\\x1b[8mite" in ended.out and "Bla\\u202eck" in ended.out


def test_a_nan_that_arrow_wrote_is_a_missing_value_and_no_group_of_its_own(rai: Rai, tmp_path: Path) -> None:
    # Arrow leaves NaN out of the file's statistics, from which an engine may conclude that there is none
    region = np.array([1.0, 2.0, np.nan, 2.0] * 40)
    pq.write_table(pa.table({"race": region, "y": [0, 1] * 80, "p": [1, 0, 0, 1] * 40}), tmp_path / "people.parquet")
    ended = rai(*bias("--json", data="people.parquet"))
    sizes = {item["group"]: item["n"] for item in ended.json["measurements"] if item["metric"] == "selection_rate"}
    assert sizes == {"(missing)": 40, "1": 40, "2": 80}
    ended = rai(*bias("--json", "--bins", "race=0,1.5,3", data="people.parquet"))
    sizes = {item["group"]: item["n"] for item in ended.json["measurements"] if item["metric"] == "selection_rate"}
    assert sizes == {"(missing)": 40, "[0, 1.5)": 40, "[1.5, 3)": 80}


def test_the_table_for_people_says_why_a_figure_is_absent(rai: Rai, data: Path) -> None:
    ended = rai("measure", "bias", "--data", data.name, "--prediction", "p", "--by", "race", *QUICK)
    assert (ended.code, ended.err) == (0, "")
    line = next(line for line in ended.out.splitlines() if line.startswith("true_positive_rate") and "White" in line)
    assert "unavailable (no row has a label)" in line


@pytest.mark.parametrize("option", [("--seed", "-1"), ("--depth", "4"), ("--resamples", "10"), ("--min-group-n", "0")], ids=" ".join)
def test_a_number_out_of_range_is_a_usage_error(option: tuple[str, str], rai: Rai, data: Path) -> None:
    ended = rai(*bias(), *option)
    assert (ended.code, ended.out) == (2, "")
    assert option[0] in ended.err


def test_the_installed_command_ends_in_3_with_one_line_and_no_traceback(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "rai"), *bias(data="nowhere-" + "x" * 100 + ".csv")]
    ended = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "RAI_HOME": str(tmp_path), "COLUMNS": "60"}, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (3, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: nowhere-xxx")
    assert list(tmp_path.iterdir()) == []
