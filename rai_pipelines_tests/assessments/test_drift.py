"""Drift of a production table against the training table: what moved is called, what did not is not, and what cannot be compared is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial import distance

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.drift import ComparedColumn, DriftParameters, assess_drift, measure_drift
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import Measurement, State, Status
from rai_pipelines.subjects.datasheet import parse_datasheet
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import Subject
from rai_pipelines.tables.source import table_of

DATASHEET = """
schema: rai.datasheet/v1
model: loans
purpose: Estimates repayment.
out_of_scope: [Anything else]
risk: {class: high, reason: Decides about people}
owner: {name: Team, contact: team@example.org}
columns:
  label: paid
  prediction: decision
  score: score
  features: [income, town, age]
  protected_attributes: {sex: {}, age: {bins: [0, 40, 100]}}
data: {training: training.parquet, evaluation: evaluation.parquet, production: production.parquet}
"""
PERFORMANCE = {"accuracy", "labelled_share", "performance_drop"}
PARAMETERS = DriftParameters(resamples=200, domain_rows=1_000)


def people(rows: int = 3_000, seed: int = 1, **changed: Any) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    score = rng.random(rows)
    frame = pd.DataFrame(
        {
            "income": rng.lognormal(10, 0.5, rows),
            "town": rng.choice(["north", "south", "east"], rows),
            "age": rng.integers(18, 90, rows),
            "sex": rng.choice(["f", "m"], rows),
            "paid": (rng.random(rows) < 0.3 + 0.4 * score).astype(int),
            "decision": (score > 0.4).astype(int),
            "score": score,
        }
    )
    return frame.assign(**changed)


def assessed(
    training: pd.DataFrame | None, production: pd.DataFrame | None, folder: Path, parameters: DriftParameters = PARAMETERS, *, live: bool = False
) -> Measured:
    datasheet = DATASHEET
    for name, frame in (("training", training), ("evaluation", people(seed=9)), ("production", production)):
        if frame is None:
            datasheet = datasheet.replace(f"{name}: {name}.parquet, ", "").replace(f", {name}: {name}.parquet", "")
        else:
            frame.to_parquet(folder / f"{name}.parquet")
    subject = Subject(ModelVersion("loans", "1"), parse_datasheet(datasheet, source="datasheet.yaml"), None, None, folder, live=live)
    return assess_drift(AuditContext(subject, 5, folder / "scratch"), parameters)


def one(measured: Measured, metric: str, attribute: str | None) -> Measurement:
    (item,) = [item for item in measured.measurements if (item.metric, item.attribute) == (metric, attribute)]
    return item


def column(measured: Measured, name: str) -> dict[str, Any]:
    found: Any = measured.details["columns"]
    return dict(found[name])


def compared(first: pd.DataFrame, second: pd.DataFrame, **parameters: Any) -> Measured:
    columns = [ComparedColumn(name, ("feature",)) for name in dict.fromkeys((*first.columns, *second.columns))]
    made = DriftParameters(**{"resamples": 200, "domain_rows": 500} | parameters)
    return measure_drift(table_of(first), table_of(second, name="production"), columns, parameters=made, seed=3)


def test_two_samples_of_one_population_are_stable_in_every_column(tmp_path: Path) -> None:
    measured = assessed(people(), people(seed=2), tmp_path)
    assert measured.details["state"] == "stable"
    assert set(measured.details["columns"]) == {"income", "town", "age", "sex", "paid", "decision", "score"}  # type: ignore[arg-type]
    assert {column(measured, name)["state"] for name in ("income", "town", "age", "sex", "paid", "decision", "score")} == {"stable"}
    assert all(item.interval is not None for item in measured.measurements if item.state is State.MEASURED)


def test_what_moved_is_drifted_and_the_rest_is_not(tmp_path: Path) -> None:
    production = people(seed=2)
    production["income"] *= 2
    production["town"] = np.where(np.arange(len(production)) % 4 == 0, "moon", production["town"])
    measured = assessed(people(), production, tmp_path)
    states = {name: column(measured, name)["state"] for name in measured.details["columns"]}  # type: ignore[union-attr]
    assert states == dict.fromkeys(["income", "town"], "drifted") | dict.fromkeys(["age", "sex", "paid", "decision", "score"], "stable")
    new = one(measured, "new_category_share", "town")
    assert (new.value, new.denominator) == (0.25, 3_000)
    area = one(measured, "domain_classifier_auc", None)
    assert area.value is not None and area.value > 0.8
    assert measured.details["state"] == "drifted"


def test_plain_figures_are_scipys_on_the_raw_rows(tmp_path: Path) -> None:
    training, production = people(), people(seed=2)
    production["income"] *= 1.3
    measured = assessed(training, production, tmp_path)
    plain = column(measured, "income")["plain"]
    assert plain["ks"] == pytest.approx(stats.ks_2samp(training["income"], production["income"]).statistic, rel=1e-12)
    exact = stats.wasserstein_distance(training["income"], production["income"]) / training["income"].std()
    assert plain["wasserstein_normalised"] == pytest.approx(exact, rel=1e-8)
    shares = [frame["town"].value_counts(normalize=True).sort_index() for frame in (training, production)]
    assert column(measured, "town")["plain"]["js_distance"] == pytest.approx(distance.jensenshannon(*shares, base=2), abs=1e-9)
    deciles = np.sort(training["income"])[np.arange(300, 3_000, 300) - 1]
    counts = [np.bincount(np.searchsorted(deciles, frame["income"]), minlength=10) for frame in (training, production)]
    assert column(measured, "income")["counts"] == {"reference": counts[0].tolist(), "current": counts[1].tolist()}


def test_every_measurement_says_its_rows_and_all_intervals_hold_together(tmp_path: Path) -> None:
    measured = assessed(people(900), people(700, seed=2), tmp_path)
    distances = [item for item in measured.measurements if item.metric not in PERFORMANCE]
    for item in distances:
        assert (item.n, item.denominator, item.reference, item.comparison) == (1_600, 700, "training", "production")
    multiplicity: Any = measured.details["multiplicity"]
    assert multiplicity["figures"] == len(distances)
    assert multiplicity["level_of_each"] == pytest.approx(1 - 0.1 / len(distances))
    adjusted = [column(measured, name)["adjusted_p_value"] for name in measured.details["columns"]]  # type: ignore[union-attr]
    raw = [column(measured, name)["p_value"] for name in measured.details["columns"]]  # type: ignore[union-attr]
    assert adjusted == pytest.approx(list(stats.false_discovery_control(raw)))


def test_declared_bins_of_a_protected_attribute_are_the_bins_that_are_compared(tmp_path: Path) -> None:
    production = people(seed=2)
    found = column(assessed(people(), production, tmp_path), "age")
    assert found["roles"] == ["feature", "protected attribute"]
    assert found["counts"]["current"] == [(production["age"] < 40).sum(), (production["age"] >= 40).sum()]


def test_without_production_data_it_is_not_applicable(tmp_path: Path) -> None:
    measured = assessed(people(), None, tmp_path)
    assert (measured.status, measured.reason) == (Status.NOT_APPLICABLE, "the datasheet names no production data")


def test_without_training_data_the_evaluation_table_stands_in_and_that_is_said(tmp_path: Path) -> None:
    measured = assessed(None, people(seed=2), tmp_path)
    assert measured.details["reference"] == "evaluation"
    assert {item.reference for item in measured.measurements if item.metric not in PERFORMANCE} == {"evaluation"}


def test_a_column_that_one_table_lacks_is_reported_with_the_table(tmp_path: Path) -> None:
    measured = assessed(people(), people(seed=2).drop(columns=["paid", "town"]), tmp_path)
    missing: Any = measured.details["not_compared"]
    assert missing["paid"] == {"roles": ["label"], "reason": "no such column in the production table"}
    item = one(measured, "psi", "town")
    assert (item.state, item.value) == (State.UNAVAILABLE, None)


def test_a_number_that_became_text_is_reported_and_one_that_became_wider_is_compared(tmp_path: Path) -> None:
    production = people(seed=2)
    measured = assessed(people(), production.assign(income=production["income"].astype(str), age=production["age"].astype(float)), tmp_path)
    assert measured.details["types_changed"] == {"income": ["float64", "string"], "age": ["int64", "float64"]}
    assert one(measured, "psi", "income").note == "its type changed, so values cannot be compared"
    assert column(measured, "age")["state"] == "stable"


def test_labels_written_as_true_and_as_one_are_the_same_labels(tmp_path: Path) -> None:
    production = people(seed=2)
    assert column(assessed(people(), production.assign(paid=production["paid"].astype(bool)), tmp_path), "paid")["state"] == "stable"


def test_missing_values_are_a_bin_of_their_own() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=2_000)
    gone = np.where(rng.random(2_000) < 0.4, np.nan, values)
    measured = compared(pd.DataFrame({"x": values}), pd.DataFrame({"x": gone}))
    found = column(measured, "x")
    assert found["bins"][-1] == "(missing)"
    assert found["counts"]["current"][-1] == np.isnan(gone).sum()
    assert found["states"]["psi"] == "drifted", "the distribution of what is left is the same; that values went missing is the drift"
    assert found["states"]["ks"] != "drifted"


def test_constant_and_empty_columns_have_clear_findings() -> None:
    same = pd.DataFrame({"one": [1.0] * 1_000, "none": pd.array([None] * 1_000, dtype="Float64")})
    measured = compared(same, same)
    assert (column(measured, "one")["state"], column(measured, "none")["state"]) == ("stable", "stable")
    assert one(measured, "wasserstein_normalised", "one").note == "the reference has no spread in this column to compare the distance with"
    assert one(measured, "ks", "none").state is State.UNAVAILABLE
    moved = compared(same, same.assign(one=2.0))
    assert column(moved, "one")["states"]["psi"] == "drifted"


def test_one_row_is_insufficient_and_never_reads_as_stable() -> None:
    frame = pd.DataFrame({"x": np.arange(100.0), "k": ["a", "b"] * 50})
    measured = compared(frame, frame.head(1))
    assert {item.state for item in measured.measurements} == {State.INSUFFICIENT}
    assert measured.details["state"] == "insufficient"


def test_too_few_rows_to_tell_are_inconclusive_with_the_rows_that_would_decide() -> None:
    rng = np.random.default_rng(2)
    found = column(compared(pd.DataFrame({"x": rng.normal(size=200)}), pd.DataFrame({"x": rng.normal(0.3, 1, 150)})), "x")
    assert found["state"] == "inconclusive"
    rows = found["rows_that_decide"]["ks"]
    assert rows["reference"] > 200 and rows["current"] > 150


def test_values_that_are_all_different_are_no_new_categories() -> None:
    """Keys: without drift nearly every value is unseen, which values seen once in the reference announce."""
    keys = [f"k{position}" for position in range(2_000)]
    found = compared(pd.DataFrame({"id": keys[:1_000]}), pd.DataFrame({"id": keys[1_000:]}))
    assert one(found, "new_category_share", "id").value == 1.0
    assert column(found, "id")["states"]["new_category_share"] != "drifted"
    assert not any(key in str(canonical_json(dict(found.details))) for key in keys[100:]), "rare values stay out of the evidence"


def test_an_empty_table_is_refused() -> None:
    frame = pd.DataFrame({"x": [1.0]})
    with pytest.raises(DataError, match="production table is empty"):
        compared(frame, frame.head(0))


def test_bins_that_do_not_divide_a_hundred_are_refused() -> None:
    frame = pd.DataFrame({"x": [1.0]})
    with pytest.raises(DataError, match="bins must divide 100"):
        compared(frame, frame, bins=7)


def test_the_same_rows_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (assessed(people(), people(seed=2), tmp_path) for _ in range(2))
    assert canonical_json([list(first.measurements), dict(first.details)]) == canonical_json([list(second.measurements), dict(second.details)])


@pytest.mark.slow
def test_without_drift_the_whole_report_calls_nothing_in_at_most_a_tenth_of_draws() -> None:
    """60 reports of three columns each, with thresholds so low that anything above noise would be called."""
    low = {
        "psi_threshold": 0.001,
        "js_distance_threshold": 0.001,
        "ks_threshold": 0.001,
        "wasserstein_threshold": 0.001,
        "domain_auc_threshold": 0.501,
    }
    called = 0
    for seed in range(60):
        both = people(800, seed=1_000 + seed)[["income", "town", "age"]]
        called += compared(both[:400], both[400:].reset_index(drop=True), **low).details["state"] == "drifted"
    assert called <= 60 * 0.1 + 7  # three standard errors


def test_a_version_in_use_without_production_data_is_missing_its_evidence_and_one_not_in_use_yet_is_not(tmp_path: Path) -> None:
    assert assessed(people(), None, tmp_path, live=True).status is Status.MISSING
    assert assessed(people(), None, tmp_path).status is Status.NOT_APPLICABLE


def test_the_loss_of_accuracy_is_that_of_the_raw_rows_with_newcombes_interval(tmp_path: Path) -> None:
    worse = people(seed=3)
    worse["decision"] = np.where(np.arange(len(worse)) % 5 == 0, 1 - worse["decision"], worse["decision"])
    measured = assessed(people(), worse, tmp_path)
    evaluation = people(seed=9)
    accuracy = [float((frame["paid"] == frame["decision"]).mean()) for frame in (evaluation, worse)]
    drop = one(measured, "performance_drop", None)
    assert drop.value == pytest.approx(accuracy[0] - accuracy[1], abs=1e-12)
    assert drop.interval is not None
    assert drop.interval.low < drop.value < drop.interval.high


def test_the_share_of_labels_that_arrived_is_said_and_the_loss_is_of_those_rows_only(tmp_path: Path) -> None:
    later = people(seed=3).astype({"paid": "Int64"})
    later.loc[300:, "paid"] = pd.NA
    measured = assessed(people(), later, tmp_path)
    assert one(measured, "labelled_share", None).value == pytest.approx(300 / 3_000)
    assert one(measured, "performance_drop", None).denominator == 300


def test_a_first_batch_of_labels_of_one_class_is_no_error(tmp_path: Path) -> None:
    later = people(seed=3).astype({"paid": "Int64"})
    later["paid"] = pd.array([0] * 50 + [pd.NA] * (len(later) - 50), dtype="Int64")
    assert one(assessed(people(), later, tmp_path), "performance_drop", None).state is State.MEASURED


def test_without_a_label_column_in_production_the_loss_is_unavailable_and_says_so(tmp_path: Path) -> None:
    drop = one(assessed(people(), people(seed=3).drop(columns="paid"), tmp_path), "performance_drop", None)
    assert drop.state is State.UNAVAILABLE
    assert "no label column" in str(drop.note)


def test_labels_that_production_codes_in_another_way_are_refused_and_not_taken_for_the_other_class(tmp_path: Path) -> None:
    later = people(seed=3)
    later["paid"] = later["paid"].map({0: "0.", 1: "1."})
    with pytest.raises(DataError, match=r"production table are not coded alike.*'0\.'.*Code column 'paid' as in the evaluation table"):
        assessed(people(), later, tmp_path)


def test_a_column_of_many_values_cannot_change_all_of_them_unseen() -> None:
    """The two hundred categories that are shown hold a sixtieth of the rows; the rest was one bin, whatever was in it."""
    before = pd.DataFrame({"town": [f"town {number}" for number in np.repeat(np.arange(12_000), 2)]})
    moved = compared(before, before.assign(town=lambda frame: "new " + frame["town"]))
    assert one(moved, "psi", "town").value > 1
    assert column(moved, "town")["bins"][-1] == "(new categories)"
    same = compared(before, before)
    assert one(same, "psi", "town").value < 0.01
    keys = [pd.DataFrame({"town": [f"{side} {number}" for number in range(5_000)]}) for side in ("a", "b")]
    assert one(compared(*keys), "psi", "town").value < 0.25, "values that never repeat are unseen without any drift"
