"""Exact areas against scikit-learn; brackets that hold the exact area; histograms that count every row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from rai_pipelines.assessments.statistics.auc import binned_auc
from rai_pipelines.errors import DataError
from rai_pipelines.tables.ranks import exact_auc, score_groups
from rai_pipelines.tables.score_histogram import score_histogram
from rai_pipelines.tables.source import TableSource, open_table

LOOSE = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def opened(frame: pd.DataFrame, folder: Path, name: str = "evaluation") -> TableSource:
    frame.to_parquet(folder / f"{name}.parquet")
    return open_table(f"{name}.parquet", name=name, data_folder=folder)


scored = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1, width=16)), min_size=4, max_size=60).filter(
    lambda rows: len({y for y, _ in rows}) == 2
)


@LOOSE
@given(scored)
def test_the_exact_area_is_scikit_learns_and_the_bracket_of_any_histogram_holds_it(tmp_path: Path, rows: list[tuple[int, float]]) -> None:
    frame = pd.DataFrame(rows, columns=["y", "s"])
    source = opened(frame, tmp_path)
    exact = roc_auc_score(frame["y"], frame["s"])
    assert exact_auc(source, score="s", label="y", favourable="1").value == pytest.approx(exact, abs=1e-12)
    for bins in (1, 3, 100):
        bracket = binned_auc(score_histogram(source, score="s", label="y", favourable="1", bins=bins).by_label())
        assert bracket is not None
        assert bracket.low - 1e-12 <= exact <= bracket.high + 1e-12
        assert bracket.low <= bracket.value <= bracket.high


def test_a_histogram_counts_every_row_by_group_and_label(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"sex": rng.choice(["f", "m"], 500), "y": rng.integers(0, 2, 500), "s": rng.uniform(-0.1, 1.1, 500)}).astype({"y": "Int64"})
    frame.loc[:9, "s"] = np.nan
    frame.loc[10:19, "y"] = pd.NA
    frame.loc[20, "s"] = 1.0
    found = score_histogram(opened(frame, tmp_path), score="s", label="y", favourable="1", attributes=["sex"], bins=10)
    assert (found.missing, int(found.cells["count"].sum())) == (10, 490)
    rows = frame[(frame["sex"] == "f") & frame["s"].notna() & (frame["y"] == 1)]["s"]
    expected = np.histogram(rows[(rows >= 0) & (rows <= 1)], bins=10, range=(0, 1))[0]
    counts = found.by_label(sex="f")[1]
    assert counts[1:-1].tolist() == expected.tolist()
    assert (counts[0], counts[-1]) == ((rows < 0).sum(), (rows > 1).sum())
    assert found.cells["total"].sum() == pytest.approx(frame["s"].sum())


@LOOSE
@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from([0, 1, None]), st.floats(0, 1, width=16)), min_size=3, max_size=60))
def test_each_group_has_scikit_learns_area_and_the_sums_of_its_errors(tmp_path: Path, rows: list[tuple[str | None, int | None, float]]) -> None:
    frame = pd.DataFrame(rows, columns=["g", "y", "s"]).astype({"y": "Int64"})
    labelled = frame[frame["y"].notna()].assign(g=lambda f: f["g"].fillna("(missing)"))
    found = {group.group: group for group in score_groups(opened(frame, tmp_path), attributes=["g"], bins={}, label="y", score="s", favourable="1")}
    for name, members in [(None, labelled), *labelled.groupby("g")]:
        error = (members["s"] - members["y"]).astype(float)
        assert found[name].rows == len(members)
        assert found[name].errors == pytest.approx([(error**power).sum() for power in (1, 2, 3, 4)], abs=1e-9)
        if members["y"].nunique() == 2:
            assert found[name].area.value == pytest.approx(roc_auc_score(members["y"].astype(int), members["s"]), abs=1e-12)
        else:
            assert found[name].area.value is None
    assert set(found) == {None, *labelled["g"]}


def test_a_labelled_row_without_a_finite_score_is_refused_where_every_row_must_have_one(tmp_path: Path) -> None:
    frame = pd.DataFrame({"g": ["a", "a", "b"], "y": [1, 0, 1], "s": [0.5, 0.2, np.inf]})
    with pytest.raises(DataError, match="1 values that are not finite"):
        score_groups(opened(frame, tmp_path), attributes=["g"], bins={}, label="y", score="s", favourable="1")


def test_one_class_has_no_area(tmp_path: Path) -> None:
    source = opened(pd.DataFrame({"y": [1, 1], "s": [0.1, 0.2]}), tmp_path)
    assert exact_auc(source, score="s", label="y", favourable="1").value is None
    assert binned_auc(score_histogram(source, score="s", label="y", favourable="1").by_label()) is None


def test_an_infinite_score_is_refused(tmp_path: Path) -> None:
    source = opened(pd.DataFrame({"y": [1, 0], "s": [0.1, np.inf]}), tmp_path)
    with pytest.raises(DataError, match="infinite in 1 rows"):
        score_histogram(source, score="s", label="y", favourable="1")
    with pytest.raises(ValueError, match="at least one bin"):
        score_histogram(source, score="s", label="y", favourable="1", bins=0)
