"""The registry follows the gate, on a real MLflow: tags say the state, aliases stand at the newest version they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from rai_pipelines.errors import RegistryRefused, RegistryUnavailable
from rai_pipelines.governance.database.engine import make_engine, upgrade
from rai_pipelines.governance.decisions.statement import DecisionKind
from rai_pipelines.governance.gate.record import APPROVED_ALIAS, COMPLIANT_ALIAS, ReleaseDecision
from rai_pipelines.governance.gate.registry_sync import plan_alias, registry_deliveries, sync_registry, tag_failed_audit
from rai_pipelines.governance.outbox import drain, put, waiting
from rai_pipelines.policy.verdict import VerdictStatus
from rai_pipelines.subjects.mlflow_registry import MlflowRegistry
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.governance.office import Office
from rai_pipelines_tests.registries import new_registry


@pytest.fixture(scope="module")
def registry_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return new_registry(tmp_path_factory.mktemp("registry") / "mlflow.db")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    engine = make_engine(f"sqlite:///{tmp_path / 'governance.db'}")
    upgrade(engine)
    yield Office(engine, tmp_path)
    engine.dispose()


@pytest.fixture
def registry(registry_uri: str, tmp_path: Path) -> Iterator[MlflowRegistry]:
    """With three versions of `loans`."""
    made = MlflowRegistry(registry_uri)
    for _ in range(3):
        made.register("loans", tmp_path)
    yield made
    made._client().delete_registered_model("loans")


def version(number: str) -> ModelVersion:
    return ModelVersion("loans", number)


def test_tags_name_verdict_gate_policy_and_evidence(office: Office, registry: MlflowRegistry) -> None:
    gate = office.audited(VerdictStatus.NON_COMPLIANT)
    record = sync_registry(office.engine, registry, version("1"))
    tags = registry.get(version("1")).tags
    assert (tags["rai.verdict"], tags["rai.gate"], tags["rai.audit"]) == ("non_compliant", "audited", "finished")
    assert tags["rai.policy"] == f"{gate.measured.policy} {gate.measured.policy_digest}"
    assert tags["rai.evidence"] == gate.measured.digest
    assert record.decision is ReleaseDecision.BLOCK and record.aliases == {APPROVED_ALIAS: "not_set", COMPLIANT_ALIAS: "not_set"}


def test_compliant_goes_to_the_newest_compliant_version_and_approved_waits_for_people(office: Office, registry: MlflowRegistry) -> None:
    first, second = office.audited(version="1"), office.audited(version="2")
    for number in ("1", "2", "1"):
        record = sync_registry(office.engine, registry, version(number))
    assert record.aliases[COMPLIANT_ALIAS] == "left_with_newer"
    assert registry.aliases("loans") == {COMPLIANT_ALIAS: "2"}
    office.approve(first, "validator", "risk-owner")
    assert sync_registry(office.engine, registry, version("1")).decision is ReleaseDecision.RELEASE
    assert registry.aliases("loans") == {APPROVED_ALIAS: "1", COMPLIANT_ALIAS: "2"}
    office.approve(second, "validator", "risk-owner")
    sync_registry(office.engine, registry, version("2"))
    assert registry.aliases("loans") == {APPROVED_ALIAS: "2", COMPLIANT_ALIAS: "2"}


def test_when_an_approval_is_revoked_the_alias_goes_back_to_the_version_before_or_away(office: Office, registry: MlflowRegistry) -> None:
    first, second = (office.approve(office.audited(version=number), "validator", "risk-owner") for number in ("1", "2"))
    sync_registry(office.engine, registry, version("2"))
    office.decide("risk-owner", DecisionKind.REVOKE, second)
    assert sync_registry(office.engine, registry, version("2")).aliases[APPROVED_ALIAS] == "moved_back"
    assert registry.aliases("loans")[APPROVED_ALIAS] == "1"
    office.decide("risk-owner", DecisionKind.REVOKE, first)
    assert sync_registry(office.engine, registry, version("1")).aliases[APPROVED_ALIAS] == "removed"
    assert APPROVED_ALIAS not in registry.aliases("loans")


def test_a_version_that_is_no_longer_compliant_loses_both_aliases(office: Office, registry: MlflowRegistry) -> None:
    office.approve(office.audited(), "validator", "risk-owner")
    sync_registry(office.engine, registry, version("1"))
    office.audited(VerdictStatus.NON_COMPLIANT)
    sync_registry(office.engine, registry, version("1"))
    assert registry.aliases("loans") == {}


def test_while_the_registry_is_down_nothing_is_lost_and_the_outbox_drains_when_it_is_back(office: Office, registry: MlflowRegistry) -> None:
    office.approve(office.audited(), "validator", "risk-owner")
    down = registry_deliveries(office.engine, MlflowRegistry("http://127.0.0.1:9"))
    for minutes in (0, 1, 1):
        office.clock.advance(minutes=minutes)
        (delivery,) = drain(office.engine, down, now=office.clock.now)
        assert delivery.problem is not None and "does not answer" in delivery.problem
    with office.engine.connect() as connection:
        assert [item.attempts for item in waiting(connection)] == [3]
    office.clock.advance(minutes=1)
    (delivery,) = drain(office.engine, registry_deliveries(office.engine, registry), now=office.clock.now)
    assert delivery.problem is None
    assert registry.aliases("loans")[APPROVED_ALIAS] == "1"
    with office.engine.connect() as connection:
        assert waiting(connection) == []


@pytest.mark.parametrize("deleted", ["1", "2"])
def test_a_version_that_was_deleted_in_the_registry_keeps_nobody_from_hearing_of_the_others(
    office: Office, registry: MlflowRegistry, deleted: str
) -> None:
    gates = [office.audited(version=number) for number in ("1", "2")]
    registry._client().delete_model_version("loans", deleted)
    for gate in gates:
        office.approve(gate, "validator", "risk-owner")
    (told,) = drain(office.engine, registry_deliveries(office.engine, registry, settle=office.keeper.settled), now=office.clock.now)
    left = {"1": "2", "2": "1"}[deleted]
    assert told.problem is None
    assert registry.aliases("loans") == {"approved": left, "compliant": left}


def test_what_the_registry_refuses_about_one_version_keeps_it_from_hearing_of_no_other(
    office: Office, registry: MlflowRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_tags = registry.set_tags

    def refusing(about: ModelVersion, tags: Mapping[str, str]) -> None:
        if about.version == "1":
            raise RegistryRefused("metadata was not taken", where=str(about))
        set_tags(about, tags)

    monkeypatch.setattr(registry, "set_tags", refusing)
    for number in ("1", "2"):
        office.approve(office.audited(version=number), "validator", "risk-owner")
    (told,) = drain(office.engine, registry_deliveries(office.engine, registry), now=office.clock.now)
    assert told.problem is not None and "was not taken" in told.problem, "and it is tried again"
    assert registry.aliases("loans")["approved"] == "2"


def test_a_registry_that_is_down_is_an_error_and_not_a_decision(office: Office) -> None:
    office.audited()
    with pytest.raises(RegistryUnavailable):
        sync_registry(office.engine, MlflowRegistry("http://127.0.0.1:9"), version("1"))


def test_a_failed_audit_is_said_and_an_earlier_verdict_stands(office: Office, registry: MlflowRegistry) -> None:
    office.audited()
    sync_registry(office.engine, registry, version("1"))
    tag_failed_audit(version("1"), registry, judged_before=True)
    tag_failed_audit(version("2"), registry, judged_before=False)
    assert registry.get(version("1")).tags | {"rai.audit": "failed", "rai.verdict": "compliant"} == registry.get(version("1")).tags
    assert registry.get(version("2")).tags["rai.verdict"] == "could_not_audit"


@pytest.mark.parametrize(
    ("holder", "target", "move"),
    [
        (None, None, "not_set"),
        (None, "1", "set"),
        ("1", "1", "kept"),
        ("1", None, "removed"),
        ("1", "2", "moved_back"),
        ("2", "2", "left_with_newer"),
    ],
)
def test_every_case_of_an_alias_has_its_move(holder: str | None, target: str | None, move: str) -> None:
    assert plan_alias(version("1"), holder, target) == move


def test_who_registered_a_version_is_known_from_the_tag_and_from_the_run(registry: MlflowRegistry, tmp_path: Path) -> None:
    client = registry._client()
    run = client.create_run(client.create_experiment("trained"), tags={"mlflow.user": "trainer"})
    made = client.create_model_version("loans", source=str(tmp_path), run_id=run.info.run_id, tags={"rai.submitted_by": "submitter"})
    assert registry.get(version(str(made.version))).submitted_by == ("submitter", "trainer")
    assert registry.get(version("1")).submitted_by == ()


def test_a_message_is_delivered_by_one_of_two_processes(office: Office, registry: MlflowRegistry) -> None:
    office.audited()
    seen: list[int] = []

    def deliver(_: object) -> None:
        seen.append(len(drain(office.engine, {"registry": deliver}, now=office.clock.now)))  # another process drains meanwhile

    assert len(drain(office.engine, {"registry": deliver}, now=office.clock.now)) == 1
    assert seen == [0]


def test_while_one_process_tells_the_registry_about_a_model_no_other_does_and_the_newest_state_comes_last(
    office: Office, registry: MlflowRegistry
) -> None:
    gates = [office.audited(version=number) for number in ("1", "2")]
    told: list[str] = []

    def slow(payload: dict[str, list[str]]) -> None:
        told.append("begin " + ",".join(payload["versions"]))
        if len(told) == 1:
            office.approve(gates[1], "validator", "risk-owner")  # another version of the model, while the first is told
            assert drain(office.engine, {"registry": slow}, now=office.clock.now) == []
        told.append("end")

    drain(office.engine, {"registry": slow}, now=office.clock.now)  # type: ignore[dict-item]
    drain(office.engine, {"registry": slow}, now=office.clock.now)  # type: ignore[dict-item]
    assert told == ["begin loans/1,loans/2", "end", "begin loans/1,loans/2", "end"]


def test_a_process_that_died_while_it_delivered_holds_a_message_for_two_minutes(office: Office) -> None:
    office.audited()

    def die(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drain(office.engine, {"registry": die}, now=office.clock.now)
    office.clock.advance(seconds=119)
    assert drain(office.engine, {"registry": lambda _: None}, now=office.clock.now) == []
    office.clock.advance(seconds=1)
    assert len(drain(office.engine, {"registry": lambda _: None}, now=office.clock.now)) == 1


def test_a_message_after_slow_ones_is_held_for_two_minutes_from_its_own_delivery(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    with office.engine.begin() as connection:
        for key in ("first", "second"):
            put(connection, "mail", key, {"to": key}, now=office.clock.now)
    took = iter((0.0, 0.0, 130.0))  # the first delivery takes longer than the lease
    monkeypatch.setattr("rai_pipelines.governance.outbox.time.monotonic", lambda: next(took, 130.0))
    sent: list[str] = []

    def send(payload: Mapping[str, Any]) -> None:
        sent.append(payload["to"])
        if payload["to"] == "second":  # another process, while it is sent
            drain(office.engine, {"mail": send}, now=office.clock.now + timedelta(seconds=131))

    drain(office.engine, {"mail": send}, now=office.clock.now)
    assert sent == ["first", "second"]


def test_what_is_put_by_a_ledger_whose_time_is_ahead_is_told_at_once(office: Office, registry: MlflowRegistry) -> None:
    office.clock.advance(days=400)
    office.audited(version="1")
    office.clock.advance(days=-400)
    office.audited(version="2")
    (told,) = drain(office.engine, registry_deliveries(office.engine, registry), now=office.clock.now)
    assert told.problem is None
    assert registry.aliases("loans") == {COMPLIANT_ALIAS: "2"}


def test_what_has_to_be_told_anew_meanwhile_is_not_taken_for_told(office: Office) -> None:
    gate = office.audited()

    def deliver(_: object) -> None:
        office.decide("second-validator", DecisionKind.REJECT, gate)  # the state changes while the registry is told the old one

    drain(office.engine, {"registry": deliver}, now=office.clock.now)
    with office.engine.connect() as connection:
        assert len(waiting(connection)) == 1
        assert connection.execute(sa.text("SELECT generation FROM outbox")).scalar() > 0
