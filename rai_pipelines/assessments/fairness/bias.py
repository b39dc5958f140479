"""Bias assessment: rates of every protected group and intersection, and how far apart they are, with uncertainty.

Everything is computed from the contingency table of `tables.contingency`; Fairlearn's own functions give the headline figures.
Small groups are disclosed as insufficient and never compared, so they can neither hide a disparity nor read as parity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from rai_pipelines.assessments.base import AuditContext, Measured, Parameters
from rai_pipelines.assessments.fairness.disparity import between_groups
from rai_pipelines.assessments.fairness.metrics import JOIN, GroupCounts, group_counts, group_rates, positives, rows, selected
from rai_pipelines.assessments.scoring import scored_evaluation
from rai_pipelines.assessments.statistics.uncertainty import katz_ratio, proportion
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.tables.contingency import count_groups

if TYPE_CHECKING:
    import pandas as pd

HIGHEST = "highest"
SHOWN_GROUPS = 5


class BiasParameters(Parameters):
    """What counts as enough data, and how uncertainty is computed. The attributes come from the datasheet."""

    intersections_depth: int = Field(default=2, ge=1, le=3, description="Attributes combined at most; 1 means no intersections")
    min_group_n: int = Field(default=30, ge=1, description="Rows below which a group is insufficient")
    min_denominator: int = Field(default=20, ge=1, description="Rows that a rate must be a share of")
    interval_level: float = Field(default=0.90, gt=0, lt=1)
    resamples: int = Field(default=10_000, ge=200, le=100_000, description="Multinomial resamples for each protected attribute")
    intersection_resamples: int = Field(default=2_000, ge=200, le=100_000, description="The same for each intersection, which is exploratory")


def assess_bias(context: AuditContext, parameters: BiasParameters) -> Measured:
    """Group fairness of the evaluation table of a model version.

    Raises:
        ModelMissing: no prediction column is declared and there is no model to make one.
        DataError: the table does not fit the datasheet; names table, column and values.
    """
    columns = context.subject.datasheet.columns
    scored = scored_evaluation(context)
    counts = count_groups(
        scored.source,
        attributes=tuple(columns.protected_attributes),
        bins={name: attribute.bins for name, attribute in columns.protected_attributes.items() if attribute.bins},
        label=scored.label_column,
        prediction=scored.prediction_column,
        favourable=columns.favourable_outcome,
    )
    return measure_bias(
        counts,
        attributes={name: attribute.reference for name, attribute in columns.protected_attributes.items()},
        parameters=parameters,
        seed=context.seed,
        labels={name: attribute.labels for name, attribute in columns.protected_attributes.items()},
    )


def measure_bias(
    counts: pd.DataFrame,
    *,
    attributes: Mapping[str, str],
    parameters: BiasParameters,
    seed: int,
    labels: Mapping[str, Mapping[str, str]] | None = None,
) -> Measured:
    """Bias figures of a contingency table.

    Args:
        counts: what `count_groups` returns for these attributes.
        attributes: attribute to its reference group, or to `highest` for the group with the highest selection rate.
        parameters: minimum sizes, interval level, resamples.
        seed: starts every generator.
        labels: what the codes of an attribute's groups mean, passed through to `details`.

    Returns:
        Per group: `selection_rate`, `true_positive_rate`, `false_positive_rate`, `false_negative_rate`, `accuracy`, `base_rate`;
        per group against its reference: `impact_ratio` (29 CFR 1607.4(D): the rate of a group over that of the reference group);
        per attribute: the disparities of `disparity.between_groups`.

    Raises:
        DataError: a declared reference group does not occur.
    """
    measurements: list[Measurement] = []
    details: dict[str, Any] = {"groups": {}, "cells": []}
    references = {}
    for position, counted in enumerate(group_counts(counts, list(attributes), depth=min(parameters.intersections_depth, len(attributes)))):
        reference, missing_reference = _reference_group(counted, attributes, parameters)
        references[counted.attribute] = reference
        measurements += _group_measurements(counted, parameters)
        measurements += _impact_ratios(counted, reference, missing_reference, parameters)
        compared, insufficient = between_groups(counted, parameters, seed=(seed, position))
        measurements += compared
        details["groups"][counted.attribute] = {
            "insufficient": _insufficient_groups(counted, insufficient),
            "insufficient_denominator": insufficient,
            "reference": reference,
            "labels": dict((labels or {}).get(counted.attribute, {})),
        }
        details["cells"] += _cells(counted)
    total = int(counts["count"].sum())
    details |= {
        "cell_columns": ["attribute", "group", "n", "selected", "positives", "true_positives", "false_positives", "labelled"],
        "rows": total,
        "unlabelled_rows": int(counts.loc[counts["label"].isna(), "count"].sum()),
        "resamples": parameters.resamples,
        "intersection_resamples": parameters.intersection_resamples,
        "most_different": {
            "attributes": _most_different(measurements, intersections=False),
            "intersections": _most_different(measurements, intersections=True),
        },
    }
    return Measured(measurements=tuple(measurements), details=details)


def sufficient(counted: GroupCounts, parameters: BiasParameters) -> np.ndarray:
    """Which groups have enough rows for a selection rate; shape (groups,)."""
    return rows(counted.cells) >= max(parameters.min_group_n, parameters.min_denominator)


def _group_measurements(counted: GroupCounts, parameters: BiasParameters) -> list[Measurement]:
    sizes = rows(counted.cells)
    labelled = bool(counted.cells[:, :4].sum())
    measurements = []
    for metric, (numerator, denominator) in group_rates(counted.cells).items():
        for position, group in enumerate(counted.groups):
            above, below, n = int(numerator[position]), int(denominator[position]), int(sizes[position])
            figure = proportion(above, below, parameters.interval_level) if below else None
            state, note = State.MEASURED, None
            if metric != "selection_rate" and not labelled:
                state, note = State.UNAVAILABLE, "no row has a label"
            elif figure is None:
                state, note = State.UNDEFINED, "there is no row that the rate is a share of"
            elif n < parameters.min_group_n:
                state, note = State.INSUFFICIENT, f"the group has {n} rows, fewer than {parameters.min_group_n}"
            elif below < parameters.min_denominator:
                state, note = State.INSUFFICIENT, f"the rate is a share of {below} rows, fewer than {parameters.min_denominator}"
            measurements.append(
                Measurement(
                    metric=metric,
                    value=figure.value if figure else None,
                    interval=figure.interval if figure else None,
                    standard_error=figure.standard_error if figure else None,
                    n=n,
                    denominator=below,
                    attribute=counted.attribute,
                    group=group,
                    state=state,
                    note=note,
                )
            )
    return measurements


def _reference_group(counted: GroupCounts, attributes: Mapping[str, str], parameters: BiasParameters) -> tuple[str | None, str | None]:
    """The group that others are compared with; or None and why there is none."""
    declared = [attributes[part] for part in counted.parts]
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
    enough = sufficient(counted, parameters)
    if not enough.any():
        return None, "no group has enough rows to be the reference"
    rate = np.where(enough, selected(counted.cells) / np.maximum(rows(counted.cells), 1), -1.0)
    return counted.groups[int(rate.argmax())], None


def _impact_ratios(counted: GroupCounts, reference: str | None, missing_reference: str | None, parameters: BiasParameters) -> list[Measurement]:
    """Selection rate of each group over that of the reference group."""
    common: dict[str, Any] = {"metric": "impact_ratio", "attribute": counted.attribute, "scale": "log"}
    if reference is None or len(counted.groups) < 2:
        why = missing_reference or f"only one group occurs: {counted.groups[0]!r}"
        return [Measurement(**common, value=None, state=State.INSUFFICIENT, n=int(rows(counted.cells).sum()), note=why)]
    chosen, sizes, enough = selected(counted.cells), rows(counted.cells), sufficient(counted, parameters)
    base = counted.groups.index(reference)
    measurements = []
    for position, group in enumerate(counted.groups):
        if position == base:
            continue
        figure = katz_ratio((int(chosen[position]), int(sizes[position])), (int(chosen[base]), int(sizes[base])), parameters.interval_level)
        small = [f"{counted.groups[at]!r} (n={int(sizes[at])})" for at in (position, base) if not enough[at]]
        state = State.MEASURED
        note: str | None = None
        if figure is None:
            state, note = State.UNDEFINED, f"nobody of the reference group {reference!r} has the favourable decision"
        elif small:
            state, note = State.INSUFFICIENT, f"too few rows: {', '.join(small)}"
        measurements.append(
            Measurement(
                **common,
                value=figure.value if figure else None,
                interval=figure.interval if figure else None,
                standard_error=figure.standard_error if figure else None,
                n=int(sizes[position] + sizes[base]),
                denominator=int(min(sizes[position], sizes[base])),
                reference=reference,
                comparison=group,
                state=state,
                note=note,
            )
        )
    return measurements


def _insufficient_groups(counted: GroupCounts, insufficient: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Groups that some metric leaves out, with their rows: too few rows, or (where there are labels) too few of one outcome."""
    labelled = bool(counted.cells[:, :4].sum())
    names = [name for name in insufficient if labelled or name == "selection_rate"]
    left_out = {group for name in names for group in insufficient[name]}
    return {group: int(n) for group, n in zip(counted.groups, rows(counted.cells), strict=True) if group in left_out}


def _cells(counted: GroupCounts) -> list[list[Any]]:
    """The integer counts behind the rates, so that a threshold can be compared exactly."""
    columns = zip(
        counted.groups,
        rows(counted.cells),
        selected(counted.cells),
        positives(counted.cells),
        counted.cells[:, 0],
        counted.cells[:, 2],
        counted.cells[:, :4].sum(axis=1),
        strict=True,
    )
    return [[counted.attribute, group, *(int(number) for number in numbers)] for group, *numbers in columns]


def _most_different(measurements: list[Measurement], *, intersections: bool) -> dict[str, Any] | None:
    """The measured impact ratio furthest from 1 on the log scale; a ratio of 0 is the furthest."""
    ratios = [
        item
        for item in measurements
        if item.metric == "impact_ratio"
        and item.state is State.MEASURED
        and (JOIN in str(item.attribute)) is intersections
        and item.value is not None
    ]
    if not ratios:
        return None
    furthest = max(ratios, key=lambda item: abs(math.log(item.value)) if item.value else math.inf)
    return {
        "attribute": furthest.attribute,
        "reference": furthest.reference,
        "comparison": furthest.comparison,
        "impact_ratio": furthest.value,
    }
