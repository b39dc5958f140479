"""What has to be done again and again without anybody asking: states that change by themselves, bypasses, and what others have still to be told.

One round does all of it and can be missed: the next one catches up. A sensor calls it; `rai round` does for those who run no daemon.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rai_pipelines.audit import Auditor
from rai_pipelines.errors import RaiError
from rai_pipelines.release import open_gatekeeper

ROUND = "round"  # the heartbeat


@dataclass(frozen=True)
class RoundReport:
    """What one round did. `problems` are what could not be done; they do not keep the rest from being done."""

    moved: tuple[str, ...] = ()
    bypasses: tuple[str, ...] = ()
    delivered: int = 0
    problems: tuple[str, ...] = field(default=())


def go_round(auditor: Auditor) -> RoundReport:
    """Do one round.

    Raises:
        DatabaseError, PeopleError, KeyProblem: nothing can be done at all.
    """
    from rai_pipelines.governance.gate.bypass import watch_pointers
    from rai_pipelines.governance.gate.registry_sync import registry_deliveries
    from rai_pipelines.governance.outbox import beat, drain

    problems: list[str] = []
    with open_gatekeeper(auditor) as keeper:
        moved = tuple(f"{gate.version}: {gate.standing.state.value}" for gate in keeper.sweep())
        bypasses: tuple[str, ...] = ()
        try:
            bypasses = tuple(
                f"{item.pointer.version} by {item.pointer.kind} {item.pointer.name}: {item.why}" for item in watch_pointers(keeper, auditor.registry)
            )
        except RaiError as error:
            problems.append(str(error))
        deliveries = drain(keeper.engine, registry_deliveries(keeper.engine, auditor.registry), now=keeper.clock())
        problems += [f"{item.kind} {item.key}, attempt {item.attempts}: {item.problem}" for item in deliveries if item.problem]
        beat(keeper.engine, ROUND, now=keeper.clock())
    return RoundReport(moved, bypasses, sum(item.problem is None for item in deliveries), tuple(problems))
