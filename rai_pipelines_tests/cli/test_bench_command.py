"""`python -m benchmarks` runs and its figures agree; what it says about speed is no test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_peer_computes_the_same_figures_and_the_report_names_no_host(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--rows", "20000", "--out", str(tmp_path / "benchmarks.md")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    lines = [line for line in (tmp_path / "benchmarks.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    agreed = [line.rsplit("|", 2)[1].strip() for line in lines if not line.startswith("| what")]
    assert sorted(set(agreed)) == ["yes", "–"]
    assert agreed.count("–") >= 11


def test_fewer_rows_than_the_warm_up_are_a_usage_error() -> None:
    ended = subprocess.run([sys.executable, "-m", "benchmarks", "--rows", "10"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "--rows: at least 5000" in ended.stderr
