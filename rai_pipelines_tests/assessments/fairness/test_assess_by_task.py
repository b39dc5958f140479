"""From a datasheet to bias evidence, for every task; and what is not measured for a task says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.fairness.bias import assess_bias
from rai_pipelines.assessments.fairness.lattice import BiasParameters
from rai_pipelines.assessments.security.robustness import RobustnessParameters, assess_robustness
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.model import State, Status
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import Subject
from rai_pipelines_tests.house import datasheet

QUICK = BiasParameters(resamples=300)


def people(folder: Path) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    rows = 1_200
    frame = pd.DataFrame({"sex": rng.choice(["f", "m"], rows), "race": rng.choice(["x", "y", "z"], rows), "person": np.arange(rows) // 3})
    frame["y"] = rng.integers(0, 2, rows)
    frame["p"] = rng.integers(0, 2, rows)
    frame["grade"], frame["said"] = rng.choice(["a", "b", "c"], rows), rng.choice(["a", "b", "c"], rows)
    frame["price"] = rng.normal(50, 5, rows)
    frame["offer"] = frame["price"] + rng.normal(0, 1, rows)
    frame["s"] = rng.random(rows)
    frame["w"] = rng.uniform(0.5, 2, rows)
    frame.to_parquet(folder / "people.parquet")
    return frame


def audited(folder: Path, *, task: str = "binary_classification", fairness: dict[str, Any] | None = None, **columns: Any) -> AuditContext:
    people(folder)
    declared = {"protected_attributes": {"sex": {"reference": "m"}, "race": {}}, "features": [], **columns}
    sheet = Datasheet.model_validate(datasheet(task=task, columns=declared, data={"evaluation": "people.parquet"}, fairness=fairness or {}))
    return AuditContext(Subject(ModelVersion("calls", "1"), sheet, None, None, folder), 1, folder / "scratch")


def states(measured: Measured, metric: str) -> set[State]:
    return {item.state for item in measured.measurements if item.metric == metric}


def test_a_binary_model_with_weights_units_and_regulators(tmp_path: Path) -> None:
    context = audited(
        tmp_path,
        label="y",
        prediction="p",
        weight="w",
        unit_id="person",
        fairness={"local_law_144": {"sex": "sex", "race_ethnicity": "race"}, "uniform_guidelines": True},
    )
    measured = assess_bias(context, QUICK)
    assert states(measured, "impact_ratio") == {State.MEASURED}
    assert "units" in str(measured.details["rows_counted_as"])
    rate = next(item for item in measured.measurements if item.metric == "selection_rate" and item.group == "f")
    assert "independent ones" in str(rate.note)
    assert len(measured.details["regulators"]["nyc_local_law_144"]["tables"]) == 3  # type: ignore[index, call-overload, arg-type]


def test_a_multiclass_model_has_figures_for_each_class(tmp_path: Path) -> None:
    measured = assess_bias(audited(tmp_path, task="multiclass_classification", label="grade", prediction="said", classes=["a", "b", "c"]), QUICK)
    assert {item.outcome for item in measured.measurements if item.metric == "impact_ratio"} == {"a", "b", "c"}
    assert states(measured, "macro_accuracy") == {State.MEASURED}


def test_a_regression_has_residuals(tmp_path: Path) -> None:
    measured = assess_bias(audited(tmp_path, task="regression", label="price", prediction="offer"), QUICK)
    assert states(measured, "mean_residual_difference") == {State.MEASURED}


def test_scores_alone_are_compared_by_who_is_above_the_median(tmp_path: Path) -> None:
    context = audited(tmp_path, task="scoring", score="s", fairness={"local_law_144": {"sex": "sex", "race_ethnicity": "race"}})
    measured = assess_bias(context, QUICK)
    assert states(measured, "impact_ratio") == {State.MEASURED}
    assert states(measured, "true_positive_rate") == {State.UNAVAILABLE}
    assert str(measured.details["selected_means"]).startswith("a score above the median")
    assert measured.details["regulators"]["nyc_local_law_144"]["rate"] == "scoring_rate"  # type: ignore[index, call-overload]


def test_scoring_without_a_score_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="names no score column"):
        assess_bias(audited(tmp_path, task="scoring"), QUICK)


def test_what_is_not_measured_for_a_task_reads_missing_and_not_as_inapplicable(tmp_path: Path) -> None:
    measured = assess_robustness(audited(tmp_path, task="regression", label="price", prediction="offer"), RobustnessParameters())
    assert measured.status is Status.MISSING
    assert "regression" in str(measured.reason)
