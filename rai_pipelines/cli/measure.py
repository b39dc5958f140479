"""Verbs for people without a registry: assessments on plain Parquet and CSV files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import BaseModel, JsonValue

from rai_pipelines.cli.common import AsJson, out, print_json, printable
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


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    from rai_pipelines.cli.measure_drift import drift  # it shares the options below

    group = typer.Typer(help="Measure plain files, without a registry.", no_args_is_help=True)
    group.command()(bias)
    group.command()(anonymity)
    group.command()(drift)
    app.add_typer(group, name="measure")


def bias(
    *,
    data: Data,
    prediction: Annotated[str, typer.Option("--prediction", help="Column with the decision.")],
    by: Annotated[list[str], typer.Option("--by", help="Protected attribute; repeat for more (intersections are measured too).")],
    label: Annotated[str | None, typer.Option("--label", help="Column with the true outcome; without it, only selection rates.")] = None,
    favourable: Annotated[str, typer.Option("--favourable", help="Value that is good for the person.")] = "1",
    reference: Annotated[list[str] | None, typer.Option("--reference", help="ATTRIBUTE=GROUP, or 'highest' (the default).")] = None,
    bins: Annotated[list[str] | None, typer.Option("--bins", help="ATTRIBUTE=18,25,35,… cuts a numeric attribute.")] = None,
    depth: Annotated[int, typer.Option("--depth", min=1, max=3, help="Attributes combined in an intersection.")] = 2,
    min_group_n: Annotated[int, typer.Option("--min-group-n", min=1, help="Groups with fewer rows are disclosed, not compared.")] = 30,
    min_denominator: Annotated[int, typer.Option("--min-denominator", min=1, help="The same for what a rate is a share of.")] = 20,
    resamples: Annotated[int, typer.Option("--resamples", min=200, max=100_000, help="Resamples behind the intervals.")] = 10_000,
    seed: Seed = DEFAULT_SEED,
    as_json: AsJson = False,
) -> None:
    """Selection rates, error rates, impact ratios and disparities by group, with intervals."""
    from rai_pipelines.assessments.fairness.lattice import BiasParameters, measure_bias
    from rai_pipelines.tables.contingency import count_groups

    references, edges = _references(reference or [], by), _bins(bins or [], by)
    source = _given(data)
    _require(source, {"--by": by, "--label": [label] if label is not None else [], "--prediction": [prediction]})
    parameters = BiasParameters(intersections_depth=depth, min_group_n=min_group_n, min_denominator=min_denominator, resamples=resamples)
    try:
        counts = count_groups(source, attributes=tuple(by), bins=edges, label=label, prediction=prediction, favourable=favourable)
        measured = measure_bias(counts, attributes=references, parameters=parameters, seed=seed)
    except DataError as error:
        raise _in_words_of_options(error) from error
    _print("bias_assessment", source, seed, parameters, measured, as_json=as_json)


def anonymity(
    *,
    data: Data,
    quasi: Annotated[str, typer.Option("--quasi", help="Quasi-identifying columns, comma-separated.")],
    sensitive: Annotated[str, typer.Option("--sensitive", help="Sensitive columns, comma-separated.")] = "",
    population: Annotated[str | None, typer.Option("--population", help="File of everyone the table may be drawn from.")] = None,
    seed: Seed = DEFAULT_SEED,
    as_json: AsJson = False,
) -> None:
    """Direct identifiers, equivalence classes, k, l, t and the risk of being singled out."""
    from rai_pipelines.assessments.privacy.anonymity import AnonymityParameters, measure_anonymity

    columns, kept = _listed(quasi), _listed(sensitive)
    if not columns:
        raise DataError("names no column", where="--quasi", hint="Write the columns that an attacker may know, comma-separated")
    source = _given(data)
    _require(source, {"--quasi": columns, "--sensitive": kept})
    everyone = _given(population, option="--population") if population is not None else None
    if everyone is not None:
        _require(everyone, {"--quasi": columns})
    parameters = AnonymityParameters()
    measured = measure_anonymity(source, quasi_identifiers=columns, sensitive=kept, parameters=parameters, seed=seed, population=everyone)
    _print("anonymization_check", source, seed, parameters, measured, as_json=as_json)


def _given(data: str, *, option: str = "--data") -> TableSource:
    """The table of `option`; relative paths start in the current folder.

    Raises:
        DataError: no such file, a file without a byte, or one that cannot be opened.
    """
    from rai_pipelines.tables.source import open_table

    try:
        source = open_table(data, name="given" if option == "--data" else option.strip("-"), data_folder=Path.cwd())
    except DataError as error:
        raise _in_words_of_options(error, data=option) from error
    hollow = [path.name for path in source.files if path.stat().st_size == 0]
    if hollow:
        raise DataError(f"{', '.join(hollow)} is an empty file", where=source.shown, hint=f"Check {option} and what wrote the file")
    source.table()
    return source


def _require(source: TableSource, options: Mapping[str, Sequence[str]]) -> None:
    """Say which option names a column that the table lacks."""
    for option, columns in options.items():
        absent = [column for column in columns if column not in source.columns]
        if absent:
            raise DataError(
                f"{option} names {', '.join(map(repr, absent))}, which is no column of the table; it has {', '.join(map(repr, source.columns))}",
                where=source.shown,
                hint="Correct the option; names are compared exactly",
            )


def _in_words_of_options(error: DataError, *, data: str = "--data") -> DataError:
    """The same error for someone who has options and no datasheet."""
    hint = error.hint or ""
    hint = hint.replace("Correct the datasheet; relative references start at RAI_DATA_ROOT", f"Correct {data}; a relative path starts in this folder")
    hint = hint.replace("Correct columns.favourable_outcome", "Correct --favourable")
    where = "--reference" if error.where == "protected attributes" else error.where
    return DataError(error.what, where=where, hint=hint or None)


def _print(assessment: str, source: TableSource, seed: int, parameters: BaseModel, measured: Any, *, as_json: bool) -> None:
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


def _references(given: list[str], by: list[str]) -> dict[str, str]:
    """Attribute to reference group; `highest` for those that are not named."""
    references = dict.fromkeys(by, "highest")
    for text in given:
        if text == "highest":
            continue
        attribute, equals, group = text.partition("=")
        if not equals or attribute not in references:
            hint = f"Write 'highest', or ATTRIBUTE=GROUP with one of {', '.join(by)}"
            raise DataError(f"reference {text!r} names no attribute of --by", where="--reference", hint=hint)
        references[attribute] = group
    return references


def _bins(given: list[str], by: list[str]) -> dict[str, tuple[float, ...]]:
    found: dict[str, tuple[float, ...]] = {}
    for text in given:
        attribute, _, numbers = text.partition("=")
        try:
            edges = tuple(float(number) for number in numbers.split(","))
        except ValueError:
            edges = ()
        ascend = all(math.isfinite(edge) for edge in edges) and all(left < right for left, right in pairwise(edges))
        if attribute not in by or len(edges) < 2 or not ascend:
            raise DataError(f"bins {text!r} cannot be read", where="--bins", hint="Write ATTRIBUTE=18,25,35: an attribute of --by, ascending edges")
        found[attribute] = edges
    return found


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
