"""Corruptions of inputs, and figures by group, against counts made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.assessments.security.corruptions import measure_corruptions
from rai_pipelines.assessments.security.feature_space import Feature, FeatureSpace
from rai_pipelines.assessments.security.robust_figures import Standing
from rai_pipelines.assessments.security.robust_groups import group_figures
from rai_pipelines.assessments.statistics.proportions import difference_of_proportions
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.subjects.datasheet import ProtectedAttribute

SPACE = FeatureSpace(
    (
        Feature("amount", -3.0, 3.0, 1.0, False, None, True),
        Feature("count", 0.0, 9.0, 2.0, True, None, True),
        Feature("job", 0.0, 2.0, 1.0, True, ("a", "b", "c"), True),
    ),
    ("amount", "count", "job"),
)
MEASURED = Standing(State.MEASURED, None, 0.90)


def rows(number: int = 4_000) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.column_stack([rng.normal(size=number).clip(-3, 3), rng.integers(0, 10, number), rng.integers(0, 3, number)]).astype(float)


def by_group(measurements: list[Measurement], metric: str) -> dict[str | None, Measurement]:
    return {item.group: item for item in measurements if item.metric == metric}


def test_noise_flips_as_many_decisions_as_the_angle_between_clean_and_noisy_input_says() -> None:
    vectors = rows()
    truth = (vectors[:, 0] > 0).astype(int)
    found = measure_corruptions(lambda asked: (asked[:, 0] > 0).astype(int), SPACE, vectors, truth, level=0.9, seed=1)
    accuracy = by_group(found, "corrupted_accuracy")
    for size in (0.1, 0.25, 0.5, 1.0):
        expected = 1 - np.arctan(size) / np.pi  # sign agreement of two normal variates with correlation 1/sqrt(1 + size^2)
        assert accuracy[f"noise:{size:g}"].value == pytest.approx(expected, abs=0.015)
    assert {name: item.value for name, item in accuracy.items()} == {
        name: item.value for name, item in by_group(found, "corrupted_agreement").items()
    }


def test_swapped_and_missing_values_come_in_the_stated_share_and_stay_possible() -> None:
    seen: list[np.ndarray] = []

    def decide(asked: np.ndarray) -> np.ndarray:
        seen.append(asked)
        return (asked[:, 2] == 0).astype(int)

    vectors = rows()
    measure_corruptions(decide, SPACE, vectors, None, level=0.9, seed=1)
    clean, *corrupted = seen
    names = ["noise"] * 4 + ["out_of_range", "missing:0.1", "swapped:0.1", "missing:0.3", "swapped:0.3"]
    assert np.array_equal(clean, vectors)
    for name, asked in zip(names, corrupted, strict=True):
        if name == "noise":
            assert ((asked[:, 0] >= -3) & (asked[:, 0] <= 3) & (asked[:, 1] == np.rint(asked[:, 1])) & (asked[:, 2] == vectors[:, 2])).all()
        elif name == "out_of_range":
            outside = (np.abs(asked[:, 0]) > 3) | (asked[:, 1] < 0) | (asked[:, 1] > 9)
            assert outside.all()
        elif name.startswith("missing"):
            assert np.isnan(asked).mean() == pytest.approx(float(name[-3:]), abs=0.01)
        else:
            assert (asked[:, 2] != vectors[:, 2]).mean() == pytest.approx(float(name[-3:]), abs=0.02)
            assert set(asked[:, 2]) == {0.0, 1.0, 2.0}


def test_a_corruption_that_the_model_refuses_has_no_figure_and_names_the_error_type_only() -> None:
    def decide(asked: np.ndarray) -> np.ndarray:
        if np.isnan(asked).any():
            raise ValueError(f"row {asked[0]} is secret")
        return np.ones(len(asked), dtype=int)

    found = by_group(measure_corruptions(decide, SPACE, rows(50), None, level=0.9, seed=1), "corrupted_agreement")
    assert found["missing:0.1"].state is State.UNAVAILABLE
    assert found["missing:0.1"].note == "the model refuses such rows (ValueError)"
    assert found["noise:1"].value == 1.0


def test_the_gap_between_groups_has_the_value_and_at_least_the_interval_of_its_pair() -> None:
    people = pd.DataFrame({"sex": ["f"] * 100 + ["m"] * 100 + ["x"] * 5, "age": [20.0] * 60 + [40.0] * 140 + [np.nan] * 5})
    correct = np.ones(205, dtype=bool)
    correct[:10] = False
    broken = np.zeros(195, dtype=bool)
    broken[:18] = True  # of group f, whose first 10 rows were decided wrongly
    broken[90:92] = True
    attributes = {"sex": ProtectedAttribute(), "age": ProtectedAttribute(bins=(18, 30, 65))}
    found = group_figures(people, correct, broken, attributes, standing=MEASURED, min_group_n=30, seed=1)
    ratios = {(item.attribute, item.group): item for item in found if item.metric == "group_robust_to_clean_ratio"}
    assert (ratios["sex", "f"].value, ratios["sex", "f"].denominator, ratios["sex", "f"].n) == (0.8, 90, 100)
    assert ratios["sex", "m"].value == 0.98
    assert ratios["sex", "x"].state is State.INSUFFICIENT
    assert set(group for attribute, group in ratios if attribute == "age") == {"[18, 30)", "[30, 65)", "(missing)"}
    gap = next(item for item in found if item.metric == "robust_to_clean_gap" and item.attribute == "sex")
    pair = difference_of_proportions((98, 100), (72, 90), 0.90)
    assert (gap.reference, gap.comparison) == ("m", "f")
    assert gap.value == pytest.approx(0.18)
    assert gap.interval is not None
    assert gap.interval.low <= pair.interval.low
    assert gap.interval.high >= pair.interval.high - 1e-12
    assert "'x' (5)" in str(gap.note)
