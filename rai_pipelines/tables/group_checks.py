"""Refuse what cannot be a group or an outcome, in words that say which column and what to do; no value of many is repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rai_pipelines.errors import DataError
from rai_pipelines.tables.group_keys import without_nan
from rai_pipelines.tables.group_names import JOIN, SHOWN_VALUES, outcome_name, spelled, told_values
from rai_pipelines.tables.source import TableSource

if TYPE_CHECKING:
    import pandas as pd

MAX_GROUPS = 1_000  # more distinct values than this are an amount, not a group
PREFIX_ROWS = 50_000  # rows on which it is tried whether the columns can be counted at all
RESERVED = ("label", "prediction", "count", "weight", "weight_squares", "units")


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


def looks_countable(source: TableSource, unbinned: Sequence[str], outcomes: Sequence[str]) -> bool:
    """Whether the first rows hold few enough values to group all rows; cheap, so that a key that is no group is not counted first."""
    table = source.table().limit(PREFIX_ROWS)
    figures = {f"d{position}": without_nan(table[name]).nunique() for position, name in enumerate([*unbinned, *outcomes])}
    distinct = source.run(table.aggregate(**figures)).iloc[0].to_list()
    return all(number <= MAX_GROUPS for number in distinct[: len(unbinned)]) and all(number <= 2 for number in distinct[len(unbinned) :])


def has_too_many_values(
    found: pd.DataFrame, names: Sequence[str], bins: Mapping[str, tuple[float, ...]], outcomes: Sequence[str], favourable: str
) -> bool:
    """Whether what was counted breaks a rule that `check_distinct_values` can put into words."""
    if any(found[f"a{position}"].nunique() > MAX_GROUPS for position, name in enumerate(names) if name not in bins):
        return True
    classes = [{outcome_name(value) for value in found[key].dropna().unique()} for key in ("p", "y")[: len(outcomes)]]
    return (
        any(len(seen) > 2 or (len(seen) == 2 and spelled(favourable) not in seen) for seen in classes)
        or len(set().union(*classes)) > 2
        or (len(set().union(*classes)) == 2 and spelled(favourable) not in set().union(*classes))
    )


def check_distinct_values(source: TableSource, unbinned: Sequence[str], outcomes: Sequence[str], favourable: str) -> None:
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
