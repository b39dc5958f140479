"""What confines a model's process: the limits it is given, and the measures that are really in force, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import JsonValue

# A pickle is a program: it is loaded only where all of these hold.
NEEDED_FOR_PROGRAMS = ("network", "file_system", "processes", "memory", "environment", "new_privileges")


@dataclass(frozen=True)
class HostLimits:
    """Seconds, bytes and counts that a model's process may use.

    `start_s` covers starting, importing and loading, `request_s` one request. `memory_bytes` bounds the address space of each process and what
    all of them hold together; `cpu_s` the processor time of the whole life of one process; `processes` counts threads, too. `file_bytes` is
    the size of one file and of the private folder, `answer_bytes` of one answer. After `restarts` deaths the model is not started again.
    """

    start_s: float = 120.0
    request_s: float = 300.0
    memory_bytes: int = 4 * 2**30
    cpu_s: int = 3600
    processes: int = 256
    open_files: int = 256
    file_bytes: int = 256 * 2**20
    answer_bytes: int = 256 * 2**20
    restarts: int = 2


@dataclass(frozen=True)
class Measure:
    """One way of confinement: whether it is in force, and how, or why not."""

    name: str
    in_force: bool
    how: str


@dataclass(frozen=True)
class Isolation:
    """All measures, as the model's process reported them before it touched a byte of the model."""

    measures: tuple[Measure, ...]

    def lacks(self, *names: str) -> tuple[Measure, ...]:
        """Those of the named measures that are not in force; all measures when none is named."""
        found = {measure.name: measure for measure in self.measures}
        wanted = names or tuple(found)
        asked = (found.get(name, Measure(name, False, "was not reported")) for name in wanted)
        return tuple(measure for measure in asked if not measure.in_force)

    def details(self) -> Mapping[str, JsonValue]:
        """By name, as JSON for evidence."""
        return {measure.name: {"in_force": measure.in_force, "how": measure.how} for measure in self.measures}


def read_isolation(header: Mapping[str, Any]) -> Isolation:
    """What a process said about its confinement before it touched anything.

    Raises:
        WireError: it said nothing of the kind.
    """
    from rai_pipelines.model_host.scan_parts import one_line
    from rai_pipelines.model_host.wire import WireError

    measures = header.get("measures")
    if not isinstance(measures, list) or not all(isinstance(item, list) and len(item) == 3 for item in measures):
        raise WireError("did not say what confines it")
    return Isolation(tuple(Measure(str(name), in_force is True, one_line(str(how))) for name, in_force, how in measures))
