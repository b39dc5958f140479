"""Single attacks on models whose nearest counterexample is known, and whether each attack is seen to work or not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from rai_pipelines.assessments.security.attack_suite import (
    Effect,
    Inside,
    Scene,
    _fragile_tree,
    _oracle_of,
    breakable_rows,
    effects,
    row_seeds,
    run_attacks,
    starting_points,
)
from rai_pipelines.assessments.security.evasion import black_box
from rai_pipelines.assessments.security.feature_space import Feature, FeatureSpace
from rai_pipelines.assessments.security.gradients import gradient, linear_weights
from rai_pipelines.assessments.security.oracle import Attacked, Effort, Guard, Oracle, best_of, confirmed
from rai_pipelines.assessments.security.tree_leaves import decision_tree, leaves_of
from rai_pipelines.errors import ModelError
from rai_pipelines.subjects.model_files import CheckedModel
from rai_pipelines.subjects.model_formats import _estimator

WIDTH = 4
EFFORT = Effort(starts=30, neighbours=60, max_iter=3, init_eval=30, max_eval=60, boundary_iterations=6)
SPACE = FeatureSpace(
    tuple(Feature(f"f{at}", -4.0, 4.0, 1.0 + at, False, None, at != 3) for at in range(WIDTH)), tuple(f"f{at}" for at in range(WIDTH))
)


def cloud(number: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(number, WIDTH))


def scene(oracle: Oracle, **changes: Any) -> Scene:
    made: dict[str, Any] = {
        "space": SPACE,
        "rows": cloud(20, 2),
        "pool": cloud(400),
        "budgets": (0.5, 1.0),
        "effort": EFFORT,
        "guard": Guard(60),
        "seed": 3,
    }
    return Scene(oracle=oracle, **{**made, **changes})


def line() -> tuple[Oracle, np.ndarray]:
    """A linear model, and how far each row of the scene is from its boundary in the units of the space."""
    weights = np.array([1.0, -2.0, 0.5, 0.0])
    rows = cloud(20, 2)
    exact = np.abs(rows @ weights - 0.2) / np.linalg.norm((weights * SPACE.step)[:3])
    return Oracle(lambda asked: (asked @ weights > 0.2).astype(int)), exact


def test_what_is_found_for_a_row_depends_neither_on_the_others_nor_on_how_many_run_at_once() -> None:
    oracle, _ = line()
    here = scene(oracle)
    starts, seeds = starting_points(here), row_seeds(3, 30, 20).tolist()
    common: dict[str, Any] = {"effort": EFFORT, "guard": here.guard}
    for name in ("hop_skip_jump", "boundary"):
        whole = black_box(name, oracle, SPACE, here.rows, starts=starts, seeds=seeds, **common)
        single = black_box(name, oracle, SPACE, here.rows, starts=starts, seeds=seeds, at_once=1, **common)
        first = black_box(name, oracle, SPACE, here.rows[:7], starts=starts.part(7), seeds=seeds[:7], **common)
        assert np.array_equal(whole.rows, single.rows)
        assert np.array_equal(whole.rows[:7], first.rows)
        assert whole.asked == single.asked


def test_the_attacks_come_close_to_the_exact_distance_of_a_linear_model_and_never_below() -> None:
    oracle, exact = line()
    here = scene(oracle)
    weights = np.array([1.0, -2.0, 0.5, 0.0, -0.2])
    found = run_attacks(("hop_skip_jump", "gradient"), here, Inside(weights=weights), starts=starting_points(here))
    for one in found.values():
        assert (one.distance >= exact - 1e-9).all()
    assert np.median(found["hop_skip_jump"].distance / exact) < 1.25
    assert np.median(found["gradient"].distance / exact) < 1.25


def test_a_row_ends_at_its_allowance_and_keeps_what_was_found_until_then() -> None:
    oracle, _ = line()
    here = scene(oracle, effort=Effort(starts=30, allowance=100))
    starts = starting_points(here)
    found = run_attacks(("hop_skip_jump",), here, Inside(), starts=starts)["hop_skip_jump"]
    assert found.cut == 20
    assert found.asked < 20 * 120
    assert (found.distance <= starts.distance).all()


def checked(estimator: Any) -> CheckedModel:
    return CheckedModel(_estimator(estimator, "skops"), SPACE.columns, "1", "model.skops")


@pytest.mark.parametrize("integer", [False, True])
def test_no_row_of_a_fine_grid_is_nearer_than_the_nearest_leaf_of_another_class(integer: bool) -> None:
    """Brute force over two movable inputs, in steps of a fortieth, or over all whole numbers."""
    space = FeatureSpace(
        (Feature("a", -4, 4, 1.0, integer, None, True), Feature("b", -4, 4, 2.0, integer, None, True), Feature("c", -4, 4, 1.0, False, None, False)),
        ("a", "b", "c"),
    )
    rng = np.random.default_rng(1)
    drawn = np.rint(rng.normal(size=(300, 3)) * 2).clip(-4, 4)
    frame = pd.DataFrame(drawn + (0 if integer else rng.uniform(-0.4, 0.4, drawn.shape)), columns=["a", "b", "c"])
    tree = DecisionTreeClassifier(random_state=0).fit(frame, rng.integers(0, 2, 300))
    oracle = Oracle(lambda asked: tree.predict(pd.DataFrame(asked, columns=frame.columns)))
    leaves = leaves_of(CheckedModel(_estimator(tree, "skops"), ("a", "b", "c"), "1", "m"), space)
    assert leaves is not None
    rows = frame.to_numpy()[:12]
    found = decision_tree(oracle, space, rows, leaves=leaves)
    steps = np.arange(-4, 5) if integer else np.linspace(-4, 4, 321)
    grid = np.array([(a, b) for a in steps for b in steps], dtype=float)
    for position, row in enumerate(rows):
        tried = np.column_stack([grid, np.full(len(grid), row[2])])
        flipped = tried[oracle.ask(tried) != oracle.ask(row[None])[0]]
        nearest = space.distance(flipped, row).min() if len(flipped) else np.inf
        assert found.distance[position] <= nearest + 1e-5
        if integer:
            assert found.distance[position] == pytest.approx(nearest)
    assert (found.rows[:, 2] == rows[:, 2]).all()


def test_categories_and_one_hot_groups_are_moved_into_a_leaf_as_a_whole() -> None:
    space = FeatureSpace(
        (
            Feature("code", 0, 2, 1.0, True, (10, 20, 30), True),
            Feature("red|blue", 0, 1, 1.0, True, ("red", "blue"), True, members=("red", "blue")),
        ),
        ("code", "red", "blue"),
    )
    frame = pd.DataFrame([(code, red, 1 - red) for code in (10, 20, 30) for red in (0, 1)], columns=["code", "red", "blue"])
    tree = DecisionTreeClassifier(random_state=0).fit(frame, (frame["code"] == 30) & (frame["blue"] == 1))
    vectors = space.encode(frame)
    oracle = Oracle(lambda asked: tree.predict(space.decode(asked, frame)).astype(int))
    leaves = leaves_of(CheckedModel(_estimator(tree, "skops"), ("code", "red", "blue"), "1", "m"), space)
    assert leaves is not None
    found = decision_tree(oracle, space, vectors, leaves=leaves)
    expected = {(10, 1): np.sqrt(8), (20, 1): np.sqrt(8), (10, 0): 2.0, (20, 0): 2.0, (30, 1): 2.0, (30, 0): 2.0}
    assert {(row.code, row.red): distance for row, distance in zip(frame.itertuples(), found.distance, strict=True)} == pytest.approx(expected)


def test_other_models_have_no_leaves_and_boxes_that_are_none_are_refused() -> None:
    frame = pd.DataFrame(cloud(40), columns=list(SPACE.columns))
    assert leaves_of(checked(LogisticRegression().fit(frame, frame["f0"] > 0)), SPACE) is None

    class Lying(CheckedModel):
        def run(self, task: str, parameters: Any, tables: Any) -> tuple[Any, Any]:
            return {"applicable": True, "weights": {"f0": "many"}, "intercept": None}, {"leaves": pa.table({"class": [0]})}

    liar = Lying(_estimator(LogisticRegression().fit(frame, frame["f0"] > 0), "skops"), SPACE.columns, "1", "m")
    with pytest.raises(ModelError, match="something else than boxes"):
        leaves_of(liar, SPACE)
    with pytest.raises(ModelError, match="not one finite number per input"):
        linear_weights(liar, SPACE)


@pytest.mark.parametrize("scaled", [True, False])
def test_the_weights_of_a_logistic_regression_are_those_of_its_own_columns(scaled: bool) -> None:
    rows = cloud(300) * [1, 5, 0.1, 2] + 3
    frame = pd.DataFrame(rows, columns=list(SPACE.columns))
    regression = LogisticRegression()
    model = (make_pipeline(StandardScaler(), regression) if scaled else regression).fit(frame, (rows[:, 0] > 3).astype(int))
    weights = linear_weights(CheckedModel(_estimator(model, "skops"), SPACE.columns, "1", "m"), SPACE)
    assert weights is not None
    assert rows @ weights[:-1] + weights[-1] == pytest.approx(model.decision_function(frame))
    tree = DecisionTreeClassifier().fit(frame, (rows[:, 0] > 3).astype(int))
    assert linear_weights(CheckedModel(_estimator(tree, "skops"), SPACE.columns, "1", "m"), SPACE) is None


def test_a_gradient_moves_no_input_that_cannot_move() -> None:
    weights = np.array([1.0, 0.0, 0.0, 9.0, 0.0])
    oracle = Oracle(lambda asked: (asked @ weights[:-1] > 0).astype(int))
    found = gradient(oracle, SPACE, cloud(10), weights=weights, epsilon=1.0, effort=EFFORT)
    assert (found.rows[:, 3] == cloud(10)[:, 3]).all()


def test_every_attack_breaks_its_positive_control_and_finds_all_when_distance_does_not_count() -> None:
    oracle, _ = line()
    here = scene(oracle, budgets=(1.0, 2.0))
    inside, starts = Inside(weights=np.array([1.0, -2.0, 0.5, 0.0, -0.2])), starting_points(here)
    names = ("hop_skip_jump", "boundary", "valid_neighbours", "gradient")
    found = run_attacks(names, here, inside, starts=starts)
    effect = effects(found, here, inside, starts=starts, control_rows=breakable_rows(here, here.rows, 10), checked=10)
    assert {name: one.problem(1.0, 0.5) for name, one in effect.items()} == dict.fromkeys(names)
    assert effect["hop_skip_jump"].reachable == effect["hop_skip_jump"].unbounded == 10


def test_the_control_is_made_of_rows_that_can_be_broken_within_the_budget() -> None:
    oracle, _ = line()
    here = scene(oracle, budgets=(1.0, 2.0))
    rows = breakable_rows(here, here.rows, 10)
    assert 0 < len(rows) <= 10
    fragile = replace(here, oracle=_oracle_of(_fragile_tree(here.pool, here.seed)), rows=rows)
    found = run_attacks(("valid_neighbours",), fragile, Inside(), starts=Attacked.nothing(rows))
    assert found["valid_neighbours"].within(1.0).mean() >= 0.8
    assert not len(breakable_rows(replace(here, budgets=(1e-9,)), here.rows, 10)), "no change is that small"


def test_without_a_row_that_could_be_broken_an_attack_shows_nothing() -> None:
    assert "can be changed within the budget" in str(Effect(control(0, 0), 20, 5, 5, 20, 20).problem(0.5, 0.5))


def control(broken: int, of: int) -> Attacked:
    return Attacked(np.zeros((of, 1)), np.where(np.arange(of) < broken, 0.1, np.inf))


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (Effect(control(9, 20), 20, 5, 5, 20, 20), "breaks 9 of 20 decisions of a fragile model"),
        (Effect(control(20, 20), 20, 12, 9, 20, 20), "with all its effort it breaks 9 of 20 rows, with a quarter 12"),
        (Effect(control(20, 20), 20, 5, 5, 20, 17), "finds 17 of 20 counterexamples that are known to exist"),
    ],
)
def test_an_attack_that_does_not_work_says_why(effect: Effect, words: str) -> None:
    assert words in str(effect.problem(0.5, 0.5))


def test_an_attack_that_works_has_no_problem() -> None:
    assert Effect(control(10, 20), 20, 7, 5, 10, 9).problem(0.5, 0.5) is None


def test_a_finding_that_the_model_itself_does_not_confirm_is_looked_for_further_out_and_else_dropped() -> None:
    rows = np.zeros((3, WIDTH))
    found = Attacked(np.tile([0.1, 0.0, 0.0, 0.0], (3, 1)), np.full(3, 0.1))
    strict = Oracle(lambda asked: (asked[:, 0] > 0.1).astype(int))  # the other way to ask said 0.1 was enough
    kept, lost = confirmed(strict, SPACE, rows, found)
    assert lost == 3
    assert (kept.distance > 0.1).all()
    assert kept.distance == pytest.approx(np.full(3, 0.1), rel=0.02)
    deaf = Oracle(lambda asked: np.zeros(len(asked), dtype=int))
    assert np.isinf(confirmed(deaf, SPACE, rows, found)[0].distance).all()


def test_of_equally_near_counterexamples_the_first_is_kept() -> None:
    rows = np.zeros((2, WIDTH))
    candidates = np.array([[0.5, 0, 0, 0], [-0.5, 0, 0, 0], [0.4, 0, 0, 0], [0.2, 0, 0, 0]])
    oracle = Oracle(lambda asked: (np.abs(asked[:, 0]) > 0.3).astype(int))
    best = best_of(oracle, SPACE, rows, np.zeros(2, dtype=int), candidates=candidates, owner=np.array([0, 0, 1, 1]))
    assert best.rows[:, 0].tolist() == [0.5, 0.4]
    assert best.distance.tolist() == [0.5, 0.4]
