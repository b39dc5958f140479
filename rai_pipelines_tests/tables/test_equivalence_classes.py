"""Equivalence classes against brute force, SciPy's Wasserstein distance and the worked examples of the papers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import entropy, wasserstein_distance

from rai_pipelines.errors import DataError
from rai_pipelines.tables.equivalence_classes import equivalence_classes
from rai_pipelines.tables.ordered_distance import ordered_distances
from rai_pipelines.tables.source import TableSource, open_table

MISSING = "<null>"


def _table(folder: Path, frame: pd.DataFrame) -> TableSource:
    frame.to_parquet(folder / "table.parquet")
    return open_table("table.parquet", name="training", data_folder=folder)


ROW = st.tuples(
    st.sampled_from(["x", "y", None]), st.integers(0, 2), st.sampled_from([None, -3.5, 0.0, 2.0, 7.0, 1e6]), st.sampled_from(["p", "q", None])
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROW, min_size=1, max_size=60))
def test_k_l_and_t_equal_brute_force_on_the_raw_rows(tmp_path: Path, rows: list) -> None:
    frame = pd.DataFrame(
        {
            "q": pd.Series([row[0] for row in rows], dtype="string"),
            "r": [row[1] for row in rows],
            "amount": pd.Series([row[2] for row in rows], dtype="float64"),
            "illness": pd.Series([row[3] for row in rows], dtype="string"),
        }
    )
    found = equivalence_classes(_table(tmp_path, frame), ["q", "r"], ["amount", "illness"])

    classes = [part for _, part in frame.groupby(["q", "r"], dropna=False)]
    sizes = sorted(len(part) for part in classes)
    assert [size for size, count in found.sizes for _ in range(count)] == sizes
    assert (found.rows, found.classes, found.k) == (len(frame), len(classes), sizes[0])
    assert found.unique_rows == sizes.count(1)
    assert found.rows_below(5) == sum(size for size in sizes if size < 5)

    ranks = frame["amount"].rank(method="dense").fillna(frame["amount"].nunique() + 1)
    spread = ranks.nunique() - 1
    amount = found.diversity["amount"]
    farthest = max(wasserstein_distance(ranks[part.index], ranks) for part in classes) / spread if spread else 0.0
    assert amount.closeness == pytest.approx(farthest, abs=1e-11)
    assert amount.distance == ("ordered_emd" if spread else "total_variation")

    illness = frame["illness"].fillna(MISSING)
    overall = illness.value_counts(normalize=True)
    shares = [illness[part.index].value_counts(normalize=True).reindex(overall.index, fill_value=0.0) for part in classes]
    least = found.diversity["illness"]
    assert least.closeness == pytest.approx(max((share - overall).abs().sum() / 2 for share in shares), abs=1e-11)
    assert least.entropy_l == pytest.approx(min(math.exp(entropy(share)) for share in shares), abs=1e-8)
    assert (least.values, least.distinct_minimum) == (len(overall), min((share > 0).sum() for share in shares))


@settings(max_examples=100, deadline=None)
@given(data=st.data(), values=st.integers(2, 12), classes=st.integers(1, 5))
def test_the_ordered_distance_of_sparse_classes_equals_scipy(data: st.DataObject, values: int, classes: int) -> None:
    counts = np.array(data.draw(st.lists(st.lists(st.integers(0, 4), min_size=values, max_size=values), min_size=classes, max_size=classes)))
    counts[0] += counts.sum(axis=0) == 0  # each value occurs somewhere
    counts = counts[counts.sum(axis=1) > 0]
    marginal = counts.sum(axis=0)
    which, ranks = np.nonzero(counts)
    starts = np.flatnonzero(np.r_[True, np.diff(which) > 0])
    found = ordered_distances(starts, ranks, counts[which, ranks], marginal)
    grid = np.arange(values)
    wanted = [wasserstein_distance(grid, grid, row, marginal) / (values - 1) for row in counts]
    assert found == pytest.approx(wanted, abs=1e-12)


def test_the_hospital_table_of_the_l_diversity_paper(tmp_path: Path) -> None:
    # Machanavajjhala et al. 2007, figures 1-3: the 4-anonymous table has a class of cancer only; the other one is 3-diverse.
    illness = ["Heart", "Heart", "Viral", "Viral", "Cancer", "Heart", "Viral", "Viral", "Cancer", "Cancer", "Cancer", "Cancer"]
    four_anonymous = pd.DataFrame(
        {"zip": ["130**"] * 4 + ["1485*"] * 4 + ["130**"] * 4, "age": ["<30"] * 4 + [">=40"] * 4 + ["3*"] * 4, "illness": illness}
    )
    found = equivalence_classes(_table(tmp_path, four_anonymous), ["zip", "age"], ["illness"])
    assert (found.k, found.classes, found.diversity["illness"].distinct_minimum, found.diversity["illness"].entropy_l) == (4, 3, 1, 1.0)
    three_diverse = pd.DataFrame({"class": [1, 3, 3, 1, 2, 2, 2, 2, 1, 1, 3, 3], "illness": illness})
    assert equivalence_classes(_table(tmp_path, three_diverse), ["class"], ["illness"]).diversity["illness"].distinct_minimum == 3


def test_the_salary_table_of_the_t_closeness_paper(tmp_path: Path) -> None:
    # Li et al. 2007, section 4.1: with salaries 3k..11k, {3k,4k,5k} is 0.375 from the table and {6k,8k,11k} is 0.167.
    frame = pd.DataFrame({"class": [1, 1, 1, 2, 2, 2, 3, 3, 3], "salary": [3, 4, 5, 6, 8, 11, 7, 9, 10]})
    assert equivalence_classes(_table(tmp_path, frame), ["class"], ["salary"]).diversity["salary"].closeness == 0.375
    found = ordered_distances(np.array([0, 3]), np.array([0, 1, 2, 3, 5, 8]), np.ones(6, dtype=int), np.ones(9, dtype=int))
    assert found == pytest.approx([0.375, 1 / 6])


def test_numbers_that_are_codes_have_no_order(tmp_path: Path) -> None:
    frame = pd.DataFrame({"q": [1, 1, 2, 2], "code": [1, 1, 2, 9]})
    found = equivalence_classes(_table(tmp_path, frame), ["q"], ["code"], categorical=["code"]).diversity["code"]
    assert (found.distance, found.closeness) == ("total_variation", 0.5)


def test_row_order_does_not_change_a_digit(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    frame = pd.DataFrame({"q": random.integers(0, 40, 4000), "v": random.normal(size=4000).round(2), "s": random.choice(list("abcdef"), 4000)})
    first = equivalence_classes(_table(tmp_path, frame), ["q"], ["v", "s"])
    assert equivalence_classes(_table(tmp_path, frame.sample(frac=1, random_state=1)), ["q"], ["v", "s"]) == first


def test_what_cannot_be_asked_is_refused_in_words(tmp_path: Path) -> None:
    source = _table(tmp_path, pd.DataFrame({"a": [1], "b": [2]}))
    with pytest.raises(DataError, match="no quasi-identifiers"):
        equivalence_classes(source, [])
    with pytest.raises(DataError, match="'b' cannot be quasi-identifier and sensitive at once"):
        equivalence_classes(source, ["a", "b"], ["b"])
    with pytest.raises(DataError, match="no column 'zip'"):
        equivalence_classes(source, ["zip"])
    with pytest.raises(DataError, match="is empty"):
        equivalence_classes(_table(tmp_path, pd.DataFrame({"a": pd.Series([], dtype="int64")})), ["a"])
