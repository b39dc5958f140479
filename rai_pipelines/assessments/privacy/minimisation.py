"""Data minimisation: columns that nobody says what for, and features that stand in for a protected attribute.

Sources: GDPR article 5(1)(b) and (c); EU AI Act article 10(2)(f) for proxies.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_pipelines.assessments.privacy.proxies import proxy_measurements
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.subjects.datasheet import Columns, ProtectedAttribute

if TYPE_CHECKING:
    from rai_pipelines.assessments.privacy.parameters import AnonymityParameters
    from rai_pipelines.tables.source import TableSource

METRICS = ("purposeless_columns", "proxy_auc")
NO_FEATURES = "the datasheet lists no features, so it is not known which columns the model sees"


def measure_minimisation(
    source: TableSource, columns: Columns, *, parameters: AnonymityParameters, seed: int, rows: int
) -> tuple[tuple[Measurement, ...], dict[str, Any]]:
    """`purposeless_columns` and `proxy_auc` of the table.

    A column is purposeless when it plays no part in the datasheet and has no entry in `columns.purposes`. Proxies are looked for in a sample of
    `parameters.proxy_rows` rows drawn by `seed`. Without declared features both are unavailable.

    Raises:
        DataError: the engine refuses.
    """
    if not columns.features:
        unknown = tuple(Measurement(metric=metric, value=None, n=rows, state=State.UNAVAILABLE, note=NO_FEATURES) for metric in METRICS)
        return unknown, {"purposeless_columns": []}
    declared = columns_with_a_part(columns)
    idle = [name for name in source.columns if name not in declared]
    note = "columns that the datasheet gives neither a part nor a purpose"
    purposeless = Measurement(metric="purposeless_columns", value=len(idle), n=rows, denominator=len(source.columns), note=note)
    return (purposeless, *_proxies(source, columns, parameters, seed, rows)), {"purposeless_columns": idle}


def columns_with_a_part(columns: Columns) -> frozenset[str]:
    """The columns that the datasheet names in any part, or gives a purpose."""
    single = (columns.label, columns.prediction, columns.score, columns.weight, columns.unit_id, columns.source, columns.timestamp, columns.row_id)
    several = (
        columns.features, columns.quasi_identifiers, columns.sensitive_attributes, columns.direct_identifiers, columns.immutable_features,
        columns.categorical_features, tuple(columns.protected_attributes), tuple(columns.purposes),
    )  # fmt: skip
    return frozenset(name for name in single if name is not None) | frozenset(name for names in several for name in names)


def _proxies(source: TableSource, columns: Columns, parameters: AnonymityParameters, seed: int, rows: int) -> tuple[Measurement, ...]:
    features = [name for name in columns.features if name in source.columns]
    protected = {name: declared for name, declared in columns.protected_attributes.items() if name in source.columns}
    absent = [name for name in columns.protected_attributes if name not in protected]
    unknown = tuple(
        Measurement(metric="proxy_auc", value=None, n=rows, attribute=name, state=State.UNAVAILABLE, note=f"the {source.name} table lacks the column")
        for name in absent
    )
    if not features or not protected:
        return unknown
    wanted = list(dict.fromkeys([*features, *protected]))
    sample = source.sample(parameters.proxy_rows, seed=seed, columns=wanted)
    codes = {name for name, attribute in protected.items() if attribute.labels and not attribute.bins} | set(columns.categorical_features)
    found = proxy_measurements(
        sample,
        {name: _groups(sample[name], attribute) for name, attribute in protected.items()},
        features,
        categorical=sorted(codes),
        min_group=parameters.proxy_min_group,
        level=parameters.level,
        seed=seed,
        rows=rows,
    )
    return (*unknown, *found)


def _groups(column: Any, attribute: ProtectedAttribute) -> np.ndarray:
    """Group names of the rows, shape (rows,), None where unknown; numeric columns with bins are cut into `[low, high)`."""
    import pandas as pd

    if attribute.bins:
        edges = np.array(attribute.bins)
        numbers = column.to_numpy(dtype=float, na_value=np.nan)
        place = np.searchsorted(edges, numbers, side="right")
        inside = np.isfinite(numbers) & (place > 0) & (place < len(edges))
        labels = [f"[{low:g}, {high:g})" for low, high in pairwise(edges)]
        return np.array([labels[at - 1] if held else None for at, held in zip(place, inside, strict=True)], dtype=object)
    named = [None if pd.isna(value) else _spelled(value) for value in column]
    return np.array([None if name in attribute.unknown else name for name in named], dtype=object)


def _spelled(value: Any) -> str:
    """A whole number that was stored as a float reads as an integer."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
