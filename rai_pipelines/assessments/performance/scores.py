"""Performance of scores without decisions: how well they put favourable outcomes before others, overall and by group."""

from __future__ import annotations

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.performance.figures import PerformanceParameters, figure_of, no_labels
from rai_pipelines.assessments.statistics.auc import hanley_mcneil_auc
from rai_pipelines.assessments.statistics.uncertainty import Uncertain
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.model import Interval, Measurement
from rai_pipelines.tables.ranks import ScoredGroup, score_groups

CHANCE = 0.5


def measure_scores(context: AuditContext, label: str, parameters: PerformanceParameters) -> Measured:
    """`roc_auc` of all labelled rows and of each group, and `auc_over_chance`, the lead over scores that say nothing.

    Raises:
        DataError: the datasheet names no score column, or a labelled row has no finite score.
    """
    columns = context.subject.datasheet.columns
    if columns.score is None:
        raise DataError("the datasheet names no score column", where=str(context.subject.version), hint="Add columns.score to datasheet.yaml")
    source = context.table("evaluation")
    groups = score_groups(
        source,
        attributes=tuple(columns.protected_attributes),
        bins={name: attribute.bins for name, attribute in columns.protected_attributes.items() if attribute.bins},
        label=label,
        score=columns.score,
        favourable=columns.favourable_outcome,
    )
    whole = groups[0]
    if whole.rows == 0:
        return no_labels(label)
    rows = source.count_rows()
    return Measured(
        measurements=(_lead(whole, parameters), *(_area(group, parameters) for group in groups)),
        details={"rows": rows, "unlabelled_rows": rows - whole.rows, "has_scores": True, "rows_counted_as": "independent rows of equal weight"},
    )


def _uncertain(group: ScoredGroup, parameters: PerformanceParameters) -> Uncertain | None:
    area = group.area
    return hanley_mcneil_auc(area.value, area.positives, area.negatives, parameters.interval_level) if area.value is not None else None


def _area(group: ScoredGroup, parameters: PerformanceParameters) -> Measurement:
    figure = _uncertain(group, parameters)
    smaller = min(group.area.positives, group.area.negatives)
    where = {} if group.attribute is None else {"attribute": group.attribute, "group": str(group.group)}
    return figure_of("roc_auc", figure.value if figure else None, figure, n=group.rows, denominator=smaller, parameters=parameters, **where)


def _lead(group: ScoredGroup, parameters: PerformanceParameters) -> Measurement:
    figure = _uncertain(group, parameters)
    smaller, lead = min(group.area.positives, group.area.negatives), None
    if figure is not None:
        limits = figure.interval
        moved = Interval(low=limits.low - CHANCE, high=limits.high - CHANCE, level=limits.level, method=limits.method)
        lead = Uncertain(figure.value - CHANCE, figure.standard_error, moved)
    return figure_of("auc_over_chance", lead.value if lead else None, lead, n=group.rows, denominator=smaller, parameters=parameters)
