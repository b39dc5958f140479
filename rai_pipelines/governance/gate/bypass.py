"""Who goes around the gate: an alias or tag that means "in use" and points at a version that is not approved. Noticed once each time it happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from rai_pipelines.errors import RaiError, RegistryRefused, RegistryUnavailable
from rai_pipelines.governance.cases.case import CaseRequest
from rai_pipelines.governance.cases.request import request_case
from rai_pipelines.governance.database.engine import reading
from rai_pipelines.governance.database.tables import bypasses, gates
from rai_pipelines.governance.gate.keeper import Gatekeeper
from rai_pipelines.governance.gate.record import GateState
from rai_pipelines.governance.ledger.storage import Happening
from rai_pipelines.policy.model import Severity
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.registry import LivePointer, ModelRegistry

ACTOR = "system:bypass_watch"
LOOK_EVERY_S = 30
LOOKED_AT = 50  # approved versions in use that are worked out anew in one look; where there are more, each look takes the next ones


@dataclass(frozen=True)
class Bypass:
    """A pointer at a version that may not be used, since when, and whether it was noticed in this round."""

    pointer: LivePointer
    why: str
    since: datetime
    new: bool


def watch_pointers(keeper: Gatekeeper, registry: ModelRegistry) -> list[Bypass]:
    """Compare what is in use with what is approved; each bypass is recorded, and its case requested, when it is first seen.

    Where the policy says `enforce`, an alias is put back to the newest approved version, or taken away where there is none. Tags and
    pointers of other kinds are reported only.

    Raises:
        RegistryUnavailable: nothing is known, and nothing is changed; or an alias could not be put back, and all others were.
        RegistryRefused: so, by a registry that protects the alias.
    """
    pointers = registry.live_pointers()
    _settle(keeper, registry, sorted({pointer.version for pointer in pointers}, key=lambda version: version.key))
    with keeper.engine.begin() as connection:
        now = keeper.ledger.lock(connection)
        states = _states(connection, {pointer.version.name for pointer in pointers})
        found = [(pointer, why) for pointer in pointers if (why := _why_not(states.get(pointer.version))) is not None]
        noticed = _note(connection, keeper, found, now)
    if keeper.policy.release.bypass == "enforce":
        refused: list[RaiError] = []
        for bypass in noticed:
            try:
                _put_back(keeper, registry, bypass.pointer)
            except (RegistryUnavailable, RegistryRefused) as error:  # of one model: that keeps no other bypass from being undone
                refused.append(error)
        if refused:
            raise refused[0]
    return noticed


def _settle(keeper: Gatekeeper, registry: ModelRegistry, versions: Sequence[ModelVersion]) -> None:
    """Work approved versions out anew: a row that somebody wrote as approved is no approval."""
    with reading(keeper.engine) as connection:
        states = _states(connection, {version.name for version in versions})
    approved = [version for version in versions if states.get(version) == GateState.APPROVED.value]
    start = int(keeper.clock().timestamp()) // LOOK_EVERY_S * LOOKED_AT % max(len(approved), 1)
    for version in [*approved[start:], *approved[:start]][:LOOKED_AT]:
        keeper.settled(version, registry)


def _states(connection: sa.Connection, names: set[str]) -> dict[ModelVersion, str]:
    chosen = sa.select(gates.c.model_name, gates.c.model_version, gates.c.state).where(gates.c.model_name.in_(sorted(names)))
    return {ModelVersion(row.model_name, row.model_version): row.state for row in connection.execute(chosen)}


def _why_not(state: str | None) -> str | None:
    if state == GateState.APPROVED.value:
        return None
    return "was never audited" if state is None else f"is {state.replace('_', ' ')}"


def _note(connection: sa.Connection, keeper: Gatekeeper, found: Sequence[tuple[LivePointer, str]], now: datetime) -> list[Bypass]:
    """Record the new ones, end those that are over, and return all that stand."""
    open_rows: dict[tuple[str, str, str], Any] = {
        (row.model_name, row.pointer, row.model_version): row for row in connection.execute(sa.select(bypasses).where(bypasses.c.ended_at.is_(None)))
    }
    standing: list[Bypass] = []
    for pointer, why in found:
        key = (pointer.version.name, pointer.name, pointer.version.version)
        row = open_rows.pop(key, None)
        if row is None:
            values = {"model_name": key[0], "pointer": key[1], "model_version": key[2], "seen_at": now}
            number = connection.execute(bypasses.insert().values(**values).returning(bypasses.c.id)).scalar_one()
            body: dict[str, Any] = {"pointer": pointer.name, "state": why}
            keeper.ledger.append_within(connection, Happening("bypass", ACTOR, body, key[0], key[2]))
            request_case(connection, keeper.ledger, _case(pointer, why, number, now), now=now)
        standing.append(Bypass(pointer, why, now if row is None else row.seen_at, row is None))
    for row in open_rows.values():
        connection.execute(bypasses.update().where(bypasses.c.id == row.id).values(ended_at=now))
        keeper.ledger.append_within(connection, Happening("bypass_ended", ACTOR, {"pointer": row.pointer}, row.model_name, row.model_version))
    return standing


def _case(pointer: LivePointer, why: str, number: int, now: datetime) -> CaseRequest:
    return CaseRequest(
        key=f"bypass:{number}",
        kind="gate_bypass",
        severity=Severity.CRITICAL,
        title=f"{pointer.version} is in use without approval",
        description=f"The registry's {pointer.kind} {pointer.name!r} points at version {pointer.version.version}, which {why}. "
        "Find out who moved it and why; put it back, or have the version audited and approved.",
        model_name=pointer.version.name,
        model_version=pointer.version.version,
        noticed_at=now,
    )


def _put_back(keeper: Gatekeeper, registry: ModelRegistry, pointer: LivePointer) -> None:
    if pointer.kind != "alias":
        return
    target = _newest_approved(keeper, registry, pointer.version.name)
    if target is None:
        registry.delete_alias(pointer.name, pointer.version.name)
    else:
        registry.set_alias(pointer.name, ModelVersion(pointer.version.name, str(target)))
    body: dict[str, Any] = {"pointer": pointer.name, "from": pointer.version.version, "to": target}
    keeper.ledger.append(Happening("bypass_undone", ACTOR, body, pointer.version.name, pointer.version.version))


def _newest_approved(keeper: Gatekeeper, registry: ModelRegistry, name: str) -> str | None:
    """The newest version of the model that is approved, worked out anew."""
    while True:
        with reading(keeper.engine) as connection:
            chosen = sa.select(gates.c.model_version).where(gates.c.model_name == name, gates.c.state == GateState.APPROVED.value)
            target = connection.execute(chosen.order_by(gates.c.created_ms.desc(), gates.c.model_version.desc()).limit(1)).scalar()
        if target is None or keeper.settled(ModelVersion(name, str(target)), registry) is GateState.APPROVED:
            return None if target is None else str(target)
