"""The area of one feature against scikit-learn, and what must not read as a leak."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from rai_pipelines.assessments.validation.leakage import label_leakage
from rai_pipelines.evidence.model import Measurement, State


def _area(values: object, outcome: object, **options: object) -> Measurement:
    settings_: dict = {"codes": frozenset(), "minimum_class": 2, "level": 0.9, "seed": 5} | options
    frame = pd.DataFrame({"x": values})
    return label_leakage(frame, pd.Series(outcome, dtype="Int64"), ["x"], **settings_)[0]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([-1.5, 0.0, 2.0, 3.0, 9.0]), st.booleans()), min_size=4, max_size=60).filter(
        lambda rows: 0 < sum(y for _, y in rows) < len(rows)
    )
)
def test_a_number_has_the_area_of_scikit_learn_in_the_better_direction(rows: list[tuple[float, bool]]) -> None:
    values, labels = [x for x, _ in rows], [int(y) for _, y in rows]
    area = roc_auc_score(labels, values)
    assert _area(values, labels).value == pytest.approx(max(area, 1 - area), abs=1e-12)


def test_a_gap_that_follows_the_label_is_a_leak() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 400)
    assert _area(np.where(labels == 1, np.nan, random.normal(size=400)), labels).value == 1.0


def test_dates_are_ordered() -> None:
    labels = np.r_[np.zeros(50, int), np.ones(50, int)]
    assert _area(pd.Timestamp("2015-01-01") + pd.to_timedelta(np.arange(100), unit="D"), labels).value == 1.0


def test_a_text_key_that_differs_in_every_row_is_no_leak_and_a_text_copy_of_the_label_is() -> None:
    labels = np.random.default_rng(2).integers(0, 2, 500)
    assert _area([f"row {i}" for i in range(500)], labels).value == 0.5
    assert _area(np.where(labels == 1, "yes", "no"), labels).value == 1.0


def test_codes_are_ranked_by_their_shares_and_not_by_their_numbers() -> None:
    codes = np.random.default_rng(3).integers(0, 3, 600)
    labels = (codes == 1).astype(int)
    assert _area(codes, labels).value < 0.8
    assert _area(codes, labels, codes=frozenset({"x"})).value == 1.0


def test_unlabelled_rows_are_left_out() -> None:
    found = _area([1.0, 2.0, 3.0, 4.0, 99.0], [0, 0, 1, 1, None])
    assert (found.value, found.n, found.denominator) == (1.0, 4, 2)


def test_too_few_rows_of_a_class_are_disclosed_as_insufficient() -> None:
    found = _area([1.0, 2.0, 3.0, 4.0], [0, 0, 0, 1], minimum_class=30)
    assert (found.state, found.value, found.denominator) == (State.INSUFFICIENT, 1.0, 1)


def test_one_class_and_an_absent_column_have_no_area() -> None:
    assert (_area([1.0, 2.0], [1, 1]).state, _area([1.0, 2.0], [1, 1]).value) == (State.UNDEFINED, None)
    frame, outcome = pd.DataFrame({"x": [1.0, 2.0]}), pd.Series([0, 1], dtype="Int64")
    absent = label_leakage(frame, outcome, ["z"], frozenset(), minimum_class=2, level=0.9, seed=1)
    assert [(item.state, item.attribute) for item in absent] == [(State.UNAVAILABLE, "z")]


def test_the_interval_holds_the_area_and_shrinks_with_rows() -> None:
    random = np.random.default_rng(4)
    widths = []
    for rows in (100, 4000):
        labels = random.integers(0, 2, rows)
        found = _area(labels + random.normal(size=rows), labels)
        assert found.interval is not None
        assert found.interval.low < found.value < found.interval.high
        widths.append(found.interval.high - found.interval.low)
    assert widths[1] < widths[0] / 4


@pytest.mark.parametrize("value", [lambda label: ["yes", "no"][label : label + 1], lambda label: {"k": label}])
def test_lists_and_structures_that_copy_the_label_are_a_leak(value) -> None:
    labels = np.arange(200) % 2
    assert _area([value(int(label)) for label in labels], labels).value == 1.0
