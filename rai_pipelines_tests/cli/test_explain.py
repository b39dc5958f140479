"""`rai explain` on a registered version, as a person who answers complaints runs it."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import skops.io
import typer
from sklearn.ensemble import RandomForestClassifier
from typer.testing import CliRunner, Result

from rai_pipelines.assessments.explanations.traces import read_trace
from rai_pipelines.cli import explain
from rai_pipelines.errors import DataError, DatasheetError, RaiError
from rai_pipelines_tests.house import FEATURES, House, datasheet, write_model

Explain = Callable[..., Result]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    made = House(tmp_path_factory.mktemp("house"))
    path = made.settings.data_path / "evaluation.parquet"
    made.evaluation.assign(person=[f"p{at}" for at in range(len(made.evaluation))]).to_parquet(path)
    columns = {**datasheet()["columns"], "row_id": "person"}
    made.register(datasheet(columns=columns))
    made.register()
    return made


@pytest.fixture
def run(house: House, monkeypatch: pytest.MonkeyPatch) -> Explain:
    monkeypatch.setenv("RAI_HOME", str(house.settings.home))
    monkeypatch.setenv("RAI_MODEL_HOST", "in_process")
    app = typer.Typer()
    explain.register(app)
    app.callback()(lambda: None)  # with a second command the name of the first is needed, as in `rai`
    return lambda *arguments: CliRunner().invoke(app, ["explain", *arguments])


def error_of(result: Result, kind: type[RaiError]) -> str:
    assert isinstance(result.exception, kind), result
    return str(result.exception)


def test_a_person_reads_decision_reasons_the_way_out_and_what_to_know(run: Explain, house: House) -> None:
    at = int(house.evaluation["income"].idxmin())
    result = run("calls/1", "--row", f"p{at}")
    assert result.exit_code == 0, result
    text = result.output
    assert f"calls/1, the row of the evaluation table with person = p{at}" in text
    assert "Decision: not favourable." in text
    assert f"income = {house.evaluation['income'][at]:.12g} lowered the log-odds of the favourable outcome by" in text
    assert text.index("What lowered it") < text.index("What raised it")
    assert "What would have turned the decision:" in text
    assert "then: favourable" in text
    assert "LinearExplainer" in text
    assert text.count("sha256:") == 4
    assert "seed: 20261201" in text


def test_json_fits_its_schema_and_adds_up(run: Explain, tmp_path: Path) -> None:
    result = run("calls/1", "--row", "p3", "--json", "--trace", str(tmp_path / "trace.json"))
    found: dict[str, Any] = json.loads(result.stdout)
    jsonschema.validate(found, explain.ExplainOutput.model_json_schema())
    explained = found["explanation"]
    total = explained["base"] + sum(item["shapley"] for item in explained["contributions"])
    assert explained["output"] == pytest.approx(1 / (1 + 2.718281828459045**-total))
    record = read_trace(tmp_path / "trace.json")
    assert record.inputs is None
    assert (record.row_id, record.inputs_digest) == ("p3", explained["inputs_digest"])
    assert dict(record.contributions) == {item["feature"]: item["shapley"] for item in explained["contributions"]}
    assert stat.S_IMODE((tmp_path / "trace.json").stat().st_mode) == 0o600


def test_an_unknown_row_names_table_and_column(run: Explain) -> None:
    assert "the evaluation table has no row with person = 'p99999'" in error_of(run("calls/1", "--row", "p99999"), DataError)
    assert "the evaluation table has no column 'nope'" in error_of(run("calls/1", "--row", "1", "--id-column", "nope"), DataError)


def test_without_a_declared_key_the_column_has_to_be_named(run: Explain) -> None:
    assert "--id-column" in error_of(run("calls/2", "--row", "p1"), DatasheetError)
    assert run("calls/2", "--row", "p1", "--id-column", "person").exit_code == 0


def test_other_tables_are_refused_and_missing_ones_named(run: Explain) -> None:
    assert run("calls/1", "--row", "p1", "--table", "training").exit_code == 2
    assert "production" in error_of(run("calls/1", "--row", "p1", "--table", "production"), DataError)


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A house with a forest that tells three classes apart."""
    made = House(tmp_path_factory.mktemp("graded"))
    for name, people in (("training", made.training), ("evaluation", made.evaluation)):
        grade = np.array(["low", "middle", "high"], dtype=object)[np.digitize(people["income"], [45, 55])]
        people["y"] = grade
        people.assign(person=[f"p{at}" for at in range(len(people))]).to_parquet(made.settings.data_path / f"{name}.parquet")
    columns = {**datasheet()["columns"], "row_id": "person", "classes": ["low", "middle", "high"], "favourable_outcome": "high"}
    sheet = datasheet(columns=columns, task="multiclass_classification")
    folder = write_model(made.folder / "graded", sheet, training=made.training)
    forest = RandomForestClassifier(8, max_depth=5, random_state=1).fit(made.training[FEATURES], made.training["y"])
    skops.io.dump(forest, folder / "model.skops")
    made.register_folder(folder)
    return made


def test_of_several_classes_the_decided_one_or_another_is_explained(graded: House, run: Explain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAI_HOME", str(graded.settings.home))
    at = int(graded.evaluation["income"].idxmin())
    text = run("calls/1", "--row", f"p{at}").output
    assert "Decision: class low." in text
    assert "Explained is class low against all others." in text
    assert "Score (probability of class low)" in text
    assert "then: another class than low" in text
    assert "favourable" not in text
    found = json.loads(run("calls/1", "--row", f"p{at}", "--class", "high", "--json").stdout)
    jsonschema.validate(found, explain.ExplainOutput.model_json_schema())
    assert (found["decided"], found["explained_class"], found["explanation"]["favourable"]) == ("low", "high", False)
    assert found["explanation"]["score"] < 0.2
    total = found["explanation"]["base"] + sum(item["shapley"] for item in found["explanation"]["contributions"])
    assert total == pytest.approx(found["explanation"]["score"], abs=1e-6)
    assert run("calls/1", "--row", "p1", "--class", "other").exit_code == 2
    assert run("calls/1", "--row", "p1", "--trace", "t.json").exit_code == 2


def test_a_class_cannot_be_chosen_where_there_are_two_outcomes(run: Explain) -> None:
    assert run("calls/1", "--row", "p1", "--class", "1").exit_code == 2
