"""Nothing goes early, nothing goes that is held, the ledger stays, and signatures verify without the words."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from rai_pipelines.errors import DecisionRefused
from rai_pipelines.evidence.model import Status
from rai_pipelines.governance.database.tables import decisions
from rai_pipelines.governance.gate.record import GateState
from rai_pipelines.governance.outbox import put
from rai_pipelines.governance.retention import Deleted, Keeper
from rai_pipelines.policy.retention_rules import RetentionRules
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.conftest import evidence
from rai_pipelines_tests.governance.office import START, Office


@pytest.fixture
def office(engine: sa.Engine, tmp_path: Path) -> Office:
    return Office(engine, tmp_path)


def keeper_of(office: Office, **rules: int) -> Keeper:
    return Keeper(office.engine, office.store, RetentionRules(**rules), office.clock)


def stored(office: Office, seed: int, when: datetime, *, model: str = "loans") -> str:
    """Evidence about version 1 of a model that was stored at that time."""
    made, key = evidence("bias_assessment", seed=seed, model_name=model, model_version="1"), ModelVersion(model, "1").key
    office.store.put(made, kind="bias_assessment", folder=key, status=Status.COMPLETE)
    path = office.folder / "evidence" / "history" / f"{key}.jsonl"
    lines = path.read_text().splitlines()
    stamp = lines[-1].split('"recorded_at":"')[1].split('"')[0]
    lines[-1] = lines[-1].replace(stamp, when.isoformat(timespec="milliseconds"))
    path.write_text("\n".join(lines) + "\n")
    os.utime(object_of(office, made.digest), (when.timestamp(), when.timestamp()))
    return made.digest


def object_of(office: Office, digest: str) -> Path:
    return office.folder / "evidence" / "objects" / digest[7:9] / f"{digest[7:]}.json"


def test_the_law_gives_the_least_and_a_policy_can_only_ask_for_more() -> None:
    for rules in ({"document_years": 9}, {"log_months": 5}):
        with pytest.raises(ValidationError):
            RetentionRules(**rules)


def test_evidence_goes_after_ten_years_but_for_the_newest_of_its_kind(office: Office) -> None:
    first, second, newest = (stored(office, seed, START) for seed in (1, 2, 3))
    keeper = keeper_of(office)
    office.clock.now = START.replace(year=2036, day=14)
    assert keeper.delete("document") == Deleted(), "a day early"
    office.clock.now = START.replace(year=2036, day=16)
    assert (keeper.delete("document").receipts, keeper.delete("document").objects) == (2, 0)
    assert not object_of(office, first).exists() and not object_of(office, second).exists() and object_of(office, newest).exists()
    assert office.store.latest_evidence("bias_assessment", "loans/1") is not None


def test_deleting_early_is_refused_with_the_day_from_which_it_is_allowed(office: Office) -> None:
    office.clock.now = START.replace(year=2030)
    with pytest.raises(DecisionRefused, match=r"kept for 10 years: name a day before 2020-12-15"):
        keeper_of(office).delete("document", before=START)
    with pytest.raises(DecisionRefused, match="6 months"):
        keeper_of(office).delete("log", before=office.clock.now)


def test_what_is_held_stays_until_the_hold_is_lifted(office: Office) -> None:
    stored(office, 1, START)
    stored(office, 2, START)
    keeper = keeper_of(office)
    keeper.hold("loans", "proceedings 4711")
    office.clock.now = START.replace(year=2040)
    assert keeper.delete("document") == Deleted()
    keeper.hold("*", "everything, for the audit")
    with pytest.raises(DecisionRefused, match="everything is held"):
        keeper.delete("document")
    for name in ("*", "loans"):
        keeper.lift(name)
    assert keeper.delete("document").receipts == 1
    with pytest.raises(DecisionRefused, match="is not held"):
        keeper.lift("loans")
    kinds = [entry.kind for entry in office.keeper.ledger.entries()]
    assert kinds == ["legal_hold"] * 4 + ["records_deleted"]


@pytest.mark.parametrize("model", ["credit loans", "team/loans", "Kredit-Prüfung", ".hidden"])
def test_a_hold_is_about_the_model_whatever_letters_its_name_has(office: Office, model: str) -> None:
    for seed in (1, 2):
        stored(office, seed, START, model=model)
    keeper = keeper_of(office)
    keeper.hold(model, "proceedings 4711")
    office.clock.now = START.replace(year=2040)
    assert keeper.delete("document") == Deleted()
    keeper.lift(model)
    assert keeper.delete("document").receipts == 1


def test_the_words_of_a_decision_go_and_its_signature_still_verifies(office: Office) -> None:
    gate = office.approve(office.audited(), "validator", "risk-owner")
    office.clock.now = START.replace(year=2037)
    assert keeper_of(office).delete("document").words == 1, "both said the same words"
    kept = office.keeper.decisions_on(gate.binding)
    assert len(kept) == 2 and all(words is None for _, words in kept)
    assert office.keeper.look(ModelVersion("loans", "1")).standing.state is GateState.EXPIRED, "it verified, and is too old"


def test_a_decision_that_nobody_can_read_keeps_nothing_from_being_deleted(office: Office) -> None:
    gate = office.approve(office.audited(), "validator", "risk-owner")
    about = {"kind": "approve", "model_name": "loans", "model_version": "1", "subject": gate.binding.digest}
    with office.engine.begin() as connection:
        connection.execute(decisions.insert().values(id="x", **about, recorded_at=START, sequence=1, envelope="x"))
    office.clock.now = START.replace(year=2037)
    assert keeper_of(office).delete("document").words == 1


def test_mails_that_were_sent_go_after_half_a_year_and_what_was_not_sent_stays(office: Office) -> None:
    with office.engine.begin() as connection:
        for number in range(3):
            put(connection, "mail", str(number), {"to": "owner@example.org"}, now=START)
        connection.execute(sa.text("UPDATE outbox SET done_at = :at WHERE key <> '2'"), {"at": "2026-12-15T09:00:00.000000Z"})
    office.clock.now = START.replace(year=2027, month=6, day=14)
    assert keeper_of(office).delete("log") == Deleted()
    office.clock.now = START.replace(year=2027, month=6, day=16)
    assert keeper_of(office).delete("log").messages == 2
    with office.engine.connect() as connection:
        assert connection.execute(sa.text("SELECT key FROM outbox")).scalars().all() == ["2"]
