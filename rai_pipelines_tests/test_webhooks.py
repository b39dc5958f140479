"""The service over a real socket, with a real MLflow registry: deliveries are MLflow's own, made by its own delivery code."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from rai_pipelines.audit import build_auditor
from rai_pipelines.errors import SettingsError
from rai_pipelines.governance.database.engine import open_governance
from rai_pipelines.governance.database.tables import bypasses, webhook_deliveries
from rai_pipelines.governance.webhooks.announcement import ID_HEADER, LARGEST_BODY, SIGNATURE_HEADER, TIMESTAMP_HEADER, signature
from rai_pipelines.settings import Settings
from rai_pipelines.subjects.mlflow_registry import MlflowRegistry
from rai_pipelines.webhooks import PATH, build_service
from rai_pipelines_tests.registries import new_registry

SECRET = "a secret for the tests"


@dataclass
class Office:
    """A home, its registry, and the service beside it."""

    settings: Settings
    registry: MlflowRegistry
    engine: sa.Engine
    port: int = 0

    def send(self, body: bytes, *, secret: str = SECRET, age_s: float = 0, delivery_id: str | None = None, **headers: str) -> tuple[int, str]:
        """One delivery as MLflow makes it; status and text of the answer."""
        chosen, stamp = delivery_id or str(uuid.uuid4()), str(int(time.time() - age_s))
        sent = {ID_HEADER: chosen, TIMESTAMP_HEADER: stamp, SIGNATURE_HEADER: signature(secret, chosen, stamp, body), **headers}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", PATH, body, sent)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def rows(self, table: sa.Table) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(sa.select(table)))


def event(entity: str, action: str, **data: str) -> bytes:
    return json.dumps({"entity": entity, "action": action, "timestamp": datetime.now(UTC).isoformat(), "data": data}).encode()


def alias_moved(alias: str = "champion", version: str = "1") -> bytes:
    return event("model_version_alias", "created", name="loans", alias=alias, version=version)


@contextmanager
def served(office: Office, **changes: Any) -> Iterator[None]:
    """The service on a port of this machine."""
    import uvicorn

    service = build_service(office.settings, lambda: build_auditor(office.settings, registry=office.registry), **changes)
    server = uvicorn.Server(uvicorn.Config(service, host="127.0.0.1", port=0, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    office.port = server.servers[0].sockets[0].getsockname()[1]
    yield
    server.should_exit = True
    thread.join(timeout=20)
    assert not thread.is_alive()


def wait_for(condition: Callable[[], bool], *, seconds: float = 15) -> float:
    """How long it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it never happened"
        time.sleep(0.01)
    return time.monotonic() - started


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one version of `loans` in its registry, never audited."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home)
    (home / "files").mkdir()
    MlflowRegistry(new_registry(settings.registry_uri)).register("loans", home / "files")
    return home


@pytest.fixture
def office(registered: Path, tmp_path: Path) -> Iterator[Office]:
    settings = Settings(home=registered, governance_url=f"sqlite:///{tmp_path / 'governance.db'}", webhook_secret=SECRET)  # type: ignore[arg-type]
    engine = _upgraded(str(settings.governance_url))
    yield Office(settings, MlflowRegistry(settings.registry_uri), engine)
    engine.dispose()


def _upgraded(url: str) -> sa.Engine:
    from rai_pipelines.governance.database.engine import make_engine, upgrade

    engine = make_engine(url)
    upgrade(engine)
    return engine


@pytest.fixture
def service(office: Office) -> Iterator[Office]:
    with served(office):
        yield office


def test_an_alias_moved_by_hand_is_a_bypass_within_a_second_of_its_delivery(office: Office, registered: Path) -> None:
    (version,) = [item.version for item in office.registry.versions_since(0, limit=1)]
    office.registry.set_alias("champion", version)
    try:
        with served(office):
            office.send(alias_moved("warm-up"))  # imports of the first look are no part of what is measured
            assert office.send(alias_moved()) == (202, "noted")
            took = wait_for(lambda: len(office.rows(bypasses)) == 1)
            wait_for(lambda: all(row.handled_at for row in office.rows(webhook_deliveries)))
        (found,) = office.rows(bypasses)
        assert (found.model_name, found.pointer, found.model_version) == ("loans", "champion", "1")
        assert took < 5, "a second on an idle machine"
    finally:
        office.registry.delete_alias("champion", "loans")


def test_a_webhook_is_no_evidence_an_alias_that_only_the_delivery_claims_is_no_bypass(service: Office) -> None:
    assert service.send(alias_moved(version="99"))[0] == 202
    wait_for(lambda: all(row.handled_at for row in service.rows(webhook_deliveries)))
    assert service.rows(bypasses) == []


def test_a_wrong_secret_a_stale_and_an_unsigned_delivery_leave_nothing_behind(service: Office) -> None:
    assert service.send(alias_moved(), secret="another secret entirely")[0] == 401
    assert service.send(alias_moved(), age_s=301)[0] == 401
    assert service.send(alias_moved(), age_s=-301)[0] == 401
    assert service.send(alias_moved(), **{SIGNATURE_HEADER: ""})[0] == 401
    assert service.send(b"no json")[0] == 400
    assert service.rows(webhook_deliveries) == []


def test_a_delivery_that_comes_twice_counts_once_also_after_a_restart_and_from_many_at_once(office: Office) -> None:
    body = alias_moved("another alias")
    with served(office):
        answers: list[int] = []
        many = [threading.Thread(target=lambda: answers.append(office.send(body, delivery_id="one")[0])) for _ in range(8)]
        for thread in many:
            thread.start()
        for thread in many:
            thread.join()
    assert sorted(answers) == [200] * 7 + [202]
    with served(office):
        assert office.send(body, delivery_id="one") == (200, "was noted before")
    assert len(office.rows(webhook_deliveries)) == 1


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(service: Office) -> None:
    assert service.send(b" " * (LARGEST_BODY + 1))[0] == 413
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as raw:
        raw.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        try:
            for _ in range(40):
                raw.sendall(b"fffe\r\n" + b" " * 0xFFFE + b"\r\n")
        except OSError:  # it hung up while we still talked
            pass
        else:
            assert b" 413 " in raw.recv(100)
    assert service.rows(webhook_deliveries) == []


@pytest.mark.parametrize("text", ["GET", "PUT"])
def test_other_methods_and_paths_are_not_answered(service: Office, text: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    connection.request(text, PATH)
    assert connection.getresponse().status == 405
    connection.close()


def test_signed_text_that_no_database_takes_is_no_defect_of_the_service(service: Office) -> None:
    for odd in ("\ud800", "champion\0"):
        assert service.send(event("model_version_alias", "created", name="loans", version="1", alias=odd))[0] == 202
        assert service.send(event("model_version", "created", name=f"loans{odd}", version="1"))[0] == 202
        assert service.send(event(f"model{odd}", "created", name="loans"))[0] == 400


def test_events_from_which_nothing_follows_are_accepted_and_cannot_be_replayed(service: Office) -> None:
    for number, body in enumerate(
        (event("registered_model", "created", name="loans"), event("prompt", "created", name="p"), event("a" * 99, "b"), alias_moved("challenger"))
    ):
        assert service.send(body, delivery_id=str(number))[0] == 202
        assert service.send(body, delivery_id=str(number))[0] == 200
    assert all(row.handled_at is not None for row in service.rows(webhook_deliveries))


def test_while_the_registry_is_down_deliveries_are_taken_and_looked_at_when_it_is_back(office: Office) -> None:
    up = office.registry
    (version,) = [item.version for item in up.versions_since(0, limit=1)]
    up.set_alias("champion", version)
    try:
        office.registry = MlflowRegistry("http://127.0.0.1:9")
        with served(office, try_again_s=0.1):
            assert office.send(alias_moved())[0] == 202
            time.sleep(0.5)
            assert [row.handled_at for row in office.rows(webhook_deliveries)] == [None] and office.rows(bypasses) == []
            office.registry = up
            wait_for(lambda: len(office.rows(bypasses)) == 1)
    finally:
        up.delete_alias("champion", "loans")


def test_what_was_announced_before_a_crash_is_looked_at_when_the_service_starts(office: Office) -> None:
    with office.engine.begin() as connection:
        fields = {"id": "x", "event": "model_version_tag.set", "model_name": "loans", "model_version": "1", "pointer": "stage"}
        connection.execute(webhook_deliveries.insert().values(**fields, received_at=datetime.now(UTC) - timedelta(hours=1)))
    with served(office):
        wait_for(lambda: all(row.handled_at for row in office.rows(webhook_deliveries)))


def test_a_database_that_does_not_answer_asks_mlflow_to_send_it_again(service: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any, **__: Any) -> bool:
        raise OperationalError("INSERT", {}, Exception("gone"))

    monkeypatch.setattr("rai_pipelines.governance.webhooks.inbox.take", down)
    assert service.send(alias_moved()) == (503, "the database does not answer")


def test_without_a_secret_nothing_is_served_and_a_short_one_is_refused(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    from rai_pipelines.settings import load_settings

    with pytest.raises(SettingsError, match="RAI_WEBHOOK_SECRET"):
        build_service(office.settings.model_copy(update={"webhook_secret": None}), lambda: build_auditor(office.settings))
    monkeypatch.setenv("RAI_WEBHOOK_SECRET", "short-one")
    with pytest.raises(SettingsError, match="RAI_WEBHOOK_SECRET") as caught:
        load_settings()
    assert "short-one" not in str(caught.value)
    assert SECRET not in repr(office.settings) and SECRET not in office.settings.model_dump_json()


def test_mlflows_own_delivery_is_accepted(service: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.entities.webhook import Webhook, WebhookAction, WebhookEntity, WebhookEvent
    from mlflow.webhooks.delivery import test_webhook as send_test

    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http")
    about = WebhookEvent(WebhookEntity.MODEL_VERSION, WebhookAction.CREATED)
    for secret, expected in ((SECRET, 202), ("another secret entirely", 401)):
        hook = Webhook("1", "audits", f"http://127.0.0.1:{service.port}{PATH}", [about], 0, 0, secret=secret)
        assert send_test(hook).response_status == expected
    (kept,) = service.rows(webhook_deliveries)
    assert (kept.event, kept.model_name, kept.model_version, kept.handled_at) == ("model_version.created", "example_model", "1", None)


def test_the_embedded_database_is_made_when_the_service_is(registered: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, webhook_secret=SECRET)  # type: ignore[arg-type]
    build_service(settings, lambda: build_auditor(settings))
    engine = open_governance(settings)
    assert sa.inspect(engine).has_table("webhook_deliveries")
    engine.dispose()
