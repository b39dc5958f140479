"""Recorded reviews of a policy: when it was reviewed last, and by when it has to be reviewed again."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from rai_pipelines.errors import PolicyError
from rai_pipelines.evidence.canonical import canonical_json, digest_of
from rai_pipelines.evidence.model import Record
from rai_pipelines.evidence.store import write_atomically
from rai_pipelines.policy.model import PolicyHeader


class PolicyReview(Record):
    """One review: of which version, on which day, what came out, and the digest of the document that was read."""

    schema_version: Literal["rai.policy-review/v1"] = "rai.policy-review/v1"
    policy: str
    policy_digest: str
    reviewed_on: date
    outcome: Literal["kept", "to_be_changed"]
    document_digest: str

    @property
    def digest(self) -> str:
        """`sha256:<hex>` over the canonical JSON of this record."""
        return digest_of(self)


def keep_review(review: PolicyReview, folder: Path) -> Path:
    """Keep the record below `folder`; safe to repeat."""
    name = review.policy.partition("@")[0]
    path = folder / "reviews" / name / f"{review.reviewed_on.isoformat()}-{review.digest[7:19]}.json"
    write_atomically(path, canonical_json(review))
    return path


def last_review(policy_id: str, folder: Path) -> PolicyReview | None:
    """The latest review of any version of the policy; None when there is none.

    Raises:
        PolicyError: a record cannot be read: whether the policy was reviewed is then not known.
    """
    found = []
    for path in sorted((folder / "reviews" / policy_id).glob("*.json")):
        try:
            found.append(PolicyReview.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError) as error:
            raise PolicyError("is no record of a review", where=str(path), hint="Restore it from a backup; the ledger names its digest") from error
    return max(found, key=lambda review: review.reviewed_on, default=None)


def review_due_on(header: PolicyHeader, last: PolicyReview | None) -> date:
    """By when the policy has to be reviewed: `review_by`, or `review_every_days` after the last review where that is later."""
    if last is None:
        return header.review_by
    return max(header.review_by, last.reviewed_on + timedelta(days=header.review_every_days))
