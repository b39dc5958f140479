"""Figures that need every score in order: exact AUC, Kolmogorov-Smirnov distance and Wasserstein distance. Sorted in the engine, which spills.

Only the final figures leave it. Sums are of whole numbers, so that they do not depend on the order of a parallel sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rai_pipelines.errors import DataError
from rai_pipelines.tables.contingency import as_outcome, without_nan
from rai_pipelines.tables.source import TableSource

if TYPE_CHECKING:
    import ibis.expr.types as ir


@dataclass(frozen=True)
class ExactAuc:
    """Area under the ROC curve with ties counted half; None when one class is absent."""

    value: float | None
    positives: int
    negatives: int


@dataclass(frozen=True)
class TwoSamples:
    """Distances of the values of one column in two tables, with the values that were there."""

    ks: float
    wasserstein: float
    first: int
    second: int


def exact_auc(source: TableSource, *, score: str, label: str, favourable: str) -> ExactAuc:
    """The area under the ROC curve of all labelled rows with a score: the Mann-Whitney statistic over its largest value.

    Source: Mann and Whitney (1947); Bamber (1975), Journal of Mathematical Psychology 12, 387-415.

    Raises:
        DataError: a column is not there, or the score is not numeric.
    """
    import ibis

    source.require(score, label)
    table = source.table()
    if not table[score].type().is_numeric():
        raise DataError(f"score column {score!r} is not numeric ({table[score].type()})", where=source.shown, hint="Name a column of scores")
    truth = without_nan(table[label])
    values = source.run(table.select(v=truth).distinct())["v"].dropna()
    good = [value.item() if hasattr(value, "item") else value for value in values[(as_outcome(values, favourable) == 1).to_numpy(dtype=bool)]]
    rows = table.select(s=without_nan(table[score].cast("float64")), y=truth)
    rows = rows.filter(rows.s.notnull() & rows.y.notnull())
    positive = rows.y.isin(good) if good else ibis.literal(False)
    tied = (
        rows.mutate(p=ibis.ifelse(positive, 1, 0)).group_by("s").aggregate(p=lambda t: t.p.sum().cast("int64"), n=lambda t: t.count().cast("int64"))
    )
    below = tied.mutate(q=tied.n - tied.p, before=(tied.n - tied.p).sum().over(ibis.cumulative_window(order_by="s")))
    # twice the statistic: whole numbers also where ties count half
    twice = (below.p.cast("decimal(38, 0)") * (2 * below.before - below.q).cast("decimal(38, 0)")).sum()
    row = source.run(below.aggregate(twice=twice, positives=below.p.sum(), negatives=below.q.sum())).iloc[0]
    positives, negatives = (int(row[name] or 0) for name in ("positives", "negatives"))
    if min(positives, negatives) == 0:
        return ExactAuc(None, positives, negatives)
    return ExactAuc(int(row["twice"]) / (2 * positives * negatives), positives, negatives)


def two_samples(first: TableSource, second: TableSource, column: str) -> TwoSamples:
    """Largest and integrated distance of the two distribution functions of a numeric column; missing values are left out.

    Sources: Kolmogorov (1933), Smirnov (1939); Vallender (1974) for the
    Wasserstein distance in one dimension.

    Raises:
        DataError: the column is not there, not numeric, or empty in one table.
    """
    import ibis

    neighbour = second.beside(first)
    counts = []
    for source, name in ((first, "n1"), (second, "n2")):
        source.require(column)
        if not source.table()[column].type().is_numeric():
            raise DataError(f"column {column!r} is not numeric ({source.table()[column].type()})", where=source.shown, hint="Ranks need numbers")
        counts.append(_value_counts((neighbour if source is second and neighbour is not None else source).table(), column, name))
    if neighbour is None:  # across engines each side is counted where it lies, and its distinct values travel
        counts[1] = ibis.memtable(second.to_arrow(counts[1]))
    both = counts[0].outer_join(counts[1], "v")
    joined = both.select(v=ibis.coalesce(both.v, both.v_right), n1=both.n1.coalesce(0), n2=both.n2.coalesce(0))
    in_order = ibis.cumulative_window(order_by="v")
    running = joined.mutate(
        c1=joined.n1.sum().over(in_order), c2=joined.n2.sum().over(in_order), following=joined.v.lead().over(ibis.window(order_by="v"))
    )
    totals = running.aggregate(t1=running.n1.sum(), t2=running.n2.sum())
    row = first.run(totals).iloc[0]
    sizes = [int(row[name]) if row[name] == row[name] and row[name] is not None else 0 for name in ("t1", "t2")]
    if min(sizes) == 0:
        empty = first if sizes[0] == 0 else second
        raise DataError(f"column {column!r} has no value in the {empty.name} table", where=empty.shown, hint="Check the table")
    gap = (running.c1.cast("decimal(38, 0)") * sizes[1] - running.c2.cast("decimal(38, 0)") * sizes[0]).abs()
    wide = gap.cast("float64") * (running.following - running.v).coalesce(0.0)
    figures: Any = first.run(running.aggregate(ks=gap.max(), area=wide.sum())).iloc[0]
    scale = sizes[0] * sizes[1]
    return TwoSamples(int(figures["ks"]) / scale, float(f"{float(figures['area']) / scale:.12g}"), sizes[0], sizes[1])


def _value_counts(table: ir.Table, column: str, name: str) -> ir.Table:
    rows = table.select(v=without_nan(table[column].cast("float64")))
    rows = rows.filter(rows.v.notnull() & ~rows.v.isinf())
    return rows.group_by("v").aggregate(**{name: rows.count().cast("int64")})
