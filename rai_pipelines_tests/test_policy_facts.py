"""What the review of a policy is told about waivers and incidents: what stands in the database, with reasons and lessons."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from rai_pipelines.audit import Auditor, build_auditor
from rai_pipelines.governance.cases.book import CaseBook
from rai_pipelines.governance.cases.case import CaseRequest, CaseState
from rai_pipelines.governance.database.engine import open_governance
from rai_pipelines.governance.decisions.statement import Words
from rai_pipelines.policy.model import Severity
from rai_pipelines.policy_facts import RecordedFacts, open_review_case
from rai_pipelines.settings import Settings
from rai_pipelines_tests.governance.office import START, WORDS, Office


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    engine = open_governance(Settings(home=tmp_path))
    yield Office(engine, tmp_path)
    engine.dispose()


@pytest.fixture
def auditor(office: Office) -> Auditor:
    settings = Settings(home=office.folder, keys_dir=office.keys, people_file=office.folder / "people.yaml")
    _ = office.keeper  # writes the people's file
    return build_auditor(settings)


def test_waivers_that_a_quorum_signed_are_told_with_their_reason(office: Office, auditor: Auditor) -> None:
    office.waive(office.waiver("DATA-B", version=None), "officer", "risk-owner")
    office.waive(office.waiver("PERF-B"), "officer")  # not enough
    (told,) = RecordedFacts(auditor).waivers_since(date(2026, 12, 1))
    assert (told.control, told.about, told.reason) == ("DATA-B", "loans/*", WORDS.meaning)
    assert RecordedFacts(auditor).waivers_since(date(2027, 6, 1)) == [], "it was over before"
    assert len(RecordedFacts(auditor).waivers_since(None)) == 1


def test_incidents_are_told_with_what_was_learnt(office: Office, auditor: Auditor) -> None:
    book = CaseBook(office.engine, office.keeper.ledger)
    fields: dict[str, Any] = {"kind": "gate_bypass", "severity": Severity.CRITICAL, "title": "t", "description": "d", "noticed_at": START}
    case = book.request(CaseRequest(key="k", model_name="loans", model_version="3", **fields))
    book.move(case.id, CaseState.CLOSED, source="here", lesson=Words(meaning="Aliases are protected now"))
    (told,) = RecordedFacts(auditor).incidents_since(date(2026, 12, 15))
    assert (told.about, told.status, told.lesson) == ("loans/3", "closed", "Aliases are protected now")
    assert RecordedFacts(auditor).incidents_since(date(2026, 12, 16)) == []


def test_the_review_case_is_opened_once_for_each_day_it_is_due_by(office: Office, auditor: Auditor) -> None:
    from rai_pipelines.policy_life.review import review_policy

    document, _ = review_policy(auditor.policy, auditor.store, auditor.settings, RecordedFacts(auditor))
    assert document.not_included == ()
    assert open_review_case(auditor, document) == open_review_case(auditor, document) == 1
    assert CaseBook(office.engine, office.keeper.ledger).get(1).request.kind == "policy_review"
