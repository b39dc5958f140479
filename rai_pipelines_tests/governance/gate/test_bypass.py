"""Going around the gate is noticed, once each time, with a case; and undone where the policy says so. On a real MLflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from rai_pipelines.errors import RegistryRefused, RegistryUnavailable
from rai_pipelines.governance.database.engine import make_engine, upgrade
from rai_pipelines.governance.database.tables import bypasses
from rai_pipelines.governance.database.tables import cases as cases_table
from rai_pipelines.governance.database.tables import gates as gates_table
from rai_pipelines.governance.gate.bypass import watch_pointers
from rai_pipelines.governance.gate.record import GateState
from rai_pipelines.governance.gate.registry_sync import registry_deliveries
from rai_pipelines.governance.outbox import drain
from rai_pipelines.policy.verdict import VerdictStatus
from rai_pipelines.subjects.mlflow_registry import MlflowRegistry
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.governance.office import Office
from rai_pipelines_tests.registries import new_registry


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    engine = make_engine(f"sqlite:///{tmp_path / 'governance.db'}")
    upgrade(engine)
    yield Office(engine, tmp_path)
    engine.dispose()


@pytest.fixture
def registry(tmp_path: Path) -> MlflowRegistry:
    """With two versions of `loans`."""
    made = MlflowRegistry(new_registry(tmp_path / "mlflow.db"))
    for _ in range(2):
        made.register("loans", tmp_path / "evidence", tags={"rai.submitted_by": "ci"})
    return made


def version(number: str) -> ModelVersion:
    return ModelVersion("loans", number)


def cases(office: Office) -> list[dict[str, str]]:
    chosen = sa.select(cases_table.c.content).order_by(cases_table.c.id)
    with office.engine.connect() as connection:
        return [json.loads(text) for text in connection.execute(chosen).scalars()]


def test_an_alias_moved_by_hand_is_noticed_once_with_a_critical_case(office: Office, registry: MlflowRegistry) -> None:
    office.audited()
    registry.set_alias("champion", version("1"))
    (found,) = watch_pointers(office.keeper, registry)
    assert (str(found.pointer.version), found.why, found.new) == ("loans/1", "is awaiting review", True)
    office.clock.advance(minutes=1)
    (again,) = watch_pointers(office.keeper, registry)
    assert not again.new and again.since == found.since
    (case,) = cases(office)
    assert (case["severity"], case["kind"], case["model_version"]) == ("critical", "gate_bypass", "1")
    assert "bypass" in [entry.kind for entry in office.keeper.ledger.entries()]
    assert registry.aliases("loans")["champion"] == "1", "reported only"


def test_the_same_bypass_after_it_was_over_is_another_one(office: Office, registry: MlflowRegistry) -> None:
    office.audited()
    for _ in range(2):
        registry.set_alias("champion", version("1"))
        watch_pointers(office.keeper, registry)
        registry.delete_alias("champion", "loans")
        assert watch_pointers(office.keeper, registry) == []
    assert [case["key"] for case in cases(office)] == ["bypass:1", "bypass:2"]
    with office.engine.connect() as connection:
        assert None not in connection.execute(sa.select(bypasses.c.ended_at)).scalars().all()


def test_an_approved_version_in_use_is_no_bypass_and_one_that_was_never_audited_is(office: Office, registry: MlflowRegistry) -> None:
    office.approve(office.audited(), "validator", "risk-owner")
    registry.set_alias("production", version("1"))
    assert watch_pointers(office.keeper, registry) == []
    registry.set_tags(version("2"), {"stage": "Production"})
    (found,) = watch_pointers(office.keeper, registry)
    assert (found.pointer.kind, found.why) == ("tag", "was never audited")


def test_where_the_policy_enforces_the_alias_goes_back_to_the_approved_version_or_away(office: Office, registry: MlflowRegistry) -> None:
    office.policy = office.policy_with({"bypass": "enforce"})
    registry.set_alias("champion", version("2"))
    watch_pointers(office.keeper, registry)
    assert "champion" not in registry.aliases("loans"), "there is no approved version to go back to"
    office.approve(office.audited(), "validator", "risk-owner")
    registry.set_alias("champion", version("2"))
    watch_pointers(office.keeper, registry)
    assert registry.aliases("loans")["champion"] == "1"
    undone = [entry.body["to"] for entry in office.keeper.ledger.entries() if entry.kind == "bypass_undone"]
    assert undone == [None, "1"]


@pytest.mark.parametrize("lost", ["roles", "keys"])
def test_an_approval_whose_signer_lost_role_or_key_ends_without_anybody_asking(office: Office, registry: MlflowRegistry, lost: str) -> None:
    for number in ("1", "2"):
        office.approve(office.audited(version=number), "validator", "risk-owner")
    next(person for person in office.people if person["id"] == "risk-owner")[lost] = []
    watch_pointers(office.keeper, registry)
    with office.engine.connect() as connection:
        states = connection.execute(sa.select(gates_table.c.state)).scalars().all()
    assert states == ["awaiting_review", "awaiting_review"]


def test_an_alias_that_cannot_be_put_back_keeps_no_other_from_it(office: Office, registry: MlflowRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    office.policy = office.policy_with({"bypass": "enforce"})
    delete = registry.delete_alias

    def failing(alias: str, name: str) -> None:
        if alias == "champion":
            raise RegistryRefused("does not let champion go", where=name)
        delete(alias, name)

    monkeypatch.setattr(registry, "delete_alias", failing)
    for alias in ("champion", "production"):
        registry.set_alias(alias, version("2"))
    with pytest.raises(RegistryRefused, match="does not let champion go"):
        watch_pointers(office.keeper, registry)
    assert set(registry.aliases("loans")) == {"champion"}


def test_an_alias_that_was_mended_meanwhile_is_left_as_it_is(office: Office, registry: MlflowRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    office.policy = office.policy_with({"bypass": "enforce"})
    office.approve(office.audited(), "validator", "risk-owner")
    registry.set_alias("champion", version("2"))
    seen = registry.live_pointers()
    monkeypatch.setattr(registry, "live_pointers", lambda **_: seen)
    registry.delete_alias("champion", "loans")  # somebody takes it away after the look
    watch_pointers(office.keeper, registry)
    assert "champion" not in registry.aliases("loans")


def test_no_alias_goes_back_to_an_approved_version_that_was_deleted_in_the_registry(office: Office, registry: MlflowRegistry) -> None:
    office.policy = office.policy_with({"bypass": "enforce"})
    registry.register("loans", office.folder / "evidence")
    for number in ("1", "2"):
        office.approve(office.audited(version=number), "validator", "risk-owner")
    registry._client().delete_model_version("loans", "2")
    registry.set_alias("champion", version("3"))
    watch_pointers(office.keeper, registry)
    assert registry.aliases("loans")["champion"] == "1"


def test_an_approval_that_expires_makes_the_version_in_use_a_bypass(office: Office, registry: MlflowRegistry) -> None:
    office.approve(office.audited(), "validator", "risk-owner")
    registry.set_alias("champion", version("1"))
    office.clock.advance(days=365)
    office.keeper.sweep()
    (found,) = watch_pointers(office.keeper, registry)
    assert found.why == "is expired"


def test_a_registry_that_is_down_changes_nothing(office: Office) -> None:
    with pytest.raises(RegistryUnavailable):
        watch_pointers(office.keeper, MlflowRegistry("http://127.0.0.1:9"))
    assert list(office.keeper.ledger.entries()) == []


def test_a_version_in_use_whose_verdict_gets_worse_gives_way_to_the_last_one_that_is_still_approved(office: Office, registry: MlflowRegistry) -> None:
    office.policy = office.policy_with({"bypass": "enforce"})
    for number in ("1", "2"):
        office.approve(office.audited(version=number), "validator", "risk-owner")
    registry.set_alias("champion", version("2"))
    assert watch_pointers(office.keeper, registry) == []
    gate = office.audited(VerdictStatus.NON_COMPLIANT, version="2")
    assert gate.standing.state is GateState.REVOKED
    (found,) = watch_pointers(office.keeper, registry)
    assert found.why == "is revoked" and registry.aliases("loans")["champion"] == "1"
    assert watch_pointers(office.keeper, registry) == [], "what is in use now is approved"


def test_an_alias_that_the_registry_protects_keeps_no_other_bypass_from_being_undone(
    office: Office, registry: MlflowRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.policy = office.policy_with({"bypass": "enforce"})
    for name in ("a-protected", "z-other"):
        registry.register(name, tmp_path / "evidence")
        registry.set_alias("champion", ModelVersion(name, "1"))
    delete = MlflowRegistry.delete_alias

    def protected(mine: MlflowRegistry, alias: str, name: str) -> None:
        if name == "a-protected":
            raise RegistryRefused("alias is protected", where=name)
        delete(mine, alias, name)

    monkeypatch.setattr(MlflowRegistry, "delete_alias", protected)
    with pytest.raises(RegistryRefused, match="a-protected"):
        watch_pointers(office.keeper, registry)
    assert registry.aliases("z-other") == {} and len(cases(office)) == 2


def told(office: Office, registry: MlflowRegistry) -> None:
    """What the registry has still to be told is told."""
    drain(office.engine, registry_deliveries(office.engine, registry, lambda _: None), now=office.clock.now)


def test_the_gates_own_alias_moved_by_hand_is_noticed_and_put_right_whatever_the_policy_says(office: Office, registry: MlflowRegistry) -> None:
    office.approve(office.audited(), "validator", "risk-owner")
    told(office, registry)
    assert registry.aliases("loans")["approved"] == "1" and watch_pointers(office.keeper, registry) == []
    registry.set_alias("approved", version("2"))
    (found,) = watch_pointers(office.keeper, registry)
    assert (found.pointer.name, found.why, found.new) == ("approved", "was never audited", True)
    assert [case["kind"] for case in cases(office)] == ["gate_bypass"]
    told(office, registry)
    assert registry.aliases("loans")["approved"] == "1" and watch_pointers(office.keeper, registry) == []


def test_an_alias_of_the_gate_that_the_registry_has_still_to_be_told_about_is_no_bypass(office: Office, registry: MlflowRegistry) -> None:
    office.approve(office.audited(), "validator", "risk-owner")
    told(office, registry)
    office.audited(VerdictStatus.NON_COMPLIANT)
    assert registry.aliases("loans")["approved"] == "1", "the outbox has it"
    assert watch_pointers(office.keeper, registry) == [] and cases(office) == []
    told(office, registry)
    assert "approved" not in registry.aliases("loans")


def test_what_another_process_told_the_registry_after_the_look_is_no_bypass(
    office: Office, registry: MlflowRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.approve(office.audited(), "validator", "risk-owner")
    told(office, registry)
    seen = registry.live_pointers(also=("approved",))
    monkeypatch.setattr(registry, "live_pointers", lambda **_: seen)
    office.audited(VerdictStatus.NON_COMPLIANT)
    told(office, registry)
    assert watch_pointers(office.keeper, registry) == [] and cases(office) == []
