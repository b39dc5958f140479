"""Equivalence classes over quasi-identifiers: how many rows look alike, and how varied their sensitive values are.

Counted by GROUP BY quasi-identifiers x sensitive attribute. Null is a value of its own: a record that lacks a field looks like others
that lack it. Only class sizes, counts and ranks leave the engine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rai_pipelines.errors import DataError
from rai_pipelines.tables.profile import comparable, kind_of

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import numpy as np

    from rai_pipelines.tables.source import TableSource

Distance = Literal["total_variation", "ordered_emd"]

DECIMALS = 12  # of a distance; parallel engines and libraries differ beyond


@dataclass(frozen=True)
class Diversity:
    """The least varied class, per measure, for one sensitive attribute.

    `values`: distinct values in the table. `distinct_minimum`: fewest distinct values in a class (distinct l-diversity).
    `entropy_l`: exp of the least entropy of a class, in 1..values (entropy l-diversity). `closeness`: largest distance between a class and the
    whole table, in 0..1 (t-closeness), measured as `distance` says.
    """

    attribute: str
    values: int
    distinct_minimum: int
    entropy_l: float
    closeness: float
    distance: Distance


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

    def rows_below(self, k: int) -> int:
        """Rows in classes smaller than `k`."""
        return sum(size * count for size, count in self.sizes if size < k)


def equivalence_classes(
    source: TableSource, quasi_identifiers: Sequence[str], sensitive: Sequence[str] = (), *, categorical: Sequence[str] = ()
) -> EquivalenceClasses:
    """The equivalence classes of the table over `quasi_identifiers`.

    Distance for t-closeness: numbers have the earth mover's distance with ordered ground distance |i - j| / (m - 1) over the m distinct
    values of the table, null after the highest; all else, and the columns in `categorical` (numbers that are codes), have equal ground
    distance, where it is the total variation distance. Works in integers up to the last division, so that it does not depend on row order.

    Sources: Sweeney 2002 (k-anonymity), Machanavajjhala et al. 2007 (l-diversity), Li, Li and Venkatasubramanian 2007 (t-closeness).

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
    table = comparable(source, quasi)
    classes = table.group_by(list(table.columns)).aggregate(size=table.count())
    counted = source.run(classes.group_by("size").aggregate(classes=classes.count()).order_by("size"))
    sizes = tuple((int(size), int(count)) for size, count in zip(counted["size"], counted["classes"], strict=True))
    return EquivalenceClasses(
        rows=rows,
        classes=sum(count for _, count in sizes),
        sizes=sizes,
        diversity={name: _diversity(source, quasi, name, rows, name in categorical) for name in attributes},
    )


def _diversity(source: TableSource, quasi: Sequence[str], attribute: str, rows: int, is_code: bool) -> Diversity:
    cells = _cells(source, quasi, attribute)
    keys = [f"c{index}" for index in range(len(quasi))]
    total = rows
    measured = cells.mutate(class_rows=cells.n.sum().over(_group(keys)), value_rows=cells.n.sum().over(_group(["s"])))
    # Over the values present in a class: |n/N - V/T| - V/T, times N*T; the absent ones add V/T each, together NT - sum(VN).
    gap = (measured.n * total - measured.value_rows * measured.class_rows).abs() - measured.value_rows * measured.class_rows
    number = measured.n.cast("float64")
    classes = measured.mutate(gap=gap, information=number * number.ln()).group_by(keys).aggregate(
        distincts=lambda t: t.count(), size=lambda t: t.n.sum(), gaps=lambda t: t.gap.sum(), information=lambda t: t.information.sum()
    )  # fmt: skip
    size = classes["size"].cast("float64")
    worst = classes.aggregate(
        distincts=classes.distincts.min(),
        entropy=(size.ln() - classes.information / size).min(),
        variation=((classes.gaps + classes["size"] * total).cast("float64") / (size * total) / 2).max(),
    )
    row = source.run(worst).iloc[0]
    marginal = _marginal(source, cells)
    ordered = kind_of(source.table().schema()[attribute]) == "numeric" and not is_code and len(marginal) > 1
    return Diversity(
        attribute=attribute,
        values=len(marginal),
        distinct_minimum=int(row["distincts"]),
        entropy_l=round(math.exp(max(0.0, float(row["entropy"]))), 9),
        closeness=round(_largest_ordered_distance(source, cells, keys, marginal) if ordered else float(row["variation"]), DECIMALS),
        distance="ordered_emd" if ordered else "total_variation",
    )


def _cells(source: TableSource, quasi: Sequence[str], attribute: str) -> ir.Table:
    """One row per class and sensitive value that occurs: keys `c0`..., value `s`, rows `n`."""
    table = comparable(source, (*quasi, attribute))
    table = table.rename(s=f"c{len(quasi)}")
    return table.group_by(list(table.columns)).aggregate(n=table.count().cast("int64"))


def _group(keys: Sequence[str]) -> Any:
    import ibis

    return ibis.window(group_by=list(keys))


def _marginal(source: TableSource, cells: ir.Table) -> np.ndarray:
    """Rows per sensitive value in ascending order of the value, null last; shape (values,)."""
    values = cells.group_by("s").aggregate(n=cells.n.sum().cast("int64"))
    found: np.ndarray = source.run(values.order_by(values.s.asc(nulls_first=False)).select("n"))["n"].to_numpy(dtype="int64")
    return found


def _largest_ordered_distance(source: TableSource, cells: ir.Table, keys: Sequence[str], marginal: np.ndarray) -> float:
    """The largest ordered earth mover's distance of a class to the table, normalised to 0..1.

    What leaves the engine is, per cell and ordered by class and rank: whether it starts a class, its rank, its rows (17 bytes a cell).
    """
    import ibis
    import numpy as np

    by_value = ibis.window(order_by=cells.s.asc(nulls_first=False))
    ranked = cells.mutate(rank=ibis.dense_rank().over(by_value).cast("int64"))
    first = ibis.row_number().over(ibis.window(group_by=list(keys), order_by=ranked["rank"])) == 0
    frame = source.run(ranked.mutate(first=first).order_by([*keys, "rank"]).select("first", "rank", "n"))
    starts = np.flatnonzero(frame["first"].to_numpy(dtype=bool))
    ranks, counts = frame["rank"].to_numpy(dtype=np.int64), frame["n"].to_numpy(dtype=np.int64)
    return float(_ordered_distances(starts, ranks, counts, marginal).max())


def _ordered_distances(starts: np.ndarray, ranks: np.ndarray, counts: np.ndarray, marginal: np.ndarray) -> np.ndarray:
    """Ordered EMD of each class; `starts` index the first of its (rank, count) pairs. Shape (classes,).

    EMD = sum over ranks i < m of |F_i - G_i| / (m - 1), with F and G the cumulative shares of class and table (Li et al. 2007, section 4.1).
    F is constant from one present rank to the next and G ascends, so each such stretch is split where G crosses F and both parts are
    differences of the running sum of G: the cost does not grow with the number of absent values.
    """
    import numpy as np

    m = len(marginal)
    table = np.cumsum(marginal)[:-1] / marginal.sum()  # G at ranks 0..m-2
    running = np.concatenate([[0.0], np.cumsum(table)])
    sizes = np.add.reduceat(counts, starts)
    ends = np.append(starts[1:], len(counts))
    cumulative = np.cumsum(counts)
    before = np.repeat(cumulative[starts] - counts[starts], ends - starts)
    share = (cumulative - before) / np.repeat(sizes, ends - starts)
    following = np.append(ranks[1:], m - 1)
    following[ends - 1] = m - 1  # after the last present value F stays 1
    distance = np.add.reduceat(_stretch(share, np.minimum(ranks, m - 1), following, table, running), starts)
    distance += running[ranks[starts]]  # before the first present value F is 0 and the difference is G itself
    return np.asarray(distance / (m - 1))


def _stretch(share: np.ndarray, begin: np.ndarray, end: np.ndarray, table: np.ndarray, running: np.ndarray) -> np.ndarray:
    """Sum of |share - G_i| over begin <= i < end."""
    import numpy as np

    crossing = np.clip(np.searchsorted(table, share), begin, end)
    below = share * (crossing - begin) - (running[crossing] - running[begin])
    above = (running[end] - running[crossing]) - share * (end - crossing)
    return np.asarray(below + above)
