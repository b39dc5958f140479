"""Verbs for operators: init, doctor, schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rai_pipelines.cli.common import EXIT_COULD_NOT, AsJson, out, print_json, printable


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    app.command()(init)
    app.command()(doctor)
    app.command()(schemas)


def init() -> None:
    """Make the home folder with its Dagster instance; safe to repeat."""
    from rai_pipelines.orchestration.instance import prepare_instance
    from rai_pipelines.settings import load_settings

    settings = load_settings()
    home = prepare_instance(settings)
    for folder in (settings.data_path, settings.subjects_path):
        folder.mkdir(parents=True, exist_ok=True)
    out.print(f"Home {settings.home_path}; DAGSTER_HOME={home}", markup=False, soft_wrap=True)


def doctor(as_json: AsJson = False) -> None:
    """Say what is installed, reachable and configured. Exit codes: 0 all well, 3 something an audit needs is not there."""
    from rich.text import Text

    from rai_pipelines.cli.diagnosis import diagnose
    from rai_pipelines.settings import load_settings

    findings = diagnose(load_settings())
    if as_json:
        print_json([item.model_dump(mode="json") for item in findings])
    else:
        for item in findings:
            mark = Text(
                "ok  " if item.ok else ("FAIL" if item.needed else "warn"), style="green" if item.ok else ("red" if item.needed else "yellow")
            )
            out.print(mark, Text(printable(f"{item.name}: {item.detail}")), soft_wrap=True)
    if any(item.needed and not item.ok for item in findings):
        raise typer.Exit(EXIT_COULD_NOT)


def schemas(folder: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("docs/schemas")) -> None:
    """Write the JSON Schemas of the policy, the datasheet and every output."""
    from rai_pipelines.cli.schemas import published_schemas
    from rai_pipelines.evidence.store import write_atomically

    for name, schema in published_schemas().items():
        write_atomically(folder / f"{name}.schema.json", (json.dumps(schema, indent=2, sort_keys=True) + "\n").encode())
    out.print(f"{len(published_schemas())} schemas in {folder}", markup=False)
