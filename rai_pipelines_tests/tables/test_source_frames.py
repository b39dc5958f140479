"""Data frames of a notebook as table sources: the same counts as from a file, and a digest that follows from the content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_pipelines.errors import DataError
from rai_pipelines.tables.overlap import duplicate_rows, overlap
from rai_pipelines.tables.profile import profile
from rai_pipelines.tables.source import open_table, table_of

FRAME = pd.DataFrame({"x": [1, 2, 2, 2**60 + 1], "s": ["a", "é", "é", None], "f": [0.5, np.nan, np.nan, np.inf]})


def test_a_frame_is_counted_like_the_parquet_file_of_it(tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "a.parquet")
    source, in_file = table_of(FRAME, name="evaluation"), open_table("a.parquet", name="evaluation", data_folder=tmp_path)
    assert profile(source) == profile(in_file)
    assert duplicate_rows(source) == duplicate_rows(in_file)
    assert source.shown == "frame:evaluation"
    assert source.files == ()


def test_the_digest_of_a_frame_follows_from_its_rows_and_columns_not_from_order_or_index() -> None:
    digest = table_of(FRAME).digest()
    assert digest.startswith("rows-sha256:")
    assert table_of(FRAME.sample(frac=1, random_state=1)).digest() == digest
    assert table_of(FRAME.set_index(pd.Index(list("abcd")))).digest() == digest
    assert table_of(FRAME, name="other").digest() == digest, "the name of the part is no content"
    others = [FRAME.rename(columns={"s": "t"}), FRAME[:3], FRAME.assign(x=FRAME["x"].astype(str)), FRAME.assign(s=["a", "é", "é", "~"])]
    others += [pd.concat([FRAME, FRAME[:1]]), FRAME.assign(f=FRAME["f"].to_numpy()[::-1])]
    assert len({table_of(other).digest() for other in others} | {digest}) == len(others) + 1


@settings(max_examples=12, deadline=None)
@given(
    rows=st.lists(st.tuples(st.text(max_size=3), st.none() | st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=6),
    other=st.lists(st.tuples(st.text(max_size=3), st.none() | st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=6),
)
def test_two_frames_have_one_digest_exactly_when_they_hold_the_same_rows(rows: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> None:
    def digest(content: list[tuple[Any, ...]]) -> str:
        texts, numbers = zip(*content, strict=True)
        return table_of(pd.DataFrame({"s": pd.Series(texts, dtype="str"), "i": pd.array(numbers, "Int64")})).digest()

    def key(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return (row[0], row[1] is None, row[1] or 0)

    assert (digest(rows) == digest(other)) == (sorted(rows, key=key) == sorted(other, key=key))
    assert digest(rows) == digest(rows[::-1])


def test_a_sample_of_a_frame_follows_from_seed_and_content() -> None:
    frame = pd.DataFrame({"x": np.arange(500), "y": np.arange(500) % 7})
    drawn = table_of(frame).sample(50, seed=3)
    pd.testing.assert_frame_equal(drawn, table_of(frame[::-1]).sample(50, seed=3))
    assert drawn["x"].is_unique and (drawn["y"] == drawn["x"] % 7).all()
    assert set(drawn["x"]) != set(table_of(frame).sample(50, seed=4)["x"])


def test_a_frame_that_changes_after_it_was_read_does_not_change_the_source() -> None:
    frame = FRAME.copy()
    source = table_of(frame)
    digest = source.digest()
    frame.loc[0, "x"] = 99
    assert source.run(source.table().x.max()) == 2**60 + 1
    assert source.digest() == digest


def test_missing_values_of_every_spelling_are_null_and_categories_are_their_values() -> None:
    frame = pd.DataFrame(
        {
            "nan": [1.0, np.nan],
            "nullable": pd.array([1.5, pd.NA], dtype="Float64"),
            "none": pd.Series(["a", None], dtype=object),
            "nat": pd.to_datetime(["2020-01-01", None]),
            "category": pd.Categorical(["b", None]),
            "codes": pd.Categorical([7, None]),
        }
    )
    found = profile(table_of(frame)).columns
    assert {name: column.nulls for name, column in found.items()} == dict.fromkeys(frame.columns, 1)
    assert (found["category"].kind, found["codes"].kind) == ("text", "numeric")


def test_two_frames_and_a_frame_and_a_file_are_compared_row_by_row(tmp_path: Path) -> None:
    left = table_of(FRAME, name="training")
    FRAME[1:].to_parquet(tmp_path / "b.parquet")
    for right in (table_of(FRAME[1:], name="evaluation"), open_table("b.parquet", name="evaluation", data_folder=tmp_path)):
        found = overlap(left, right, ["x", "s"])
        assert (found.rows, found.shared) == (3, 3)
        beside = right.beside(left)
        assert beside is not None and beside.table().get_backend() is left.table().get_backend()
        assert beside.count_rows() == 3


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.DataFrame({1: [1]}), "the column name 1 is no text"),
        (pd.DataFrame([[1, 2]], columns=["a", "A"]), "'a' comes more than once"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "'a' comes more than once"),
        (pd.DataFrame({"mixed": [1, "a"]}), "Conversion failed for column mixed"),
        (pd.DataFrame({"huge": [2**70, 1]}), "cannot be read"),
        (pd.DataFrame(), "has no columns"),
        (pd.DataFrame({"x": []}), "the training table is empty"),
    ],
)
def test_a_frame_that_is_no_table_is_a_data_error_that_says_why(frame: pd.DataFrame, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        table_of(frame).count_rows()
    assert caught.value.where == "frame:training"
