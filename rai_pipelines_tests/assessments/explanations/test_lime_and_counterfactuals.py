"""LIME is lime's own; counterfactuals are valid, change mutable inputs only, and are as near as an exhaustive search finds."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd

from rai_pipelines.assessments.explanations.counterfactuals import changed_features, nearest_counterfactuals
from rai_pipelines.assessments.explanations.explained_model import ExplainedModel, open_explained
from rai_pipelines.assessments.explanations.lime_rows import lime_weights
from rai_pipelines_tests.assessments.explanations.explained_subjects import DATASHEET, RuleModel, context_of, sheet_of, write_tables


def opened(folder: Path, model: RuleModel, text: str = DATASHEET) -> tuple[ExplainedModel, np.ndarray, np.ndarray]:
    """The model, vectors of its training rows and of evaluation rows."""
    _, evaluation = write_tables(folder)
    explained = open_explained(context_of(folder, model, sheet_of(text)), pool_rows=400)
    return explained, explained.space.encode(explained.pool), explained.space.encode(evaluation)


def score(frame: pd.DataFrame) -> np.ndarray:
    lean = (frame["income"] - 50) / 20 + (frame["job"] == "nurse") * 0.7 - (frame["sex"] == 2) * 0.3
    return np.asarray(1 / (1 + np.exp(-lean)))


def decide(frame: pd.DataFrame) -> np.ndarray:
    return (score(frame) > 0.5).astype(int)


def test_weights_are_limes_own_on_the_same_seed_and_do_not_depend_on_company(tmp_path: Path) -> None:
    from lime.lime_tabular import LimeTabularExplainer

    explained, pool, rows = opened(tmp_path, RuleModel(decide, score))
    made = lime_weights(explained, pool, rows[:3], samples=300, seed=9)
    for position in range(3):
        own = LimeTabularExplainer(
            pool,
            mode="classification",
            categorical_features=[3, 4],
            feature_names=list(explained.space.names),
            feature_selection="none",
            random_state=9,
        )
        told = own.explain_instance(
            rows[position], lambda vectors: np.column_stack([1 - explained.outputs_of(vectors), explained.outputs_of(vectors)]), num_samples=300
        )
        np.testing.assert_allclose(made[position], [weight for _, weight in sorted(told.as_map()[1])], atol=1e-12)
    np.testing.assert_array_equal(lime_weights(explained, pool, rows[2:3], samples=300, seed=9)[0], made[2])
    assert (np.abs(made).argmax(axis=1) == 1).sum() + (np.abs(made).argmax(axis=1) == 3).sum() == 3  # income or job


def test_a_row_with_a_missing_value_has_no_weights(tmp_path: Path) -> None:
    explained, pool, rows = opened(tmp_path, RuleModel(decide, lambda frame: score(frame.fillna(50))))
    rows[1, 1] = np.nan
    made = lime_weights(explained, pool, rows[:2], samples=100, seed=1)
    assert np.isfinite(made).all(axis=1).tolist() == [True, False]


def test_every_counterfactual_is_decided_differently_and_changes_mutable_inputs_only(tmp_path: Path) -> None:
    explained, pool, rows = opened(tmp_path, RuleModel(decide, score))
    found = nearest_counterfactuals(explained, rows[:30], pool)
    assert np.isfinite(found.distance).all()
    assert (explained.decisions_at(found.rows) != explained.decisions_at(rows[:30])).all()
    fixed = [explained.space.names.index(name) for name in ("age", "sex")]
    assert not changed_features(explained.space, rows[:30], found.rows)[:, fixed].any()
    np.testing.assert_allclose(found.distance, explained.space.distance(found.rows, rows[:30]))


def test_no_change_of_two_inputs_on_a_fine_grid_is_much_nearer(tmp_path: Path) -> None:
    explained, pool, rows = opened(tmp_path, RuleModel(decide, score))
    found = nearest_counterfactuals(explained, rows[:8], pool)
    space = explained.space
    income, job = space.names.index("income"), space.names.index("job")
    grid = np.linspace(space.features[income].low, space.features[income].high, 400)
    for position, row in enumerate(rows[:8]):
        tried = np.array(
            [[*row[:income], amount, *row[income + 1 : job], code, *row[job + 1 :]] for amount, code in itertools.product(grid, range(3))]
        )
        turned = explained.decisions_at(tried) != explained.decisions_at(row[None])[0]
        assert found.distance[position] <= space.distance(tried[turned], row).min() * 1.25 + 0.05


def test_two_inputs_are_changed_where_one_is_not_enough(tmp_path: Path) -> None:
    both = RuleModel(
        lambda frame: ((frame["visits"] >= 5) & (frame["job"] == "pilot")).astype(int),
        lambda frame: 0.1 + 0.4 * (frame["visits"] >= 5) + 0.4 * (frame["job"] == "pilot"),
    )
    explained, pool, rows = opened(tmp_path, both)
    names = explained.space.names
    neither = rows[(rows[:, names.index("visits")] < 5) & (rows[:, names.index("job")] != 2)][:10]
    found = nearest_counterfactuals(explained, neither, pool)
    changed = changed_features(explained.space, neither, found.rows)
    assert (changed.sum(axis=1) == 2).all()
    assert (found.rows[:, names.index("visits")] == 5).all()  # no more than is needed


def test_declared_directions_bind_and_the_attackers_budget_does_not(tmp_path: Path) -> None:
    rising = DATASHEET + "robustness: {epsilon_linf: 0.1, max_changed_features: 1, directions: {income: increase}}\n"
    explained, pool, rows = opened(tmp_path, RuleModel(lambda frame: (frame["income"] > 55).astype(int), lambda frame: frame["income"] / 200), rising)
    income = rows[:, explained.space.names.index("income")]
    found = nearest_counterfactuals(explained, rows[:40], pool)
    assert np.isfinite(found.distance[income[:40] <= 55]).all()
    assert not np.isfinite(found.distance[income[:40] > 55]).any()


def test_where_nothing_turns_the_decision_none_is_found(tmp_path: Path) -> None:
    explained, pool, rows = opened(tmp_path, RuleModel(lambda frame: (frame["sex"] == 1).astype(int), lambda frame: (frame["sex"] == 1) * 0.8))
    assert not np.isfinite(nearest_counterfactuals(explained, rows[:10], pool).distance).any()
