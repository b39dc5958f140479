"""Rows of equal features with different labels, counted in the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rai_pipelines.tables.profile import comparable, whole

if TYPE_CHECKING:
    from rai_pipelines.tables.source import TableSource


@dataclass(frozen=True)
class LabelConflicts:
    """`labelled` of the `rows` have a label; they fall into `classes` of equal features with `squares` the sum of squared class sizes.

    `conflicting` labelled rows are in classes with more than one label; `minority` rows have a label that is not the most frequent of theirs.
    """

    rows: int
    labelled: int
    classes: int
    squares: int
    conflicting: int
    minority: int


def label_conflicts(source: TableSource, features: Sequence[str], label: str) -> LabelConflicts:
    """Classes of equal `features` (null equals null) among the rows with a label.

    Raises:
        DataError: a column is not there, or the engine refuses.
    """
    source.require(*features, label)
    table = comparable(source, (*features, label)).rename(y=f"c{len(features)}")
    rows = int(source.run(table.count()))
    labelled = table.filter(table.y.notnull())
    keys = [f"c{position}" for position in range(len(features))]
    cells = labelled.group_by([*keys, "y"]).aggregate(n=labelled.count().cast("int64"))
    classes = cells.group_by(keys).aggregate(size=cells.n.sum().cast("int64"), labels=cells.count(), most=cells.n.max())
    size = classes["size"]
    figures = classes.aggregate(
        labelled=size.sum().cast("int64"),
        classes=classes.count(),
        squares=(size.cast("decimal(38, 0)") * size.cast("decimal(38, 0)")).sum().cast("string"),
        conflicting=size.sum(where=classes.labels > 1).cast("int64"),
        minority=(size - classes.most).sum().cast("int64"),
    )
    row = source.run(figures).iloc[0]
    squares = int(row["squares"].partition(".")[0]) if isinstance(row["squares"], str) else 0
    return LabelConflicts(rows, whole(row["labelled"]), whole(row["classes"]), squares, whole(row["conflicting"]), whole(row["minority"]))
