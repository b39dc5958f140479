"""How groups, labels and decisions are written, the same whatever engine and type they come from."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MISSING = "(missing)"
OUTSIDE = "(outside bins)"
EMPTY = "(empty)"
JOIN = " × "  # joins the attributes of an intersection, and its groups
MAX_NAME_CHARACTERS = 120
SHOWN_VALUES = 5
MOST_TOLD = 20  # distinct values beyond which a column holds no classes, and errors repeat none of them


def group_name(value: Any) -> str:
    """How a group is written: `1` for 1 and 1.0, `true` for True, `(missing)` for null and NaN; overlong text is cut and marked."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or is_null(value):
        return MISSING
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    if not text:
        return EMPTY
    if len(text) > MAX_NAME_CHARACTERS:
        return f"{text[: MAX_NAME_CHARACTERS - 10]}…{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}"
    return text


def outcome_name(value: Any) -> str:
    """How a label or decision is written: as a group, but `1` for true and `0` for false."""
    name = group_name(value)
    return {"true": "1", "false": "0"}.get(name.lower(), name)


def spelled(favourable: str) -> str:
    """The declared favourable outcome as `outcome_name` writes it."""
    return {"true": "1", "false": "0"}.get(favourable.lower(), favourable)


def as_outcome(values: pd.Series, favourable: str) -> pd.Series:
    """Labels or decisions as nullable integers: 1 where the value is `favourable`, 0 elsewhere, <NA> where there is none."""
    return translated(values, lambda value: None if group_name(value) == MISSING else int(outcome_name(value) == spelled(favourable))).astype("Int64")


def group_of_each(values: pd.Series, bins: Sequence[float] | None) -> np.ndarray:
    """The group of each row of a sample in memory, named as `count_groups` names it; `bins` are the attribute's, where it has some."""
    import numpy as np

    if not bins:
        return np.array([group_name(value) for value in values], dtype=object)
    amounts = values.to_numpy(dtype=float, na_value=np.nan)
    names = np.array([OUTSIDE, *bin_names(bins), OUTSIDE], dtype=object)
    named = names[np.searchsorted(np.asarray(bins, dtype=float), np.nan_to_num(amounts), side="right")]
    return np.where(np.isnan(amounts), MISSING, named)


def bin_names(edges: Sequence[float]) -> list[str]:
    """`[18, 25)` for every pair of neighbouring edges."""
    return [f"[{left:.12g}, {right:.12g})" for left, right in pairwise(edges)]


def named_groups(found: pd.DataFrame, names: Sequence[str], bins: Mapping[str, tuple[float, ...]]) -> dict[str, Any]:
    """The keys `a0`, `a1`, ... of a result as columns of group names."""
    frame: dict[str, Any] = {}
    for position, name in enumerate(names):
        column = found[f"a{position}"]
        if name in bins:
            labels = dict(enumerate(bin_names(bins[name]))) | {-1: OUTSIDE}
            frame[name] = translated(column, lambda value, labels=labels: MISSING if is_null(value) else labels[int(value)])
        else:
            frame[name] = translated(column, group_name)
    return frame


def told_values(values: Sequence[str], number: int) -> str:
    """`number` distinct values of an outcome for an error message: the first few; none where there are so many that one may be a person's."""
    if number > MOST_TOLD:
        return "none is shown: so many values are no classes, and may be people's"
    return f"found {', '.join(map(repr, values[:SHOWN_VALUES]))}{', …' if number > SHOWN_VALUES else ''}"


def translated(values: pd.Series, name: Any) -> pd.Series:
    """`name` applied once per distinct value."""
    import pandas as pd

    codes, distinct = pd.factorize(values, use_na_sentinel=False)
    return pd.Series(pd.array([name(value) for value in distinct], dtype=object), dtype=object).take(codes).reset_index(drop=True)


def is_null(value: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))
