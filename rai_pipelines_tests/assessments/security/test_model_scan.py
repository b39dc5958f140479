"""The scan of a version's files as evidence: counted by verdict out of all files, with the reasons, and missing without files."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import yaml

from rai_pipelines.assessments.base import AuditContext, run_assessment
from rai_pipelines.assessments.security.model_scan import ModelScanParameters, assess_model_scan
from rai_pipelines.evidence.model import Evidence, Status
from rai_pipelines.model_host.host import hosted_loader
from rai_pipelines.subjects.datasheet import parse_datasheet
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import ModelLoader, Subject
from rai_pipelines_tests.house import datasheet, people, write_model


def context(folder: Path | None, loader: ModelLoader | None = None) -> AuditContext:
    sheet = parse_datasheet(yaml.safe_dump(datasheet()), source="datasheet.yaml")
    return AuditContext(Subject(ModelVersion("calls", "1"), sheet, folder, "sha256:" + "a" * 64, Path(), loader), seed=1, scratch=Path())


def evidence(folder: Path | None) -> Evidence:
    return run_assessment("model_scan", assess_model_scan, context(folder), ModelScanParameters(), inputs=())[0]


def test_an_ordinary_version_is_clean_and_every_file_of_it_is_counted(tmp_path: Path) -> None:
    found = evidence(write_model(tmp_path / "m", datasheet(), training=people(200)))
    assert found.status is Status.COMPLETE
    assert {item.metric: (item.value, item.n) for item in found.measurements} == {
        "files_scanned": (2.0, 2),
        "dangerous_files": (0.0, 2),
        "suspicious_files": (0.0, 2),
        "not_scannable_files": (0.0, 2),
    }


def test_files_that_are_not_clean_are_counted_named_and_listed_first(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", datasheet(), training=people(200))
    (folder / "evil.txt").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    (folder / "strange.pkl").write_bytes(pickle.dumps(yaml.YAMLError()))
    (folder / "noise").write_bytes(bytes(range(128, 256)))
    found = evidence(folder)
    assert [found.value(metric) for metric in ("files_scanned", "dangerous_files", "suspicious_files", "not_scannable_files")] == [5.0, 1.0, 1.0, 1.0]
    assert "evil.txt: imports os.system" in str(found.find("dangerous_files")[0].note)
    assert [file["path"] for file in found.details["files"]][:3] == ["evil.txt", "noise", "strange.pkl"]  # type: ignore[union-attr,index,call-overload]
    assert found.digest == evidence(folder).digest


def test_without_files_there_is_nothing_that_could_run(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        assert evidence(folder).status is Status.NOT_APPLICABLE


def test_the_confinement_in_which_the_model_was_loaded_is_told_and_a_dangerous_model_was_not_loaded(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", datasheet(), training=people(200))
    loaded: Any = assess_model_scan(context(folder, hosted_loader()), ModelScanParameters()).details["loaded"]
    assert loaded["where"] == "a process of its own"
    assert loaded["isolation"]["environment"]["in_force"]
    (folder / "evil.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    refused: Any = assess_model_scan(context(folder, hosted_loader()), ModelScanParameters()).details["loaded"]
    assert refused["where"] is None
    assert "dangerous" in refused["reason"]
