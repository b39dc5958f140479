"""The steps of docs/add-your-model.md, as a new user would type them."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rai_pipelines.cli.schemas import published_schemas

ROOT = Path(__file__).parents[2]
ANSWERS = {"class: high": "class: limited", "FILL IN: ": "", "FILL IN": "Lending team"}
TABLES = ("--evaluation", "loans_evaluation.parquet", "--training", "loans_training.parquet")


@pytest.mark.deployed
def test_a_new_user_gets_from_a_trained_model_to_a_verdict(rai: Callable[..., Any], tmp_path: Path) -> None:
    assert rai("init").code == 0
    runpy.run_path(str(ROOT / "docs" / "examples" / "register_loans.py"), run_name="__main__")

    assert rai("datasheet", "new", "loans", *TABLES, "--label", "repaid", "--protected", "gender").code == 0
    sheet = tmp_path / "home" / "subjects" / "loans" / "datasheet.yaml"
    unfilled = rai("datasheet", "check", str(sheet))
    assert unfilled.code == 1
    assert f"{sheet}:4: still says FILL IN" in unfilled.err
    again = rai("datasheet", "new", "loans", *TABLES, "--label", "repaid", "--protected", "gender")
    assert again.code == 3 and "exists already" in again.err, "what the user wrote is not overwritten"

    text = sheet.read_text(encoding="utf-8")
    for blank, answer in ANSWERS.items():
        text = text.replace(blank, answer)
    sheet.write_text(text, encoding="utf-8")
    assert rai("datasheet", "check", str(sheet)).code == 0

    audited = rai("audit", "loans/1")
    assert audited.code in (0, 1, 2), audited.err
    assert "PERF-B" in audited.out and "Traceback" not in audited.err
    assert "Adversarial robustness: " in audited.err and " of 1,562,500 queries" in audited.err
    assert " missing " not in audited.out and " error " not in audited.out
    shown = rai("verdict", "loans/1", "--json")
    assert shown.code == audited.code
    assert shown.json["verdict"]["model_name"] == "loans"
    jsonschema.validate(shown.json, published_schemas()["verdict-output"])
    assert rai("card", "loans/1", "--format", "md").out.startswith("# Model card: loans")
    assert rai("card", "loans/1", "--format", "pdf", "--out", "card.pdf").code == 0
    assert (tmp_path / "card.pdf").read_bytes().startswith(b"%PDF")
    documented = rai("technical-documentation", "loans/1")
    assert documented.code == 1 and "8 EU declaration of conformity: lacks datasheet field technical_documentation." in documented.out
    assert "0 of 23 points are resolved or do not apply. Written: " in documented.out
    jsonschema.validate(rai("technical-documentation", "loans/1", "--json").json, published_schemas()["technical-documentation"])
    assert rai("evidence", "loans/1", "bias_assessment").json["assessment"] == "bias_assessment"
    receipts = rai("evidence", "loans/1").json
    jsonschema.validate(receipts, published_schemas()["receipts"])
    assert len(receipts) >= 8, "a receipt for every assessment, the verdict and the gate"
