"""`python -m benchmarks`: measure every case and its peers one after the other, compare their figures, write docs/benchmarks.md.

This process loads no library and no data: a child process inherits its parent's peak memory on Linux, and would report it as its own.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import Row, as_markdown, as_text

ROOT = Path(__file__).parents[1]
WARM_UP_ROWS = 5_000
TOLERANCE = 1e-12
LARGE_FACTOR = 10
QUICK_ROWS = 50_000
REPEATS, BUDGET_S = 3, 25.0


@dataclass(frozen=True)
class Case:
    """One comparison: the first of `jobs` is this project's and the others are measured against it."""

    title: str
    table: str
    factor: int
    jobs: tuple[tuple[str, str], ...]


HERE = "this project"
CASES = (
    Case(
        "Group fairness, 3 attributes × label × decision",
        "attributes",
        1,
        (
            ("fairness_here", f"{HERE} (with intervals)"),
            ("fairness_here_with_pairs", f"{HERE} (with intervals, and all pairs of attributes)"),
            ("fairness_fairlearn", "Fairlearn MetricFrame on raw rows (no intervals)"),
            ("fairness_pandas", "pandas crosstab, rates by hand (no intervals)"),
        ),
    ),
    Case(
        "Group fairness, 3 attributes × label × decision",
        "attributes",
        LARGE_FACTOR,
        (
            ("fairness_here", f"{HERE} (with intervals)"),
            ("fairness_here_with_pairs", f"{HERE} (with intervals, and all pairs of attributes)"),
            ("fairness_pandas", "pandas crosstab, rates by hand (no intervals)"),
        ),
    ),
    Case("k-anonymity, few classes (sex, race, age)", "all", 1, (("classes_few_here", HERE), ("classes_few_pandas", "pandas groupby.size"))),
    Case("k-anonymity, many classes (sex, age, postcode)", "all", 1, (("classes_many_here", HERE), ("classes_many_pandas", "pandas groupby.size"))),
    Case(
        "Data-validation profile, 8 columns", "all", 1, (("profile_here", HERE), ("profile_pandas", "pandas describe, isna, nunique, value_counts"))
    ),
)


def main() -> int:
    """Run everything; 1 when figures that were compared do not agree."""
    options = _options()
    rows = QUICK_ROWS if options.quick and options.rows is None else options.rows or 1_000_000
    repeats = 1 if options.quick else REPEATS
    started = time.perf_counter()
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="rai-benchmarks-") as folder:
        for case in CASES:
            data, warm_up = (_people(Path(folder), case.table, size) for size in (rows * case.factor, WARM_UP_ROWS))
            first: dict[str, Any] | None = None
            for job, title in case.jobs:
                print(f"· {case.title}, {rows * case.factor:,} rows: {title}", file=sys.stderr, flush=True)
                made = _child("benchmarks.jobs", job, str(data), str(warm_up), str(repeats), str(BUDGET_S))
                agree = None if first is None else _agree(first["figures"], made["figures"])
                first = first or made
                found.append(
                    Row(
                        case=case.title,
                        rows=rows * case.factor,
                        what=title,
                        seconds=min(made["seconds"]),
                        runs=len(made["seconds"]),
                        ratio=min(made["seconds"]) / min(first["seconds"]),
                        peak_mb=made["peak_mb"],
                        idle_mb=made["idle_mb"],
                        figures=len(made["figures"]),
                        agree=agree,
                    )
                )
    print(as_text(found))
    out = options.out or (None if options.quick or options.rows is not None else ROOT / "docs" / "benchmarks.md")
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(as_markdown(found, total_s=time.perf_counter() - started), encoding="utf-8")
        print(f"Written to {out}")
    return 1 if any(row.agree is False for row in found) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Benchmarks against peers, with the check that figures agree.")
    parser.add_argument("--rows", type=int, help="rows of the base size (default 1,000,000); the large size is ten times as many")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS:,} rows and one run each; nothing is written unless --out is given")
    parser.add_argument("--out", type=Path, help="Markdown file to write (default, for the full size only: docs/benchmarks.md)")
    options = parser.parse_args()
    if options.rows is not None and options.rows < WARM_UP_ROWS:
        parser.error(f"--rows: at least {WARM_UP_ROWS}")
    return options


def _people(folder: Path, table: str, rows: int) -> Path:
    """The table of that kind and size, written once."""
    path = folder / f"{table}-{rows}.parquet"
    if not path.exists():
        subprocess.run([sys.executable, "-m", "benchmarks.people", str(path), str(rows), table], cwd=ROOT, check=True)
    return path


def _child(module: str, *arguments: str) -> dict[str, Any]:
    ended = subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    made: dict[str, Any] = json.loads(ended.stdout)
    return made


def _agree(ours: dict[str, float], theirs: dict[str, float]) -> bool:
    """Whether both have the same figures, each equal to 1e-12 (relative for numbers above 1)."""
    return bool(ours) and ours.keys() == theirs.keys() and all(
        math.isclose(ours[name], theirs[name], rel_tol=TOLERANCE, abs_tol=TOLERANCE) for name in ours
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
