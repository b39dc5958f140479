"""`rai suite write` and `rai suite check` on plain files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from rai_pipelines.cli.suites import SuiteCheckOutput, register
from rai_pipelines.errors import DataError, SettingsError
from rai_pipelines_tests.house import datasheet, people


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a home, its two tables, and a datasheet in `sheets`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAI_HOME", str(tmp_path / "home"))
    data = tmp_path / "home" / "data"
    data.mkdir(parents=True)
    people(600, seed=1).to_parquet(data / "training.parquet")
    people(300, seed=2).to_parquet(data / "evaluation.parquet")
    people(300, seed=3).drop(columns="y").to_parquet(tmp_path / "april.parquet")
    (tmp_path / "sheets").mkdir()
    (tmp_path / "sheets" / "datasheet.yaml").write_text(yaml.safe_dump(datasheet()), encoding="utf-8")
    return tmp_path


def run(*arguments: str) -> Result:
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, ["suite", *arguments], catch_exceptions=False)


def test_suites_are_written_beside_the_datasheet_and_check_a_table(home: Path) -> None:
    assert run("write", "--datasheet", "sheets/datasheet.yaml").exit_code == 0
    folder = home / "sheets" / "expectations"
    assert sorted(path.name for path in folder.iterdir()) == ["evaluation.json", "training.json"]
    good = run("check", str(folder / "evaluation.json"), "--data", "home/data/evaluation.parquet", "--json")
    assert good.exit_code == 0
    found = SuiteCheckOutput.model_validate_json(good.stdout)
    assert (found.rows, found.failed_critical, found.counted_by) == (300, 0, "Great Expectations on pandas")
    assert len(found.expectations) == len(json.loads((folder / "evaluation.json").read_text())["expectations"])


def test_a_table_without_its_label_is_not_accepted(home: Path) -> None:
    run("write", "--datasheet", "sheets/datasheet.yaml", "--out", "kept")
    bad = run("check", "kept/evaluation.json", "--data", "april.parquet")
    assert bad.exit_code == 1
    assert "critical: expect_column_to_exist(y): it does not; expected: the column exists" in bad.stdout


def test_edited_files_are_not_overwritten(home: Path) -> None:
    run("write", "--datasheet", "sheets/datasheet.yaml")
    edited = home / "sheets" / "expectations" / "training.json"
    edited.write_text("edited")
    with pytest.raises(SettingsError, match="may have been edited"):
        run("write", "--datasheet", "sheets/datasheet.yaml")
    assert edited.read_text() == "edited"


@pytest.mark.parametrize("arguments", [[], ["calls/1", "--datasheet", "sheets/datasheet.yaml"]])
def test_one_subject_is_needed(home: Path, arguments: list[str]) -> None:
    with pytest.raises(SettingsError, match="needs either NAME/VERSION or --datasheet"):
        run("write", *arguments)


@pytest.mark.slow  # trains and registers a model
def test_a_registered_version_is_found_by_its_name(home: Path) -> None:
    from rai_pipelines_tests.house import House

    house = House(home / "registered")
    version = house.register()
    settings: Any = {"RAI_HOME": str(house.settings.home)}
    app = typer.Typer()
    register(app)
    done = CliRunner(env=settings).invoke(app, ["suite", "write", str(version)], catch_exceptions=False)
    assert done.exit_code == 0
    assert (house.settings.subjects_path / version.key / "expectations" / "training.json").is_file()


def test_a_file_that_is_no_suite_is_named(home: Path) -> None:
    (home / "odd.json").write_text("{}")
    with pytest.raises(DataError, match=r"odd\.json: has no list"):
        run("check", "odd.json", "--data", "april.parquet")
