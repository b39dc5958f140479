"""Verbs about expectation suites: write (derive the files that people edit), check (validate a table with one)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import JsonValue

from rai_pipelines.cli.common import EXIT_NON_COMPLIANT, AsJson, out, print_json, printable
from rai_pipelines.cli.plain_files import given_table
from rai_pipelines.errors import SettingsError
from rai_pipelines.evidence.model import Record


class SuiteCheckOutput(Record):
    """`rai suite check --json`: what became of each expectation of the file on the table."""

    schema_version: Literal["rai.suite-check/v1"] = "rai.suite-check/v1"
    suite: str
    suite_digest: str
    data: str
    data_digest: str
    rows: int
    counted_by: str
    failed_critical: int
    failed_warning: int
    expectations: tuple[dict[str, JsonValue], ...]


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    group = typer.Typer(help="Expectations of tables, as files that people edit.", no_args_is_help=True)
    group.command()(write)
    group.command()(check)
    app.add_typer(group, name="suite")


def write(
    version: Annotated[str | None, typer.Argument(metavar="[NAME/VERSION]", help="Registered model and version.")] = None,
    datasheet: Annotated[Path | None, typer.Option("--datasheet", help="A datasheet, in place of a registered version.")] = None,
    out_folder: Annotated[Path | None, typer.Option("--out", help="Folder to write to; without it, expectations/ beside the datasheet.")] = None,
) -> None:
    """Derive the suites of training and evaluation table and write training.json and evaluation.json. Files that are there are left alone."""
    from rai_pipelines.assessments.validation.data_validation import DataValidationParameters
    from rai_pipelines.assessments.validation.suite_files import FOLDER
    from rai_pipelines.assessments.validation.write_suites import derived_suites
    from rai_pipelines.evidence.store import write_atomically
    from rai_pipelines.settings import load_settings
    from rai_pipelines.subjects.datasheet import read_datasheet
    from rai_pipelines.tables.source import open_table

    if (version is None) == (datasheet is None):
        raise SettingsError("needs either NAME/VERSION or --datasheet", where="rai suite write", hint="Give one of them")
    settings = load_settings()
    if datasheet is not None:
        sheet, has_model, beside = read_datasheet(datasheet), False, datasheet.parent
    else:
        sheet, has_model, beside = _registered(str(version), settings)
    folder = out_folder or beside / FOLDER
    references = {name: getattr(sheet.data, name) for name in ("training", "evaluation")}
    there = [folder / f"{name}.json" for name, reference in references.items() if reference is not None and (folder / f"{name}.json").exists()]
    if there:
        raise SettingsError(
            "exists already, and may have been edited", where=str(there[0]), hint="Remove it first, or name another folder with --out"
        )
    sources = {
        name: open_table(reference, name=name, data_folder=settings.data_path, memory_limit=settings.table_memory_limit)
        for name, reference in references.items()
        if reference is not None
    }
    for name, text in derived_suites(sheet, sources, DataValidationParameters(), has_model=has_model).items():
        target = folder / f"{name}.json"
        write_atomically(target, text.encode())
        out.print(printable(str(target)), markup=False, soft_wrap=True)
    out.print("Edit them; an audit uses them and tells what was added, removed and loosened.", markup=False, soft_wrap=True)


def check(
    file: Annotated[Path, typer.Argument(help="The suite file.")],
    data: Annotated[str, typer.Option("--data", help="Parquet or CSV file, or a glob of them.")],
    as_json: AsJson = False,
) -> None:
    """Validate a table with a suite file. Exit codes: 0 no critical expectation failed, 1 one did."""
    from rai_pipelines.assessments.validation.data_validation import DataValidationParameters
    from rai_pipelines.assessments.validation.executors import ENGINE, GREAT_EXPECTATIONS, run
    from rai_pipelines.assessments.validation.suite_files import read_suite
    from rai_pipelines.evidence.canonical import plain

    suite = read_suite(file, None)
    source = given_table(data)
    rows, most = source.count_rows(), DataValidationParameters().max_rows
    held = [name for name in dict.fromkeys(item.column for item in suite.planned) if name in source.columns]
    frame = source.sample(most, seed=0, columns=held or source.columns[:1]) if rows <= most else None
    outcomes = run(suite.planned, source, frame)
    failed = [item for item in outcomes if item.success is False]
    critical = sum(item.severity == "critical" for item in failed)
    if as_json:
        found = SuiteCheckOutput(
            suite=file.name,
            suite_digest=suite.digest,
            data=source.shown,
            data_digest=source.digest(),
            rows=rows,
            counted_by=ENGINE if frame is None else GREAT_EXPECTATIONS,
            failed_critical=critical,
            failed_warning=len(failed) - critical,
            expectations=tuple(plain(item.as_detail()) for item in outcomes),
        )
        print_json(found)
    else:
        for item in failed:
            where = f"{item.expectation}({item.column})" if item.column else item.expectation
            line = f"{item.severity}: {where}: {item.observed}; expected: {item.expected}"
            out.print(printable(line), markup=False, soft_wrap=True, style="bold red" if item.severity == "critical" else "yellow")
        out.print(f"{len(outcomes) - len(failed)} of {len(outcomes)} expectations hold on {rows:,} rows", markup=False, soft_wrap=True)
    if critical:
        raise typer.Exit(EXIT_NON_COMPLIANT)


def _registered(version: str, settings: Any) -> tuple[Any, bool, Path]:
    """Datasheet of a registered version, whether it has a model, and the folder that is its own among the subjects."""
    from rai_pipelines.audit import build_auditor
    from rai_pipelines.subjects.names import ModelVersion

    named = ModelVersion.parse(version)
    subject = build_auditor(settings).context(named).subject
    return subject.datasheet, subject.folder is not None, settings.subjects_path / named.key
