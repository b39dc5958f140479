"""Figures over sampled rows as measurements: shares, means and medians with their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from rai_pipelines.assessments.statistics.proportions import proportion
from rai_pipelines.assessments.statistics.uncertainty import mean_interval, percentile_interval
from rai_pipelines.evidence.model import Interval, Measurement, State

DIGITS = 9  # significant ones of a resampled standard error; the last bits depend on the processor


def share_figure(metric: str, successes: int, of: int, *, level: float, least: int = 1, note: str | None = None, **where: Any) -> Measurement:
    """A share of rows."""
    if not of:
        return absent_figure(metric, 0, note or "there is no row that it is a share of", **where)
    found = proportion(successes, of, level)
    state, note = _standing(of, least, note)
    return Measurement(
        metric=metric, value=found.value, interval=found.interval, standard_error=found.standard_error, n=of, denominator=of,
        state=state, note=note, **where,
    )  # fmt: skip


def mean_figure(metric: str, values: np.ndarray, *, level: float, least: int = 1, note: str | None = None, **where: Any) -> Measurement:
    """A mean over rows with its normal interval; rows without a value (NaN) are counted in `n` and not in the denominator."""
    known = values[np.isfinite(values)]
    if not len(known):
        return absent_figure(metric, len(values), note or "no row has a value", **where)
    found = mean_interval(float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else 0.0, len(known), level)
    state, note = _standing(len(known), max(2, least), note)
    return Measurement(
        metric=metric, value=found.value, interval=found.interval, standard_error=found.standard_error, n=len(values), denominator=len(known),
        state=state, note=note, **where,
    )  # fmt: skip


def median_figure(
    metric: str, values: np.ndarray, *, of: int, level: float, resamples: int, seed: list[int], least: int = 1, note: str | None = None, **where: Any
) -> Measurement:
    """A median over the rows that have a value (`of` were looked at), with its bootstrap interval."""
    if not len(values):
        return absent_figure(metric, of, note or "no row has a value", **where)
    drawn = np.random.default_rng(seed).integers(0, len(values), size=(resamples, len(values)))
    found = percentile_interval(float(np.median(values)), np.median(values[drawn], axis=1), level)
    interval = found.interval.model_copy(update={"method": "percentile bootstrap of rows"})
    state, note = _standing(len(values), least, note)
    error = float(f"{found.standard_error:.{DIGITS}g}")
    return Measurement(
        metric=metric, value=found.value, interval=interval, standard_error=error, n=of, denominator=len(values), state=state, note=note, **where
    )


def absent_figure(metric: str, n: int, note: str, *, state: State = State.UNDEFINED, **where: Any) -> Measurement:
    """A figure without a value, and why."""
    return Measurement(metric=metric, value=None, n=n, denominator=0, state=state, note=note, **where)


def certain_figure(metric: str, value: float, n: int, why: str, *, level: float) -> Measurement:
    """A figure that follows from how something is computed, for every row alike: its interval is the value."""
    interval = Interval(low=value, high=value, level=level, method="by construction")
    return Measurement(metric=metric, value=value, interval=interval, standard_error=0.0, n=n, denominator=n, note=why)


def _standing(rows: int, least: int, note: str | None) -> tuple[State, str | None]:
    if rows >= least:
        return State.MEASURED, note
    few = f"it rests on {rows} rows, fewer than {least}"
    return State.INSUFFICIENT, f"{few}; {note}" if note else few
