"""How a version stands at the gate, as it is kept, shown and written into the registry. Needs no database."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from rai_pipelines.evidence.model import Record
from rai_pipelines.policy.verdict import VerdictStatus

APPROVED_ALIAS, COMPLIANT_ALIAS = "approved", "compliant"
TAG_VERDICT, TAG_POLICY, TAG_EVIDENCE, TAG_AUDIT = "rai.verdict", "rai.policy", "rai.evidence", "rai.audit"
TAG_GATE, TAG_UNTIL = "rai.gate", "rai.approved_until"
COULD_NOT_AUDIT = "could_not_audit"

AliasMove = Literal["set", "kept", "moved_back", "removed", "left_with_newer", "not_set"]


class GateState(StrEnum):
    """Where a version stands. Only `approved` may be used."""

    AUDITED = "audited"  # judged, and not good enough to be reviewed
    AWAITING_REVIEW = "awaiting_review"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    REVOKED = "revoked"


class ReleaseDecision(StrEnum):
    """What the gate says to those who deploy."""

    RELEASE = "release"
    HOLD = "hold_for_review"
    BLOCK = "block"


class GateRecord(Record):
    """How a version stands and what the registry was told."""

    schema_version: Literal["rai.gate/v1"] = "rai.gate/v1"
    model_name: str
    model_version: str
    decision: ReleaseDecision
    state: GateState
    reason: str
    approved_until: str | None = None
    verdict: VerdictStatus
    verdict_digest: str
    binding_digest: str
    tags: dict[str, str]
    aliases: dict[str, AliasMove]
