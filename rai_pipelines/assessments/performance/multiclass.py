"""Performance of a classifier of several classes, from one table of counts of class by class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.performance.figures import PerformanceParameters, figure_of, no_labels
from rai_pipelines.assessments.scoring import scored_evaluation
from rai_pipelines.assessments.statistics.proportions import proportion
from rai_pipelines.assessments.statistics.uncertainty import percentile_interval, resample
from rai_pipelines.evidence.model import Measurement
from rai_pipelines.tables.outcomes import count_classes

if TYPE_CHECKING:
    import pandas as pd


def measure_multiclass(context: AuditContext, label: str, parameters: PerformanceParameters) -> Measured:
    """Accuracy, balanced accuracy (mean recall), macro F1, recall and precision of each class, and the lead over the most frequent class."""
    columns = context.subject.datasheet.columns
    scored = scored_evaluation(context)
    attributes = tuple(columns.protected_attributes)
    counts = count_classes(
        scored.source,
        attributes=attributes,
        bins={name: attribute.bins for name, attribute in columns.protected_attributes.items() if attribute.bins},
        label=label,
        prediction=scored.prediction_column,
        classes=columns.classes,
    )
    labelled = counts[counts["label"].notna()]
    if labelled.empty:
        return no_labels(label)
    table = _confusion(labelled, columns.classes)
    slices = [
        _accuracy(_confusion(rows, columns.classes), parameters, attribute=attribute, group=str(group))
        for attribute in attributes
        for group, rows in labelled.groupby(attribute, sort=True)
    ]
    return Measured(
        measurements=(*_headline(table, parameters, context.seed), *_by_class(table, columns.classes, parameters), *slices),
        details={
            "rows": int(counts["count"].sum()),
            "unlabelled_rows": int(counts["count"].sum() - labelled["count"].sum()),
            "confusion": {"classes": list(columns.classes), "rows_true_columns_predicted": table.tolist()},
            "majority_class": columns.classes[int(table.sum(axis=1).argmax())],
            "rows_counted_as": "independent rows of equal weight",
        },
    )


def _confusion(counts: pd.DataFrame, classes: tuple[str, ...]) -> np.ndarray:
    """Rows by true and predicted class, shape (classes, classes)."""
    place = {name: position for position, name in enumerate(classes)}
    table = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(table, (counts["label"].map(place).to_numpy(), counts["prediction"].map(place).to_numpy()), counts["count"].to_numpy())
    return table


def _headline(table: np.ndarray, parameters: PerformanceParameters, seed: int) -> list[Measurement]:
    total, level = int(table.sum()), parameters.interval_level
    values = {name: float(found[0]) for name, found in _smooth(table[None]).items()}
    replicates = resample(table, _smooth, resamples=parameters.resamples, seed=(seed, 12))
    majority = int(table.sum(axis=1).max())
    found = [
        _accuracy(table, parameters),
        figure_of("majority_class_rate", majority / total, proportion(majority, total, level), n=total, denominator=total, parameters=parameters),
    ]
    present = table.sum(axis=1)[table.sum(axis=1) > 0]
    for metric, value in values.items():
        denominator = total if metric == "accuracy_over_majority" else int(present.min())
        figure = percentile_interval(value, replicates[metric], level)
        found.append(figure_of(metric, value, figure, n=total, denominator=denominator, parameters=parameters))
    return found


def _accuracy(table: np.ndarray, parameters: PerformanceParameters, **where: str) -> Measurement:
    total = int(table.sum())
    figure = proportion(int(np.trace(table)), total, parameters.interval_level)
    return figure_of("accuracy", figure.value, figure, n=total, denominator=total, parameters=parameters, **where)


def _by_class(table: np.ndarray, classes: tuple[str, ...], parameters: PerformanceParameters) -> list[Measurement]:
    found = []
    for metric, of in (("recall", table.sum(axis=1)), ("precision", table.sum(axis=0))):
        for position, name in enumerate(classes):
            right, rows = int(table[position, position]), int(of[position])
            figure = proportion(right, rows, parameters.interval_level) if rows else None
            common: dict[str, Any] = {"n": int(table.sum()), "denominator": rows, "parameters": parameters}
            found.append(figure_of(metric, figure.value if figure else None, figure, **common).model_copy(update={"outcome": name}))
    return found


def _smooth(tables: np.ndarray) -> dict[str, np.ndarray]:
    """Figures of tables of shape (replicates, classes, classes); classes that have no true row are left out of the means."""
    right = np.diagonal(tables, axis1=1, axis2=2).astype(float)
    true, predicted = tables.sum(axis=2).astype(float), tables.sum(axis=1).astype(float)
    present = true > 0
    recall = np.where(present, right / np.maximum(true, 1), 0.0)
    f1 = np.where(present, 2 * right / np.maximum(true + predicted, 1), 0.0)
    total = tables.sum(axis=(1, 2))
    return {
        "balanced_accuracy": recall.sum(axis=1) / present.sum(axis=1),
        "macro_f1": f1.sum(axis=1) / present.sum(axis=1),
        "accuracy_over_majority": (right.sum(axis=1) - true.max(axis=1)) / total,
    }
