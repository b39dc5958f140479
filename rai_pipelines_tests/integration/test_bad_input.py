"""Bad input gets a clear message and a finding that is never a pass; nothing is lost or half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from rai_pipelines.audit import Auditor, build_auditor
from rai_pipelines.errors import RegistryUnavailable, UnknownModelVersion
from rai_pipelines.evidence.model import Evidence, State, Status
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.verdict import VerdictStatus
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.conftest import DAY
from rai_pipelines_tests.house import House, datasheet, people, write_model

NEVER = {FindingStatus.PASS}


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), datasheet(), training=people())


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def registered(house: House, model_folder: Path, sheet: dict[str, Any] | str | None = None, *, model_file: bytes | None = None) -> ModelVersion:
    """A version whose files are copies of `model_folder` with another datasheet or model file."""
    folder = house.folder / "changed"
    folder.mkdir()
    for path in model_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    if sheet is not None:
        text = sheet if isinstance(sheet, str) else yaml.safe_dump(sheet)
        (folder / "datasheet.yaml").write_text(text, encoding="utf-8")
    if model_file is not None:
        (folder / "model.skops").write_bytes(model_file)
    return house.register_folder(folder)


def rewrite(house: House, table: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = house.settings.data_path / f"{table}.parquet"
    change(pd.read_parquet(path)).to_parquet(path)


def finding(auditor: Auditor, version: ModelVersion, control: str) -> tuple[FindingStatus, str]:
    found = auditor.judge(version, day=DAY).finding(control)
    assert found is not None
    return found.status, found.reason


def measure(house: House, version: ModelVersion, step: str) -> tuple[Auditor, Evidence]:
    auditor = build_auditor(house.settings)
    auditor.measure("registry_record", version)
    return auditor, auditor.measure(step, version)


def test_a_renamed_protected_column_is_named_and_fails_closed(house: House, model_folder: Path) -> None:
    version = registered(house, model_folder)
    rewrite(house, "evaluation", lambda frame: frame.rename(columns={"sex": "gender"}))
    auditor, made = measure(house, version, "bias_assessment")
    assert made.status is Status.ERROR
    assert "'sex'" in str(made.reason) and "evaluation" in str(made.reason)
    assert finding(auditor, version, "FAIR-S")[0] is FindingStatus.ERROR


def test_labels_that_are_not_binary_are_named(house: House, model_folder: Path) -> None:
    version = registered(house, model_folder)
    rewrite(house, "evaluation", lambda frame: frame.assign(y=np.arange(len(frame)) % 3))
    auditor, made = measure(house, version, "bias_assessment")
    assert made.status is Status.ERROR
    assert "'y'" in str(made.reason)
    assert finding(auditor, version, "FAIR-S")[0] is FindingStatus.ERROR


@pytest.mark.parametrize("step", ["data_validation", "bias_assessment", "performance_report"])
def test_an_empty_table_is_an_error_and_not_a_clean_one(house: House, model_folder: Path, step: str) -> None:
    version = registered(house, model_folder)
    rewrite(house, "evaluation", lambda frame: frame.head(0))
    _, made = measure(house, version, step)
    assert made.status is Status.ERROR
    assert "empty" in str(made.reason)


def test_a_table_that_is_not_there_is_named_without_a_path_of_the_machine(house: House, model_folder: Path) -> None:
    version = registered(house, model_folder, datasheet(data={"training": "training.parquet", "evaluation": "moved.parquet"}))
    _, made = measure(house, version, "bias_assessment")
    assert made.status is Status.ERROR
    assert "moved.parquet" in str(made.reason)
    assert str(house.folder) not in str(made.reason)


def test_a_group_without_positives_is_disclosed_and_never_reads_as_parity(house: House, model_folder: Path) -> None:
    version = registered(house, model_folder)
    rewrite(house, "evaluation", lambda frame: frame.assign(y=frame["y"].where(frame["sex"] == 1, 0)))
    _, made = measure(house, version, "bias_assessment")
    assert made.status is Status.COMPLETE
    (rate,) = made.find("true_positive_rate", attribute="sex", group="2")
    assert rate.state is State.UNDEFINED and rate.value is None
    (difference,) = made.find("equalized_odds_difference", attribute="sex")
    assert difference.state is not State.MEASURED
    assert difference.value is None


def test_a_protected_column_that_is_all_null_is_one_group_and_passes_nothing(house: House, model_folder: Path) -> None:
    sheet = datasheet()
    sheet["columns"]["protected_attributes"] = {"region": {}}
    version = registered(house, model_folder, sheet)
    rewrite(house, "evaluation", lambda frame: frame.assign(region=pd.Series([None] * len(frame), dtype="string")))
    auditor, made = measure(house, version, "bias_assessment")
    assert made.status in (Status.COMPLETE, Status.ERROR)
    assert finding(auditor, version, "FAIR-S")[0] not in NEVER


def test_a_version_without_a_datasheet_reads_missing_everywhere(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "model.txt").write_text("tree", encoding="utf-8")
    version = house.register_folder(folder)
    auditor, made = measure(house, version, "bias_assessment")
    assert made.status is Status.MISSING
    assert "has no datasheet" in str(made.reason)
    verdict = auditor.judge(version, day=DAY)
    assert verdict.status is VerdictStatus.NON_COMPLIANT
    assert not verdict.could_audit


def test_an_unknown_field_of_the_datasheet_is_named_with_its_line(house: House, model_folder: Path) -> None:
    text = yaml.safe_dump(datasheet()) + "favourite_colour: blue\n"
    version = registered(house, model_folder, text)
    _, made = measure(house, version, "bias_assessment")
    assert made.status is Status.MISSING
    assert f"{text.count(chr(10))}: favourite_colour: unknown field" in str(made.reason)


def test_a_datasheet_about_another_model_is_noticed(house: House, model_folder: Path) -> None:
    version = registered(house, model_folder, datasheet(model="another"))
    auditor, _ = measure(house, version, "registry_record")
    status, reason = finding(auditor, version, "TRAN-B")
    assert status is FindingStatus.FAIL
    assert "'another'" in reason


def test_a_model_that_does_not_load_is_an_error_and_the_rest_goes_on(house: House, model_folder: Path) -> None:
    version = registered(house, model_folder, model_file=b"not a model")
    auditor, made = measure(house, version, "bias_assessment")
    assert made.status is Status.ERROR
    assert "model.skops" in str(made.reason)
    assert auditor.measure("anonymization_check", version).status is Status.COMPLETE


def test_a_version_without_a_model_file_is_audited_from_its_predictions(house: House) -> None:
    sheet = datasheet()
    sheet["columns"]["prediction"] = "decided"
    rewrite(house, "evaluation", lambda frame: frame.assign(decided=(frame["income"] > 50).astype(int)))
    folder = house.folder / "predictions_only"
    folder.mkdir()
    (folder / "datasheet.yaml").write_text(yaml.safe_dump(sheet), encoding="utf-8")
    version = house.register_folder(folder)
    auditor, made = measure(house, version, "bias_assessment")
    assert made.status is Status.COMPLETE
    assert made.provenance.model_digest is None
    attacked = auditor.measure("adversarial_robustness", version)
    assert attacked.status is Status.MISSING
    assert finding(auditor, version, "SAFE-B")[0] is FindingStatus.MISSING


def test_a_datasheet_in_the_users_folder_serves_a_version_without_one(house: House, model_folder: Path) -> None:
    folder = house.folder / "without"
    folder.mkdir()
    (folder / "model.skops").write_bytes((model_folder / "model.skops").read_bytes())
    version = house.register_folder(folder)
    place = house.settings.subjects_path / "calls"
    place.mkdir(parents=True)
    (place / "datasheet.yaml").write_text(yaml.safe_dump(datasheet()), encoding="utf-8")
    assert measure(house, version, "registry_record")[1].status is Status.COMPLETE


def test_a_registry_that_is_down_is_no_finding_and_writes_nothing(house: House) -> None:
    auditor = build_auditor(house.settings.model_copy(update={"tracking_uri": "http://127.0.0.1:9"}))
    with pytest.raises(RegistryUnavailable):
        auditor.measure("bias_assessment", ModelVersion("calls", "1"))
    assert not house.settings.evidence_dir.exists()


def test_a_version_that_is_not_registered_is_said_so(house: House, model_folder: Path) -> None:
    registered(house, model_folder)
    with pytest.raises(UnknownModelVersion, match="calls/99"):
        build_auditor(house.settings).measure("registry_record", ModelVersion("calls", "99"))


@pytest.mark.parametrize("name", ["naïve 模型", "quo\"te's", ".hidden", "a b & <c>", "per%cent"])
def test_any_name_the_registry_allows_can_be_audited(house: House, model_folder: Path, name: str) -> None:
    version = house.register_folder(model_folder, name=name)
    auditor, made = measure(house, version, "registry_record")
    assert made.provenance.model_name == name
    verdict = auditor.judge(version, day=DAY)
    assert verdict.model_name == name
    inside = [path.resolve().is_relative_to(house.settings.home_path) for path in house.settings.evidence_dir.rglob("*")]
    assert inside and all(inside)


def test_old_evidence_is_not_taken_for_evidence_of_a_changed_datasheet(house: House, model_folder: Path) -> None:
    folder = house.folder / "without"
    folder.mkdir()
    (folder / "model.skops").write_bytes((model_folder / "model.skops").read_bytes())
    version = house.register_folder(folder)
    place = house.settings.subjects_path / "calls"
    place.mkdir(parents=True)
    (place / "datasheet.yaml").write_text(yaml.safe_dump(datasheet()), encoding="utf-8")
    auditor, _ = measure(house, version, "bias_assessment")
    assert finding(auditor, version, "FAIR-S")[0] is FindingStatus.PASS
    (place / "datasheet.yaml").write_text(yaml.safe_dump(datasheet(purpose="Something else")), encoding="utf-8")
    assert finding(build_auditor(house.settings), version, "FAIR-S")[0] is FindingStatus.MISSING
