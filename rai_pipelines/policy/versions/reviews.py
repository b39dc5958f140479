"""Recorded reviews of a policy: when it was reviewed last, and by when it has to be reviewed again."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal

from rai_pipelines.evidence.model import Record
from rai_pipelines.policy.model import PolicyHeader

Outcome = Literal["kept", "to_be_changed"]


class PolicyReview(Record):
    """One review: of which version, on which day, what came out, the digest of the document that was read, and the signed statement that says so."""

    schema_version: Literal["rai.policy-review/v1"] = "rai.policy-review/v1"
    policy: str
    policy_digest: str
    reviewed_on: date
    outcome: Outcome
    document_digest: str
    decision: str


def review_due_on(header: PolicyHeader, last: PolicyReview | None) -> date:
    """By when the policy has to be reviewed: `review_by`, or `review_every_days` after the last review where that is later."""
    if last is None:
        return header.review_by
    return max(header.review_by, last.reviewed_on + timedelta(days=header.review_every_days))
