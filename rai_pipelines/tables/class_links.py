"""Equivalence classes of one table met in another one: people who can be linked, and how many in the population look like a row.

Both tables are grouped where they lie and only counts travel, as in `overlap`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rai_pipelines.tables.overlap import in_one_engine, same_types, side
from rai_pipelines.tables.profile import whole

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from rai_pipelines.tables.source import TableSource

DECIMALS = 12


@dataclass(frozen=True)
class Links:
    """Of `rows` rows, `unique` are alone in their class; `linked` of these have a class that occurs in the other table, and `linked_uniquely` one
    that occurs there exactly once."""

    rows: int
    unique: int
    linked: int
    linked_uniquely: int


@dataclass(frozen=True)
class PopulationClasses:
    """Classes of a sample with size f, seen in a population with size F (El Emam 2013, chapter 16; F is at least f).

    `smallest`: least F. `matches`: sum over classes of f / F, the expected number of rows that an attacker matches correctly.
    `above`: rows of the sample in classes with 1 / F above the risk asked for. `population_rows`: sum of F over the classes of the sample.
    `short_classes`: classes of which the population has fewer rows than the sample, so that it cannot hold the sample.
    """

    rows: int
    classes: int
    smallest: int
    matches: float
    above: int
    population_rows: int
    short_classes: int


def unique_links(source: TableSource, other: TableSource, columns: Sequence[str]) -> Links:
    """How many rows of `source` that are unique on `columns` find that combination in `other`.

    Raises:
        DataError: a column is not there, or an engine refuses.
    """
    groups = _both(source, other, columns)
    unique = groups.filter(groups.in_left == 1)
    figures = unique.aggregate(unique=unique.count(), linked=(unique.in_right > 0).sum(), uniquely=(unique.in_right == 1).sum())
    row = source.run(figures).iloc[0]
    return Links(rows=source.count_rows(), unique=whole(row["unique"]), linked=whole(row["linked"]), linked_uniquely=whole(row["uniquely"]))


def population_classes(source: TableSource, population: TableSource, columns: Sequence[str], *, risk: float) -> PopulationClasses:
    """The classes of `source` on `columns` with their sizes in `population`; rows above `risk` are counted.

    Raises:
        DataError: a column is not there, a table is empty, or an engine refuses.
    """
    import ibis

    source.count_rows()
    population.count_rows()
    groups = _both(source, population, columns)
    met = groups.filter(groups.in_left > 0)
    met = met.mutate(population=ibis.greatest(met.in_left, met.in_right))
    counted = met.group_by(["in_left", "population"]).aggregate(classes=met.count(), short=(met.in_right < met.in_left).sum())
    frame = source.run(counted.order_by(["in_left", "population"]))
    rows, sizes, classes = (frame[name].to_numpy(dtype="int64") for name in ("in_left", "population", "classes"))
    return PopulationClasses(
        rows=int((rows * classes).sum()),
        classes=int(classes.sum()),
        smallest=int(sizes.min()),
        matches=round(float((rows / sizes * classes).sum()), DECIMALS),
        above=int((rows * classes)[1 / sizes > risk].sum()),
        population_rows=int((sizes * classes).sum()),
        short_classes=int(frame["short"].sum()),
    )


def _both(source: TableSource, other: TableSource, columns: Sequence[str]) -> ir.Table:
    """One row per combination in either table: its rows in `source` (`in_left`) and in `other` (`in_right`)."""
    source.require(*columns)
    other.require(*columns)
    here, there = same_types(*in_one_engine(source, other, columns))
    both = side(here, "in_left", "in_right").union(side(there, "in_right", "in_left"))
    keys = [name for name in both.columns if name not in {"in_left", "in_right"}]
    return both.group_by(keys).aggregate(in_left=both.in_left.sum().cast("int64"), in_right=both.in_right.sum().cast("int64"))
