"""The webhook service of deploy/compose without a container engine: its command line and health check, PostgreSQL, and MLflow's own signing."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from rai_pipelines.governance.database.engine import make_engine, upgrade
from rai_pipelines.governance.database.tables import bypasses, webhook_deliveries
from rai_pipelines.subjects.mlflow_registry import MlflowRegistry
from rai_pipelines_tests.integration.test_webhooks import free_port, wait_for
from rai_pipelines_tests.postgres import running_postgres

pytestmark = pytest.mark.slow

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose" / "compose.yaml"
SECRET = "a secret for the tests"


def service() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]["webhooks"]
    return found


def here(argument: str, port: int) -> str:
    """The command's words on this machine: its own rai and python, and a port that is free."""
    own = {"rai": str(Path(sys.executable).with_name("rai")), "python": sys.executable, "0.0.0.0": "127.0.0.1"}
    return own.get(argument, argument.replace("8787", str(port)))


def files_below(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*")}


def delivered(event: Any, payload: dict[str, Any], url: str, secret: str, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """One delivery by MLflow's own code; the status that it was answered with."""
    from mlflow.entities.webhook import Webhook
    from mlflow.webhooks.delivery import test_webhook as send_test

    monkeypatch.setattr("mlflow.webhooks.delivery.get_example_payload_for_event", lambda _: payload)
    hook = Webhook(webhook_id="1", name="audits", url=url, events=[event], creation_timestamp=0, last_updated_timestamp=0, secret=secret)
    status: int | None = send_test(hook).response_status
    return status


def test_the_command_line_of_the_service_takes_mlflows_deliveries_and_writes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent

    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http")
    told, port, home = service(), free_port(), tmp_path / "home"
    home.mkdir()
    with running_postgres() as postgres:
        urls = {name: postgres.url(name, name, postgres.create_database(name), driver="+psycopg2") for name in ("governance", "mlflow")}
        engine = make_engine(urls["governance"])
        upgrade(engine)  # what the service migrate does
        registry, model = MlflowRegistry(urls["mlflow"], artifact_root=tmp_path / "artifacts"), tmp_path / "model"
        model.mkdir()
        registry.set_alias("champion", registry.register("loans", model))
        given = {"RAI_GOVERNANCE_URL": urls["governance"], "RAI_TRACKING_URI": urls["mlflow"], "RAI_WEBHOOK_SECRET": SECRET}
        assert set(given) <= set(told["environment"]), "the service gets what it is given here"
        command = [here(word, port) for word in shlex.split(told["command"])]
        healthy = [here(word, port) for word in told["healthcheck"]["test"][1:]]
        environment = {**os.environ, **given, "RAI_HOME": str(home), "HOME": str(home)}
        before, log = files_below(home), tmp_path / "service.log"

        def rows(table: sa.Table) -> list[Any]:
            with engine.connect() as connection:
                return list(connection.execute(sa.select(table)))

        with log.open("w") as output:
            running = subprocess.Popen(command, env=environment, cwd=home, stdout=output, stderr=subprocess.STDOUT)
            try:
                wait_for(lambda: subprocess.run(healthy, capture_output=True, check=False).returncode == 0 or running.poll() is not None, seconds=120)
                assert running.poll() is None, log.read_text()
                event = WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.CREATED)
                payload = {"name": "loans", "alias": "champion", "version": "1"}
                url = f"http://127.0.0.1:{port}/webhooks/mlflow"
                assert delivered(event, payload, url, "another secret of the tests", monkeypatch) == 401
                assert rows(webhook_deliveries) == []
                assert delivered(event, payload, url, SECRET, monkeypatch) == 202
                wait_for(lambda: len(rows(bypasses)) == 1, seconds=60)
            finally:
                running.terminate()
                running.wait(timeout=30)
        time.sleep(0.1)
        assert subprocess.run(healthy, capture_output=True, check=False).returncode != 0, "a service that is down is not healthy"
        assert files_below(home) == before, "read_only holds"
        assert SECRET not in log.read_text()
        without = subprocess.run(command, env={**environment, "RAI_WEBHOOK_SECRET": ""}, cwd=home, capture_output=True, text=True, check=False)
        assert without.returncode == 3 and "RAI_WEBHOOK_SECRET" in without.stderr
        engine.dispose()
