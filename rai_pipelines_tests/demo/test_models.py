"""The three versions: trained, registered once, loadable without trust, and different for the stated reasons."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame, demographic_parity_ratio, false_positive_rate

from rai_pipelines.demo.make_data import EVALUATION_FILE
from rai_pipelines.demo.models import DESCRIPTIONS, MODEL_NAME, train_and_register
from rai_pipelines.demo.population import demo_data_folder
from rai_pipelines.demo.thresholds import GroupThresholdClassifier, fit_group_thresholds, fit_thresholds_within, group_names
from rai_pipelines.demo.training import VARIANTS, write_model_folder
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.canonical import digest_of_folder
from rai_pipelines.subjects.datasheet import Datasheet, read_datasheet
from rai_pipelines.subjects.mlflow_registry import MlflowRegistry
from rai_pipelines.subjects.model_files import load_model_files
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import LoadedModel
from rai_pipelines_tests.registries import new_registry


@dataclass(frozen=True)
class Registered:
    registry: MlflowRegistry
    artifact_root: Path
    versions: list[ModelVersion]
    folders: dict[str, Path]
    datasheets: dict[str, Datasheet]
    models: dict[str, LoadedModel]
    said: list[str]


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Registered:
    home = tmp_path_factory.mktemp("demo")
    registry = MlflowRegistry(new_registry(home / "mlflow.db"))
    said: list[str] = []
    versions = train_and_register(registry.uri, home / "artifacts", demo_data_folder(), on_progress=said.append)
    keys = [variant.key for variant in VARIANTS]
    folders = {key: registry.fetch(version, home / key) for key, version in zip(keys, versions, strict=True)}
    datasheets = {key: read_datasheet(folder / "datasheet.yaml") for key, folder in folders.items()}
    models = {key: load_model_files(folder, datasheets[key]) for key, folder in folders.items()}
    return Registered(registry, home / "artifacts", versions, folders, datasheets, models, said)


@pytest.fixture(scope="session")
def evaluation() -> pd.DataFrame:
    return pd.read_parquet(demo_data_folder() / EVALUATION_FILE)


def test_three_versions_are_registered_once(registered: Registered) -> None:
    assert registered.versions == [ModelVersion(MODEL_NAME, number) for number in DESCRIPTIONS]
    said: list[str] = []
    again = train_and_register(registered.registry.uri, registered.artifact_root, demo_data_folder(), on_progress=said.append)
    assert again == registered.versions
    assert len(registered.registry.versions_since(0, limit=100)) == 3
    assert not any("training" in line for line in said)
    assert sum("already registered" in line for line in said) == 3
    assert sum(line.startswith("training") for line in registered.said) == 3


def test_a_version_folder_holds_no_pickle_and_names_no_place_on_this_machine(registered: Registered) -> None:
    for folder in registered.folders.values():
        names = {path.name for path in folder.rglob("*")}
        assert names in ({"MLmodel", "model.lgb", "datasheet.yaml"}, {"MLmodel", "model.skops", "datasheet.yaml"})
        for path in folder.iterdir():
            assert str(registered.artifact_root).encode() not in path.read_bytes()


def test_training_again_gives_the_same_bytes(registered: Registered, tmp_path: Path) -> None:
    variant = VARIANTS[2]
    folder = write_model_folder(variant, demo_data_folder(), tmp_path / "again", on_progress=lambda message: None)
    assert digest_of_folder(folder) == digest_of_folder(registered.folders[variant.key])


def test_datasheets_fit_their_models_and_the_shipped_tables(registered: Registered, evaluation: pd.DataFrame) -> None:
    for key, datasheet in registered.datasheets.items():
        columns = datasheet.columns
        assert datasheet.model == MODEL_NAME
        assert datasheet.risk.risk_class.value == "high"
        assert columns.features == registered.models[key].features
        assert {*columns.features, *columns.protected_attributes, columns.label} <= set(evaluation.columns)
        assert set(columns.immutable_features) | set(columns.categorical_features) <= set(columns.features)
        training = pd.read_parquet(demo_data_folder() / str(datasheet.data.training))
        assert {*columns.features, *columns.quasi_identifiers, *columns.sensitive_attributes, columns.label} <= set(training.columns)
        for name, attribute in columns.protected_attributes.items():
            groups = pd.cut(evaluation[name], [int(edge) for edge in attribute.bins], right=False) if attribute.bins else evaluation[name]
            assert attribute.reference == str(groups.value_counts().idxmax()), f"{key}: reference of {name} is the largest group"
            assert not attribute.labels or set(attribute.labels) >= {str(value) for value in evaluation[name]}


def test_every_model_decides_alike_twice_scores_as_a_probability_and_beats_the_majority_class(
    registered: Registered, evaluation: pd.DataFrame
) -> None:
    majority = max(evaluation.employed.mean(), 1 - evaluation.employed.mean())
    for model in registered.models.values():
        decisions, scores = model.predict(evaluation), model.score(evaluation)
        np.testing.assert_array_equal(decisions, model.predict(evaluation))
        assert scores is not None
        assert ((scores >= 0) & (scores <= 1)).all()
        assert (decisions == evaluation.employed).mean() > majority + 0.003


def fpr_gap(evaluation: pd.DataFrame, decisions: np.ndarray, groups: pd.Series) -> float:
    frame = MetricFrame(metrics=false_positive_rate, y_true=evaluation.employed, y_pred=decisions, sensitive_features=groups)
    return float(frame.difference())


def test_mitigation_closes_the_gap_where_it_was_applied_and_accuracy_pays_for_it(registered: Registered, evaluation: pd.DataFrame) -> None:
    plain, mitigated = (registered.models[key].predict(evaluation) for key in ("plain", "mitigated"))
    for groups in (evaluation.DIS, evaluation.SEX, evaluation.AGE_BAND):
        assert fpr_gap(evaluation, mitigated, groups) < 0.1 < fpr_gap(evaluation, plain, groups)
    ratios = [demographic_parity_ratio(evaluation.employed, decisions, sensitive_features=evaluation.DIS) for decisions in (plain, mitigated)]
    assert ratios[0] < 0.3
    assert ratios[1] > 0.8
    assert (mitigated == evaluation.employed).mean() < (plain == evaluation.employed).mean() - 0.02


def test_without_its_tables_the_demo_says_which_one_is_absent(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"employment_MA_2015_training\.parquet"):
        write_model_folder(VARIANTS[0], tmp_path, tmp_path / "out", on_progress=lambda message: None)
    assert not (tmp_path / "out").exists()


def test_group_thresholds_bring_false_positive_rates_together() -> None:
    rng = np.random.default_rng(11)
    groups = pd.Series(np.repeat(["a", "b"], 4000))
    labels = rng.integers(0, 2, 8000)
    scores = np.clip(0.25 * labels + np.where(groups == "a", 0.5, 0.1) + rng.normal(0, 0.12, 8000), 0, 1)
    thresholds = fit_group_thresholds(scores, labels, groups)
    assert thresholds["a"] > thresholds["b"] + 0.2
    chosen = scores > groups.map(thresholds)
    rates = [chosen[(labels == 0) & (groups == group)].mean() for group in ("a", "b")]
    assert abs(rates[0] - rates[1]) < 0.02


class HalfProbability:
    classes_ = np.array([0, 1])
    feature_names_in_ = np.array(["SEX", "AGEP"])

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        return np.full((len(frame), 2), 0.5)


def test_each_row_meets_the_threshold_of_its_group_and_unseen_groups_the_fallback() -> None:
    frame = pd.DataFrame({"SEX": [1, 1, 2, 3], "AGEP": [18, 25, 64, 30]})
    bins = {"AGEP": [18, 25, 55]}
    assert group_names(frame, ["SEX", "AGEP"], bins).tolist() == ["1/18", "1/25", "2/55", "3/25"]
    model = GroupThresholdClassifier(HalfProbability(), ["SEX", "AGEP"], bins, {"1/18": 0.4, "1/25": 0.6, "2/55": 0.5}, fallback=0.1)
    assert model.predict(frame).tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("allowance", [0.05, 0.2])
def test_thresholds_within_an_allowance_keep_both_error_rates_together_on_the_data_they_were_fitted_to(allowance: float) -> None:
    rng = np.random.default_rng(3)
    groups = pd.Series(np.repeat(["a", "b", "c"], 2_000))
    labels = (rng.random(6_000) < groups.map({"a": 0.3, "b": 0.5, "c": 0.7})).astype(int).to_numpy()
    scores = np.clip(0.25 + 0.4 * labels + 0.1 * (groups == "b").to_numpy() + rng.normal(0, 0.18, 6_000), 0, 1)
    thresholds = fit_thresholds_within(scores, labels, groups, allowance=allowance)
    chosen = scores > groups.map(thresholds).to_numpy()
    for outcome in (0, 1):
        rates = [chosen[(groups == name).to_numpy() & (labels == outcome)].mean() for name in "abc"]
        assert max(rates) - min(rates) <= allowance + 0.01
    assert (chosen == labels).mean() > max(labels.mean(), 1 - labels.mean()), "it does not answer everyone alike when it need not"
