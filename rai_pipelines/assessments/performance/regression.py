"""Performance of a model that predicts numbers: size of its errors, and how much of the variation it explains, from sums made in the engine."""

from __future__ import annotations

import math

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.performance.figures import PerformanceParameters, figure_of, no_labels
from rai_pipelines.assessments.scoring import scored_evaluation
from rai_pipelines.assessments.statistics.uncertainty import Uncertain, mean_and_deviation, mean_interval, normal_quantile
from rai_pipelines.evidence.model import Interval, Measurement
from rai_pipelines.tables.outcomes import SquaredErrors, squared_errors


def measure_regression(context: AuditContext, label: str, parameters: PerformanceParameters) -> Measured:
    """`rmse`, `mean_absolute_error`, `mean_residual` (prediction minus truth) and `r_squared`, the lead over always predicting the mean; and
    `rmse` and `mean_absolute_error` of each group.

    Raises:
        DataError: label or prediction is no finite number.
    """
    columns = context.subject.datasheet.columns
    scored = scored_evaluation(context)
    groups = squared_errors(
        scored.source,
        attributes=tuple(columns.protected_attributes),
        bins={name: attribute.bins for name, attribute in columns.protected_attributes.items() if attribute.bins},
        label=label,
        prediction=scored.prediction_column,
    )
    whole = groups[0]
    if whole.rows == 0:
        return no_labels(label)
    rows = scored.source.count_rows()
    return Measured(
        measurements=(
            _r_squared(whole, parameters),
            _mean_residual(whole, parameters),
            *(item for group in groups for item in _errors(group, parameters)),
        ),
        details={"rows": rows, "unlabelled_rows": rows - whole.rows, "rows_counted_as": "independent rows of equal weight"},
    )


def _errors(group: SquaredErrors, parameters: PerformanceParameters) -> list[Measurement]:
    where = {} if group.attribute is None else {"attribute": group.attribute, "group": str(group.group)}
    square, spread = mean_and_deviation(group.e2, group.e4, group.rows)
    root = math.sqrt(square)
    error = spread / math.sqrt(group.rows)
    half = normal_quantile(parameters.interval_level) * error
    limits = Interval(
        low=min(math.sqrt(max(square - half, 0.0)), root),
        high=math.sqrt(square + half),
        level=parameters.interval_level,
        method="normal, of the square",
    )
    absolute = mean_interval(*mean_and_deviation(group.e_absolute, group.e2, group.rows), group.rows, parameters.interval_level)
    made = {"rmse": Uncertain(root, error / (2 * root) if root else 0.0, limits), "mean_absolute_error": absolute}
    return [figure_of(name, item.value, item, n=group.rows, denominator=group.rows, parameters=parameters, **where) for name, item in made.items()]


def _mean_residual(group: SquaredErrors, parameters: PerformanceParameters) -> Measurement:
    figure = mean_interval(*mean_and_deviation(group.e1, group.e2, group.rows), group.rows, parameters.interval_level)
    return figure_of("mean_residual", figure.value, figure, n=group.rows, denominator=group.rows, parameters=parameters)


def _r_squared(group: SquaredErrors, parameters: PerformanceParameters) -> Measurement:
    """One minus the ratio of squared errors to squared deviations from the mean; standard error by the delta method for a ratio of means."""
    n, figure = group.rows, None
    if group.b1 > 0:
        ratio = group.e2 / group.b1
        variance = max(group.e4 - 2 * ratio * group.e2_b1 + ratio * ratio * group.b2, 0.0) / n
        error = math.sqrt(variance / n) / (group.b1 / n)
        half = normal_quantile(parameters.interval_level) * error
        value = 1 - ratio
        figure = Uncertain(
            value, error, Interval(low=value - half, high=value + half, level=parameters.interval_level, method="normal, delta method")
        )
    return figure_of("r_squared", figure.value if figure else None, figure, n=n, denominator=n, parameters=parameters)
