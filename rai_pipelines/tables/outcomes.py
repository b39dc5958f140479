"""Counts for models that say more than yes or no: several classes, numbers, and scores without decisions. One scan each, in the engine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rai_pipelines.errors import DataError
from rai_pipelines.tables.contingency import MAX_CELLS
from rai_pipelines.tables.group_checks import check_columns, check_group_counts, favourable_values
from rai_pipelines.tables.group_keys import group_key, usable_weight, without_nan
from rai_pipelines.tables.group_names import MISSING, as_outcome, group_name, named_groups, told_values
from rai_pipelines.tables.source import TableSource

if TYPE_CHECKING:
    import pandas as pd

POWERS = 4  # of residuals: the fourth gives the standard error of the mean square
WEIGHTS = {"weight": "w", "weight_squares": "q"}
SUMS = ("r1", "r2", "r3", "r4", "p1", "p2")  # of powers of the residual and of the prediction
SIGNIFICANT_DIGITS = 12  # engines add in parallel


def count_classes(
    source: TableSource,
    *,
    attributes: Sequence[str],
    bins: Mapping[str, tuple[float, ...]],
    label: str | None,
    prediction: str,
    classes: Sequence[str],
    weight: str | None = None,
) -> pd.DataFrame:
    """Counts of rows by group, true class and predicted class.

    Returns:
        One row per occupied cell: the `attributes` and `prediction` as text, `label` as text or None where there is none, `count`; with
        `weight` also `weight` and `weight_squares`.

    Raises:
        DataError: the table is empty or lacks a column; a label or prediction is none of `classes`; a row has no prediction; a weight is
            not a finite number above 0; there are too many groups.
    """
    import pandas as pd

    names = list(dict.fromkeys(attributes))
    check_columns(source, names, bins, label, prediction)
    source.count_rows()
    table = source.table()
    keys = {f"a{position}": group_key(table, name, bins) for position, name in enumerate(names)}
    keys |= {"p": without_nan(table[prediction])} | ({} if label is None else {"y": without_nan(table[label])})
    chosen = table.select(**keys, **({} if weight is None else {"w": usable_weight(source, weight)}))
    figures: dict[str, Any] = {"n": chosen.count()}
    if weight is not None:
        figures |= {"w": chosen["w"].sum(), "q": (chosen["w"] * chosen["w"]).sum(), "bad": chosen["w"].isnull().sum()}
    found = source.run(chosen.group_by(list(keys)).aggregate(**figures).limit(MAX_CELLS + 1))
    check_group_counts(found, names, bins, source)
    if len(found) > MAX_CELLS:
        raise DataError(f"groups and classes make more than {MAX_CELLS:,} cells", where=source.shown, hint="Declare bins or fewer attributes")
    if weight is not None and int(found["bad"].sum()):
        raise DataError(f"weight column {weight!r} is not a finite number above 0 in {int(found['bad'].sum()):,} rows", where=source.shown)
    frame: dict[str, Any] = named_groups(found, names, bins)
    frame["prediction"] = [group_name(value) for value in found["p"]]
    frame["label"] = [group_name(value) for value in found["y"]] if label is not None else [MISSING] * len(found)
    frame["count"] = found["n"].astype("int64")
    if weight is not None:
        frame |= {name: [float(f"{float(value):.{SIGNIFICANT_DIGITS}g}") for value in found[key]] for name, key in WEIGHTS.items()}
    counts = pd.DataFrame(frame)
    _check_classes(counts, {"prediction": prediction, "label": label}, classes, source)
    counts["label"] = counts["label"].where(counts["label"] != MISSING, None)
    return counts.sort_values([*names, "label", "prediction"], na_position="first").reset_index(drop=True)


def one_vs_rest(counts: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """The table of `count_classes` as a table of `count_groups` in which `outcome` is the favourable one."""
    import pandas as pd

    label = pd.array([pd.NA if value is None or value != value else int(value == outcome) for value in counts["label"]], dtype="Int64")  # noqa: PLR0124 (NaN)
    return counts.assign(label=label, prediction=(counts["prediction"] == outcome).astype("int64"))


def count_above_median(
    source: TableSource, *, attributes: Sequence[str], bins: Mapping[str, tuple[float, ...]], label: str | None, score: str, favourable: str
) -> tuple[pd.DataFrame, float]:
    """The table of `count_groups` where a score above the median of all rows is the favourable decision; and the median.

    The median is exact: the engine sorts the scores (and spills when they do not fit).

    Raises:
        DataError: as `count_groups`; or a score is missing or not a finite number.
    """
    import ibis
    import pandas as pd

    names = list(dict.fromkeys(attributes))
    check_columns(source, names, bins, label, score)
    source.count_rows()
    table = source.table()
    if not table[score].type().is_numeric():
        raise DataError(f"score column {score!r} is not numeric ({table[score].type()})", where=source.shown, hint="Name a column of scores")
    if label is not None:
        favourable_values(source, label, favourable)  # refuses a label of other classes
    number = without_nan(table[score].cast("float64"))
    strange = int(source.run(ibis.ifelse(number.isnull() | number.isinf(), 1, 0).sum()))
    if strange:
        raise DataError(f"score column {score!r} has {strange:,} values that are not finite numbers", where=source.shown, hint="Score every row")
    median = float(source.run(number.median()))
    keys = {f"a{position}": group_key(table, name, bins) for position, name in enumerate(names)}
    keys |= {"p": ibis.ifelse(number > median, 1, 0)} | ({} if label is None else {"y": without_nan(table[label])})
    chosen = table.select(**keys)
    found = source.run(chosen.group_by(list(keys)).aggregate(n=chosen.count()).limit(MAX_CELLS + 1))
    check_group_counts(found, names, bins, source)
    if len(found) > MAX_CELLS:
        raise DataError(f"the attributes make more than {MAX_CELLS:,} groups", where=source.shown, hint="Declare fewer attributes, or wider bins")
    frame: dict[str, Any] = named_groups(found, names, bins)
    frame["label"] = as_outcome(found["y"], favourable) if label is not None else pd.array([pd.NA] * len(found), dtype="Int64")
    frame |= {"prediction": found["p"].astype("int64"), "count": found["n"].astype("int64")}
    return pd.DataFrame(frame).sort_values([*names, "label", "prediction"], na_position="first").reset_index(drop=True), median


def residual_moments(
    source: TableSource, *, attributes: Sequence[str], bins: Mapping[str, tuple[float, ...]], label: str, prediction: str
) -> pd.DataFrame:
    """Sums of powers of the residual (prediction minus label) and of the prediction, by group.

    Returns:
        One row per group: the `attributes` as text, `count` (rows), `labelled`, `r1`..`r4` (sums of powers of the residual over labelled
        rows), `p1`, `p2` (of the prediction less `centre`, over all rows); `centre`, about the mean of all predictions, keeps the digits of
        predictions that are large and alike.

    Raises:
        DataError: the table is empty, lacks a column, or label or prediction are not finite numbers where they are given; a row has no
            prediction.
    """
    import ibis
    import pandas as pd

    names = list(dict.fromkeys(attributes))
    check_columns(source, names, bins, label, prediction, reserved=("count", "labelled", "centre", *SUMS))
    source.count_rows()
    table = source.table()
    for name in (label, prediction):
        if not table[name].type().is_numeric():
            raise DataError(f"column {name!r} is not numeric ({table[name].type()})", where=source.shown, hint="A regression predicts numbers")
    keys = {f"a{position}": group_key(table, name, bins) for position, name in enumerate(names)}
    chosen = table.select(**keys, p=without_nan(table[prediction].cast("float64")), y=without_nan(table[label].cast("float64")))
    centre = source.run(chosen.p.mean(where=~chosen.p.isinf()))
    middle = float(f"{float(centre):.6g}") if centre is not None and centre == centre else 0.0  # noqa: PLR0124 (NaN)
    chosen = chosen.mutate(
        r=chosen.p - chosen.y, d=chosen.p - middle, strange=ibis.ifelse(chosen.p.isnull() | chosen.p.isinf() | chosen.y.isinf(), 1, 0)
    )
    powers = [(chosen.r, power) for power in range(1, POWERS + 1)] + [(chosen.d, power) for power in (1, 2)]
    sums = {name: _power(*term).sum().coalesce(0.0) for name, term in zip(SUMS, powers, strict=True)}
    aggregated = chosen.group_by(list(keys)).aggregate(count=chosen.count(), labelled=chosen.y.count(), strange=chosen.strange.sum(), **sums)
    found = source.run(aggregated.limit(MAX_CELLS + 1))
    check_group_counts(found, names, bins, source)
    if len(found) > MAX_CELLS:
        raise DataError(f"the attributes make more than {MAX_CELLS:,} groups", where=source.shown, hint="Declare fewer attributes, or wider bins")
    strange = int(found["strange"].sum())
    if strange:
        raise DataError(
            f"{strange:,} rows have no prediction, or an infinite one or label", where=source.shown, hint="Give every row a finite number"
        )
    moments = pd.DataFrame(named_groups(found, names, bins))
    for name in ("count", "labelled"):
        moments[name] = found[name].astype("int64")
    for name in sums:
        moments[name] = [float(f"{float(value):.{SIGNIFICANT_DIGITS}g}") for value in found[name]]
    moments["centre"] = middle
    return moments.sort_values(names).reset_index(drop=True)


@dataclass(frozen=True)
class SquaredErrors:
    """Sums over the labelled rows of one group (of the whole table: `attribute` and `group` None).

    `e1`, `e2`, `e4`: powers of the error (prediction minus label); `e_absolute`: of its size; `b1`, `b2`: powers of the squared deviation of the
    label from the mean of all labels; `e2_b1`: products of the squared error and the squared deviation.
    """

    attribute: str | None
    group: str | None
    rows: int
    e1: float
    e2: float
    e4: float
    e_absolute: float
    b1: float
    b2: float
    e2_b1: float


def squared_errors(
    source: TableSource, *, attributes: Sequence[str], bins: Mapping[str, tuple[float, ...]], label: str, prediction: str
) -> tuple[SquaredErrors, ...]:
    """The labelled rows as a whole, then by the groups of each attribute: two scans, whatever the number of attributes.

    Raises:
        DataError: as `residual_moments`.
    """
    residual_moments(source, attributes=attributes, bins=bins, label=label, prediction=prediction)  # refuses what is no finite number
    names = list(dict.fromkeys(attributes))
    check_columns(source, names, bins, label, prediction)
    table = source.table()
    keys = {f"a{position}": group_key(table, name, bins) for position, name in enumerate(names)}
    rows = table.select(**keys, p=table[prediction].cast("float64"), y=without_nan(table[label].cast("float64")))
    rows = rows.filter(rows.y.notnull())
    mean = source.run(rows.y.mean())
    if mean is None or mean != mean:  # noqa: PLR0124 (NaN)
        return (SquaredErrors(None, None, 0, *[0.0] * 7),)
    rows = rows.mutate(e=rows.p - rows.y, d=rows.y - float(f"{float(mean):.9g}"))  # what the digits behind change is of second order
    rows = rows.mutate(b=rows.d * rows.d)
    sums = {"e1": rows.e, "e2": rows.e * rows.e, "e4": _power(rows.e, 4), "e_absolute": rows.e.abs(), "b1": rows.b, "b2": rows.b * rows.b}
    sums["e2_b1"] = rows.e * rows.e * rows.b
    figures = {name: value.sum() for name, value in sums.items()}
    counted = rows.group_by(list(keys)).aggregate(rows=rows.count(), **figures) if keys else rows.aggregate(rows=rows.count(), **figures)
    found = source.run(counted.limit(MAX_CELLS + 1))
    if len(found) > MAX_CELLS:
        raise DataError(f"the attributes make more than {MAX_CELLS:,} groups", where=source.shown, hint="Declare fewer attributes, or wider bins")
    made = [_summed(None, None, found)]
    for name, groups in named_groups(found, names, bins).items():
        own = found.assign(group=list(groups))
        made += [_summed(name, str(group), part) for group, part in own.groupby("group", sort=True)]
    return tuple(made)


def _summed(attribute: str | None, group: str | None, found: pd.DataFrame) -> SquaredErrors:
    sums = [math.fsum(found[name]) for name in ("e1", "e2", "e4", "e_absolute", "b1", "b2", "e2_b1")]
    return SquaredErrors(attribute, group, int(found["rows"].sum()), *(float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in sums))


def _power(column: Any, power: int) -> Any:
    value = column
    for _ in range(power - 1):
        value = value * column
    return value


def _check_classes(counts: pd.DataFrame, columns: Mapping[str, str | None], classes: Sequence[str], source: TableSource) -> None:
    for part, name in columns.items():
        strange = sorted(set(counts[part]) - set(classes) - {MISSING})
        if strange and name is not None:
            raise DataError(
                f"column {name!r} has values that are none of the declared classes ({told_values(strange, len(strange))})",
                where=source.shown,
                hint=f"columns.classes declares {', '.join(map(repr, classes))}",
            )
    undecided = int(counts.loc[counts["prediction"] == MISSING, "count"].sum())
    if undecided:
        raise DataError(
            f"column {columns['prediction']!r} has no decision in {undecided:,} rows", where=source.shown, hint="Give every row a decision"
        )
