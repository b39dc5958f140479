"""Counts of classes, scores above the median, and moments of residuals, against pandas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.errors import DataError
from rai_pipelines.tables.outcomes import count_above_median, count_classes, one_vs_rest, residual_moments
from rai_pipelines.tables.ranks import score_groups
from rai_pipelines.tables.source import TableSource, open_table

CLASSES = ("a", "b", "c")


def people(rows: int = 600) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    return pd.DataFrame(
        {
            "sex": rng.choice(["f", "m"], rows),
            "y": rng.choice(CLASSES, rows),
            "p": rng.choice(CLASSES, rows),
            "score": np.round(rng.random(rows), 2),
            "price": 1e6 + rng.normal(0, 2, rows),
            "said": 1e6 + rng.normal(1, 2, rows),
            "hired": rng.integers(0, 2, rows),
        }
    )


def opened(frame: pd.DataFrame, folder: Path) -> TableSource:
    frame.to_parquet(folder / "people.parquet")
    return open_table("people.parquet", name="evaluation", data_folder=folder)


def test_classes_are_counted_as_pandas_counts_them(tmp_path: Path) -> None:
    frame = people()
    counts = count_classes(opened(frame, tmp_path), attributes=["sex"], bins={}, label="y", prediction="p", classes=CLASSES)
    assert counts.set_index(["sex", "label", "prediction"])["count"].to_dict() == frame.groupby(["sex", "y", "p"]).size().to_dict()


def test_one_class_against_the_rest_is_a_binary_table(tmp_path: Path) -> None:
    frame = people()
    frame.loc[:9, "y"] = None
    counts = one_vs_rest(count_classes(opened(frame, tmp_path), attributes=["sex"], bins={}, label="y", prediction="p", classes=CLASSES), "b")
    assert counts["count"].sum() == 600
    assert counts.loc[counts["label"].isna(), "count"].sum() == 10
    assert counts.loc[(counts["label"] == 1) & (counts["prediction"] == 0), "count"].sum() == ((frame["y"] == "b") & (frame["p"] != "b")).sum()


@pytest.mark.parametrize("column", ["y", "p"])
def test_a_value_that_is_no_declared_class_is_named(tmp_path: Path, column: str) -> None:
    frame = people()
    frame.loc[3, column] = "z"
    with pytest.raises(DataError, match=f"'{column}' has values that are none of the declared classes .found 'z'"):
        count_classes(opened(frame, tmp_path), attributes=["sex"], bins={}, label="y", prediction="p", classes=CLASSES)


def test_scores_above_the_exact_median_are_selected_and_those_at_it_are_not(tmp_path: Path) -> None:
    frame = people()
    counts, median = count_above_median(opened(frame, tmp_path), attributes=["sex"], bins={}, label="hired", score="score", favourable="1")
    assert median == frame["score"].median()
    chosen = counts[counts["prediction"] == 1].groupby("sex")["count"].sum().to_dict()
    assert chosen == (frame["score"] > frame["score"].median()).groupby(frame["sex"]).sum().to_dict()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_no_finite_number_is_refused(tmp_path: Path, bad: float) -> None:
    frame = people()
    frame.loc[[1, 2], "score"] = bad
    with pytest.raises(DataError, match="has 2 values that are not finite numbers"):
        count_above_median(opened(frame, tmp_path), attributes=["sex"], bins={}, label=None, score="score", favourable="1")


def test_residual_moments_equal_pandas_also_far_from_zero(tmp_path: Path) -> None:
    frame = people()
    frame.loc[:19, "price"] = np.nan
    moments = residual_moments(opened(frame, tmp_path), attributes=["sex"], bins={}, label="price", prediction="said").set_index("sex")
    residual = frame["said"] - frame["price"]
    for sex, rows in moments.iterrows():
        mine = residual[(frame["sex"] == sex) & residual.notna()]
        assert rows["labelled"] == len(mine)
        assert [rows[f"r{power}"] for power in (1, 2, 3, 4)] == pytest.approx([float((mine**power).sum()) for power in (1, 2, 3, 4)], rel=1e-7)
        said = frame["said"][frame["sex"] == sex]
        n = rows["count"]
        assert rows["centre"] + rows["p1"] / n == pytest.approx(said.mean(), rel=1e-12)
        assert rows["p2"] / n - (rows["p1"] / n) ** 2 == pytest.approx(said.var(ddof=0), rel=1e-6)


def test_an_infinite_prediction_is_refused(tmp_path: Path) -> None:
    frame = people()
    frame.loc[0, "said"] = np.inf
    with pytest.raises(DataError, match="1 rows have no prediction, or an infinite one"):
        residual_moments(opened(frame, tmp_path), attributes=["sex"], bins={}, label="price", prediction="said")


@pytest.mark.parametrize("task", ["classes", "median", "residuals"])
def test_an_amount_is_not_a_group_for_any_task_until_it_has_bins(tmp_path: Path, task: str) -> None:
    frame = people(2_400).assign(income=np.arange(2_400) // 2)
    frame.to_parquet(tmp_path / "t.parquet")
    source = open_table("t.parquet", name="evaluation", data_folder=tmp_path)

    def count(bins: dict[str, tuple[float, ...]]) -> pd.DataFrame:
        where = {"attributes": ["sex", "income"], "bins": bins}
        if task == "classes":
            return count_classes(source, label="y", prediction="p", classes=CLASSES, **where)
        if task == "median":
            return count_above_median(source, label="hired", score="score", favourable="1", **where)[0]
        return residual_moments(source, label="price", prediction="said", **where)

    with pytest.raises(DataError, match=r"'income' has more distinct values than the 1,000 that can be groups.*Declare bins for 'income'"):
        count({})
    assert set(count({"income": (0, 600, 1_200)})["income"]) == {"[0, 600)", "[600, 1200)"}


@pytest.mark.parametrize("hired", [["no", "yes"], ["0", "1", "2"]])
def test_a_label_of_other_classes_is_refused_beside_scores_too(tmp_path: Path, hired: list[str]) -> None:
    frame = people().assign(hired=lambda rows: np.resize(hired, len(rows)))
    frame.to_parquet(tmp_path / "t.parquet")
    source = open_table("t.parquet", name="evaluation", data_folder=tmp_path)
    asked = {"attributes": ["sex"], "bins": {}, "label": "hired", "score": "score", "favourable": "1"}
    for count in (count_above_median, score_groups):
        with pytest.raises(DataError, match=r"'hired' needs two classes, one of them the favourable outcome '1'"):
            count(source, **asked)
