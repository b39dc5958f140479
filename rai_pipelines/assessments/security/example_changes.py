"""What attacks changed, as examples that show nobody: changes only, coarse, and only where the input identifies no person."""

from __future__ import annotations

from typing import Any

import numpy as np

from rai_pipelines.assessments.security.feature_space import Feature, FeatureSpace
from rai_pipelines.assessments.security.oracle import Attacked
from rai_pipelines.subjects.datasheet import Columns

SHOWN = 5
COARSE = 0.5  # standard deviations to which the change of a number is rounded
FREE_TEXT_VALUES = 50  # a category with more values than this may as well be a name or a sentence
COMMON = 20  # rows of the drawn training table that must have a category before it is named
CHANGED = "changed"


def shown_changes(
    space: FeatureSpace, rows: np.ndarray, nearest: Attacked, pool: np.ndarray, *, columns: Columns, epsilon: float
) -> list[dict[str, Any]]:
    """The nearest counterexamples within the budget, at most five, each as its changes and nothing else of the row.

    An input that is a direct identifier, a quasi-identifier, sensitive or protected, or that may be free text, is named as changed only.
    """
    private = {*columns.direct_identifiers, *columns.quasi_identifiers, *columns.sensitive_attributes, *columns.protected_attributes}
    broken = np.flatnonzero(nearest.within(epsilon))
    examples = []
    for position in broken[np.argsort(nearest.distance[broken], kind="stable")][:SHOWN]:
        moved = np.flatnonzero(np.nan_to_num(nearest.rows[position] - rows[position]))
        changes = {}
        for at in moved:
            feature = space.features[at]
            hidden = bool(private & set(feature.columns)) or (feature.values is not None and len(feature.values) > FREE_TEXT_VALUES)
            changes[feature.name] = CHANGED if hidden else _change(feature, rows[position, at], nearest.rows[position, at], pool[:, at])
        examples.append({"distance": round(float(nearest.distance[position]), 1), "changes": changes})
    return examples


def _change(feature: Feature, before: float, after: float, pool: np.ndarray) -> str:
    if feature.values is None:
        amount = (after - before) / feature.deviation
        size = max(COARSE, round(abs(amount) / COARSE) * COARSE)
        return (
            f"{'up' if amount > 0 else 'down'} by about {size:g} standard deviations"
            if abs(amount) >= COARSE / 2
            else f"{'up' if amount > 0 else 'down'} a little"
        )
    if min(int((pool == code).sum()) for code in (before, after)) < COMMON:
        return CHANGED
    return f"{_spoken(feature.values[int(before)])} to {_spoken(feature.values[int(after)])}"


def _spoken(value: Any) -> str:
    return "none of them" if value == "" else str(value)
