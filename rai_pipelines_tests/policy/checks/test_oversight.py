"""The policy's own review, judged on the day of the verdict, and a review log that lacks what the policy asks for."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from rai_pipelines.errors import PolicyError
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.model import Tier
from rai_pipelines.policy.verdict import Asked, judge_control
from rai_pipelines.policy.versions.reviews import PolicyReview, keep_review, last_review, review_due_on
from rai_pipelines.settings import Settings
from rai_pipelines.steps import assessment_of
from rai_pipelines_tests.conftest import evidence, figure

DUE = date(2027, 11, 1)
READ = "sha256:" + "0" * 64


def outcome(day: date, due_on: str) -> FindingStatus:
    policy = read_policy()
    control = policy.control("POLI-B")
    assert control is not None
    made = evidence("policy_review", figure("policy_reviews_recorded", 1.0), details={"due_on": due_on})
    return judge_control(control, policy, {"policy_review": made}, Asked(tier=Tier.BASIC, release_class="internal", day=day)).status


def reviewed(folder: Path, on: date, version: str = "1.0.0") -> PolicyReview:
    policy = f"rai-default@{version}"
    review = PolicyReview(policy=policy, policy_digest=read_policy().digest, reviewed_on=on, outcome="kept", document_digest=READ)
    keep_review(review, folder)
    return review


def test_the_control_fails_from_the_day_after_the_review_was_due() -> None:
    assert outcome(DUE, DUE.isoformat()) is FindingStatus.PASS
    assert outcome(DUE + timedelta(days=1), DUE.isoformat()) is FindingStatus.FAIL
    assert outcome(DUE, "") is FindingStatus.MISSING


def test_a_recorded_review_moves_the_day_and_an_early_one_does_not_bring_it_forward(tmp_path: Path) -> None:
    header = read_policy().policy
    assert review_due_on(header, last_review("rai-default", tmp_path)) == DUE
    reviewed(tmp_path, date(2026, 11, 2))
    assert review_due_on(header, last_review("rai-default", tmp_path)) == date(2027, 11, 2)
    reviewed(tmp_path, date(2026, 6, 1), "0.9.0")
    assert review_due_on(header, last_review("rai-default", tmp_path)) == date(2027, 11, 2), "the latest review counts"
    assert last_review("lending", tmp_path) is None


def test_an_audit_takes_the_day_from_header_and_records(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    reviewed(settings.policies_path, date(2027, 10, 1))
    parameters = assessment_of("policy_review", read_policy(), settings)[1]
    assert parameters.model_dump(mode="json")["due_on"] == "2028-09-30"


def test_a_record_that_cannot_be_read_is_not_taken_for_no_review(tmp_path: Path) -> None:
    folder = tmp_path / "reviews" / "rai-default"
    folder.mkdir(parents=True)
    (folder / "2026-01-01-x.json").write_text("{", encoding="utf-8")
    with pytest.raises(PolicyError, match="no record of a review"):
        last_review("rai-default", tmp_path)


def test_figures_that_the_log_does_not_hold_read_missing() -> None:
    policy = read_policy()
    control = policy.control("ACCT-S")
    assert control is not None
    asked = Asked(tier=Tier.STANDARD, release_class="internal", day=date(2027, 12, 15))
    finding = judge_control(control, policy, {"human_oversight": evidence("human_oversight")}, asked)
    assert finding.status is FindingStatus.MISSING
    assert len(finding.figures) == 5 and {figure.status for figure in finding.figures} == {FindingStatus.MISSING}
