"""The closed forms over counts against Fairlearn's own functions on the rows that the counts stand for."""

from __future__ import annotations

import fairlearn.metrics
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_pipelines.assessments.fairness.metrics import (
    GroupCounts,
    disparities,
    driving_pair,
    fairlearn_disparities,
    group_counts,
    group_rates,
    smoothed,
)

METRICS = tuple(disparities(np.ones((1, 2, 6))))
tables = st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=2, max_size=4).filter(
    lambda groups: all(tp + fn > 0 and fp + tn > 0 for tp, fn, fp, tn in groups)
)


def counted(groups: list[list[int]]) -> GroupCounts:
    cells = np.array([[*group, 0, 0] for group in groups])
    return GroupCounts("g", ("g",), tuple(f"g{position}" for position in range(len(groups))), cells)


def as_rows(table: GroupCounts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    group, cell = np.nonzero(table.cells)
    repeats = table.cells[group, cell]
    truth, decision = np.isin(cell, (0, 1)).astype(int), np.isin(cell, (0, 2)).astype(int)
    return np.repeat(truth, repeats), np.repeat(decision, repeats), np.repeat(np.array(table.groups)[group], repeats)


@settings(max_examples=15, deadline=None)
@given(tables)
def test_every_metric_equals_fairlearns_function_on_the_rows(groups: list[list[int]]) -> None:
    table = counted(groups)
    truth, decision, group = as_rows(table)
    closed = disparities(table.cells)
    collapsed = fairlearn_disparities(table, labelled=True) | fairlearn_disparities(table, labelled=False)
    for metric in METRICS:
        raw = getattr(fairlearn.metrics, metric)(truth, decision, sensitive_features=group)
        assert float(closed[metric]) == pytest.approx(raw, abs=1e-12, nan_ok=True)
        assert collapsed[metric] == pytest.approx(raw, abs=1e-12, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(tables)
def test_the_driving_pair_gives_the_metric(groups: list[list[int]]) -> None:
    table = counted(groups)
    for metric in METRICS:
        rate, top, bottom = driving_pair(metric, table)
        above, below = group_rates(table.cells)[rate]
        value = float(disparities(table.cells)[metric])
        if metric.endswith("difference"):
            assert above[top] / below[top] - above[bottom] / below[bottom] == pytest.approx(value, abs=1e-12)
        elif np.isfinite(value) and above[top]:
            assert (above[bottom] / below[bottom]) / (above[top] / below[top]) == pytest.approx(value, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(tables)
def test_floored_ratios_are_positive_so_that_their_logarithm_is_finite(groups: list[list[int]]) -> None:
    floored = disparities(counted(groups).cells, positive_floor=True)
    assert all(0 < float(floored[metric]) <= 1 for metric in METRICS if metric.endswith("ratio"))


def test_a_replicate_without_positives_in_a_group_leaves_that_group_out() -> None:
    cells = np.array([[5, 5, 2, 8, 0, 0], [0, 0, 3, 7, 0, 0], [9, 1, 4, 6, 0, 0]])
    assert float(disparities(cells)["equal_opportunity_difference"]) == pytest.approx(0.4)


def test_empty_cells_get_half_a_row_and_full_groups_none() -> None:
    cells = np.array([[5, 5, 2, 8, 0, 0], [0, 4, 3, 7, 0, 0]])
    assert smoothed(cells, labelled=True).tolist() == [[5, 5, 2, 8, 0, 0], [0.5, 4.5, 3.5, 7.5, 0, 0]]
    assert smoothed(cells, labelled=False).sum() == cells.sum()


def test_collapsing_keeps_every_row_in_every_intersection() -> None:
    counts = pd.DataFrame(
        {"a": ["x", "x", "y"], "b": ["1", "2", "1"], "label": pd.array([1, None, 0], dtype="Int64"), "prediction": [1, 0, 1], "count": [5, 7, 9]}
    )
    collapsed = group_counts(counts, ["a", "b"], depth=2)
    assert [item.attribute for item in collapsed] == ["a", "b", "a × b"]
    assert all(item.cells.sum() == 21 for item in collapsed)
    assert dict(zip(collapsed[2].groups, collapsed[2].cells.tolist(), strict=True)) == {
        "x × 1": [5, 0, 0, 0, 0, 0],
        "x × 2": [0, 0, 0, 0, 0, 7],
        "y × 1": [0, 0, 9, 0, 0, 0],
    }
