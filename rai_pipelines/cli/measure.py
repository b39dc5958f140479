"""Verbs for people without a registry: assessments on plain Parquet and CSV files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel, JsonValue

from rai_pipelines.cli.common import AsJson, out, print_json
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.model import Measurement, Record

DEFAULT_SEED = 20261201

Data = Annotated[str, typer.Option("--data", help="Parquet or CSV file, or a glob of them.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the resamples; recorded.")]


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
    group = typer.Typer(help="Measure plain files, without a registry.", no_args_is_help=True)
    group.command()(bias)
    group.command()(anonymity)
    app.add_typer(group, name="measure")


def bias(
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
    from rai_pipelines.assessments.bias import BiasParameters, measure_bias
    from rai_pipelines.tables.contingency import count_groups
    from rai_pipelines.tables.source import open_table

    source = open_table(data, name="given", data_folder=Path.cwd())
    counts = count_groups(source, attributes=tuple(by), bins=_bins(bins or [], by), label=label, prediction=prediction, favourable=favourable)
    parameters = BiasParameters(intersections_depth=depth, min_group_n=min_group_n, min_denominator=min_denominator, resamples=resamples)
    measured = measure_bias(counts, attributes=_references(reference or [], by), parameters=parameters, seed=seed)
    _print("bias_assessment", source.reference, source.digest(), seed, parameters, measured, as_json=as_json)


def anonymity(
    data: Data,
    quasi: Annotated[str, typer.Option("--quasi", help="Quasi-identifying columns, comma-separated.")],
    sensitive: Annotated[str, typer.Option("--sensitive", help="Sensitive columns, comma-separated.")] = "",
    seed: Seed = DEFAULT_SEED,
    as_json: AsJson = False,
) -> None:
    """Direct identifiers, equivalence classes, k, l, t and the risk of being singled out."""
    from rai_pipelines.assessments.anonymity import AnonymityParameters, measure_anonymity
    from rai_pipelines.tables.source import open_table

    source = open_table(data, name="given", data_folder=Path.cwd())
    columns, kept = _listed(quasi), _listed(sensitive)
    source.require(*columns, *kept)
    parameters = AnonymityParameters()
    measured = measure_anonymity(source, quasi_identifiers=columns, sensitive=kept, parameters=parameters, seed=seed)
    _print("anonymization_check", source.reference, source.digest(), seed, parameters, measured, as_json=as_json)


def _print(assessment: str, reference: str, digest: str, seed: int, parameters: BaseModel, measured: Any, *, as_json: bool) -> None:
    from rai_pipelines.assessments.base import library_versions
    from rai_pipelines.evidence.canonical import plain

    found = MeasureOutput(
        assessment=assessment,
        data=reference,
        data_digest=digest,
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
        table.add_row(*(Text(cell) for cell in cells))
    out.print(table)


def _references(given: list[str], by: list[str]) -> dict[str, str]:
    """Attribute to reference group; `highest` for those that are not named."""
    references = dict.fromkeys(by, "highest")
    for text in given:
        if text == "highest":
            continue
        attribute, equals, group = text.partition("=")
        if not equals or attribute not in references:
            raise DataError(f"reference {text!r} names no attribute of --by", where="--reference", hint=f"Write ATTRIBUTE=GROUP with one of {', '.join(by)}")
        references[attribute] = group
    return references


def _bins(given: list[str], by: list[str]) -> dict[str, tuple[float, ...]]:
    edges: dict[str, tuple[float, ...]] = {}
    for text in given:
        attribute, equals, numbers = text.partition("=")
        try:
            edges[attribute] = tuple(float(number) for number in numbers.split(","))
        except ValueError:
            equals = ""
        if not equals or attribute not in by or len(edges[attribute]) < 2:
            raise DataError(f"bins {text!r} cannot be read", where="--bins", hint="Write ATTRIBUTE=18,25,35 with an attribute of --by")
    return edges


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
