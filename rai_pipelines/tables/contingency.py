"""The contingency table of an audit: GROUP BY (attributes x label x prediction), counted inside the engine in one scan.

Every group metric is a function of these counts, so nothing else of a big table has to leave its engine.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rai_pipelines.errors import DataError
from rai_pipelines.tables.source import TableSource

if TYPE_CHECKING:
    import pandas as pd

MISSING = "(missing)"
OUTSIDE = "(outside bins)"
EMPTY = "(empty)"
MAX_GROUPS = 1_000  # more distinct values than this are an amount, not a group
MAX_NAME_CHARACTERS = 120
SHOWN_VALUES = 5
RESERVED = ("label", "prediction", "count")


def count_groups(
    source: TableSource, *, attributes: Sequence[str], bins: Mapping[str, tuple[float, ...]], label: str | None, prediction: str, favourable: str
) -> pd.DataFrame:
    """Counts of rows by group, true outcome and decision.

    Returns:
        One row per occupied cell, sorted: the `attributes` as text (`group_name`), `label` (1 favourable, 0 other, <NA> unlabelled),
        `prediction` (1 favourable, 0 other) and `count`.

    Raises:
        DataError: the table is empty or lacks a column; label or prediction has other than two classes, or none equal to `favourable`;
            a row has no prediction; an attribute has more than 1,000 distinct values; `bins` cut a column that is not numeric.
    """
    names = list(dict.fromkeys(attributes))
    _check_columns(source, names, bins, label, prediction)
    outcomes = [prediction] if label is None else [prediction, label]
    _check_distinct_values(source, [name for name in names if name not in bins], outcomes, favourable)
    table = source.table()
    keys = {f"a{position}": _group_key(table, name, bins) for position, name in enumerate(names)}
    keys["p"] = _without_nan(table[prediction])
    if label is not None:
        keys["y"] = _without_nan(table[label])
    found: pd.DataFrame = source.run(table.select(**keys).group_by(list(keys)).aggregate(n=lambda cells: cells.count()))
    return _as_counts(found, names, bins, source, label=label, prediction=prediction, favourable=favourable)


def load_scored_rows(
    source: TableSource, *, attributes: Sequence[str], bins: Mapping[str, tuple[float, ...]], label: str, score: str, favourable: str
) -> pd.DataFrame:
    """The labelled rows reduced to group names, `label` (0/1) and `score`, for the figures that need every score.

    Raises:
        DataError: as `count_groups`; or a score is missing or not a finite number.
    """
    import numpy as np
    import pandas as pd

    names = list(dict.fromkeys(attributes))
    source.require(*names, label, score)
    table = source.table()
    if not table[score].type().is_numeric():
        raise DataError(
            f"score column {score!r} is not numeric ({table[score].type()})", where=source.reference, hint="Name a column of probabilities"
        )
    keys = {f"a{position}": _group_key(table, name, bins) for position, name in enumerate(names)}
    keys |= {"y": _without_nan(table[label]), "s": table[score].cast("float64")}
    chosen = table.select(**keys)
    found: pd.DataFrame = source.run(chosen.filter(chosen["y"].notnull()))
    scores = found["s"].to_numpy(dtype=float, na_value=np.nan)
    if not np.isfinite(scores).all():
        raise DataError(
            f"score column {score!r} has {int((~np.isfinite(scores)).sum())} values that are not finite numbers",
            where=source.reference,
            hint="Score every labelled row",
        )
    frame = _named_groups(found, names, bins)
    frame["label"] = as_outcome(found["y"], favourable).astype("int64")
    return pd.DataFrame({**frame, "score": scores})


def group_name(value: Any) -> str:
    """How a group is written: `1` for 1 and 1.0, `true` for True, `(missing)` for null and NaN; overlong text is cut and marked."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or _is_null(value):
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


def as_outcome(values: pd.Series, favourable: str) -> pd.Series:
    """Labels or decisions as nullable integers: 1 where the value is `favourable`, 0 elsewhere, <NA> where there is none."""
    return _translate(values, lambda value: None if group_name(value) == MISSING else int(_outcome_name(value) == _spelled(favourable))).astype(
        "Int64"
    )


def bin_names(edges: Sequence[float]) -> list[str]:
    """`[18, 25)` for every pair of neighbouring edges."""
    return [f"[{left:.12g}, {right:.12g})" for left, right in pairwise(edges)]


def _outcome_name(value: Any) -> str:
    name = group_name(value)
    return {"true": "1", "false": "0"}.get(name.lower(), name)


def _spelled(favourable: str) -> str:
    return {"true": "1", "false": "0"}.get(favourable.lower(), favourable)


def _is_null(value: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _translate(values: pd.Series, name: Any) -> pd.Series:
    """`name` applied once per distinct value."""
    import pandas as pd

    codes, distinct = pd.factorize(values, use_na_sentinel=False)
    return pd.Series(pd.array([name(value) for value in distinct], dtype=object), dtype=object).take(codes).reset_index(drop=True)


def _check_columns(source: TableSource, names: Sequence[str], bins: Mapping[str, tuple[float, ...]], label: str | None, prediction: str) -> None:
    source.require(*names, *([label] if label is not None else []), prediction)
    clash = [name for name in names if name in RESERVED]
    if clash:
        raise DataError(f"a protected attribute cannot be called {clash[0]!r}", where=source.reference, hint="Rename the column")
    for name in names:
        if name in bins and not source.table()[name].type().is_numeric():
            raise DataError(
                f"column {name!r} has bins but is not numeric ({source.table()[name].type()})",
                where=source.reference,
                hint="Remove the bins or cast the column",
            )


def _check_distinct_values(source: TableSource, unbinned: Sequence[str], outcomes: Sequence[str], favourable: str) -> None:
    """Refuse what would not be a small table before it is counted."""
    source.count_rows()
    table = source.table()
    figures = {f"d{position}": _without_nan(table[name]).nunique() for position, name in enumerate([*unbinned, *outcomes])}
    distinct = source.run(table.aggregate(**figures)).iloc[0].to_list()
    for name, number in zip(unbinned, distinct, strict=False):
        if number > MAX_GROUPS:
            raise DataError(
                f"column {name!r} has {int(number):,} distinct values, more than the {MAX_GROUPS:,} that can be groups",
                where=source.reference,
                hint=f"Declare bins for {name!r}",
            )
    seen: dict[str, list[str]] = {}
    for name, number in zip(outcomes, distinct[len(unbinned) :], strict=True):
        chosen = table.select(v=_without_nan(table[name])).distinct().filter(lambda row: row["v"].notnull()).order_by("v").limit(SHOWN_VALUES)
        values = sorted({_outcome_name(value) for value in source.run(chosen)["v"]})
        if number > 2 or len(values) > 2:
            shown = ", ".join(map(repr, values)) + (", …" if number > SHOWN_VALUES else "")
            raise DataError(
                f"column {name!r} has {int(number):,} classes, not two (found {shown})",
                where=source.reference,
                hint="Binary classification needs two classes; check which column is declared",
            )
        seen[name] = values
    together = sorted({value for values in seen.values() for value in values})
    bad = [name for name, values in seen.items() if len(values) == 2 and _spelled(favourable) not in values]
    if bad or len(together) > 2 or (len(together) == 2 and _spelled(favourable) not in together):
        columns = ", ".join(f"{name!r} has {', '.join(map(repr, values)) or 'no value'}" for name, values in seen.items())
        raise DataError(
            f"label and prediction must share two classes, one of them the favourable outcome {favourable!r}: column {columns}",
            where=source.reference,
            hint="Correct columns.favourable_outcome, or code label and prediction alike",
        )


def _group_key(table: Any, name: str, bins: Mapping[str, tuple[float, ...]]) -> Any:
    """The raw value, or for a binned column the number of its bin (-1 outside, null when missing)."""
    import ibis

    column = _without_nan(table[name])
    if name not in bins:
        return column
    edges = [float(edge) for edge in bins[name]]
    branches = [((column >= left) & (column < right), position) for position, (left, right) in enumerate(pairwise(edges))]
    return ibis.cases((column.isnull(), ibis.null("int64")), *branches, else_=-1)


def _without_nan(column: Any) -> Any:
    """A NaN is a missing value, whatever the file calls it."""
    import ibis

    return column.isnan().ifelse(ibis.null(column.type()), column) if column.type().is_floating() else column


def _named_groups(found: pd.DataFrame, names: Sequence[str], bins: Mapping[str, tuple[float, ...]]) -> dict[str, Any]:
    """The keys `a0`, `a1`, ... of a result as columns of group names."""
    frame: dict[str, Any] = {}
    for position, name in enumerate(names):
        column = found[f"a{position}"]
        if name in bins:
            labels = dict(enumerate(bin_names(bins[name]))) | {-1: OUTSIDE}
            frame[name] = _translate(column, lambda value, labels=labels: MISSING if _is_null(value) else labels[int(value)])
        else:
            frame[name] = _translate(column, group_name)
    return frame


def _as_counts(
    found: pd.DataFrame,
    names: Sequence[str],
    bins: Mapping[str, tuple[float, ...]],
    source: TableSource,
    *,
    label: str | None,
    prediction: str,
    favourable: str,
) -> pd.DataFrame:
    import pandas as pd

    frame = _named_groups(found, names, bins)
    frame["label"] = as_outcome(found["y"], favourable) if label is not None else pd.array([pd.NA] * len(found), dtype="Int64")
    frame["prediction"] = as_outcome(found["p"], favourable)
    frame["count"] = found["n"].astype("int64")
    counts = pd.DataFrame(frame)
    undecided = int(counts.loc[counts["prediction"].isna(), "count"].sum())
    if undecided:
        raise DataError(f"column {prediction!r} has no decision in {undecided:,} rows", where=source.reference, hint="Give every row a decision")
    # different raw values can carry one name (1 and 1.0 cannot meet in one column, null and NaN can)
    counts = counts.groupby([*names, "label", "prediction"], dropna=False, sort=True)["count"].sum().reset_index()
    return counts.astype({"prediction": "int64", "label": "Int64"}).reset_index(drop=True)
