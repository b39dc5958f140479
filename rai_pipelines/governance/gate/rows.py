"""What stands at the gate in the database: found, verified against its digests, and written where it changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from pydantic import ValidationError

from rai_pipelines.errors import EvidenceError
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.store import EvidenceStore
from rai_pipelines.governance.database.tables import bindings, gate_transitions, gates, judgements
from rai_pipelines.governance.gate.binding import Binding
from rai_pipelines.governance.gate.record import GateState
from rai_pipelines.policy.verdict import Verdict
from rai_pipelines.subjects.names import ModelVersion


@dataclass(frozen=True)
class Making:
    """How a verdict came about: by a whole audit or by a look at `production` between two, and for which month (`2026-11`) it was asked for."""

    month: str | None = None
    scope: Literal["audit", "production"] = "audit"


WHOLE_AUDIT = Making()


def row_of(connection: sa.Connection, version: ModelVersion) -> Any:
    """The row of the version; None when it was never at the gate."""
    return connection.execute(sa.select(gates).where(gates.c.model_name == version.name, gates.c.model_version == version.version)).first()


def versions_where(connection: sa.Connection, condition: sa.ColumnElement[bool], *, limit: int | None = None) -> list[ModelVersion]:
    """Versions at the gate for which that is so, the first due first."""
    chosen = sa.select(gates.c.model_name, gates.c.model_version).where(condition).order_by(gates.c.due_at, gates.c.model_name).limit(limit)
    return [ModelVersion(row.model_name, row.model_version) for row in connection.execute(chosen)]


def present(connection: sa.Connection, store: EvidenceStore, version: ModelVersion) -> tuple[Binding, Verdict]:
    """The binding and the verdict that stand at the gate.

    Raises:
        EvidenceError: the version was never at the gate, one of the two is gone or was altered, or they are not those that came to it last.
    """
    row = row_of(connection, version)
    if row is None:
        raise EvidenceError("was never at the gate", where=str(version), hint=f"Run: rai audit {version}")
    binding = read_binding(connection, row.binding_digest)
    if binding is None:
        hint = "Restore the database from a backup, and verify the ledger"
        raise EvidenceError("what was bound at the gate was altered", where=str(version), hint=hint)
    judged = judgements.c
    mine = (judged.model_name == version.name) & (judged.model_version == version.version)
    last = connection.execute(sa.select(judged.verdict_digest, judged.binding_digest).where(mine).order_by(judged.id.desc()).limit(1)).first()
    if last is None or (last.verdict_digest, last.binding_digest) != (row.verdict_digest, row.binding_digest):
        hint = "Find out who wrote to the database, and audit the version again"
        raise EvidenceError("what stands at the gate is not what came to it last", where=str(version), hint=hint)
    return binding, store.get(row.verdict_digest, Verdict)


def read_binding(connection: sa.Connection, digest: str) -> Binding | None:
    """The binding with that digest; None where there is none, or what is kept under it is something else."""
    kept = connection.execute(sa.select(bindings.c.content).where(bindings.c.digest == digest)).scalar()
    try:
        binding = None if kept is None else Binding.model_validate_json(kept)
    except ValidationError:
        return None
    return binding if binding is not None and binding.digest == digest else None


def state_of(row: Any) -> GateState | None:
    """The state that stands in the row; None where it is none."""
    return GateState(row.state) if row.state in set(GateState) else None


def keep_binding(connection: sa.Connection, binding: Binding) -> None:
    """Keep what can be signed, once."""
    if connection.execute(sa.select(bindings.c.digest).where(bindings.c.digest == binding.digest)).first() is None:
        connection.execute(bindings.insert().values(digest=binding.digest, content=canonical_json(binding).decode()))


def keep_judgement(connection: sa.Connection, judged: tuple[Verdict, Verdict], binding: Binding, *, now: datetime, made: Making) -> None:
    """Keep that the verdict came to the gate, what it was after waivers, and how it was made."""
    verdict, effective = judged
    connection.execute(
        judgements.insert().values(
            model_name=verdict.model_name,
            model_version=verdict.model_version,
            verdict_digest=verdict.digest,
            status=verdict.status.value,
            effective_status=effective.status.value,
            risk_class=verdict.risk_class,
            policy_digest=verdict.policy_digest,
            binding_digest=binding.digest,
            judged_for=verdict.judged_for,
            month=made.month,
            scope=made.scope,
            recorded_at=now,
        )
    )


def write_row(connection: sa.Connection, version: ModelVersion, row: Any, values: Mapping[str, Any]) -> None:
    """Write how the version stands, where it differs from `row` (None: it comes to the gate for the first time)."""
    if row is None:
        connection.execute(gates.insert().values(model_name=version.name, model_version=version.version, **values))
    elif any(getattr(row, name) != value for name, value in values.items()):
        mine = (gates.c.model_name == version.name) & (gates.c.model_version == version.version)
        connection.execute(gates.update().where(mine).values(**values))


def approved_before(connection: sa.Connection, version: ModelVersion) -> str | None:
    """The digest of the binding that was approved when the version last was; None when it never was."""
    where = (gate_transitions.c.model_name == version.name) & (gate_transitions.c.model_version == version.version)
    chosen = sa.select(gate_transitions.c.binding_digest).where(where, gate_transitions.c.after == GateState.APPROVED.value)
    row = connection.execute(chosen.order_by(gate_transitions.c.id.desc()).limit(1)).first()
    return None if row is None else str(row.binding_digest)


def class_asked(connection: sa.Connection, version: ModelVersion, declared: str, *, created_ms: int) -> str:
    """The risk class by whose rules people decide: the highest of the declared one, that under which the version itself was approved last, and that
    under which the version before it was; for a version that was never approved and has none before it, any other approved one.

    The owner declares the class: a lower one takes effect when those have approved it who approved what was there before.
    """
    moved = gate_transitions.c
    approved = sa.select(moved.id).where(
        moved.model_name == gates.c.model_name, moved.model_version == gates.c.model_version, moved.after == GateState.APPROVED.value
    )
    others = (gates.c.model_name == version.name) & (gates.c.model_version != version.version) & approved.exists()
    chosen = sa.select(gates.c.model_version).where(others).order_by(gates.c.created_ms.desc()).limit(1)
    own = _class_approved(connection, version)
    before = connection.execute(chosen.where(gates.c.created_ms <= created_ms)).scalar()
    if before is None and own is None:
        before = connection.execute(chosen).scalar()
    other = None if before is None else _class_approved(connection, ModelVersion(version.name, str(before)))
    return max([declared, *(found for found in (own, other) if found is not None)], key=_rank)


def _class_approved(connection: sa.Connection, version: ModelVersion) -> str | None:
    """The class that the version declared when it last was approved: what it declares today, its owner may have changed since."""
    judged = judgements.c
    mine = (
        (judged.model_name == version.name)
        & (judged.model_version == version.version)
        & (judged.binding_digest == approved_before(connection, version))
    )
    found = connection.execute(sa.select(judged.risk_class).where(mine).order_by(judged.id.desc()).limit(1)).scalar()
    return None if found is None else str(found)


def _rank(risk_class: str) -> int:
    """Unknown is high."""
    return {"low": 0, "limited": 1}.get(risk_class, 2)
