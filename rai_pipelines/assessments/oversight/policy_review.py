"""By when the policy that a version is judged by has to be reviewed, and when it was reviewed last."""

from __future__ import annotations

from datetime import date

from rai_pipelines.assessments.base import Measured, Parameters
from rai_pipelines.evidence.model import Measurement


class PolicyReviewParameters(Parameters):
    """What the policy's header says about its reviews: the first day by which one is due, and the days from one to the next."""

    review_by: date
    review_every_days: int


def policy_review_measured(*, due_on: date, last_reviewed_on: date | None, decision: str | None) -> Measured:
    """The day by which the policy has to be reviewed, the last signed review, and the id of its signed statement."""
    return Measured(
        measurements=(Measurement(metric="policy_reviews_recorded", value=0.0 if last_reviewed_on is None else 1.0),),
        details={
            "due_on": due_on.isoformat(),
            "last_reviewed_on": last_reviewed_on.isoformat() if last_reviewed_on is not None else None,
            "decision": decision,
        },
    )
