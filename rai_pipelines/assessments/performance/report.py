"""Performance report: how well the model does what it is for, by its task."""

from __future__ import annotations

from dataclasses import replace

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.performance.binary import measure_binary
from rai_pipelines.assessments.performance.figures import PerformanceParameters
from rai_pipelines.assessments.performance.multiclass import measure_multiclass
from rai_pipelines.assessments.performance.regression import measure_regression
from rai_pipelines.assessments.performance.scores import measure_scores
from rai_pipelines.evidence.model import Status

NO_LABEL = "The datasheet names no label, so nothing says which decisions are right. Add columns.label."


def assess_performance(context: AuditContext, parameters: PerformanceParameters) -> Measured:
    """Performance on the evaluation table, overall and for the groups of each protected attribute.

    Each task has a figure for its lead over doing nothing clever: `accuracy_over_majority` (classifications), `r_squared` (regression: over
    always predicting the mean), `auc_over_chance` (scoring).

    Raises:
        ModelMissing: no prediction column is declared and there is no model to make one.
        DataError: the table does not fit the datasheet.
    """
    sheet = context.subject.datasheet
    label = sheet.columns.label
    if label is None:
        return Measured(status=Status.MISSING, reason=NO_LABEL)
    match sheet.task:
        case "multiclass_classification":
            measured = measure_multiclass(context, label, parameters)
        case "regression":
            measured = measure_regression(context, label, parameters)
        case "scoring":
            measured = measure_scores(context, label, parameters)
        case "binary_classification":
            measured = measure_binary(context, label, parameters)
    return replace(measured, details={**measured.details, "task": sheet.task}) if measured.status is Status.COMPLETE else measured
