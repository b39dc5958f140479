"""One measurement in a process of its own: `python -m benchmarks.jobs NAME FILE WARM_UP_FILE REPEATS BUDGET_S` prints it as JSON.

A job reads a Parquet file and returns its figures as a flat mapping of names to numbers, so that two jobs can be compared number by number.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.people import ATTRIBUTES, PROFILED, QUASI_FEW, QUASI_MANY

Figures = dict[str, float]
OUTCOMES = ["label", "decision"]
RATES = ("selection_rate", "true_positive_rate", "false_positive_rate", "false_negative_rate", "accuracy")
DISPARITIES = ("demographic_parity_difference", "demographic_parity_ratio", "equalized_odds_difference", "equalized_odds_ratio")
SIGNIFICANT_DIGITS = 9  # of mean and standard deviation, as `tables.profile` keeps them
BYTES_PER_KB = 1024  # ru_maxrss is in KiB on Linux


def fairness_here(path: Path) -> Figures:
    """Counts in DuckDB, rates and disparities with their intervals (10,000 resamples), of single attributes."""
    return _fairness_here(path, depth=1)


def fairness_here_with_pairs(path: Path) -> Figures:
    """The same and every intersection of two attributes, as an audit does it."""
    return _fairness_here(path, depth=2)


def fairness_fairlearn(path: Path) -> Figures:
    """Fairlearn's MetricFrame over the raw rows, one for each attribute; its own differences and ratios. No intervals."""
    import fairlearn.metrics
    import pandas as pd
    from sklearn.metrics import accuracy_score

    people = pd.read_parquet(path, columns=[*ATTRIBUTES, *OUTCOMES])
    functions = {name: accuracy_score if name == "accuracy" else getattr(fairlearn.metrics, name) for name in RATES}
    figures: Figures = {}
    for attribute in ATTRIBUTES:
        frame = fairlearn.metrics.MetricFrame(
            metrics=functions, y_true=people["label"], y_pred=people["decision"], sensitive_features=people[attribute]
        )
        for group, row in frame.by_group.iterrows():
            figures |= {f"{attribute}/{group}/{name}": float(row[name]) for name in RATES}
        difference, ratio = frame.difference(method="between_groups"), frame.ratio(method="between_groups")
        odds = ["true_positive_rate", "false_positive_rate"]
        values = (difference["selection_rate"], ratio["selection_rate"], difference[odds].max(), ratio[odds].min())
        figures |= {f"{attribute}//{name}": float(value) for name, value in zip(DISPARITIES, values, strict=True)}
    return figures


def fairness_pandas(path: Path) -> Figures:
    """pandas: one crosstab of attribute x label x decision for each attribute, and the rates by hand. No intervals."""
    import pandas as pd

    people = pd.read_parquet(path, columns=[*ATTRIBUTES, *OUTCOMES])
    figures: Figures = {}
    for attribute in ATTRIBUTES:
        cells = pd.crosstab(people[attribute], [people["label"], people["decision"]])
        tn, fp, fn, tp = (cells[cell] for cell in ((0, 0), (0, 1), (1, 0), (1, 1)))
        rows = tn + fp + fn + tp
        rates = pd.DataFrame(dict(zip(RATES, ((tp + fp) / rows, tp / (tp + fn), fp / (fp + tn), fn / (tp + fn), (tp + tn) / rows), strict=True)))
        for group, row in rates.iterrows():
            figures |= {f"{attribute}/{group}/{name}": float(row[name]) for name in RATES}
        low, high = rates.min(), rates.max()
        gap, ratio = high - low, low / high
        odds = ["true_positive_rate", "false_positive_rate"]
        values = (gap["selection_rate"], ratio["selection_rate"], gap[odds].max(), ratio[odds].min())
        figures |= {f"{attribute}//{name}": float(value) for name, value in zip(DISPARITIES, values, strict=True)}
    return figures


def classes_few_here(path: Path) -> Figures:
    """Equivalence classes over sex, race and age in DuckDB."""
    return _classes_here(path, QUASI_FEW)


def classes_few_pandas(path: Path) -> Figures:
    """The same by pandas `groupby(...).size()`."""
    return _classes_pandas(path, QUASI_FEW)


def classes_many_here(path: Path) -> Figures:
    """Equivalence classes over sex, age and postcode in DuckDB: nearly as many classes as rows."""
    return _classes_here(path, QUASI_MANY)


def classes_many_pandas(path: Path) -> Figures:
    """The same by pandas `groupby(...).size()`."""
    return _classes_pandas(path, QUASI_MANY)


def profile_here(path: Path) -> Figures:
    """The profile behind data validation, of eight columns, in DuckDB."""
    from rai_pipelines.tables.profile import profile

    figures: Figures = {}
    for name, column in profile(_source(path), PROFILED).columns.items():
        figures |= {f"{name}/nulls": column.nulls, f"{name}/distincts": column.distincts}
        if column.kind == "numeric":
            figures |= {f"{name}/{figure}": float(getattr(column, figure)) for figure in ("minimum", "maximum", "mean", "std")}
        figures |= {f"{name}={value}": rows for value, rows in column.values or ()}
    return figures


def profile_pandas(path: Path) -> Figures:
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


JOBS: dict[str, Callable[[Path], Figures]] = {
    job.__name__: job
    for job in (
        fairness_here, fairness_here_with_pairs, fairness_fairlearn, fairness_pandas, classes_few_here, classes_few_pandas,
        classes_many_here, classes_many_pandas, profile_here, profile_pandas,
    )
}  # fmt: skip


def measure(name: str, path: Path, warm_up: Path, *, repeats: int, budget_s: float) -> dict[str, Any]:
    """Run a job on the small file once, then up to `repeats` times on the large one; no further run starts after `budget_s` seconds.

    Returns:
        `seconds` of each run, `peak_mb` of the process, `idle_mb` (what it had needed before the large file: interpreter, libraries), and
        `figures` of the last run.
    """
    job = JOBS[name]
    job(warm_up)
    idle_mb = _peak_mb()
    seconds: list[float] = []
    figures: Figures = {}
    while not seconds or (len(seconds) < repeats and sum(seconds) < budget_s):
        started = time.perf_counter()
        figures = job(path)
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds, "peak_mb": _peak_mb(), "idle_mb": idle_mb, "figures": figures}


def _fairness_here(path: Path, *, depth: int) -> Figures:
    from rai_pipelines.assessments.fairness.lattice import BiasParameters, measure_bias
    from rai_pipelines.tables.contingency import count_groups

    counts = count_groups(_source(path), attributes=ATTRIBUTES, bins={}, label="label", prediction="decision", favourable="1")
    parameters = BiasParameters(intersections_depth=depth)
    measured = measure_bias(counts, attributes=dict.fromkeys(ATTRIBUTES, "highest"), parameters=parameters, seed=1)
    wanted = {*RATES, *DISPARITIES}
    return {
        f"{item.attribute}/{item.group or ''}/{item.metric}": item.value
        for item in measured.measurements
        if item.metric in wanted and item.attribute in ATTRIBUTES and item.value is not None
    }


def _classes_here(path: Path, columns: tuple[str, ...]) -> Figures:
    from rai_pipelines.tables.equivalence_classes import equivalence_classes

    found = equivalence_classes(_source(path), columns)
    return {"k": found.k, "classes": found.classes, "rows below 5": found.rows_below(5), "unique rows": found.unique_rows}


def _classes_pandas(path: Path, columns: tuple[str, ...]) -> Figures:
    import pandas as pd

    sizes = pd.read_parquet(path, columns=list(columns)).groupby(list(columns), dropna=False).size()
    below = sizes[sizes < 5].sum()
    return {"k": int(sizes.min()), "classes": len(sizes), "rows below 5": int(below), "unique rows": int((sizes == 1).sum())}


def _source(path: Path) -> Any:
    from rai_pipelines.tables.source import open_table

    return open_table(str(path), name="evaluation", data_folder=path.parent)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_PER_KB / 1e6


if __name__ == "__main__":
    given = sys.argv[1:]
    print(json.dumps(measure(given[0], Path(given[1]), Path(given[2]), repeats=int(given[3]), budget_s=float(given[4]))))
