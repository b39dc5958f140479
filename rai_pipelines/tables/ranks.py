"""The exact area under the ROC curve, which needs every score in order: sorted in the engine, which spills.

Only whole numbers leave it, so that the figure does not depend on the order of a parallel sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rai_pipelines.errors import DataError
from rai_pipelines.tables.contingency import as_outcome, without_nan
from rai_pipelines.tables.source import TableSource

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class ExactAuc:
    """Area under the ROC curve with ties counted half; None when one class is absent."""

    value: float | None
    positives: int
    negatives: int


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
