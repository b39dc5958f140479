"""`rai measure drift`: two plain files compared column by column, without a registry."""

from __future__ import annotations

from typing import Annotated

import typer

from rai_pipelines.cli.common import AsJson
from rai_pipelines.cli.plain_files import DEFAULT_SEED, Data, Seed, given_table, listed, print_measured, require_columns
from rai_pipelines.errors import DataError


def drift(
    *,
    data: Data,
    reference: Annotated[str, typer.Option("--reference", help="File that --data is compared with: the training data, or an earlier month.")],
    columns: Annotated[str, typer.Option("--columns", help="Columns, comma-separated; without it, all that either file has.")] = "",
    categorical: Annotated[str, typer.Option("--categorical", help="Columns whose numbers are codes, comma-separated.")] = "",
    level: Annotated[float, typer.Option("--level", min=0.5, max=0.999, help="At which all intervals hold together.")] = 0.90,
    resamples: Annotated[int, typer.Option("--resamples", min=200, max=100_000, help="Draws behind bias and standard error.")] = 400,
    seed: Seed = DEFAULT_SEED,
    as_json: AsJson = False,
) -> None:
    """PSI, Jensen-Shannon, KS and Wasserstein distances, new categories, and a classifier that tells the two files apart."""
    from rai_pipelines.assessments.base import Measured
    from rai_pipelines.assessments.drift import ComparedColumn, DriftParameters, measure_drift

    current, before = given_table(data), given_table(reference, option="--reference")
    named, coded = listed(columns), listed(categorical)
    either = tuple(dict.fromkeys((*before.columns, *current.columns)))
    for option, names in (("--columns", named), ("--categorical", coded)):
        absent = [name for name in names if name not in either]
        if absent:
            what = f"{option} names {', '.join(map(repr, absent))}, which is no column of either file; they have {', '.join(map(repr, either))}"
            raise DataError(what, where=current.shown, hint="Correct the option; names are compared exactly")
    if named:
        require_columns(current, {"--columns": [name for name in named if name not in before.columns]})
    parameters = DriftParameters(interval_level=level, resamples=resamples)
    compared = [ComparedColumn(name, ("feature",), categorical=name in coded) for name in named or either]
    measured = measure_drift(before, current, compared, parameters=parameters, seed=seed)
    details = {**measured.details, "reference_data": before.shown, "reference_digest": before.digest()}
    print_measured("drift", current, seed, parameters, Measured(measured.measurements, details), as_json=as_json)
