"""Can a classifier tell two tables apart? Its cross-validated area under the ROC curve: 0.5 where it cannot, 1 where it always can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_pipelines.assessments.statistics.auc import hanley_mcneil_auc
from rai_pipelines.assessments.statistics.uncertainty import Uncertain

if TYPE_CHECKING:
    import pandas as pd

FOLDS = 5
MOST_CATEGORIES = 200  # the classifier takes fewer than 255; rarer ones are one category
DECIMALS = 9
TREES: dict[str, Any] = {"max_iter": 50, "max_leaf_nodes": 15, "min_samples_leaf": 20, "learning_rate": 0.1, "early_stopping": False}


def domain_classifier_auc(reference: pd.DataFrame, current: pd.DataFrame, *, categorical: Sequence[str], level: float, seed: int) -> Uncertain | None:
    """The area of gradient-boosted trees that tell the rows of `current` from those of `reference`, by columns that both have.

    Every row is scored by trees that never saw it; the area is the mean over 5 stratified folds. A missing value is a value of its own;
    a category that the training folds lack is the model's missing branch. Columns that are not numbers are categories. The interval is
    Hanley and McNeil's for the class sizes; it takes the folds' trees as given, so it is that of these trees and a lower bound
    on what can be told.

    Returns:
        None where a table has fewer than 5 rows, or there is no column.

    Source: Lopez-Paz and Oquab (2017), Revisiting classifier two-sample tests, ICLR.
    """
    names = [name for name in reference.columns if name in current.columns]
    if not names or min(len(reference), len(current)) < FOLDS:
        return None
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold
    from threadpoolctl import threadpool_limits

    inputs, coded = _encoded(reference, current, names, categorical)
    truth = np.repeat([0, 1], [len(reference), len(current)])
    areas = []
    for learn, judge in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(inputs, truth):
        held = np.isfinite(inputs[learn]).any(axis=0)  # scikit-learn cannot bin a column without a value
        if not held.any():
            areas.append(0.5)
            continue
        trees = HistGradientBoostingClassifier(categorical_features=coded[held], random_state=seed, **TREES)
        with threadpool_limits(1):  # threads that wait for each other on a busy machine take twenty times as long
            trees.fit(inputs[learn][:, held], truth[learn])
            told = trees.predict_proba(inputs[judge][:, held])[:, 1]
        areas.append(float(roc_auc_score(truth[judge], told)))
    return hanley_mcneil_auc(round(float(np.mean(areas)), DECIMALS), len(current), len(reference), level)


def _encoded(reference: pd.DataFrame, current: pd.DataFrame, names: Sequence[str], categorical: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers as they are, categories as codes by frequency over both tables (which says nothing about which table a row is from)."""
    import pandas as pd

    both = pd.concat([reference[list(names)], current[list(names)]], ignore_index=True)
    columns, coded = [], []
    for name in names:
        values: Any = both[name]
        number = _as_number(values) if name not in categorical else None
        coded.append(number is None)
        columns.append(_as_codes(values) if number is None else number)
    return np.column_stack(columns), np.array(coded)


def _as_number(values: Any) -> np.ndarray | None:
    import pandas as pd

    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_numeric_dtype(values):
        found: np.ndarray = values.to_numpy(dtype=float, na_value=np.nan)
        return np.where(np.isfinite(found), found, np.nan)
    if pd.api.types.is_datetime64_any_dtype(values):
        seconds = pd.to_datetime(values, utc=True).astype("int64").to_numpy(dtype=float)
        return np.where(values.isna(), np.nan, seconds)
    return None


def _as_codes(values: Any) -> np.ndarray:
    text = values.astype("object").where(values.notna(), None).map(lambda value: None if value is None else str(value))
    counts = text.value_counts()
    ordered = sorted(counts.index, key=lambda name: (-int(counts[name]), name))
    place = {name: min(position, MOST_CATEGORIES) for position, name in enumerate(ordered)}
    return np.array([place.get(value, np.nan) for value in text], dtype=float)
