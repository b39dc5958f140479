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
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, Case
from benchmarks.environments import python_of
from benchmarks.report import Measured, Row, as_markdown, as_text

ROOT = Path(__file__).parents[1]
WARM_UP_ROWS = 5_000
TOLERANCE = 1e-12
QUICK_ROWS = 50_000
REPEATS, BUDGET_S = 3, 25.0


def main() -> int:
    """Run everything; 1 when figures that were compared do not agree."""
    options = _options()
    rows = QUICK_ROWS if options.quick and options.rows is None else options.rows or 1_000_000
    repeats = 1 if options.quick else REPEATS
    started = time.perf_counter()
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="rai-benchmarks-") as folder:
        for case in CASES:
            if options.only and options.only not in case.title:
                continue
            found += _run(case, max(WARM_UP_ROWS, int(rows * case.factor)), Path(folder), repeats)
    print(as_text(found))
    out = options.out or (None if options.quick or options.rows is not None or options.only else ROOT / "docs" / "benchmarks.md")
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(as_markdown(found, total_s=time.perf_counter() - started), encoding="utf-8")
        print(f"Written to {out}")
    return 1 if any(row.agree is False for row in found) else 0


def _run(case: Case, rows: int, folder: Path, repeats: int) -> list[Row]:
    """All lines of a case. A peer that cannot be installed is a line that says so."""
    data, warm_up = (_people(folder, case.table, size) for size in (rows, WARM_UP_ROWS))
    lines: list[Row] = []
    first: dict[str, Any] | None = None
    for line in case.lines:
        print(f"· {case.title}, {rows:,} rows: {line.title}", file=sys.stderr, flush=True)
        python = sys.executable if line.environment is None else python_of(line.environment, ROOT / ".make" / "benchmarks")
        if isinstance(python, str) and line.environment is not None:  # a text in place of a path says why there is none
            lines.append(Row(case=case.title, rows=rows, what=f"{line.title}: not measured, {python}", measured=None))
            continue
        made = _child(str(python), *line.job.split("."), str(data), str(warm_up), str(repeats), str(BUDGET_S))
        agree = None if first is None else _agree(first["figures"], made["figures"], shared=case.shared_figures)
        first = first or made
        lines.append(Row(case=case.title, rows=rows, what=line.title, measured=Measured.of(made, first), agree=agree))
    return lines


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Benchmarks against peers, with the check that figures agree.")
    parser.add_argument("--rows", type=int, help="rows of the base size (default 1,000,000); the large size is ten times as many")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS:,} rows and one run each; nothing is written unless --out is given")
    parser.add_argument("--out", type=Path, help="Markdown file to write (default, for the full size only: docs/benchmarks.md)")
    parser.add_argument("--only", help="only the cases whose title has this text; nothing is written unless --out is given")
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


def _child(python: str, *arguments: str) -> dict[str, Any]:
    command = [python, "-W", "ignore", "-m", "benchmarks.run_job", *arguments]
    ended = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"{' '.join(arguments[:2])} failed:\n{ended.stderr}")
    made: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])  # some peers greet on standard output
    return made


def _agree(ours: dict[str, float], theirs: dict[str, float], *, shared: bool) -> bool:
    """Whether both have the same figures, each equal to 1e-12 (relative for numbers above 1). `shared`: theirs may be fewer, and all are ours."""
    names = theirs.keys()
    return (
        bool(theirs)
        and (names <= ours.keys() if shared else names == ours.keys())
        and all(math.isclose(ours[name], theirs[name], rel_tol=TOLERANCE, abs_tol=TOLERANCE) for name in names)
    )


if __name__ == "__main__":
    sys.exit(main())
