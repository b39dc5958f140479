"""Whether an adversarial example keeps to the declared threat model: read from the declaration anew, not from what made the example."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_pipelines.assessments.security.feature_space import NONE_OF_THEM, FeatureSpace
from rai_pipelines.subjects.datasheet import RobustnessBudget

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-6  # of a standard deviation, for sums and divisions


def violations(
    space: FeatureSpace,
    budget: RobustnessBudget,
    examples: pd.DataFrame,
    originals: pd.DataFrame,
    *,
    fixed: Collection[str],
    epsilon: float | None = None,
) -> list[tuple[str, ...]]:
    """For each example the rules that it breaks, as `rule:column`; empty where it keeps to all of them.

    Args:
        space: where ranges, standard deviations and seen values of training are taken from.
        examples: rows as the model reads them, each made of the row of `originals` at the same place.
        fixed: columns that nobody can change (immutable features, protected attributes).
        epsilon: largest Euclidean distance, where one is asked for.
    """
    found: list[list[str]] = [[] for _ in range(len(examples))]

    def note(rule: str, broken: Sequence[bool] | np.ndarray) -> None:
        for at in np.flatnonzero(np.asarray(broken, dtype=bool)):
            found[at].append(rule)

    moved, changes = np.zeros(len(examples)), np.zeros(len(examples), dtype=int)
    limit = budget.epsilon_linf
    for feature in space.features:
        changed = np.zeros(len(examples), dtype=bool)
        for name in feature.columns:
            before, after = originals[name], examples[name]
            differs = _differs(before, after)
            changed |= differs
            note(f"immutable:{name}", differs & (name in fixed))
            note(f"missing:{name}", (before.isna() ^ after.isna()).to_numpy())
        changes += changed
        if feature.values is None:
            start, end = (table[feature.name].to_numpy(dtype=float, na_value=np.nan) for table in (originals, examples))
            gap = np.where(changed, end - start, 0.0)
            amount = np.abs(gap) / feature.step  # the standard deviation over the cost
            low, high = budget.ranges.get(feature.name, (feature.low, feature.high))
            note(f"range:{feature.name}", changed & ((end < np.minimum(low, start) - TOLERANCE) | (end > np.maximum(high, start) + TOLERANCE)))
            note(f"whole:{feature.name}", changed & feature.integer & (end != np.rint(end)))
            wrong = {"increase": gap < 0, "decrease": gap > 0}.get(budget.directions.get(feature.name, ""), np.zeros(len(gap), dtype=bool))
            note(f"direction:{feature.name}", wrong)
        else:
            amount = changed * budget.category_step * budget.costs.get(feature.columns[0], 1.0)
            if feature.members:
                hot = examples[list(feature.members)].to_numpy(dtype=float)
                note(
                    f"one_hot:{feature.name}",
                    changed
                    & ~(
                        np.isin(hot, (0.0, 1.0)).all(axis=1) & ((hot.sum(axis=1) == 1) | ((hot.sum(axis=1) == 0) & (NONE_OF_THEM in feature.values)))
                    ),
                )
            else:
                note(f"category:{feature.name}", changed & ~examples[feature.name].isin(list(feature.values)).to_numpy())
        if limit is not None:
            note(f"epsilon_linf:{feature.name}", amount > limit + TOLERANCE)
        moved += amount**2
    if budget.max_changed_features is not None:
        note("max_changed_features", changes > budget.max_changed_features)
    if epsilon is not None:
        note("epsilon_l2", np.sqrt(moved) > epsilon + TOLERANCE)
    return [tuple(rules) for rules in found]


def _differs(before: Any, after: Any) -> np.ndarray:
    same = (before.to_numpy(dtype=object) == after.to_numpy(dtype=object)) | (before.isna() & after.isna()).to_numpy()
    return np.asarray(~same.astype(bool))
