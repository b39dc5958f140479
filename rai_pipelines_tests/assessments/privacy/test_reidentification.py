"""Risks of prosecutor, journalist and marketer, the questions of WP216, and classes shown without their values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.assessments.base import Measured
from rai_pipelines.assessments.privacy.anonymity import measure_anonymity
from rai_pipelines.assessments.privacy.parameters import AnonymityParameters
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.tables.source import TableSource, open_table

SAMPLE = pd.DataFrame({"age": [30, 30, 30, 40, 40, 50], "illness": ["flu", "flu", "flu", "flu", "cold", "cold"]})
PARAMETERS = AnonymityParameters(risk_threshold=0.4)


def _table(folder: Path, frame: pd.DataFrame, name: str = "training") -> TableSource:
    frame.to_parquet(folder / f"{name}.parquet", index=False)
    return open_table(f"{name}.parquet", name=name, data_folder=folder)


def _measure(source: TableSource, **more: TableSource) -> Measured:
    return measure_anonymity(source, quasi_identifiers=["age"], sensitive=["illness"], parameters=PARAMETERS, seed=1, **more)


def _one(measured: Measured, metric: str) -> Measurement:
    (found,) = [item for item in measured.measurements if item.metric == metric]
    return found


def test_without_a_population_the_other_risks_are_the_prosecutors_and_say_so(tmp_path: Path) -> None:
    measured = _measure(_table(tmp_path, SAMPLE))
    assert [_one(measured, f"prosecutor_{name}").value for name in ("risk_maximum", "risk_average", "rows_at_risk")] == [1.0, 0.5, 0.5]
    for name in ("risk_maximum", "risk_average", "rows_at_risk"):
        assert _one(measured, f"journalist_{name}").value == _one(measured, f"prosecutor_{name}").value
        assert "no population is declared" in str(_one(measured, f"journalist_{name}").note)
    assert _one(measured, "marketer_risk").value == 0.5


def test_a_population_lowers_the_risks_to_those_of_el_emam(tmp_path: Path) -> None:
    population = pd.DataFrame({"age": [30] * 6 + [40] * 4 + [50] * 5 + [60] * 9})
    measured = _measure(_table(tmp_path, SAMPLE), population=_table(tmp_path, population, "population"))
    matches = 3 / 6 + 2 / 4 + 1 / 5
    assert _one(measured, "journalist_risk_maximum").value == 1 / 4
    assert _one(measured, "journalist_risk_average").value == pytest.approx(max(3 / 15, matches / 6))
    assert _one(measured, "journalist_rows_at_risk").value == 0.0
    assert _one(measured, "marketer_risk").value == pytest.approx(matches / 6)
    assert _one(measured, "prosecutor_risk_maximum").value == 1.0
    assert measured.details["population"]["rows"] == 24
    assert measured.details["population"]["digest"].startswith("sha256:")


def test_a_population_that_cannot_hold_the_sample_is_disclosed(tmp_path: Path) -> None:
    measured = _measure(_table(tmp_path, SAMPLE), population=_table(tmp_path, pd.DataFrame({"age": [30]}), "population"))
    assert "3 classes have fewer rows there than here" in str(_one(measured, "journalist_risk_maximum").note)
    assert _one(measured, "journalist_risk_maximum").value == 1.0


def test_an_empty_population_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="population table is empty"):
        _measure(_table(tmp_path, SAMPLE), population=_table(tmp_path, SAMPLE[["age"]][:0], "population"))


def test_the_three_questions_of_wp216_have_figures(tmp_path: Path) -> None:
    measured = _measure(_table(tmp_path, SAMPLE), evaluation=_table(tmp_path, pd.DataFrame({"age": [50, 50, 60]}), "evaluation"))
    assert _one(measured, "linkability_share").value == 1 / 6
    assert _one(measured, "inference_share").value == 4 / 6  # the class of 30 has flu only, that of 50 has one row
    assert _one(measured, "inference_share").n == 6
    assert measured.details["wp216"]["singling_out"] == {"unique_rows": 1, "of": 6}


def test_linkability_needs_a_second_table_with_the_same_columns(tmp_path: Path) -> None:
    source = _table(tmp_path, SAMPLE)
    assert _one(_measure(source), "linkability_share").state is State.UNAVAILABLE
    other = _table(tmp_path, pd.DataFrame({"birth_year": [1970]}), "evaluation")
    item = _one(_measure(source, evaluation=other), "linkability_share")
    assert (item.state, item.value) == (State.UNAVAILABLE, None)
    assert "lacks 'age'" in str(item.note)


def test_the_worst_classes_show_stars_and_never_a_value(tmp_path: Path) -> None:
    secret = pd.DataFrame({"zip": ["02139", "02140", "02140"], "illness": ["cancer", "flu", "flu"]})
    source = _table(tmp_path, secret)
    measured = measure_anonymity(source, quasi_identifiers=["zip"], sensitive=["illness"], parameters=PARAMETERS, seed=1)
    assert measured.details["worst_classes"][0] == {"rows": 1, "quasi_identifiers": {"zip": "*"}, "homogeneous": ["illness"]}
    text = canonical_json([*measured.measurements, dict(measured.details)]).decode()
    assert not [value for value in ("02139", "02140", "cancer", "flu") if value in text]


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"age": [np.nan] * 20, "illness": ["flu", "cold"] * 10}),
        pd.DataFrame({"age": [1.0] * 20, "illness": ["flu", "cold"] * 10}),
        pd.DataFrame({"age": [1.5, np.nan] * 10, "illness": pd.Series([None] * 20, dtype="string")}),
        pd.DataFrame({"age": np.arange(20), "illness": ["flu"] * 20}),
        pd.DataFrame({"age": [True, False] * 10, "illness": [[1], [2]] * 10}),
    ],
    ids=["all-null quasi-identifier", "one class", "NaN and null sensitive", "all unique", "flags and lists"],
)
def test_odd_tables_are_measured_without_a_figure_that_is_not_one(tmp_path: Path, frame: pd.DataFrame) -> None:
    measured = _measure(_table(tmp_path, frame), evaluation=_table(tmp_path, frame, "evaluation"))
    assert _one(measured, "k_minimum").value == frame.groupby("age", dropna=False).size().min()
    assert all((item.value is None) == (item.state is not State.MEASURED) for item in measured.measurements)
    assert canonical_json(dict(measured.details))
