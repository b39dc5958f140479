"""The W&B adapter: the real `wandb` package against a server on a socket that speaks W&B's API and fails on purpose."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("wandb", reason="the package wandb is in no lock file; make test-wandb installs it and runs these tests")

from rai_pipelines.audit import model_registry
from rai_pipelines.errors import InvalidName, ModelError, RegistryRefused, RegistryUnavailable, SettingsError, UnknownModelVersion
from rai_pipelines.settings import Settings
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.registry import LivePointer, ModelRegistry
from rai_pipelines.subjects.wandb_mapping import METADATA_KEYS_MAX
from rai_pipelines.subjects.wandb_registry import WandbRegistry
from rai_pipelines_tests.subjects.wandb_service import HANG_S, KEY, ORGANISATION, PROJECT, REGISTRY, TEAM, Artifact, Wandb, running

pytestmark = pytest.mark.slow

LINKED, LOGGED = f"wandb://{ORGANISATION}/{REGISTRY}", f"wandb://{TEAM}/{PROJECT}"
FILES = {"model.bin": b"\x00\x01", "nested/datasheet.yaml": b"schema: rai.datasheet/v1\n"}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Wandb]:
    made = Wandb()
    with running(made) as address:
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", address)
        monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
        yield made


def fill(service: Wandb, count: int = 5) -> list[Artifact]:
    """Versions of `loans`, logged in 2025 and linked in November 2026, one a day; the same collection name in both places."""
    made = [service.log("loans", f"2025-01-{number + 1:02}T00:00:00Z", {**FILES, "number": bytes([number])}) for number in range(count)]
    for number, artifact in enumerate(made):
        service.link(artifact, "loans", f"2026-11-{number + 1:02}T00:00:00Z")
    return made


def version(number: int) -> ModelVersion:
    return ModelVersion("loans", str(number))


@pytest.fixture(params=[LINKED, LOGGED], ids=["registry", "project"])
def registry(request: pytest.FixtureRequest, service: Wandb) -> WandbRegistry:
    fill(service)
    return WandbRegistry(request.param)


def test_the_settings_choose_it_by_its_address(service: Wandb) -> None:
    fill(service)
    chosen: ModelRegistry = model_registry(Settings(tracking_uri=LINKED, live_aliases=("champion",)))
    assert isinstance(chosen, WandbRegistry)
    assert [item.version for item in chosen.versions_since(0, limit=100)] == [version(number) for number in range(5)]


def test_a_cursor_that_moves_on_sees_every_version_once(registry: WandbRegistry) -> None:
    seen: list[ModelVersion] = []
    cursor = 0
    while page := registry.versions_since(cursor, limit=2):
        assert len(page) <= 2
        seen += [item.version for item in page]
        cursor = page[-1].created_ms + 1
    assert seen == [version(number) for number in range(5)]


@pytest.mark.parametrize("advanced", [True, False])
def test_an_old_artifact_that_is_linked_today_is_new_today(service: Wandb, advanced: bool) -> None:
    service.advanced_search = advanced
    first, *_ = fill(service)
    registry = WandbRegistry(LINKED)
    last = registry.versions_since(0, limit=100)[-1].created_ms
    assert registry.versions_since(last + 1, limit=100) == ()
    service.link(first, "cards", "2026-12-01T00:00:00Z")
    (found,) = registry.versions_since(last + 1, limit=100)
    assert found.version == ModelVersion("cards", "0")
    assert registry.get(found.version).created_ms == found.created_ms, "the same run key whichever way it is asked for"


def test_a_sorted_registry_is_read_as_far_as_it_is_new(service: Wandb) -> None:
    fill(service, 20)
    registry = WandbRegistry(LINKED)
    newest = registry.versions_since(0, limit=100)[-1]
    whole = service.requests.count("RegistryVersions")
    service.requests.clear()
    assert [item.version for item in registry.versions_since(newest.created_ms, limit=100)] == [newest.version]
    assert service.requests.count("RegistryVersions") == 1 < whole


def test_only_artifacts_of_the_declared_type_are_models(service: Wandb) -> None:
    fill(service, 1)
    for place, table in ((LINKED, True), (LOGGED, False)):
        data = service.log("table", "2025-01-01T00:00:00Z", type="dataset")
        if table:
            service.link(data, "table", "2026-11-20T00:00:00Z")
        assert {item.version.name for item in WandbRegistry(place).versions_since(0, limit=100)} == {"loans"}
        assert {item.version.name for item in WandbRegistry(place + "?type=dataset").versions_since(0, limit=100)} == {"table"}


def test_who_ran_the_run_submitted_it_and_a_run_that_is_gone_submitted_nothing(service: Wandb) -> None:
    made = fill(service, 3)
    made[1].user, made[2].user = "gone", None
    made[1].metadata = {"rai.submitted_by": "developer-1"}
    registry = WandbRegistry(LINKED)
    assert [registry.get(version(number)).submitted_by for number in range(3)] == [("submitter",), ("developer-1",), ()]


def test_files_are_fetched_whole_and_equal(registry: WandbRegistry, tmp_path: Path) -> None:
    fetched = registry.fetch(version(3), tmp_path / "into")
    found = {str(path.relative_to(fetched)): path.read_bytes() for path in fetched.rglob("*") if path.is_file()}
    assert found == {**FILES, "number": b"\x03"}
    assert [path.name for path in (tmp_path / "into").iterdir()] == ["files"]
    assert registry.fetch(version(3), tmp_path / "into") == fetched


def test_files_that_come_cut_off_or_altered_are_no_model(service: Wandb, tmp_path: Path) -> None:
    (artifact,) = fill(service, 1)
    registry = WandbRegistry(LINKED)
    service.cut_files = True
    with pytest.raises(RegistryUnavailable):
        registry.fetch(version(0), tmp_path / "into")
    service.cut_files = False
    served = service.file
    service.file = lambda path: b"\x00\x02" if path.endswith("model.bin") else served(path)  # type: ignore[method-assign]
    with pytest.raises(RegistryUnavailable):
        registry.fetch(version(0), tmp_path / "into")
    assert list((tmp_path / "into").iterdir()) == []
    assert artifact.files["model.bin"] == b"\x00\x01"


def test_an_artifact_that_points_at_files_of_this_machine_is_refused(service: Wandb, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not yours")
    artifact = service.log("loans", "2025-01-01T00:00:00Z", references={"stolen": f"file://{secret}"})
    service.link(artifact, "loans", "2026-11-01T00:00:00Z")
    with pytest.raises(ModelError, match=r"refers to 1 files elsewhere.*stolen"):
        WandbRegistry(LINKED).fetch(version(0), tmp_path / "into")


def test_tags_and_aliases_are_written_read_and_moved(registry: WandbRegistry) -> None:
    registry.set_tags(version(1), {"rai.verdict": "compliant", "rai.evidence": "sha256:" + "a" * 64})
    registry.set_tags(version(1), {"rai.gate": "approved"})
    assert registry.get(version(1)).tags == {"rai.verdict": "compliant", "rai.evidence": "sha256:" + "a" * 64, "rai.gate": "approved"}
    assert registry.get(version(2)).tags == {}
    for number in (1, 2, 2):
        registry.set_alias("approved", version(number))
        assert registry.aliases("loans") == {"approved": str(number)}
    for _ in range(2):
        registry.delete_alias("approved", "loans")
        assert registry.aliases("loans") == {}
    registry.delete_alias("approved", "no such model")
    assert registry.aliases("no such model") == {}


def test_live_versions_are_those_with_a_live_alias_or_the_live_tag(service: Wandb) -> None:
    made = fill(service)
    registry = WandbRegistry(LINKED, live_aliases=("champion",), live_tag="use")
    registry.set_alias("champion", version(2))
    registry.set_alias("challenger", version(1))
    made[4].metadata = {"use": "Production"}
    assert registry.live_pointers() == (LivePointer("champion", version(2)), LivePointer("use", version(4), "tag"))
    assert registry.live_versions() == (version(2), version(4))
    assert [registry.is_live(version(number)) for number in range(5)] == [False, False, True, False, True]


def test_the_same_artifact_in_two_collections_has_two_verdicts_and_its_own_aliases(service: Wandb) -> None:
    (artifact,) = fill(service, 1)
    service.link(artifact, "cards", "2026-11-02T00:00:00Z")
    registry, cards = WandbRegistry(LINKED), ModelVersion("cards", "0")
    registry.set_tags(version(0), {"rai.gate": "approved"})
    registry.set_alias("champion", cards)
    assert registry.get(cards).tags == {}
    assert (registry.aliases("loans"), registry.aliases("cards")) == ({}, {"champion": "0"})


def test_a_write_that_wandb_only_warns_about_is_an_error_here(service: Wandb) -> None:
    (artifact,) = fill(service, 1)
    registry = WandbRegistry(LINKED)
    service.read_only = True
    with pytest.raises(RegistryRefused, match=r"loans/0.*not taken"):
        registry.set_tags(version(0), {"rai.gate": "approved"})
    service.read_only = False
    artifact.metadata = dict.fromkeys(map(str, range(METADATA_KEYS_MAX)), 1)
    with pytest.raises(RegistryRefused, match="100 metadata keys"):
        registry.set_tags(version(0), {"rai.gate": "approved"})


def test_a_version_that_does_not_exist_is_unknown_and_not_an_outage(registry: WandbRegistry, tmp_path: Path) -> None:
    asked: list[Callable[[ModelVersion], Any]] = [
        registry.get,
        registry.is_live,
        lambda one: registry.fetch(one, tmp_path / "into"),
        lambda one: registry.set_tags(one, {"a": "b"}),
        lambda one: registry.set_alias("approved", one),
    ]
    for ask in asked:
        for unknown in (version(99), ModelVersion("other", "0"), ModelVersion("loans", "v1")):
            with pytest.raises(UnknownModelVersion):
                ask(unknown)
    with pytest.raises(InvalidName):
        registry.set_alias("latest", version(0))


def questions(registry: WandbRegistry, folder: Path) -> list[Callable[[], Any]]:
    return [
        lambda: registry.versions_since(0, limit=10),
        lambda: registry.get(version(0)),
        registry.live_pointers,
        lambda: registry.is_live(version(0)),
        lambda: registry.fetch(version(0), folder),
        lambda: registry.set_tags(version(0), {"a": "b"}),
        lambda: registry.aliases("loans"),
        lambda: registry.set_alias("approved", version(0)),
        lambda: registry.delete_alias("approved", "loans"),
    ]


@pytest.mark.parametrize("failure", ["429", "500", "half", "no json", "null"])
def test_an_outage_is_never_an_empty_answer(registry: WandbRegistry, service: Wandb, tmp_path: Path, failure: str) -> None:
    registry.live_pointers()
    for ask in questions(registry, tmp_path / "into"):
        service.down = failure
        with pytest.raises(RegistryUnavailable) as caught:
            ask()
        assert KEY not in str(caught.value)
        service.down = None
        ask()  # the same registry answers again


def test_one_answer_that_is_lost_is_asked_for_again(registry: WandbRegistry, service: Wandb) -> None:
    registry.live_pointers()
    service.failures = ["500"]
    assert len(registry.versions_since(0, limit=10)) == 5


def test_a_server_that_hangs_is_an_outage_within_the_time_of_a_tick(service: Wandb) -> None:
    fill(service)
    registry = WandbRegistry(LINKED)
    registry.live_pointers()
    service.down = "hang"
    started = time.monotonic()
    with pytest.raises(RegistryUnavailable):
        registry.versions_since(0, limit=10)
    assert time.monotonic() - started < HANG_S
    service.down = None


def test_a_registry_that_is_empty_is_empty_and_one_that_is_not_there_is_an_outage(service: Wandb) -> None:
    assert WandbRegistry(LINKED).versions_since(0, limit=10) == ()
    for uri in (f"wandb://{ORGANISATION}/wandb-registry-other", f"wandb://other/{REGISTRY}", f"wandb://{TEAM}/other"):
        with pytest.raises(RegistryUnavailable):
            WandbRegistry(uri).live_pointers()
        with pytest.raises(RegistryUnavailable):
            WandbRegistry(uri).aliases("loans")


def test_a_wrong_key_is_an_outage_and_none_is_a_setting(service: Wandb, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(service)
    monkeypatch.setenv("WANDB_API_KEY", "f" * 40)
    with pytest.raises(RegistryUnavailable) as caught:
        WandbRegistry(LINKED).live_pointers()
    assert "f" * 40 not in str(caught.value)
    monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(SettingsError, match="WANDB_API_KEY"):
        WandbRegistry(LINKED).live_pointers()
