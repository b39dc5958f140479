"""What the model does with inputs that should not occur: missing, far out of range, or a category that it never saw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.subjects.subject import LoadedModel

if TYPE_CHECKING:
    import pandas as pd

PROBE_ROWS = 5
FAR_OUT = 1e9  # added to, or taken from, the range: an overflow or a wrong unit
UNSEEN = "rai-unseen-category"
REFUSALS = ("ValueError", "TypeError")


@dataclass(frozen=True)
class Probes:
    """`asked` requests of `rows` rows each: `refused` by the model, or `crashes`; `outcomes` by request: `answered` or the error's type."""

    asked: int
    rows: int
    refused: int
    crashes: int
    outcomes: Mapping[str, str]


def probe_malformed_inputs(model: LoadedModel, space: FeatureSpace, frame: pd.DataFrame) -> Probes:
    """Ask the model about rows with one malformed feature each, and about rows with every value missing.

    A model that raises `ValueError` or `TypeError` refuses the request, as scikit-learn's input validation does: the caller learns that
    there is no decision. Any other error, and an answer that is not one valid decision per row, counts as a crash. Only the error's type
    is kept: its text can quote data.
    """
    base = frame.head(PROBE_ROWS)
    outcomes = {name: _ask(model, malformed) for name, malformed in _malformed(space, base)}
    refused = sum(outcome in REFUSALS for outcome in outcomes.values())
    crashes = sum(outcome != "answered" and outcome not in REFUSALS for outcome in outcomes.values())
    return Probes(asked=len(outcomes), rows=len(base), refused=refused, crashes=crashes, outcomes=outcomes)


def _malformed(space: FeatureSpace, base: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for feature in space.features:
        for name in feature.columns:
            yield f"missing:{name}", base.assign(**{name: _missing(base[name])})
            if feature.values is None:
                yield f"too_high:{name}", base.assign(**{name: feature.high + FAR_OUT})
                yield f"too_low:{name}", base.assign(**{name: feature.low - FAR_OUT})
            else:
                yield f"unseen:{name}", base.assign(**{name: _unseen((0, 1) if feature.members else feature.values)})
    yield "missing:all", base.assign(**{name: _missing(base[name]) for name in base.columns})


def _missing(column: pd.Series) -> pd.Series:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return pd.Series(np.full(len(column), np.nan), index=column.index)
    return pd.Series([None] * len(column), index=column.index).astype(column.dtype)


def _unseen(values: tuple[Any, ...]) -> Any:
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return max(values) + 1
    return UNSEEN


def _ask(model: LoadedModel, frame: pd.DataFrame) -> str:
    try:
        decisions = np.asarray(model.predict(frame))
    except Exception as error:  # whatever the model raises is the result of the probe
        cause = error.__cause__ or error
        return type(cause).__name__
    return "answered" if decisions.shape == (len(frame),) else "wrong shape"
