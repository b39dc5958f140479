"""One measurement in a process of its own: `python -m benchmarks.run_job MODULE JOB FILE WARM_UP_FILE REPEATS BUDGET_S` prints it as JSON.

A job reads a Parquet file and returns its figures as a flat mapping of names to numbers, so that two jobs can be compared number by number.
This module needs nothing but Python, so that it also runs in the environment of a peer.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

Figures = dict[str, float]
BYTES_PER_KB = 1024  # ru_maxrss is in KiB on Linux


def measure(module: str, name: str, path: Path, warm_up: Path, *, repeats: int, budget_s: float) -> dict[str, Any]:
    """Run a job on the small file once, then up to `repeats` times on the large one; no further run starts after `budget_s` seconds.

    Returns:
        `seconds` and `cpu` (user and system) of each run, `peak_mb` of the process, `idle_mb` (what it had needed before the large file:
        interpreter, libraries), and `figures` of the last run.
    """
    job = getattr(importlib.import_module(f"benchmarks.{module}"), name)
    job(warm_up)
    idle_mb = _peak_mb()
    seconds: list[float] = []
    cpu: list[float] = []
    figures: Figures = {}
    while not seconds or (len(seconds) < repeats and sum(seconds) < budget_s):
        started, started_cpu = time.perf_counter(), time.process_time()
        figures = job(path)
        seconds.append(time.perf_counter() - started)
        cpu.append(time.process_time() - started_cpu)
    return {"seconds": seconds, "cpu": cpu, "peak_mb": _peak_mb(), "idle_mb": idle_mb, "figures": figures}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_PER_KB / 1e6


if __name__ == "__main__":
    given = sys.argv[1:]
    made = measure(given[0], given[1], Path(given[2]), Path(given[3]), repeats=int(given[4]), budget_s=float(given[5]))
    print(json.dumps(made))
