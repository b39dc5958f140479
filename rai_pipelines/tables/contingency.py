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
    import numpy as np
    import pandas as pd

MISSING = "(missing)"
OUTSIDE = "(outside bins)"
EMPTY = "(empty)"
MAX_GROUPS = 1_000  # more distinct values than this are an amount, not a group
MAX_NAME_CHARACTERS = 120
SHOWN_VALUES = 5
MOST_TOLD = 20  # distinct values beyond which a column holds no classes, and errors repeat none of them
SIGNIFICANT_DIGITS = 12
MAX_CELLS = 2_000_000  # groups x outcomes that are brought to the audit
PREFIX_ROWS = 50_000  # rows on which it is tried whether the columns can be counted at all
JOIN = " × "  # joins the attributes of an intersection, and its groups
RESERVED = ("label", "prediction", "count", "weight", "weight_squares", "units")


def count_groups(
    source: TableSource,
    *,
    attributes: Sequence[str],
    bins: Mapping[str, tuple[float, ...]],
    label: str | None,
    prediction: str,
    favourable: str,
    weight: str | None = None,
) -> pd.DataFrame:
    """Counts of rows by group, true outcome and decision, in one scan.

    Returns:
        One row per occupied cell, sorted: the `attributes` as text (`group_name`), `label` (1 favourable, 0 other, <NA> unlabelled),
        `prediction` (1 favourable, 0 other), `count` (rows); with `weight` also `weight` and `weight_squares`, the sums over the rows.

    Raises:
        DataError: the table is empty or lacks a column; label or prediction has other than two classes, or none equal to `favourable`;
            a row has no prediction, or a weight that is not a finite number above 0; an attribute has more than 1,000 distinct values;
            `bins` cut a column that is not numeric.
    """
    names = list(dict.fromkeys(attributes))
    outcomes = [prediction] if label is None else [prediction, label]
    check_columns(source, names, bins, label, prediction)
    unbinned = [name for name in names if name not in bins]
    if not _looks_countable(source, unbinned, outcomes):
        _check_distinct_values(source, unbinned, outcomes, favourable)
    table = source.table()
    keys = {f"a{position}": group_key(table, name, bins) for position, name in enumerate(names)}
    keys["p"] = without_nan(table[prediction])
    if label is not None:
        keys["y"] = without_nan(table[label])
    chosen = table.select(**keys, **({} if weight is None else {"w": usable_weight(source, weight)}))
    figures: dict[str, Any] = {"n": chosen.count()}
    if weight is not None:
        figures |= {"w": chosen["w"].sum(), "q": (chosen["w"] * chosen["w"]).sum(), "bad": chosen["w"].isnull().sum()}
    found: pd.DataFrame = source.run(chosen.group_by(list(keys)).aggregate(**figures).limit(MAX_CELLS + 1))
    if len(found) == 0 or len(found) > MAX_CELLS or _has_too_many_values(found, names, bins, outcomes, favourable):
        _check_distinct_values(source, unbinned, outcomes, favourable)
    if len(found) > MAX_CELLS:
        raise DataError(f"the attributes make more than {MAX_CELLS:,} groups", where=source.shown, hint="Declare fewer attributes, or wider bins")
    return _as_counts(found, names, bins, source, label=label, prediction=prediction, favourable=favourable, weight=weight)


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
    return _translate(values, lambda value: None if group_name(value) == MISSING else int(outcome_name(value) == spelled(favourable))).astype("Int64")


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


def told_values(values: Sequence[str], number: int) -> str:
    """`number` distinct values of an outcome for an error message: the first few; none where there are so many that one may be a person's."""
    if number > MOST_TOLD:
        return "none is shown: so many values are no classes, and may be people's"
    return f"found {', '.join(map(repr, values[:SHOWN_VALUES]))}{', …' if number > SHOWN_VALUES else ''}"


def outcome_name(value: Any) -> str:
    """How a label or decision is written: as a group, but `1` for true and `0` for false."""
    name = group_name(value)
    return {"true": "1", "false": "0"}.get(name.lower(), name)


def spelled(favourable: str) -> str:
    """The declared favourable outcome as `outcome_name` writes it."""
    return {"true": "1", "false": "0"}.get(favourable.lower(), favourable)


def _is_null(value: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _translate(values: pd.Series, name: Any) -> pd.Series:
    """`name` applied once per distinct value."""
    import pandas as pd

    codes, distinct = pd.factorize(values, use_na_sentinel=False)
    return pd.Series(pd.array([name(value) for value in distinct], dtype=object), dtype=object).take(codes).reset_index(drop=True)


def check_columns(
    source: TableSource,
    names: Sequence[str],
    bins: Mapping[str, tuple[float, ...]],
    label: str | None,
    prediction: str,
    *,
    reserved: Sequence[str] = RESERVED,
) -> None:
    """Raise `DataError` when a column is not there or holds lists, an attribute has a reserved name, bins cut what is no number, or the label is
    also the prediction (or score)."""
    source.require(*names, *([label] if label is not None else []), prediction)
    clash = [name for name in names if name in reserved or JOIN in name]
    if clash:
        raise DataError(f"a protected attribute cannot be called {clash[0]!r}", where=source.shown, hint="Rename the column")
    if label == prediction:
        raise DataError(
            f"column {label!r} is declared as the truth and as what the model says of it: every row would be right",
            where=source.shown,
            hint="Name two different columns",
        )
    nested = [
        name for name in dict.fromkeys((*names, *([label] if label is not None else []), prediction)) if source.table()[name].type().is_nested()
    ]
    if nested:
        raise DataError(
            f"column {nested[0]!r} holds lists or structures ({source.table()[nested[0]].type()}), which are neither groups nor outcomes",
            where=source.shown,
            hint="Name a column of single values",
        )
    for name in names:
        if name in bins and not source.table()[name].type().is_numeric():
            raise DataError(
                f"column {name!r} has bins but is not numeric ({source.table()[name].type()})",
                where=source.reference,
                hint="Remove the bins or cast the column",
            )


def _looks_countable(source: TableSource, unbinned: Sequence[str], outcomes: Sequence[str]) -> bool:
    """Whether the first rows hold few enough values to group all rows; cheap, so that a key that is no group is not counted first."""
    table = source.table().limit(PREFIX_ROWS)
    figures = {f"d{position}": without_nan(table[name]).nunique() for position, name in enumerate([*unbinned, *outcomes])}
    distinct = source.run(table.aggregate(**figures)).iloc[0].to_list()
    return all(number <= MAX_GROUPS for number in distinct[: len(unbinned)]) and all(number <= 2 for number in distinct[len(unbinned) :])


def _has_too_many_values(
    found: pd.DataFrame, names: Sequence[str], bins: Mapping[str, tuple[float, ...]], outcomes: Sequence[str], favourable: str
) -> bool:
    """Whether what was counted breaks a rule that `_check_distinct_values` can put into words."""
    if any(found[f"a{position}"].nunique() > MAX_GROUPS for position, name in enumerate(names) if name not in bins):
        return True
    classes = [{outcome_name(value) for value in found[key].dropna().unique()} for key in ("p", "y")[: len(outcomes)]]
    return (
        any(len(seen) > 2 or (len(seen) == 2 and spelled(favourable) not in seen) for seen in classes)
        or len(set().union(*classes)) > 2
        or (len(set().union(*classes)) == 2 and spelled(favourable) not in set().union(*classes))
    )


def _check_distinct_values(source: TableSource, unbinned: Sequence[str], outcomes: Sequence[str], favourable: str) -> None:
    """Refuse what would not be a small table before it is counted."""
    source.count_rows()
    table = source.table()
    figures = {f"d{position}": without_nan(table[name]).nunique() for position, name in enumerate([*unbinned, *outcomes])}
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
        chosen = table.select(v=without_nan(table[name])).distinct().filter(lambda row: row["v"].notnull()).order_by("v").limit(SHOWN_VALUES)
        values = sorted({outcome_name(value) for value in source.run(chosen)["v"]})
        if number > 2 or len(values) > 2:
            raise DataError(
                f"column {name!r} has {int(number):,} classes, not two ({told_values(values, int(number))})",
                where=source.reference,
                hint="Binary classification needs two classes; check which column is declared",
            )
        seen[name] = values
    together = sorted({value for values in seen.values() for value in values})
    bad = [name for name, values in seen.items() if len(values) == 2 and spelled(favourable) not in values]
    if bad or len(together) > 2 or (len(together) == 2 and spelled(favourable) not in together):
        columns = ", ".join(f"{name!r} has {', '.join(map(repr, values)) or 'no value'}" for name, values in seen.items())
        raise DataError(
            f"label and prediction must share two classes, one of them the favourable outcome {favourable!r}: column {columns}",
            where=source.reference,
            hint="Correct columns.favourable_outcome, or code label and prediction alike",
        )


def check_group_counts(found: pd.DataFrame, names: Sequence[str], bins: Mapping[str, tuple[float, ...]], source: TableSource) -> None:
    """Refuse an attribute of more than 1,000 groups among the keys `a0`, `a1`, ... of a result.

    Raises:
        DataError: names the column.
    """
    for position, name in enumerate(names):
        if name not in bins and found[f"a{position}"].nunique() > MAX_GROUPS:
            raise DataError(
                f"column {name!r} has more distinct values than the {MAX_GROUPS:,} that can be groups",
                where=source.shown,
                hint=f"Declare bins for {name!r}",
            )


def favourable_values(source: TableSource, name: str, favourable: str) -> list[Any]:
    """The raw values of an outcome that are the favourable one; none where it does not occur.

    Raises:
        DataError: the column has more than two classes, or two of which none is the favourable one.
    """
    column = without_nan(source.table()[name])
    values = source.run(source.table().select(v=column).distinct().limit(MAX_GROUPS + 1))["v"].dropna()
    classes = sorted({outcome_name(value) for value in values})
    if len(classes) > 2 or (len(classes) == 2 and spelled(favourable) not in classes):
        raise DataError(
            f"column {name!r} needs two classes, one of them the favourable outcome {favourable!r} ({told_values(classes, len(classes))})",
            where=source.shown,
            hint="Correct columns.favourable_outcome, or check which column is declared",
        )
    chosen = values[[outcome_name(value) == spelled(favourable) for value in values]]
    return [value.item() if hasattr(value, "item") else value for value in chosen]


def usable_weight(source: TableSource, weight: str) -> Any:
    """The weight as a number; null where it is not a finite one above 0.

    Raises:
        DataError: the column is not there or not numeric.
    """
    import ibis

    source.require(weight)
    column = source.table()[weight]
    if not column.type().is_numeric():
        raise DataError(f"weight column {weight!r} is not numeric ({column.type()})", where=source.shown, hint="Name a column of weights")
    number = without_nan(column.cast("float64"))
    return ibis.ifelse((number > 0) & ~number.isinf(), number, ibis.null("float64"))


def group_key(table: Any, name: str, bins: Mapping[str, tuple[float, ...]]) -> Any:
    """The raw value, or for a binned column the number of its bin (-1 outside, null when missing)."""
    import ibis

    column = without_nan(table[name])
    if name not in bins:
        return column
    edges = [float(edge) for edge in bins[name]]
    branches = [((column >= left) & (column < right), position) for position, (left, right) in enumerate(pairwise(edges))]
    return ibis.cases((column.isnull(), ibis.null("int64")), *branches, else_=-1)


def without_nan(column: Any) -> Any:
    """A NaN is a missing value, whatever the file calls it."""
    import ibis

    return column.isnan().ifelse(ibis.null(column.type()), column) if column.type().is_floating() else column


def named_groups(found: pd.DataFrame, names: Sequence[str], bins: Mapping[str, tuple[float, ...]]) -> dict[str, Any]:
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
    weight: str | None,
) -> pd.DataFrame:
    import pandas as pd

    frame = named_groups(found, names, bins)
    frame["label"] = as_outcome(found["y"], favourable) if label is not None else pd.array([pd.NA] * len(found), dtype="Int64")
    frame["prediction"] = as_outcome(found["p"], favourable)
    frame["count"] = found["n"].astype("int64")
    summed = ["count"]
    if weight is not None:
        bad = int(found["bad"].sum())
        if bad:
            raise DataError(
                f"weight column {weight!r} is not a finite number above 0 in {bad:,} rows", where=source.shown, hint="Give every row a weight"
            )
        frame |= {"weight": found["w"].astype(float), "weight_squares": found["q"].astype(float)}
        summed += ["weight", "weight_squares"]
    counts = pd.DataFrame(frame)
    undecided = int(counts.loc[counts["prediction"].isna(), "count"].sum())
    if undecided:
        raise DataError(f"column {prediction!r} has no decision in {undecided:,} rows", where=source.reference, hint="Give every row a decision")
    # different raw values can carry one name (1 and 1.0 cannot meet in one column, null and NaN can)
    counts = counts.groupby([*names, "label", "prediction"], dropna=False, sort=True)[summed].sum().reset_index()
    for name in summed[1:]:
        counts[name] = [float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in counts[name]]  # engines add in parallel
    return counts.astype({"prediction": "int64", "label": "Int64"}).reset_index(drop=True)
