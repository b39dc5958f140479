"""Does one column alone give the label away? The area under the ROC curve of each feature by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rai_pipelines.assessments.statistics.auc import hanley_mcneil_auc
from rai_pipelines.evidence.model import Measurement, State

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

METRIC = "label_leakage_auc"


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
