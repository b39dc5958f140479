"""How much of the table of seven areas and three tiers a policy covers on a day, cell by cell, so that nothing passes by omission.

| state | meaning |
|---|---|
| measured | every control in force has a check, and at least one rests on figures that this project measures in data, model or logs |
| declared | every control in force has a check, and all of them rest on what people declared or signed |
| not in force | the cell has controls, and none of them decides on that day about a model whose risk class is known |
| missing | a control is in force whose check this version does not have, so that it fails every model; or the cell has no control at all |
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Literal

from pydantic import Field

from rai_pipelines.evidence.model import Record
from rai_pipelines.policy.checks.registry import PLANNED, checks
from rai_pipelines.policy.model import Area, Control, Policy, Tier


class CellState(StrEnum):
    """See the table at the top of this file."""

    MEASURED = "measured"
    DECLARED = "declared"
    NOT_IN_FORCE = "not_in_force"
    MISSING = "missing"


class ControlCoverage(Record):
    """One control of a cell; `why` says what is in the way where it decides nothing or cannot be judged."""

    control: str
    statement: str
    state: CellState
    why: str | None = None


class Cell(Record):
    """One area at one tier."""

    area: Area
    tier: Tier
    state: CellState
    controls: tuple[ControlCoverage, ...]


class Coverage(Record):
    """`rai policy coverage --json`: all 21 cells, and how many are in each state."""

    schema_version: Literal["rai.policy-coverage/v1"] = "rai.policy-coverage/v1"
    policy: str
    policy_digest: str
    day: date
    cells: tuple[Cell, ...]
    counts: dict[CellState, int] = Field(description="Cells by state")


def coverage(policy: Policy, day: date) -> Coverage:
    """The coverage of `policy` on `day`."""
    by_cell: dict[tuple[Area, Tier], list[ControlCoverage]] = {(area, tier): [] for area in Area for tier in Tier}
    for control in policy.on(day):
        by_cell[control.area, control.tier].append(control_coverage(control, day, policy))
    cells = tuple(Cell(area=area, tier=tier, state=_state(found), controls=tuple(found)) for (area, tier), found in by_cell.items())
    counts = {state: sum(cell.state is state for cell in cells) for state in CellState}
    return Coverage(policy=policy.label, policy_digest=policy.digest, day=day, cells=cells, counts=counts)


def control_coverage(control: Control, day: date, policy: Policy) -> ControlCoverage:
    """What one control of `policy` rests on that day."""
    check = checks().get(control.check)
    absent = None if check is not None else PLANNED.get(control.check, f"this version has no check named {control.check}")
    if not control.in_force(day):
        when = f"in force from {control.effective_from.isoformat()}" if control.effective_from else "announced, without a date"
        state, why = CellState.NOT_IN_FORCE, when + (f"; {absent}" if absent else "")
    elif check is None:
        state, why = CellState.MISSING, str(absent)
    elif not policy.tiers.asked(control.tier):
        state, why = CellState.NOT_IN_FORCE, "no risk class has to meet this tier: it decides about models alone whose risk class is not known"
    else:
        state, why = CellState(check.basis), None
    return ControlCoverage(control=control.id, statement=control.statement, state=state, why=why)


def _state(found: list[ControlCoverage]) -> CellState:
    states = {item.state for item in found}
    if not states or CellState.MISSING in states:
        return CellState.MISSING
    return next(state for state in (CellState.MEASURED, CellState.DECLARED, CellState.NOT_IN_FORCE) if state in states)
