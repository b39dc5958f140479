"""Verbs about datasheets: new (a skeleton from a table), check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml

from rai_pipelines.cli.common import EXIT_NON_COMPLIANT, AsJson, out, print_json, print_problem
from rai_pipelines.cli.outputs import CheckOutput
from rai_pipelines.errors import DatasheetError, SettingsError
from rai_pipelines.subjects.datasheet import PLACEHOLDER as FILL_IN

FEW_VALUES = 12


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    group = typer.Typer(help="What an owner declares about a model.", no_args_is_help=True)
    group.command()(new)
    group.command()(check)
    app.add_typer(group, name="datasheet")


def new(
    name: Annotated[str, typer.Argument(help="Name of the registered model.")],
    evaluation: Annotated[str, typer.Option("--evaluation", help="Evaluation table, relative to the data root.")],
    label: Annotated[str, typer.Option("--label", help="Column with the true outcome.")],
    protected: Annotated[list[str], typer.Option("--protected", help="Protected attribute; repeat for more.")],
    training: Annotated[str | None, typer.Option("--training", help="Training table, relative to the data root.")] = None,
) -> None:
    """Write the skeleton of a datasheet to RAI_HOME/subjects/NAME/datasheet.yaml; what only you know is marked FILL IN."""
    from rai_pipelines.evidence.store import write_atomically
    from rai_pipelines.settings import load_settings
    from rai_pipelines.subjects.datasheet import DATASHEET_FILE
    from rai_pipelines.subjects.names import ModelVersion
    from rai_pipelines.tables.source import open_table

    settings = load_settings()
    target = settings.subjects_path / ModelVersion(name, "1").key.split("/")[0] / DATASHEET_FILE
    if target.exists():
        raise SettingsError("exists already", where=str(target), hint="Edit it, or remove it first")
    source = open_table(evaluation, name="evaluation", data_folder=settings.data_path)
    source.require(label, *protected)
    features = [column for column in source.columns if column != label]
    largest = {column: _largest_group(source, column) for column in protected}
    write_atomically(target, skeleton(name, label, features, largest, evaluation=evaluation, training=training).encode())
    out.print(f"{target}\nFill in what is marked, then: rai datasheet check {target}", markup=False, soft_wrap=True)


def check(file: Annotated[Path, typer.Argument(help="The datasheet.")], as_json: AsJson = False) -> None:
    """Check a datasheet; names file, line, field and allowed values of every problem. Exit codes: 0 usable, 1 not."""
    from rai_pipelines.subjects.datasheet import read_datasheet

    try:
        found = read_datasheet(file)
        open_places = [number for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1) if FILL_IN in line]
        if open_places:
            problems = tuple(f"{file}:{number}: still says {FILL_IN}" for number in open_places)
            raise DatasheetError("; ".join(problems), problems=problems)
    except DatasheetError as error:
        if as_json:
            print_json(CheckOutput(usable=False, problems=error.problems or (str(error),)))
        else:
            print_problem(error)
        raise typer.Exit(EXIT_NON_COMPLIANT) from None
    if as_json:
        print_json(CheckOutput(usable=True, about=found.model, digest=found.digest))
    else:
        out.print(f"The datasheet of {found.model} is usable, digest {found.digest}", markup=False, soft_wrap=True)


def skeleton(name: str, label: str, features: list[str], protected: dict[str, str], *, evaluation: str, training: str | None) -> str:
    """The text of a datasheet about `name`; `protected` maps each attribute to its largest group."""
    content = {
        "schema": "rai.datasheet/v1",
        "model": name,
        "purpose": f"{FILL_IN}: what the model decides, about whom, and for whom",
        "out_of_scope": [f"{FILL_IN}: what it must not be used for"],
        "limitations": [f"{FILL_IN}: what it is known to do badly"],
        "risk": {"class": "high", "reason": f"{FILL_IN}: low, limited or high, and why"},
        "release_class": "internal",
        "owner": {"name": FILL_IN, "contact": FILL_IN},
        "deputy": {"name": FILL_IN, "contact": FILL_IN},
        "runbook": f"{FILL_IN}: where the on-call person reads what to do",
        "human_oversight": f"{FILL_IN}: who can overrule the model, and how",
        "provenance": f"{FILL_IN}: where the data came from and under which terms",
        "columns": {
            "label": label,
            "favourable_outcome": "1",
            "features": features,
            "protected_attributes": {column: {"reference": reference} for column, reference in protected.items()},
            "quasi_identifiers": list(protected),
            "sensitive_attributes": [label],
            "immutable_features": [column for column in protected if column in features],
            "categorical_features": [],
        },
        "data": {**({"training": training} if training else {}), "evaluation": evaluation},
        "robustness": {"epsilon_l2": 1.0},
    }
    head = "# What you declare about the model. Schema for editors: docs/schemas/datasheet.schema.json\n"
    return head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def _largest_group(source: object, column: str) -> str:
    """The most frequent value of `column`, or `highest` when there are many values (then declare bins)."""
    from rai_pipelines.tables.group_names import group_name
    from rai_pipelines.tables.source import TableSource

    assert isinstance(source, TableSource)
    table = source.table()
    counted = source.run(table.group_by(column).aggregate(rows=table.count()))
    counted = counted.sort_values(["rows", column], ascending=[False, True])
    return group_name(counted[column].iloc[0]) if len(counted) <= FEW_VALUES else "highest"
