"""The contingency table: exact counts, readable group names, and a clear refusal of what cannot be counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rai_pipelines.errors import DataError
from rai_pipelines.tables.contingency import count_groups
from rai_pipelines.tables.group_names import as_outcome, bin_names, group_name
from rai_pipelines.tables.outcomes import count_classes
from rai_pipelines.tables.source import TableSource, open_table


def opened(frame: pd.DataFrame, folder: Path, kind: str = "parquet") -> TableSource:
    path = folder / f"table.{kind}"
    frame.to_parquet(path) if kind == "parquet" else frame.to_csv(path, index=False)
    return open_table(str(path), name="evaluation", data_folder=folder)


def people(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "race": rng.choice(["White", "Black", "Asian"], rows),
            "sex": rng.choice([1, 2], rows),
            "age": rng.integers(10, 90, rows),
            "y": rng.integers(0, 2, rows),
            "p": rng.integers(0, 2, rows),
        }
    )


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_counts_equal_a_pandas_group_by_for_parquet_and_csv(tmp_path: Path, kind: str) -> None:
    frame = people()
    counts = count_groups(opened(frame, tmp_path, kind), attributes=["race", "sex"], bins={}, label="y", prediction="p", favourable="1")
    expected = frame.assign(sex=frame["sex"].astype(str)).groupby(["race", "sex", "y", "p"]).size()
    found = counts.set_index(["race", "sex", "label", "prediction"])["count"]
    assert len(found) == len(expected)
    assert all(found[key] == number for key, number in expected.items())


def test_bins_cut_half_open_and_what_lies_outside_is_its_own_group(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": [17.0, 18.0, 24.9, 25.0, 35.0, None], "p": [0, 1, 1, 0, 1, 1]})
    counts = count_groups(opened(frame, tmp_path), attributes=["age"], bins={"age": (18, 25, 35)}, label=None, prediction="p", favourable="1")
    assert counts.groupby("age")["count"].sum().to_dict() == {"[18, 25)": 2, "[25, 35)": 1, "(outside bins)": 2, "(missing)": 1}
    assert bin_names((0.5, 1, 2)) == ["[0.5, 1)", "[1, 2)"]


def test_nulls_and_nan_are_one_group_called_missing(tmp_path: Path) -> None:
    frame = pd.DataFrame({"race": ["a", None, "a", None], "code": [1.0, float("nan"), 2.0, float("nan")], "p": [1, 0, 1, 1]})
    counts = count_groups(opened(frame, tmp_path), attributes=["race", "code"], bins={}, label=None, prediction="p", favourable="1")
    assert set(counts["race"]) == {"a", "(missing)"}
    assert set(counts["code"]) == {"1", "2", "(missing)"}


def test_rows_without_a_label_are_kept_apart(tmp_path: Path) -> None:
    frame = pd.DataFrame({"g": ["a"] * 6, "y": [1, 0, None, None, 1, 0], "p": [1, 1, 1, 0, 0, 0]})
    counts = count_groups(opened(frame, tmp_path), attributes=["g"], bins={}, label="y", prediction="p", favourable="1")
    assert counts["label"].isna().sum() == 2
    assert counts.loc[counts["label"].isna(), "count"].sum() == 2
    assert counts["count"].sum() == 6


def test_words_and_booleans_are_outcomes_too(tmp_path: Path) -> None:
    frame = pd.DataFrame({"g": ["a", "a", "b"], "y": ["yes", "no", "yes"], "p": ["no", "no", "yes"]})
    counts = count_groups(opened(frame, tmp_path), attributes=["g"], bins={}, label="y", prediction="p", favourable="yes")
    assert counts[["g", "label", "prediction", "count"]].to_numpy().tolist() == [["a", 0, 0, 1], ["a", 1, 0, 1], ["b", 1, 1, 1]]
    assert as_outcome(pd.Series([True, False]), "1").tolist() == [1, 0]
    assert as_outcome(pd.Series([1.0, 0.0, None]), "true").tolist() == [1, 0, pd.NA]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"p": [0, 1, 2, 1]}, "'p' has 3 classes"),
        ({"y": ["a", "b", "c", "d"]}, "'y' has 4 classes"),
        ({"y": ["good", "bad", "good", "bad"]}, "favourable outcome '1'"),
        ({"p": [2, 3, 2, 3]}, "favourable outcome '1'"),
        ({"p": [1, None, 0, 1]}, "no decision in 1 rows"),
        ({"age": ["x", "y", "x", "y"]}, "has bins but is not numeric"),
    ],
)
def test_what_cannot_be_counted_is_refused_by_column_and_value(tmp_path: Path, change: dict[str, list[object]], words: str) -> None:
    frame = pd.DataFrame({"g": ["a", "b", "a", "b"], "age": [1, 2, 3, 4], "y": [0, 1, 0, 1], "p": [0, 1, 1, 0]} | change)
    with pytest.raises(DataError, match=words):
        count_groups(opened(frame, tmp_path), attributes=["g", "age"], bins={"age": (0, 9)}, label="y", prediction="p", favourable="1")


def test_an_amount_is_not_a_group_until_it_has_bins(tmp_path: Path) -> None:
    frame = pd.DataFrame({"income": np.arange(1500), "p": np.arange(1500) % 2})
    source = opened(frame, tmp_path)
    with pytest.raises(DataError, match=r"'income' has 1,500 distinct values.*bins"):
        count_groups(source, attributes=["income"], bins={}, label=None, prediction="p", favourable="1")
    counts = count_groups(source, attributes=["income"], bins={"income": (0, 750, 1500)}, label=None, prediction="p", favourable="1")
    assert counts["count"].tolist() == [375, 375, 375, 375]


def test_an_empty_table_and_an_absent_column_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="empty"):
        count_groups(opened(people(0), tmp_path), attributes=["race"], bins={}, label="y", prediction="p", favourable="1")
    with pytest.raises(DataError, match="no column 'gone'"):
        count_groups(opened(people(), tmp_path), attributes=["gone"], bins={}, label="y", prediction="p", favourable="1")


def test_group_names_are_bounded_and_differ_when_the_values_do() -> None:
    long_one, long_two = group_name("x" * 5000 + "1"), group_name("x" * 5000 + "2")
    assert max(len(long_one), len(long_two)) <= 120
    assert long_one != long_two
    assert [group_name(value) for value in (1, 1.0, np.int8(3), True, "", None, float("nan"))] == [
        "1",
        "1",
        "3",
        "true",
        "(empty)",
        *["(missing)"] * 2,
    ]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", None, "'; drop"]), st.one_of(st.none(), st.integers(0, 1)), st.integers(0, 1)), min_size=1, max_size=40
    ),
    st.randoms(use_true_random=False),
)
def test_every_row_is_counted_once_in_any_order(tmp_path: Path, rows: list[tuple[str | None, int | None, int]], random: object) -> None:
    frame = pd.DataFrame(rows, columns=["g", "y", "p"]).astype({"y": "Int64"})
    count = dict(attributes=["g"], bins={}, label="y", prediction="p", favourable="1")
    forward = count_groups(opened(frame, tmp_path), **count)
    random.shuffle(rows)  # type: ignore[attr-defined]
    shuffled = count_groups(opened(pd.DataFrame(rows, columns=["g", "y", "p"]).astype({"y": "Int64"}), tmp_path), **count)
    assert forward["count"].sum() == len(rows)
    pd.testing.assert_frame_equal(forward, shuffled)


@pytest.mark.parametrize("column", ["labels", "facts"])
def test_a_column_of_lists_or_structures_is_no_group_and_no_outcome(tmp_path: Path, column: str) -> None:
    frame = pd.DataFrame({"labels": [["a"], ["b"]], "facts": [{"k": 1}, {"k": 2}], "y": [1, 0], "p": [0, 1]})
    frame.to_parquet(tmp_path / "t.parquet")
    source = open_table("t.parquet", name="t", data_folder=tmp_path)
    for parts in ({"attributes": [column], "label": "y"}, {"attributes": ["y"], "label": column}):
        with pytest.raises(DataError, match=f"'{column}' holds lists or structures"):
            count_groups(source, bins={}, prediction="p", favourable="1", **parts)


def test_a_name_that_reads_as_an_intersection_and_a_label_that_is_the_prediction_are_refused(tmp_path: Path) -> None:
    pd.DataFrame({"race × sex": ["a", "b"], "y": [1, 0], "p": [0, 1]}).to_parquet(tmp_path / "t.parquet")
    source = open_table("t.parquet", name="t", data_folder=tmp_path)
    with pytest.raises(DataError, match="cannot be called 'race × sex'"):
        count_groups(source, attributes=["race × sex"], bins={}, label="y", prediction="p", favourable="1")
    with pytest.raises(DataError, match="every row would be right"):
        count_groups(source, attributes=["y"], bins={}, label="p", prediction="p", favourable="1")


def test_an_error_about_a_column_of_many_values_repeats_none_of_them(tmp_path: Path) -> None:
    frame = pd.DataFrame({"g": ["a"] * 30, "y": [0, 1] * 15, "p": [f"person{number}@example.org" for number in range(30)]})
    with pytest.raises(DataError, match="'p' has 30 classes, not two") as caught:
        count_groups(opened(frame, tmp_path), attributes=["g"], bins={}, label="y", prediction="p", favourable="1")
    with pytest.raises(DataError, match="none of the declared classes") as unknown:
        count_classes(opened(frame, tmp_path), attributes=["g"], bins={}, label=None, prediction="p", classes=["a", "b", "c"])
    assert "person" not in str(caught.value) + str(unknown.value)
