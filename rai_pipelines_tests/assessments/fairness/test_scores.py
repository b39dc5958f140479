"""Scores by group against scikit-learn on the raw rows; a planted miscalibration is found, a calibrated score is not accused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from rai_pipelines.assessments.fairness.lattice import BiasParameters
from rai_pipelines.assessments.fairness.scores import measure_scores
from rai_pipelines.assessments.statistics.uncertainty import largest_difference
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.tables.ranks import score_groups
from rai_pipelines.tables.source import open_table

PARAMETERS = BiasParameters()


def people(rows: int = 6_000, shift: float = 0.0, seed: int = 3) -> pd.DataFrame:
    """A calibrated score; that of group b is raised by `shift`."""
    rng = np.random.default_rng(seed)
    chance = rng.beta(2, 2, rows)
    group = rng.choice(["a", "b", "c"], rows, p=[0.5, 0.497, 0.003])
    score = np.clip(chance + shift * (group == "b"), 0, 1)
    return pd.DataFrame({"group": group, "y": (rng.random(rows) < chance).astype(int), "score": score})


def measured(frame: pd.DataFrame, folder: Path) -> list[Measurement]:
    frame.to_parquet(folder / "rows.parquet")
    source = open_table("rows.parquet", name="evaluation", data_folder=folder)
    groups = score_groups(source, attributes=["group"], bins={}, label="y", score="score", favourable="1", strict=False)
    outcomes = frame.groupby("group")["y"].agg(lambda y: (int(y.sum()), int((1 - y).sum()))).to_dict()
    return measure_scores(groups, ["group"], PARAMETERS, labelled={"group": outcomes})


def one(found: list[Measurement], metric: str, group: str | None = None) -> Measurement:
    (item,) = [item for item in found if item.metric == metric and item.group == group]
    return item


def test_areas_and_calibration_of_groups_are_those_of_the_raw_rows(tmp_path: Path) -> None:
    frame = people(shift=0.1)
    found = measured(frame, tmp_path)
    for name in ("a", "b"):
        own = frame[frame["group"] == name]
        error = own["score"] - own["y"]
        assert one(found, "roc_auc", name).value == pytest.approx(roc_auc_score(own["y"], own["score"]), abs=1e-12)
        assert one(found, "calibration_error", name).value == pytest.approx(error.mean(), abs=1e-10)
        assert one(found, "calibration_error", name).standard_error == pytest.approx(error.std(ddof=1) / np.sqrt(len(own)), rel=1e-9)
    gap = one(found, "auc_gap")
    assert gap.value == pytest.approx(abs((one(found, "roc_auc", "a").value or 0) - (one(found, "roc_auc", "b").value or 0)), abs=1e-12)


def test_a_group_that_is_scored_too_high_is_named_with_an_interval_above_zero(tmp_path: Path) -> None:
    gap = one(measured(people(shift=0.1), tmp_path), "calibration_gap")
    assert (gap.reference, gap.comparison) == ("b", "a")
    assert gap.interval is not None
    assert gap.interval.low > 0.05
    assert gap.interval.high < 0.15


def test_a_calibrated_score_reaches_no_difference_and_a_small_group_is_named_not_compared(tmp_path: Path) -> None:
    found = measured(people(), tmp_path)
    gap = one(found, "calibration_gap")
    assert gap.interval is not None
    assert gap.interval.low == 0
    assert "'c'" in str(gap.note)
    assert one(found, "roc_auc", "c").state is State.INSUFFICIENT


def test_scores_beyond_zero_and_one_have_areas_and_no_calibration(tmp_path: Path) -> None:
    frame = people().assign(score=lambda f: f["score"] * 10)
    found = measured(frame, tmp_path)
    assert one(found, "calibration_gap").state is State.UNAVAILABLE
    assert one(found, "auc_gap").state is State.MEASURED


def test_a_group_of_one_outcome_has_no_area_and_leaves_nothing_to_compare(tmp_path: Path) -> None:
    frame = people()
    frame.loc[frame["group"] != "a", "y"] = 1
    found = measured(frame, tmp_path)
    assert one(found, "roc_auc", "b").state is State.UNDEFINED
    assert one(found, "auc_gap").state is State.INSUFFICIENT
    assert one(found, "auc_gap").value is None


def test_a_group_whose_scores_are_missing_leaves_no_gap_between_the_others_to_pass(tmp_path: Path) -> None:
    frame = people()
    frame.loc[frame["group"].isin(["c"]) | (frame.index % 3 == 0), "group"] = "d"
    frame.loc[(frame["group"] == "d") & (frame.index > 10), "score"] = np.nan
    for gap in ("auc_gap", "calibration_gap"):
        item = one(measured(frame, tmp_path), gap)
        assert item.state is State.INSUFFICIENT
        assert "scores are missing for 'd'" in str(item.note)


@pytest.mark.parametrize("truth", [(0.0, 0.0, 0.0), (0.0, 0.1, 0.3), (0.0, 0.0, 0.2)])
def test_the_interval_of_the_largest_difference_covers_the_true_one(truth: tuple[float, ...]) -> None:
    rng = np.random.default_rng(8)
    errors = [0.05, 0.05, 0.08]
    held = 0
    for _ in range(800):
        interval = largest_difference(list(rng.normal(truth, errors)), errors, 0.9).interval
        held += interval.low <= max(truth) - min(truth) <= interval.high
    assert held / 800 >= 0.88  # two standard errors below 0.90
