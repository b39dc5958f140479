"""What an attacker may make of a row: nothing that breaks a declared rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_pipelines.assessments.security.attack_suite import Inside, Scene, run_attacks, starting_points
from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.security.oracle import Effort, Guard, Oracle
from rai_pipelines.assessments.security.threat_model import violations
from rai_pipelines.assessments.security.training_space import read_feature_space
from rai_pipelines.errors import DataError, DatasheetError
from rai_pipelines.subjects.datasheet import RobustnessBudget
from rai_pipelines.tables.source import open_table, table_of

NAMES = ("amount", "count", "age", "job", "red", "green", "blue")
FIXED = ("age",)
FREE = RobustnessBudget(one_hot=(("red", "green", "blue"),))


def training(number: int = 200, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    colour = rng.integers(0, 3, number)
    frame = pd.DataFrame(
        {
            "amount": rng.normal(size=number),
            "count": rng.integers(0, 12, number),
            "age": rng.integers(18, 65, number),
            "job": rng.choice(["cook", "nurse", "pilot"], number),
        }
    )
    return frame.assign(**{name: (colour == code).astype(int) for code, name in enumerate(("red", "green", "blue"))})


def space_of(folder: Path, budget: RobustnessBudget = FREE, frame: pd.DataFrame | None = None) -> FeatureSpace:
    (training() if frame is None else frame).to_parquet(folder / "t.parquet")
    source = open_table("t.parquet", name="training", data_folder=folder)
    return read_feature_space(source, NAMES, categorical=("job",), immutable=FIXED, budget=budget)


def made_space(budget: RobustnessBudget) -> FeatureSpace:
    return read_feature_space(table_of(training(), name="training"), NAMES, categorical=("job",), immutable=FIXED, budget=budget)


budgets = st.builds(
    RobustnessBudget,
    epsilon_l2=st.floats(0.1, 5),
    category_step=st.floats(0.1, 4),
    epsilon_linf=st.none() | st.floats(0.05, 4),
    max_changed_features=st.none() | st.integers(1, 4),
    ranges=st.sampled_from([{}, {"amount": (-0.5, 0.5)}, {"count": (3.0, 5.0)}]),
    costs=st.sampled_from([{}, {"amount": 3.0, "job": 0.5}, {"count": 0.2}]),
    one_hot=st.sampled_from([(), (("red", "green", "blue"),)]),
    directions=st.sampled_from([{}, {"amount": "increase"}, {"count": "decrease", "amount": "decrease"}]),
)


@settings(max_examples=25, deadline=None)
@given(budgets, st.integers(0, 2**32 - 1))
def test_no_projected_row_breaks_a_rule(budget: RobustnessBudget, seed: int) -> None:
    space = made_space(budget)
    rng = np.random.default_rng(seed)
    originals = training(40, seed=seed % 97)
    originals.loc[::7, "amount"] = np.nan
    originals.loc[::5, "amount"] *= 4  # outside what training has seen
    vectors = space.encode(originals)
    wild = vectors + rng.normal(size=vectors.shape) * rng.choice([0.01, 1.0, 50.0], size=vectors.shape)
    projected = space.project(wild, vectors)
    examples = space.decode(projected, originals)
    assert violations(space, budget, examples, space.decode(vectors, originals), fixed=FIXED) == [()] * 40
    assert np.array_equal(space.project(projected, vectors), projected, equal_nan=True)
    assert np.array_equal(space.project(vectors, vectors), vectors, equal_nan=True)


@settings(max_examples=8, deadline=None)
@given(budgets, st.integers(0, 50))
def test_no_adversarial_example_breaks_a_rule(budget: RobustnessBudget, seed: int) -> None:
    space = made_space(budget)
    originals = training(12, seed=seed)
    vectors = space.encode(originals)
    oracle = Oracle(lambda rows: (np.nan_to_num(rows[:, 0]) + rows[:, 1] / 6 + (rows[:, 3] == 1) > 1.4).astype(int))
    scene = Scene(
        oracle, space, vectors, space.encode(training()), (budget.epsilon_l2, 2 * budget.epsilon_l2),
        Effort(starts=20, neighbours=30, max_iter=1, init_eval=10, max_eval=20, boundary_iterations=2), Guard(60), seed,
    )  # fmt: skip
    names = ("hop_skip_jump", "boundary", "valid_neighbours")
    found = run_attacks(names, scene, Inside(), starts=starting_points(scene))
    assert set(found) == set(names)
    for one in found.values():
        within = one.within(budget.epsilon_l2)
        examples, before = (space.decode(rows[within], originals) for rows in (one.rows, vectors))
        assert violations(space, budget, examples, before, fixed=FIXED, epsilon=budget.epsilon_l2) == [()] * int(within.sum())
        assert (oracle.ask(one.rows[within]) != oracle.ask(vectors[within])).all()


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"age": 30}, "immutable:age"),
        ({"amount": 99.0}, "range:amount"),
        ({"amount": None}, "missing:amount"),
        ({"count": 2.5}, "whole:count"),
        ({"count": 1}, "direction:count"),
        ({"job": "astronaut"}, "category:job"),
        ({"red": 1, "green": 1}, "one_hot:red|green|blue"),
        ({"red": 0, "green": 0, "blue": 0}, "one_hot:red|green|blue"),
        ({"amount": 1.5}, "epsilon_linf:amount"),
        ({"amount": 0.4, "count": 6, "job": "cook"}, "max_changed_features"),
        ({"amount": 0.9}, "epsilon_l2"),
    ],
)
def test_each_rule_is_seen_to_be_broken(tmp_path: Path, changes: dict[str, Any], rule: str) -> None:
    budget = RobustnessBudget(
        epsilon_linf=1.0,
        max_changed_features=2,
        directions={"count": "increase"},
        ranges={"amount": (-3, 3)},
        one_hot=FREE.one_hot,
        category_step=0.5,
    )
    space = space_of(tmp_path, budget)
    before = pd.DataFrame({"amount": [0.0], "count": [5], "age": [40], "job": ["pilot"], "red": [1], "green": [0], "blue": [0]})
    after = before.assign(**{name: [value] for name, value in changes.items()})
    (broken,) = violations(space, budget, after, before, fixed=FIXED, epsilon=0.8)
    assert rule in broken
    assert violations(space, budget, before, before, fixed=FIXED, epsilon=0.8) == [()]


def test_rows_survive_being_written_as_vectors(tmp_path: Path) -> None:
    space, frame = space_of(tmp_path), training(30, seed=9)
    pd.testing.assert_frame_equal(space.decode(space.encode(frame), frame), frame, check_dtype=True)
    frame.loc[0, ["red", "green", "blue"]] = [1, 1, 0]
    frame.loc[1, "job"] = "astronaut"
    assert space.known(frame, space.encode(frame)).tolist() == [False, False] + [True] * 28


def test_a_one_hot_group_with_rows_of_none_keeps_none_as_a_value(tmp_path: Path) -> None:
    frame = training().assign(blue=0)
    space = space_of(tmp_path, frame=frame)
    group = next(feature for feature in space.features if feature.members)
    assert group.values == ("red", "green", "blue", "")
    pd.testing.assert_frame_equal(space.decode(space.encode(frame), frame), frame)


def test_distance_counts_standard_deviations_times_cost_and_a_step_for_a_category(tmp_path: Path) -> None:
    space = space_of(tmp_path, RobustnessBudget(category_step=1.5, costs={"amount": 2.0, "job": 2.0}, one_hot=FREE.one_hot))
    origin = space.encode(training(1))
    moved = origin.copy()
    moved[0, 0] += training()["amount"].std(ddof=0)
    assert space.distance(moved, origin)[0] == pytest.approx(2.0)
    moved[0, 3] = (moved[0, 3] + 1) % 3
    assert space.distance(moved, origin)[0] == pytest.approx(np.hypot(2.0, 3.0))
    moved[0, 4] = (moved[0, 4] + 1) % 3
    assert space.distance(moved, origin)[0] == pytest.approx(np.sqrt(4 + 9 + 2.25))


def test_declarations_that_do_not_fit_the_inputs_are_refused(tmp_path: Path) -> None:
    for declared, message in (
        ({"ranges": {"gone": (0, 1)}}, "robustness.ranges: 'gone' is no input"),
        ({"directions": {"job": "increase"}}, "'job' is a category"),
        ({"one_hot": (("red", "gone"),)}, "robustness.one_hot: 'gone' is no input"),
    ):
        with pytest.raises(DatasheetError, match=message):
            space_of(tmp_path, RobustnessBudget(**declared))
    with pytest.raises(DataError, match="values other than 0 and 1"):
        space_of(tmp_path, RobustnessBudget(one_hot=(("red", "count"),)))


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"ranges": {"a": (2, 1)}}, "upside down"),
        ({"ranges": {"a": (0, float("inf"))}}, "finite"),
        ({"costs": {"a": 0}}, "greater than 0"),
        ({"epsilon_linf": 0}, "greater than 0"),
        ({"max_changed_features": 0}, "greater than or equal to 1"),
        ({"one_hot": (("a",),)}, "at least two"),
        ({"one_hot": (("a", "b"), ("b", "c"))}, "names b twice"),
        ({"one_hot": (("a", "b"),), "ranges": {"a": (0, 1)}}, "in a one_hot group"),
        ({"one_hot": (("a", "b"),), "costs": {"a": 2}}, "costs differ"),
        ({"directions": {"a": "sideways"}}, "increase"),
    ],
)
def test_declarations_that_contradict_themselves_are_refused(declared: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RobustnessBudget(**declared)
