"""Distances of columns between two tables: by this project, by SciPy on pandas, and by Evidently in an environment of its own."""

from __future__ import annotations

from pathlib import Path

from benchmarks.people import current_of
from benchmarks.run_job import Figures

NUMBERS = ("age", "income", "score", "visits")
CATEGORIES = ("sex", "race", "region")
DIGITS = 7  # SciPy adds in the order of the values: the digits behind are rounding


def here(path: Path) -> Figures:
    """Exact Kolmogorov-Smirnov and Wasserstein distances of four numbers and Jensen-Shannon distances of three categories, counted in DuckDB."""
    import numpy as np

    from rai_pipelines.assessments.statistics.distances import js_divergence
    from rai_pipelines.tables.column_shift import compare_categories, compare_numbers
    from rai_pipelines.tables.source import open_table

    first, second = (
        open_table(str(file), name=name, data_folder=path.parent) for file, name in ((path, "training"), (current_of(path), "production"))
    )
    figures = {}
    for column in NUMBERS:
        found = compare_numbers(first, second, column)
        assert found.ks is not None and found.wasserstein is not None
        figures |= {f"{column} ks": found.ks, f"{column} wasserstein": round(found.wasserstein, DIGITS)}
    for column in CATEGORIES:
        counts = compare_categories(first, second, column).categories
        one, two = (np.array([[item[side] for item in counts]]) for side in (1, 2))
        figures[f"{column} js"] = round(float(np.sqrt(js_divergence(one, two)[0])), DIGITS)
    return figures


def by_scipy(path: Path) -> Figures:
    """pandas reads the columns, SciPy compares them."""
    import pandas as pd
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import ks_2samp, wasserstein_distance

    first, second = (pd.read_parquet(file, columns=[*NUMBERS, *CATEGORIES]) for file in (path, current_of(path)))
    figures = {}
    for column in NUMBERS:
        one, two = first[column].dropna(), second[column].dropna()
        figures[f"{column} ks"] = float(ks_2samp(one, two, method="asymp").statistic)
        figures[f"{column} wasserstein"] = round(float(wasserstein_distance(one, two)), DIGITS)
    for column in CATEGORIES:
        one, two = (frame[column].value_counts() for frame in (first, second))
        names = one.index.union(two.index)
        figures[f"{column} js"] = round(float(jensenshannon(one.reindex(names, fill_value=0), two.reindex(names, fill_value=0), base=2)), DIGITS)
    return figures


def by_evidently(path: Path) -> Figures:
    """Evidently's data drift preset with the same distances; its Wasserstein distance is divided by the reference's standard deviation."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    first, second = (pd.read_parquet(file, columns=[*NUMBERS, *CATEGORIES]) for file in (path, current_of(path)))
    definition = DataDefinition(numerical_columns=list(NUMBERS), categorical_columns=list(CATEGORIES))
    tables = [Dataset.from_pandas(frame, data_definition=definition) for frame in (first, second)]
    report = Report([DataDriftPreset(num_method="wasserstein", cat_method="jensenshannon")])
    found = report.run(tables[1], tables[0]).dict()
    figures = {}
    for metric in found["metrics"]:
        column = metric.get("config", {}).get("column")
        if column in NUMBERS:
            figures[f"{column} wasserstein"] = round(float(metric["value"]) * max(float(first[column].std(ddof=0)), 0.001), DIGITS)
    return figures
