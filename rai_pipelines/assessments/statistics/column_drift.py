"""The distances of one column between two tables, each with its interval and its call; from the counts that `tables.column_shift` made."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rai_pipelines.assessments.statistics.drift_tests import (
    DriftState,
    Effect,
    call,
    corrected_effect,
    homogeneity_p_value,
    ks_effect,
    rows_that_decide,
    wasserstein_effect,
)
from rai_pipelines.assessments.statistics.proportions import difference_of_proportions, proportion
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.tables.column_shift import CategoryShift, NumericShift

MISSING, INFINITE, OTHER, RARE, NEW = "(missing)", "(infinite)", "(other categories)", "(rare categories)", "(new categories)"
NOT_CALLED = "insufficient"
WORST_FIRST = (DriftState.DRIFTED, DriftState.INCONCLUSIVE, DriftState.STABLE)


@dataclass(frozen=True)
class Frame:
    """What all columns share: the names of the two tables, thresholds by metric, and how intervals are made."""

    reference: str
    current: str
    thresholds: Mapping[str, float]
    level: float
    resamples: int
    min_rows: int
    seed: int


@dataclass(frozen=True)
class Binned:
    """Counts of both tables over named bins, the missing values among them."""

    names: tuple[str, ...]
    reference: np.ndarray
    current: np.ndarray


@dataclass(frozen=True)
class ColumnDrift:
    """Measurements of one column and what stands about it in the details."""

    measurements: tuple[Measurement, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    p_value: float | None = None


def figures_of(shift: NumericShift | CategoryShift) -> tuple[str, ...]:
    """The metrics that a column of that kind is judged by."""
    return ("psi", "js_distance", "ks", "wasserstein_normalised") if isinstance(shift, NumericShift) else (
        "psi", "js_distance", "cramers_v", "new_category_share"
    )  # fmt: skip


def column_drift(name: str, shift: NumericShift | CategoryShift, spread: float | None, frame: Frame, *, bins: int | None) -> ColumnDrift:
    """All figures of one column.

    Args:
        name: the column.
        shift: its counts.
        spread: standard deviation of a number in the reference, None or 0 where it has none.
        frame: see `Frame`; its level is that of every single interval.
        bins: bins of equal reference shares that rank bins are merged into; None keeps declared bins.
    """
    binned = _numeric_bins(shift, bins) if isinstance(shift, NumericShift) else _category_bins(shift)
    n, m = int(binned.reference.sum()), int(binned.current.sum())
    seed = (frame.seed, zlib.crc32(name.encode(errors="replace")))
    drawn: dict[str, Any] = {"level": frame.level, "resamples": frame.resamples}
    effects: dict[str, Effect | str] = {}
    for position, metric in enumerate(metric for metric in figures_of(shift) if metric in {"psi", "js_distance", "cramers_v"}):
        effects[metric] = corrected_effect(binned.reference, binned.current, metric=metric, seed=(*seed, position), **drawn)
    made = []
    if isinstance(shift, NumericShift):
        effects |= _rank_effects(shift, spread, frame, (*seed, 9))
        new: tuple[Measurement, str] | None = None
    else:
        new = _new_categories(name, shift, frame)
    states: dict[str, str] = {}
    decide: dict[str, Any] = {}
    for metric, effect in effects.items():
        measurement, states[metric] = _measured(name, metric, effect, frame, rows=(n, m))
        made.append(measurement)
        if isinstance(effect, Effect) and states[metric] == DriftState.INCONCLUSIVE:
            rows = rows_that_decide(effect, frame.thresholds[metric])
            decide[metric] = None if rows is None else {"reference": rows[0], "current": rows[1]}
    if new is not None:
        made.append(new[0])
        states["new_category_share"] = new[1]
    p_value = homogeneity_p_value(binned.reference, binned.current)
    known = {metric: effect for metric, effect in effects.items() if isinstance(effect, Effect)}
    facts = {
        "kind": "numeric" if isinstance(shift, NumericShift) else "categorical",
        "state": worst_state(states.values()),
        "states": states,
        "rows": {"reference": n, "current": m},
        "missing": {"reference": shift.missing[0], "current": shift.missing[1]},
        **_shown(binned, frame.min_rows if isinstance(shift, CategoryShift) else 0),
        "plain": {metric: effect.plain for metric, effect in known.items()},
        "expected_without_drift": {metric: effect.expected for metric, effect in known.items()},
        "rows_that_decide": decide,
        "p_value": p_value,
    }
    if isinstance(shift, CategoryShift):
        facts["new_categories"] = {"categories": shift.new_categories, "rows": shift.new_rows, "reference_values_seen_once": shift.singletons}
    else:
        facts["wasserstein"] = shift.wasserstein
        facts["infinite"] = {"reference": shift.infinite[0], "current": shift.infinite[1]}
    return ColumnDrift(tuple(made), facts, p_value)


def worst_state(states: Any) -> str:
    """`drifted` if any is, else `inconclusive` if any is, else `stable`; `insufficient` where none was called."""
    found = set(states)
    return next((state.value for state in WORST_FIRST if state.value in found), NOT_CALLED)


def _rank_effects(shift: NumericShift, spread: float | None, frame: Frame, seed: tuple[int, ...]) -> dict[str, Effect | str]:
    if shift.ks is None or shift.wasserstein is None:
        absent = "one table has no finite value in this column"
        return {"ks": absent, "wasserstein_normalised": absent}
    found: dict[str, Effect | str] = {"ks": ks_effect(shift.ks, shift.reference, shift.current, level=frame.level)}
    if not spread:
        return found | {"wasserstein_normalised": "the reference has no spread in this column to compare the distance with"}
    occupied = sorted(shift.bins, key=lambda item: item.lowest)
    found["wasserstein_normalised"] = wasserstein_effect(
        np.array([item.reference for item in occupied]),
        np.array([item.current for item in occupied]),
        np.array([item.mean for item in occupied]),
        exact=shift.wasserstein,
        scale=spread,
        level=frame.level,
        resamples=frame.resamples,
        seed=seed,
    )
    return found


def _new_categories(name: str, shift: CategoryShift, frame: Frame) -> tuple[Measurement, str]:
    """Share of current rows with a value that the reference lacks, called by how far it exceeds what unseen values explain.

    Without drift that share is about the share of reference rows whose value occurs once (Good 1953, Biometrika 40, 237-264).
    """
    n, m = shift.reference, shift.current
    where: dict[str, Any] = {"attribute": name, "reference": frame.reference, "comparison": frame.current, "n": n + m, "denominator": m}
    if min(n, m) == 0:
        note = "one table has no value in this column"
        return Measurement(metric="new_category_share", value=None, state=State.UNAVAILABLE, note=note, **where), NOT_CALLED
    share = proportion(shift.new_rows, m, frame.level)
    few = min(n, m) < frame.min_rows
    excess = difference_of_proportions((shift.new_rows, m), (shift.singletons, n), frame.level).interval
    state = NOT_CALLED if few else call(excess, frame.thresholds["new_category_share"]).value
    where |= {"state": State.INSUFFICIENT, "note": f"{min(n, m)} rows, fewer than {frame.min_rows}"} if few else {}
    return Measurement(metric="new_category_share", value=share.value, interval=share.interval, **where), state


def _measured(name: str, metric: str, effect: Effect | str, frame: Frame, *, rows: tuple[int, int]) -> tuple[Measurement, str]:
    where: dict[str, Any] = {"metric": metric, "attribute": name, "reference": frame.reference, "comparison": frame.current}
    if isinstance(effect, str):
        return Measurement(value=None, n=sum(rows), denominator=min(rows), state=State.UNAVAILABLE, note=effect, **where), NOT_CALLED
    smaller = min(effect.n, effect.m)
    few = smaller < frame.min_rows
    measurement = Measurement(
        value=effect.value,
        interval=effect.interval,
        n=effect.n + effect.m,
        denominator=smaller,
        state=State.INSUFFICIENT if few else State.MEASURED,
        note=f"{smaller} rows, fewer than {frame.min_rows}" if few else None,
        **where,
    )
    return measurement, NOT_CALLED if few else call(effect.interval, frame.thresholds[metric]).value


def _numeric_bins(shift: NumericShift, bins: int | None) -> Binned:
    """Rank bins merged to `bins` of equal reference shares; what is missing or infinite has bins of its own."""
    merged: dict[int, list[Any]] = {}
    before = 0
    for position, item in enumerate(shift.bins):
        key = position if bins is None else min(bins - 1, before * bins // max(1, shift.reference))
        merged.setdefault(key, []).append(item)
        before += item.reference
    groups = list(merged.values())
    names = [f"up to {group[-1].highest:.6g}" for group in groups]
    if groups:  # the largest value of all is one row's own
        names[-1] = f"above {groups[-2][-1].highest:.6g}" if len(groups) > 1 else "(all values)"
    reference = [sum(item.reference for item in group) for group in groups]
    current = [sum(item.current for item in group) for group in groups]
    return _with_others(names, reference, current, {MISSING: shift.missing, INFINITE: shift.infinite})


def _category_bins(shift: CategoryShift) -> Binned:
    """Shown categories, and what is beyond them: known and new ones apart, or a column of many values could change all of them unseen.

    Of the new rows beyond, those that unseen values explain without drift (see `_new_categories`) count as other ones.
    """
    names, reference, current = ([item[part] for item in shift.categories] for part in range(3))
    unshown = shift.new_rows - sum(second for _, first, second in shift.categories if first == 0)
    unexplained = shift.new_rows - math.ceil(shift.current * shift.singletons / max(1, shift.reference))
    new = max(0, min(unshown, unexplained))
    return _with_others(names, reference, current, {OTHER: (shift.other[0], shift.other[1] - new), NEW: (0, new), MISSING: shift.missing})


def _with_others(names: list[Any], reference: list[Any], current: list[Any], others: Mapping[str, tuple[int, int]]) -> Binned:
    for name, (first, second) in others.items():
        if first + second:
            names, reference, current = [*names, name], [*reference, first], [*current, second]
    return Binned(tuple(names), np.array(reference, dtype=np.int64), np.array(current, dtype=np.int64))


def _shown(binned: Binned, least: int) -> dict[str, Any]:
    """Bins with their counts; categories with fewer than `least` rows in both tables together are shown as one: a rare value can be a person's."""
    rows: dict[str, list[int]] = {}
    for name, first, second in zip(binned.names, binned.reference.tolist(), binned.current.tolist(), strict=True):
        shown = RARE if first + second < least and name not in {MISSING, OTHER, NEW} else name
        pair = rows.setdefault(shown, [0, 0])
        pair[0] += first
        pair[1] += second
    return {
        "bins": list(rows),
        "counts": {"reference": [pair[0] for pair in rows.values()], "current": [pair[1] for pair in rows.values()]},
    }
