"""The table of results, for a terminal and as docs/benchmarks.md. Says what kind of machine it was, and no name of one."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

LIBRARIES = ("duckdb", "ibis-framework", "fairlearn", "pandas", "numpy", "pyarrow", "scikit-learn")
COLUMNS = ("what", "rows", "seconds: first / best", "CPU s", "ratio: first / best", "runs", "peak MB (before data)", "figures", "agree")

EXPLANATION = """\
Each line is measured in a process of its own, one after the other: the job runs once on {warm} rows (so that imports and compilation are
paid), then up to three times on the table; no further run starts once 25 seconds are used up. `seconds` are the first and the best of these
runs and include reading the Parquet file, which is in the page cache for everyone. An audit is made once in a process, so the first run is
what its user waits for; later runs reuse memory that the first one had to ask for, which helps those most who take much of it. `CPU s` is the
least user and system time. `ratio` is these seconds over those of this project's first line for the same rows: above 1 is slower than this
project, below 1 faster. `peak MB` is the highest resident memory of the process (`ru_maxrss`), in brackets what it was before the table was
touched: interpreter, libraries, warm-up. `figures` is how many numbers the job returned (a single share or ratio is shown itself). `agree` is "yes"
only when all figures of the peer were compared in this run with those of the first line, and none differed by more than 1e-12; "–" marks the
line that others are compared with.

What is compared:

* **Group fairness.** This project makes selection rates, true and false positive rates, false negative rates, predictive values, accuracy
  and base rates of every group of three attributes, their three pairs and the triple, impact ratios and six disparities, all with intervals,
  the disparities with 10,000 replicates. Fairlearn makes five rates and four disparities of the single attributes, Aequitas four rates,
  AIF360 two, pandas the counts; none makes an interval. Its counting uses two threads, the peers one. Aequitas takes attributes as texts and
  converts them in its run.
* **Share of intervals.** Clocks around the functions that make limits and replicates, over the whole job.
* **k, l, t.** Smallest class, fewest distinct sensitive values, least entropy, largest distance. pyCANON is asked for k and l only.
* **Area.** Binned: a histogram of 2,000 bins gives a bracket that surely holds the exact area and is narrower than 0.001; figures are compared
  to three digits. Exact: scores are sorted in the engine.
* **Profile.** Per column: missing values, distinct values, and for numbers minimum, maximum, mean and standard deviation; counts of the
  values of columns with at most 100 of them. Mean and standard deviation keep 9 significant digits, for everyone.

Aequitas, AIF360 and pyCANON run in environments of their own (`benchmarks/environments.py`), since they need older libraries. The people are
synthetic, drawn with a fixed seed (`benchmarks/people.py`). Other programs may have run on the machine; make it again with `make bench`.
"""


@dataclass(frozen=True)
class Measured:
    """What was measured of one line: best and first run in seconds, CPU seconds of the best, ratios to the first line, memory, figures."""

    best: float
    first: float
    cpu: float
    runs: int
    ratio: float
    first_ratio: float
    peak_mb: float
    idle_mb: float
    figures: dict[str, float]

    @classmethod
    def of(cls, made: dict[str, Any], compared: dict[str, Any]) -> Measured:
        """From what a job printed and what the first line of its case printed."""
        return cls(
            best=min(made["seconds"]),
            first=made["seconds"][0],
            cpu=min(made["cpu"]),
            runs=len(made["seconds"]),
            ratio=min(made["seconds"]) / min(compared["seconds"]),
            first_ratio=made["seconds"][0] / compared["seconds"][0],
            peak_mb=made["peak_mb"],
            idle_mb=made["idle_mb"],
            figures=made["figures"],
        )


@dataclass(frozen=True)
class Row:
    """One line. `agree` is None on the line that others are compared with, `measured` when the peer could not be run."""

    case: str
    rows: int
    what: str
    measured: Measured | None
    agree: bool | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """The line as text, in the order of `COLUMNS`."""
        made = self.measured
        if made is None:
            return (self.what, f"{self.rows:,}", *["–"] * (len(COLUMNS) - 2))
        return (
            self.what,
            f"{self.rows:,}",
            f"{_short(made.first)} / {_short(made.best)}",
            _short(made.cpu),
            f"{_short(made.first_ratio)} / {_short(made.ratio)}",
            str(made.runs),
            f"{made.peak_mb:.0f} ({made.idle_mb:.0f})",
            _figures(made.figures),
            {None: "–", True: "yes", False: "NO"}[self.agree],
        )


def _figures(figures: dict[str, float]) -> str:
    """How many there are; of one alone that is a share or a ratio (`one / other`), itself."""
    if len(figures) == 1:
        ((name, value),) = figures.items()
        if " / " in name:
            return f"{value:.2f}"
        if value < 1:
            return f"{value:.1%}"
    return str(len(figures))


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def as_text(rows: Sequence[Row]) -> str:
    """The lines as columns, a heading for each case."""
    widths = [max(len(line[at]) for line in [COLUMNS, *(row.cells for row in rows)]) for at in range(len(COLUMNS))]
    lines: list[str] = []
    for number, row in enumerate(rows):
        if number == 0 or (row.case, row.rows) != (rows[number - 1].case, rows[number - 1].rows):
            lines += ["", f"{row.case}, {row.rows:,} rows", _aligned(COLUMNS, widths)]
        lines.append(_aligned(row.cells, widths))
    return "\n".join(lines)


def as_markdown(rows: Sequence[Row], *, total_s: float) -> str:
    """The document, with date, machine kind and library versions."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES)
    lines = ["# Benchmarks", ""]
    lines += [f"Measured on {datetime.now(UTC).date()}: {machine()}; {versions}. The whole run took {total_s:.0f} s.", ""]
    for case in dict.fromkeys(row.case for row in rows):
        lines += [f"## {case}", "", "| " + " | ".join(COLUMNS) + " |", "|---" + "|---:" * (len(COLUMNS) - 2) + "|---|"]
        lines += ["| " + " | ".join(row.cells) + " |" for row in rows if row.case == case]
        lines.append("")
    lines += ["## How it is measured", "", EXPLANATION.format(warm="5,000")]
    return "\n".join(lines)


def machine() -> str:
    """Cores this process may use, architecture, memory, Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{cores} cores, {platform.machine()}, {memory_gb:.0f} GB of memory, {platform.system()}, Python {platform.python_version()}"


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (cell.ljust(width) if at == 0 else cell.rjust(width) for at, (cell, width) in enumerate(zip(cells, widths, strict=True)))
    return "  ".join([first, *others]).rstrip()
