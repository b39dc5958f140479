"""The contingency table of an audit: GROUP BY (attributes x label x prediction), counted inside the engine in one scan.

Every group metric is a function of these counts, so nothing else of a big table has to leave its engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rai_pipelines.errors import DataError
from rai_pipelines.tables.group_checks import check_columns, check_distinct_values, has_too_many_values, looks_countable
from rai_pipelines.tables.group_keys import group_key, usable_weight, without_nan
from rai_pipelines.tables.group_names import as_outcome, named_groups
from rai_pipelines.tables.source import TableSource

if TYPE_CHECKING:
    import pandas as pd

MAX_CELLS = 2_000_000  # groups x outcomes that are brought to the audit
SIGNIFICANT_DIGITS = 12


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
    if not looks_countable(source, unbinned, outcomes):
        check_distinct_values(source, unbinned, outcomes, favourable)
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
    if len(found) == 0 or len(found) > MAX_CELLS or has_too_many_values(found, names, bins, outcomes, favourable):
        check_distinct_values(source, unbinned, outcomes, favourable)
    if len(found) > MAX_CELLS:
        raise DataError(f"the attributes make more than {MAX_CELLS:,} groups", where=source.shown, hint="Declare fewer attributes, or wider bins")
    return _as_counts(found, names, bins, source, label=label, prediction=prediction, favourable=favourable, weight=weight)


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
