"""How far apart the groups of one attribute or intersection are: Fairlearn's disparity metrics with intervals and standard errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from rai_pipelines.assessments.fairness.groups import GroupCounts, rows
from rai_pipelines.assessments.fairness.metrics import (
    RATES,
    disparities,
    driving_pair,
    effective_rates,
    fairlearn_disparities,
    group_rates,
    normal_pool,
    resampled_gaps,
)
from rai_pipelines.assessments.statistics.proportions import largest_gap_interval
from rai_pipelines.evidence.model import Measurement, State

SHOWN_GROUPS = 5
PARITY = "demographic_parity"
COMPARED_RATES = tuple(dict.fromkeys(name for names in RATES.values() for name in names))
Few = dict[str, dict[str, int]]


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


def between_groups(tables: Sequence[GroupCounts], sizes: Sizes, *, seed: int, closed_forms: bool = False) -> list[tuple[list[Measurement], Few]]:
    """The disparities over the groups that have enough data, each with the pair of groups that makes it, for each table.

    A metric compares the groups whose every rate in it has enough rows; the others are named in the note. With fewer than two such
    groups it is insufficient and has no value. Single attributes have Fairlearn's values, intersections those of the closed forms, which are
    the same up to rounding; `closed_forms` takes them for single attributes too, for simulations of many tables.

    Returns:
        For each table the measurements, and by rate the groups without enough rows for it with the number they have.
    """
    few = [insufficient_groups(counted, sizes) for counted in tables]
    compared = {
        (position, metric): counted.only(np.array([group not in _needs(metric, few[position]) for group in counted.groups], dtype=bool))
        for position, counted in enumerate(tables)
        for metric in RATES
    }
    comparable = {
        key: chosen for key, chosen in compared.items() if len(chosen.groups) >= 2 and (key[1].startswith(PARITY) or tables[key[0]].labelled > 0)
    }
    values = _values(comparable, by_fairlearn=not closed_forms)
    pool = normal_pool(max((len(chosen.groups) for chosen in comparable.values()), default=0), resamples=sizes.resamples, seed=(seed,))
    found = []
    for position, counted in enumerate(tables):
        mine = {metric: chosen for (at, metric), chosen in comparable.items() if at == position}
        gaps = _gaps(mine, pool, (seed, position))
        measurements = []
        for metric in RATES:
            absent = _needs(metric, few[position])
            if metric in mine:
                measurements.append(_measure(metric, values[position, metric], mine[metric], absent, (gaps[metric], sizes.interval_level)))
            elif not metric.startswith(PARITY) and not counted.labelled:
                measurements.append(_without_value(metric, counted, State.UNAVAILABLE, "no row has a label"))
            else:
                note = "fewer than two groups have enough rows" + (f"; {_not_compared(absent)}" if absent else "")
                measurements.append(_without_value(metric, counted, State.INSUFFICIENT, note))
        found.append((measurements, few[position]))
    return found


def insufficient_groups(counted: GroupCounts, sizes: Sizes) -> Few:
    """By compared rate, the groups with too few rows in all or (effective) rows that the rate is a share of, and how many of these they have."""
    n, effective, counts = rows(counted.cells), effective_rates(counted), group_rates(counted.cells)
    found: Few = {}
    for name in COMPARED_RATES:
        few = (n < sizes.min_group_n) | (effective[name][1] < sizes.min_denominator)
        found[name] = {group: int(counts[name][1][position]) for position, group in enumerate(counted.groups) if few[position]}
    return found


def _values(comparable: Mapping[tuple[int, str], GroupCounts], *, by_fairlearn: bool) -> dict[tuple[int, str], float]:
    """The figure of each table and metric: by Fairlearn for single attributes, in as few frames as there are kinds of rows."""
    values: dict[tuple[int, str], float] = {}
    for labelled in (False, True) if by_fairlearn else ():
        keys: dict[tuple[int, tuple[str, ...]], list[tuple[int, str]]] = {}
        for (position, metric), chosen in comparable.items():
            if len(chosen.parts) == 1 and metric.startswith(PARITY) is not labelled and metric != "predictive_parity_difference":
                keys.setdefault((position, chosen.groups), []).append((position, metric))
        found = fairlearn_disparities([comparable[asked[0]] for asked in keys.values()], labelled=labelled)
        for asked, figures in zip(keys.values(), found, strict=True):
            values |= {(position, metric): figures[metric] for position, metric in asked}
    closed: dict[tuple[int, tuple[str, ...]], dict[str, np.ndarray]] = {}
    for (position, metric), chosen in comparable.items():
        if (position, metric) not in values:
            figures_of = closed.setdefault((position, chosen.groups), {}) or disparities(chosen.figures)
            closed[position, chosen.groups] = figures_of
            values[position, metric] = float(figures_of[metric])
    return values


def _gaps(chosen: Mapping[str, GroupCounts], pool: np.ndarray, seed: tuple[int, int]) -> dict[str, np.ndarray]:
    """Replicates of each metric; metrics that compare the same groups share theirs."""
    sharing: dict[tuple[str, ...], list[str]] = {}
    for metric, compared in chosen.items():
        sharing.setdefault(compared.groups, []).append(metric)
    gaps: dict[str, np.ndarray] = {}
    for number, metrics in enumerate(sharing.values()):
        gaps |= resampled_gaps(effective_rates(chosen[metrics[0]]), metrics, resamples=pool.shape[-1], seed=(*seed, number), pool=pool)
    return gaps


def _measure(metric: str, value: float, compared: GroupCounts, absent: Mapping[str, int], spread: tuple[np.ndarray, float]) -> Measurement:
    gaps, level = spread
    rate, top, bottom = driving_pair(metric, compared)
    ratio = metric.endswith("ratio")
    notes = [f"by {rate}"] + ([_not_compared(absent)] if absent else []) + arrived(metric, compared)
    n = int((compared.cells if metric.startswith(PARITY) else compared.cells[:, :4]).sum())
    if math.isnan(value):
        return _without_value(metric, compared, State.UNDEFINED, "; ".join(["every group's rate is zero", *notes[1:]]))
    effective = effective_rates(compared)
    figure = largest_gap_interval(value, [effective[name] for name in RATES[metric]], gaps, level, ratio=ratio)
    denominators = group_rates(compared.cells)[rate][1]
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


def arrived(metric: str, counted: GroupCounts) -> list[str]:
    """For a metric that needs labels: the share of rows that have one, where it is not all."""
    total = int(counted.cells.sum())
    if metric.startswith((PARITY, "selection_rate", "impact_ratio")) or counted.labelled == total:
        return []
    return [f"labels have arrived for {counted.labelled / total:.1%} of rows"]


def _needs(metric: str, few: Few) -> dict[str, int]:
    """The groups that the metric cannot compare, with the fewest rows that one of its rates has for them."""
    absent: dict[str, int] = {}
    for name in RATES[metric]:
        for group, number in few[name].items():
            absent[group] = min(number, absent.get(group, number))
    return dict(sorted(absent.items()))


def _not_compared(absent: Mapping[str, int]) -> str:
    names = [f"{group!r} ({number})" for group, number in list(absent.items())[:SHOWN_GROUPS]]
    more = f" and {len(absent) - SHOWN_GROUPS} more" if len(absent) > SHOWN_GROUPS else ""
    return f"not compared, too few rows: {', '.join(names)}{more}"


def _without_value(metric: str, counted: GroupCounts, state: State, note: str) -> Measurement:
    scale = "log" if metric.endswith("ratio") else "identity"
    return Measurement(metric=metric, value=None, attribute=counted.attribute, n=int(rows(counted.cells).sum()), state=state, scale=scale, note=note)
