"""The closed forms over counts against Fairlearn's own functions on the rows that the counts stand for."""

from __future__ import annotations

import fairlearn.metrics
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_score

from rai_pipelines.assessments.fairness.groups import GroupCounts, group_counts
from rai_pipelines.assessments.fairness.metrics import (
    RATES,
    disparities,
    driving_pair,
    effective_rates,
    fairlearn_disparities,
    group_rates,
    normal_pool,
    resampled_gaps,
)
from rai_pipelines.assessments.statistics.uncertainty import resample

METRICS = tuple(metric for metric in RATES if metric != "predictive_parity_difference")  # Fairlearn has no function for that one
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
    collapsed = fairlearn_disparities([table], labelled=True)[0] | fairlearn_disparities([table], labelled=False)[0]
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


@settings(max_examples=15, deadline=None)
@given(tables.filter(lambda groups: all(tp + fp > 0 for tp, _, fp, _ in groups)))
def test_predictive_parity_equals_the_largest_difference_of_scikit_learns_precision(groups: list[list[int]]) -> None:
    table = counted(groups)
    truth, decision, group = as_rows(table)
    frame = fairlearn.metrics.MetricFrame(metrics=precision_score, y_true=truth, y_pred=decision, sensitive_features=group)
    assert float(disparities(table.cells)["predictive_parity_difference"]) == pytest.approx(frame.difference(), abs=1e-12)


@settings(max_examples=10, deadline=None)
@given(tables, tables)
def test_one_frame_for_several_tables_gives_each_its_own_figures(first: list[list[int]], second: list[list[int]]) -> None:
    together = fairlearn_disparities([counted(first), counted(second)], labelled=True)
    for figures, groups in zip(together, (first, second), strict=True):
        assert figures == pytest.approx(fairlearn_disparities([counted(groups)], labelled=True)[0], abs=1e-12, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(tables)
def test_resampled_ratios_are_finite_also_where_nobody_was_selected(groups: list[list[int]]) -> None:
    table = counted(groups)
    kept = table.only(table.cells[:, [0, 2]].sum(axis=1) > 0)
    if len(kept.groups) >= 2:
        gaps = resampled_gaps(group_rates(kept.cells), list(RATES), resamples=200, seed=(1,), pool=normal_pool(4, resamples=200, seed=(1,)))
        assert all(np.isfinite(values).all() and (values >= 0).all() for values in gaps.values())


@pytest.mark.parametrize("scale", [1, 100])  # binomial draws, and their normal limit
def test_resampled_gaps_spread_like_those_of_multinomial_resamples_of_the_cells(scale: int) -> None:
    cells = np.array([[300, 100, 120, 480, 0, 0], [200, 100, 80, 420, 0, 0], [150, 90, 80, 180, 0, 0]]) * scale
    exact = resample(cells, disparities, resamples=20_000, seed=(3,))
    pool = normal_pool(3, resamples=20_000, seed=(4,))
    gaps = resampled_gaps(group_rates(cells), list(RATES), resamples=20_000, seed=(5,), pool=pool)
    for metric in RATES:
        expected = -np.log(exact[metric]) if metric.endswith("ratio") else exact[metric]
        assert gaps[metric].std() == pytest.approx(expected.std(), rel=0.04)
        assert gaps[metric].mean() == pytest.approx(expected.mean(), abs=0.06 * expected.std())


def test_rows_of_equal_weight_count_as_themselves_and_uneven_weights_as_fewer() -> None:
    cells = np.array([[40, 20, 10, 30, 0, 0]])
    even = GroupCounts("g", ("g",), ("a",), cells, 2.0 * cells, 4.0 * cells[:, :, None] * np.eye(6))
    for name, (hits, trials) in effective_rates(even).items():
        wanted = group_rates(cells)[name]
        assert trials == pytest.approx(wanted[1], rel=0.02)
        assert hits / trials == pytest.approx(wanted[0] / wanted[1])
    uneven = GroupCounts("g", ("g",), ("a",), cells, 2.0 * cells, 12.0 * cells[:, :, None] * np.eye(6))
    assert effective_rates(uneven)["selection_rate"][1] == pytest.approx(100 / 3, rel=0.02)


def test_a_replicate_without_positives_in_a_group_leaves_that_group_out() -> None:
    cells = np.array([[5, 5, 2, 8, 0, 0], [0, 0, 3, 7, 0, 0], [9, 1, 4, 6, 0, 0]])
    assert float(disparities(cells)["equal_opportunity_difference"]) == pytest.approx(0.4)


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
