"""How far apart the groups of one attribute or intersection are: Fairlearn's disparity metrics with intervals and standard errors."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from rai_pipelines.assessments.fairness.metrics import (
    RATES,
    GroupCounts,
    disparities,
    driving_pair,
    fairlearn_disparities,
    group_rates,
    negatives,
    positives,
    rows,
    smoothed,
)
from rai_pipelines.assessments.statistics.uncertainty import largest_gap_interval, resample
from rai_pipelines.evidence.model import Measurement, State

METRICS = tuple(RATES)
SHOWN_GROUPS = 5


class Sizes(Protocol):
    """What is enough data, and how much is resampled."""

    @property
    def min_group_n(self) -> int: ...
    @property
    def min_denominator(self) -> int: ...
    @property
    def interval_level(self) -> float: ...
    @property
    def resamples(self) -> int: ...
    @property
    def intersection_resamples(self) -> int: ...


def between_groups(counted: GroupCounts, sizes: Sizes, *, seed: tuple[int, int]) -> tuple[list[Measurement], dict[str, dict[str, int]]]:
    """The five disparities over the groups that have enough data, each with the pair of groups that makes it.

    A metric compares the groups whose every rate in it has enough rows; the others are named in the note. With fewer than two such
    groups it is insufficient and has no value.

    Returns:
        The measurements, and by rate the groups without enough rows for it with the number they have.
    """
    few = _insufficient(counted, sizes)
    resamples = sizes.resamples if len(counted.parts) == 1 else sizes.intersection_resamples
    measurements: list[Measurement] = []
    computed: dict[tuple[bool, tuple[str, ...]], tuple[dict[str, float], dict[str, np.ndarray]]] = {}
    for metric in METRICS:
        labelled = not metric.startswith("demographic_parity")
        absent = _needs(metric, few)
        compared = counted.only(np.array([group not in absent for group in counted.groups], dtype=bool))
        if labelled and not counted.cells[:, :4].sum():
            measurements.append(_without_value(metric, counted, State.UNAVAILABLE, "no row has a label"))
            continue
        if len(compared.groups) < 2:
            note = "fewer than two groups have enough rows" + (f"; {_not_compared(absent)}" if absent else "")
            measurements.append(_without_value(metric, counted, State.INSUFFICIENT, note))
            continue
        key = (labelled, compared.groups)
        if key not in computed:
            gaps = resample(smoothed(compared.cells, labelled), _gaps, resamples=resamples, seed=(*seed, int(labelled)))
            computed[key] = fairlearn_disparities(compared, labelled=labelled), gaps
        values, gaps = computed[key]
        measurements.append(_measure(metric, values[metric], compared, absent=absent, gaps=gaps[metric], level=sizes.interval_level))
    return measurements, few


def _measure(metric: str, value: float, compared: GroupCounts, *, absent: dict[str, int], gaps: np.ndarray, level: float) -> Measurement:
    rate, top, bottom = driving_pair(metric, compared)
    ratio = metric.endswith("ratio")
    notes = [f"by {rate}"] + ([_not_compared(absent)] if absent else [])
    cells = compared.cells if metric.startswith("demographic_parity") else compared.cells[:, :4]
    n = int(cells.sum())
    denominators = group_rates(compared.cells)[rate][1]
    if math.isnan(value):
        return _without_value(metric, compared, State.UNDEFINED, "; ".join(["every group's rate is zero", *notes[1:]]))
    rates = [group_rates(compared.cells)[name] for name in RATES[metric]]
    figure = largest_gap_interval(value, rates, gaps, level, ratio=ratio)
    return Measurement(
        metric=metric,
        value=value,
        interval=figure.interval,
        standard_error=figure.standard_error,
        scale="log" if ratio else "identity",
        n=n,
        denominator=int(min(denominators[top], denominators[bottom])),
        attribute=compared.attribute,
        reference=compared.groups[top],
        comparison=compared.groups[bottom],
        note="; ".join(notes),
    )


def _gaps(cells: np.ndarray) -> dict[str, np.ndarray]:
    """Differences as they are and ratios as minus their logarithm, so that 0 always means no difference."""
    plain, floored = disparities(cells), disparities(cells, positive_floor=True)
    return {metric: -np.log(floored[metric]) if metric.endswith("ratio") else plain[metric] for metric in METRICS}


def _insufficient(counted: GroupCounts, sizes: Sizes) -> dict[str, dict[str, int]]:
    n = rows(counted.cells)
    found: dict[str, dict[str, int]] = {}
    for name, denominator in (
        ("selection_rate", n),
        ("true_positive_rate", positives(counted.cells)),
        ("false_positive_rate", negatives(counted.cells)),
    ):
        few = (n < sizes.min_group_n) | (denominator < sizes.min_denominator)
        found[name] = {group: int(denominator[position]) for position, group in enumerate(counted.groups) if few[position]}
    return found


def _needs(metric: str, few: dict[str, dict[str, int]]) -> dict[str, int]:
    if metric.startswith("demographic_parity"):
        return few["selection_rate"]
    if metric == "equal_opportunity_difference":
        return few["true_positive_rate"]
    both = {group: min(few[name].get(group, few_rows) for name in ("true_positive_rate", "false_positive_rate"))
            for group, few_rows in {**few["true_positive_rate"], **few["false_positive_rate"]}.items()}  # fmt: skip
    return dict(sorted(both.items()))


def _not_compared(absent: dict[str, int]) -> str:
    names = [f"{group!r} ({number})" for group, number in list(absent.items())[:SHOWN_GROUPS]]
    more = f" and {len(absent) - SHOWN_GROUPS} more" if len(absent) > SHOWN_GROUPS else ""
    return f"not compared, too few rows: {', '.join(names)}{more}"


def _without_value(metric: str, counted: GroupCounts, state: State, note: str) -> Measurement:
    scale = "log" if metric.endswith("ratio") else "identity"
    return Measurement(metric=metric, value=None, attribute=counted.attribute, n=int(rows(counted.cells).sum()), state=state, scale=scale, note=note)
