"""The MLflow adapter on a real SQLite registry, and on servers that do not answer."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rai_pipelines.errors import InvalidName, ModelError, RegistryUnavailable, UnknownModelVersion
from rai_pipelines.subjects.mlflow_registry import MlflowRegistry
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.registry import ModelRegistry, RegisteredVersion
from rai_pipelines_tests.registries import new_registry

AWKWARD_NAMES = ('it\'s a "model"', "Kredit-Prüfung 信用", "a b%20c`d", "name = 'x' OR 1=1")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "mlflow.db"
    new_registry(path)
    return path


@pytest.fixture
def registry(database: Path) -> MlflowRegistry:
    return MlflowRegistry(f"sqlite:///{database}")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "model files"
    (folder / "nested").mkdir(parents=True)
    (folder / "datasheet.yaml").write_text("schema: rai.datasheet/v1\n")
    (folder / "nested" / "model.bin").write_bytes(b"\x00\x01")
    return folder


def created_at(database: Path, version: ModelVersion, created_ms: int) -> None:
    with sqlite3.connect(database) as connection:
        changed = connection.execute(
            "UPDATE model_versions SET creation_time = ? WHERE name = ? AND version = ?", (created_ms, version.name, int(version.version))
        )
        assert changed.rowcount == 1


def test_it_is_a_model_registry(registry: MlflowRegistry) -> None:
    asked: ModelRegistry = registry
    assert asked.live_versions() == ()
    assert asked.aliases("nobody") == {}


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_any_printable_name_is_registered_found_tagged_and_fetched(registry: MlflowRegistry, files: Path, tmp_path: Path, name: str) -> None:
    version = registry.register(name, files, tags={"team tag": "it's"})
    registry.set_tags(version, {"rai.verdict": "needs_review", "stage": "Production"})
    registry.set_alias("compliant", version)
    found = registry.get(version)
    assert found == RegisteredVersion(version, found.created_ms, {"team tag": "it's", "rai.verdict": "needs_review", "stage": "Production"})
    assert [item.version for item in registry.versions_since(0, limit=10)] == [version]
    assert registry.live_versions() == (version,)
    assert registry.aliases(name) == {"compliant": "1"}
    fetched = registry.fetch(version, tmp_path / "into")
    assert (fetched / "nested" / "model.bin").read_bytes() == b"\x00\x01"


def test_more_versions_than_the_limit_come_oldest_first_so_that_a_cursor_loses_none(registry: MlflowRegistry, database: Path, files: Path) -> None:
    versions = [registry.register(name, files) for name in ("b", "a", "b", "c", "a")]
    for version, created_ms in zip(versions, (1000, 2000, 2000, 2000, 3000), strict=True):
        created_at(database, version, created_ms)
    keys = [item.version.key for item in registry.versions_since(0, limit=1)]
    assert keys == ["b/1"]
    assert [item.version.key for item in registry.versions_since(1001, limit=1)] == ["a/1", "b/2", "c/1"], "a millisecond is never cut"
    assert [item.version.key for item in registry.versions_since(2000, limit=3)] == ["a/1", "b/2", "c/1"]
    assert [item.version.key for item in registry.versions_since(2001, limit=3)] == ["a/2"]
    assert registry.versions_since(3001, limit=3) == ()


def test_a_cursor_that_moves_on_sees_every_version_once(
    registry: MlflowRegistry, database: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rai_pipelines.subjects.mlflow_registry.PAGE_SIZE", 4)  # so that eleven versions need three pages
    for index in range(11):
        created_at(database, registry.register("m", files), 1000 + index // 3)
    seen: list[str] = []
    cursor = 0
    while page := registry.versions_since(cursor, limit=2):
        seen += [item.version.version for item in page]
        cursor = page[-1].created_ms + 1
    assert sorted(seen, key=int) == [str(number) for number in range(1, 12)]


def test_live_versions_are_those_with_a_live_alias_or_the_live_tag(database: Path, files: Path) -> None:
    registry = MlflowRegistry(f"sqlite:///{database}", live_aliases=("champion",), live_tag="rai.stage")
    first, second, third = (registry.register("m", files) for _ in range(3))
    other = registry.register("n", files)
    registry.set_alias("champion", second)
    registry.set_alias("challenger", first)
    registry.set_tags(third, {"rai.stage": "staging"})
    registry.set_tags(other, {"rai.stage": "production"})
    assert registry.live_versions() == (second, other)
    assert [version for version in (first, second, third, other) if registry.is_live(version)] == [second, other]


def test_deleting_an_alias_that_is_not_there_is_no_error(registry: MlflowRegistry, files: Path) -> None:
    version = registry.register("m", files)
    registry.set_alias("compliant", version)
    registry.delete_alias("compliant", "m")
    registry.delete_alias("compliant", "m")
    registry.delete_alias("compliant", "no such model")
    assert registry.aliases("m") == {}


@pytest.mark.parametrize("number", ["2", "latest", "1; DROP TABLE model_versions"])
def test_a_version_that_does_not_exist_is_unknown_and_not_an_outage(registry: MlflowRegistry, files: Path, tmp_path: Path, number: str) -> None:
    registry.register("m", files)
    unknown = ModelVersion("m", number)
    for ask in (registry.get, lambda version: registry.fetch(version, tmp_path / "into"), lambda version: registry.set_tags(version, {"a": "b"})):
        with pytest.raises(UnknownModelVersion, match="m/"):
            ask(unknown)


def test_an_alias_that_mlflow_does_not_allow_is_named(registry: MlflowRegistry, files: Path) -> None:
    version = registry.register("m", files)
    with pytest.raises(InvalidName, match="m/1"):
        registry.set_alias("v1", version)  # MLflow keeps v<number> for itself


def test_a_name_too_long_for_a_partition_key_is_left_out_and_the_others_are_found(
    registry: MlflowRegistry, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    kept = registry.register("m", files)
    client = MlflowClient(tracking_uri=registry.uri, registry_uri=registry.uri)
    client.create_registered_model("信" * 200)
    client.create_model_version("信" * 200, source=str(files))
    assert [item.version for item in registry.versions_since(0, limit=10)] == [kept]
    assert "cannot be audited" in capsys.readouterr().out


def test_a_version_without_files_is_an_empty_folder(registry: MlflowRegistry, tmp_path: Path) -> None:
    version = registry.register("predictions only", tmp_path / "nothing here")
    assert list(registry.fetch(version, tmp_path / "into").iterdir()) == []


def test_fetching_again_keeps_equal_files_and_replaces_others(registry: MlflowRegistry, files: Path, tmp_path: Path) -> None:
    version = registry.register("m", files)
    fetched = registry.fetch(version, tmp_path / "into")
    inode = (fetched / "datasheet.yaml").stat().st_ino
    assert (registry.fetch(version, tmp_path / "into") / "datasheet.yaml").stat().st_ino == inode
    (fetched / "datasheet.yaml").write_text("half written by a killed run")
    assert (registry.fetch(version, tmp_path / "into") / "datasheet.yaml").read_text() == "schema: rai.datasheet/v1\n"
    assert [path.name for path in (tmp_path / "into").iterdir()] == ["files"], "nothing temporary is left behind"


def test_a_link_in_the_files_is_refused(registry: MlflowRegistry, files: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not yours")
    (files / "model.skops").symlink_to(secret)
    version = registry.register("m", files)
    with pytest.raises(ModelError, match=r"symbolic link.*Register plain files"):
        registry.fetch(version, tmp_path / "into")


def test_a_relative_source_starts_at_the_artifact_root(database: Path, files: Path, tmp_path: Path) -> None:
    registry = MlflowRegistry(f"sqlite:///{database}", artifact_root=tmp_path)
    version = registry.register("m", Path(files.name))
    assert (registry.fetch(version, tmp_path / "into") / "datasheet.yaml").is_file()


@pytest.mark.parametrize("scheme", ["http://user:secret@", "postgresql+psycopg2://user:secret@"])
def test_a_server_that_is_down_is_an_outage_said_quickly_and_without_its_password(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        registry = MlflowRegistry(f"{scheme}127.0.0.1:{taken.getsockname()[1]}")
        started = time.monotonic()
        for ask in (lambda: registry.versions_since(0, limit=1), registry.live_versions, lambda: registry.get(ModelVersion("m", "1"))):
            with pytest.raises(RegistryUnavailable) as raised:
                ask()
            assert "secret" not in str(raised.value)
    assert time.monotonic() - started < 20


def test_a_file_that_is_no_database_is_an_outage(tmp_path: Path) -> None:
    broken = tmp_path / "mlflow.db"
    broken.write_bytes(b"this is not SQLite" * 100)
    with pytest.raises(RegistryUnavailable, match="not a database"):
        MlflowRegistry(f"sqlite:///{broken}").live_versions()


def test_after_an_outage_the_same_registry_answers_again(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.mkdir()
    registry = MlflowRegistry(f"sqlite:///{path}")
    with pytest.raises(RegistryUnavailable):
        registry.versions_since(0, limit=1)
    path.rmdir()
    new_registry(path)
    assert registry.versions_since(0, limit=1) == ()


def test_what_the_user_has_set_for_mlflow_stays(registry: MlflowRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    registry.live_versions()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_name_that_mlflow_itself_refuses_is_named(registry: MlflowRegistry, files: Path) -> None:
    with pytest.raises(InvalidName, match=r"\.\./0.*must not resolve"):
        registry.register("..", files)


@pytest.mark.parametrize("body", ["[]", "<html>", '{"model_versions": 3, "registered_models": 3, "model_version": 3}', "[" * 100_000])
def test_a_server_that_answers_something_else_with_200_is_an_outage_and_no_empty_registry(body: str) -> None:
    with answering(body) as uri:
        registry = MlflowRegistry(uri)
        for ask in (lambda: registry.versions_since(0, limit=1), registry.live_pointers, lambda: registry.get(ModelVersion("loans", "1"))):
            with pytest.raises(RegistryUnavailable):
                ask()


def test_another_way_to_write_a_version_is_no_second_version(registry: MlflowRegistry, files: Path) -> None:
    registry.register("loans", files)
    for text in ("01", "1.0", " 1", "+1", "\u0661"):
        with pytest.raises(UnknownModelVersion):
            registry.get(ModelVersion("loans", text))


@contextmanager
def answering(body: str) -> Iterator[str]:
    """A server that answers the same to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Not on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
