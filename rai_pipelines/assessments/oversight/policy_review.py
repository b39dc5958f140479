"""By when the policy that a version is judged by has to be reviewed, and when it was reviewed last."""

from __future__ import annotations

from datetime import date

from rai_pipelines.assessments.base import AuditContext, Measured, Parameters
from rai_pipelines.evidence.model import Measurement


class PolicyReviewParameters(Parameters):
    """What the policy's header and the records of its reviews say. `last_review_digest` is that of the record."""

    due_on: date
    last_reviewed_on: date | None = None
    last_review_digest: str | None = None


def assess_policy_review(_: AuditContext, parameters: PolicyReviewParameters) -> Measured:
    """The day is a fact of the policy; whether it has passed is judged on the day of the verdict."""
    last = parameters.last_reviewed_on
    return Measured(
        measurements=(Measurement(metric="policy_reviews_recorded", value=0.0 if last is None else 1.0),),
        details={"due_on": parameters.due_on.isoformat(), "last_reviewed_on": last.isoformat() if last is not None else None},
    )
