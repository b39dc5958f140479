"""Whether a policy may approve anything here: published by a signature, never published at all, or refused."""

from __future__ import annotations

from enum import StrEnum

from rai_pipelines.evidence.model import Record


class PolicyStatus(StrEnum):
    """`unpublished`: no policy was ever published here (development). `refused`: some were, and this one is not one that counts today."""

    PUBLISHED = "published"
    UNPUBLISHED = "unpublished"
    REFUSED = "refused"


class PolicyStanding(Record):
    """How a policy stands, and why where it is refused. `decision` is the id of the signed statement that published it."""

    status: PolicyStatus = PolicyStatus.UNPUBLISHED
    problem: str | None = None
    decision: str | None = None

    @property
    def refused(self) -> bool:
        """Whether nothing may be approved under it."""
        return self.status is PolicyStatus.REFUSED
