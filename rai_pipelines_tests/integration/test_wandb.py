"""The gate on a registry of Weights & Biases: what it decides stands there, and what goes around it is put back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("wandb", reason="the package wandb is in no lock file; make test-wandb installs it and runs these tests")

from rai_pipelines.governance.database.engine import make_engine, upgrade
from rai_pipelines.governance.gate.bypass import watch_pointers
from rai_pipelines.governance.gate.registry_sync import sync_registry
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.wandb_registry import WandbRegistry
from rai_pipelines_tests.governance.office import Office
from rai_pipelines_tests.subjects.wandb_service import KEY, ORGANISATION, REGISTRY, Wandb, running

pytestmark = pytest.mark.slow


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbRegistry]:
    """With the versions 0, 1 and 2 of `loans`."""
    service = Wandb()
    for day in ("01", "02", "03"):
        service.link(service.log("loans", f"2026-11-{day}T00:00:00Z"), "loans", f"2026-11-{day}T00:00:00Z")
    with running(service) as address:
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", address)
        yield WandbRegistry(f"wandb://{ORGANISATION}/{REGISTRY}")


def test_tags_and_aliases_follow_the_gate_and_a_bypass_is_put_back(registry: WandbRegistry, tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'governance.db'}")
    upgrade(engine)
    office = Office(engine, tmp_path, release={"bypass": "enforce"})
    first, second = ModelVersion("loans", "1"), ModelVersion("loans", "2")
    office.approve(office.audited(version="1", submitters=registry.get(first).submitted_by), "validator", "risk-owner")
    office.audited(version="2", submitters=registry.get(second).submitted_by)
    for _ in range(2):  # told twice is told once
        for version in (first, second):
            sync_registry(engine, registry, version)
    assert registry.aliases("loans") == {"approved": "1", "compliant": "2"}
    assert [registry.get(version).tags["rai.gate"] for version in (first, second)] == ["approved", "awaiting_review"]
    assert registry.get(first).tags["rai.evidence"].startswith("sha256:")
    registry.set_alias("champion", second)
    (found,) = watch_pointers(office.keeper, registry)
    assert found.pointer.version == second and registry.aliases("loans")["champion"] == "1"
    assert watch_pointers(office.keeper, registry) == []
    engine.dispose()
