"""Columns of few values are grouped; whichever way a column is counted, its profile is the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rai_pipelines.tables import value_counts
from rai_pipelines.tables.profile import comparable, profile
from rai_pipelines.tables.source import table_of
from rai_pipelines.tables.value_counts import counts_of_few_valued

BIG = 2**53
ROW = st.tuples(
    st.sampled_from([None, 0, 1, -7, BIG, BIG + 1]),
    st.sampled_from([None, 0.0, -0.0, 2.5, float("nan"), float("inf"), -float("inf"), 1e300]),
    st.sampled_from([None, "", "a", "A", "é"]),
    st.sampled_from([None, True, False]),
)


def frame_of(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    columns = list(zip(*rows, strict=True))
    kinds = {"n": "Int64", "x": "float64", "t": "string", "b": "boolean"}
    return pd.DataFrame({name: pd.Series(columns[position], dtype=kind) for position, (name, kind) in enumerate(kinds.items())})


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROW, min_size=1, max_size=30))
def test_grouped_and_aggregated_columns_have_the_same_profile(monkeypatch: pytest.MonkeyPatch, rows: list[tuple[object, ...]]) -> None:
    source = table_of(frame_of(rows))
    with monkeypatch.context() as patch:
        patch.setattr(value_counts, "FEW", -1)
        aggregated = profile(source)
    assert profile(source) == aggregated


def test_integers_are_exact_and_flags_stay_flags() -> None:
    source = table_of(frame_of([(BIG, 0.0, "a", True), (BIG + 1, -0.0, None, None), (BIG + 1, float("nan"), "a", False)]))
    found = counts_of_few_valued(source, comparable(source, ["n", "x", "t", "b"]))
    assert found["c0"] == {BIG: 1, BIG + 1: 2}
    assert found["c1"] == {0.0: 2, None: 1}
    assert found["c2"] == {"a": 2, None: 1}
    assert found["c3"] == {True: 1, False: 1, None: 1} and all(value is None or isinstance(value, bool) for value in found["c3"])


def test_a_column_that_only_begins_with_few_values_is_counted_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(value_counts, "PREFIX_ROWS", 100)
    monkeypatch.setattr(value_counts, "MOST_GROUPS", 500)
    frame = pd.DataFrame({"x": np.concatenate([np.zeros(100), np.arange(1, 2_001)])})
    source = table_of(frame)
    assert counts_of_few_valued(source, comparable(source, ["x"])) == {}
    column = profile(source).columns["x"]
    assert (column.distincts, column.values_capped, column.maximum) == (2_001, True, 2_000.0)


def test_many_columns_take_several_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(value_counts, "COLUMNS_AT_ONCE", 2)
    frame = pd.DataFrame({f"x{position}": [position, position, 1] for position in range(5)})
    found = profile(table_of(frame)).columns
    assert [dict(found[name].values or ()) for name in frame] == [frame[name].value_counts().to_dict() for name in frame]
