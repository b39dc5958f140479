"""What the verbs on plain files share: their options, the tables behind them, and how measurements are printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import BaseModel, JsonValue

from rai_pipelines.cli.common import out, print_json, printable
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.model import Measurement, Record

if TYPE_CHECKING:
    from rai_pipelines.tables.source import TableSource

DEFAULT_SEED = 20261201
PIPE_WIDTH = 160  # characters of a line that no terminal limits

Data = Annotated[str, typer.Option("--data", help="Parquet or CSV file, or a glob of them.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the resamples; recorded.")]


class MeasureOutput(Record):
    """What `rai measure … --json` prints."""

    schema_version: Literal["rai.measure/v1"] = "rai.measure/v1"
    assessment: str
    data: str
    data_digest: str
    seed: int
    parameters: dict[str, JsonValue]
    libraries: dict[str, str]
    measurements: tuple[Measurement, ...]
    details: dict[str, JsonValue]


def given_table(data: str, *, option: str = "--data") -> TableSource:
    """The table of `option`; relative paths start in the current folder.

    Raises:
        DataError: no such file, a file without a byte, or one that cannot be opened.
    """
    from rai_pipelines.tables.source import open_table

    try:
        source = open_table(data, name="given" if option == "--data" else option.strip("-"), data_folder=Path.cwd())
    except DataError as error:
        raise in_words_of_options(error, data=option) from error
    hollow = [path.name for path in source.files if path.stat().st_size == 0]
    if hollow:
        raise DataError(f"{', '.join(hollow)} is an empty file", where=source.shown, hint=f"Check {option} and what wrote the file")
    source.table()
    return source


def require_columns(source: TableSource, options: Mapping[str, Sequence[str]]) -> None:
    """Say which option names a column that the table lacks."""
    for option, columns in options.items():
        absent = [column for column in columns if column not in source.columns]
        if absent:
            raise DataError(
                f"{option} names {', '.join(map(repr, absent))}, which is no column of the table; it has {', '.join(map(repr, source.columns))}",
                where=source.shown,
                hint="Correct the option; names are compared exactly",
            )


def in_words_of_options(error: DataError, *, data: str = "--data") -> DataError:
    """The same error for someone who has options and no datasheet."""
    hint = error.hint or ""
    hint = hint.replace("Correct the datasheet; relative references start at RAI_DATA_ROOT", f"Correct {data}; a relative path starts in this folder")
    hint = hint.replace("Correct columns.favourable_outcome", "Correct --favourable")
    where = "--reference" if error.where == "protected attributes" else error.where
    return DataError(error.what, where=where, hint=hint or None)


def print_measured(assessment: str, source: TableSource, seed: int, parameters: BaseModel, measured: Any, *, as_json: bool) -> None:
    """`measured` with what it came from: one JSON document, or a table for people."""
    from rai_pipelines.assessments.base import library_versions
    from rai_pipelines.evidence.canonical import plain

    found = MeasureOutput(
        assessment=assessment,
        data=source.shown,
        data_digest=source.digest(),
        seed=seed,
        parameters=plain(parameters),
        libraries=library_versions(),
        measurements=measured.measurements,
        details=plain(dict(measured.details)),
    )
    if as_json:
        print_json(found)
        return
    _print_table(found.measurements)


def _print_table(measurements: tuple[Measurement, ...]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rai_pipelines.documents.text import number

    table = Table(box=None, pad_edge=False)
    for column in ("metric", "attribute", "group", "value", "interval", "n", "denominator", "state"):
        table.add_column(column, overflow="fold")
    for item in measurements:
        group = item.group or (f"{item.comparison} : {item.reference}" if item.comparison else "")
        interval = f"{number(item.interval.low)} – {number(item.interval.high)}" if item.interval else "–"
        state = item.state.value + (f" ({item.note})" if item.note else "")
        cells = (item.metric, item.attribute or "", group, number(item.value), interval, str(item.n or "–"), str(item.denominator or "–"), state)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    paper = out if out.is_terminal else Console(highlight=False, width=max(out.width, PIPE_WIDTH))
    paper.print(table)


def listed(text: str) -> tuple[str, ...]:
    """Comma-separated names."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
