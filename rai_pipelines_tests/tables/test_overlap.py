"""Equal rows are counted by their values, with null equal to null, within a table and between two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rai_pipelines.errors import DataError
from rai_pipelines.tables.overlap import duplicate_rows, overlap
from rai_pipelines.tables.source import TableSource, open_table

ROWS = st.lists(st.tuples(st.sampled_from([None, 1.0, 2.0, -0.0, 0.0]), st.sampled_from([None, "", "a", "A"])), min_size=1, max_size=25)


def _table(folder: Path, frame: pd.DataFrame, name: str) -> TableSource:
    frame.to_parquet(folder / f"{name}.parquet")
    return open_table(f"{name}.parquet", name=name, data_folder=folder)


def _frame(rows: list[tuple[float | None, str | None]]) -> pd.DataFrame:
    return pd.DataFrame({"x": pd.Series([x for x, _ in rows], dtype="float64"), "s": pd.Series([s for _, s in rows], dtype="string")})


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(left=ROWS, right=ROWS)
def test_overlap_and_duplicates_equal_a_count_of_python_tuples(tmp_path: Path, left: list, right: list) -> None:
    ours, theirs = _table(tmp_path, _frame(left), "training"), _table(tmp_path, _frame(right), "evaluation")
    found = overlap(ours, theirs, ["x", "s"])
    assert (found.rows, found.shared) == (len(right), sum(row in set(left) for row in right))
    within = duplicate_rows(ours, ["x", "s"])
    assert (within.rows, within.distinct, within.repeated) == (len(left), len(set(left)), sum(left.count(row) > 1 for row in left))


def test_parquet_and_csv_of_other_widths_compare_by_value(tmp_path: Path) -> None:
    left = _table(tmp_path, pd.DataFrame({"x": np.array([1, 2, 3], dtype="int8"), "s": ["a", "b", None]}), "training")
    (tmp_path / "e.csv").write_text("s,x\na,1.0\n,3.0\nb,9.5\n")
    found = overlap(left, open_table("e.csv", name="evaluation", data_folder=tmp_path), ["x", "s"])
    assert (found.rows, found.shared) == (3, 2)
    assert found.share == 2 / 3


def test_columns_without_a_common_type_compare_as_text(tmp_path: Path) -> None:
    left = _table(tmp_path, pd.DataFrame({"code": [1, 2]}), "training")
    right = _table(tmp_path, pd.DataFrame({"code": ["2", "two"]}), "evaluation")
    assert overlap(left, right, ["code"]).shared == 1


def test_shares_tell_surplus_rows_from_rows_with_a_twin(tmp_path: Path) -> None:
    found = duplicate_rows(_table(tmp_path, pd.DataFrame({"x": [1, 1, 1, 2]}), "training"))
    assert (found.duplicate_share, found.repeated_share) == (2 / 4, 3 / 4)


def test_a_missing_column_is_named_with_its_table(tmp_path: Path) -> None:
    left = _table(tmp_path, pd.DataFrame({"x": [1]}), "training")
    right = _table(tmp_path, pd.DataFrame({"y": [1]}), "evaluation")
    with pytest.raises(DataError, match="evaluation table has no column 'x'"):
        overlap(left, right, ["x"])
    with pytest.raises(DataError, match="no columns were given"):
        overlap(left, right, [])
