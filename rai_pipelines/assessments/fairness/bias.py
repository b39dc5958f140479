"""Bias assessment: rates of every protected group and intersection, and how far apart they are, with uncertainty.

Everything is computed from counts that the engine of the table makes; Fairlearn's own functions give the headline figures.
Small groups are disclosed as insufficient and never compared, so they can neither hide a disparity nor read as parity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.fairness.groups import GroupCounts, group_counts, negatives, positives
from rai_pipelines.assessments.fairness.lattice import BiasParameters, measure_tables
from rai_pipelines.assessments.fairness.multiclass import measure_multiclass
from rai_pipelines.assessments.fairness.regression import measure_regression
from rai_pipelines.assessments.fairness.regulators import regulator_tables
from rai_pipelines.assessments.fairness.scores import GROUP_METRICS, measure_scores
from rai_pipelines.assessments.scoring import Scored, scored_evaluation
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.tables.clusters import UnitMoments, unit_moments
from rai_pipelines.tables.contingency import count_groups
from rai_pipelines.tables.outcomes import count_above_median, count_classes, residual_moments
from rai_pipelines.tables.ranks import score_groups
from rai_pipelines.tables.source import TableSource


def assess_bias(context: AuditContext, parameters: BiasParameters) -> Measured:
    """Group fairness of the evaluation table of a model version, as its task asks.

    Raises:
        ModelMissing: no prediction column is declared and there is no model to make one.
        DataError: the table does not fit the datasheet; names table, column and values.
    """
    measured = _of_task(context, parameters)
    return replace(measured, details={**measured.details, "task": context.subject.datasheet.task})


def _of_task(context: AuditContext, parameters: BiasParameters) -> Measured:
    sheet = context.subject.datasheet
    match sheet.task:
        case "multiclass_classification":
            return _of_classes(sheet, scored_evaluation(context), parameters, context.seed)
        case "regression":
            return _of_numbers(sheet, scored_evaluation(context), parameters)
        case "scoring":
            return _of_scores(context, parameters)
        case "binary_classification":
            return _of_decisions(sheet, scored_evaluation(context), parameters, context.seed)


def _of_decisions(sheet: Datasheet, scored: Scored, parameters: BiasParameters, seed: int) -> Measured:
    columns = sheet.columns
    counting: dict[str, Any] = {
        "bins": _bins(sheet),
        "label": scored.label_column,
        "prediction": scored.prediction_column,
        "favourable": columns.favourable_outcome,
        "weight": columns.weight,
    }
    counts = count_groups(scored.source, attributes=tuple(columns.protected_attributes), **counting)
    tables = group_counts(counts, list(columns.protected_attributes), depth=_depth(sheet, parameters))
    if columns.unit_id is not None:
        tables = [_with_units(counted, unit_moments(scored.source, attributes=counted.parts, unit=columns.unit_id, **counting)) for counted in tables]
    measured = _with_scores(
        _of_tables(tables, sheet, parameters, seed),
        scored.source,
        scored.score_column,
        tables=tables,
        sheet=sheet,
        parameters=parameters,
    )
    return _with_regulators(measured, tables, sheet, parameters, "selection_rate")


def _of_scores(context: AuditContext, parameters: BiasParameters) -> Measured:
    """Scores without decisions: who scores above the median of all rows (the scoring rate of 6 RCNY 5-300)."""
    sheet = context.subject.datasheet
    columns = sheet.columns
    if columns.score is None:
        raise DataError("the datasheet names no score column", where=str(context.subject.version), hint="Add columns.score to datasheet.yaml")
    counts, median = count_above_median(
        context.table("evaluation"),
        attributes=tuple(columns.protected_attributes),
        bins=_bins(sheet),
        label=columns.label,
        score=columns.score,
        favourable=columns.favourable_outcome,
    )
    tables = group_counts(counts, list(columns.protected_attributes), depth=_depth(sheet, parameters))
    measured = _of_tables(tables, sheet, parameters, context.seed)
    measured = _with_scores(measured, context.table("evaluation"), columns.score, tables=tables, sheet=sheet, parameters=parameters)
    measured = replace(measured, details={**measured.details, "selected_means": f"a score above the median of all rows, {median:.9g}"})
    return _with_regulators(measured, tables, sheet, parameters, "scoring_rate")


def _of_classes(sheet: Datasheet, scored: Scored, parameters: BiasParameters, seed: int) -> Measured:
    columns = sheet.columns
    counts = count_classes(
        scored.source,
        attributes=tuple(columns.protected_attributes),
        bins=_bins(sheet),
        label=scored.label_column,
        prediction=scored.prediction_column,
        classes=columns.classes,
        weight=columns.weight,
    )
    return measure_multiclass(
        counts,
        classes=columns.classes,
        attributes=_references(sheet),
        parameters=parameters,
        seed=seed,
        depth=_depth(sheet, parameters),
        labels=_labels(sheet),
    )


def _of_numbers(sheet: Datasheet, scored: Scored, parameters: BiasParameters) -> Measured:
    if scored.label_column is None:
        raise DataError("the datasheet names no label", where="regression", hint="Add columns.label: residuals need the true values")
    columns = sheet.columns
    moments = residual_moments(
        scored.source,
        attributes=tuple(columns.protected_attributes),
        bins=_bins(sheet),
        label=scored.label_column,
        prediction=scored.prediction_column,
    )
    return measure_regression(moments, attributes=_references(sheet), parameters=parameters, depth=_depth(sheet, parameters))


def _of_tables(tables: list[GroupCounts], sheet: Datasheet, parameters: BiasParameters, seed: int) -> Measured:
    return measure_tables(tables, attributes=_references(sheet), parameters=parameters, seed=seed, labels=_labels(sheet))


def _with_scores(
    measured: Measured, source: TableSource, score: str | None, *, tables: list[GroupCounts], sheet: Datasheet, parameters: BiasParameters
) -> Measured:
    """With the figures of the scores, where there are scores and labels."""
    columns = sheet.columns
    if score is None or columns.label is None:
        return measured
    if columns.weight is not None or columns.unit_id is not None:  # their figures here would take rows as equal and independent
        note = "areas and calibration are not computed for weighted or clustered rows"
        absent = tuple(Measurement(metric=metric, value=None, state=State.UNAVAILABLE, note=note) for metric in GROUP_METRICS)
        return replace(measured, measurements=(*measured.measurements, *absent))
    groups = score_groups(
        source,
        attributes=tuple(columns.protected_attributes),
        bins=_bins(sheet),
        label=columns.label,
        score=score,
        favourable=columns.favourable_outcome,
        strict=False,
    )
    labelled = {
        counted.attribute: {
            group: (int(good), int(bad)) for group, good, bad in zip(counted.groups, positives(counted.cells), negatives(counted.cells), strict=True)
        }
        for counted in tables
        if len(counted.parts) == 1
    }
    found = measure_scores(groups, tuple(columns.protected_attributes), parameters, labelled=labelled)
    details = {**measured.details, "labelled_rows_without_score": tables[0].labelled - groups[0].rows}
    return replace(measured, measurements=(*measured.measurements, *found), details=details)


def _with_regulators(measured: Measured, tables: list[GroupCounts], sheet: Datasheet, parameters: BiasParameters, rate: str) -> Measured:
    made = regulator_tables(tables, sheet.fairness, sheet.columns.protected_attributes, level=parameters.interval_level, rate=rate)
    return replace(measured, details={**measured.details, "regulators": made}) if made else measured


def _with_units(counted: GroupCounts, found: UnitMoments) -> GroupCounts:
    """The table with the moments of its units, in the order of its groups. Raw values that carry one name are one group, as in the counts."""
    places: dict[tuple[str, ...], list[int]] = {}
    for position, row in enumerate(found.groups.astype(str).itertuples(index=False, name=None)):
        places.setdefault(row, []).append(position)
    order = [places[values] for values in counted.values_of_groups]
    mass, moments, units = (np.stack([part[at].sum(axis=0) for at in order]) for part in (found.mass, found.moments, found.units))
    return replace(counted, mass=mass, moments=moments, units=units)


def _references(sheet: Datasheet) -> dict[str, str]:
    return {name: attribute.reference for name, attribute in sheet.columns.protected_attributes.items()}


def _labels(sheet: Datasheet) -> dict[str, Mapping[str, str]]:
    return {name: attribute.labels for name, attribute in sheet.columns.protected_attributes.items()}


def _bins(sheet: Datasheet) -> dict[str, tuple[float, ...]]:
    return {name: attribute.bins for name, attribute in sheet.columns.protected_attributes.items() if attribute.bins}


def _depth(sheet: Datasheet, parameters: BiasParameters) -> int:
    return parameters.intersections_depth or sheet.fairness.intersections_depth
