"""`rai audit` as a process: its exit codes, killed in the middle, and two of them at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from rai_pipelines.audit import latest_verdict
from rai_pipelines.evidence.model import Evidence
from rai_pipelines.evidence.store import LocalEvidenceStore
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.house import House

pytestmark = pytest.mark.deployed

EXIT_CODES = {"compliant": 0, "non_compliant": 1, "needs_review": 2}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(tmp_path_factory.mktemp("house"))


def audit(house: House, version: ModelVersion) -> subprocess.Popen[str]:
    environment = {**os.environ, "RAI_HOME": str(house.settings.home_path), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", "from rai_pipelines.cli.app import main; main()", "audit", str(version), "--json"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_killed_audit_leaves_nothing_half_written_and_the_next_ones_complete_it(house: House) -> None:
    version = house.register()
    store = LocalEvidenceStore(house.settings.evidence_dir)
    killed = audit(house, version)
    deadline = time.monotonic() + 120
    while not store.history(version.key) and time.monotonic() < deadline:
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert latest_verdict(store, version) is None
    for receipt in store.history(version.key):
        assert store.get(receipt.digest, Evidence).assessment == receipt.assessment

    both = [audit(house, version), audit(house, version)]  # two at once, as after a double click
    outputs = [process.communicate(timeout=300) for process in both]
    verdicts = [json.loads(out) for out, _ in outputs]
    first, second = ([(item["control"], item["status"]) for item in found["verdict"]["findings"]] for found in verdicts)
    assert first == second, "what one has brought to the gate may stand in the evidence of the other, and changes no finding"
    assert [process.returncode for process in both] == [EXIT_CODES[item["verdict"]["status"]] for item in verdicts]
    found = latest_verdict(store, version)
    assert found is not None and found[0].digest in {item["verdict_digest"] for item in verdicts}
    assert house.registry.get(version).tags["rai.evidence"] == found[0].digest


def test_a_version_that_does_not_exist_exits_with_three(house: House) -> None:
    process = audit(house, ModelVersion("nobody", "1"))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 3
    assert "nobody/1" in errors and "Traceback" not in errors
