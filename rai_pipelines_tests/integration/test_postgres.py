"""The whole house on PostgreSQL, set up as deploy/postgres says: code server, daemon, run queue and registry, against an audit in process.

A version is registered; the sensor finds it, the queue launches one run, the run ends in the verdict that the embedded default comes to.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
import yaml

from rai_pipelines.audit import Auditor, build_auditor, latest_verdict
from rai_pipelines.evidence.store import LocalEvidenceStore
from rai_pipelines.orchestration.jobs import AUDIT_JOB, TAG_MODEL, TAG_RUN_KEY, TAG_TRIGGER
from rai_pipelines.policy.verdict import Verdict
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.house import House
from rai_pipelines_tests.postgres import PostgresServer

pytestmark = pytest.mark.deployed
DEPLOYED = Path(__file__).parents[2] / "deploy" / "postgres"
DRIVER = "+psycopg2"
START_S, AUDIT_S, TICKS_S, END_S = 120, 240, 120, 10
SENSOR = "new_model_versions"
QUIET_TICKS = 3


@dataclass
class Part:
    """One service and its log."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def tail(self) -> str:
        """The end of the log, for a person who has to find out why."""
        return f"--- {self.name} (exit code {self.process.poll()})\n{self.log.read_text(encoding='utf-8', errors='replace')[-4000:]}"


@dataclass
class Deployed:
    """The services on PostgreSQL, a version that was registered with them, and the verdict of the embedded default on the same files."""

    house: House
    version: ModelVersion
    instance: dg.DagsterInstance
    parts: list[Part]
    embedded: Auditor
    in_process: Verdict

    @property
    def store(self) -> LocalEvidenceStore:
        return LocalEvidenceStore(self.house.settings.evidence_dir)

    def wait_for(self, what: str, done: Callable[[], bool], *, timeout_s: float) -> None:
        """Until `done()`; fails with the services' logs when one ended or time is up."""
        deadline = time.monotonic() + timeout_s
        while not done():
            ended = [part.name for part in self.parts if part.process.poll() is not None]
            if ended or time.monotonic() > deadline:
                reason = f"{', '.join(ended)} ended" if ended else f"{timeout_s:.0f} s are over"
                pytest.fail(f"waiting for {what}, but {reason}\n" + "\n".join(part.tail() for part in self.parts), pytrace=False)
            time.sleep(0.5)

    def runs(self) -> list[dg.DagsterRun]:
        return list(self.instance.get_runs())

    def sensor_ticks_since(self, timestamp: float) -> int:
        """Ticks of the registry sensor that began after `timestamp` and ended."""
        states = [state for state in self.instance.all_instigator_state() if state.instigator_name == SENSOR]
        ticks = [tick for state in states for tick in self.instance.get_ticks(state.instigator_origin_id, state.selector_id, after=timestamp)]
        return sum(tick.status.value in ("SKIPPED", "SUCCESS") for tick in ticks)


@pytest.fixture(scope="module")
def deployed(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("deployed")
    addresses = {name: postgres.url(name, name, postgres.create_database(name), driver=DRIVER) for name in ("dagster", "mlflow")}
    house = House(folder, tracking_uri=addresses["mlflow"])
    home = folder / "dagster"
    home.mkdir()
    shutil.copy(DEPLOYED / "dagster.yaml", home / "dagster.yaml")
    port = _free_port()
    workspace = folder / "workspace.yaml"
    location = {"host": "127.0.0.1", "port": port, "location_name": "rai_pipelines"}
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": location}]}), encoding="utf-8")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RAI_", "DAGSTER_", "MLFLOW_"))}
    environment = {
        **kept,
        "DAGSTER_HOME": str(home),
        "DAGSTER_POSTGRES_URL": addresses["dagster"],
        "RAI_HOME": str(house.settings.home_path),
        "RAI_TRACKING_URI": addresses["mlflow"],
        "RAI_SENSOR_INTERVAL_S": "5",
    }
    assert house.registry.versions_since(0, limit=1) == (), "the registry's tables are there before two processes want to make them"
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("DAGSTER_POSTGRES_URL", addresses["dagster"])
        instance = stack.enter_context(dg.DagsterInstance.from_config(str(home)))
        code = ("dagster", "code-server", "start", "-h", "127.0.0.1", "-p", str(port), "-m", "rai_pipelines.definitions")
        parts = [stack.enter_context(_running(code, folder, environment))]
        version = house.register()
        _wait_for_port(port, parts[0])  # a daemon that finds no code server looks again only after a minute
        parts.append(stack.enter_context(_running(("dagster-daemon", "run", "-w", str(workspace)), folder, environment)))
        small_house = House(folder / "embedded")
        same = small_house.register_folder(folder / "models" / "1")
        assert same == version
        embedded = build_auditor(small_house.settings)
        in_process = embedded.audit(same)  # while the daemon does its part
        yield Deployed(house, version, instance, parts, embedded, in_process)


@pytest.fixture(scope="module")
def judged(deployed: Deployed) -> Verdict:
    """The verdict of the run that the sensor launched, once the gate was applied and the run ended."""
    key = deployed.version.key
    deployed.wait_for("the release gate", lambda: deployed.store.latest("release_gate", key) is not None, timeout_s=AUDIT_S)
    deployed.wait_for("the end of the run", lambda: all(run.is_finished for run in deployed.runs()), timeout_s=TICKS_S)
    found = latest_verdict(deployed.store, deployed.version)
    assert found is not None
    return found[0]


def test_one_run_in_the_database_audits_the_version_and_succeeds(deployed: Deployed, judged: Verdict, postgres: PostgresServer) -> None:
    (run,) = deployed.runs()
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert run.job_name == AUDIT_JOB
    assert run.tags[TAG_TRIGGER] == "registration"
    assert run.tags[TAG_MODEL] == deployed.version.name
    assert run.tags["dagster/partition"] == deployed.version.key
    with postgres.connect("dagster") as connection:
        stored = connection.execute("SELECT run_id, status, partition FROM runs").fetchall()
    assert stored == [(run.run_id, "SUCCESS", deployed.version.key)]


def test_the_verdict_is_that_of_the_same_audit_in_process_evidence_digests_included(deployed: Deployed, judged: Verdict) -> None:
    expected = deployed.in_process
    if judged.judged_for != expected.judged_for:  # midnight passed between the two
        expected = deployed.embedded.judge(deployed.version, day=judged.judged_for)
    own = ("ACCT-A", "MONI-B")  # rest on the governance record, and each of the two has its own
    of_judged, of_expected = ({item.control: item.evidence for item in one.findings if item.control not in own} for one in (judged, expected))
    assert of_judged == of_expected
    assert any(item.evidence for item in judged.findings)
    assert judged.could_audit
    without = [one.model_copy(update={"findings": tuple(item for item in one.findings if item.control not in own)}) for one in (judged, expected)]
    assert without[0].digest == without[1].digest


def test_the_registry_on_postgresql_carries_the_verdict(deployed: Deployed, judged: Verdict, postgres: PostgresServer) -> None:
    tags = deployed.house.registry.get(deployed.version).tags
    assert (tags["rai.verdict"], tags["rai.evidence"]) == (judged.status.value, judged.digest)
    with postgres.connect("mlflow") as connection:
        stored = connection.execute("SELECT value FROM model_version_tags WHERE key = 'rai.evidence'").fetchall()
    assert stored == [(judged.digest,)]


def test_looks_at_the_registry_while_the_run_goes_on_and_after_it_launch_no_second_run(deployed: Deployed, judged: Verdict) -> None:
    (run,) = deployed.instance.get_run_records()
    assert run.start_time is not None and run.end_time is not None
    begun, ended = run.start_time, run.end_time
    deployed.wait_for("a tick of the sensor after the run", lambda: deployed.sensor_ticks_since(ended) >= 1, timeout_s=TICKS_S)
    assert deployed.sensor_ticks_since(begun) >= QUIET_TICKS
    assert [launched.tags[TAG_RUN_KEY].rsplit(":", 1)[1] for launched in deployed.runs()] == ["1"]


def test_neither_role_can_read_the_other_database(postgres: PostgresServer, deployed: Deployed) -> None:
    import psycopg
    from sqlalchemy.engine import make_url

    role = make_url(deployed.house.settings.registry_uri)
    with psycopg.connect(postgres.url("mlflow", str(role.username), str(role.password))) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("mlflow",)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(postgres.url("dagster", str(role.username), str(role.password)))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_port(port: int, part: Part) -> None:
    deadline = time.monotonic() + START_S
    while part.process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.2)
    pytest.fail(f"the code server does not listen\n{part.tail()}", pytrace=False)


@contextmanager
def _running(command: tuple[str, ...], folder: Path, environment: dict[str, str]) -> Iterator[Part]:
    """A service, ended with the block: asked first (the parent alone, which ends its own children), killed when it does not listen."""
    program, *arguments = command
    log = folder / f"{program}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name(program)), *arguments],
            cwd=folder,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield Part(program, process, log)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=END_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # its own session: nothing of it may be left behind
                process.wait()
