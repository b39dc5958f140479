"""Look at every file of a model version before anything deserialises one: what is inside, and can it run code when it is loaded?

Content decides, never the suffix. What cannot be read to its end is `not_scannable`, and never clean.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from rai_pipelines.errors import ModelMissing
from rai_pipelines.model_host.scan_content import scan_content
from rai_pipelines.model_host.scan_parts import Budget, Part, ScanLimits, Verdict, one_line

MAX_REASONS = 20
MAX_LISTED = 500


@dataclass(frozen=True)
class FileScan:
    """One file: path relative to the folder, format, verdict, and the reasons for it, worst first."""

    path: str
    format: str
    verdict: Verdict
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScanReport:
    """What was found in a folder, by file, in order of path."""

    files: tuple[FileScan, ...]

    def with_verdict(self, verdict: Verdict) -> tuple[FileScan, ...]:
        """The files that came out as `verdict`."""
        return tuple(file for file in self.files if file.verdict is verdict)

    @property
    def counts(self) -> Mapping[str, int]:
        """Files by verdict; every verdict is listed."""
        found = Counter(file.verdict for file in self.files)
        return {verdict.value: found[verdict] for verdict in Verdict}

    def details(self) -> dict[str, JsonValue]:
        """The report as JSON: all files that are not clean first, at most 500 files, and how many were left off."""
        ordered = sorted(self.files, key=lambda file: (file.verdict is Verdict.CLEAN, file.path))
        listed: list[JsonValue] = [
            {"path": one_line(file.path), "format": file.format, "verdict": file.verdict.value, "reasons": list(file.reasons)}
            for file in ordered[:MAX_LISTED]
        ]
        return {"counts": dict(self.counts), "files": listed, "files_not_listed": max(0, len(ordered) - MAX_LISTED)}


def scan_model_files(folder: Path, *, trusted_skops_types: tuple[str, ...] = (), limits: ScanLimits | None = None) -> ScanReport:
    """Scan every file below `folder`; nothing of them is imported, called or unpickled.

    `trusted_skops_types` are what the operator adds to the built-in list, as for `load_model_files`.

    Raises:
        ModelMissing: there is no such folder.
    """
    return ScanReport(
        tuple(
            judge_by_name(path, folder)
            or scan_file(path, path.relative_to(folder).as_posix(), trusted_skops_types=trusted_skops_types, limits=limits or ScanLimits())
            for path in listed_files(folder)
        )
    )


def listed_files(folder: Path) -> list[Path]:
    """Files, links and special files below `folder`, in order.

    Raises:
        ModelMissing: there is no such folder, or it is not readable.
    """
    if not folder.is_dir():
        raise ModelMissing("the version has no folder of model files", hint="Register the model's files")
    return sorted(_entries(folder))


def judge_by_name(path: Path, folder: Path) -> FileScan | None:
    """What a link or a special file comes down to; None for a file that has to be read."""
    name = path.relative_to(folder).as_posix()
    if path.is_symlink():
        return _scan_link(path, folder, name)
    if not stat.S_ISREG(path.lstat().st_mode):  # opening a named pipe would wait for ever
        return FileScan(name, "special", Verdict.NOT_SCANNABLE, ("is neither a file nor a folder",))
    return None


def scan_file(path: Path, name: str, *, trusted_skops_types: tuple[str, ...], limits: ScanLimits) -> FileScan:
    """Read one regular file, which the report calls `name`."""
    try:
        with path.open("rb") as stream:
            parts = tuple(scan_content(stream, name, trusted_skops_types=trusted_skops_types, budget=Budget(limits)))
    except OSError as error:
        return FileScan(name, "unknown", Verdict.NOT_SCANNABLE, (f"cannot be read ({error.strerror})",))
    return _summed_up(name, parts)


def _entries(folder: Path) -> Iterator[Path]:
    """Files, links and special files; folders that are links are entries, and are not entered."""
    for parent, names, files in os.walk(folder, onerror=_raise):
        yield from (Path(parent) / name for name in files)
        yield from (Path(parent) / name for name in names if (Path(parent) / name).is_symlink())


def _raise(error: OSError) -> None:
    raise ModelMissing(f"a folder of the model is not readable ({error.strerror})", hint="Check the permissions of the model's files") from error


def _scan_link(path: Path, folder: Path, name: str) -> FileScan:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return FileScan(name, "link", Verdict.SUSPICIOUS, ("is a link to nothing",))
    if not target.is_relative_to(folder.resolve()):
        return FileScan(name, "link", Verdict.DANGEROUS, ("is a link that leaves the model's folder",))
    return FileScan(name, "link", Verdict.CLEAN, ("is a link inside the folder; its target is scanned",))


def _summed_up(name: str, parts: tuple[Part, ...]) -> FileScan:
    """The worst part decides; what contains the others names the format."""
    worst_first = sorted(parts, key=lambda part: -part.verdict.rank)
    reasons = dict.fromkeys(one_line(f"{part.inside}: {reason}" if part.inside else reason) for part in worst_first for reason in part.reasons)
    kept = tuple(reasons)[:MAX_REASONS]
    if len(reasons) > MAX_REASONS:
        kept += (f"and {len(reasons) - MAX_REASONS} more",)
    return FileScan(name, parts[0].format, worst_first[0].verdict, kept)
