"""Who goes around the gate: an alias or tag that means "in use" and points at a version that is not approved. Noticed once each time it happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from rai_pipelines.errors import RaiError, RegistryRefused, RegistryUnavailable, UnknownModelVersion
from rai_pipelines.governance.cases.case import CaseRequest
from rai_pipelines.governance.cases.request import request_case
from rai_pipelines.governance.database.engine import reading
from rai_pipelines.governance.database.tables import bypasses, gates, outbox
from rai_pipelines.governance.gate.keeper import Gatekeeper
from rai_pipelines.governance.gate.moves import REGISTRY, registry_key
from rai_pipelines.governance.gate.record import APPROVED_ALIAS, GateState
from rai_pipelines.governance.gate.registry_sync import is_registered
from rai_pipelines.governance.ledger.storage import Happening
from rai_pipelines.policy.model import Severity
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.registry import LivePointer, ModelRegistry

ACTOR = "system:bypass_watch"
LOOK_EVERY_S = 30
LOOKED_AT = 50  # approved versions in use that are worked out anew in one look; where there are more, each look takes the next ones

LOOKED_AT_BESIDE = 10  # further approved versions, in use or not, in one look


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
    pointers of other kinds are reported only. The gate's own alias for the newest approved version is put right whatever the policy says.

    Raises:
        RegistryUnavailable: nothing is known, and nothing is changed.
        RegistryUnavailable, RegistryRefused: an alias could not be put back; the others were, and the next look tries again.
    """
    listed = registry.live_pointers(also=(APPROVED_ALIAS,))
    pointers = [pointer for pointer in listed if pointer.name != APPROVED_ALIAS or pointer.kind != "alias"]
    moved = _own_alias_moved(keeper, registry, [pointer for pointer in listed if pointer not in pointers])
    _settle(keeper, registry, sorted({pointer.version for pointer in pointers}, key=lambda version: version.key))
    with keeper.engine.begin() as connection:
        now = keeper.ledger.lock(connection)
        states = _states(connection, {pointer.version.name for pointer in pointers})
        found = [(pointer, why) for pointer in pointers if (why := _why_not(states.get(pointer.version))) is not None]
        noticed = _note(connection, keeper, [*found, *moved], now)
    enforced = keeper.policy.release.bypass == "enforce"
    _put_all_back(keeper, registry, [bypass.pointer for bypass in noticed if enforced or bypass.pointer not in pointers])
    return noticed


def _own_alias_moved(keeper: Gatekeeper, registry: ModelRegistry, pointers: Sequence[LivePointer]) -> list[tuple[LivePointer, str]]:
    """Where the gate's own alias stands on a version that is not approved, and the registry has not still to be told so.

    States are read before the alias is asked for again: what another process told the registry meanwhile is seen then.
    """
    with reading(keeper.engine) as connection:
        states = _states(connection, {pointer.version.name for pointer in pointers})
        chosen = sa.select(outbox.c.key).where(outbox.c.kind == REGISTRY, outbox.c.done_at.is_(None))
        waiting = set(connection.execute(chosen).scalars())
    found = [(pointer, why) for pointer in pointers if (why := _why_not(states.get(pointer.version))) is not None]
    settled = [(pointer, why) for pointer, why in found if registry_key(pointer.version) not in waiting]
    return [(pointer, why) for pointer, why in settled if registry.aliases(pointer.version.name).get(pointer.name) == pointer.version.version]


def _settle(keeper: Gatekeeper, registry: ModelRegistry, versions: Sequence[ModelVersion]) -> None:
    """Work approved versions out anew, those in use and some of the others: a row that somebody wrote as approved is no approval, and one whose
    signers lost their role, or their key, is none any more.
    """
    look = int(keeper.clock().timestamp()) // LOOK_EVERY_S
    with reading(keeper.engine) as connection:
        states = _states(connection, {version.name for version in versions})
        approved = [version for version in versions if states.get(version) == GateState.APPROVED.value]
        others = _approved_at(connection, look)
    start = look * LOOKED_AT % max(len(approved), 1)
    for version in dict.fromkeys([*[*approved[start:], *approved[:start]][:LOOKED_AT], *others]):
        keeper.settled(version, registry)


def _approved_at(connection: sa.Connection, look: int) -> list[ModelVersion]:
    """The approved versions, in use or not, whose turn it is in that look."""
    so = gates.c.state == GateState.APPROVED.value
    count = connection.execute(sa.select(sa.func.count()).select_from(gates).where(so)).scalar_one()
    chosen = sa.select(gates.c.model_name, gates.c.model_version).where(so).order_by(gates.c.model_name, gates.c.model_version)
    turn = connection.execute(chosen.offset(look * LOOKED_AT_BESIDE % max(count, 1)).limit(LOOKED_AT_BESIDE))
    return [ModelVersion(row.model_name, row.model_version) for row in turn]


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


def _put_all_back(keeper: Gatekeeper, registry: ModelRegistry, pointers: Sequence[LivePointer]) -> None:
    """Put every alias back; one that cannot be keeps no other from it."""
    problems: list[RaiError] = []
    for pointer in pointers:
        try:
            _put_back(keeper, registry, pointer)
        except (RegistryUnavailable, RegistryRefused, UnknownModelVersion) as error:
            problems.append(error)
    if problems:
        raise problems[0]


def _put_back(keeper: Gatekeeper, registry: ModelRegistry, pointer: LivePointer) -> None:
    if pointer.kind != "alias" or registry.aliases(pointer.version.name).get(pointer.name) != pointer.version.version:  # or mended meanwhile
        return
    target = _newest_approved(keeper, registry, pointer.version.name)
    if target is None:
        registry.delete_alias(pointer.name, pointer.version.name)
    else:
        registry.set_alias(pointer.name, ModelVersion(pointer.version.name, str(target)))
    body: dict[str, Any] = {"pointer": pointer.name, "from": pointer.version.version, "to": target}
    keeper.ledger.append(Happening("bypass_undone", ACTOR, body, pointer.version.name, pointer.version.version))


def _newest_approved(keeper: Gatekeeper, registry: ModelRegistry, name: str) -> str | None:
    """The newest version of the model that is approved, worked out anew, and that the registry still has."""
    chosen = sa.select(gates.c.model_version).where(gates.c.model_name == name, gates.c.state == GateState.APPROVED.value)
    with reading(keeper.engine) as connection:
        numbers = connection.execute(chosen.order_by(gates.c.created_ms.desc(), gates.c.model_version.desc())).scalars().all()
    approved = (number for number in numbers if keeper.settled(ModelVersion(name, number), registry) is GateState.APPROVED)
    return next((number for number in approved if is_registered(registry, ModelVersion(name, number))), None)
