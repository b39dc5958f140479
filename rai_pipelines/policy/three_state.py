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
LEAST_TOLERANCE = 1e-15  # the noise of sums of numbers about one; a delta of 1e-9 is no noise where none is allowed


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
        return self.low is not None and value < self.low - _tolerance(self.low)

    def above(self, value: float) -> bool:
        """Whether `value` crosses the upper end."""
        return self.high is not None and value > self.high + _tolerance(self.high)

    def __str__(self) -> str:
        if self.low is not None and self.high is not None:
            return f"within [{self.low:g}, {self.high:g}]"
        return f"at least {self.low:g}" if self.low is not None else f"at most {self.high:g}"


def _tolerance(end: float) -> float:
    return max(RELATIVE_TOLERANCE * abs(end), LEAST_TOLERANCE)


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
    tested = {index: p for index, p in enumerate(raw) if p is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    # Holm's factor: this p-value and those behind it. With more rows for all of the family those before it fail first.
    factors = {index: len(tested) - place for place, index in enumerate(sorted(tested, key=lambda index: tested[index]))}
    return tuple(_figure(item, adjusted.get(index), alpha, factors.get(index, 1)) for index, item in enumerate(items))


def judge_exact(label: str, measurement: Measurement, band: Band) -> Figure:
    """Judge a count or a property of the table itself: it has no sampling uncertainty, so it passes or fails."""
    if measurement.value is None or measurement.state is not State.MEASURED:
        return _without_value(label, measurement, band)
    inside = band.contains(measurement.value)
    return _make(label, measurement, band, FindingStatus.PASS if inside else FindingStatus.FAIL)


def p_outside(measurement: Measurement, band: Band) -> float | None:
    """One-sided p of the hypothesis that the true value lies inside `band`, for a value outside it.

    The measurement's own interval is inverted, on its own scale (log for ratios): p equals half of one minus the interval's level when
    the interval just touches the band. So the test is as careful as the interval (which may be adjusted for a maximum over groups).
    A value inside has p = 1; a figure without an interval has none and cannot fail by test.
    """
    if measurement.value is None or measurement.state is not State.MEASURED:
        return None
    if band.contains(measurement.value):
        return 1.0
    limits = _on_scale(measurement)
    if limits is None:
        return None
    low, value, high, quantile = limits
    below = band.below(measurement.value)
    end = band.low if below else band.high
    assert end is not None
    if measurement.scale == "log" and end <= 0:
        return None
    edge = math.log(end) if measurement.scale == "log" else end
    spread = ((high - value) if below else (value - low)) / quantile
    return 1.0 - NormalDist().cdf(abs(value - edge) / spread) if spread > 0 else 0.0


def _on_scale(measurement: Measurement) -> tuple[float, float, float, float] | None:
    """Interval and value on the measurement's scale, and the normal quantile of the interval's level; None without an interval."""
    interval = measurement.interval
    if interval is None or measurement.value is None:
        return None
    quantile = NormalDist().inv_cdf(0.5 + interval.level / 2)
    if measurement.scale == "identity":
        return interval.low, measurement.value, interval.high, quantile
    if interval.high <= 0:
        return None
    high = math.log(interval.high)
    if measurement.value > 0:
        value = math.log(measurement.value)
    elif measurement.standard_error:  # a rate of zero: its interval was made with a continuity correction, so is its centre
        value = high - quantile * measurement.standard_error
    else:
        return None
    return (math.log(interval.low) if interval.low > 0 else -math.inf), value, high, quantile


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [1.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def decisive_n(measurement: Measurement, band: Band, *, alpha: float, factor: int = 1) -> int | None:
    """Rows (of the smaller group) at which a figure with this value would be decided; None when no number would.

    Intervals shrink with the square root of the rows. For a value inside, the interval has to fit between it and the ends of the band; for one
    outside, its p-value times `factor` (that of Holm's adjustment) has to come below `alpha`. That is so if the value stays: of new samples
    of that size about half decide, of twice the size about four in five.
    """
    base, limits = measurement.denominator or measurement.n, _on_scale(measurement)
    if not base or limits is None or measurement.value is None:
        return None
    low, value, high, quantile = limits
    ends = {"low": band.low, "high": band.high}
    if band.below(measurement.value) or band.above(measurement.value):
        ends = {"low": band.low} if band.below(measurement.value) else {"high": band.high}
    inside = band.contains(measurement.value)
    level = alpha / factor
    if not inside and level <= 0:  # so many looks were taken that nothing is left to spend
        return None
    stretch = 1.0 if inside else -NormalDist().inv_cdf(level) / quantile
    needed = 0.0
    for side, end in ends.items():
        if end is None or (measurement.scale == "log" and end <= 0):
            continue
        distance = abs(value - (math.log(end) if measurement.scale == "log" else end))
        towards_end = (side == "low") == inside
        reach = (value - low) if towards_end else (high - value)
        if distance < 1e-6 or not math.isfinite(reach):
            return None
        needed = max(needed, base * (stretch * reach / distance) ** 2)
    return max(math.ceil(needed), base + 1) if 0 < needed < 1e12 else None


def _figure(item: Judged, p_adjusted: float | None, alpha: float, factor: int) -> Figure:
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
    needed = decisive_n(measurement, band, alpha=alpha, factor=factor) if status is FindingStatus.INCONCLUSIVE else None
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
