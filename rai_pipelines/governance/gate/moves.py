"""A change of state as it is written: the history, the ledger, and what the registry has to be told, in the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from rai_pipelines.governance.database.tables import gate_transitions
from rai_pipelines.governance.gate.record import GateState
from rai_pipelines.governance.gate.rows import row_of, write_row
from rai_pipelines.governance.gate.state import Standing
from rai_pipelines.governance.ledger.storage import Happening, Ledger
from rai_pipelines.governance.outbox import put
from rai_pipelines.policy.verdict import VerdictStatus
from rai_pipelines.subjects.names import ModelVersion

ACTOR = "system:release_gate"
REGISTRY = "registry"  # the outbox's kind for what the registry is told


@dataclass(frozen=True)
class Moved:
    """A version whose state changed by itself."""

    version: ModelVersion
    standing: Standing


def record_move(
    ledger: Ledger, connection: sa.Connection, version: ModelVersion, binding: str, *, before: str | None, found: Standing, now: datetime
) -> None:
    """Write that a version went from one state to another."""
    connection.execute(
        gate_transitions.insert().values(
            model_name=version.name,
            model_version=version.version,
            before=before,
            after=found.state.value,
            reason=found.reason,
            binding_digest=binding,
            recorded_at=now,
        )
    )
    body: dict[str, Any] = {"before": before, "after": found.state.value, "binding": binding}
    ledger.append_within(connection, Happening("gate_state", ACTOR, body, version.name, version.version))
    tell_registry(connection, version, now)


def distrust(ledger: Ledger, connection: sa.Connection, version: ModelVersion, why: str, now: datetime) -> Moved:
    """Take the approval of a version back whose verdict or binding cannot be read: what cannot be verified is not approved."""
    row = row_of(connection, version)
    found = Standing(GateState.REVOKED, why)
    values = {"state": found.state.value, "since": now, "reason": why, "approved_until": None, "due_at": None}
    write_row(connection, version, row, {**values, "effective_status": VerdictStatus.NON_COMPLIANT.value})
    record_move(ledger, connection, version, row.binding_digest, before=row.state, found=found, now=now)
    return Moved(version, found)


def tell_registry(connection: sa.Connection, version: ModelVersion, now: datetime) -> None:
    """By model: its versions share the aliases, so one process at a time tells about any of them."""
    put(connection, REGISTRY, registry_key(version), {"versions": [version.key]}, now=now, anew=True, joined="versions")


def registry_key(version: ModelVersion) -> str:
    """The outbox's key for what the registry is told about the model of that version."""
    return version.key.split("/")[0]
