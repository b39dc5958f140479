"""The loss threshold on regressions: one that learnt by heart, one that did not, and its controls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error, roc_auc_score
from sklearn.tree import DecisionTreeRegressor

from rai_pipelines.assessments.base import Measured
from rai_pipelines.assessments.privacy_attacks.parameters import PrivacyAttackParameters
from rai_pipelines.assessments.privacy_attacks.privacy_attacks import assess_privacy_attacks
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.model import State, Status
from rai_pipelines_tests.assessments.privacy_attacks.attacked_subjects import FEATURES, context, one, people

PARAMETERS = PrivacyAttackParameters(rows=500)


def earners(rows: int, seed: int) -> pd.DataFrame:
    """A rent that follows income and illness, with much chance."""
    frame = people(rows, seed)
    noise = np.random.default_rng([seed, 2]).normal(scale=10, size=rows)
    return frame.assign(y=0.5 * frame["income"] - 12 * frame["ill"] + noise)


def attacked(folder: Path, estimator: Any, training: pd.DataFrame, evaluation: pd.DataFrame) -> Measured:
    return assess_privacy_attacks(context(folder, estimator, training, evaluation, task="regression"), PARAMETERS)


@pytest.fixture(scope="module")
def by_heart(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return attacked(tmp_path_factory.mktemp("forest"), RandomForestRegressor(30, random_state=1), earners(900, 1), earners(900, 2))


def test_a_regression_that_learnt_by_heart_is_found_and_both_controls_are_met(by_heart: Measured) -> None:
    assert by_heart.status is Status.COMPLETE
    item = one(by_heart, "membership_auc", group="loss_threshold")
    assert item.state is State.MEASURED and item.interval is not None and item.interval.low > 0.6
    assert (one(by_heart, "membership_control_auc", group="loss_threshold").value or 0) > 0.9
    without = one(by_heart, "membership_auc_without_model")
    assert without.interval is not None and without.interval.low < 0.5 < without.interval.high
    assert one(by_heart, "generalisation_gap_error").interval.low > 1  # type: ignore[union-attr]
    groups = {item.group: item.state for item in by_heart.measurements if item.metric == "group_membership_auc"}
    assert groups["rare"] is State.INSUFFICIENT and groups["1"] is State.MEASURED


def test_attacks_that_need_classes_say_so_and_are_no_figures(by_heart: Measured) -> None:
    others = {item.group: item for item in by_heart.measurements if item.metric == "membership_auc" and item.group != "loss_threshold"}
    assert set(others) == {"rule_based", "learned", "label_only_noise", "lira_online"}
    assert all((item.value, item.state) == (None, State.UNAVAILABLE) and "classes" in str(item.note) for item in others.values())


def test_a_linear_regression_on_many_rows_gives_no_member_away_but_the_illness_that_it_leans_on(tmp_path: Path) -> None:
    measured = attacked(tmp_path, LinearRegression(), earners(4_000, 1), earners(4_000, 2))
    item = one(measured, "membership_auc", group="loss_threshold")
    assert item.state is State.MEASURED and abs((item.value or 0) - 0.5) < 0.07
    assert one(measured, "attribute_inference_advantage", attribute="ill").interval.low > 0.1  # type: ignore[union-attr]


def test_area_and_gap_equal_those_of_scikit_learn_on_the_whole_tables(tmp_path: Path) -> None:
    training, evaluation = earners(300, 1), earners(300, 2)
    model = DecisionTreeRegressor(max_depth=4, random_state=0)
    measured = attacked(tmp_path, model, training, evaluation)  # fewer rows than are asked for, and none twice: all of them
    errors = [np.abs(model.predict(frame[FEATURES]) - frame["y"]) for frame in (training, evaluation)]
    expected = roc_auc_score(np.repeat([1, 0], 300), -np.concatenate(errors))
    assert one(measured, "membership_auc", group="loss_threshold").value == pytest.approx(expected)
    gap = mean_absolute_error(evaluation["y"], model.predict(evaluation[FEATURES])) - mean_absolute_error(
        training["y"], model.predict(training[FEATURES])
    )
    assert one(measured, "generalisation_gap_error").value == pytest.approx(gap)


def test_a_shift_between_the_tables_takes_the_proof_from_the_bound(tmp_path: Path) -> None:
    shifted = earners(900, 2).assign(income=lambda frame: frame["income"] + 25)
    measured = attacked(tmp_path, RandomForestRegressor(30, random_state=1), earners(900, 1), shifted)
    assert (one(measured, "membership_auc_without_model").value or 0) > 0.8
    assert one(measured, "empirical_epsilon_lower_bound").state is State.INSUFFICIENT


def test_an_outcome_that_is_no_number_is_an_error_that_names_the_table(tmp_path: Path) -> None:
    odd = earners(300, 2)
    odd["y"] = odd["y"].astype(str).where(odd.index != 7, "much")
    with pytest.raises(DataError, match="no finite number"):
        attacked(tmp_path, LinearRegression(), earners(300, 1), odd)
