"""Group fairness by this project: one scan, then every attribute and intersection with intervals."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.people import ATTRIBUTES
from benchmarks.run_job import Figures

RATES = ("selection_rate", "true_positive_rate", "false_positive_rate", "false_negative_rate", "accuracy")
DISPARITIES = ("demographic_parity_difference", "demographic_parity_ratio", "equalized_odds_difference", "equalized_odds_ratio")


def lattice(path: Path) -> Figures:
    """Rates, impact ratios and disparities of the 3 attributes, their 3 pairs and the triple, with intervals and 10,000 replicates."""
    measured = _measured(path)
    wanted = {*RATES, *DISPARITIES}
    return {
        f"{item.attribute}/{item.group or ''}/{item.metric}": item.value
        for item in measured.measurements
        if item.metric in wanted and item.attribute in ATTRIBUTES and item.value is not None
    }


def cells(path: Path) -> Figures:
    """The same work; its figures are the counts of the finest cells, for peers that give nothing else."""
    measured = _measured(path)
    triple = " × ".join(ATTRIBUTES)
    return {f"{group}/{name}": count for attribute, group, *counts in measured.details["cells"] if attribute == triple
            for name, count in zip(("n", "selected", "positives"), counts, strict=False)}  # fmt: skip


def interval_share(path: Path) -> Figures:
    """The share of the time that goes into intervals and replicates: clocks around the functions that make them."""
    from rai_pipelines.assessments.fairness import disparity, rates

    spent = 0.0
    depth = 0

    def clocked(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            nonlocal spent, depth
            depth += 1
            started = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                depth -= 1
                if depth == 0:
                    spent += time.perf_counter() - started

        return run

    kept = {
        (disparity, name): getattr(disparity, name) for name in ("normal_pool", "resampled_gaps", "largest_gap_interval")
    } | {(rates, name): getattr(rates, name) for name in ("proportion_limits", "ratios_of_proportions")}  # fmt: skip
    try:
        for (module, name), function in kept.items():
            setattr(module, name, clocked(function))
        started = time.perf_counter()
        _measured(path)
        total = time.perf_counter() - started
    finally:
        for (module, name), function in kept.items():
            setattr(module, name, function)
    return {"share of time for intervals": spent / total}


def _measured(path: Path) -> Any:
    from rai_pipelines.assessments.fairness.lattice import BiasParameters, measure_bias
    from rai_pipelines.tables.contingency import count_groups
    from rai_pipelines.tables.source import open_table

    source = open_table(str(path), name="evaluation", data_folder=path.parent)
    counts = count_groups(source, attributes=ATTRIBUTES, bins={}, label="label", prediction="decision", favourable="1")
    return measure_bias(counts, attributes=dict.fromkeys(ATTRIBUTES, "highest"), parameters=BiasParameters(intersections_depth=3), seed=1)
