"""The bias figures of a lattice of counts: every attribute and intersection, with rates, impact ratios and disparities."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from rai_pipelines.assessments.base import Measured, Parameters
from rai_pipelines.assessments.fairness.disparity import Few, between_groups
from rai_pipelines.assessments.fairness.groups import GroupCounts, group_counts, positives, rows, selected
from rai_pipelines.assessments.fairness.rates import group_measurements, impact_ratios
from rai_pipelines.assessments.statistics.proportions import proportion
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.tables.group_names import JOIN

if TYPE_CHECKING:
    import pandas as pd

CELL_COLUMNS = ["attribute", "group", "n", "selected", "positives", "true_positives", "false_positives", "labelled"]


class BiasParameters(Parameters):
    """What counts as enough data, and how uncertainty is computed. The attributes come from the datasheet."""

    intersections_depth: int | None = Field(default=None, ge=1, le=4, description="Attributes combined at most; absent: as the datasheet says")
    min_group_n: int = Field(default=30, ge=1, description="Rows below which a group is insufficient")
    min_denominator: int = Field(default=20, ge=1, description="Rows that a rate must be a share of")
    interval_level: float = Field(default=0.90, gt=0, lt=1)
    resamples: int = Field(default=10_000, ge=200, le=100_000, description="Replicates behind the standard errors of disparities")


def measure_bias(counts: pd.DataFrame, *, attributes: Mapping[str, str], parameters: BiasParameters, seed: int) -> Measured:
    """Bias figures of a contingency table: `measure_tables` of its lattice.

    Args:
        counts: what `count_groups` returns for these attributes.
        attributes: attribute to its reference group, or to `highest` for the group with the highest selection rate.
        parameters: minimum sizes, interval level, resamples; without a depth, pairs of attributes are crossed.
        seed: starts every generator.

    Raises:
        DataError: a declared reference group does not occur.
    """
    tables = group_counts(counts, list(attributes), depth=parameters.intersections_depth or 2)
    return measure_tables(tables, attributes=attributes, parameters=parameters, seed=seed)


def measure_tables(
    tables: Sequence[GroupCounts],
    *,
    attributes: Mapping[str, str],
    parameters: BiasParameters,
    seed: int,
    labels: Mapping[str, Mapping[str, str]] | None = None,
) -> Measured:
    """Bias figures of the counts of each attribute and intersection.

    Args:
        tables: single attributes first, as `group_counts` gives them.
        attributes: attribute to its reference group, or to `highest`.
        parameters: minimum sizes, interval level, resamples.
        seed: starts every generator.
        labels: what the codes of an attribute's groups mean, passed through to `details`.

    Returns:
        Per group the rates of `metrics.RATE_CELLS` (intersections: `LATTICE_RATES`) and balanced accuracy; per group against its
        reference `impact_ratio`; per attribute the disparities of `metrics.RATES`; overall `labelled_share`, the share of rows whose
        label has arrived.

    Raises:
        DataError: a declared reference group does not occur.
    """
    measurements: list[Measurement] = [_labelled_share(tables[0], parameters)]
    details: dict[str, Any] = {"groups": {}, "cells": []}
    apart = between_groups(tables, parameters, seed=seed)
    for counted, (compared, few) in zip(tables, apart, strict=True):
        reference, ratios = impact_ratios(counted, attributes, parameters)
        measurements += [*group_measurements(counted, parameters), *ratios, *compared]
        details["groups"][counted.attribute] = {
            "insufficient": _insufficient_groups(counted, few),
            "insufficient_denominator": few,
            "reference": reference,
            "labels": dict((labels or {}).get(counted.attribute, {})),
        }
        details["cells"] += _cells(counted)
    total = int(tables[0].cells.sum())
    details |= {
        "cell_columns": CELL_COLUMNS,
        "rows": total,
        "unlabelled_rows": total - tables[0].labelled,
        "resamples": parameters.resamples,
        "rows_counted_as": _rows_counted_as(tables[0]),
        "most_different": {
            "attributes": _most_different(measurements, intersections=False),
            "intersections": _most_different(measurements, intersections=True),
        },
    }
    return Measured(measurements=tuple(measurements), details=details)


def _rows_counted_as(counted: GroupCounts) -> str:
    if counted.units is not None:
        return "rows of units that were drawn together; intervals follow from the variation between units"
    return "independent rows" if counted.mass is None else "independent weighted rows"


def _labelled_share(counted: GroupCounts, parameters: BiasParameters) -> Measurement:
    total = int(counted.cells.sum())
    figure = proportion(counted.labelled, total, parameters.interval_level)
    return Measurement(
        metric="labelled_share", value=figure.value, interval=figure.interval, standard_error=figure.standard_error, n=total, denominator=total
    )


def _insufficient_groups(counted: GroupCounts, insufficient: Few) -> dict[str, int]:
    """Groups that a confirmed metric leaves out, with their rows: too few rows, or (where there are labels) too few of one outcome."""
    names = ("selection_rate", "true_positive_rate", "false_positive_rate") if counted.labelled else ("selection_rate",)
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
