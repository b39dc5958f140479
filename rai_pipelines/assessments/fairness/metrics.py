"""Group fairness metrics as vectorised closed forms over counts, and the same figures by Fairlearn's own functions.

Evidence reports Fairlearn's values; the closed forms serve the resampling, where Fairlearn would take hours, and are tested equal to it.
Counts are arrays whose last two axes are groups and the cells `TP, FN, FP, TN, selected without label, rejected without label`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

JOIN = " × "  # joins the attributes of an intersection, and the groups
RATES = {
    "demographic_parity_difference": ("selection_rate",),
    "demographic_parity_ratio": ("selection_rate",),
    "equalized_odds_difference": ("true_positive_rate", "false_positive_rate"),
    "equalized_odds_ratio": ("true_positive_rate", "false_positive_rate"),
    "equal_opportunity_difference": ("true_positive_rate",),
}  # the rates that a metric compares
TP, FN, FP, TN, SELECTED_UNLABELLED, REJECTED_UNLABELLED = range(6)


@dataclass(frozen=True)
class GroupCounts:
    """The cells of every group of one attribute or intersection; `cells` has shape (groups, 6), groups sorted by name."""

    attribute: str
    parts: tuple[str, ...]
    groups: tuple[str, ...]
    cells: np.ndarray

    def only(self, keep: np.ndarray) -> GroupCounts:
        """The groups where `keep`, shape (groups,), is true."""
        chosen = tuple(group for group, kept in zip(self.groups, keep, strict=True) if kept)
        return GroupCounts(self.attribute, self.parts, chosen, self.cells[keep])


def group_counts(counts: pd.DataFrame, attributes: Sequence[str], *, depth: int) -> list[GroupCounts]:
    """The table of `count_groups` collapsed to every attribute and to every intersection of up to `depth` attributes."""
    cell = _cell_of(counts)
    weights = counts["count"].to_numpy(dtype=np.int64)
    collapsed = []
    for size in range(1, depth + 1):
        for parts in itertools.combinations(attributes, size):
            names = counts[parts[0]].astype(str)
            for part in parts[1:]:
                names = names + JOIN + counts[part].astype(str)
            groups, position = np.unique(names.to_numpy(dtype=object).astype(str), return_inverse=True)
            cells = np.zeros((len(groups), 6), dtype=np.int64)
            np.add.at(cells, (position, cell), weights)
            collapsed.append(GroupCounts(JOIN.join(parts), parts, tuple(str(group) for group in groups), cells))
    return collapsed


def rows(cells: np.ndarray) -> np.ndarray:
    """All rows of a group."""
    return np.asarray(cells.sum(axis=-1))


def selected(cells: np.ndarray) -> np.ndarray:
    """Rows with the favourable decision, labelled or not."""
    return np.asarray(cells[..., TP] + cells[..., FP] + cells[..., SELECTED_UNLABELLED])


def positives(cells: np.ndarray) -> np.ndarray:
    """Labelled rows whose true outcome is favourable."""
    return np.asarray(cells[..., TP] + cells[..., FN])


def negatives(cells: np.ndarray) -> np.ndarray:
    """Labelled rows whose true outcome is not."""
    return np.asarray(cells[..., FP] + cells[..., TN])


def group_rates(cells: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Numerator and denominator of every rate of a group."""
    labelled = positives(cells) + negatives(cells)
    return {
        "selection_rate": (selected(cells), rows(cells)),
        "true_positive_rate": (cells[..., TP], positives(cells)),
        "false_positive_rate": (cells[..., FP], negatives(cells)),
        "false_negative_rate": (cells[..., FN], positives(cells)),
        "accuracy": (cells[..., TP] + cells[..., TN], labelled),
        "base_rate": (positives(cells), labelled),
    }


def disparities(cells: np.ndarray, *, positive_floor: bool = False) -> dict[str, np.ndarray]:
    """The between-group metrics of counts shaped (..., groups, 6); label-based ones need groups with positives and negatives.

    A ratio whose largest rate is 0 is NaN, as in Fairlearn. With `positive_floor` a rate of 0 counts as half a row,
    so that the logarithm of a resampled ratio is finite.
    """
    chosen = _rate(*group_rates(cells)["selection_rate"], positive_floor)
    hits = _rate(*group_rates(cells)["true_positive_rate"], positive_floor)
    alarms = _rate(*group_rates(cells)["false_positive_rate"], positive_floor)
    with np.errstate(invalid="ignore", divide="ignore"):
        hit_ratio, alarm_ratio = _least(hits) / _most(hits), _least(alarms) / _most(alarms)
        return {
            "demographic_parity_difference": _most(chosen) - _least(chosen),
            "demographic_parity_ratio": _least(chosen) / _most(chosen),
            "equalized_odds_difference": np.fmax(_most(hits) - _least(hits), _most(alarms) - _least(alarms)),
            # as Python's min(), which Fairlearn uses: the first, unless the second is less
            "equalized_odds_ratio": np.where(alarm_ratio < hit_ratio, alarm_ratio, hit_ratio),
            "equal_opportunity_difference": _most(hits) - _least(hits),
        }


def fairlearn_disparities(counted: GroupCounts, *, labelled: bool) -> dict[str, float]:
    """The between-group metrics by Fairlearn, on the collapsed counts with `sample_weight=count`.

    One `MetricFrame` of Fairlearn's own rates and its own `difference()` and `ratio()` give what `demographic_parity_difference` and the
    other functions of those names give, without a frame for each. NaN where Fairlearn gives NaN.

    Args:
        counted: the groups to compare.
        labelled: the label-based metrics, from labelled rows; else demographic parity, from all rows.
    """
    from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate

    functions = {"tpr": true_positive_rate, "fpr": false_positive_rate} if labelled else {"selection_rate": selection_rate}
    group, cell = np.nonzero(counted.cells[:, :4] if labelled else counted.cells)
    weights = {"sample_weight": counted.cells[group, cell]}
    frame = MetricFrame(
        metrics=functions,
        y_true=np.isin(cell, (TP, FN)).astype(int),
        y_pred=np.isin(cell, (TP, FP, SELECTED_UNLABELLED)).astype(int),
        sensitive_features=np.asarray(counted.groups, dtype=object)[group],
        sample_params=dict.fromkeys(functions, weights),
    )
    difference, ratio = frame.difference(method="between_groups"), frame.ratio(method="between_groups")
    if not labelled:
        return {"demographic_parity_difference": float(difference.iloc[0]), "demographic_parity_ratio": float(ratio.iloc[0])}
    return {
        "equalized_odds_difference": float(max(difference)),
        "equalized_odds_ratio": float(min(ratio)),
        "equal_opportunity_difference": float(difference["tpr"]),
    }


def driving_pair(metric: str, counted: GroupCounts) -> tuple[str, int, int]:
    """Which rate and which two groups (largest, smallest) make the metric what it is; ties go to the first by name."""
    found = []
    for name in RATES[metric]:
        rate = _rate(*group_rates(counted.cells)[name], False)
        top, bottom = int(rate.argmax()), int(rate.argmin())
        spread = rate[top] - rate[bottom] if metric.endswith("difference") else 1 - (rate[bottom] / rate[top] if rate[top] else 1.0)
        found.append((spread, name, top, bottom))
    best = max(found, key=lambda item: item[0])
    return best[1], best[2], best[3]


def smoothed(cells: np.ndarray, labelled: bool) -> np.ndarray:
    """Counts as resampling weights: 0.5 added to the cells of every group with an empty cell, which would otherwise never vary."""
    width = 4 if labelled else 6
    used = cells[:, :width].astype(float)
    binary = used if labelled else np.stack([selected(cells), rows(cells) - selected(cells)], axis=-1)
    lacking = (binary == 0).any(axis=-1)
    if not labelled:
        used[lacking] += np.array([0, 0, 0, 0, 0.5, 0.5])
    else:
        used[lacking] += 0.5
    return np.concatenate([used, np.zeros((len(cells), 6 - width))], axis=-1)


def _rate(numerator: np.ndarray, denominator: np.ndarray, positive_floor: bool) -> np.ndarray:
    """NaN where the denominator is 0; a resample can empty a group, which then takes no part in that replicate."""
    top = np.maximum(numerator, 0.5) if positive_floor else numerator
    return np.where(denominator > 0, np.minimum(top / np.maximum(denominator, 1), 1.0), np.nan)


def _most(rate: np.ndarray) -> np.ndarray:
    return np.asarray(np.fmax.reduce(rate, axis=-1))


def _least(rate: np.ndarray) -> np.ndarray:
    return np.asarray(np.fmin.reduce(rate, axis=-1))


def _cell_of(counts: pd.DataFrame) -> np.ndarray:
    """The cell number of each row of the contingency table."""
    label = counts["label"].to_numpy(dtype=float, na_value=np.nan)
    decision = counts["prediction"].to_numpy(dtype=int)
    return np.select([label == 1, label == 0], [np.where(decision == 1, TP, FN), np.where(decision == 1, FP, TN)], np.where(decision == 1, 4, 5))
