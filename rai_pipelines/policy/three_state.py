"""Turn a figure with uncertainty and a threshold into pass, fail or inconclusive: a threshold met by luck is not compliance.

PASS: the value and its whole interval lie inside the band (with a 90 % interval this is two one-sided tests at 5 %; Schuirmann 1987).
FAIL: the value lies outside and the one-sided test against the crossed end is significant after Holm's adjustment (Holm 1979).
Otherwise INCONCLUSIVE, with the sample size that would decide if the value stayed the same.

For PASS no adjustment is needed: all figures have to pass, and an intersection-union test keeps its level (Berger 1982).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.policy.findings import Figure, FindingStatus

RELATIVE_TOLERANCE = 1e-9  # four fifths computed as 0.7999999999999999 is four fifths


@dataclass(frozen=True)
class Band:
    """Allowed values, ends included; an absent end does not bind."""

    low: float | None = None
    high: float | None = None

    def contains(self, value: float) -> bool:
        """Whether `value` is inside, up to floating-point noise."""
        return not self.below(value) and not self.above(value)

    def below(self, value: float) -> bool:
        """Whether `value` crosses the lower end."""
        return self.low is not None and value < self.low - RELATIVE_TOLERANCE * max(1.0, abs(self.low))

    def above(self, value: float) -> bool:
        """Whether `value` crosses the upper end."""
        return self.high is not None and value > self.high + RELATIVE_TOLERANCE * max(1.0, abs(self.high))

    def __str__(self) -> str:
        if self.low is not None and self.high is not None:
            return f"within [{self.low:g}, {self.high:g}]"
        return f"at least {self.low:g}" if self.low is not None else f"at most {self.high:g}"


@dataclass(frozen=True)
class Judged:
    """One measurement to hold against one band."""

    label: str
    measurement: Measurement
    band: Band


def judge_family(items: Sequence[Judged], *, alpha: float) -> tuple[Figure, ...]:
    """Judge measurements that are tested together; p-values are adjusted over all of them by Holm's method.

    A measurement that is INSUFFICIENT reads inconclusive, UNDEFINED or UNAVAILABLE reads missing: none of them can pass.
    """
    raw = [p_outside(item.measurement, item.band) for item in items]
    tested = [index for index, p in enumerate(raw) if p is not None]
    adjusted = dict(zip(tested, holm([p for p in raw if p is not None]), strict=True))
    return tuple(_figure(item, adjusted.get(index), alpha) for index, item in enumerate(items))


def judge_exact(label: str, measurement: Measurement, band: Band) -> Figure:
    """Judge a count or a property of the table itself: it has no sampling uncertainty, so it passes or fails."""
    if measurement.value is None or measurement.state is not State.MEASURED:
        return _without_value(label, measurement, band)
    inside = band.contains(measurement.value)
    return _make(label, measurement, band, FindingStatus.PASS if inside else FindingStatus.FAIL)


def p_outside(measurement: Measurement, band: Band) -> float | None:
    """One-sided p of the hypothesis that the true value lies inside `band`, for a value outside it.

    Normal approximation on the measurement's own scale (log for ratios). A value inside has p = 1; a figure without
    standard error has none and cannot fail by test.
    """
    value, error = measurement.value, measurement.standard_error
    if value is None or measurement.state is not State.MEASURED:
        return None
    if band.contains(value):
        return 1.0
    end = band.low if band.below(value) else band.high
    assert end is not None
    if error is None:
        return None
    if error == 0:
        return 0.0
    if measurement.scale == "log":
        if end <= 0:
            return None
        distance = abs(math.log(value) - math.log(end)) if value > 0 else math.inf
    else:
        distance = abs(value - end)
    return 1.0 - NormalDist().cdf(distance / error) if math.isfinite(distance) else 0.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [1.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def decisive_n(measurement: Measurement, band: Band, *, alpha: float) -> int | None:
    """Rows (of the smaller group) at which a figure with this value would be decided; None when no number would."""
    value, error, base = measurement.value, measurement.standard_error, measurement.denominator or measurement.n
    if value is None or not error or not base:
        return None
    ends = [end for end in (band.low, band.high) if end is not None]
    if measurement.scale == "log":
        if value <= 0:
            return None
        distance = min((abs(math.log(value / end)) for end in ends if end > 0), default=0.0)
    else:
        distance = min((abs(value - end) for end in ends), default=0.0)
    if distance < 1e-6:
        return None
    quantile = NormalDist().inv_cdf(1 - alpha)
    needed = base * (quantile * error / distance) ** 2
    return max(math.ceil(needed), base + 1) if needed < 1e12 else None


def _figure(item: Judged, p_adjusted: float | None, alpha: float) -> Figure:
    measurement, band = item.measurement, item.band
    if measurement.value is None or measurement.state is not State.MEASURED:
        return _without_value(item.label, measurement, band)
    interval = measurement.interval
    value_inside = band.contains(measurement.value)
    if value_inside and interval is not None and band.contains(interval.low) and band.contains(interval.high):
        status = FindingStatus.PASS
    elif not value_inside and p_adjusted is not None and p_adjusted < alpha:
        status = FindingStatus.FAIL
    else:
        status = FindingStatus.INCONCLUSIVE
    needed = decisive_n(measurement, band, alpha=alpha) if status is FindingStatus.INCONCLUSIVE else None
    return _make(item.label, measurement, band, status, p_adjusted=p_adjusted, needed=needed)


def _without_value(label: str, measurement: Measurement, band: Band) -> Figure:
    status = FindingStatus.INCONCLUSIVE if measurement.state is State.INSUFFICIENT else FindingStatus.MISSING
    return _make(label, measurement, band, status, note=measurement.note or f"{measurement.metric} is {measurement.state.value}")


def _make(
    label: str,
    measurement: Measurement,
    band: Band,
    status: FindingStatus,
    *,
    p_adjusted: float | None = None,
    needed: int | None = None,
    note: str | None = None,
) -> Figure:
    return Figure(
        label=label,
        metric=measurement.metric,
        value=measurement.value,
        interval=measurement.interval,
        n=measurement.n,
        denominator=measurement.denominator,
        threshold=str(band),
        status=status,
        p_adjusted=p_adjusted,
        decisive_n=needed,
        note=note or measurement.note,
    )
