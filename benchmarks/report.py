"""The table of results, for a terminal and as docs/benchmarks.md. Says what kind of machine it was, and no name of one."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata

LIBRARIES = ("duckdb", "ibis-framework", "fairlearn", "pandas", "numpy", "pyarrow", "scikit-learn")
COLUMNS = ("what", "rows", "seconds", "ratio", "runs", "peak MB (before data)", "figures", "agree")

EXPLANATION = """\
Each line is measured in a process of its own, one after the other: the job runs once on {warm} rows (so that imports and compilation are
paid), then up to three times on the table; no further run starts once 25 seconds are used up. `seconds` is the best run and includes
reading the Parquet file, which is in the page cache for everyone. `ratio` is these seconds over those of this project's first line for the
same rows: above 1 is slower than this project, below 1 faster. `peak MB` is the highest resident memory of the process (`ru_maxrss`), in
brackets what it was before the table was touched: interpreter, libraries, warm-up. `figures` is how many numbers the job returned. `agree`
is "yes" only when all of them were compared in this run with those of the first line for the same rows, and none differed by more than
1e-12; "–" marks the line that others are compared with.

What is compared:

* **Group fairness.** Per attribute and group: selection rate, true positive, false positive and false negative rate, accuracy; per
  attribute: demographic parity difference and ratio, equalized odds difference and ratio. This project also computes base rates, impact
  ratios, equal opportunity, and intervals from 10,000 resamples (2,000 for pairs of attributes); the peers do not. Its counting uses two
  threads, the peers one.
* **k-anonymity.** Smallest class, number of classes, rows in classes below 5, unique rows.
* **Profile.** Per column: missing values, distinct values, and for numbers minimum, maximum, mean and standard deviation; counts of the
  values of columns with at most 100 of them. The profile keeps 9 significant digits of mean and standard deviation; those of pandas are
  rounded alike before they are compared.

The people are synthetic, drawn with a fixed seed (`benchmarks/people.py`). Other programs may have run on the machine; make it again with
`make bench`.
"""


@dataclass(frozen=True)
class Row:
    """One measured line. `agree` is None on the line that others are compared with."""

    case: str
    rows: int
    what: str
    seconds: float
    runs: int
    ratio: float
    peak_mb: float
    idle_mb: float
    figures: int
    agree: bool | None

    @property
    def cells(self) -> tuple[str, ...]:
        """The line as text, in the order of `COLUMNS`."""
        return (
            self.what,
            f"{self.rows:,}",
            f"{self.seconds:.2f}" if self.seconds < 100 else f"{self.seconds:.0f}",
            f"{self.ratio:.2f}" if self.ratio < 10 else f"{self.ratio:.0f}",
            str(self.runs),
            f"{self.peak_mb:.0f} ({self.idle_mb:.0f})",
            str(self.figures),
            {None: "–", True: "yes", False: "NO"}[self.agree],
        )


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
