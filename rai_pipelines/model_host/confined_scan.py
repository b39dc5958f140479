"""The scan of model files in a confined process: a parser that a file breaks, hangs or takes over breaks nothing of the auditor's.

Links and special files are judged here, from their names alone; what is inside files is read there. One process reads all files of a version, so one
that takes it over can lie about those that come after it. What was scanned clean is still loaded in a confined process only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from rai_pipelines.errors import ModelError
from rai_pipelines.model_host.isolation import HostLimits, Isolation, read_isolation
from rai_pipelines.model_host.process import Ended, ModelProcess
from rai_pipelines.model_host.scan import MAX_REASONS, FileScan, ScanReport, judge_by_name, listed_files, scan_file
from rai_pipelines.model_host.scan_parts import ScanLimits, Verdict, one_line
from rai_pipelines.model_host.wire import WireError

FILE_S, START_S = 300.0, 60.0
MOST_ENDS = 3  # processes that files may end before the rest is given up
MARGIN_BYTES = 2**24
MOST_KNOWN = 8
_KNOWN: dict[tuple[object, ...], tuple[ScanReport, ScannedWhere]] = {}


@dataclass(frozen=True)
class ScannedWhere:
    """Where files were read. `isolation` is None, and `reason` says why, where it was the auditor's own process."""

    isolation: Isolation | None
    reason: str | None = None

    def details(self) -> dict[str, JsonValue]:
        """As JSON for evidence."""
        if self.isolation is None:
            return {"where": "the auditor's own process", "reason": self.reason}
        return {"where": "a process of its own", "isolation": dict(self.isolation.details())}


def scan_confined(folder: Path, *, trusted_skops_types: tuple[str, ...] = (), limits: ScanLimits | None = None) -> tuple[ScanReport, ScannedWhere]:
    """As `scan_model_files`, with everything that parses in a process of its own; where none can be started, in this one, which is told.

    A file that ends the process, or is not read in time, is `not_scannable`. A scan of the same files that was just made is not made again: an audit
    asks for it as evidence, and before it loads the model.

    Raises:
        ModelMissing: there is no such folder.
    """
    limits = limits or ScanLimits()
    files = listed_files(folder)
    asked = (folder.resolve(), trusted_skops_types, limits, tuple(_state(path) for path in files))
    if asked in _KNOWN:
        return _KNOWN[asked]
    desk = _Desk(folder, trusted_skops_types, limits)
    try:
        found = tuple(judge_by_name(path, folder) or desk.scan(path.relative_to(folder).as_posix()) for path in files)
    finally:
        desk.close()
    made = ScanReport(found), desk.where or ScannedWhere(None, "no file was read")
    if not desk.ends:
        while len(_KNOWN) >= MOST_KNOWN:
            _KNOWN.pop(next(iter(_KNOWN)))
        _KNOWN[asked] = made
    return made


def _state(path: Path) -> tuple[str, ...]:
    """What changes when a file does: also its time of change, which a program cannot set."""
    found = path.lstat()
    return (str(path), *map(str, (found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)))


@dataclass
class _Desk:
    """Asks for one file after the other, of a new process when one has ended."""

    folder: Path
    trusted: tuple[str, ...]
    limits: ScanLimits
    where: ScannedWhere | None = None
    process: ModelProcess | None = None
    ends: list[str] = field(default_factory=list)

    def scan(self, name: str) -> FileScan:
        if len(self.ends) >= MOST_ENDS:
            return FileScan(name, "unknown", Verdict.NOT_SCANNABLE, (f"was not read, because other files ended the scan {MOST_ENDS} times",))
        if self.process is None and (self.where is None or self.where.isolation is not None):
            try:
                self.process = self._started()
            except ModelError as error:
                if self.where is None:
                    self.where = ScannedWhere(None, f"no process could be started for the scan: {one_line(str(error))}")
            except (Ended, WireError) as error:  # not for want of a process, so nothing is read where it could do more
                self.close()
                self.ends.append(name)
                why = str(error).partition("; it last printed")[0]  # which names folders of this machine
                return FileScan(name, "unknown", Verdict.NOT_SCANNABLE, (f"was not read, the process for it ended: {one_line(why)}",))
        if self.process is None:
            if self.where is None or self.where.isolation is not None:
                return FileScan(name, "unknown", Verdict.NOT_SCANNABLE, ("was not read, no further process could be started",))
            return scan_file(self.folder / name, name, trusted_skops_types=self.trusted, limits=self.limits)
        request = {"do": "scan", "path": name, "trusted_skops_types": list(self.trusted), "limits": asdict(self.limits)}
        try:
            return _read_answer(name, self.process.ask(request, [], FILE_S)[0])
        except (Ended, WireError) as error:
            self.close()
            self.ends.append(name)
            return FileScan(name, "unknown", Verdict.NOT_SCANNABLE, (f"ended the process that read it: {one_line(str(error))}",))

    def close(self) -> None:
        if self.process is not None:
            self.process.close()
        self.process = None

    def _started(self) -> ModelProcess:
        room = self.limits.unpacked_bytes + MARGIN_BYTES  # what archives unpack to lies in the private folder
        self.process = process = ModelProcess(self.folder, HostLimits(start_s=START_S, request_s=FILE_S, file_bytes=room, answer_bytes=2**20))
        isolation = read_isolation(process.receive(START_S)[0])
        self.where = self.where or ScannedWhere(isolation)
        return process


def _read_answer(name: str, answer: Mapping[str, Any]) -> FileScan:
    """One file's scan, as data from a stranger."""
    if isinstance(answer.get("error"), dict):
        kind = one_line(str(answer["error"].get("kind")), 60)
        return FileScan(name, "unknown", Verdict.NOT_SCANNABLE, (f"could not be read to its end ({kind})",))
    told = answer.get("scan")
    if not isinstance(told, dict) or not isinstance(told.get("reasons"), list) or told.get("verdict") not in {verdict.value for verdict in Verdict}:
        raise WireError("sent a scan that is none")
    reasons = tuple(_texts(told["reasons"]))[: MAX_REASONS + 1]
    return FileScan(name, one_line(str(told.get("format")), 40), Verdict(told["verdict"]), reasons)


def _texts(values: list[Any]) -> Iterator[str]:
    for value in values:
        yield one_line(str(value))
