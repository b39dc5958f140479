"""What the registry is told: tags on the version and two aliases, worked out from the gate's present state, so that it can be told twice.

`approved` points at the newest version that may be used, and so falls back to the one before when an approval ends; `compliant` at the newest
whose verdict meets the policy, whether or not people have signed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import sqlalchemy as sa

from rai_pipelines.errors import EvidenceError, RegistryRefused, UnknownModelVersion
from rai_pipelines.governance.database.engine import reading
from rai_pipelines.governance.database.tables import gates, judgements
from rai_pipelines.governance.gate.moves import REGISTRY
from rai_pipelines.governance.gate.record import (
    APPROVED_ALIAS,
    COMPLIANT_ALIAS,
    COULD_NOT_AUDIT,
    TAG_AUDIT,
    TAG_EVIDENCE,
    TAG_GATE,
    TAG_POLICY,
    TAG_UNTIL,
    TAG_VERDICT,
    AliasMove,
    GateRecord,
    GateState,
    ReleaseDecision,
)
from rai_pipelines.governance.outbox import Deliver
from rai_pipelines.policy.verdict import VerdictStatus
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.registry import ModelRegistry

DECISIONS = {
    GateState.APPROVED: ReleaseDecision.RELEASE,
    GateState.AWAITING_REVIEW: ReleaseDecision.HOLD,
    GateState.EXPIRED: ReleaseDecision.HOLD,
    GateState.AUDITED: ReleaseDecision.BLOCK,
    GateState.REJECTED: ReleaseDecision.BLOCK,
    GateState.REVOKED: ReleaseDecision.BLOCK,
}


Settle = Callable[[ModelVersion, ModelRegistry], GateState | None]  # works the state of a version out anew, and writes it


def sync_registry(engine: sa.Engine, registry: ModelRegistry, version: ModelVersion, *, settle: Settle | None = None) -> GateRecord:
    """Tell the registry how `version` stands; safe to repeat, but not while another process tells about the same model (the outbox sees to that).

    With `settle`, a version is only told to be approved where that follows from what was decided, not because its row says so. About a version that
    is no longer in the registry nothing is told, and no alias goes to it.

    An alias that has to leave the version leaves before anything else is written, so that a crash in between errs on the safe side.

    Raises:
        EvidenceError: it was never at the gate.
        RegistryUnavailable: the registry did not take a write; run again.
    """
    gone: set[str] = set()
    known: set[str] = set()
    unknown = {version.version}
    while unknown:
        for number in sorted(unknown):
            looked_at = ModelVersion(version.name, number)
            if not is_registered(registry, looked_at):
                gone.add(number)
            elif settle is not None:
                settle(looked_at, registry)
        known |= unknown
        record, targets = _present(engine, version, gone)
        unknown = {target for target in targets.values() if target is not None} - known
    holders = registry.aliases(version.name)
    moves = {alias: plan_alias(version, holders.get(alias), target) for alias, target in targets.items()}
    for alias in sorted(moves, reverse=True):
        if moves[alias] == "removed":
            registry.delete_alias(alias, version.name)
        elif moves[alias] == "moved_back":
            registry.set_alias(alias, ModelVersion(version.name, str(targets[alias])))
    if version.version not in gone:
        registry.set_tags(version, record.tags)
    for alias, move in moves.items():
        if move == "set":
            registry.set_alias(alias, version)
    return record.model_copy(update={"aliases": moves})


def is_registered(registry: ModelRegistry, version: ModelVersion) -> bool:
    """Whether the registry still has the version.

    Raises:
        RegistryUnavailable: that is not known.
    """
    try:
        registry.get(version)
    except UnknownModelVersion:
        return False
    return True


def read_record(engine: sa.Engine, version: ModelVersion) -> GateRecord:
    """How the version stands, without telling anybody.

    Raises:
        EvidenceError: it was never at the gate.
    """
    return _present(engine, version)[0]


def plan_alias(version: ModelVersion, holder: str | None, target: str | None) -> AliasMove:
    """What happens to an alias that `holder` (a version number, or None) has now, when it belongs to `target`, as far as `version` is concerned."""
    if target == version.version:
        return "kept" if holder == target else "set"
    if holder == version.version:
        return "removed" if target is None else "moved_back"
    return "left_with_newer" if target is not None else "not_set"


def tag_failed_audit(version: ModelVersion, registry: ModelRegistry, *, judged_before: bool) -> None:
    """Say in the registry that the newest audit did not finish. An earlier verdict stands; a version without one has no verdict to show."""
    tags = {TAG_AUDIT: "failed"}
    if not judged_before:
        tags[TAG_VERDICT] = COULD_NOT_AUDIT
    registry.set_tags(version, tags)


def registry_deliveries(
    engine: sa.Engine, registry: ModelRegistry, told: Callable[[GateRecord], None] = lambda _: None, *, settle: Settle | None = None
) -> Mapping[str, Deliver]:
    """How the outbox tells the registry about the versions of a model; `told` hears of each, `settle` is as in `sync_registry`."""

    def deliver(payload: Mapping[str, Any]) -> None:
        refused: list[RegistryRefused] = []
        for key in payload["versions"]:
            try:
                told(sync_registry(engine, registry, ModelVersion.from_key(key), settle=settle))
            except RegistryRefused as error:  # about this version; the aliases of its model may belong to another one
                refused.append(error)
        if refused:
            raise refused[0]

    return {REGISTRY: deliver}


def _present(engine: sa.Engine, version: ModelVersion, gone: Collection[str] = ()) -> tuple[GateRecord, dict[str, str | None]]:
    """The record of the version, and which version of its model each alias belongs to: none of those that are `gone`."""
    mine = (gates.c.model_name == version.name) & (gates.c.model_version == version.version)
    left = gates.c.model_version.not_in(list(gone))
    with reading(engine) as connection:
        row = connection.execute(sa.select(gates).where(mine)).first()
        judged = judgements.c
        about = (judged.model_name == version.name) & (judged.model_version == version.version)
        newest = connection.execute(sa.select(judgements).where(about).order_by(judged.id.desc()).limit(1)).first()
        targets = {
            APPROVED_ALIAS: _newest(connection, version.name, left & (gates.c.state == GateState.APPROVED.value)),
            COMPLIANT_ALIAS: _newest(connection, version.name, left & (gates.c.effective_status == VerdictStatus.COMPLIANT.value)),
        }
    if row is None or newest is None:
        raise EvidenceError("was never at the gate", where=str(version), hint=f"Run: rai audit {version}")
    state = GateState(row.state)
    until = None if row.approved_until is None else row.approved_until.isoformat(timespec="seconds")
    record = GateRecord(
        model_name=version.name,
        model_version=version.version,
        decision=DECISIONS[state],
        state=state,
        reason=row.reason,
        approved_until=until,
        verdict=VerdictStatus(row.effective_status),
        verdict_digest=row.verdict_digest,
        binding_digest=row.binding_digest,
        tags={
            TAG_VERDICT: row.effective_status,
            TAG_POLICY: row.policy,
            TAG_EVIDENCE: row.verdict_digest,
            TAG_AUDIT: "finished",
            TAG_GATE: state.value,
            TAG_UNTIL: until or "",
        },
        aliases={},
    )
    return record, targets


def _newest(connection: sa.Connection, name: str, condition: sa.ColumnElement[bool]) -> str | None:
    """The newest version of the model for which that is so."""
    chosen = sa.select(gates.c.model_version).where(gates.c.model_name == name, condition)
    row = connection.execute(chosen.order_by(gates.c.created_ms.desc(), gates.c.model_version.desc()).limit(1)).first()
    return None if row is None else str(row.model_version)
