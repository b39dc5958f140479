"""What can be held of deploy/compose without a container engine: the parts fit together and no secret stands in a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from rai_pipelines.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy" / "compose"


def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))
    return content


def test_every_file_that_the_image_copies_is_there() -> None:
    lines = (COMPOSE / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [source for line in lines if line.startswith("COPY ") for source in line.split()[1:-1]]
    assert copied and all((ROOT / source).exists() for source in copied)
    mounted = [volume.split(":")[0] for volume in compose()["services"]["database"]["volumes"] if volume.startswith("./")]
    assert mounted and all((COMPOSE / source).exists() for source in mounted)


def test_the_daemon_and_the_ui_look_where_the_code_server_listens() -> None:
    workspace = yaml.safe_load((COMPOSE / "workspace.yaml").read_text(encoding="utf-8"))
    server = workspace["load_from"][0]["grpc_server"]
    assert server["host"] in compose()["services"]
    assert f"-p {server['port']}" in compose()["services"][server["host"]]["command"]
    local = yaml.safe_load((ROOT / "workspace.yaml").read_text(encoding="utf-8"))
    assert server["location_name"] == local["load_from"][0]["python_module"]["location_name"] == "rai_pipelines"


def test_no_password_stands_in_a_file_and_the_ui_is_not_open_to_the_network() -> None:
    for path in (ROOT / "deploy").rglob("*"):
        if path.is_file():
            for secret in re.findall(r"postgresql[^\s]*://[^:\s]+:([^@\s]+)@", path.read_text(encoding="utf-8")):
                assert secret.startswith("${") or secret in ("…", "PASSWORD"), path
    assert compose()["services"]["ui"]["ports"] == ["127.0.0.1:3000:3000"]


def test_the_webhook_service_is_apart_reachable_from_this_machine_only_and_writes_nowhere() -> None:
    service = compose()["services"]["webhooks"]
    assert service["profiles"] == ["webhooks"], "who is not called by MLflow starts nothing that listens"
    (published,) = service["ports"]
    assert published.startswith("127.0.0.1:") and f"--port {published.rpartition(':')[2]}" in service["command"]
    assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert all(volume.endswith(":ro") for volume in service["volumes"])
    assert service["environment"]["RAI_WEBHOOK_SECRET"] == "${RAI_WEBHOOK_SECRET-}", "from the environment, and never in the file"
    assert {"RAI_GOVERNANCE_URL", "RAI_TRACKING_URI"} <= set(service["environment"])
    assert service["depends_on"]["migrate"]["condition"] == "service_completed_successfully", "it uses the schema and does not make it"
    assert f":{published.rpartition(':')[2]}/health" in " ".join(service["healthcheck"]["test"])


def test_what_tells_people_and_the_tracker_has_their_addresses_and_no_other_service_has() -> None:
    wanted = {"RAI_SMTP_URL", "RAI_MAIL_FROM", "RAI_WEBHOOK_URL", "RAI_TRACKER_USER", "RAI_TRACKER_TOKEN", "RAI_TRACKER_HOST"}
    services = compose()["services"]
    assert wanted <= set(services["code"]["environment"]), "sensors run in the code server"
    assert {"RAI_GOVERNANCE_URL", "RAI_TRACKING_URI", "DAGSTER_POSTGRES_URL"} <= set(services["code"]["environment"])
    assert not any(wanted & set(service["environment"]) for name, service in services.items() if name != "code")


def test_every_service_that_asks_for_a_secret_asks_for_it_by_name() -> None:
    for name, service in compose()["services"].items():
        for variable, value in service.get("environment", {}).items():
            if any(word in variable for word in ("PASSWORD", "SECRET", "TOKEN")):
                assert re.fullmatch(r"\$\{[A-Z_]+(:\?[^}]*|-)?\}", value), f"{name}: {variable}"


@pytest.mark.parametrize("name", ["github-actions.yaml", "gitlab-ci.yaml"])
def test_a_pipeline_that_asks_the_gate_has_all_that_the_gate_reads(name: str) -> None:
    text = (ROOT / "deploy" / "ci" / name).read_text(encoding="utf-8")
    named = set(re.findall(r"RAI_[A-Z_]+", text))
    assert {"RAI_HOME", "RAI_TRACKING_URI", "RAI_GOVERNANCE_URL"} <= named, "evidence, registry, decisions"
    assert named <= {f"RAI_{field.upper()}" for field in Settings.model_fields}
    assert "ubuntu-latest\n    env" not in text, "a fresh machine has no evidence, and the gate could never answer"
