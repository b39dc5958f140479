"""How an edited suite differs from the derived one: what was added, removed, loosened or tightened. Loosening is a fact for governance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rai_pipelines.assessments.validation.executors import microseconds
from rai_pipelines.assessments.validation.suite import Planned

MOST_NAMED = 200


@dataclass(frozen=True)
class Changes:
    """Names of expectations, in the order of the suites. One that is looser in any respect is loosened."""

    derived: int = 0
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    loosened: tuple[str, ...] = ()
    tightened: tuple[str, ...] = ()
    kept_critical: tuple[Planned, ...] = field(default=(), repr=False)

    def as_detail(self) -> dict[str, Any]:
        """Names by kind of change; long lists are cut, their lengths are not."""
        kinds = {"added": self.added, "removed": self.removed, "loosened": self.loosened, "tightened": self.tightened}
        found: dict[str, Any] = {name: list(items[:MOST_NAMED]) for name, items in kinds.items()}
        return found | {
            "counts": {name: len(items) for name, items in kinds.items()},
            "derived": self.derived,
            "critical_evaluated_all_the_same": [item.named for item in self.kept_critical[:MOST_NAMED]],
        }


def compare(derived: Sequence[Planned], edited: Sequence[Planned]) -> Changes:
    """What an edited suite did to the derived one.

    `kept_critical` are derived critical expectations that the edited suite lacks or loosens: they follow from the datasheet, so that a file
    beside the model cannot switch them off.
    """
    known = {(item.type, item.column): item for item in edited if "regex" not in item.kwargs}
    before = {(item.type, item.column) for item in derived}
    removed, loosened, tightened, kept = [], [], [], []
    for item in derived:
        now = known.get((item.type, item.column))
        looser, tighter = (True, False) if now is None else _compared(item, now)
        if now is None:
            removed.append(item.named)
        elif looser:
            loosened.append(item.named)
        elif tighter:
            tightened.append(item.named)
        if looser and item.severity == "critical":
            kept.append(item)
    added = tuple(item.named for item in edited if (item.type, item.column) not in before)
    return Changes(len(derived), added, tuple(removed), tuple(loosened), tuple(tightened), tuple(kept))


def _compared(before: Planned, now: Planned) -> tuple[bool, bool]:
    """Whether `now` is looser in some respect, and whether it is tighter in some."""
    differences = [
        _sign(now.severity == "warning", before.severity == "warning"),
        _sign(before.kwargs.get("mostly", 1), now.kwargs.get("mostly", 1)),
        *_limits(before.kwargs, now.kwargs),
        *_sets(before, now),
    ]
    return any(item > 0 for item in differences), any(item < 0 for item in differences)


def _limits(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[int]:
    low, low_before = (_edge(side, "min", -1) for side in (now, before))
    high, high_before = (_edge(side, "max", 1) for side in (now, before))
    return [(low < low_before) - (low > low_before), (high > high_before) - (high < high_before)]


def _edge(kwargs: Mapping[str, Any], side: str, outward: int) -> tuple[float, int]:
    """A limit to compare: no limit is infinitely far, and a strict one lies inside of the same one that is not."""
    limit = kwargs.get(f"{side}_value")
    number = microseconds(limit) if isinstance(limit, str) else limit
    if number is None:
        return (outward * float("inf"), 0)
    return (number, -outward if kwargs.get(f"strict_{side}") else 0)


def _sets(before: Planned, now: Planned) -> list[int]:
    if "value_set" not in before.kwargs:
        return []
    old, new = ({(type(value) is bool, value) for value in item.kwargs["value_set"]} for item in (before, now))
    gained, lost = bool(new - old), bool(old - new)
    allows = before.type == "ExpectColumnValuesToBeInSet"
    return [int(gained if allows else lost), -int(lost if allows else gained)]


def _sign(one: float, other: float) -> int:
    return (one > other) - (one < other)
