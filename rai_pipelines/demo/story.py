"""The demo's story: data, three registered versions, the daemon that finds and audits them, and what came out.

Nothing here audits: the same sensor, job and daemon do that which a platform team would run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import yaml

from rai_pipelines.audit import build_auditor, latest_verdict
from rai_pipelines.demo.models import train_and_register
from rai_pipelines.demo.population import write_demo_data
from rai_pipelines.documents.card import card_folder
from rai_pipelines.errors import RaiError
from rai_pipelines.evidence.model import Record
from rai_pipelines.evidence.store import EvidenceStore
from rai_pipelines.governance.gate.record import TAG_VERDICT
from rai_pipelines.orchestration.instance import prepare_instance
from rai_pipelines.policy.verdict import Verdict
from rai_pipelines.settings import Settings
from rai_pipelines.subjects.names import ModelVersion

POLL_S = 1.0


class DemoVersion(Record):
    """One version in the demo's closing table."""

    name: str
    version: str
    what: str
    verdict: str
    registry_tag: str
    reasons: tuple[str, ...]
    card: str
    technical_documentation: str


class DemoResult(Record):
    """How the demo ended. `complete` is whether every version has its documents and a verdict that the registry agrees with."""

    policy: str
    versions: tuple[DemoVersion, ...]
    runs_launched: int
    seconds: float
    complete: bool


def run_demo(settings: Settings, *, on_progress: Callable[[str], None], timeout_s: float) -> DemoResult:
    """Prepare, register, wait for the daemon's audits, and collect the verdicts.

    Raises:
        RaiError: the daemon ended early, or the audits did not end within `timeout_s`.
    """
    started = time.monotonic()
    prepare_instance(settings)
    on_progress("Writing census data (US Census ACS, Massachusetts, 2015-2018)")
    write_demo_data(settings.data_path)
    versions = train_and_register(settings.registry_uri, settings.artifact_root, settings.data_path, on_progress=on_progress)
    auditor = build_auditor(settings)
    waiting = {version for version in versions if not _gated(auditor.store, version)}
    launched = len(waiting)
    if waiting:
        on_progress("Starting the Dagster daemon; its sensor looks for new versions")
        with _daemon(settings) as daemon:
            _wait(auditor.store, settings.documents_dir, waiting, daemon, deadline=started + timeout_s, on_progress=on_progress)
    collected = tuple(_collect(settings, version) for version in versions)
    return DemoResult(
        policy=auditor.policy.label,
        versions=collected,
        runs_launched=launched,
        seconds=round(time.monotonic() - started, 1),
        complete=all(
            item.verdict == item.registry_tag and Path(item.card).is_file() and Path(item.technical_documentation).is_file() for item in collected
        ),
    )


def _wait(
    store: EvidenceStore,
    documents: Path,
    waiting: set[ModelVersion],
    daemon: subprocess.Popen[bytes],
    *,
    deadline: float,
    on_progress: Callable[[str], None],
) -> None:
    """Until every version went through the gate and has its documents; says which assessment was done as it happens."""
    shown: dict[ModelVersion, int] = dict.fromkeys(waiting, 0)
    while waiting:
        if daemon.poll() is not None:
            raise RaiError(f"the Dagster daemon ended with code {daemon.returncode}", where="demo", hint="Its log is in RAI_HOME/dagster/daemon.log")
        if time.monotonic() > deadline:
            late = ", ".join(sorted(map(str, waiting)))
            raise RaiError(
                f"not judged in time: {late}", where="demo", hint="Look at RAI_HOME/dagster/daemon.log, or run make dev and look at the runs"
            )
        for version in sorted(waiting):
            history = store.history(version.key)
            for receipt in history[shown[version] :]:
                outcome = "" if receipt.status.value == "complete" else f" ({receipt.status.value})"
                on_progress(f"{version}: {receipt.assessment.replace('_', ' ')}{outcome}")
            shown[version] = len(history)
        waiting -= {version for version in waiting if _gated(store, version) and _documented(documents, store, version)}
        time.sleep(POLL_S)


def _gated(store: EvidenceStore, version: ModelVersion) -> bool:
    """Whether the version's newest verdict went through the gate."""
    verdict, gate = store.latest("policy_verdict", version.key), store.latest("release_gate", version.key)
    return verdict is not None and gate is not None and gate.recorded_at >= verdict.recorded_at


def _documented(documents: Path, store: EvidenceStore, version: ModelVersion) -> bool:
    """Whether the documents of the version's newest verdict are written."""
    verdict, folder = store.latest("policy_verdict", version.key), card_folder(documents, version)
    written = [folder / f"{name}.json" for name in ("model_card", "technical_documentation")]
    digests = [json.loads(path.read_bytes())["verdict_digest"] if path.is_file() else None for path in written]
    return verdict is not None and digests == [verdict.digest] * len(written)


def _collect(settings: Settings, version: ModelVersion) -> DemoVersion:
    from rai_pipelines.demo.models import DESCRIPTIONS

    auditor = build_auditor(settings)
    found = latest_verdict(auditor.store, version)
    verdict: Verdict | None = found[0] if found else None
    return DemoVersion(
        name=version.name,
        version=version.version,
        what=DESCRIPTIONS.get(version.version, ""),
        verdict=verdict.status.value if verdict else "not judged",
        registry_tag=auditor.registry.get(version).tags.get(TAG_VERDICT, ""),
        reasons=verdict.reasons if verdict else (),
        card=str(card_folder(settings.documents_dir, version) / "model_card.html"),
        technical_documentation=str(card_folder(settings.documents_dir, version) / "technical_documentation.pdf"),
    )


@contextmanager
def _daemon(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A Dagster daemon on the embedded instance, ended when the block ends."""
    home = prepare_instance(settings)
    environment = {**os.environ, "DAGSTER_HOME": str(home), "RAI_HOME": str(settings.home_path), "RAI_SENSOR_INTERVAL_S": "5"}
    with tempfile.TemporaryDirectory(prefix="rai-demo-") as folder, (home / "daemon.log").open("ab") as log:
        workspace = Path(folder) / "workspace.yaml"
        location = {"module_name": "rai_pipelines.definitions", "location_name": "rai_pipelines"}
        workspace.write_text(yaml.safe_dump({"load_from": [{"python_module": location}]}), encoding="utf-8")
        process = _start(workspace, environment, log)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)  # the parent alone: it ends its own code server
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(workspace: Path, environment: dict[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dagster", "daemon", "run", "-w", str(workspace)]
    dagster_daemon = Path(sys.executable).with_name("dagster-daemon")
    if dagster_daemon.exists():
        command = [str(dagster_daemon), "run", "-w", str(workspace)]
    return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)  # noqa: S603
