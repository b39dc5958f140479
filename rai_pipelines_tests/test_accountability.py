"""What people decided, as evidence: reviews that stand, those that do not, and a record that shows when it was tampered with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from rai_pipelines.accountability import ESCALATION, assess_governance_record, assess_signed_reviews
from rai_pipelines.accountability import AccountabilityParameters as Parameters
from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.errors import DecisionRefused
from rai_pipelines.governance.database.engine import open_governance
from rai_pipelines.governance.decisions.reviews import ReviewKind, digests_reviewed, involved, require_may_review, subject_of
from rai_pipelines.governance.decisions.statement import DecisionKind
from rai_pipelines.governance.outbox import beat
from rai_pipelines.settings import Settings
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import Subject
from rai_pipelines_tests.conftest import evidence
from rai_pipelines_tests.governance.office import WORDS, Office
from rai_pipelines_tests.house import datasheet

TRAINING = {"training": "sha256:" + "1" * 64}
VERSION = ModelVersion("loans", "1")


class Room:
    """An office whose database is that of settings, and a subject that `submitter` submitted and `owner` owns."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(home=folder, keys_dir=folder / "keys", people_file=folder / "people.yaml")
        self.engine = open_governance(self.settings)
        self.office = Office(self.engine, folder)
        sheet = datasheet(model="loans", owner={"name": "somebody", "contact": "owner@example.org"}, deputy=None)
        self.sheet = Datasheet.model_validate(yaml.safe_load(yaml.safe_dump(sheet)))
        self.subject = Subject(VERSION, self.sheet, None, None, folder, submitted_by=("submitter",))
        _ = self.office.keeper  # writes the people's file

    def context(self, training: dict[str, str] = TRAINING) -> AuditContext:
        found = {
            "data_validation": evidence("data_validation", data_digests=training),
            "performance_report": evidence("performance_report"),
        }
        return AuditContext(self.subject, seed=1, scratch=self.settings.scratch_dir, evidence=found)

    def sign(self, person: str, kind: ReviewKind, **changes: Any) -> None:
        about = digests_reviewed(kind, self.context().evidence, self.sheet.digest)
        gate = self.office.audited()
        signed = self.office.signed(
            person,
            DecisionKind.REVIEW,
            gate.binding,
            subject=subject_of(kind, "loans", "1", about),
            binding=about,
            review=kind.value,
            **changes,
        )
        with self.engine.begin() as connection:
            self.office.keeper.book.record(connection, signed, WORDS, now=self.office.keeper.ledger.lock(connection))

    def reviews(self, **named: Any) -> dict[str, Any]:
        found: Any = assess_signed_reviews(self.context(**named), Parameters(), settings=self.settings).details["reviews"]
        return dict(found)

    def record(self) -> dict[str, float | None]:
        measured: Measured = assess_governance_record(self.context(), Parameters(), settings=self.settings)
        return {item.metric: item.value for item in measured.measurements}


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    made.engine.dispose()


def test_a_review_stands_with_its_day_while_what_it_was_about_is_there(room: Room) -> None:
    assert room.reviews() == {}
    room.sign("validator", ReviewKind.TRAINING_DATA_BIAS)
    (facts,) = room.reviews().values()
    assert (facts["signed_on"], facts["current"]) == ("2026-12-15", True)
    (changed,) = room.reviews(training={"training": "sha256:" + "2" * 64}).values()
    assert changed["current"] is False


def test_key_figures_change_each_month_and_a_review_of_them_stays_about_its_day(room: Room) -> None:
    room.sign("validator", ReviewKind.KEY_FIGURES)
    (facts,) = room.reviews().values()
    assert facts["current"] is True


@pytest.mark.parametrize("person", ["submitter", "owner"])
def test_a_review_by_who_submitted_or_owns_it_stands_for_nothing_even_when_it_was_written_past_the_desk(room: Room, person: str) -> None:
    room.sign(person, ReviewKind.TRAINING_DATA_BIAS)
    assert room.reviews() == {}
    submitters, owners = involved(room.office.keeper.book.directory, ["submitter"], ["owner@example.org"])
    with pytest.raises(DecisionRefused, match="does not review"):
        require_may_review(ReviewKind.KEY_FIGURES, room.office.keeper.book.directory.find(person), submitters, owners)  # type: ignore[arg-type]


def test_an_acknowledgement_is_the_owners(room: Room) -> None:
    room.sign("validator", ReviewKind.OWNER_ACKNOWLEDGEMENT)
    assert room.reviews() == {}
    room.sign("owner", ReviewKind.OWNER_ACKNOWLEDGEMENT)
    assert list(room.reviews()) == ["owner_acknowledgement"]


def test_what_was_not_measured_cannot_be_reviewed() -> None:
    with pytest.raises(DecisionRefused, match="not measured"):
        digests_reviewed(ReviewKind.TRAINING_DATA_BIAS, {}, "sha256:" + "0" * 64)


def test_a_record_that_holds_says_so_and_that_nobody_looked_for_overdue_decisions(room: Room) -> None:
    assert room.record() == {
        "signatures_valid_share": 1.0,
        "approvals_by_submitter_or_owner": 0.0,
        "decisions_not_in_ledger": 0.0,
        "ledger_holds": 1.0,
        "decisions_gone": 0.0,
        "minutes_since_escalation": None,
    }
    room.office.approve(room.office.audited(), "validator", "risk-owner")
    beat(room.engine, ESCALATION, now=room.office.clock.now)
    found = room.record()
    assert found["signatures_valid_share"] == 1.0 and found["minutes_since_escalation"] == 0.0


def tampered(room: Room, statement: str) -> None:
    with room.engine.begin() as connection:
        for name in connection.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql(statement)


@pytest.mark.parametrize(
    ("statement", "metric", "value"),
    [
        ("UPDATE decisions SET kind = 'reject' WHERE rowid = 1", "signatures_valid_share", 0.5),
        ("UPDATE decisions SET sequence = 1 WHERE rowid = 1", "decisions_not_in_ledger", 1.0),
        ("DELETE FROM decisions WHERE rowid = 1", "decisions_gone", 1.0),
        ("UPDATE ledger_entries SET content = replace(content, 'approve', 'approvE') WHERE sequence = 3", "ledger_holds", 0.0),
        ("DELETE FROM ledger_entries WHERE sequence = 2", "ledger_holds", 0.0),
    ],
)
def test_whatever_is_changed_in_the_database_shows(room: Room, statement: str, metric: str, value: float) -> None:
    room.office.approve(room.office.audited(), "validator", "risk-owner")
    tampered(room, statement)
    assert room.record()[metric] == value


def test_an_approval_by_the_submitter_that_was_written_past_the_gate_is_counted(room: Room) -> None:
    gate = room.office.audited()
    signed = room.office.signed("submitter", DecisionKind.APPROVE, gate.binding)
    with room.engine.begin() as connection:
        room.office.keeper.book.record(connection, signed, WORDS, now=room.office.keeper.ledger.lock(connection))
    assert room.record()["approvals_by_submitter_or_owner"] == 1.0
    assert json.loads(json.dumps(room.office.keeper.look(VERSION).standing.state)) == "awaiting_review", "and it counts for nothing"
