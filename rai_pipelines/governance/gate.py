"""The release gate: what a verdict means for the registry. It reads the verdict itself and never relies on a blocked check."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Literal

from rai_pipelines.evidence.model import Record
from rai_pipelines.policy.verdict import Verdict, VerdictStatus
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.registry import ModelRegistry

COMPLIANT_ALIAS = "compliant"
TAG_VERDICT, TAG_POLICY, TAG_EVIDENCE = "rai.verdict", "rai.policy", "rai.evidence"
TAG_AUDIT = "rai.audit"
COULD_NOT_AUDIT = "could_not_audit"

AliasMove = Literal["set", "kept", "removed", "left_with_newer", "not_set"]


class Decision(StrEnum):
    """What the gate says to those who deploy."""

    RELEASE = "release"
    HOLD = "hold_for_review"
    BLOCK = "block"


class GateRecord(Record):
    """What the gate decided and what it wrote into the registry."""

    schema_version: Literal["rai.gate/v1"] = "rai.gate/v1"
    model_name: str
    model_version: str
    decision: Decision
    verdict_digest: str
    tags: dict[str, str]
    alias: AliasMove


_DECISIONS = {
    VerdictStatus.COMPLIANT: Decision.RELEASE,
    VerdictStatus.NEEDS_REVIEW: Decision.HOLD,
    VerdictStatus.NON_COMPLIANT: Decision.BLOCK,
}


def apply_gate(verdict: Verdict, registry: ModelRegistry) -> GateRecord:
    """Write the verdict's tags and move the `compliant` alias; safe to repeat.

    A version that is not compliant loses the alias before anything else is written, so that a crash in between errs on the safe side.

    Raises:
        RegistryUnavailable: the registry did not take a write; run again.
    """
    version = ModelVersion(verdict.model_name, verdict.model_version)
    move = plan_alias(verdict.status, version, registry.aliases(version.name).get(COMPLIANT_ALIAS), _created(registry))
    if move == "removed":
        registry.delete_alias(COMPLIANT_ALIAS, version.name)
    tags = {
        TAG_VERDICT: verdict.status.value,
        TAG_POLICY: f"{verdict.policy} {verdict.policy_digest}",
        TAG_EVIDENCE: verdict.digest,
        TAG_AUDIT: "finished",
    }
    registry.set_tags(version, tags)
    if move == "set":
        registry.set_alias(COMPLIANT_ALIAS, version)
    return GateRecord(
        model_name=version.name,
        model_version=version.version,
        decision=_DECISIONS[verdict.status],
        verdict_digest=verdict.digest,
        tags=tags,
        alias=move,
    )


def tag_failed_audit(version: ModelVersion, registry: ModelRegistry, *, judged_before: bool) -> None:
    """Say in the registry that the newest audit did not finish. An earlier verdict stands; a version without one has no verdict to show."""
    tags = {TAG_AUDIT: "failed"}
    if not judged_before:
        tags[TAG_VERDICT] = COULD_NOT_AUDIT
    registry.set_tags(version, tags)


def plan_alias(status: VerdictStatus, version: ModelVersion, holder: str | None, created_ms: Callable[[ModelVersion], int]) -> AliasMove:
    """What happens to the alias that `holder` (a version number, or None) has now. The newest compliant version gets it."""
    if status is not VerdictStatus.COMPLIANT:
        return "removed" if holder == version.version else "not_set"
    if holder == version.version:
        return "kept"
    if holder is not None and created_ms(ModelVersion(version.name, holder)) > created_ms(version):
        return "left_with_newer"
    return "set"


def _created(registry: ModelRegistry) -> Callable[[ModelVersion], int]:
    return lambda version: registry.get(version).created_ms
