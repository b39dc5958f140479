"""How varied a sensitive attribute is within equivalence classes: the worst class for every measure, reduced inside the engine.

The reduction runs over cells (class x value that occurs) in passes of bounded size. Counts are integers up to the last division, so nothing
depends on the order of rows. Null is a value of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rai_pipelines.tables.class_partitions import passes
from rai_pipelines.tables.ordered_distance import ordered_distances
from rai_pipelines.tables.profile import comparable, kind_of, whole

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import numpy as np

    from rai_pipelines.tables.source import TableSource

Distance = Literal["total_variation", "ordered_emd"]

DECIMALS = 12  # of a share or distance; parallel engines and libraries differ beyond
MANY_VALUES = 200_000  # ranks that are told apart; more are merged into equally wide blocks
INFERENCE_PARTS = 1000  # the inference share's limit is kept in thousandths, so that it is compared in integers
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Diversity:
    """The least varied class, per measure, for one sensitive attribute. Shares are of the rows of a class.

    `values`: distinct values in the table. `distinct_minimum`: fewest distinct values in a class (distinct l-diversity).
    `entropy_l`: exp of the least entropy of a class, in 1..values (entropy l-diversity). `closeness`: largest distance between a class and the
    whole table, in 0..1 (t-closeness), measured as `distance` says; when there are too many values to tell all ranks apart it is an upper
    bound, at most `closeness_slack` above the exact figure. `alpha`: largest share of one value in a class ((alpha,k)-anonymity).
    `recursive_c`: by l = 2 and 3, the bound above which every c makes the table recursively (c,l)-diverse; None when no c does.
    `beta`: largest relative gain (q - p) / p of a value's share in a class over its share in the table (basic beta-likeness).
    `beta_enhanced`: the same where q - p <= min(beta, -ln p) p holds for some beta, otherwise None (enhanced beta-likeness).
    `delta_present`: largest |ln(q / p)| over values that a class has. `delta`: the same when every class has every value, otherwise None, since
    the definition counts absent values and their logarithm is infinite (delta-disclosure privacy). `inferred_rows`: rows in classes where one
    value has at least the share asked for.
    """

    attribute: str
    values: int
    distinct_minimum: int
    entropy_l: float
    closeness: float
    distance: Distance
    alpha: float
    recursive_c: Mapping[int, float | None]
    beta: float
    beta_enhanced: float | None
    delta: float | None
    delta_present: float
    inferred_rows: int
    closeness_slack: float = 0.0


def class_diversity(
    source: TableSource, quasi: Sequence[str], attribute: str, rows: int, *, is_code: bool = False, inference_share: float = 0.9
) -> Diversity:
    """Diversity of `attribute` over the classes of `quasi`; `rows` is the row count of the table, `is_code` says that its numbers have no order.

    Sources: Wong et al. 2006 ((alpha,k)-anonymity), Machanavajjhala et al. 2007 (distinct, entropy, recursive l-diversity), Li et al. 2007
    (t-closeness), Cao and Karras 2012 (beta-likeness), Brickell and Shmatikov 2008 (delta-disclosure).

    Raises:
        DataError: the engine refuses.
    """
    table = comparable(source, (*quasi, attribute)).rename(s=f"c{len(quasi)}")
    keys = [f"c{index}" for index in range(len(quasi))]
    values = table.group_by("s").aggregate(value_rows=table.count().cast("int64"))
    figures = source.run(values.aggregate(values=values.count(), nulls=values.value_rows.sum(where=values.s.isnull()))).iloc[0]
    distinct, nulls = int(figures["values"]), whole(figures["nulls"])
    worst = _Worst()
    ordered = kind_of(source.table().schema()[attribute]) == "numeric" and not is_code and distinct > 1
    width = -(-distinct // MANY_VALUES)
    ranks = _ranks(values, width) if ordered else values
    marginal = _marginal(source, ranks) if ordered else None
    for part in passes(source, table, keys, rows, groups_by=["s"]):
        grouped = part.group_by([*keys, "s"]).aggregate(n=part.count().cast("int64"))
        cells = grouped.left_join(ranks.rename(value="s"), grouped.s == ranks.rename(value="s").value)
        cells = cells.mutate(value_rows=cells.value_rows.fill_null(nulls)).drop("value")
        worst.add(source.run(_worst_classes(cells, keys, rows, round(inference_share * INFERENCE_PARTS))).iloc[0].to_dict())
        if marginal is not None:
            worst.distance = max(worst.distance, _largest_ordered_distance(source, cells, keys, marginal))
    closeness, slack = worst.figures["variation"], 0.0
    if marginal is not None:
        slack = 2 * (width - 1) / (distinct - 1)
        closeness = min(1.0, worst.distance * (len(marginal) - 1) * width / (distinct - 1) + slack)
    return worst.diversity(attribute, distinct, closeness=closeness, distance="ordered_emd" if ordered else "total_variation", slack=2 * slack)


@dataclass
class _Worst:
    """The worst class so far, over passes."""

    figures: dict[str, float]
    distance: float = 0.0
    inferred: int = 0

    def __init__(self) -> None:
        self.figures = {}

    def add(self, found: Mapping[str, Any]) -> None:
        if not math.isfinite(found["entropy"] if found["entropy"] is not None else math.nan):
            return  # a pass to which no class fell
        self.inferred += whole(found["inferred"])
        for name, value in found.items():
            if name == "inferred" or value is None or math.isnan(value):
                continue
            better = min if name in {"distincts", "entropy", "lowest"} else max
            self.figures[name] = better(self.figures.get(name, float(value)), float(value))

    def diversity(self, attribute: str, values: int, *, closeness: float, distance: Distance, slack: float) -> Diversity:
        figures = self.figures
        fewest = int(figures["distincts"])
        delta = max(abs(math.log(figures["highest"])), abs(math.log(figures["lowest"])))
        beta = _rounded(max(0.0, figures["highest"] - 1))
        return Diversity(
            attribute=attribute,
            values=values,
            distinct_minimum=fewest,
            entropy_l=round(math.exp(max(0.0, figures["entropy"])), 9),
            closeness=_rounded(closeness),
            distance=distance,
            alpha=_rounded(figures["alpha"]),
            recursive_c={wanted: _rounded(figures[f"c{wanted}"]) if fewest >= wanted else None for wanted in (2, 3)},
            beta=beta,
            beta_enhanced=beta if figures["excess"] <= TOLERANCE else None,
            delta=_rounded(delta) if fewest == values else None,
            delta_present=_rounded(delta),
            inferred_rows=self.inferred,
            closeness_slack=_rounded(slack),
        )


def _worst_classes(cells: ir.Table, keys: Sequence[str], rows: int, inference_parts: int) -> ir.Table:
    """One row: the worst class of the cells, per measure."""
    import ibis

    window = ibis.window(group_by=list(keys))
    cells = cells.mutate(class_rows=cells.n.sum().over(window).cast("int64"), most=cells.n.max().over(window))
    # Over the values present in a class: |n/N - V/T| - V/T, times N*T; the absent ones add V/T each, together NT - sum(VN).
    gap = (cells.n * rows - cells.value_rows * cells.class_rows).abs() - cells.value_rows * cells.class_rows
    number = cells.n.cast("float64")
    gain = (cells.n * rows).cast("float64") / (cells.value_rows * cells.class_rows).cast("float64")
    surprise = (ibis.literal(float(rows)) / cells.value_rows.cast("float64")).ln()
    measured = cells.mutate(gap=gap, information=number * number.ln(), gain=gain, excess=gain - 1 - surprise)
    classes = measured.group_by(keys).aggregate(
        distincts=measured.count(),
        size=measured.n.sum().cast("int64"),
        gaps=measured.gap.sum().cast("int64"),
        information=measured.information.sum(),
        most=measured.most.max(),
        ties=(measured.n == measured.most).sum().cast("int64"),
        below=measured.n.max(where=measured.n < measured.most).fill_null(0),
        highest=measured.gain.max(),
        lowest=measured.gain.min(),
        excess=measured.excess.max(),
    )
    size, most = classes["size"].cast("float64"), classes.most.cast("float64")
    after_first = classes["size"] - classes.most
    after_second = after_first - ibis.ifelse(classes.ties > 1, classes.most, classes.below)
    return classes.aggregate(
        distincts=classes.distincts.min(),
        entropy=(size.ln() - classes.information / size).min(),
        variation=((classes.gaps + classes["size"] * rows).cast("float64") / (size * rows) / 2).max(),
        alpha=(most / size).max(),
        c2=(most / after_first.nullif(0).cast("float64")).max(),
        c3=(most / after_second.nullif(0).cast("float64")).max(),
        highest=classes.highest.max(),
        lowest=classes.lowest.min(),
        excess=classes.excess.max(),
        inferred=classes["size"].sum(where=classes.most * INFERENCE_PARTS >= classes["size"] * inference_parts),
    )


def _ranks(values: ir.Table, width: int) -> ir.Table:
    """Values with their rank in ascending order, null last; of blocks of `width` ranks where there are too many."""
    import ibis

    numbered = values.mutate(rank=ibis.row_number().over(ibis.window(order_by=values.s.asc(nulls_first=False))).cast("int64"))
    return numbered.mutate(rank=(numbered["rank"] // width).cast("int64")) if width > 1 else numbered


def _marginal(source: TableSource, ranks: ir.Table) -> np.ndarray:
    """Rows of the table per rank, shape (ranks,)."""
    by_rank = ranks.group_by("rank").aggregate(n=ranks.value_rows.sum().cast("int64"))
    found: np.ndarray = source.run(by_rank.order_by("rank"))["n"].to_numpy(dtype="int64")
    return found


def _largest_ordered_distance(source: TableSource, cells: ir.Table, keys: Sequence[str], marginal: np.ndarray) -> float:
    """The largest ordered earth mover's distance of a class to the table, over ranks.

    What leaves the engine is, per cell and ordered by class and rank: whether it starts a class, its rank, its rows (17 bytes a cell).
    """
    import ibis
    import numpy as np

    last = len(marginal) - 1  # of null, which no join meets
    ranked = cells.mutate(rank=cells["rank"].fill_null(last))
    ranked = ranked.group_by([*keys, "rank"]).aggregate(n=ranked.n.sum().cast("int64"))
    first = ibis.row_number().over(ibis.window(group_by=list(keys), order_by=ranked["rank"])) == 0
    frame = source.run(ranked.mutate(first=first).order_by([*keys, "rank"]).select("first", "rank", "n"))
    if not len(frame):
        return 0.0
    starts = np.flatnonzero(frame["first"].to_numpy(dtype=bool))
    ranks, counts = frame["rank"].to_numpy(dtype=np.int64), frame["n"].to_numpy(dtype=np.int64)
    return float(ordered_distances(starts, ranks, counts, marginal).max())


def _rounded(value: float) -> float:
    return round(float(value), DECIMALS)
