"""Attempts from inside, on both databases: by the model's owner, by a reviewer, and by somebody who may write to the database but has no key.

What such a person writes is written here by plain SQL, with the ledger entries that they could add.
"""

from __future__ import annotations

import io
import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from securesystemslib.dsse import Envelope

from rai_pipelines.errors import EvidenceError
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.governance.database.tables import bindings, decisions, gates, judgements, texts
from rai_pipelines.governance.decisions.offline import export_decisions
from rai_pipelines.governance.decisions.statement import DecisionKind
from rai_pipelines.governance.gate.bypass import watch_pointers
from rai_pipelines.governance.gate.record import GateState
from rai_pipelines.governance.gate.registry_sync import sync_registry
from rai_pipelines.governance.gate.rows import Making
from rai_pipelines.governance.gate.work_out import Gate
from rai_pipelines.governance.keys import STATEMENT_TYPE, load_signer
from rai_pipelines.policy.verdict import VerdictStatus
from rai_pipelines.subjects.mlflow_registry import MlflowRegistry
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.governance.office import Office, inserted

VERSION = ModelVersion("loans", "1")


@pytest.fixture
def office(engine: sa.Engine, tmp_path: Path) -> Office:
    return Office(engine, tmp_path)


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with two versions of `loans`, to be copied: making one takes long."""
    folder = tmp_path_factory.mktemp("registry")
    (folder / "model").mkdir()
    made = MlflowRegistry(f"sqlite:///{folder / 'mlflow.db'}")
    for _ in range(2):
        made.register("loans", folder / "model", tags={"rai.submitted_by": "ci"})
    return folder / "mlflow.db"


@pytest.fixture
def registry(registered: Path, tmp_path: Path) -> MlflowRegistry:
    return MlflowRegistry(f"sqlite:///{shutil.copy(registered, tmp_path / 'mlflow.db')}")


def marked_approved(office: Office, version: str = "1") -> None:
    with office.engine.begin() as connection:
        connection.execute(gates.update().where(gates.c.model_version == version).values(state="approved", effective_status="compliant"))


def state(office: Office, gate: Gate) -> GateState:
    return office.keeper.look(gate.version).standing.state


# A reviewer


def test_a_reviewer_who_writes_rows_signs_in_no_role_that_they_do_not_hold(office: Office) -> None:
    gate = office.approve(office.audited(), "validator")
    inserted(office, office.signed("second-validator", DecisionKind.APPROVE, gate.binding, role="risk_owner"))
    found = office.keeper.look(VERSION)
    assert found.standing.state is GateState.AWAITING_REVIEW
    assert "was made as risk_owner, which this person is not" in found.standing.reason


def test_a_reviewer_who_writes_rows_is_not_two_people_by_another_spelling(office: Office) -> None:
    office.policy = office.policy_with({"high": {"quorum": {"people": 2, "roles": ["validator"]}}})
    gate = office.approve(office.audited(), "validator")
    inserted(office, office.signed("Validator", DecisionKind.APPROVE, gate.binding, key="validator"))
    assert state(office, gate) is GateState.AWAITING_REVIEW


def test_a_retired_key_signs_nothing_that_is_dated_back(office: Office) -> None:
    gate = office.approve(office.audited(), "validator")
    day = office.clock.now
    key = next(person for person in office.people if person["id"] == "risk-owner")["keys"][0]
    key["until"] = day.date().isoformat()
    office.clock.advance(days=40)
    back = office.signed("risk-owner", DecisionKind.APPROVE, gate.binding, made_at=day)
    inserted(office, back, recorded_at=day)
    found = office.keeper.look(VERSION)
    assert found.standing.state is GateState.AWAITING_REVIEW and "is dated otherwise than in the ledger" in found.standing.reason


def test_an_approval_that_the_ledger_does_not_know_counts_for_nothing(office: Office) -> None:
    gate = office.approve(office.audited(), "validator")
    signed = office.signed("risk-owner", DecisionKind.APPROVE, gate.binding)
    with office.engine.begin() as connection:
        fields = {"id": signed.id, "kind": "approve", "model_name": "loans", "model_version": "1", "subject": gate.binding.digest}
        connection.execute(decisions.insert().values(**fields, recorded_at=office.clock.now, sequence=2, envelope=json.dumps(signed.envelope)))
    assert state(office, gate) is GateState.AWAITING_REVIEW


def test_an_approval_that_lasts_longer_than_the_policy_lets_it_is_not_made_by_its_row(office: Office) -> None:
    gate = office.approve(office.audited(), "validator")
    inserted(office, office.signed("risk-owner", DecisionKind.APPROVE, gate.binding), recorded_at=office.clock.now + timedelta(days=3000))
    assert state(office, gate) is GateState.AWAITING_REVIEW


# Somebody with the application's role in the database


@pytest.mark.parametrize("envelope", ["x", "[]", '{"payload": 5, "payloadType": "x", "signatures": []}', '{"n": ' + "9" * 5000 + "}"])
@pytest.mark.parametrize("kind", ["approve", "publish"])
def test_a_decision_that_nobody_can_read_is_told_and_stops_nothing(office: Office, kind: str, envelope: str) -> None:
    gate = office.approve(office.audited(), "validator")
    slipped_in(office, gate, kind, envelope)
    assert office.keeper.look(VERSION).standing.state is not GateState.APPROVED
    office.keeper.sweep()
    export_decisions(office.engine, io.StringIO(), until=9)


@pytest.mark.parametrize("signed", [b"[]", b"5", b"{}", b"x", b"\xff"])
def test_nonsense_that_a_reviewer_signed_stops_nothing(office: Office, signed: bytes) -> None:
    gate = office.approve(office.audited(), "risk-owner")
    envelope = Envelope(signed, STATEMENT_TYPE, {})
    envelope.sign(load_signer(office.keys / "validator.key"))
    slipped_in(office, gate, "approve", json.dumps(envelope.to_dict()))
    assert "Not counted: decision" in office.keeper.look(VERSION).standing.reason


def slipped_in(office: Office, gate: Gate, kind: str, envelope: str) -> None:
    about = {"kind": kind, "model_name": "loans", "model_version": "1", "subject": gate.binding.digest}
    with office.engine.begin() as connection:
        row = {"id": "sha256:" + "0" * 64, **about, "recorded_at": office.clock.now, "sequence": 1, "envelope": envelope}
        connection.execute(decisions.insert().values(**row))


def test_nonsense_in_the_row_binding_or_words_of_a_version_keeps_no_other_from_being_looked_at(office: Office) -> None:
    office.approve(office.audited(version="1"), "validator", "risk-owner")
    other = office.approve(office.audited(version="2"), "validator", "risk-owner")
    digest = "sha256:" + "1" * 64
    with office.engine.begin() as connection:
        connection.execute(texts.update().values(content="x"))
        connection.execute(bindings.insert().values(digest=digest, content="x"))
        row = {name: value for name, value in connection.execute(sa.select(judgements)).first()._asdict().items() if name != "id"}  # type: ignore[union-attr]
        connection.execute(judgements.insert().values(**{**row, "binding_digest": digest}))
        connection.execute(gates.update().where(gates.c.model_version == "1").values(binding_digest=digest, state="x", due_at=office.clock.now))
    assert [str(item.version) for item in office.keeper.sweep()] == ["loans/1"]
    assert office.keeper.decisions_on(other.binding)[0][1] is None
    assert state(office, other) is GateState.APPROVED


def test_a_row_that_somebody_marked_as_approved_is_no_approval_for_the_watch(office: Office, registry: MlflowRegistry) -> None:
    office.audited()
    marked_approved(office)
    registry.set_alias("champion", VERSION)
    (found,) = watch_pointers(office.keeper, registry)
    assert (str(found.pointer.version), found.why, found.new) == ("loans/1", "is awaiting review", True)


def test_a_row_that_somebody_marked_as_approved_moves_no_alias(office: Office, registry: MlflowRegistry) -> None:
    office.approve(office.audited(version="1"), "validator", "risk-owner")
    office.audited(VerdictStatus.NON_COMPLIANT, version="2")
    marked_approved(office, "2")
    for told in ("1", "2"):
        sync_registry(office.engine, registry, ModelVersion("loans", told), settle=office.keeper.settled)
    assert registry.aliases("loans") == {"approved": "1", "compliant": "1"}
    assert registry.get(ModelVersion("loans", "2")).tags["rai.gate"] == "revoked"


def test_an_enforced_alias_is_not_put_back_to_a_row_that_somebody_marked(office: Office, registry: MlflowRegistry) -> None:
    office.policy = office.policy_with({"bypass": "enforce"})
    office.audited(version="1")
    office.audited(VerdictStatus.NON_COMPLIANT, version="2")
    marked_approved(office, "1")
    registry.set_alias("champion", ModelVersion("loans", "2"))
    watch_pointers(office.keeper, registry)
    assert "champion" not in registry.aliases("loans")


def test_an_older_verdict_put_back_at_the_gate_is_noticed(office: Office, registry: MlflowRegistry) -> None:
    good = office.approve(office.audited(), "validator", "risk-owner")
    office.audited(VerdictStatus.NON_COMPLIANT)
    with office.engine.begin() as connection:
        connection.execute(gates.update().values(state="approved", binding_digest=good.binding.digest, verdict_digest=good.measured.digest))
    with pytest.raises(EvidenceError, match="not what came to it last"):
        office.keeper.look(VERSION)
    assert office.keeper.settled(VERSION, registry) is GateState.REVOKED
    office.clock.advance(minutes=1)
    assert office.audited().standing.state is GateState.APPROVED, "a new audit of what was approved mends it"


def test_an_owner_who_writes_another_submitter_into_the_database_is_noticed_at_the_gate_of_a_pipeline(office: Office) -> None:
    gate = office.audited()
    forged = gate.binding.model_copy(update={"submitters": office.binding(gate.measured, submitters=("owner",)).submitters})
    with office.engine.begin() as connection:
        connection.execute(bindings.insert().values(digest=forged.digest, content=canonical_json(forged).decode()))
        connection.execute(gates.update().values(binding_digest=forged.digest))
    with pytest.raises(EvidenceError, match="not what came to it last"):
        office.keeper.look(VERSION)
    with office.engine.begin() as connection:  # and a judgement that says so too
        row = {name: value for name, value in connection.execute(sa.select(judgements)).one()._asdict().items() if name != "id"}
        connection.execute(judgements.insert().values(**{**row, "binding_digest": forged.digest}))
    assert office.keeper.look(VERSION).binding == forged, "the database alone cannot tell: rai gate makes the binding anew, see cli/test_review.py"


def test_an_approval_loses_its_alias_when_the_registry_names_another_submitter(office: Office, registry: MlflowRegistry) -> None:
    gate = office.audited()
    forged = gate.binding.model_copy(update={"submitters": office.binding(gate.measured, submitters=("officer",)).submitters})
    office.keeper.take_verdict(gate.measured, forged, created_ms=1)
    office.approve(office.keeper.look(VERSION), "submitter", "risk-owner")
    assert sync_registry(office.engine, registry, VERSION).state is GateState.APPROVED, "the database alone cannot tell"
    found = sync_registry(office.engine, registry, VERSION, settle=office.keeper.settled)
    assert found.state is GateState.REVOKED and "the registry names another submitter" in found.reason
    assert "approved" not in registry.aliases("loans")


# The owner


def test_a_lower_risk_class_than_before_is_decided_by_those_who_decided_before(office: Office) -> None:
    office.approve(office.audited(version="1"), "validator", "risk-owner")
    lower = office.audited(version="2", risk="low")
    assert lower.standing.state is GateState.AWAITING_REVIEW
    assert "It declares risk class low, and what was approved before high" in lower.standing.reason
    assert office.approve(lower, "validator", "risk-owner").standing.state is GateState.APPROVED
    assert office.audited(version="3", risk="low").standing.state is GateState.APPROVED, "they have approved the lower class"


def test_taking_the_version_before_back_does_not_open_the_way_to_a_lower_class(office: Office) -> None:
    gate = office.approve(office.audited(version="1"), "validator", "risk-owner")
    office.decide("owner", DecisionKind.REVOKE, gate)
    assert office.audited(version="2", risk="low").standing.state is GateState.AWAITING_REVIEW


def test_an_approved_version_that_is_declared_lower_afterwards_is_decided_by_those_who_approved_it(office: Office) -> None:
    office.approve(office.audited(version="1"), "validator", "risk-owner")
    lower = office.audited(version="1", risk="low", datasheet_digest="sha256:" + "2" * 64)
    assert lower.standing.state is GateState.AWAITING_REVIEW
    assert office.audited(version="2", risk="low").standing.state is GateState.AWAITING_REVIEW, "nor does the next one get through by it"
    assert office.approve(lower, "validator", "risk-owner").standing.state is GateState.APPROVED


def test_an_older_version_or_one_of_the_same_moment_is_no_way_to_a_lower_class(office: Office) -> None:
    verdict = office.verdict(version="2")
    office.approve(office.keeper.take_verdict(verdict, office.binding(verdict), created_ms=5), "validator", "risk-owner")
    for number, created_ms in (("1", 4), ("3", 5)):
        lower = office.verdict(version=number, risk="low")
        gate = office.keeper.take_verdict(lower, office.binding(lower), created_ms=created_ms)
        assert gate.standing.state is GateState.AWAITING_REVIEW


def test_a_version_of_a_lower_class_keeps_its_approval_when_a_newer_one_is_of_a_higher(office: Office) -> None:
    first = office.audited(version="1", risk="low")
    office.approve(office.audited(version="2"), "validator", "risk-owner")
    assert state(office, first) is GateState.APPROVED


def test_months_cannot_be_made_up_for_by_the_tag_of_a_run(office: Office) -> None:
    from rai_pipelines.governance.gate.months import live_months

    office.audited(risk="low")
    office.clock.advance(days=90)
    verdict = office.verdict(risk="low")
    office.keeper.take_verdict(verdict, office.binding(verdict), created_ms=1, made=Making(month="2027-01"))
    with office.engine.connect() as connection:
        found = live_months(connection, VERSION, date(2027, 3, 20), own_month="2027-01")
    assert set(found.live) - set(found.audited) == {"2027-01", "2027-02"}
