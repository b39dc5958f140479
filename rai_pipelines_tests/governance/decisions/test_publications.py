"""Who publishes a policy, which publications count, and that nothing is approved under a policy that was not published once any was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from rai_pipelines.errors import DecisionRefused, PeopleError
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.governance.database.tables import bindings, decisions
from rai_pipelines.governance.decisions.publications import Publications, policy_reviews, publications, standing_of
from rai_pipelines.governance.decisions.signer import Signer, at_the_desk
from rai_pipelines.governance.decisions.statement import DecisionKind, SignedDecision
from rai_pipelines.governance.gate.record import GateState
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.release_rules import Signatories
from rai_pipelines.policy.verdict import VerdictStatus
from rai_pipelines.policy.versions.published import publish as write_file
from rai_pipelines.policy.versions.standing import PolicyStatus
from rai_pipelines_tests.governance.office import WORDS, Office, inserted

ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # what no database decides


@pytest.fixture
def office(engine: sa.Engine, tmp_path: Path) -> Office:
    return Office(engine, tmp_path)


def version(office: Office, number: str, **changes: Any) -> Policy:
    header = office.policy.policy.model_copy(update={"version": number, **changes.pop("header", {})})
    return office.policy.model_copy(update={"policy": header, **changes})


def found(office: Office) -> Publications:
    with office.engine.connect() as connection:
        return publications(connection, office.keeper.book)


def status(office: Office, policy: Policy | None = None, *, files: bool = False) -> PolicyStatus:
    return standing_of(policy or office.policy, found(office), office.clock.now.date(), files=files).status


def slipped_in(office: Office, signed: SignedDecision, policy: Policy, *, entry: bool = True) -> None:
    """A publication that went past the checks, with the policy that it is about."""
    content = canonical_json(policy.model_dump(mode="json", by_alias=True, exclude_defaults=True)).decode()
    inserted(office, signed, content=content, entry=entry, recorded_at=office.clock.now)


# Publishing


def test_without_any_published_policy_development_goes_on_and_is_disclosed(office: Office) -> None:
    assert status(office) is PolicyStatus.UNPUBLISHED
    assert office.audited(risk="low").standing.state is GateState.APPROVED
    assert office.verdict().policy_status is PolicyStatus.UNPUBLISHED


def test_a_version_is_published_by_a_named_person_over_its_digest_and_that_of_the_version_before(office: Office) -> None:
    first = office.publish(office.policy)
    assert first.decision.binding == {} and status(office) is PolicyStatus.PUBLISHED
    second = version(office, "1.1.0")
    kept = office.publish(second)
    assert (kept.decision.subject, kept.decision.binding) == (second.digest, {"predecessor": office.policy.digest})
    assert (kept.decision.person, kept.decision.role) == ("officer", "ethics_officer")
    *_, entry = office.keeper.ledger.entries()
    assert (entry.kind, entry.body["subject"], entry.model_name) == ("decision", second.digest, "policy:rai-default")
    assert entry.body["about"] == {"predecessor": office.policy.digest} and '"officer"' not in entry.model_dump_json()


@ON_ONE
@pytest.mark.parametrize("person", ["validator", "risk-owner", "owner"])
def test_who_holds_no_role_that_the_policy_names_publishes_nothing(office: Office, person: str) -> None:
    with pytest.raises(DecisionRefused, match="takes ethics_officer"):
        office.publish(office.policy, person)
    with pytest.raises(DecisionRefused, match="holds: "):
        office.publish(office.policy, person, role="ethics_officer")
    assert not found(office).any


@ON_ONE
def test_a_policy_that_names_nobody_is_published_by_nobody(office: Office) -> None:
    nobody = version(office, "1.0.1", signatories=Signatories())
    with pytest.raises(DecisionRefused, match="names no role"):
        office.publish(nobody)


@ON_ONE
@pytest.mark.parametrize("look_alike", ["оfficer", "officer\u200b", "0fficer"])
def test_a_look_alike_identity_publishes_nothing(office: Office, look_alike: str) -> None:
    with pytest.raises(DecisionRefused, match="not this person"):
        office.publish(office.policy, look_alike, key="officer")
    with pytest.raises(PeopleError, match="nobody in the file"):
        at_the_desk(office.keys, office.keeper.book.directory, Signer(look_alike))
    person, _ = at_the_desk(office.keys, office.keeper.book.directory, Signer("ＯＦＦＩＣＥＲ"))
    assert person.id == "officer", "the same letters in another form are the same person"


@ON_ONE
def test_somebody_elses_key_publishes_nothing(office: Office) -> None:
    with pytest.raises(DecisionRefused, match="not this person"):
        office.publish(office.policy, key="validator")


@ON_ONE
def test_a_changed_policy_takes_a_new_version(office: Office) -> None:
    office.publish(office.policy)
    with pytest.raises(DecisionRefused, match="give the changed policy a new version"):
        office.publish(version(office, "1.0.0", header={"owner": "somebody else"}))
    with pytest.raises(DecisionRefused, match="published already"):
        office.publish(office.policy)


@ON_ONE
def test_a_changed_file_cannot_choose_its_own_signatory(office: Office) -> None:
    office.publish(office.policy)
    taken = Policy.model_validate({**version(office, "1.1.0").model_dump(by_alias=True), "signatories": {"publish": ["validator"]}})
    with pytest.raises(DecisionRefused, match="takes ethics_officer"):
        office.publish(taken, "validator")
    other = Policy.model_validate({**taken.model_dump(by_alias=True), "policy": {**taken.policy.model_dump(), "id": "another"}})
    with pytest.raises(DecisionRefused, match="takes ethics_officer"):
        office.publish(other, "validator")
    office.publish(taken)  # by who may: from now on validators publish
    office.publish(version(office, "1.2.0", signatories=taken.signatories), "validator")


@ON_ONE
def test_a_publication_is_about_the_version_that_was_published_before_it(office: Office) -> None:
    office.publish(office.policy)
    office.publish(version(office, "1.1.0"))
    late = office.publication(version(office, "1.2.0"), binding={"predecessor": office.policy.digest})
    with pytest.raises(DecisionRefused, match="another predecessor"), office.engine.begin() as connection:
        from rai_pipelines.governance.decisions.publications import record_publication

        record_publication(connection, office.keeper.book, version(office, "1.2.0"), late, WORDS, now=office.clock.now)


# What counts


def test_once_a_policy_is_published_nothing_is_approved_under_one_that_is_not(office: Office) -> None:
    office.publish(office.policy)
    gate = office.approve(office.audited(), "validator", "risk-owner")
    assert gate.standing.state is GateState.APPROVED
    for other in (version(office, "1.0.1"), version(office, "1.0.0", header={"id": "another"}), version(office, "1.0.0", header={"owner": "me"})):
        assert status(office, other) is PolicyStatus.REFUSED
    office.policy = version(office, "1.0.1")
    (moved,) = office.keeper.sweep()
    assert moved.standing.state is GateState.REVOKED and "was not published here by a signature" in moved.standing.reason
    low = office.audited(version="2", risk="low")
    assert low.standing.state is GateState.AUDITED, "the policy would approve it by itself"
    with pytest.raises(DecisionRefused, match="nothing is approved under it"):
        office.approve(low, "validator")
    with pytest.raises(DecisionRefused, match="nothing is approved under it"):
        office.waive(office.waiver("DATA-B"), "officer")


def test_publishing_the_version_gives_it_leave(office: Office) -> None:
    office.publish(office.policy)
    office.policy = version(office, "1.0.1")
    gate = office.audited(version="2", risk="low")
    office.publish(office.policy)
    assert office.keeper.look(gate.version).standing.state is GateState.APPROVED


def test_a_policy_published_by_writing_the_file_by_hand_approves_nothing(office: Office, tmp_path: Path) -> None:
    write_file(office.policy, tmp_path / "policies")
    keeper = replace(office.keeper, published=tmp_path / "policies")
    verdict = office.verdict(risk="low")
    gate = keeper.take_verdict(verdict, office.binding(verdict), created_ms=1)
    assert gate.standing.state is GateState.AUDITED and "not published here by a signature" in gate.standing.reason
    office.publish(office.policy)
    assert keeper.look(gate.version).standing.state is GateState.APPROVED


@ON_ONE
def test_a_file_put_beside_published_ones_approves_nothing(office: Office, tmp_path: Path) -> None:
    office.publish(office.policy)
    write_file(version(office, "1.1.0"), tmp_path / "policies")
    assert status(office, version(office, "1.1.0"), files=True) is PolicyStatus.REFUSED


@ON_ONE
def test_deleting_every_publication_gives_no_leave_to_what_was_approved_under_it(office: Office) -> None:
    office.publish(office.policy)
    gate = office.approve(office.audited(policy_status=PolicyStatus.PUBLISHED), "validator", "risk-owner")
    assert gate.standing.state is GateState.APPROVED
    with office.engine.begin() as connection:  # as the owner of the database, who lifts its protection
        connection.exec_driver_sql("DROP TRIGGER decisions_no_delete")
        connection.execute(decisions.delete().where(decisions.c.kind == "publish"))
    found = office.keeper.look(gate.version).standing
    assert found.state is GateState.REVOKED and "no publication of it is left" in found.reason


@ON_ONE
def test_going_back_to_an_older_published_version_approves_nothing(office: Office) -> None:
    office.publish(office.policy)
    later = office.clock.now.date().replace(year=2027, month=1, day=1)
    office.publish(version(office, "1.1.0", header={"effective_from": later, "review_by": later.replace(year=2028)}))
    newer = version(office, "1.1.0", header={"effective_from": later, "review_by": later.replace(year=2028)})
    assert (status(office), status(office, newer)) == (PolicyStatus.PUBLISHED, PolicyStatus.REFUSED), "it takes effect in January"
    office.clock.advance(days=30)
    assert (status(office), status(office, newer)) == (PolicyStatus.REFUSED, PolicyStatus.PUBLISHED)


@pytest.mark.parametrize("attack", ["a validator as officer", "a validator as validator", "no entry in the ledger", "another policy behind it"])
def test_a_publication_written_into_the_database_counts_for_nothing(office: Office, attack: str) -> None:
    office.publish(office.policy)
    other = version(office, "1.1.0")
    match attack:
        case "a validator as officer":
            slipped_in(office, office.publication(other, "validator", role="ethics_officer"), other)
        case "a validator as validator":
            slipped_in(office, office.publication(other, "validator"), other)
        case "no entry in the ledger":
            slipped_in(office, office.publication(other), other, entry=False)
        case _:
            slipped_in(office, office.publication(other), version(office, "1.1.0", header={"owner": "me"}))
    assert status(office, other) is PolicyStatus.REFUSED
    assert len(found(office).problems) == 1
    assert status(office) is PolicyStatus.PUBLISHED, "what was published before still is"


@ON_ONE
def test_the_signature_of_somebody_who_left_counts_for_what_they_published_in_time(office: Office) -> None:
    office.publish(office.policy)
    officer = next(person for person in office.people if person["id"] == "officer")
    officer |= {"active": False, "roles": [], "former_roles": {"ethics_officer": "2026-12-31"}}
    assert status(office) is PolicyStatus.PUBLISHED
    officer["former_roles"] = {"ethics_officer": "2026-12-01"}
    assert status(office) is PolicyStatus.REFUSED, "they were no officer any more"
    officer |= {"keys": []}
    assert status(office) is PolicyStatus.REFUSED


def test_a_publication_that_can_no_longer_be_verified_lets_nobody_begin_anew(office: Office) -> None:
    office.publish(office.policy)
    (office.keys / "officer.pub.json").rename(office.folder / "officer.pub.json")
    assert status(office) is PolicyStatus.REFUSED
    taken = Policy.model_validate({**version(office, "1.1.0").model_dump(by_alias=True), "signatories": {"publish": ["validator"]}})
    for own in (taken, Policy.model_validate({**taken.model_dump(by_alias=True), "policy": {**taken.policy.model_dump(), "id": "another"}})):
        with pytest.raises(DecisionRefused, match="takes nobody"):
            office.publish(own, "validator")
    slipped_in(office, office.publication(taken, "validator"), taken)
    assert status(office, taken) is PolicyStatus.REFUSED
    (office.folder / "officer.pub.json").rename(office.keys / "officer.pub.json")
    assert (status(office), status(office, taken)) == (PolicyStatus.PUBLISHED, PolicyStatus.REFUSED)


def test_rows_that_somebody_adds_take_no_leave_away(office: Office) -> None:
    office.publish(office.policy)
    made = office.publication(version(office, "1.1.0"))
    forged = {**made.envelope, "signatures": [{**made.envelope["signatures"][0], "sig": "00" * 64}]}
    slipped_in(office, replace(made, envelope=forged), version(office, "1.1.0"))
    with office.engine.begin() as connection:
        row = {**connection.execute(sa.select(decisions).where(decisions.c.sequence == 1)).one()._asdict(), "id": "sha256:" + "0" * 64}
        connection.execute(decisions.insert().values(**row))
    assert status(office) is PolicyStatus.PUBLISHED and len(found(office).problems) == 2
    office.publish(version(office, "1.2.0"))
    assert status(office, version(office, "1.2.0")) is PolicyStatus.PUBLISHED


@ON_ONE
def test_something_else_kept_under_the_digest_of_a_policy_is_told_before_it_is_published(office: Office) -> None:
    with office.engine.begin() as connection:
        connection.execute(bindings.insert().values(digest=office.policy.digest, content="{}"))
    with pytest.raises(DecisionRefused, match="something else is kept under its digest"):
        office.publish(office.policy)
    assert status(office) is PolicyStatus.UNPUBLISHED


@ON_ONE
def test_a_verdict_under_a_refused_policy_is_never_compliant_and_no_waiver_makes_it_so(office: Office) -> None:
    from rai_pipelines.governance.decisions.waivers import apply_waivers
    from rai_pipelines.policy.verdict import judge
    from rai_pipelines_tests.policy.test_verdict import good_evidence

    office.publish(office.policy)
    named = {"model_name": "m", "model_version": "1", "day": office.clock.now.date()}
    standing = standing_of(version(office, "1.0.1"), found(office), office.clock.now.date())
    good = judge(office.policy, good_evidence(), **named, standing=standing_of(office.policy, found(office), office.clock.now.date()))
    refused = judge(version(office, "1.0.1"), good_evidence(), **named, standing=standing)
    assert (good.status, good.policy_status) == (VerdictStatus.COMPLIANT, PolicyStatus.PUBLISHED)
    assert (refused.status, refused.policy_status) == (VerdictStatus.NON_COMPLIANT, PolicyStatus.REFUSED)
    assert refused.reasons[0] == standing.problem
    failed = refused.model_copy(update={"findings": tuple(item.model_copy(update={"status": "fail"}) for item in refused.findings)})
    assert apply_waivers(failed, office.policy, ()).status is VerdictStatus.NON_COMPLIANT


# Reviews of the policy


def reviews(office: Office) -> int:
    with office.engine.connect() as connection:
        return len(policy_reviews(connection, office.keeper.book, office.policy))


def test_a_review_of_the_policy_counts_when_somebody_signed_it_whom_the_policy_names(office: Office) -> None:
    office.review_policy()
    assert reviews(office) == 1
    with pytest.raises(DecisionRefused, match="lets ethics_officer record it"):
        office.review_policy("validator")
    with pytest.raises(DecisionRefused, match="a document about it"):
        office.review_policy(binding={})
    assert reviews(office) == 1


def test_a_review_written_into_the_database_in_a_role_nobody_gave_counts_for_nothing(office: Office) -> None:
    made = office.publication(office.policy, "validator", kind=DecisionKind.REVIEW_POLICY, role="ethics_officer", review="kept")
    slipped_in(office, made, office.policy)
    assert reviews(office) == 0
