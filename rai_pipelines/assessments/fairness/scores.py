"""Do scores mean the same for every group: area under the ROC curve, and how far the mean score lies from what came true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rai_pipelines.assessments.fairness.lattice import BiasParameters
from rai_pipelines.assessments.statistics.auc import hanley_mcneil_auc
from rai_pipelines.assessments.statistics.uncertainty import Uncertain, largest_difference, mean_and_deviation, mean_interval
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.tables.ranks import ScoredGroup

GROUP_METRICS = {"auc_gap": "roc_auc", "calibration_gap": "calibration_error"}
NOT_PROBABILITIES = "scores lie outside [0, 1]: they are not probabilities"


def measure_scores(
    groups: Sequence[ScoredGroup],
    attributes: Sequence[str],
    parameters: BiasParameters,
    *,
    labelled: Mapping[str, Mapping[str, tuple[int, int]]] | None = None,
) -> list[Measurement]:
    """Scores of the labelled rows by the groups of each attribute.

    Args:
        groups: labelled rows that have a score, as a whole and by group.
        attributes: whose groups are compared.
        parameters: minimum sizes and level.
        labelled: by attribute and group the labelled rows of either outcome, scored or not. Where a group that has enough of them is not compared
            because its scores are missing, the gap is insufficient: it is not that of all groups.

    Returns:
        Per group `roc_auc` and `calibration_error` (mean score minus share of favourable outcomes: above 0 the group is scored too high);
        per attribute `auc_gap` and `calibration_gap`, the largest difference between groups with enough rows, and who they are.
    """
    whole = next(group for group in groups if group.attribute is None)
    probabilities = whole.rows > 0 and whole.lowest >= 0 and whole.highest <= 1
    measurements: list[Measurement] = []
    for attribute in attributes:
        own = [group for group in groups if group.attribute == attribute]
        figures = {"roc_auc": _areas(own, parameters), "calibration_error": _calibration(own, parameters) if probabilities else {}}
        for gap, metric in GROUP_METRICS.items():
            measurements += [_of_group(metric, group, figures[metric].get(str(group.group)), parameters, probabilities) for group in own]
            measured = _gap(gap, metric, attribute, figures[metric], groups=own, parameters=parameters, probabilities=probabilities)
            unscored = _without_scores(metric, own, (labelled or {}).get(attribute, {}), figures[metric], parameters)
            if unscored and measured.state is State.MEASURED:
                note = f"scores are missing for {', '.join(map(repr, unscored[:5]))}" + (f"; {measured.note}" if measured.note else "")
                measured = measured.model_copy(update={"state": State.INSUFFICIENT, "note": note})
            measurements.append(measured)
    return measurements


def _without_scores(
    metric: str,
    groups: Sequence[ScoredGroup],
    labelled: Mapping[str, tuple[int, int]],
    figures: Mapping[str, Uncertain],
    parameters: BiasParameters,
) -> list[str]:
    """Groups with enough labelled rows to be compared and too few of them scored."""
    compared = {str(group.group) for group in groups if str(group.group) in figures and _enough(metric, group, parameters)}
    enough = {
        name
        for name, outcomes in labelled.items()
        if sum(outcomes) >= parameters.min_group_n and (min(outcomes) if metric == "roc_auc" else sum(outcomes)) >= parameters.min_denominator
    }
    return sorted(enough - compared)


def _areas(groups: Sequence[ScoredGroup], parameters: BiasParameters) -> dict[str, Uncertain]:
    found = {}
    for group in groups:
        area = group.area
        if area.value is not None:
            found[str(group.group)] = hanley_mcneil_auc(area.value, area.positives, area.negatives, parameters.interval_level)
    return found


def _calibration(groups: Sequence[ScoredGroup], parameters: BiasParameters) -> dict[str, Uncertain]:
    found = {}
    for group in groups:
        if group.rows > 1:
            mean, deviation = mean_and_deviation(group.errors[0], group.errors[1], group.rows)
            found[str(group.group)] = mean_interval(mean, deviation, group.rows, parameters.interval_level)
    return found


def _denominator(metric: str, group: ScoredGroup) -> int:
    """What the figure rests on: rows of the rarer outcome for an area, rows for a mean."""
    return min(group.area.positives, group.area.negatives) if metric == "roc_auc" else group.rows


def _enough(metric: str, group: ScoredGroup, parameters: BiasParameters) -> bool:
    return group.rows >= parameters.min_group_n and _denominator(metric, group) >= parameters.min_denominator


def _of_group(metric: str, group: ScoredGroup, figure: Uncertain | None, parameters: BiasParameters, probabilities: bool) -> Measurement:
    few = not _enough(metric, group, parameters)
    state, note = State.MEASURED, None
    if metric == "calibration_error" and not probabilities:
        state, note = State.UNAVAILABLE, NOT_PROBABILITIES
    elif figure is None:
        state, note = State.UNDEFINED, "the group has rows of one outcome only"
    elif few:
        state, note = State.INSUFFICIENT, f"it rests on {_denominator(metric, group)} of {group.rows} labelled rows"
    return Measurement(
        metric=metric,
        value=figure.value if figure else None,
        interval=figure.interval if figure else None,
        standard_error=figure.standard_error if figure else None,
        n=group.rows,
        denominator=_denominator(metric, group),
        attribute=group.attribute,
        group=group.group,
        state=state,
        note=note,
    )


def _gap(
    gap: str,
    metric: str,
    attribute: str,
    figures: Mapping[str, Uncertain],
    *,
    groups: Sequence[ScoredGroup],
    parameters: BiasParameters,
    probabilities: bool,
) -> Measurement:
    n = sum(group.rows for group in groups)
    if metric == "calibration_error" and not probabilities:
        return Measurement(metric=gap, value=None, attribute=attribute, n=n, state=State.UNAVAILABLE, note=NOT_PROBABILITIES)
    compared = {str(group.group): group for group in groups if str(group.group) in figures and _enough(metric, group, parameters)}
    left_out = {str(group.group): _denominator(metric, group) for group in groups if str(group.group) not in compared}
    note = f"not compared, too few rows: {', '.join(f'{name!r} ({rows})' for name, rows in sorted(left_out.items())[:5])}" if left_out else None
    if len(compared) < 2:
        return Measurement(metric=gap, value=None, attribute=attribute, n=n, state=State.INSUFFICIENT, note=note or "there is one group only")
    ordered = sorted(compared, key=lambda name: (figures[name].value, name))
    figure = largest_difference(
        [figures[name].value for name in ordered], [figures[name].standard_error for name in ordered], parameters.interval_level
    )
    return Measurement(
        metric=gap,
        value=figure.value,
        interval=figure.interval,
        standard_error=figure.standard_error,
        n=sum(group.rows for group in compared.values()),
        denominator=min(_denominator(metric, compared[name]) for name in (ordered[0], ordered[-1])),
        attribute=attribute,
        reference=ordered[-1],
        comparison=ordered[0],
        note=note,
    )
