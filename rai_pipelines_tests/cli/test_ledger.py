"""`rai db`, `rai keys` and `rai ledger`: from a recorded gate to a verification that needs no database; what cannot be verified does not hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from rai_pipelines.governance.database.engine import open_governance
from rai_pipelines.governance.ledger.storage import Happening, Ledger
from rai_pipelines.settings import load_settings
from rai_pipelines_tests.cli.conftest import Rai


@pytest.fixture
def exported(rai: Rai, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAI_HOME", str(tmp_path / "home"))
    assert rai("db", "upgrade").code == 0
    assert rai("keys", "init").code == 0
    engine = open_governance(load_settings())
    for number in range(3):
        Ledger(engine).append(Happening("gate", "system:release_gate", {"number": number}, "loans", "1"))
    engine.dispose()
    assert rai("ledger", "checkpoint").code == 0
    assert rai("ledger", "export", "ledger.jsonl").code == 0
    return tmp_path / "ledger.jsonl"


def test_what_was_recorded_signed_and_exported_verifies(rai: Rai, exported: Path) -> None:
    found = rai("ledger", "verify", exported.name, "--json")
    assert (found.code, found.json) == (0, {"holds": True, "entries": 3, "sealed": 3, "checkpoints": 1, "signatures": 0, "problems": []})


def test_an_edited_export_does_not_hold_and_the_place_is_named(rai: Rai, exported: Path) -> None:
    exported.write_text(exported.read_text().replace('"number":1', '"number":7'))
    found = rai("ledger", "verify", exported.name)
    assert found.code == 1
    assert "entry 3 does not follow" in found.err
    assert "does NOT hold" in found.out


@pytest.mark.parametrize("arguments", [("--key", "nobody.pub.json"), ("--checkpoints", "empty")])
def test_without_key_or_checkpoint_nothing_is_verified(rai: Rai, exported: Path, arguments: tuple[str, str]) -> None:
    assert rai("ledger", "verify", exported.name, *arguments).code == 1
    assert rai("ledger", "verify", "absent.jsonl").code == 1


def test_a_key_is_never_overwritten_and_its_secret_is_for_its_owner(rai: Rai, exported: Path) -> None:
    again = rai("keys", "init")
    assert again.code == 3
    assert "exists already" in again.err
    secret = load_settings().keys_path / "ledger.key"
    assert secret.stat().st_mode & 0o077 == 0
    secret.chmod(0o644)
    assert "can be read by other users" in rai("ledger", "checkpoint").err
