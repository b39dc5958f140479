"""The gate over a real database: who may approve, what voids it, what ends by itself, and that the ledger tells all of it."""

from __future__ import annotations

import io
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from rai_pipelines.errors import DecisionRefused, EvidenceError
from rai_pipelines.governance.decisions.statement import DecisionKind, SignedDecision, Words
from rai_pipelines.governance.gate.record import GateState
from rai_pipelines.governance.keys import make_key
from rai_pipelines.governance.outbox import waiting
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.verdict import VerdictStatus
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.conftest import evidence
from rai_pipelines_tests.governance.office import WORDS, Office

VERSION = ModelVersion("loans", "1")


@pytest.fixture
def office(engine: sa.Engine, tmp_path: Path) -> Office:
    return Office(engine, tmp_path)


def test_a_high_risk_version_waits_for_two_roles_and_is_approved_by_both(office: Office) -> None:
    gate = office.audited()
    assert (gate.standing.state, gate.standing.reason) == (GateState.AWAITING_REVIEW, "Waits for somebody as validator and somebody as risk_owner")
    gate = office.approve(gate, "validator")
    assert (gate.standing.state, gate.standing.reason) == (GateState.AWAITING_REVIEW, "Waits for somebody as risk_owner")
    gate = office.approve(gate, "risk-owner")
    assert gate.standing.state is GateState.APPROVED
    assert gate.standing.approved_until is not None and (gate.standing.approved_until - office.clock.now).days == 365


def test_two_people_of_the_same_role_are_no_quorum_of_two_roles(office: Office) -> None:
    gate = office.approve(office.audited(), "validator", "second-validator")
    assert gate.standing.state is GateState.AWAITING_REVIEW


def test_a_low_risk_compliant_version_is_approved_by_the_policy_and_one_that_needs_review_is_not(office: Office) -> None:
    assert office.audited(risk="low").standing.state is GateState.APPROVED
    assert office.audited(VerdictStatus.NEEDS_REVIEW, version="2", risk="low").standing.state is GateState.AWAITING_REVIEW


def test_a_version_that_does_not_meet_the_policy_cannot_be_approved_into_use(office: Office) -> None:
    gate = office.approve(office.audited(VerdictStatus.NON_COMPLIANT), "validator", "risk-owner")
    assert gate.standing.state is GateState.AUDITED


@pytest.mark.parametrize("person", ["submitter", "owner"])
def test_who_submitted_or_owns_a_model_does_not_approve_it(office: Office, person: str) -> None:
    gate = office.audited()
    with pytest.raises(DecisionRefused, match="submitted or owns"):
        office.approve(gate, person)


def test_a_second_key_does_not_make_a_second_person(office: Office) -> None:
    second = make_key(office.keys, "submitter-second")
    next(person for person in office.people if person["id"] == "submitter")["keys"].append({"id": second})
    gate = office.audited()
    with pytest.raises(DecisionRefused, match="submitted or owns"):
        office.approve(gate, "submitter", key="submitter-second")


@pytest.mark.parametrize("spelling", ["SUBMITTER", " submitter", "submitter@example.org"])
def test_another_spelling_of_ones_own_name_approves_nothing(office: Office, spelling: str) -> None:
    gate = office.audited()
    with pytest.raises(DecisionRefused, match="not this person's"):
        office.approve(gate, spelling, key="submitter")


def test_a_key_that_belongs_to_nobody_or_to_somebody_else_is_refused(office: Office) -> None:
    gate = office.audited()
    make_key(office.keys, "stranger")
    for key in ("stranger", "submitter"):
        with pytest.raises(DecisionRefused, match=r"not signed by anybody known|not this person's"):
            office.approve(gate, "validator", key=key)


def test_nobody_approves_while_it_is_not_known_who_submitted(office: Office) -> None:
    for submitters in ((), ("somebody-unknown",), ("submitter", "s\u0443bmitter")):  # the last with a Cyrillic letter
        gate = office.audited(submitters=submitters)
        assert "not known who submitted" in gate.standing.reason
        with pytest.raises(DecisionRefused, match="not known who submitted"):
            office.approve(gate, "validator")


def test_a_person_approves_only_in_a_role_that_they_hold(office: Office) -> None:
    gate = office.audited()
    with pytest.raises(DecisionRefused, match="this person holds: validator"):
        office.approve(gate, "validator", role="risk_owner")


def test_an_approval_is_void_when_anything_it_was_bound_to_changes(office: Office) -> None:
    gate = office.approve(office.audited(), "validator", "risk-owner")
    again = office.audited()
    assert again.binding == gate.binding and again.standing.state is GateState.APPROVED, "the same audit again changes nothing"
    for changes in (
        {"model_digest": "sha256:" + "1" * 64},
        {"datasheet_digest": "sha256:" + "2" * 64},
        {"more": {"performance_report": evidence("performance_report", model_name="loans", model_version="1")}},
    ):
        gate = office.audited(**changes)
        assert gate.standing.state is GateState.AWAITING_REVIEW
        assert gate.standing.reason.startswith("What was approved has changed")


def test_evidence_of_production_can_change_without_voiding_an_approval_and_a_worse_verdict_revokes_it(office: Office) -> None:
    office.approve(office.audited(), "validator", "risk-owner")
    assert office.audited(look=2).standing.state is GateState.APPROVED, "the verdict is another one, what was reviewed is not"
    gate = office.audited(VerdictStatus.NON_COMPLIANT)
    assert gate.standing.state is GateState.REVOKED
    assert office.audited().standing.state is GateState.APPROVED, "the same binding complies again, and its approvals are about it"


def test_a_verdict_that_needs_review_again_revokes_the_approval_of_a_compliant_one(office: Office) -> None:
    office.approve(office.audited(), "validator", "risk-owner")
    office.clock.advance(days=30)
    gate = office.audited(VerdictStatus.NEEDS_REVIEW)
    assert (gate.standing.state, gate.standing.reason) == (
        GateState.REVOKED,
        "The verdict is worse than the one that was approved; waits for somebody as validator and somebody as risk_owner",
    )
    office.clock.advance(minutes=1)
    assert office.keeper.look(VERSION).standing.state is GateState.REVOKED
    assert office.approve(gate, "validator", "risk-owner").standing.state is GateState.APPROVED, "they have seen what needs review"
    office.clock.advance(days=30)
    assert office.audited(VerdictStatus.NEEDS_REVIEW).standing.state is GateState.APPROVED, "it got no worse"


def test_a_waiver_that_ends_takes_the_approval_with_it_where_the_verdict_needs_review_without_it(office: Office) -> None:
    asking = _asking_control(office)
    failing(office, asking, status=VerdictStatus.NEEDS_REVIEW)
    office.clock.advance(minutes=1)
    office.waive(office.waiver(asking), "officer", "risk-owner")
    office.clock.advance(minutes=1)
    gate = office.approve(office.keeper.look(VERSION), "validator", "risk-owner")
    assert (gate.effective.status, gate.standing.state) == (VerdictStatus.COMPLIANT, GateState.APPROVED)
    office.clock.advance(days=21)
    (moved,) = office.keeper.sweep()
    assert moved.standing.state is GateState.REVOKED and "worse than the one that was approved" in moved.standing.reason
    assert office.approve(office.keeper.look(VERSION), "validator", "risk-owner").standing.state is GateState.APPROVED


def _asking_control(office: Office) -> str:
    return next(control.id for control in office.policy.on(office.clock.now.date()) if not control.severity.blocks)


def test_what_people_refused_last_is_approved_by_people_and_not_by_the_policy(office: Office) -> None:
    for number, kind in (("1", DecisionKind.REJECT), ("2", DecisionKind.REVOKE)):
        office.decide("validator", kind, office.audited(version=number, risk="low"))
        changed = office.audited(version=number, risk="low", datasheet_digest="sha256:" + "2" * 64)
        assert changed.standing.state is GateState.AWAITING_REVIEW
        assert office.approve(changed, "validator").standing.state is GateState.APPROVED
        assert office.audited(version=number, risk="low").standing.state is not GateState.APPROVED, "what was refused stays so"
        again = office.audited(version=number, risk="low", datasheet_digest="sha256:" + "3" * 64)
        assert again.standing.reason.startswith("Compliant, and the policy approves"), "people have said yes since"


def test_an_approval_of_one_version_cannot_be_replayed_on_another(office: Office) -> None:
    first, second = office.audited(version="1"), office.audited(version="2")
    stolen = office.signed("validator", DecisionKind.APPROVE, first.binding)
    office.keeper.decide(stolen, WORDS)
    with pytest.raises(DecisionRefused, match="other digests"):
        office.approve(second, "validator", subject=first.binding.digest, binding=first.binding.listed)
    with pytest.raises(DecisionRefused, match="other digests"):
        office.keeper.decide(office.signed("validator", DecisionKind.APPROVE, first.binding, model_version="2"), WORDS)
    assert office.keeper.look(second.version).standing.reason == "Waits for somebody as validator and somebody as risk_owner"


def test_the_same_decision_handed_in_twice_is_one_decision(office: Office) -> None:
    gate = office.audited()
    signed = office.signed("validator", DecisionKind.APPROVE, gate.binding)
    office.keeper.decide(signed, WORDS)
    office.keeper.decide(signed, WORDS)
    assert len(office.keeper.decisions_on(gate.binding)) == 1


def test_the_same_decision_in_another_writing_of_its_envelope_is_refused(office: Office) -> None:
    gate = office.audited()
    signed = next(
        one for one in iter(lambda: office.signed("validator", DecisionKind.APPROVE, gate.binding), None) if _rewritten(one) != one.envelope
    )
    office.keeper.decide(signed, WORDS)
    with pytest.raises(DecisionRefused, match="in another way than signers do"):
        office.keeper.decide(replace(signed, envelope=_rewritten(signed)), WORDS)


def _rewritten(signed: SignedDecision) -> dict[str, Any]:
    """The envelope with the other alphabet of Base64 and other bits in its padding: what is signed stays the same."""
    payload = str(signed.envelope["payload"]).translate(str.maketrans("+/", "-_"))
    return {**signed.envelope, "payload": f"{payload[:-2]}{chr(ord(payload[-2]) + 1)}=" if payload.endswith("=") else payload}


def test_words_that_were_not_signed_are_refused(office: Office) -> None:
    signed = office.signed("validator", DecisionKind.APPROVE, office.audited().binding)
    with pytest.raises(DecisionRefused, match="other words"):
        office.keeper.decide(signed, Words(meaning="Something else than what was signed"))


def test_a_rejection_stands_against_approvals_and_dissent_is_kept(office: Office) -> None:
    gate = office.audited()
    dissent = Words(meaning="The groups are too small to say anything", conditions=("more rows of the smallest group",))
    office.decide("second-validator", DecisionKind.COMMENT, gate, words=dissent)
    office.decide("risk-owner", DecisionKind.REJECT, gate)
    gate = office.approve(gate, "validator")
    assert gate.standing.state is GateState.REJECTED
    kept = office.keeper.decisions_on(gate.binding)
    assert (kept[0][0].decision.kind, kept[0][1]) == (DecisionKind.COMMENT, dissent)


def test_who_takes_approvals_back_takes_no_rejection_back(office: Office) -> None:
    gate = office.decide("second-validator", DecisionKind.REJECT, office.audited())
    office.decide("submitter", DecisionKind.REVOKE, gate)
    assert office.approve(gate, "validator", "risk-owner").standing.state is GateState.REJECTED


def test_an_approval_is_revoked_and_has_to_be_given_again(office: Office) -> None:
    gate = office.approve(office.audited(), "validator", "risk-owner")
    gate = office.decide("owner", DecisionKind.REVOKE, gate)  # who owns it may always take it back
    assert gate.standing.state is GateState.REVOKED
    gate = office.approve(gate, "second-validator")
    assert gate.standing.state is GateState.REVOKED
    assert office.approve(gate, "risk-owner").standing.state is GateState.APPROVED


def test_an_approval_expires_by_itself_and_is_swept(office: Office) -> None:
    office.approve(office.audited(), "validator", "risk-owner")
    office.clock.advance(days=364)
    assert office.keeper.sweep() == []
    office.clock.advance(days=1)
    (moved,) = office.keeper.sweep()
    assert moved.standing.state is GateState.EXPIRED
    assert office.keeper.sweep() == [], "once"
    assert office.approve(office.keeper.look(VERSION), "validator", "risk-owner").standing.state is GateState.APPROVED


def test_another_policy_takes_approvals_back_until_the_version_is_audited_under_it(office: Office) -> None:
    office.approve(office.audited(), "validator", "risk-owner")
    office.policy = office.policy_with({"approval_days_max": 100})
    (gate,) = office.keeper.sweep()
    assert gate.standing.state is GateState.REVOKED and "another one" in gate.standing.reason
    assert office.audited().standing.state is GateState.AWAITING_REVIEW


def test_a_clock_that_is_set_back_gives_no_expired_approval_back(office: Office) -> None:
    office.approve(office.audited(), "validator", "risk-owner")
    office.clock.advance(days=366)
    office.keeper.sweep()
    office.clock.advance(days=-300)
    assert office.keeper.look(VERSION).standing.state is GateState.EXPIRED


def test_a_decision_dated_long_before_it_is_handed_in_is_refused(office: Office) -> None:
    gate = office.audited()
    signed = office.signed("validator", DecisionKind.APPROVE, gate.binding)
    office.clock.advance(minutes=11)
    with pytest.raises(DecisionRefused, match=r"is dated 2026-12-15 09:00 UTC, and it is 2026-12-15 09:11"):
        office.keeper.decide(signed, WORDS)


def test_a_retired_key_signs_nothing_new_and_what_it_signed_counts(office: Office) -> None:
    gate = office.approve(office.audited(), "validator", "risk-owner")
    entry = next(person for person in office.people if person["id"] == "validator")
    entry["keys"][0]["until"] = office.clock.now.date()
    office.clock.advance(days=1)
    assert office.keeper.look(VERSION).standing.state is GateState.APPROVED
    with pytest.raises(DecisionRefused, match="no longer counts"):
        office.approve(gate, "validator")


def test_a_person_who_left_decides_nothing_new(office: Office) -> None:
    gate = office.audited()
    next(person for person in office.people if person["id"] == "validator")["active"] = False
    with pytest.raises(Exception, match="no longer active"):
        office.approve(gate, "validator")


def altered(office: Office, statement: str, **values: Any) -> None:
    """Change a row as somebody would who owns the database and lifts its protection."""
    with office.engine.begin() as connection:
        if office.engine.dialect.name == "sqlite":
            names = connection.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
            for name in names:
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        else:
            for table in ("decisions", "bindings", "waivers"):
                connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        assert connection.execute(sa.text(statement), values).rowcount


def test_an_approval_that_was_written_into_the_database_counts_for_nothing(office: Office) -> None:
    first, second = office.audited(version="1"), office.audited(version="2")
    office.approve(first, "validator", "risk-owner")
    altered(office, "UPDATE decisions SET subject = :subject, model_version = '2'", subject=second.binding.digest)
    gate = office.keeper.look(second.version)
    assert gate.standing.state is GateState.AWAITING_REVIEW
    assert "stands under other words than were signed" in gate.standing.reason


def test_a_binding_that_was_edited_is_noticed(office: Office) -> None:
    gate = office.audited()
    altered(office, "UPDATE bindings SET content = replace(content, :digest, :other)", digest=gate.binding.submitters[0], other="sha256:" + "0" * 64)
    with pytest.raises(EvidenceError, match="altered"):
        office.approve(gate, "validator")


def test_evidence_that_was_edited_is_noticed(office: Office) -> None:
    gate = office.audited(VerdictStatus.NEEDS_REVIEW)
    path = office.folder / "evidence" / "objects" / gate.measured.digest[7:9] / f"{gate.measured.digest[7:]}.json"
    path.write_bytes(path.read_bytes().replace(b'"needs_review"', b'"compliant"'))
    with pytest.raises(EvidenceError, match="altered after it was stored"):
        office.approve(gate, "validator")


def test_a_version_whose_verdict_was_altered_loses_its_approval_and_keeps_no_other_from_being_swept(office: Office) -> None:
    first, second = (office.approve(office.audited(version=number), "validator", "risk-owner") for number in ("1", "2"))
    path = office.folder / "evidence" / "objects" / first.measured.digest[7:9] / f"{first.measured.digest[7:]}.json"
    path.write_bytes(path.read_bytes().replace(b'"high"', b'"low"'))
    office.clock.advance(days=365)
    moved = {str(item.version): item.standing for item in office.keeper.sweep()}
    assert moved["loans/1"].state is GateState.REVOKED and "altered after it was stored" in moved["loans/1"].reason
    assert moved[str(second.version)].state is GateState.EXPIRED
    assert office.keeper.sweep() == []


def test_who_holds_no_role_neither_approves_nor_rejects(office: Office) -> None:
    gate = office.audited()
    next(person for person in office.people if person["id"] == "validator")["roles"] = []
    for kind in (DecisionKind.APPROVE, DecisionKind.REJECT):
        with pytest.raises(DecisionRefused, match="in no role"):
            office.decide("validator", kind, gate, role=None)


def test_a_waiver_excuses_one_control_until_its_day_and_then_the_failure_is_back(office: Office) -> None:
    gate = failing(office, "DATA-B")
    assert gate.standing.state is GateState.AUDITED
    waiver = office.waiver("DATA-B")
    assert not office.waive(waiver, "officer").active
    assert office.waive(waiver, "risk-owner").active
    gate = office.keeper.look(VERSION)
    finding = gate.effective.finding("DATA-B")
    assert finding is not None and finding.status is FindingStatus.WAIVED and "measured: fail" in finding.reason
    assert gate.standing.state is GateState.AWAITING_REVIEW
    office.approve(gate, "validator", "risk-owner")
    office.clock.advance(days=20)
    assert office.keeper.sweep() == [], "it counts on its last day"
    office.clock.advance(days=1)
    (moved,) = office.keeper.sweep()
    assert moved.standing.state is GateState.REVOKED
    assert office.keeper.look(VERSION).effective.status is VerdictStatus.NON_COMPLIANT
    office.clock.advance(days=-10)
    assert office.keeper.look(VERSION).standing.state is GateState.REVOKED, "a clock set back does not bring it to life"


def test_a_waiver_of_one_version_or_control_says_nothing_about_another(office: Office) -> None:
    failing(office, "DATA-B")
    other = failing(office, "DATA-B", version="2")
    office.waive(office.waiver("DATA-B", version="1"), "officer", "risk-owner")
    office.waive(office.waiver("PERF-B", version="2"), "officer", "risk-owner")
    assert office.keeper.look(other.version).effective.status is VerdictStatus.NON_COMPLIANT


def test_a_waiver_whose_scope_was_widened_in_the_database_excuses_nothing(office: Office) -> None:
    failing(office, "DATA-B", version="2")
    office.waive(office.waiver("DATA-B", version="1"), "officer", "risk-owner")
    scope = {"before": '"model_version":"1"', "after": '"model_version":null'}
    altered(office, "UPDATE waivers SET model_version = NULL, content = replace(content, :before, :after)", **scope)
    assert office.keeper.look(ModelVersion("loans", "2")).effective.status is VerdictStatus.NON_COMPLIANT


def test_a_waiver_is_refused_that_lasts_too_long_is_over_or_is_signed_by_the_owner(office: Office) -> None:
    failing(office, "DATA-B")
    with pytest.raises(DecisionRefused, match="longer than the 30 days"):
        office.waive(office.waiver("DATA-B", days=31), "officer")
    with pytest.raises(DecisionRefused, match="it ends on"):
        office.waive(office.waiver("DATA-B", days=-1), "officer")
    with pytest.raises(DecisionRefused, match="submitted or owns"):
        office.waive(office.waiver("DATA-B"), "submitter")
    with pytest.raises(DecisionRefused, match="no such control"):
        office.waive(office.waiver("DATA-X"), "officer")
    widened = office.waiver("DATA-B", version=None)
    with pytest.raises(DecisionRefused, match="about something else"):
        office.keeper.waive(widened, office.signed_waiver("officer", office.waiver("DATA-B")), WORDS)


def test_everything_that_happened_stands_in_the_ledger_without_a_name(office: Office) -> None:
    gate = office.approve(office.audited(), "validator", "risk-owner")
    office.decide("risk-owner", DecisionKind.REVOKE, gate)
    kinds = [(entry.kind, entry.body.get("decided") or entry.body.get("after")) for entry in office.keeper.ledger.entries()]
    assert kinds == [
        ("gate_state", "awaiting_review"),
        ("gate", None),
        ("decision", "approve"),
        ("decision", "approve"),
        ("gate_state", "approved"),
        ("decision", "revoke"),
        ("gate_state", "revoked"),
    ]
    stream = io.StringIO()
    office.keeper.ledger.export(stream)
    assert not any(name in stream.getvalue() for name in ("validator@", "risk-owner", "submitter"))


def test_what_the_registry_has_to_be_told_is_in_the_outbox_with_the_decision(office: Office) -> None:
    office.approve(office.audited(), "validator")
    with office.engine.connect() as connection:
        (message,) = waiting(connection)
    assert (message.kind, message.key) == ("registry", "loans")


def failing(office: Office, control: str, *, version: str = "1", status: VerdictStatus = VerdictStatus.NON_COMPLIANT) -> Any:
    """A version at the gate for which that control failed and every other one passed."""
    verdict = office.verdict(status, version=version)
    findings = tuple(
        item.model_copy(update={"status": FindingStatus.FAIL if item.control == control else FindingStatus.PASS, "reason": "as the test wants"})
        for item in verdict.findings
    )
    return office.audited(status, version=version, findings=findings)


def test_the_database_role_of_sqlite_cannot_be_told_to_forget(office: Office) -> None:
    office.approve(office.audited(), "validator")
    with pytest.raises((sa.exc.DatabaseError, sqlite3.DatabaseError), match="append-only"), office.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM decisions")
