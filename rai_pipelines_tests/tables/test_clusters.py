"""Moments over units against pandas, and the intervals that follow from them against a simulation that draws people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.assessments.fairness.bias import _with_units
from rai_pipelines.assessments.fairness.groups import group_counts
from rai_pipelines.assessments.fairness.metrics import effective_rates
from rai_pipelines.assessments.statistics.proportions import proportion_limits
from rai_pipelines.errors import DataError
from rai_pipelines.tables.clusters import unit_moments
from rai_pipelines.tables.contingency import count_groups
from rai_pipelines.tables.source import TableSource, open_table

COUNTING = {"bins": {}, "label": "y", "prediction": "p", "favourable": "1"}


def visits(people: int, rng: np.random.Generator, *, alike: bool) -> pd.DataFrame:
    """Five rows of each person; `alike`: the decision is the person's, not the row's."""
    person = np.repeat(np.arange(people), 5)
    own = rng.random(people) < 0.4
    decision = own[person] if alike else rng.random(5 * people) < 0.4
    return pd.DataFrame({"person": person, "sex": np.where(person % 2, "f", "m"), "y": rng.integers(0, 2, 5 * people), "p": decision.astype(int)})


def opened(frame: pd.DataFrame, folder: Path) -> TableSource:
    frame.to_parquet(folder / "visits.parquet")
    return open_table("visits.parquet", name="evaluation", data_folder=folder)


def test_moments_equal_sums_over_people_by_pandas(tmp_path: Path) -> None:
    frame = visits(40, np.random.default_rng(2), alike=False).assign(w=lambda rows: 1 + rows.index % 3)
    frame["y"] = frame["y"].astype("Int64").where(frame.index % 7 != 0)
    found = unit_moments(opened(frame, tmp_path), attributes=["sex"], unit="person", weight="w", **COUNTING)  # type: ignore[arg-type]
    unlabelled = frame["y"].isna()
    cell = np.where(
        unlabelled,
        np.where(frame["p"] == 1, 4, 5),
        np.where(frame["y"].fillna(0) == 1, np.where(frame["p"] == 1, 0, 1), np.where(frame["p"] == 1, 2, 3)),
    )
    for position, sex in enumerate(found.groups["sex"]):
        rows = frame["sex"] == sex
        totals = np.zeros((frame["person"].max() + 1, 6))
        np.add.at(totals, (frame["person"][rows].to_numpy(), cell[rows]), frame["w"][rows].to_numpy(dtype=float))
        assert found.units[position] == 20
        assert found.mass[position] == pytest.approx(totals.sum(axis=0))
        assert found.moments[position] == pytest.approx(totals.T @ totals)


@pytest.mark.parametrize(("alike", "rows_that_count"), [(True, 100), (False, 500)])
def test_rows_that_repeat_a_person_count_once_and_independent_rows_as_rows(tmp_path: Path, alike: bool, rows_that_count: int) -> None:
    source = opened(visits(200, np.random.default_rng(4), alike=alike), tmp_path)
    (counted,) = group_counts(count_groups(source, attributes=["sex"], **COUNTING), ["sex"], depth=1)  # type: ignore[arg-type]
    clustered = _with_units(counted, unit_moments(source, attributes=["sex"], unit="person", **COUNTING))  # type: ignore[arg-type]
    trials = effective_rates(clustered)["selection_rate"][1]
    assert trials == pytest.approx([rows_that_count] * 2, rel=0.25)
    assert (trials <= 500).all()


@pytest.mark.slow
def test_intervals_cover_when_people_are_drawn_and_not_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    naive = clustered = 0
    trials = 60
    for _ in range(trials):
        source = opened(visits(120, rng, alike=True), tmp_path)
        (counted,) = group_counts(count_groups(source, attributes=["sex"], **COUNTING), ["sex"], depth=1)  # type: ignore[arg-type]
        with_units = _with_units(counted, unit_moments(source, attributes=["sex"], unit="person", **COUNTING))  # type: ignore[arg-type]
        for table, kind in ((counted, "rows"), (with_units, "people")):
            low, high = proportion_limits(*effective_rates(table)["selection_rate"], 0.95)
            covered = int(low[0] <= 0.4 <= high[0])
            naive, clustered = naive + covered * (kind == "rows"), clustered + covered * (kind == "people")
    assert clustered / trials >= 0.88
    assert naive / trials < 0.8


def test_a_row_without_a_person_is_refused(tmp_path: Path) -> None:
    frame = visits(10, np.random.default_rng(1), alike=False).astype({"person": "Int64"})
    frame.loc[[0, 3], "person"] = pd.NA
    with pytest.raises(DataError, match="'person' is empty in 2 rows"):
        unit_moments(opened(frame, tmp_path), attributes=["sex"], unit="person", **COUNTING)  # type: ignore[arg-type]


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_is_no_amount_is_refused(tmp_path: Path, weight: float) -> None:
    frame = visits(10, np.random.default_rng(1), alike=False).assign(w=1.0)
    frame.loc[5, "w"] = weight
    with pytest.raises(DataError, match="not a finite number above 0 in 1 rows"):
        count_groups(opened(frame, tmp_path), attributes=["sex"], weight="w", **COUNTING)  # type: ignore[arg-type]


def test_weights_are_summed_beside_the_rows(tmp_path: Path) -> None:
    frame = visits(30, np.random.default_rng(1), alike=False).assign(w=lambda rows: 0.5 + rows.index % 4)
    counts = count_groups(opened(frame, tmp_path), attributes=["sex"], weight="w", **COUNTING)  # type: ignore[arg-type]
    expected = frame.groupby(["sex", "y", "p"])["w"].agg(["size", "sum", lambda w: (w**2).sum()])
    assert counts.set_index(["sex", "label", "prediction"])[["count", "weight", "weight_squares"]].to_numpy() == pytest.approx(expected.to_numpy())
