"""Protected attributes among the drivers of the model: used directly, or stood for by a feature that looks neutral."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rai_pipelines.assessments.privacy.proxies import ALL_FEATURES, proxy_measurements
from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.subjects.datasheet import ProtectedAttribute
from rai_pipelines.tables.group_names import MISSING, bin_names, group_name

if TYPE_CHECKING:
    import pandas as pd

TOP_DRIVERS = 10


def driver_figures(
    space: FeatureSpace,
    importance: np.ndarray,
    rows: pd.DataFrame,
    attributes: Mapping[str, ProtectedAttribute],
    *,
    categorical: Sequence[str],
    explained_rows: int,
    min_group: int,
    level: float,
    seed: int,
    table_rows: int,
) -> list[Measurement]:
    """`protected_driver_share` by attribute: its part of all mean |Shapley values| (0 where it is no input); `proxy_driver` by attribute and driver:
    how well (cross-validated area under the ROC curve, 0.5: not at all) each of the ten largest other drivers tells the attribute.

    Args:
        importance: mean |Shapley value| of each feature, shape (features,).
        rows: with the model's inputs and the attributes.
    """
    total = float(importance.sum())
    order = [at for at in np.argsort(-importance, kind="stable") if importance[at] > 0]
    place = {column: at for at, feature in enumerate(space.features) for column in feature.columns}
    made = []
    for name in attributes:
        used = place.get(name)
        share = float(importance[used]) / total if used is not None and total > 0 else 0.0
        rank = f"an input of the model, number {order.index(used) + 1} of its drivers" if used in order else None
        note = rank or ("an input that drives nothing in the sample" if used is not None else "no input of the model")
        made.append(
            Measurement(metric="protected_driver_share", value=share, n=explained_rows, denominator=explained_rows, attribute=name, note=note)
            if total > 0 or used is None
            else Measurement(
                metric="protected_driver_share", value=None, n=explained_rows, attribute=name, state=State.UNDEFINED, note="nothing drives it"
            )
        )
    drivers = order[:TOP_DRIVERS]
    names = [space.features[at].name for at in drivers]
    if not names or not attributes:
        return made
    coded = sorted({*categorical, *(name for name, declared in attributes.items() if declared.labels and not declared.bins)})
    groups = {name: groups_of(rows[name], declared) for name, declared in attributes.items()}
    found = proxy_measurements(
        _by_feature(space, drivers, rows), groups, names, categorical=coded, min_group=min_group, level=level, seed=seed, rows=table_rows
    )
    weight = {space.features[at].name: float(importance[at]) / total for at in drivers}
    for item in found:
        if item.group == ALL_FEATURES or item.group is None:
            continue
        note = f"{weight[item.group]:.1%} of all contributions; {item.note}"
        made.append(item.model_copy(update={"metric": "proxy_driver", "note": note}))
    return made


def _by_feature(space: FeatureSpace, drivers: Sequence[int], rows: pd.DataFrame) -> pd.DataFrame:
    """A column for each driver; the columns of a one-hot group as one."""
    import pandas as pd

    columns = {}
    for at in drivers:
        feature = space.features[at]
        if not feature.members:
            columns[feature.name] = rows[feature.name].reset_index(drop=True)
            continue
        codes, values = space.encode(rows)[:, at], feature.values or ()
        columns[feature.name] = pd.Series([None if np.isnan(code) else str(values[int(code)]) for code in codes], dtype=object)
    return pd.DataFrame(columns)


def groups_of(column: pd.Series, attribute: ProtectedAttribute) -> np.ndarray:
    """The group of each row, shape (rows,), as other assessments name it; None where it is not known."""
    named: list[str | None]
    if attribute.bins:
        numbers = column.to_numpy(dtype=float, na_value=np.nan)
        place = np.searchsorted(np.array(attribute.bins), numbers, side="right")
        labels = bin_names(attribute.bins)
        inside = np.isfinite(numbers) & (place > 0) & (place < len(attribute.bins))
        named = [labels[at - 1] if held else None for at, held in zip(place, inside, strict=True)]
    else:
        named = [group_name(value) for value in column]
    return np.array([None if name == MISSING or name in attribute.unknown else name for name in named], dtype=object)
