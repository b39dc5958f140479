"""What loading the code location costs beside importing dagster, which a Dagster process does anyway."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.run_job import Figures

ROUNDS = 5


def ratio(_: Path) -> Figures:
    """Median over rounds of the processor time of one import over that of the other, each in a fresh interpreter."""
    _seconds_for("import rai_pipelines.definitions")  # both are in the file cache after this
    pairs = [(_seconds_for("import dagster"), _seconds_for("import rai_pipelines.definitions")) for _ in range(ROUNDS)]
    return {"loading the code location / importing dagster": statistics.median(loaded / alone for alone, loaded in pairs)}


def _seconds_for(code: str) -> float:
    """Start-up excluded, and collections of garbage, which fall on whoever comes last."""
    script = f"import gc, time; gc.disable(); started = time.process_time(); {code}; print(time.process_time() - started)"
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True)
    return float(ran.stdout.strip().splitlines()[-1])
