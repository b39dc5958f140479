"""A model runs with the libraries that its requirements name; what may stand in that file is little, and a build that fails is a finding."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from rai_pipelines.audit import build_auditor
from rai_pipelines.errors import ModelError
from rai_pipelines.evidence.model import Status
from rai_pipelines.model_host.host import hosted_loader
from rai_pipelines.model_host.own_environment import MANIFEST, BuildLimits, own_environment, read_requirements
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.subjects.model_files import load_model_files
from rai_pipelines_tests.conftest import DAY
from rai_pipelines_tests.house import FEATURES, House, people, write_model
from rai_pipelines_tests.house import datasheet as plain_datasheet
from rai_pipelines_tests.subjects.test_model_files import datasheet

OLD = "mlflow==3.1.0\nscikit-learn==1.2.2  # as trained\nnumpy==1.26.4\nskops==0.10.0\n"
TRAIN = """
import sys
import numpy as np, pandas as pd, skops.io, sklearn
from sklearn.ensemble import RandomForestClassifier
table = pd.read_csv(sys.argv[1])
model = RandomForestClassifier(n_estimators=20, random_state=1, n_jobs=1).fit(table[sys.argv[3].split(",")], table["y"])
skops.io.dump(model, sys.argv[2] + "/model.skops")
np.save(sys.argv[2] + "/../expected.npy", model.predict_proba(table[sys.argv[3].split(",")])[:, 1])
print(sklearn.__version__)
"""

ELSEWHERE = "https://example.org/simple"


def model_folder(tmp_path: Path, requirements: str) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "requirements.txt").write_text(requirements, encoding="utf-8")
    return folder


def stand_in_for_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A program called uv, first on the path."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "uv"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def test_packages_with_versions_and_conditions_are_read_and_what_the_host_does_not_need_is_named() -> None:
    content = b"# of the model\nscikit-learn==1.5.2\n\npandas[performance]>=2,<3 ; python_version >= '3.9'  # as trained\nMLflow==3.1.0\n"
    wanted, left_out = read_requirements(content)
    assert wanted == ("scikit-learn==1.5.2", 'pandas[performance]<3,>=2; python_version >= "3.9"')
    assert left_out == ("MLflow==3.1.0",)


@pytest.mark.parametrize(
    "line",
    [
        f"--index-url {ELSEWHERE}", f"-i {ELSEWHERE}", f"--extra-index-url={ELSEWHERE}", "-f wheels",
        "--trusted-host example.org", "-r other.txt", "-c constraints.txt", "-e .", "--editable ./here", "--no-binary :all:", "--pre",
        "scikit-learn==1.5.2 --hash=sha256:00", "scikit-learn==1.5.2 \\", "scikit-learn @ https://example.org/a.whl",
        "scikit-learn @ file:///tmp/a.whl", "git+https://example.org/a.git", "https://example.org/a.whl", "./wheels/a.whl", "/tmp/a.whl", "../a",
        "a.whl", "..", "scikit-learn==1.5.2; echo", "${HOME}", "$(touch x)", "scikit learn", "file:a", "@", "a\x00b",
    ],
)  # fmt: skip
def test_a_line_that_is_no_package_with_versions_is_refused_by_number(line: str) -> None:
    if line == "a.whl":
        assert read_requirements(b"a.whl")[0] == ("a.whl",), "that is the name of a package, and uv is not given the model's folder to find a file in"
        return
    with pytest.raises(ModelError, match=r"requirements\.txt: .*in line 2 .*so the model's own environment was not built"):
        read_requirements(f"numpy==2.2.0\n{line}\n".encode())


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff\xfe", "not UTF-8"), (b"a" * 100_001, "too long"), (b"a\n" * 501, "names 501 packages")],
    ids=["bytes", "long", "many"],
)
def test_a_file_that_nobody_would_write_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        read_requirements(content)


def test_without_requirements_there_is_no_environment_of_its_own(tmp_path: Path) -> None:
    assert own_environment(tmp_path, tmp_path / "kept") is None


def test_a_failed_build_says_why_without_addresses_leaves_nothing_and_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_for_uv(
        tmp_path, monkeypatch, f"echo x >> {tmp_path}/calls; echo 'error: Failed to fetch https://me:secret@index.example/simple/' >&2; exit 2"
    )
    with pytest.raises(ModelError, match="could not be built: Failed to fetch an address"):
        own_environment(model_folder(tmp_path, "numpy==2.2.0\n"), tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_build_without_a_network_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(ModelError, match=r"requirements\.txt: the model's own environment could not be built: (?i:.*(network|offline|not found))"):
        own_environment(model_folder(tmp_path, "scikit-learn==1.2.2\n"), tmp_path / "kept")


def test_a_build_that_takes_too_long_is_ended_with_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_for_uv(tmp_path, monkeypatch, f"sleep 100 & echo $! > {tmp_path}/child; wait")
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"was not built within 0\.5 s"):
        own_environment(model_folder(tmp_path, "numpy==2.2.0\n"), tmp_path / "kept", limits=BuildLimits(seconds=0.5))
    assert time.monotonic() - started < 10
    child = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    for _ in range(100):
        if not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.05)
    else:
        pytest.fail("what uv started is still there")


def test_an_environment_that_takes_too_much_room_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filling = 'while [ "$1" != --target ]; do shift; done; head -c 3000000 /dev/zero > "$2/filler"'
    stand_in_for_uv(tmp_path, monkeypatch, filling)
    with pytest.raises(ModelError, match=r"takes more than 0\.00195 GiB"):
        own_environment(model_folder(tmp_path, "numpy==2.2.0\n"), tmp_path / "kept", limits=BuildLimits(folder_bytes=2 * 2**20))
    assert list((tmp_path / "kept").iterdir()) == []


def test_what_was_built_once_is_kept_by_its_digest_and_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_for_uv(tmp_path, monkeypatch, f"echo built >> {tmp_path}/calls")
    folder, kept = model_folder(tmp_path, "numpy==2.2.0\n"), tmp_path / "kept"
    first, second = own_environment(folder, kept), own_environment(folder, kept)
    assert first == second and first is not None
    assert (first.folder / MANIFEST).is_file() and first.digest == f"sha256:{first.folder.name}"
    (folder / "requirements.txt").write_text("numpy==2.2.1\n", encoding="utf-8")
    third = own_environment(folder, kept)
    assert third is not None and third.digest != first.digest
    assert (tmp_path / "calls").read_text().count("built") == 2


@pytest.mark.slow
def test_a_build_that_fails_is_an_error_of_what_needs_the_model_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_for_uv(tmp_path, monkeypatch, f"echo x >> {tmp_path}/calls; echo 'error: no network' >&2; exit 2")
    house = House(tmp_path)
    made = write_model(tmp_path / "with", plain_datasheet(), training=house.training)
    (made / "requirements.txt").write_text("scikit-learn==1.5.2\n", encoding="utf-8")
    version = house.register_folder(made)
    auditor = build_auditor(house.settings.model_copy(update={"model_environment": "own"}))
    evidence = {name: auditor.measure(name, version) for name in ("registry_record", "model_scan", "bias_assessment", "adversarial_robustness")}
    for name in ("bias_assessment", "adversarial_robustness"):
        assert evidence[name].status is Status.ERROR
        assert "the model's own environment could not be built: no network" in str(evidence[name].reason)
    assert evidence["model_scan"].status is Status.COMPLETE
    assert auditor.measure("anonymization_check", version).status is Status.COMPLETE
    found = auditor.judge(version, day=DAY).finding("FAIR-S")
    assert found is not None and found.status is FindingStatus.ERROR
    assert (tmp_path / "calls").read_text().count("x") == 1, "a build that failed is not tried again in the same audit"


@pytest.mark.slow
def test_a_model_of_an_older_scikit_learn_is_audited_with_the_libraries_it_was_trained_under(tmp_path: Path) -> None:
    """Builds for real, from the index that uv is configured for."""
    folder = model_folder(tmp_path, OLD)
    environment = own_environment(folder, tmp_path / "kept")
    assert environment is not None
    assert environment.packages["scikit-learn"] == "1.2.2" and environment.packages["numpy"] == "1.26.4"
    assert environment.left_out == ("mlflow==3.1.0",)
    table = people(400)
    table.to_csv(tmp_path / "table.csv", index=False)
    trained = subprocess.run(
        [sys.executable, "-S", "-c", TRAIN, str(tmp_path / "table.csv"), str(folder), ",".join(FEATURES)],
        env={**os.environ, "PYTHONPATH": str(environment.folder)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert trained.stdout.strip() == "1.2.2"
    with pytest.raises(ModelError, match="does not load"):
        load_model_files(folder, datasheet(features=FEATURES))
    (environment.folder / "start.pth").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'proof')!r}).touch()\n", encoding="utf-8")
    hosted: Any = hosted_loader(environments=tmp_path / "kept")(folder, datasheet(features=FEATURES))
    try:
        assert hosted.environment == environment
        np.testing.assert_array_equal(hosted.score(pd.read_csv(tmp_path / "table.csv")), np.load(tmp_path / "expected.npy"))
    finally:
        hosted.close()
    assert not (tmp_path / "proof").exists(), "a start-up file of the model's own packages ran before the process was confined"

    house = House(tmp_path / "house")
    (folder / "datasheet.yaml").write_text(yaml.safe_dump(plain_datasheet()), encoding="utf-8")
    version = house.register_folder(folder)
    auditor = build_auditor(house.settings.model_copy(update={"model_environment": "own"}))
    names = (
        "registry_record",
        "model_scan",
        "bias_assessment",
        "adversarial_robustness",
        "explainability_report",
        "privacy_attacks",
        "proof_certificates",
    )
    made = {name: auditor.measure(name, version) for name in names}
    auditor.close()
    assert {name: evidence.reason for name, evidence in made.items() if evidence.status is not Status.COMPLETE} == {}
    loaded: Any = made["model_scan"].details["loaded"]
    assert loaded["libraries"]["packages"]["scikit-learn"] == "1.2.2"
    assert loaded["libraries"]["digest"] == environment.digest
