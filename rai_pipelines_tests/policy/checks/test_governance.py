"""Who answers for a model: declared, and acknowledged by the owner where the policy asks for it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rai_pipelines.errors import PolicyError
from rai_pipelines.evidence.model import Evidence, Status
from rai_pipelines.policy.findings import Finding, FindingStatus
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.model import Tier
from rai_pipelines.policy.verdict import Asked, judge_control
from rai_pipelines_tests.conftest import DAY, evidence
from rai_pipelines_tests.policy.policies import changed, extension, override, written
from rai_pipelines_tests.policy.test_verdict import good_evidence

WITHIN = {"declared_min": 1.0, "acknowledged_within_days": 90}
READS = ["registry_record", "signed_reviews"]


def judged(acknowledgement: Evidence | None, threshold: dict[str, Any] | None = None) -> Finding:
    policy = changed("ACCT-B", threshold=threshold or WITHIN, evidence=READS)
    control = policy.control("ACCT-B")
    assert control is not None
    found = {"registry_record": good_evidence()["registry_record"]}
    if acknowledgement is not None:
        found["signed_reviews"] = acknowledgement
    return judge_control(control, policy, found, Asked(tier=Tier.BASIC, release_class="internal", day=DAY))


def signed(days_ago: int, *, current: bool = True) -> Evidence:
    facts = {"signed_on": (DAY - timedelta(days=days_ago)).isoformat(), "current": current}
    return evidence("signed_reviews", details={"reviews": {"owner_acknowledgement": facts}})


@pytest.mark.parametrize(("days", "status"), [(0, FindingStatus.PASS), (90, FindingStatus.PASS), (91, FindingStatus.FAIL)])
def test_an_acknowledgement_holds_for_its_days_counted_to_the_day_of_the_verdict(days: int, status: FindingStatus) -> None:
    finding = judged(signed(days))
    assert finding.status is status
    assert set(finding.evidence) == set(READS)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (None, "has not acknowledged"),
        (evidence("signed_reviews", status=Status.ERROR, reason="the database was down"), "the database was down"),
        (evidence("signed_reviews", details={"reviews": {}}), "has not acknowledged"),
        (signed(1, current=False), "another datasheet"),
        (signed(-1), "later than the day of the verdict"),
    ],
)
def test_no_acknowledgement_one_of_something_else_and_one_from_the_future_read_missing(made: Evidence | None, words: str) -> None:
    finding = judged(made)
    assert finding.status is FindingStatus.MISSING and words in finding.reason


def test_nobody_has_to_sign_where_the_policy_does_not_ask() -> None:
    assert judged(None, {"declared_min": 1.0}).status is FindingStatus.PASS


def test_a_policy_that_asks_for_an_acknowledgement_names_it_as_evidence(tmp_path: Path) -> None:
    asks = override("ACCT-B", threshold={"acknowledged_within_days": 90})
    with pytest.raises(PolicyError, match="reads registry_record, signed_reviews"):
        read_policy(written(tmp_path, extension(overrides=[asks])))
    named = {**asks, "evidence": ["signed_reviews"]}
    control = read_policy(written(tmp_path, extension(overrides=[named]))).control("ACCT-B")
    assert control is not None and control.evidence == tuple(READS)
