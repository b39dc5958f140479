"""The policy's own review, judged on the day of the verdict, and a review log that lacks what the policy asks for."""

from __future__ import annotations

from datetime import date, timedelta

from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.model import Tier
from rai_pipelines.policy.verdict import Asked, judge_control
from rai_pipelines.policy.versions.reviews import PolicyReview, review_due_on
from rai_pipelines_tests.conftest import evidence, figure

DUE = date(2027, 11, 1)


def outcome(day: date, due_on: str) -> FindingStatus:
    policy = read_policy()
    control = policy.control("POLI-B")
    assert control is not None
    made = evidence("policy_review", figure("policy_reviews_recorded", 1.0), details={"due_on": due_on})
    return judge_control(control, policy, {"policy_review": made}, Asked(tier=Tier.BASIC, release_class="internal", day=day)).status


def test_the_control_fails_from_the_day_after_the_review_was_due() -> None:
    assert outcome(DUE, DUE.isoformat()) is FindingStatus.PASS
    assert outcome(DUE + timedelta(days=1), DUE.isoformat()) is FindingStatus.FAIL
    assert outcome(DUE, "") is FindingStatus.MISSING


def test_a_review_moves_the_day_and_an_early_one_does_not_bring_it_forward() -> None:
    header = read_policy().policy

    def reviewed(on: date) -> PolicyReview:
        read = {"document_digest": "sha256:" + "0" * 64, "decision": "sha256:" + "1" * 64}
        return PolicyReview(policy="rai-default@1.0.0", policy_digest=read_policy().digest, reviewed_on=on, outcome="kept", **read)

    assert review_due_on(header, None) == DUE
    assert review_due_on(header, reviewed(date(2026, 11, 2))) == date(2027, 11, 2)
    assert review_due_on(header, reviewed(date(2026, 6, 1))) == DUE


def test_figures_that_the_log_does_not_hold_read_missing() -> None:
    policy = read_policy()
    control = policy.control("ACCT-S")
    assert control is not None
    asked = Asked(tier=Tier.STANDARD, release_class="internal", day=date(2027, 12, 15))
    finding = judge_control(control, policy, {"human_oversight": evidence("human_oversight")}, asked)
    assert finding.status is FindingStatus.MISSING
    assert len(finding.figures) == 5 and {figure.status for figure in finding.figures} == {FindingStatus.MISSING}
