"""Fairness in production: how far apart groups are in each window of so many decisions, by the time at which these were made.

A window is looked at by itself; nothing is smoothed over windows, so that a gap that opens late is not thinned by the time before it. Whether a
gap has lasted is the policy's question (policy/checks/fairness_windows.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import Field, JsonValue

from rai_pipelines.assessments.base import AuditContext, Measured, Parameters
from rai_pipelines.assessments.drift import LIVE, NO_PRODUCTION
from rai_pipelines.assessments.fairness.disparity import between_groups
from rai_pipelines.assessments.fairness.groups import GroupCounts, group_counts, rows
from rai_pipelines.assessments.scoring import scored_table
from rai_pipelines.evidence.model import Measurement, State, Status
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.tables.contingency import count_groups
from rai_pipelines.tables.windows import WINDOW, Window, Windows, decision_windows

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("demographic_parity_difference", "equalized_odds_difference")
NO_TIME = "the datasheet names no columns.timestamp: production decisions cannot be put in order"


class FairnessWindowParameters(Parameters):
    """How decisions are cut into windows, and what counts as enough data in one."""

    window_decisions: int = Field(default=5_000, ge=100, le=10_000_000)
    windows: int = Field(default=24, ge=2, le=500, description="Newest windows that are looked at")
    min_label_coverage: float = Field(
        default=0.6, ge=0, le=1, description="Share of a window's decisions whose outcome is known, for figures on errors"
    )
    min_group_n: int = Field(default=30, ge=1, description="Rows below which a group is insufficient")
    min_denominator: int = Field(default=20, ge=1, description="Rows that a rate must be a share of")
    interval_level: float = Field(default=0.90, gt=0, lt=1)
    resamples: int = Field(default=2_000, ge=200, le=100_000, description="Replicates behind the standard errors of disparities")


def assess_fairness_windows(context: AuditContext, parameters: FairnessWindowParameters) -> Measured:
    """Demographic parity and equalized odds differences of every protected attribute in each of the newest windows, the newest first.

    `group` names the window (`window 12`). Groups without enough rows in a window are named and not compared there. Where fewer outcomes have
    arrived than `min_label_coverage`, figures on errors are insufficient: early labels are seldom a fair sample. Details list the windows, whether
    they are complete, and attributes that the production table does not hold.

    Raises:
        DataError: the production table does not fit the datasheet, or its time column holds no times.
        ModelError: the model fails on the production table.
    """
    sheet = context.subject.datasheet
    live = context.subject.live
    if not context.has_table("production"):
        return Measured(status=Status.MISSING if live else Status.NOT_APPLICABLE, reason=LIVE if live else NO_PRODUCTION)
    if sheet.task != "binary_classification":
        return Measured(status=Status.MISSING, reason=f"windows are measured for binary_classification, the task is {sheet.task}")
    if sheet.columns.timestamp is None:
        return Measured(status=Status.MISSING, reason=NO_TIME)
    scored = scored_table(context, "production")
    cut = decision_windows(scored.source, sheet.columns.timestamp, size=parameters.window_decisions, most=parameters.windows)
    present = tuple(name for name in sheet.columns.protected_attributes if name in scored.source.columns)
    absent = [name for name in sheet.columns.protected_attributes if name not in present]
    label = scored.label_column if scored.label_column in scored.source.columns else None
    measurements = list(_absent(absent))
    details: dict[str, JsonValue] = {"decisions": cut.decisions, "undated": cut.undated, "not_in_production": list(absent)}
    if cut.windows and present:
        counts = count_groups(
            cut.source,
            attributes=(WINDOW, *present),
            bins={name: attribute.bins for name, attribute in sheet.columns.protected_attributes.items() if attribute.bins and name in present},
            label=label,
            prediction=scored.prediction_column,
            favourable=sheet.columns.favourable_outcome,
        )
        measurements += _measured(counts, present, parameters, seed=context.seed)
    return Measured(measurements=tuple(measurements), details={**details, "windows": _told(cut), "groups": _groups(sheet, present)})


def window_name(number: int) -> str:
    """How a window is called in measurements."""
    return f"window {number}"


@dataclass(frozen=True)
class _Place:
    """Where a table of counts belongs."""

    number: int
    counted: GroupCounts


def _measured(counts: pd.DataFrame, attributes: tuple[str, ...], parameters: FairnessWindowParameters, *, seed: int) -> Iterator[Measurement]:
    places = [
        _Place(int(str(number)), table)
        for number, part in sorted(counts.groupby(WINDOW), key=lambda item: -int(str(item[0])))  # newest first
        for table in group_counts(part.drop(columns=WINDOW).reset_index(drop=True), list(attributes), depth=1)
    ]
    found = between_groups([place.counted for place in places], parameters, seed=seed, closed_forms=True)
    for place, (figures, _) in zip(places, found, strict=True):
        decisions = int(rows(place.counted.cells).sum())
        coverage = place.counted.labelled / decisions
        for figure in figures:
            if figure.metric not in METRICS:
                continue
            late = figure.metric != METRICS[0] and coverage < parameters.min_label_coverage
            note = f"outcomes are known of {coverage:.1%} of {decisions:,} decisions"
            known: dict[str, Any] = (
                {"value": None, "interval": None, "standard_error": None, "state": State.INSUFFICIENT, "note": note} if late else {}
            )
            yield figure.model_copy(update={"group": window_name(place.number), "n": figure.n or decisions, **known})


def _absent(attributes: list[str]) -> Iterator[Measurement]:
    for name in attributes:
        for metric in METRICS:
            note = "the production table does not hold this attribute"
            yield Measurement(metric=metric, value=None, attribute=name, state=State.UNAVAILABLE, note=note)


def _told(cut: Windows) -> list[JsonValue]:
    return [_window(item) for item in cut.windows]


def _window(item: Window) -> JsonValue:
    return {
        "window": item.number,
        "decisions": item.rows,
        "from": _moment(item.earliest_us),
        "to": _moment(item.latest_us),
        "complete": item.complete,
    }


def _moment(us: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).isoformat(timespec="seconds")


def _groups(sheet: Datasheet, present: tuple[str, ...]) -> JsonValue:
    """What group codes mean, for who reads the figures."""
    return {name: {"labels": dict(sheet.columns.protected_attributes[name].labels)} for name in present}
