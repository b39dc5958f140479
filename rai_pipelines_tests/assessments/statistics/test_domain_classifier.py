"""A classifier that tells two tables apart: not by chance, surely by a shift, whatever the types."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.assessments.statistics.domain_classifier import domain_classifier_auc
from rai_pipelines.assessments.statistics.uncertainty import Uncertain


def people(rows: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "amount": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(shift, 1, rows)),
            "town": rng.choice(["a", "b", None], rows),
            "member": pd.array(rng.random(rows) < 0.5, dtype="boolean"),
            "code": rng.integers(0, 5, rows),
            "at": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 1_000, rows), unit="h"),
            "empty": pd.array([None] * rows, dtype="Float64"),
        }
    )


def told(reference: pd.DataFrame, current: pd.DataFrame) -> Uncertain:
    found = domain_classifier_auc(reference, current, categorical=["code"], level=0.9, seed=1)
    assert found is not None
    return found


def test_two_samples_of_one_population_cannot_be_told_apart() -> None:
    areas = [told(people(600, seed), people(600, seed + 100)).value for seed in range(4)]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.03)


def test_a_shifted_number_is_told_about_as_well_as_the_best_rule_can() -> None:
    """For normal distributions one standard deviation apart the best area is 0.76; a tenth of the values are missing."""
    found = told(people(1_500, 1), people(1_500, 2, shift=1.0))
    assert 0.68 <= found.value <= 0.76
    assert found.interval.low <= found.value <= found.interval.high


def test_unseen_categories_and_missing_values_tell_tables_apart() -> None:
    reference, current = people(600, 1), people(600, 2)
    assert told(reference, current.assign(town="never seen before")).value > 0.7
    assert told(reference, current.assign(amount=np.nan)).value > 0.9


def test_interactions_that_no_single_column_shows_are_found() -> None:
    rng = np.random.default_rng(4)
    signs, noise = rng.choice([-1.0, 1.0], 1_000), rng.choice([-1.0, 1.0], 1_000)
    alike, opposite = pd.DataFrame({"a": signs, "b": signs}), pd.DataFrame({"a": noise, "b": -noise})
    assert domain_classifier_auc(alike, opposite, categorical=[], level=0.9, seed=1).value > 0.99  # type: ignore[union-attr]


def test_more_categories_than_the_trees_take_are_no_obstacle() -> None:
    frame = pd.DataFrame({"town": [f"t{position}" for position in range(600)]})
    assert 0.3 < told(frame.assign(code=1), frame.assign(code=1)).value < 0.7


def test_too_few_rows_or_no_column_is_none() -> None:
    assert domain_classifier_auc(people(4, 1), people(100, 2), categorical=[], level=0.9, seed=1) is None
    assert domain_classifier_auc(people(50, 1)[[]], people(50, 2)[[]], categorical=[], level=0.9, seed=1) is None


def test_tables_without_any_value_are_alike() -> None:
    assert told(people(50, 1)[["empty"]], people(50, 2)[["empty"]]).value == 0.5
