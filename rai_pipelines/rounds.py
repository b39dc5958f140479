"""What has to be done again and again without anybody asking: states that change by themselves, bypasses, what waits too long, and what others have
still to be told.

One round does all of it and can be missed: the next one catches up. A sensor calls it; `rai round` does for those who run no daemon.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from rai_pipelines.accountability import ESCALATION
from rai_pipelines.audit import Auditor
from rai_pipelines.errors import DatabaseError, RaiError
from rai_pipelines.release import open_gatekeeper

if TYPE_CHECKING:
    from rai_pipelines.governance.gate.keeper import Gatekeeper


_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class RoundReport:
    """What one round did. `problems` are what could not be done; they do not keep the rest from being done."""

    moved: tuple[str, ...] = ()
    bypasses: tuple[str, ...] = ()
    escalated: tuple[str, ...] = ()
    cases_moved: tuple[str, ...] = ()
    delivered: int = 0
    problems: tuple[str, ...] = ()


def go_round(auditor: Auditor) -> RoundReport:
    """Do one round.

    Raises:
        DatabaseError, PeopleError, KeyProblem: nothing can be done at all.
    """
    from rai_pipelines.governance.outbox import beat

    problems: list[str] = []
    with open_gatekeeper(auditor) as keeper:
        moved = _try(lambda: [f"{gate.version}: {gate.standing.state.value}" for gate in keeper.sweep()], problems)
        bypasses = _try(lambda: _bypasses(keeper, auditor), problems)
        escalated = _try(lambda: _escalated(keeper), problems, beats=lambda: beat(keeper.engine, ESCALATION, now=keeper.clock()))
        cases_moved, delivered = _outside(keeper, auditor, problems)
    return RoundReport(tuple(moved), tuple(bypasses), tuple(escalated), tuple(cases_moved), delivered, tuple(problems))


def _bypasses(keeper: Gatekeeper, auditor: Auditor) -> list[str]:
    from rai_pipelines.governance.gate.bypass import watch_pointers

    return [f"{item.pointer.version} by {item.pointer.kind} {item.pointer.name}: {item.why}" for item in watch_pointers(keeper, auditor.registry)]


def _escalated(keeper: Gatekeeper) -> list[str]:
    from rai_pipelines.governance.escalation.escalate import escalate
    from rai_pipelines.governance.escalation.notices import Channels

    taken = escalate(keeper, Channels.from_environment())
    return [f"{item.step.waiting.title}: {item.step.role} ({item.notices} notices)" for item in taken]


def _outside(keeper: Gatekeeper, auditor: Auditor, problems: list[str]) -> tuple[list[str], int]:
    """Deliver what is due, and ask the tracker how far it is. A tracker or channel that is not set up rightly holds nobody else up."""
    from rai_pipelines.governance.cases.book import CaseBook
    from rai_pipelines.governance.cases.open_tracker import open_tracker
    from rai_pipelines.governance.cases.sync import case_deliveries, follow_tracker
    from rai_pipelines.governance.escalation.notices import Channels, notice_deliveries
    from rai_pipelines.governance.gate.registry_sync import registry_deliveries
    from rai_pipelines.governance.outbox import drain

    book = CaseBook(keeper.engine, keeper.ledger)
    deliver = dict(registry_deliveries(keeper.engine, auditor.registry, settle=keeper.settled))

    def with_tracker() -> list[str]:
        tracker = open_tracker(auditor.settings.tracker_path)
        deliver.update(case_deliveries(book, tracker))
        if tracker is None:
            return []
        followed, asked = follow_tracker(book, tracker, now=keeper.clock())
        problems.extend(asked)
        return [f"case {case.id}: {case.state.value}" for case in followed]

    def with_channels() -> list[str]:
        deliver.update(notice_deliveries(Channels.from_environment()))
        return []

    moved = _try(with_tracker, problems)
    _try(with_channels, problems)
    deliveries = drain(keeper.engine, deliver, now=keeper.clock())
    problems += [f"{item.kind} {item.key}, attempt {item.attempts}: {item.problem}" for item in deliveries if item.problem]
    return moved, sum(item.problem is None for item in deliveries)


def _try(act: Callable[[], list[str]], problems: list[str], *, beats: Callable[[], None] = lambda: None) -> list[str]:
    """What `act` answers; what keeps it from doing so is a problem of this round, but for a database that is not there.

    A defect in one part, or an answer from outside that nobody thought of, keeps no other part from being done.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        found = act()
        beats()
        return found
    except (DatabaseError, SQLAlchemyError):
        raise
    except RaiError as error:
        problems.append(str(error))
    except Exception as error:
        _log.exception("a part of the round was not done")
        problems.append(f"A part of the round failed in a way that nobody foresaw ({type(error).__name__}). The log has where.")
    return []
