"""The shipped tables: what they must be, and what they must not hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.demo.make_data import (
    COARSE_COLUMNS,
    COARSE_TRAINING_FILE,
    DATA_FILES,
    EVALUATION_FILE,
    PRODUCTION_FILE,
    TRAINING_FILE,
    make_data,
    with_coarse_columns,
)
from rai_pipelines.demo.population import demo_data_folder, write_demo_data
from rai_pipelines.errors import DataError

PROTECTED = {"SEX", "RAC1P", "DIS", "AGEP", "CIT", "NATIVITY"}


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return {name: pd.read_parquet(demo_data_folder() / name) for name in DATA_FILES}


def test_all_tables_together_are_smaller_than_three_megabytes() -> None:
    assert sum((demo_data_folder() / name).stat().st_size for name in DATA_FILES) < 3_000_000


def test_the_detailed_tables_hold_working_age_people_and_nobody_elses_predictions(tables: dict[str, pd.DataFrame]) -> None:
    for name in (TRAINING_FILE, EVALUATION_FILE, PRODUCTION_FILE):
        table = tables[name]
        assert table.AGEP.between(18, 64).all()
        assert set(table.columns) >= PROTECTED | {"employed", "row"}
        assert not [column for column in table.columns if "predict" in column.lower()]
        assert set(table.employed.unique()) == {0, 1}
        assert not table.isna().any().any()
        assert all(np.issubdtype(kind, np.integer) for kind in table.dtypes)
    assert set(tables[PRODUCTION_FILE].year) == {2016, 2017, 2018}


def test_no_person_is_in_two_tables(tables: dict[str, pd.DataFrame]) -> None:
    rows = pd.concat([tables[name].row for name in (TRAINING_FILE, EVALUATION_FILE, PRODUCTION_FILE)])
    assert rows.is_unique


def test_the_coarse_training_table_is_anonymous_to_the_stated_degree(tables: dict[str, pd.DataFrame]) -> None:
    coarse = tables[COARSE_TRAINING_FILE]
    assert list(coarse.columns) == [*COARSE_COLUMNS, "DIS", "employed"]
    disability = (coarse.DIS == 1).groupby([coarse[name] for name in COARSE_COLUMNS])
    assert disability.size().min() >= 5
    assert disability.nunique().min() == 2
    assert (disability.mean() - (coarse.DIS == 1).mean()).abs().max() <= 0.3


def test_the_coarse_training_table_holds_only_people_of_the_detailed_one(tables: dict[str, pd.DataFrame]) -> None:
    columns = [*COARSE_COLUMNS, "DIS", "employed"]
    before = with_coarse_columns(tables[TRAINING_FILE])[columns].value_counts()
    after = tables[COARSE_TRAINING_FILE][columns].value_counts()
    assert (after == before.loc[after.index]).all(), "whole classes were left out, never parts of them"
    assert before.sum() - after.sum() == 422


def test_coarse_columns_say_what_the_provenance_says() -> None:
    detailed = pd.DataFrame({"AGEP": [18, 24, 25, 44, 45, 64], "RELP": [0, 1, 2, 10, 15, 17], "MIG": [1, 2, 3, 1, 1, 3]})
    made = with_coarse_columns(detailed)
    assert made.AGE_BAND.tolist() == [18, 18, 25, 35, 45, 55]
    assert made.HOUSEHOLD_ROLE.tolist() == [0, 0, 1, 1, 2, 3]
    assert made.MOVED.tolist() == [0, 1, 1, 0, 0, 1]


def test_writing_the_tables_again_changes_nothing_and_repairs_what_was_changed(tmp_path: Path) -> None:
    assert [path.name for path in write_demo_data(tmp_path)] == list(DATA_FILES)
    assert write_demo_data(tmp_path) == []
    (tmp_path / TRAINING_FILE).write_bytes(b"half")
    assert write_demo_data(tmp_path) == [tmp_path / TRAINING_FILE]
    assert len(pd.read_parquet(tmp_path / TRAINING_FILE)) == 21_674


def test_the_recipe_refuses_a_source_that_it_was_not_written_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nannyml 0\.13\.1"):
        make_data(tmp_path, tmp_path / "out")
    folder = tmp_path / "nannyml" / "datasets" / "data"
    folder.mkdir(parents=True)
    (folder / "employment_MA_reference.pq").write_bytes(b"other")
    with pytest.raises(DataError, match="not the file that this recipe was written for"):
        make_data(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
