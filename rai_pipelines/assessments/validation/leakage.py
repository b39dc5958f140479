"""Does one column alone give the label away? The area under the ROC curve of each feature by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rai_pipelines.assessments.statistics.auc import hanley_mcneil_auc
from rai_pipelines.assessments.validation.reading import NO_TRAINING, ValidatedTable
from rai_pipelines.assessments.validation.suite import Outcome
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.tables.group_names import as_outcome

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

METRIC = "label_leakage_auc"


def leakage(
    training: ValidatedTable | None,
    sheet: Datasheet,
    features: Sequence[str],
    *,
    rows: int,
    limit: float,
    minimum_class: int,
    level: float,
    seed: int,
) -> tuple[Sequence[Measurement], list[Outcome]]:
    """`label_leakage` of the training table, on at most `rows` rows of it, and for each feature whether its area is at most `limit`."""
    columns, task = sheet.columns, sheet.task
    label = columns.label
    why = NO_TRAINING if training is None else "the datasheet names no label" if label is None else None
    if why is None and training is not None and label not in training.source.columns:
        why = f"the training table has no label column {label!r}"
    if why is None and task != "binary_classification":
        why = f"leakage is measured for two classes only; the task is {task}"
    if why is not None or training is None or label is None:
        return (Measurement(metric=METRIC, value=None, state=State.UNAVAILABLE, note=why),), []
    named = [name for name in features if name != label]
    frame = training.frame
    if frame is None:
        frame = training.source.sample(rows, seed=seed, columns=[name for name in (*named, label) if name in training.source.columns])
    outcome = as_outcome(frame[label], columns.favourable_outcome)
    found = label_leakage(frame, outcome, named, training.expected.codes, minimum_class=minimum_class, level=level, seed=seed)
    expected = f"an area under the ROC curve of at most {limit}"
    return found, [_outcome(item, expected, limit) for item in found if item.state is not State.UNAVAILABLE]


def label_leakage(
    frame: pd.DataFrame, outcome: pd.Series, features: Sequence[str], codes: frozenset[str], *, minimum_class: int, level: float, seed: int
) -> tuple[Measurement, ...]:
    """`label_leakage_auc` (attribute = column) for every feature, on the labelled rows of the training table; at least 0.5 unless by chance.

    A numeric, date or time column is ranked as it is, null below or above all values, whichever gives more, and in the better direction: a
    monotone relation is found, a U-shaped one is not. A text, boolean or coded column is ranked by the favourable share of its values, each half
    of the rows by the shares of the other half, so that a key that differs in every row reads as 0.5 and not as a perfect predictor.

    Args:
        frame: rows of the training table, with the features.
        outcome: 1 favourable, 0 other, NA unlabelled; aligned with `frame`.
        features: columns to rank; absent ones are unavailable.
        codes: numeric columns whose numbers are codes.
        minimum_class: rows of the rarer class below which an area is disclosed as insufficient.
        level: level of the Hanley-McNeil interval.
        seed: splits the rows in halves.
    """
    import numpy as np

    labelled = outcome.notna().to_numpy()
    y = outcome[labelled].to_numpy(dtype="int64")
    positives, negatives = int(y.sum()), int(len(y) - y.sum())
    found = []
    for position, name in enumerate(features):
        if name not in frame.columns:
            found.append(
                Measurement(metric=METRIC, value=None, attribute=name, state=State.UNAVAILABLE, note="the training table has no such column")
            )
            continue
        if min(positives, negatives) == 0:
            note = "the labelled training rows have one class only"
            found.append(Measurement(metric=METRIC, value=None, n=len(y), denominator=0, attribute=name, state=State.UNDEFINED, note=note))
            continue
        values = frame.loc[labelled, name].reset_index(drop=True)
        auc = (
            _ordered_auc(values, y)
            if _is_ordered(values) and name not in codes
            else _cross_fitted_auc(values, y, np.random.default_rng([seed, position]))
        )
        estimate = hanley_mcneil_auc(auc, positives, negatives, level)
        smaller = min(positives, negatives)
        few = smaller < minimum_class
        found.append(
            Measurement(
                metric=METRIC,
                value=auc,
                interval=estimate.interval,
                n=len(y),
                denominator=smaller,
                attribute=name,
                state=State.INSUFFICIENT if few else State.MEASURED,
                standard_error=estimate.standard_error,
                note=f"the rarer class has {smaller} rows, fewer than {minimum_class}" if few else None,
            )
        )
    return tuple(found)


def _outcome(item: Measurement, expected: str, limit: float) -> Outcome:
    success = item.value is not None and item.value <= limit if item.state is State.MEASURED else None
    observed = f"{item.value:.3f}" if item.state is State.MEASURED else f"not evaluated: {item.note}"
    return Outcome("training", "single_feature_auc_to_be_at_most", item.attribute, "critical", success, observed, expected)


def _is_ordered(values: pd.Series) -> bool:
    import pandas as pd

    kinds = pd.api.types
    return (kinds.is_numeric_dtype(values) and not kinds.is_bool_dtype(values)) or kinds.is_datetime64_any_dtype(values)


def _ordered_auc(values: pd.Series, y: np.ndarray) -> float:
    import numpy as np
    import pandas as pd

    codes = pd.factorize(values, sort=True)[0].astype("int64")  # ranks of the values; -1 for null
    null_above = np.where(codes < 0, codes.max() + 1, codes)
    return max(max(area, 1 - area) for area in (_auc(codes, y), _auc(null_above, y)))


def _cross_fitted_auc(values: pd.Series, y: np.ndarray, generator: np.random.Generator) -> float:
    """Mean of the areas of both halves; a value unseen in the other half, and a half of one class, rank in the middle."""
    import numpy as np
    import pandas as pd

    if pd.api.types.is_object_dtype(values):
        values = values.map(str, na_action="ignore")  # lists and structures are compared as texts
    codes, distinct = pd.factorize(values, use_na_sentinel=False)
    half = np.zeros(len(y), dtype=bool)
    half[generator.permutation(len(y))[: len(y) // 2]] = True
    areas = []
    for judged in (half, ~half):
        other = ~judged
        rows = np.bincount(codes[other], minlength=len(distinct))
        favourable = np.bincount(codes[other], weights=y[other], minlength=len(distinct))
        middle = y[other].mean() if other.any() else 0.5
        shares = (favourable + middle) / (rows + 1)
        areas.append(_auc(shares[codes[judged]], y[judged]) if 0 < y[judged].sum() < judged.sum() else 0.5)
    return float(np.mean(areas))


def _auc(scores: np.ndarray, y: np.ndarray) -> float:
    """Mann-Whitney: share of (favourable, other) pairs in the right order, ties half."""
    import numpy as np

    _, codes = np.unique(scores, return_inverse=True)
    favourable = np.bincount(codes, weights=y)
    other = np.bincount(codes, weights=1 - y)
    below = np.cumsum(other) - other
    return float((favourable * (below + other / 2)).sum() / (favourable.sum() * other.sum()))
