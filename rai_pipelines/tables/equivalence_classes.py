"""Equivalence classes over quasi-identifiers: how many rows look alike, and how varied their sensitive values are.

Counted by GROUP BY quasi-identifiers x sensitive attribute, in passes of bounded size. Null is a value of its own: a record that lacks a field
looks like others that lack it. Only class sizes, counts and ranks leave the engine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rai_pipelines.errors import DataError
from rai_pipelines.tables.class_diversity import Diversity, class_diversity
from rai_pipelines.tables.class_partitions import passes
from rai_pipelines.tables.profile import comparable

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from rai_pipelines.tables.source import TableSource


@dataclass(frozen=True)
class EquivalenceClasses:
    """Sizes of the classes as (size, number of classes), smallest first, and the diversity of each sensitive attribute."""

    rows: int
    classes: int
    sizes: tuple[tuple[int, int], ...]
    diversity: Mapping[str, Diversity]

    @property
    def k(self) -> int:
        """Size of the smallest class."""
        return self.sizes[0][0]

    @property
    def unique_rows(self) -> int:
        """Rows that are alone in their class."""
        return self.sizes[0][1] if self.k == 1 else 0

    def rows_above_risk(self, risk: float) -> int:
        """Rows whose prosecutor risk, 1 / size of their class, is above `risk`."""
        return sum(size * count for size, count in self.sizes if 1 / size > risk)

    def rows_below(self, k: int) -> int:
        """Rows in classes smaller than `k`."""
        return sum(size * count for size, count in self.sizes if size < k)


def equivalence_classes(
    source: TableSource,
    quasi_identifiers: Sequence[str],
    sensitive: Sequence[str] = (),
    *,
    categorical: Sequence[str] = (),
    inference_share: float = 0.9,
) -> EquivalenceClasses:
    """The equivalence classes of the table over `quasi_identifiers`.

    Distance for t-closeness: numbers have the earth mover's distance with ordered ground distance |i - j| / (m - 1) over the m distinct
    values of the table, null after the highest; all else, and the columns in `categorical` (numbers that are codes), have equal ground
    distance, where it is the total variation distance. Works in integers up to the last division, so that it does not depend on row order.

    `inference_share` is the share of one value from which the rows of a class count as inferred (in thousandths).

    Sources: Sweeney 2002 (k-anonymity); those of the diversity measures stand in `class_diversity`.

    Raises:
        DataError: no quasi-identifier is given, the table is empty, a column is not there or plays both parts, or the engine refuses.
    """
    quasi = tuple(dict.fromkeys(quasi_identifiers))
    attributes = tuple(dict.fromkeys(sensitive))
    where = source.reference.rsplit("@", 1)[-1]
    if not quasi:
        raise DataError("no quasi-identifiers are given", where=where, hint="Name the columns that an attacker may know")
    source.require(*quasi, *attributes)
    both = [name for name in attributes if name in quasi]
    if both:
        raise DataError(f"{', '.join(map(repr, both))} cannot be quasi-identifier and sensitive at once", where=where, hint="Choose one part for it")
    rows = source.count_rows()
    sizes = class_sizes(source, comparable(source, quasi), rows)
    return EquivalenceClasses(
        rows=rows,
        classes=sum(count for _, count in sizes),
        sizes=sizes,
        diversity={
            name: class_diversity(source, quasi, name, rows, is_code=name in categorical, inference_share=inference_share) for name in attributes
        },
    )


def class_sizes(source: TableSource, table: ir.Table, rows: int) -> tuple[tuple[int, int], ...]:
    """(size, number of classes) over all columns of `table`, whose columns are ready for GROUP BY; smallest first."""
    found: Counter[int] = Counter()
    for part in passes(source, table, table.columns, rows):
        classes = part.group_by(list(table.columns)).aggregate(size=part.count())
        counted = source.run(classes.group_by("size").aggregate(classes=classes.count()))
        for size, count in zip(counted["size"], counted["classes"], strict=True):
            found[int(size)] += int(count)
    return tuple(sorted(found.items()))
