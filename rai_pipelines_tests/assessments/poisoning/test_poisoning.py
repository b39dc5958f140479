"""The whole check, on data with and without what it looks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.poisoning.poisoning import PoisoningParameters, assess_poisoning
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import Measurement, State, Status
from rai_pipelines.subjects.datasheet import parse_datasheet
from rai_pipelines.subjects.model_files import CheckedModel
from rai_pipelines.subjects.model_formats import open_model, query_of
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import Subject

FEATURES = ["income", "age", "sex"]
SHEET = """
schema: rai.datasheet/v1
model: m
purpose: Test
out_of_scope: [Anything else]
risk: {class: high, reason: Decides about people}
owner: {name: Team, contact: team@example.org}
columns:
  label: y
  features: [income, age, sex]
  SOURCE
  protected_attributes: {sex: {reference: 1}, rare: {}}
data: {training: training.parquet, evaluation: evaluation.parquet}
"""
FEW = PoisoningParameters(rows=600, evaluation_rows=800, seeds=3, shares=(0.05, 0.3), influence_rows=15, half_refits=8, planted_rows=60)


def people(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"income": rng.normal(50, 12, rows), "age": rng.integers(18, 70, rows), "sex": rng.choice([1, 2], rows)})
    frame["rare"] = np.where(rng.random(rows) < 0.01, "rare", "common")
    frame["office"] = rng.choice(["north", "south", "west", "east"], rows)
    chance = 1 / (1 + np.exp(-(frame.income - 50) / 4 - (frame.age - 44) / 15))
    return frame.assign(y=(rng.random(rows) < chance).astype(int))


def logistic() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression())


def context(folder: Path, native: Any, training: pd.DataFrame, *, source: bool = False, evaluation: pd.DataFrame | None = None) -> AuditContext:
    training.to_parquet(folder / "training.parquet")
    (people(900, 99) if evaluation is None else evaluation).to_parquet(folder / "evaluation.parquet")
    sheet = parse_datasheet(SHEET.replace("SOURCE", "source: office" if source else ""), source="datasheet.yaml")
    model = CheckedModel(query_of(native, "test"), tuple(FEATURES), "1", "model")
    return AuditContext(Subject(ModelVersion("m", "1"), sheet, folder, None, folder, lambda _folder, _sheet: model), 3, folder / "scratch")


def fitted(training: pd.DataFrame) -> Any:
    return logistic().fit(training[FEATURES], training.y)


def one(measured: Measured, metric: str, **where: Any) -> Measurement:
    found = [item for item in measured.measurements if item.metric == metric and all(getattr(item, key) == want for key, want in where.items())]
    assert len(found) == 1, (metric, where, [item.metric for item in measured.measurements])
    return found[0]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    training = people(600, 1)
    return assess_poisoning(context(tmp_path_factory.mktemp("clean"), fitted(training), training, source=True), FEW)


def test_many_flipped_labels_of_a_group_lower_its_selection_and_few_random_ones_hardly_anything(clean: Measured) -> None:
    assert clean.status is Status.COMPLETE
    aimed = one(clean, "targeted_flip_impact_ratio_change", attribute="sex", group="0.3")
    assert (aimed.comparison, aimed.reference, aimed.state) == ("2", "1", State.MEASURED)
    assert aimed.interval is not None and aimed.interval.high < -0.1
    little = one(clean, "random_flip_accuracy_drop", group="0.05")
    assert little.value is not None and abs(little.value) < 0.02 and little.interval is not None
    assert little.interval.low < little.value < little.interval.high and little.n == 800


def test_a_group_too_small_to_aim_at_is_disclosed(clean: Measured) -> None:
    rare = one(clean, "targeted_flip_impact_ratio_change", attribute="rare")
    assert (rare.value, rare.state) == (None, State.INSUFFICIENT) and "sampled rows" in str(rare.note)


def test_planted_wrong_labels_are_found_and_rows_with_true_ones_are_not(clean: Measured) -> None:
    planted, nothing = one(clean, "planted_label_auc"), one(clean, "unplanted_label_auc")
    assert planted.value is not None and planted.value > 0.8 and planted.denominator == 60
    assert nothing.interval is not None and nothing.interval.low < 0.5 < nothing.interval.high
    assert one(clean, "contradicted_label_share").state is State.MEASURED
    labels: Any = clean.details["contradicted_labels"]
    assert labels["planted_found"] > 10 * labels["others_found_beside"]


def test_sources_that_are_alike_are_not_called_harmful_and_the_planted_one_is_found(clean: Measured) -> None:
    harmful = one(clean, "harmful_sources")
    assert (harmful.value, harmful.denominator, harmful.state) == (0.0, 4, State.MEASURED)
    assert one(clean, "sources_not_compared").value == 0.0
    found, nothing = one(clean, "planted_source_loss_change"), one(clean, "unplanted_source_loss_change")
    assert found.interval is not None and found.interval.high < 0
    assert nothing.interval is not None and nothing.interval.low < 0 < nothing.interval.high


def test_an_office_whose_labels_are_wrong_is_named(tmp_path: Path) -> None:
    training = people(600, 4)
    training["y"] = np.where(training.office == "west", 1 - training.y, training.y)
    measured = assess_poisoning(context(tmp_path, fitted(training), training, source=True), FEW)
    assert one(measured, "harmful_sources").value == 1.0
    sources: Any = measured.details["sources"]
    assert sources["harmful"] == ["west"]
    gain = one(measured, "source_removal_accuracy_change", group="west")
    assert gain.interval is not None and gain.interval.low > 0
    contradicted = one(measured, "contradicted_label_share")  # with a quarter of the labels wrong, the refits are sure of nothing
    assert contradicted.state is State.INSUFFICIENT and "too unsure" in str(contradicted.note)


def test_labels_of_pure_chance_make_the_controls_fail_so_nothing_is_concluded(tmp_path: Path) -> None:
    training = people(600, 5)
    training["y"] = np.random.default_rng(8).integers(0, 2, len(training))
    measured = assess_poisoning(context(tmp_path, fitted(training), training, source=True), FEW)
    assert one(measured, "contradicted_label_share").state is State.INSUFFICIENT
    assert "not effective" in str(one(measured, "contradicted_label_share").note)
    assert one(measured, "harmful_sources").state is State.INSUFFICIENT


@pytest.mark.slow
def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    training = people(300, 6)
    small = FEW.model_copy(update={"rows": 300, "influence_rows": 4, "half_refits": 4})
    made = [assess_poisoning(context(tmp_path, fitted(training), training), small) for _ in range(2)]
    first, second = ([canonical_json(item) for item in one.measurements] for one in made)
    assert first == second
    assert one(made[0], "harmful_sources").state is State.UNAVAILABLE


def test_a_booster_read_from_its_text_is_fitted_again_as_it_was(tmp_path: Path) -> None:
    training = people(500, 7)
    learner = lightgbm.LGBMClassifier(n_estimators=15, min_child_samples=10, n_jobs=1, verbose=-1).fit(training[FEATURES], training.y)
    (tmp_path / "model.txt").write_text(learner.booster_.model_to_string())
    booster = open_model(tmp_path / "model.txt", "model.txt", trusted_skops_types=(), trust_pickles=False).native
    assert booster.recorded_parameters["min_data_in_leaf"] == 10
    small = FEW.model_copy(update={"rows": 500, "influence_rows": 4, "half_refits": 4})
    measured = assess_poisoning(context(tmp_path, booster, training), small)
    agreement = one(measured, "refit_agreement")
    assert agreement.value is not None and agreement.value > 0.97
    assert one(measured, "refit_noise").value == 0.0


def test_a_model_that_its_training_table_does_not_explain_makes_every_figure_unsure(tmp_path: Path) -> None:
    training = people(600, 9)
    other = logistic().fit(training[FEATURES], 1 - training.y)
    measured = assess_poisoning(context(tmp_path, other, training), FEW.model_copy(update={"half_refits": 4, "influence_rows": 4}))
    assert (one(measured, "refit_agreement").value or 0) < 0.5
    assert {item.state for item in measured.measurements if item.metric not in ("refit_agreement", "refits")} <= {
        State.INSUFFICIENT,
        State.UNAVAILABLE,
        State.UNDEFINED,
    }


class Wrapped:
    """Predicts, and is nothing that could be cloned."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.classes_ = inner, inner.classes_

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return np.asarray(self.inner.predict(frame))


def test_a_model_that_cannot_be_fitted_again_says_so(tmp_path: Path) -> None:
    training = people(300, 2)
    measured = assess_poisoning(context(tmp_path, Wrapped(fitted(training)), training), FEW)
    assert measured.status is Status.COMPLETE
    assert {item.state for item in measured.measurements} == {State.UNAVAILABLE}
    assert all("a Wrapped is neither" in str(item.note) for item in measured.measurements if item.metric != "backdoor_check")


def test_beyond_the_allowance_of_refits_attributes_are_left_out_by_name(tmp_path: Path) -> None:
    training = people(300, 2)
    few = FEW.model_copy(update={"rows": 300, "half_refits": 4, "influence_rows": 2, "max_refits": 20})
    measured = assess_poisoning(context(tmp_path, fitted(training), training), few)
    assert measured.details["attributes_cut_by_max_refits"] == ["sex"]
    assert one(measured, "targeted_flip_impact_ratio_change", attribute="sex").state is State.UNAVAILABLE


@pytest.mark.parametrize(
    "change", [("[objective: binary]", "[objective: regression]"), ("[linear_tree: 0]", "[linear_tree: 1]"), ("parameters:", "")]
)
def test_a_booster_whose_training_is_not_followed_whole_is_not_fitted_again(change: tuple[str, str], tmp_path: Path) -> None:
    training = people(300, 7)
    text = lightgbm.LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1).fit(training[FEATURES], training.y).booster_.model_to_string()
    (tmp_path / "model.txt").write_text(text.replace(*change))
    booster = open_model(tmp_path / "model.txt", "model.txt", trusted_skops_types=(), trust_pickles=False).native
    measured = assess_poisoning(context(tmp_path, booster, training), FEW)
    assert all("does not record how it was trained" in str(item.note) for item in measured.measurements if item.metric != "backdoor_check")


def test_a_learner_that_is_too_slow_is_fitted_once_and_says_so(tmp_path: Path) -> None:
    training = people(300, 2)
    measured = assess_poisoning(context(tmp_path, fitted(training), training), FEW.model_copy(update={"max_refit_s": 1e-6}))
    assert all("takes more than 1e-06 s" in str(item.note) for item in measured.measurements if item.metric != "backdoor_check")
