"""`rai measure drift` on two plain files, against SciPy on the same values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
import typer
from scipy import stats
from typer.testing import CliRunner, Result

from rai_pipelines.cli.measure_drift import drift
from rai_pipelines.cli.schemas import published_schemas
from rai_pipelines.errors import DataError


@pytest.fixture
def months(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two files in an otherwise empty folder: `march.csv` and `april.parquet`, where incomes are higher."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    made = []
    for shift in (0.0, 1.0):
        made.append(pd.DataFrame({"income": rng.normal(shift, 1, 1_500), "town": rng.choice(["a", "b"], 1_500), "code": rng.integers(0, 4, 1_500)}))
    made[0].to_csv("march.csv", index=False)
    made[1].to_parquet("april.parquet")
    return made[0], made[1]


def run(*options: str) -> Result:
    app = typer.Typer()
    app.command()(drift)
    return CliRunner().invoke(app, ["--data", "april.parquet", "--reference", "march.csv", *options], catch_exceptions=False)


def printed(*options: str) -> Any:
    result = run("--json", *options)
    assert result.exit_code == 0
    return json.loads(result.stdout)


def test_the_output_fits_the_published_schema_and_names_both_files(months: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    found = printed("--resamples", "200")
    jsonschema.validate(found, published_schemas()["measure"])
    assert (found["data"], found["details"]["reference_data"]) == ("april.parquet", "march.csv")
    assert found["details"]["reference_digest"] != found["data_digest"]
    assert {name: facts["state"] for name, facts in found["details"]["columns"].items()} == {"income": "drifted", "town": "stable", "code": "stable"}
    ks = stats.ks_2samp(months[0]["income"], months[1]["income"]).statistic
    assert [item["value"] for item in found["measurements"] if (item["metric"], item["attribute"]) == ("ks", "income")] == [pytest.approx(ks)]


def test_columns_and_codes_can_be_named(months: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    found = printed("--columns", "code", "--categorical", "code")
    assert set(found["details"]["columns"]) == {"code"}
    assert found["details"]["columns"]["code"]["kind"] == "categorical"


def test_a_terminal_gets_a_table(months: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    result = run("--columns", "income,town")
    assert result.exit_code == 0
    assert "domain_classifier_auc" in result.stdout and "wasserstein_normalised" in result.stdout


def test_a_column_of_neither_file_is_refused_in_words_of_the_option(months: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    with pytest.raises(DataError, match="--columns names 'salary', which is no column of either file; they have 'income', 'town', 'code'"):
        run("--columns", "salary")
