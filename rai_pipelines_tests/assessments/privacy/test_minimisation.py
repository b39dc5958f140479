"""Data minimisation: columns without a purpose, and areas with which features tell a protected attribute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from rai_pipelines.assessments.privacy.minimisation import measure_minimisation
from rai_pipelines.assessments.privacy.parameters import AnonymityParameters
from rai_pipelines.assessments.privacy.proxies import ALL_FEATURES, _area_of_counts, proxy_measurements
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.subjects.datasheet import Columns
from rai_pipelines.tables.source import open_table

ROWS = 4000


@pytest.fixture
def people() -> pd.DataFrame:
    random = np.random.default_rng(4)
    sex = random.integers(1, 3, ROWS)
    race = random.choice(["a", "b", "c", "tiny"], ROWS, p=[0.6, 0.3, 0.095, 0.005])
    return pd.DataFrame(
        {
            "sex": sex,
            "race": race,
            "height": random.normal(170 + 8 * (sex == 1), 7),
            "street": np.where(race == "b", random.choice(["s1", "s2"], ROWS), random.choice(["s2", "s3", "s4"], ROWS)),
            "noise": random.normal(size=ROWS),
            "left_over": random.integers(0, 3, ROWS),
        }
    )


def _measure(folder: Path, frame: pd.DataFrame, **columns: object) -> tuple[tuple[Measurement, ...], dict]:
    frame.to_parquet(folder / "table.parquet", index=False)
    source = open_table("table.parquet", name="training", data_folder=folder)
    declared = Columns.model_validate({"protected_attributes": {"sex": {}, "race": {}}, **columns})
    return measure_minimisation(source, declared, parameters=AnonymityParameters(), seed=7, rows=len(frame))


def _areas(found: tuple[Measurement, ...]) -> dict[tuple[str | None, str | None], Measurement]:
    return {(item.attribute, item.group): item for item in found if item.metric == "proxy_auc"}


def test_features_that_tell_an_attribute_stand_out_and_noise_does_not(tmp_path: Path, people: pd.DataFrame) -> None:
    found = _areas(_measure(tmp_path, people, features=["height", "street", "noise", "sex"])[0])
    oracle = roc_auc_score(people["sex"] == 1, people["height"])
    assert found["sex", "height"].value == pytest.approx(oracle, abs=0.015)  # bins of quantiles lose a little
    assert found["sex", "height"].interval.low > 0.7  # type: ignore[union-attr]
    assert found["sex", "noise"].value == pytest.approx(0.5, abs=0.04)
    assert ("sex", "sex") not in found  # an attribute is no proxy of itself
    assert found["race", "street"].comparison == "b"
    assert found["race", "street"].value > 0.8  # type: ignore[operator]
    assert found["race", ALL_FEATURES].value >= found["race", "street"].value - 0.02  # type: ignore[operator]
    assert "1 groups are too small" in str(found["race", "street"].note)


def test_a_proxy_is_measured_the_same_twice_and_whatever_the_groups_are_called(people: pd.DataFrame) -> None:
    sample = people[["height", "street"]]

    def once(names: np.ndarray) -> list[float | None]:
        given = {"sex": names}
        found = proxy_measurements(sample, given, ["height", "street"], categorical=(), min_group=50, level=0.9, seed=1, rows=ROWS)
        return [item.value for item in found]

    one = once(people["sex"].astype(str).to_numpy(dtype=object))
    assert once(people["sex"].astype(str).to_numpy(dtype=object)) == one
    assert once(people["sex"].map({1: "A", 2: "B"}).to_numpy(dtype=object)) == one


def test_areas_from_counts_equal_those_of_scikit_learn() -> None:
    random = np.random.default_rng(3)
    bins, truth = random.integers(0, 6, 500), random.random(500) < 0.3
    score = np.array([0.4, 0.1, 0.4, 0.9, 0.2, 0.5])
    counts = np.stack([np.bincount(bins[truth], minlength=6), np.bincount(bins[~truth], minlength=6)], axis=1)
    assert _area_of_counts(score, counts) == pytest.approx(roc_auc_score(truth, score[bins]), abs=1e-12)


def test_a_feature_of_chance_stays_at_one_half_whatever_its_number_of_values(people: pd.DataFrame) -> None:
    random = np.random.default_rng(9)
    sample = pd.DataFrame({"code": [f"v{value}" for value in random.integers(0, 18, ROWS)], "constant": np.ones(ROWS)})
    given = {"sex": people["sex"].astype(str).to_numpy(dtype=object)}
    found = proxy_measurements(sample, given, ["code", "constant"], categorical=(), min_group=50, level=0.9, seed=1, rows=ROWS)
    assert [item.value for item in found] == pytest.approx([0.5, 0.5, 0.5], abs=0.03)


def test_too_small_groups_are_insufficient_and_never_read_as_no_proxy(tmp_path: Path, people: pd.DataFrame) -> None:
    found = _areas(_measure(tmp_path, people[:60], features=["height"])[0])
    assert {item.state for item in found.values()} == {State.INSUFFICIENT}
    assert {item.value for item in found.values()} == {None}


def test_columns_without_part_or_purpose_are_named(tmp_path: Path, people: pd.DataFrame) -> None:
    found, details = _measure(tmp_path, people, features=["height", "street"])
    assert next(item.value for item in found if item.metric == "purposeless_columns") == 2
    assert details == {"purposeless_columns": ["noise", "left_over"]}
    told = _measure(tmp_path, people, features=["height", "street"], purposes={"noise": "sampling", "left_over": "linking"})
    assert told[1] == {"purposeless_columns": []}


def test_without_declared_features_nothing_is_concluded(tmp_path: Path, people: pd.DataFrame) -> None:
    found, _ = _measure(tmp_path, people)
    assert [(item.metric, item.state) for item in found] == [("purposeless_columns", State.UNAVAILABLE), ("proxy_auc", State.UNAVAILABLE)]


def test_missing_values_bins_and_a_lacking_attribute_are_dealt_with(tmp_path: Path, people: pd.DataFrame) -> None:
    people.loc[:500, "height"] = np.nan
    people["age"] = np.random.default_rng(1).integers(18, 70, ROWS).astype(float)
    people.loc[:200, "age"] = np.nan
    protected = {"age": {"bins": [18, 40, 65]}, "gone": {}}
    found = _areas(_measure(tmp_path, people, features=["height", "street"], protected_attributes=protected)[0])
    assert found["gone", None].state is State.UNAVAILABLE
    inside = people["age"].between(18, 65, inclusive="left").sum()
    assert found["age", "height"].n == inside
    assert found["age", "height"].comparison == "[18, 40)"


@pytest.mark.parametrize("told", [lambda sex: bytes([255, sex]), lambda sex: ["x", str(sex)]])
def test_bytes_and_lists_can_be_proxies(people: pd.DataFrame, tmp_path: Path, told) -> None:
    people["raw"] = [told(sex) for sex in people["sex"]]
    found = _areas(_measure(tmp_path, people, features=["raw", "noise"])[0])
    assert found["sex", "raw"].value == 1.0
