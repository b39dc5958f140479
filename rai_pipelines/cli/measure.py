"""Verbs for people without a registry: assessments on plain Parquet and CSV files."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated

import typer

from rai_pipelines.cli.common import AsJson
from rai_pipelines.cli.measure_drift import drift
from rai_pipelines.cli.plain_files import DEFAULT_SEED, Data, Seed, given_table, in_words_of_options, listed, print_measured, require_columns
from rai_pipelines.errors import DataError


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
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
    source = given_table(data)
    require_columns(source, {"--by": by, "--label": [label] if label is not None else [], "--prediction": [prediction]})
    parameters = BiasParameters(intersections_depth=depth, min_group_n=min_group_n, min_denominator=min_denominator, resamples=resamples)
    try:
        counts = count_groups(source, attributes=tuple(by), bins=edges, label=label, prediction=prediction, favourable=favourable)
        measured = measure_bias(counts, attributes=references, parameters=parameters, seed=seed)
    except DataError as error:
        raise in_words_of_options(error) from error
    print_measured("bias_assessment", source, seed, parameters, measured, as_json=as_json)


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
    from rai_pipelines.assessments.privacy.anonymity import measure_anonymity
    from rai_pipelines.assessments.privacy.parameters import AnonymityParameters

    columns, kept = listed(quasi), listed(sensitive)
    if not columns:
        raise DataError("names no column", where="--quasi", hint="Write the columns that an attacker may know, comma-separated")
    source = given_table(data)
    require_columns(source, {"--quasi": columns, "--sensitive": kept})
    everyone = given_table(population, option="--population") if population is not None else None
    if everyone is not None:
        require_columns(everyone, {"--quasi": columns})
    parameters = AnonymityParameters()
    measured = measure_anonymity(source, quasi_identifiers=columns, sensitive=kept, parameters=parameters, seed=seed, population=everyone)
    print_measured("anonymization_check", source, seed, parameters, measured, as_json=as_json)


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
