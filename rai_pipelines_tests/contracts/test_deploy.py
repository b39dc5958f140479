"""What can be held of deploy/compose without a container engine: the parts fit together and no secret stands in a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

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
