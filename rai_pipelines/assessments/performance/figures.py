"""What the performance of every task has in common: its parameters, and when a figure rests on enough rows."""

from __future__ import annotations

from pydantic import Field

from rai_pipelines.assessments.base import Measured, Parameters
from rai_pipelines.assessments.statistics.uncertainty import Uncertain
from rai_pipelines.evidence.model import Measurement, State, Status


class PerformanceParameters(Parameters):
    """What counts as enough data, and how uncertainty is computed."""

    min_group_n: int = Field(default=30, ge=1, description="Rows below which a slice is insufficient")
    min_denominator: int = Field(default=20, ge=1, description="Rows that a rate must be a share of")
    interval_level: float = Field(default=0.90, gt=0, lt=1)
    resamples: int = Field(default=10_000, ge=200, le=100_000, description="Multinomial resamples for figures without a closed form")


def no_labels(label: str) -> Measured:
    """What an evaluation table without a single label comes to."""
    return Measured(status=Status.MISSING, reason=f"No row of the evaluation table has a value in the label column {label!r}.")


def figure_of(
    metric: str, value: float | None, figure: Uncertain | None, *, n: int, denominator: int, parameters: PerformanceParameters, **where: str
) -> Measurement:
    """A figure with its state: undefined without a value, insufficient where rows or denominator are too few."""
    state, note = State.MEASURED, None
    if value is None:
        state, note = State.UNDEFINED, "there is no row that the figure is a share of, or only one class"
    elif n < parameters.min_group_n:
        state, note = State.INSUFFICIENT, f"{n} rows, fewer than {parameters.min_group_n}"
    elif denominator < parameters.min_denominator:
        state, note = State.INSUFFICIENT, f"it rests on {denominator} rows, fewer than {parameters.min_denominator}"
    return Measurement(
        metric=metric,
        value=value,
        interval=figure.interval if figure else None,
        standard_error=figure.standard_error if figure else None,
        n=n,
        denominator=denominator,
        state=state,
        note=note,
        **where,
    )
