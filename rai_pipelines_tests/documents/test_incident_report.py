"""Drafts about an incident: what is known stands there, what only people know is asked for, and hostile words stay words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rai_pipelines.documents.incident_report import draft_post_mortem, draft_report
from rai_pipelines.governance.cases.case import Case, CaseRequest, CaseState
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.model import Severity
from rai_pipelines.policy.verdict import judge
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines_tests.conftest import DAY
from rai_pipelines_tests.house import datasheet

NOW = datetime(2026, 12, 15, 9, 0, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script> [x](javascript:alert(2)) | *b*"


def case(**changes: object) -> Case:
    request = CaseRequest(
        key="k",
        kind="incident",
        severity=Severity.CRITICAL,
        title=HOSTILE,
        description=HOSTILE,
        model_name="loans",
        model_version="3",
        noticed_at=NOW,
    )
    base = {"id": 7, "request": request, "state": CaseState.OPEN, "incident_class": "death", "aware_at": NOW}
    base |= {"report_due_at": NOW + timedelta(days=10)}
    return Case(**{**base, **changes})  # type: ignore[arg-type]


def test_the_report_says_class_ground_and_day_and_what_people_have_to_add() -> None:
    verdict = judge(read_policy(), {}, model_name="loans", model_version="3", day=DAY)
    text = draft_report(case(), [(NOW, "here", "opened: incident")], verdict, Datasheet.model_validate(datasheet()))
    assert "Art. 73(4)" in text and "Due: 2026-12-25 09:00 UTC" in text
    assert "Decide who gets a call first" in text and verdict.digest in text
    assert text.count("FILL IN") == 5
    assert "<script>" not in text and "](javascript" not in text


def test_without_a_verdict_or_a_datasheet_the_draft_asks_instead_of_guessing() -> None:
    text = draft_report(case(incident_class=None, report_due_at=None), [], None, None)
    assert text.count("FILL IN") == 11
    assert "Nothing was measured" in text


def test_the_post_mortem_tells_the_steps_and_asks_what_the_policy_has_to_learn() -> None:
    text = draft_post_mortem(case(), [(NOW, "jira", "moved to in_progress")], None)
    assert "2026-12-15 09:00 UTC, jira: moved to in\\_progress" in text
    assert "Which threshold, control or deadline of the policy has to change?" in text
    assert "<script>" not in text
