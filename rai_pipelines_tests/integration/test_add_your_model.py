"""The steps of docs/add-your-model.md, as a new user would type them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ANSWERS = {"class: high": "class: limited", "FILL IN: ": "", "FILL IN": "Lending team"}


def test_a_new_user_gets_from_a_trained_model_to_a_verdict(tmp_path: Path) -> None:
    environment = {**os.environ, "RAI_HOME": str(tmp_path), "PYTHONWARNINGS": "ignore"}

    def rai(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from rai_pipelines.cli.app import main; main()", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)

    assert rai("init").returncode == 0
    script = [sys.executable, str(ROOT / "docs" / "examples" / "register_loans.py")]
    subprocess.run(script, env=environment, capture_output=True, timeout=300, check=True)

    tables = ("--evaluation", "loans_evaluation.parquet", "--training", "loans_training.parquet")
    assert rai("datasheet", "new", "loans", *tables, "--label", "repaid", "--protected", "gender").returncode == 0
    sheet = tmp_path / "subjects" / "loans" / "datasheet.yaml"
    unfilled = rai("datasheet", "check", str(sheet))
    assert unfilled.returncode == 1
    assert f"{sheet}:4: still says FILL IN" in unfilled.stderr
    again = rai("datasheet", "new", "loans", *tables, "--label", "repaid", "--protected", "gender")
    assert again.returncode == 3 and "exists already" in again.stderr, "what the user wrote is not overwritten"

    text = sheet.read_text(encoding="utf-8")
    for blank, answer in ANSWERS.items():
        text = text.replace(blank, answer)
    sheet.write_text(text, encoding="utf-8")
    assert rai("datasheet", "check", str(sheet)).returncode == 0

    audited = rai("audit", "loans/1")
    assert audited.returncode in (0, 1, 2), audited.stderr
    assert "PERF-B" in audited.stdout and "Traceback" not in audited.stderr
    assert "missing" not in audited.stdout and "error" not in audited.stdout
    assert rai("verdict", "loans/1").returncode == audited.returncode
    assert rai("card", "loans/1", "--format", "md").stdout.startswith("# Model card: loans")
