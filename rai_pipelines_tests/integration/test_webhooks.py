"""A real MLflow server delivers its webhooks to the real `rai webhooks serve`: each in its own process, with nothing in between."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from rai_pipelines.governance.database.tables import bypasses, cases, webhook_deliveries
from rai_pipelines_tests.registries import new_registry

pytestmark = pytest.mark.slow

SECRET = "a secret for the tests"
EVENTS = ("model_version.created", "model_version_alias.created", "model_version_alias.deleted", "model_version_tag.set")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def process(command: list[str], health: str, log: Path, **environment: str) -> Iterator[None]:
    """A server that answers at `health`."""
    with log.open("w") as output:
        running = subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent)
        try:
            wait_for(lambda: answers(health) or running.poll() is not None, seconds=120)
            assert running.poll() is None, log.read_text()
            yield
        finally:
            running.terminate()
            running.wait(timeout=30)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_for(condition: Callable[[], bool], *, seconds: float = 30) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it never happened"
        time.sleep(0.02)
    return time.monotonic() - started


def test_an_alias_that_is_moved_in_mlflow_is_a_case_about_a_second_later_and_a_new_version_waits_for_the_sensor(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    mlflow_port, port = free_port(), free_port()
    mlflow_uri, home = f"http://127.0.0.1:{mlflow_port}", tmp_path / "home"
    store = new_registry(tmp_path / "mlflow.db")
    server = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--default-artifact-root", str(tmp_path / "artifacts")]
    server += ["--host", "127.0.0.1", "--port", str(mlflow_port), "--workers", "1"]
    private = {"MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true", "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http", "MLFLOW_DISABLE_TELEMETRY": "true"}
    receiver = [str(Path(sys.executable).with_name("rai")), "webhooks", "serve", "--port", str(port)]
    ours = {"RAI_HOME": str(home), "RAI_TRACKING_URI": mlflow_uri, "RAI_WEBHOOK_SECRET": SECRET}
    log = tmp_path / "receiver.log"
    with (
        process(server, f"{mlflow_uri}/health", tmp_path / "mlflow.log", **private),
        process(receiver, f"http://127.0.0.1:{port}/health", log, **ours),
    ):
        client = MlflowClient(tracking_uri=mlflow_uri, registry_uri=mlflow_uri)
        client.create_webhook("audits", f"http://127.0.0.1:{port}/webhooks/mlflow", list(EVENTS), secret=SECRET)
        engine = sa.create_engine(f"sqlite:///{home / 'governance' / 'governance.db'}")

        def rows(table: sa.Table) -> list[Any]:
            with engine.connect() as connection:
                return list(connection.execute(sa.select(table)))

        client.create_registered_model("loans")
        client.create_model_version("loans", source="s3://nobody-reads-this/loans")
        wait_for(lambda: len(rows(webhook_deliveries)) == 1)
        (announced,) = rows(webhook_deliveries)
        assert (announced.event, announced.model_name, announced.model_version, announced.handled_at) == (EVENTS[0], "loans", "1", None)
        took = []
        for number in range(1, 4):
            client.set_registered_model_alias("loans", "champion", "1")
            took.append(wait_for(lambda expected=number: len(rows(bypasses)) == expected))  # type: ignore[misc]
            client.delete_registered_model_alias("loans", "champion")
            wait_for(lambda: all(row.ended_at for row in rows(bypasses)))
        print(f"from set_alias to the bypass: {', '.join(f'{one:.2f}' for one in took)} s")
        assert len(rows(cases)) == 3 and {json.loads(row.content)["kind"] for row in rows(cases)} == {"gate_bypass"}
        assert min(took) < 5
        engine.dispose()
    assert SECRET not in log.read_text()
