"""The data-validation profile by this project, pandas, Great Expectations on pandas, and what pandera observes of it."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.people import PROFILED
from benchmarks.run_job import Figures

SIGNIFICANT_DIGITS = 9  # of mean and standard deviation, as `tables.profile` keeps them


def here(path: Path) -> Figures:
    """The profile of eight columns, in DuckDB."""
    from rai_pipelines.tables.profile import profile
    from rai_pipelines.tables.source import open_table

    figures: Figures = {}
    for name, column in profile(open_table(str(path), name="training", data_folder=path.parent), PROFILED).columns.items():
        figures |= {f"{name}/nulls": column.nulls, f"{name}/distincts": column.distincts}
        if column.kind == "numeric":
            figures |= {f"{name}/{figure}": float(getattr(column, figure)) for figure in ("minimum", "maximum", "mean", "std")}
        figures |= {f"{name}={value}": rows for value, rows in column.values or ()}
    return figures


def by_pandas(path: Path) -> Figures:
    """The same by pandas `describe`, `isna`, `nunique` and `value_counts`."""
    import pandas as pd

    people = pd.read_parquet(path, columns=list(PROFILED))
    described, nulls, distincts = people.describe(percentiles=[]), people.isna().sum(), people.nunique()
    figures: Figures = {}
    for name in PROFILED:
        figures |= {f"{name}/nulls": int(nulls[name]), f"{name}/distincts": int(distincts[name])}
        if name in described:
            summary = described[name].astype(float).to_dict()
            figures |= {f"{name}/minimum": summary["min"], f"{name}/maximum": summary["max"]}
            figures |= {f"{name}/{figure}": float(f"{summary[figure]:.{SIGNIFICANT_DIGITS}g}") for figure in ("mean", "std")}
        if distincts[name] <= 100:
            figures |= {f"{name}={value}": int(rows) for value, rows in people[name].value_counts().items()}
    return figures


def by_great_expectations(path: Path) -> Figures:
    """The same observed values out of Great Expectations' own expectations on pandas, but for the counts of values, which it does not observe."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    import pandas as pd
    from great_expectations import expectations as gxe
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults, ProgressBarsConfig

    people = pd.read_parquet(path, columns=list(PROFILED))
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
        analytics_enabled=False,
    )
    context = gx.get_context(mode="ephemeral", project_config=config)
    suite = gx.ExpectationSuite(name="profile")
    for name in PROFILED:
        asked = [gxe.ExpectColumnValuesToNotBeNull(column=name), gxe.ExpectColumnUniqueValueCountToBeBetween(column=name, min_value=0)]
        if pd.api.types.is_numeric_dtype(people[name]):
            kinds = (
                gxe.ExpectColumnMinToBeBetween,
                gxe.ExpectColumnMaxToBeBetween,
                gxe.ExpectColumnMeanToBeBetween,
                gxe.ExpectColumnStdevToBeBetween,
            )
            asked += [kind(column=name, min_value=-1e300) for kind in kinds]
        for item in asked:
            suite.add_expectation(item)
    batch = (
        context.data_sources.add_pandas("bench").add_dataframe_asset("t").add_batch_definition_whole_dataframe("all").get_batch({"dataframe": people})
    )
    figures: Figures = {}
    words = {"min": "minimum", "max": "maximum", "mean": "mean", "stdev": "std"}
    for result in batch.validate(suite).results:
        asked_for, found = result.expectation_config, result.result
        name, kind = asked_for.kwargs["column"], asked_for.type
        if kind == "expect_column_values_to_not_be_null":
            figures[f"{name}/nulls"] = int(found["unexpected_count"])
        elif kind == "expect_column_unique_value_count_to_be_between":
            figures[f"{name}/distincts"] = int(found["observed_value"])
        else:
            word = words[kind.split("_")[2]]
            value = float(found["observed_value"])
            figures[f"{name}/{word}"] = float(f"{value:.{SIGNIFICANT_DIGITS}g}") if word in {"mean", "std"} else value
    return figures


def by_pandera(path: Path) -> Figures:
    """Missing values by pandera's failure cases on pandas: it checks values and reports those that fail, and describes no column."""
    import pandas as pd
    import pandera.pandas as pa

    people = pd.read_parquet(path, columns=list(PROFILED))
    figures: Figures = {f"{name}/nulls": 0 for name in PROFILED}
    try:
        pa.DataFrameSchema({name: pa.Column(nullable=False) for name in PROFILED}).validate(people, lazy=True)
    except pa.errors.SchemaErrors as found:
        figures |= {f"{name}/nulls": int(rows) for name, rows in found.failure_cases["column"].value_counts().items()}
    return figures
