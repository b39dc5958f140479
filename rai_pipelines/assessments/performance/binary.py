"""Performance of a binary classifier: how often it is right, overall and for every protected group, against the majority class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.fairness.groups import FN, FP, TN, TP, GroupCounts, group_counts, negatives, positives, rows
from rai_pipelines.assessments.fairness.metrics import group_rates
from rai_pipelines.assessments.performance.figures import PerformanceParameters, figure_of, no_labels
from rai_pipelines.assessments.scoring import Scored, scored_evaluation
from rai_pipelines.assessments.statistics.auc import hanley_mcneil_auc
from rai_pipelines.assessments.statistics.proportions import proportion
from rai_pipelines.assessments.statistics.uncertainty import mean_and_deviation, mean_interval, percentile_interval, resample
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.tables.contingency import count_groups
from rai_pipelines.tables.ranks import ScoredGroup, score_groups

if TYPE_CHECKING:
    import pandas as pd

NO_SCORE = "there is no score, only decisions"


def measure_binary(context: AuditContext, label: str, parameters: PerformanceParameters) -> Measured:
    """Accuracy, balanced accuracy, precision, recall, F1, specificity, Brier score and area under the ROC curve of the evaluation table.

    `majority_class_rate` is what always giving the more frequent class would reach, `accuracy_over_majority` the model's lead over it.
    scikit-learn gives the values, from counts; area and Brier score come from every score, ranked and summed in the engine.
    """
    columns = context.subject.datasheet.columns
    scored = scored_evaluation(context)
    attributes = tuple(columns.protected_attributes)
    bins = {name: attribute.bins for name, attribute in columns.protected_attributes.items() if attribute.bins}
    common: dict[str, Any] = {"attributes": attributes, "bins": bins, "label": label, "favourable": columns.favourable_outcome}
    counts = count_groups(scored.source, prediction=scored.prediction_column, **common)
    labelled = counts[counts["label"].notna()].astype({"label": "int64"})
    if labelled.empty:
        return no_labels(label)
    found = score_groups(scored.source, score=scored.score_column, **common) if scored.score_column else ()
    scores = {(group.attribute, group.group): group for group in found}
    measurements = [
        *_headline(labelled, parameters, context.seed),
        *_score_figures(scores.get((None, None)), _cells(labelled), parameters),
        *(figure for counted in group_counts(labelled, attributes, depth=1) for figure in _slices(counted, scores, parameters)),
    ]
    return Measured(measurements=tuple(measurements), details=_details(counts, labelled, scored))


def _headline(labelled: pd.DataFrame, parameters: PerformanceParameters, seed: int) -> list[Measurement]:
    """The figures that need decisions only, by scikit-learn on the counts as weights."""
    from sklearn import metrics

    truth, decision, weight = (labelled[name].to_numpy() for name in ("label", "prediction", "count"))
    cells, level = _cells(labelled), parameters.interval_level
    total = int(cells.sum())
    values = {
        "accuracy": metrics.accuracy_score(truth, decision, sample_weight=weight),
        "precision": metrics.precision_score(truth, decision, sample_weight=weight, zero_division=np.nan),
        "recall": metrics.recall_score(truth, decision, sample_weight=weight, zero_division=np.nan),
        "specificity": metrics.recall_score(truth, decision, sample_weight=weight, pos_label=0, zero_division=np.nan),
        "f1": metrics.f1_score(truth, decision, sample_weight=weight, zero_division=np.nan),
    }
    values["balanced_accuracy"] = (values["recall"] + values["specificity"]) / 2
    shares = {
        "accuracy": (cells[TP] + cells[TN], total),
        "precision": (cells[TP], cells[TP] + cells[FP]),
        "recall": (cells[TP], cells[TP] + cells[FN]),
        "specificity": (cells[TN], cells[TN] + cells[FP]),
        "majority_class_rate": (max(positives(cells), negatives(cells)), total),
    }
    values["majority_class_rate"] = shares["majority_class_rate"][0] / total
    values["accuracy_over_majority"] = values["accuracy"] - values["majority_class_rate"]
    classes = int(min(positives(cells), negatives(cells)))
    replicates = resample(cells[:4], _smooth_figures, resamples=parameters.resamples, seed=(seed, 11))
    measurements = []
    for metric, value in values.items():
        denominator = int(shares[metric][1]) if metric in shares else classes if metric == "balanced_accuracy" else total
        figure = None
        if np.isfinite(value):
            exact = proportion(int(shares[metric][0]), int(shares[metric][1]), level) if metric in shares else None
            figure = exact or percentile_interval(float(value), replicates[metric], level)
        measurements.append(
            figure_of(metric, None if figure is None else float(value), figure, n=total, denominator=denominator, parameters=parameters)
        )
    return measurements


def _score_figures(scores: ScoredGroup | None, cells: np.ndarray, parameters: PerformanceParameters) -> list[Measurement]:
    """Area under the ROC curve and Brier score of all labelled rows."""
    total = int(cells.sum())
    if scores is None:
        return [Measurement(metric=metric, value=None, n=total, state=State.UNAVAILABLE, note=NO_SCORE) for metric in ("roc_auc", "brier_score")]
    area = _area(scores, parameters)
    if scores.lowest < 0 or scores.highest > 1:
        note = "scores lie outside [0, 1]: they are not probabilities"
        return [area, Measurement(metric="brier_score", value=None, n=total, state=State.UNAVAILABLE, note=note)]
    brier, deviation = mean_and_deviation(scores.errors[1], scores.errors[3], total)
    figure = mean_interval(brier, deviation, total, parameters.interval_level)
    return [area, figure_of("brier_score", figure.value, figure, n=total, denominator=total, parameters=parameters)]


def _slices(
    counted: GroupCounts, scores: Mapping[tuple[str | None, str | None], ScoredGroup], parameters: PerformanceParameters
) -> list[Measurement]:
    """Accuracy, recall and area of each group of one attribute."""
    rates = group_rates(counted.cells)
    measurements = []
    for position, group in enumerate(counted.groups):
        where, n = {"attribute": counted.attribute, "group": group}, int(rows(counted.cells)[position])
        for metric, rate in (("accuracy", "accuracy"), ("recall", "true_positive_rate")):
            above, below = int(rates[rate][0][position]), int(rates[rate][1][position])
            figure = proportion(above, below, parameters.interval_level) if below else None
            measurements.append(figure_of(metric, figure.value if figure else None, figure, n=n, denominator=below, parameters=parameters, **where))
        own = scores.get((counted.attribute, group))
        if own is None:
            measurements.append(Measurement(metric="roc_auc", value=None, n=n, state=State.UNAVAILABLE, note=NO_SCORE, **where))
        else:
            measurements.append(_area(own, parameters, **where))
    return measurements


def _area(scores: ScoredGroup, parameters: PerformanceParameters, **where: str) -> Measurement:
    area = scores.area
    figure = hanley_mcneil_auc(area.value, area.positives, area.negatives, parameters.interval_level) if area.value is not None else None
    smaller = min(area.positives, area.negatives)
    return figure_of("roc_auc", figure.value if figure else None, figure, n=scores.rows, denominator=smaller, parameters=parameters, **where)


def _smooth_figures(cells: np.ndarray) -> dict[str, np.ndarray]:
    """What the resampling needs, shape (replicates, 4) -> (replicates,); a class that a resample empties counts as a rate of 0."""
    total = cells.sum(axis=1)
    above, below = positives(cells), negatives(cells)
    return {
        "f1": 2 * cells[:, TP] / np.maximum(2 * cells[:, TP] + cells[:, FP] + cells[:, FN], 1),
        "balanced_accuracy": (cells[:, TP] / np.maximum(above, 1) + cells[:, TN] / np.maximum(below, 1)) / 2,
        "accuracy_over_majority": (cells[:, TP] + cells[:, TN] - np.maximum(above, below)) / total,
    }


def _cells(labelled: pd.DataFrame) -> np.ndarray:
    truth, decision, weight = (labelled[name].to_numpy() for name in ("label", "prediction", "count"))
    cell = np.where(truth == 1, np.where(decision == 1, TP, FN), np.where(decision == 1, FP, TN))
    return np.bincount(cell, weights=weight, minlength=6).astype(np.int64)


def _details(counts: pd.DataFrame, labelled: pd.DataFrame, scored: Scored) -> dict[str, Any]:
    cells = _cells(labelled)
    return {
        "rows": int(counts["count"].sum()),
        "unlabelled_rows": int(counts["count"].sum() - labelled["count"].sum()),
        "confusion": {
            name: int(cells[at]) for name, at in (("true_positive", TP), ("false_negative", FN), ("false_positive", FP), ("true_negative", TN))
        },
        "majority_class": "favourable" if positives(cells) >= negatives(cells) else "other",
        "has_scores": scored.score_column is not None,
        "rows_counted_as": "independent rows of equal weight",
    }
