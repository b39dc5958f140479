"""What needs every score in order: exact areas under the ROC curve, overall and by group, with the sums behind calibration and Brier score.

The engine sorts, and spills. A row per group leaves it; ranks are whole numbers, so that no area depends on the order of a parallel sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rai_pipelines.errors import DataError
from rai_pipelines.tables.group_checks import check_columns, favourable_values
from rai_pipelines.tables.group_keys import group_key, without_nan
from rai_pipelines.tables.group_names import named_groups
from rai_pipelines.tables.source import TableSource

if TYPE_CHECKING:
    import ibis.expr.types as ir

SIGNIFICANT_DIGITS = 12  # of sums of scores; engines add in parallel
POWERS = 4  # of the error: the fourth gives the standard error of the mean square


@dataclass(frozen=True)
class ExactAuc:
    """Area under the ROC curve with ties counted half; None when one class is absent."""

    value: float | None
    positives: int
    negatives: int


@dataclass(frozen=True)
class ScoredGroup:
    """The labelled rows of one group that have a score (of the whole table: `attribute` and `group` None).

    `errors` are the sums of (score minus outcome) to the powers one to four; `lowest` and `highest` are scores.
    """

    attribute: str | None
    group: str | None
    area: ExactAuc
    errors: tuple[float, ...]
    lowest: float
    highest: float

    @property
    def rows(self) -> int:
        """Labelled rows with a score."""
        return self.area.positives + self.area.negatives


def exact_auc(source: TableSource, *, score: str, label: str, favourable: str) -> ExactAuc:
    """The area under the ROC curve of all labelled rows with a score: the Mann-Whitney statistic over its largest value.

    Source: Mann and Whitney (1947); Bamber (1975), Journal of Mathematical Psychology 12, 387-415.

    Raises:
        DataError: a column is not there, the score is not numeric, or the label has other classes than two with the favourable one.
    """
    found = _of_groups(source, _labelled_scores(source, {}, score=score, label=label, favourable=favourable))
    return _area(found.iloc[0]) if len(found) else ExactAuc(None, 0, 0)


def score_groups(
    source: TableSource,
    *,
    attributes: Sequence[str],
    bins: Mapping[str, tuple[float, ...]],
    label: str,
    score: str,
    favourable: str,
    strict: bool = True,
) -> tuple[ScoredGroup, ...]:
    """The labelled rows as a whole, then by the groups of each attribute. Without `strict`, rows whose score is no finite number are left out.

    Raises:
        DataError: a column is not there, the score is not numeric, or the label has other classes; with `strict`, a labelled row has no finite score.
    """
    names = list(dict.fromkeys(attributes))
    check_columns(source, names, bins, label, score)
    table = source.table()
    rows = _labelled_scores(
        source,
        {f"a{position}": group_key(table, name, bins) for position, name in enumerate(names)},
        score=score,
        label=label,
        favourable=favourable,
        finite=True,
    )
    if strict:
        _check_scores(source, score, label)
    found = [_scored(None, None, row) for row in _of_groups(source, rows).to_dict("records")]
    for position, name in enumerate(names):
        counted = _of_groups(source, rows, f"a{position}")
        groups = named_groups(counted.rename(columns={f"a{position}": "a0"}), [name], bins)[name]
        found += sorted(
            (_scored(name, str(group), row) for group, row in zip(groups, counted.to_dict("records"), strict=True)), key=lambda item: str(item.group)
        )
    return tuple(found)


def _labelled_scores(source: TableSource, keys: Mapping[str, Any], *, score: str, label: str, favourable: str, finite: bool = False) -> ir.Table:
    """One row per key and distinct score: `p` favourable outcomes of `n`."""
    import ibis

    source.require(score, label)
    table = source.table()
    if not table[score].type().is_numeric():
        raise DataError(f"score column {score!r} is not numeric ({table[score].type()})", where=source.shown, hint="Name a column of scores")
    truth, number = without_nan(table[label]), without_nan(table[score].cast("float64"))
    if finite:
        number = ibis.ifelse(number.isinf(), ibis.null("float64"), number)
    good = favourable_values(source, label, favourable)
    rows = table.select(**keys, s=number, y=truth)
    rows = rows.filter(rows.s.notnull() & rows.y.notnull())
    positive = rows.y.isin(good) if good else ibis.literal(False)
    return (
        rows.mutate(p=ibis.ifelse(positive, 1, 0))
        .group_by([*keys, "s"])
        .aggregate(p=lambda t: t.p.sum().cast("int64"), n=lambda t: t.count().cast("int64"))
    )


def _check_scores(source: TableSource, score: str, label: str) -> None:
    import ibis

    table = source.table()
    number = without_nan(table[score].cast("float64"))
    unusable = int(source.run(ibis.ifelse(without_nan(table[label]).notnull() & (number.isnull() | number.isinf()), 1, 0).sum()) or 0)
    if unusable:
        message = f"score column {score!r} has {unusable:,} values that are not finite numbers"
        raise DataError(message, where=source.shown, hint="Score every labelled row")


def _of_groups(source: TableSource, counted: ir.Table, key: str | None = None) -> Any:
    """A row per group: twice the Mann-Whitney statistic (whole numbers also where ties count half), class sizes, and sums of errors."""
    import ibis

    keys = [key] if key is not None else []
    tied = counted.group_by([*keys, "s"]).aggregate(p=counted.p.sum().cast("int64"), n=counted.n.sum().cast("int64"))
    window = ibis.cumulative_window(order_by="s", group_by=keys or None)
    below = tied.mutate(q=tied.n - tied.p, before=(tied.n - tied.p).sum().over(window))
    sums: dict[str, Any] = {
        "twice": (below.p.cast("decimal(38, 0)") * (2 * below.before - below.q).cast("decimal(38, 0)")).sum().cast("string"),
        "positives": below.p.sum(),
        "negatives": below.q.sum(),
        "lowest": below.s.min(),
        "highest": below.s.max(),
    }
    for power in range(1, POWERS + 1):
        sums[f"e{power}"] = (below.p * _power(below.s - 1, power) + below.q * _power(below.s, power)).sum()
    return source.run(below.group_by(keys).aggregate(**sums) if keys else below.aggregate(**sums))


def _power(value: Any, power: int) -> Any:
    raised = value
    for _ in range(power - 1):
        raised = raised * value
    return raised


def _area(row: Any) -> ExactAuc:
    positives, negatives = (int(row[name]) if row[name] == row[name] and row[name] is not None else 0 for name in ("positives", "negatives"))
    if min(positives, negatives) == 0:
        return ExactAuc(None, positives, negatives)
    return ExactAuc(int(row["twice"]) / (2 * positives * negatives), positives, negatives)


def _scored(attribute: str | None, group: str | None, row: Mapping[str, Any]) -> ScoredGroup:
    area = _area(row)
    empty = area.positives + area.negatives == 0
    errors = tuple(0.0 if empty else float(f"{float(row[f'e{power}']):.{SIGNIFICANT_DIGITS}g}") for power in range(1, POWERS + 1))
    lowest, highest = (float("nan") if empty else float(row[name]) for name in ("lowest", "highest"))
    return ScoredGroup(attribute, group, area, errors, lowest, highest)
