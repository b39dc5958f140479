"""Who belongs to a model's process, and how much memory they hold together."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path


def family(namespaces: bool) -> list[Path]:
    """The model's processes in /proc: all but the first of an own process namespace, else the descendants of this one."""
    if namespaces:
        return [path for path in Path("/proc").iterdir() if path.name.isdigit() and path.name != "1"]
    found: list[str] = [str(os.getpid())]
    for number in found:
        for thread in Path(f"/proc/{number}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # it has just ended
                found += thread.read_text().split()
    return [Path("/proc") / number for number in found[1:]]


def memory_held(members: list[Path]) -> int:
    """Bytes that these processes hold together; pages that several share are counted once, when it matters."""
    page = resource.getpagesize()
    held = 0
    for path in members:
        with contextlib.suppress(OSError, IndexError):  # it has just ended
            held += int((path / "statm").read_text().split()[1]) * page
    if held <= 2**29 or len(members) == 1:
        return held
    return min(held, sum(_proportional(path) for path in members))


def _proportional(path: Path) -> int:
    try:
        lines = (path / "smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0
