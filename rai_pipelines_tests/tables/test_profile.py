"""The profile counts what pandas counts, and no NaN or infinity comes out of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.errors import DataError
from rai_pipelines.tables.profile import profile
from rai_pipelines.tables.source import TableSource, open_table


def _table(folder: Path, frame: pd.DataFrame, name: str = "training") -> TableSource:
    frame.to_parquet(folder / f"{name}.parquet")
    return open_table(f"{name}.parquet", name=name, data_folder=folder)


@pytest.fixture
def people() -> pd.DataFrame:
    random = np.random.default_rng(5)
    rows = 700
    return pd.DataFrame(
        {
            "age": random.integers(18, 90, rows),
            "income": np.where(random.random(rows) < 0.1, np.nan, random.normal(3e4, 1e4, rows)),
            "race": random.choice(["White", "Black", None], rows),
            "since": pd.Timestamp("2015-01-01") + pd.to_timedelta(random.integers(0, 900, rows), unit="D"),
            "citizen": random.choice([True, False], rows),
            "empty": pd.Series([None] * rows, dtype="string"),
        }
    )


def test_every_figure_is_what_pandas_counts_on_the_raw_rows(tmp_path: Path, people: pd.DataFrame) -> None:
    found = profile(_table(tmp_path, people))
    assert found.rows == len(people)
    for name in people.columns:
        column, raw = found.columns[name], people[name]
        assert (column.nulls, column.distincts) == (raw.isna().sum(), raw.nunique())
        assert column.missing_share == raw.isna().mean()
    for name in ("age", "income"):
        column, raw = found.columns[name], people[name]
        assert (column.minimum, column.maximum) == (raw.min(), raw.max())
        assert column.mean == pytest.approx(raw.mean(), rel=1e-8)
        assert column.std == pytest.approx(raw.std(), rel=1e-8)
    assert [found.columns[name].kind for name in people.columns] == ["numeric", "numeric", "text", "temporal", "boolean", "text"]
    assert found.columns["since"].minimum == str(people["since"].min())


def test_value_counts_are_listed_up_to_the_cap_and_the_cut_is_said(tmp_path: Path, people: pd.DataFrame) -> None:
    found = profile(_table(tmp_path, people), ["race", "age"], values_cap=2)
    assert dict(found.columns["race"].values or ()) == people["race"].value_counts().to_dict()
    assert not found.columns["race"].values_capped
    assert found.columns["age"].values is None
    assert found.columns["age"].values_capped


def test_nan_is_a_missing_value_and_infinity_stays_out_of_range_and_mean(tmp_path: Path) -> None:
    column = profile(_table(tmp_path, pd.DataFrame({"x": [1.0, 3.0, np.nan, np.inf, -np.inf]}))).columns["x"]
    assert (column.nulls, column.infinite, column.minimum, column.maximum, column.mean) == (1, 2, 1.0, 3.0, 2.0)


def test_an_absurdly_large_value_does_not_stop_the_profile(tmp_path: Path) -> None:
    column = profile(_table(tmp_path, pd.DataFrame({"x": [1.0, 3.0, 1e300]}))).columns["x"]
    assert (column.maximum, column.mean) == (1e300, 2.0)


def test_a_table_without_rows_has_a_profile_without_numbers(tmp_path: Path) -> None:
    found = profile(_table(tmp_path, pd.DataFrame({"x": pd.Series([], dtype="float64")})))
    column = found.columns["x"]
    assert (found.rows, column.nulls, column.minimum, column.mean, column.std, column.missing_share) == (0, 0, None, None, None, 0.0)


def test_negative_zero_and_zero_are_one_value(tmp_path: Path) -> None:
    column = profile(_table(tmp_path, pd.DataFrame({"x": [0.0, -0.0, 0.0]}))).columns["x"]
    assert str(column.values) == "((0.0, 3),)"
    assert str(column.minimum) == "0.0"


def test_an_unknown_column_is_named_in_the_error(tmp_path: Path, people: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="'salary'"):
        profile(_table(tmp_path, people), ["age", "salary"])


def test_a_profile_is_the_same_each_time_and_for_csv(tmp_path: Path, people: pd.DataFrame) -> None:
    chosen = people[["age", "income", "race"]]
    chosen.to_csv(tmp_path / "people.csv", index=False)
    from_csv = profile(open_table("people.csv", name="training", data_folder=tmp_path))
    from_parquet = profile(_table(tmp_path, chosen))
    assert from_csv == from_parquet == profile(_table(tmp_path, chosen))


def test_a_sample_is_the_drawn_rows_of_all_files_in_table_order(tmp_path: Path) -> None:
    frame = pd.DataFrame({"row": np.arange(5000), "text": [f"r{i}" for i in range(5000)]})
    frame[:3000].to_parquet(tmp_path / "part-1.parquet", row_group_size=500)
    frame[3000:].to_parquet(tmp_path / "part-2.parquet", row_group_size=500)
    source = open_table("part-*.parquet", name="training", data_folder=tmp_path)
    drawn = source.sample(200, seed=11)
    wanted = np.sort(np.random.default_rng(11).choice(5000, size=200, replace=False, shuffle=False))
    assert drawn["row"].tolist() == wanted.tolist()
    assert drawn["text"].tolist() == [f"r{i}" for i in wanted]
    assert source.sample(5000, seed=11, columns=["text"])["text"].tolist() == frame["text"].tolist()
