"""The rates of each group with their intervals, and each group's selection rate over that of its reference group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rai_pipelines.assessments.fairness.disparity import Sizes
from rai_pipelines.assessments.fairness.groups import GroupCounts, rows
from rai_pipelines.assessments.fairness.metrics import LATTICE_RATES, RATE_CELLS, effective_rates, group_rates
from rai_pipelines.assessments.statistics.proportions import EXACT_BELOW, proportion_limits, ratios_of_proportions
from rai_pipelines.assessments.statistics.uncertainty import Uncertain
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.model import Interval, Measurement, State
from rai_pipelines.tables.group_names import JOIN

HIGHEST = "highest"
SHOWN_GROUPS = 5
NO_LABEL = "no row has a label"
NO_ROW = "there is no row that the rate is a share of"


def group_measurements(counted: GroupCounts, sizes: Sizes) -> list[Measurement]:
    """Every rate of every group; for intersections those of `LATTICE_RATES`, of which the others are complements.

    Single attributes also have `balanced_accuracy` (the mean of true positive and true negative rate) and, where labels are still
    arriving, `labelled_share`.
    """
    single = len(counted.parts) == 1
    figures, effective, counts = group_rates(counted.figures), effective_rates(counted), group_rates(counted.cells)
    measurements = []
    for metric in RATE_CELLS if single else LATTICE_RATES:
        measurements += _rates(_Rate(metric, counted, figures[metric], effective[metric], counts[metric][1]), sizes)
    if single:
        measurements += _balanced_accuracies(counted, sizes)
        if 0 < counted.labelled < counted.cells.sum():
            labelled, n = counted.cells[:, :4].sum(axis=1), rows(counted.cells)
            measurements += _rates(_Rate("labelled_share", counted, (labelled, n), (labelled, n), n), sizes)
    return measurements


def impact_ratios(counted: GroupCounts, attributes: Mapping[str, str], sizes: Sizes) -> tuple[str | None, list[Measurement]]:
    """The reference group (None when there is none), and the selection rate of each other group over its (29 CFR 1607.4(D)).

    Raises:
        DataError: the declared reference group of a single attribute does not occur.
    """
    reference, missing_reference = _reference_group(counted, attributes, sizes)
    common: dict[str, Any] = {"metric": "impact_ratio", "attribute": counted.attribute, "scale": "log"}
    if reference is None or len(counted.groups) < 2:
        why = missing_reference or f"only one group occurs: {counted.groups[0]!r}"
        return reference, [Measurement(**common, value=None, state=State.INSUFFICIENT, n=int(rows(counted.cells).sum()), note=why)]
    base = counted.groups.index(reference)
    hits, trials = effective_rates(counted)["selection_rate"]
    pairs = list(zip(hits.tolist(), trials.tolist(), strict=True))  # integers stay integers: four fifths is exactly 0.8
    ratios = ratios_of_proportions(pairs, pairs[base], sizes.interval_level)
    enough, each = enough_rows(counted, sizes), rows(counted.cells)
    return reference, [
        _impact_ratio(counted, ratio, _Pair(position, base, each, enough), common) for position, ratio in enumerate(ratios) if position != base
    ]


def enough_rows(counted: GroupCounts, sizes: Sizes) -> np.ndarray:
    """Which groups have enough rows for a selection rate; shape (groups,)."""
    effective = effective_rates(counted)["selection_rate"][1]
    return np.asarray((rows(counted.cells) >= sizes.min_group_n) & (effective >= sizes.min_denominator))


@dataclass(frozen=True)
class _Rate:
    """One rate of all groups: weighted counts, effective counts, and rows that it is a share of; arrays of shape (groups,)."""

    metric: str
    counted: GroupCounts
    figures: tuple[np.ndarray, np.ndarray]
    effective: tuple[np.ndarray, np.ndarray]
    denominators: np.ndarray


@dataclass(frozen=True)
class _Pair:
    """A group and its reference by position, with the rows of every group and whether they are enough."""

    position: int
    base: int
    rows: np.ndarray
    enough: np.ndarray


def _rates(rate: _Rate, sizes: Sizes) -> list[Measurement]:
    hits, trials = rate.effective
    low, high = proportion_limits(hits, np.maximum(trials, 1e-9), sizes.interval_level)
    measurements = []
    for position, n in enumerate(rows(rate.counted.cells).tolist()):
        below, weight = int(rate.denominators[position]), float(trials[position])
        value = float(rate.figures[0][position] / rate.figures[1][position]) if rate.figures[1][position] > 0 else None
        interval = error = None
        if value is not None:
            method = "Clopper-Pearson" if min(hits[position], weight - hits[position]) < EXACT_BELOW else "Wilson score"
            limits = min(float(low[position]), value), max(float(high[position]), value)
            interval = Interval(low=limits[0], high=limits[1], level=sizes.interval_level, method=method)
            error = math.sqrt(value * (1 - value) / weight)
        state, note = _state(rate, position, sizes)
        measurements.append(
            Measurement(
                metric=rate.metric,
                value=value,
                interval=interval,
                standard_error=error,
                n=n,
                denominator=below,
                attribute=rate.counted.attribute,
                group=rate.counted.groups[position],
                state=state,
                note=note,
            )
        )
    return measurements


def _state(rate: _Rate, position: int, sizes: Sizes) -> tuple[State, str | None]:
    n, below, effective = int(rows(rate.counted.cells)[position]), int(rate.denominators[position]), float(rate.effective[1][position])
    if rate.metric not in {"selection_rate", "labelled_share"} and not rate.counted.labelled:
        return State.UNAVAILABLE, NO_LABEL
    if below == 0:
        return State.UNDEFINED, NO_ROW
    if n < sizes.min_group_n:
        return State.INSUFFICIENT, f"the group has {n} rows, fewer than {sizes.min_group_n}"
    if below < sizes.min_denominator:
        return State.INSUFFICIENT, f"the rate is a share of {below} rows, fewer than {sizes.min_denominator}"
    if effective < sizes.min_denominator:
        return State.INSUFFICIENT, f"{below} rows say as much as {effective:.1f} independent ones, fewer than {sizes.min_denominator}"
    return State.MEASURED, None if rate.counted.moments is None else f"{below} rows say as much as {effective:.1f} independent ones"


def _balanced_accuracies(counted: GroupCounts, sizes: Sizes) -> list[Measurement]:
    """Half the sum of two independent proportions: the distances to their limits are added in squares (Zou and Donner 2008)."""
    figures, effective, counts = group_rates(counted.figures), effective_rates(counted), group_rates(counted.cells)
    names = ("true_positive_rate", "true_negative_rate")
    limits = [proportion_limits(effective[name][0], np.maximum(effective[name][1], 1e-9), sizes.interval_level) for name in names]
    fewest = [np.minimum(*(source[name][1] for name in names)) for source in (effective, counts)]
    joint = _Rate("balanced_accuracy", counted, (fewest[0], fewest[0]), (fewest[0], fewest[0]), fewest[1])
    measurements = []
    for position, n in enumerate(rows(counted.cells).tolist()):
        below = int(joint.denominators[position])
        state, note = _state(joint, position, sizes)
        value = interval = error = None
        if below > 0:
            rates = [float(figures[name][0][position] / figures[name][1][position]) for name in names]
            value = sum(rates) / 2
            reach = [math.hypot(*(side[position] - rate for side, rate in zip(sides, rates, strict=True))) / 2 for sides in zip(*limits, strict=True)]
            interval = Interval(low=max(0.0, value - reach[0]), high=min(1.0, value + reach[1]), level=sizes.interval_level, method="MOVER")
            error = math.hypot(*(math.sqrt(rate * (1 - rate) / effective[name][1][position]) for name, rate in zip(names, rates, strict=True))) / 2
        measurements.append(
            Measurement(
                metric="balanced_accuracy",
                value=value,
                interval=interval,
                standard_error=error,
                n=n,
                denominator=below,
                attribute=counted.attribute,
                group=counted.groups[position],
                state=state,
                note=note,
            )
        )
    return measurements


def _impact_ratio(counted: GroupCounts, figure: Uncertain | None, pair: _Pair, common: Mapping[str, Any]) -> Measurement:
    position, base = pair.position, pair.base
    small = [f"{counted.groups[at]!r} (n={int(pair.rows[at])})" for at in (position, base) if not pair.enough[at]]
    state, note = State.MEASURED, None
    if figure is None:
        state, note = State.UNDEFINED, f"nobody of the reference group {counted.groups[base]!r} has the favourable decision"
    elif small:
        state, note = State.INSUFFICIENT, f"too few rows: {', '.join(small)}"
    return Measurement(
        **common,
        value=figure.value if figure else None,
        interval=figure.interval if figure else None,
        standard_error=figure.standard_error if figure else None,
        n=int(pair.rows[position] + pair.rows[base]),
        denominator=int(min(pair.rows[position], pair.rows[base])),
        reference=counted.groups[base],
        comparison=counted.groups[position],
        state=state,
        note=note,
    )


def _reference_group(counted: GroupCounts, attributes: Mapping[str, str], sizes: Sizes) -> tuple[str | None, str | None]:
    """The group that others are compared with; or None and why there is none."""
    declared: Sequence[str] = [attributes[part] for part in counted.parts]
    if HIGHEST not in declared:
        name = JOIN.join(declared)
        if name in counted.groups:
            return name, None
        if len(declared) == 1:
            found = ", ".join(map(repr, counted.groups[:SHOWN_GROUPS])) + (", …" if len(counted.groups) > SHOWN_GROUPS else "")
            raise DataError(
                f"the reference group {name!r} does not occur in column {counted.attribute!r} (found {found})",
                where="protected attributes",
                hint="Name one of these groups, or 'highest'",
            )
        return None, f"the reference group {name!r} does not occur"
    enough = enough_rows(counted, sizes)
    if not enough.any():
        return None, "no group has enough rows to be the reference"
    hits, weight = group_rates(counted.figures)["selection_rate"]
    rate = np.where(enough, hits / np.where(weight > 0, weight, 1), -1.0)
    return counted.groups[int(rate.argmax())], None
