"""How to reach k and l: which columns to coarsen and how many rows to leave out, found greedily from counts and verified by a recount.

Global recoding with suppression. Loss is the non-uniform entropy of Gionis and Tassa 2009: the share of the information
in the quasi-identifiers that the coarser columns no longer hold. The search is greedy: another recoding may lose less.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.tables.equivalence_classes import EquivalenceClasses
from rai_pipelines.tables.generalisation import Generalisation, generalisations, generalised, is_category
from rai_pipelines.tables.profile import TableProfile, comparable, whole

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import numpy as np
    import pandas as pd

    from rai_pipelines.assessments.privacy.parameters import AnonymityParameters
    from rai_pipelines.tables.source import TableSource

METRICS = ("recoding_k", "recoding_suppressed_share", "recoding_information_loss")
CLASSES_IN_MEMORY = 200_000  # classes that the search handles; finer tables are first coarsened in the engine
DECIMALS = 9

Levels = tuple[int, ...]
Steps = Mapping[str, tuple[Generalisation, ...]]


@dataclass(frozen=True)
class _Recount:
    """What the engine counts under a recoding: smallest class kept, rows left out, fewest values of each sensitive attribute in a class kept."""

    k: int
    suppressed: int
    fewest: Mapping[str, int]


def measure_recoding(
    source: TableSource,
    figures: TableProfile,
    classes: EquivalenceClasses | None,
    quasi: Sequence[str],
    sensitive: Sequence[str],
    *,
    categorical: Sequence[str],
    parameters: AnonymityParameters,
) -> tuple[tuple[Measurement, ...], dict[str, Any]]:
    """`recoding_k`, `recoding_suppressed_share` and `recoding_information_loss` of a proposal, when k or l is below its target; else nothing.

    The proposal in `details["recoding"]` names columns, methods and parameters (bin widths, digits, shares), never values. Its figures are
    counted anew in the engine. A sensitive attribute with fewer values than `l_target` in the whole table cannot reach it and is left out.

    Raises:
        DataError: the engine refuses.
    """
    if classes is None:
        return (), {"recoding": {"needed": None}}
    wanted = tuple(name for name in sensitive if classes.diversity[name].values >= parameters.l_target)
    enough = all(classes.diversity[name].distinct_minimum >= parameters.l_target for name in wanted)
    if classes.k >= parameters.k_target and enough:
        return (), {"recoding": {"needed": False}}
    rows = classes.rows
    if rows < parameters.k_target:
        note = f"the table has {rows} rows, fewer than k = {parameters.k_target}"
        return tuple(Measurement(metric=metric, value=None, n=rows, state=State.UNAVAILABLE, note=note) for metric in METRICS), {
            "recoding": {"needed": True, "reason": note}
        }
    steps = generalisations(source, figures, quasi, categorical=categorical)
    base = _first_levels(source, figures, steps, classes.classes)
    search = _search_of(source, figures, steps, base, wanted, categorical=categorical, parameters=parameters)
    levels = search.prune(search.climb())
    chosen = [steps[name][level] for name, level in zip(quasi, levels, strict=True)]
    recount = _recount(source, chosen, wanted, parameters)
    loss = search.loss(levels)
    proposal = {
        "needed": True,
        "k_target": parameters.k_target,
        "l_target": parameters.l_target,
        "suppression_max": parameters.suppression_max,
        "columns": [{"column": step.column, "method": step.method, "parameter": step.parameter} for step in chosen],
        "k": recount.k,
        "rows_suppressed": recount.suppressed,
        "rows": rows,
        "l": dict(recount.fewest),
        "l_out_of_reach": [name for name in sensitive if name not in wanted],
        "information_loss": {name: round(search.loss_of(index, levels[index]), DECIMALS) for index, name in enumerate(quasi)},
        "optimal": False,
    }
    note = "of a greedy proposal, counted again on the recoded table"
    values = (recount.k, recount.suppressed / rows, round(loss, DECIMALS))
    return tuple(Measurement(metric=metric, value=value, n=rows, note=note) for metric, value in zip(METRICS, values, strict=True)), {
        "recoding": proposal
    }


@dataclass(frozen=True)
class _Search:
    """Classes at the finest levels, by code: `maps[column][level]` gives the code of a base value at a level (levels before the base have none)."""

    columns: tuple[np.ndarray, ...]  # base code of each class, shape (classes,) each
    counts: np.ndarray  # rows of each class
    maps: tuple[tuple[np.ndarray | None, ...], ...]
    losses: tuple[tuple[float, ...], ...]  # bits lost per column and level
    bits: tuple[float, ...]  # bits of each column as it is
    cells: tuple[tuple[np.ndarray, np.ndarray], ...]  # per sensitive attribute: class and value code of each cell
    base: Levels
    k: int
    l_wanted: int
    allowed: int

    def climb(self) -> Levels:
        """Coarsen one column by one step at a time, the one that settles most rows for the information it costs."""
        levels, open_rows = self.base, self.violating(self.base)
        while open_rows > self.allowed:
            best: tuple[float, Levels, int] | None = None
            for candidate in self._coarser(levels):
                rows = self.violating(candidate)
                cost = max(self.loss(candidate) - self.loss(levels), 1e-9)
                score = (open_rows - rows + 1) / cost
                if best is None or score > best[0]:
                    best = (score, candidate, rows)
            if best is None:
                break
            _, levels, open_rows = best
        return levels

    def prune(self, levels: Levels) -> Levels:
        """Take back steps that turn out not to be needed, the costliest column first."""
        order = sorted(range(len(levels)), key=lambda index: (-self.losses[index][levels[index]], index))
        for index in order:
            while levels[index] > self.base[index]:
                finer = (*levels[:index], levels[index] - 1, *levels[index + 1 :])
                if self.violating(finer) > self.allowed:
                    break
                levels = finer
        return levels

    def violating(self, levels: Levels) -> int:
        """Rows in classes that are too small or too uniform."""
        import numpy as np

        key = np.zeros(len(self.counts), dtype=np.int64)
        for column, maps, level in zip(self.columns, self.maps, levels, strict=True):
            codes = maps[level]
            assert codes is not None
            key = np.unique(key * (int(codes.max()) + 1) + codes[column], return_inverse=True)[1]
        sizes = np.bincount(key, weights=self.counts)
        bad = sizes < self.k
        for classes, values in self.cells:
            span = int(values.max()) + 1
            held = np.unique(key[classes] * span + values) // span
            bad |= np.bincount(held, minlength=len(sizes)) < self.l_wanted
        return int(sizes[bad].sum())

    def loss(self, levels: Levels) -> float:
        """Share of the columns' information that is lost, in 0..1."""
        total = sum(self.bits)
        return sum(self.losses[index][level] for index, level in enumerate(levels)) / total if total > 0 else 0.0

    def loss_of(self, index: int, level: int) -> float:
        """The same for one column."""
        return self.losses[index][level] / self.bits[index] if self.bits[index] > 0 else 0.0

    def _coarser(self, levels: Levels) -> list[Levels]:
        return [
            (*levels[:index], levels[index] + 1, *levels[index + 1 :]) for index in range(len(levels)) if levels[index] + 1 < len(self.maps[index])
        ]


def _first_levels(source: TableSource, figures: TableProfile, steps: Steps, classes: int) -> Levels:
    """The levels at which the table has few enough classes for memory: the column with most values is coarsened first."""
    names = list(steps)
    levels = [0] * len(names)
    distinct = [figures.columns[name].distincts for name in names]
    while classes > CLASSES_IN_MEMORY:
        index = max(range(len(names)), key=lambda at: (distinct[at] if levels[at] + 1 < len(steps[names[at]]) else -1, -at))
        levels[index] += 1
        table = generalised(source, [steps[name][level] for name, level in zip(names, levels, strict=True)])
        distinct[index] = int(source.run(table[f"c{index}"].nunique()))
        if math.prod(max(1, count) for count in distinct) <= CLASSES_IN_MEMORY:
            break
        classes = int(source.run(table.distinct().count()))
    return tuple(levels)


def _search_of(
    source: TableSource,
    figures: TableProfile,
    steps: Steps,
    base: Levels,
    sensitive: Sequence[str],
    *,
    categorical: Sequence[str],
    parameters: AnonymityParameters,
) -> _Search:
    import numpy as np
    import pandas as pd

    names = list(steps)
    texts = [is_category(source, figures.columns[name], is_code=name in categorical) for name in names]
    table = _as_text(generalised(source, [steps[name][level] for name, level in zip(names, base, strict=True)], sensitive), texts)
    keys = [f"c{index}" for index in range(len(names))]
    frame = source.run(table.group_by(keys).aggregate(n=table.count().cast("int64")))
    coded = [pd.factorize(frame[key].astype(object), use_na_sentinel=False) for key in keys]
    frame = frame.assign(**{f"k{index}": codes for index, (codes, _) in enumerate(coded)})
    order = np.lexsort([frame[f"k{index}"] for index in range(len(keys))])
    counts = frame["n"].to_numpy(dtype=np.int64)[order]
    columns = tuple(frame[f"k{index}"].to_numpy(dtype=np.int64)[order] for index in range(len(keys)))
    maps, losses, bits = [], [], []
    for index, name in enumerate(names):
        values = pd.Series(coded[index][1])
        own = tuple(step.codes(values) if level > base[index] else (np.arange(len(values)) if level == base[index] else None)
                    for level, step in enumerate(steps[name]))  # fmt: skip
        held = np.bincount(columns[index], weights=counts)
        told = _sum_n_ln_n(source, name)
        lost = [0.0 if codes is None else max(0.0, _n_ln_n(np.bincount(codes, weights=held)) - told) for codes in own]
        maps.append(own)
        losses.append(tuple(lost))
        rows = float(counts.sum())
        bits.append(max(0.0, rows * math.log(rows) - told))
    cells = tuple(
        _cells_of(source, table, keys, f"c{len(keys) + at}", coded=coded, columns=columns, most=parameters.l_target) for at in range(len(sensitive))
    )
    allowed = math.floor(parameters.suppression_max * int(counts.sum()))
    return _Search(
        columns, counts, tuple(maps), tuple(losses), tuple(bits), cells, base, k=parameters.k_target, l_wanted=parameters.l_target, allowed=allowed
    )


def _cells_of(
    source: TableSource,
    table: ir.Table,
    keys: Sequence[str],
    value: str,
    *,
    coded: Sequence[tuple[Any, Any]],
    columns: Sequence[np.ndarray],
    most: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Class (position in `columns`) and value code of each cell of one sensitive attribute; of a class at most `most` cells.

    A class with `most` values still has them when it is merged with others: more cells would not change whether a class has that many.
    """
    import ibis
    import numpy as np
    import pandas as pd

    distinct = table.select(*keys, value).distinct()
    place_in_class = ibis.row_number().over(ibis.window(group_by=list(keys), order_by=value))
    frame = source.run(distinct.mutate(place_in_class=place_in_class).filter(lambda row: row.place_in_class < most).drop("place_in_class"))
    known = pd.DataFrame({key: column for key, column in zip(keys, columns, strict=True)}).assign(position=np.arange(len(columns[0])))
    place = pd.DataFrame({key: _coded_as(frame[key], coded[index][1]) for index, key in enumerate(keys)})
    position = place.merge(known, on=list(keys), how="left", validate="many_to_one")["position"].to_numpy(dtype=np.int64)
    return position, pd.factorize(frame[value].astype(object), use_na_sentinel=False)[0]


def _coded_as(values: pd.Series, known: Any) -> Any:
    """Codes of `values` in the order of `known`; missing is a value."""
    import pandas as pd

    combined = pd.concat([pd.Series(known).astype(object), values.astype(object)], ignore_index=True)
    return pd.factorize(combined, use_na_sentinel=False)[0][len(known) :]


def _as_text(table: ir.Table, texts: Sequence[bool]) -> ir.Table:
    """Categories as text, so that merged and kept values are of one type."""
    return table.cast({f"c{index}": "string" for index, text in enumerate(texts) if text and not table[f"c{index}"].type().is_string()})


def _sum_n_ln_n(source: TableSource, name: str) -> float:
    """Sum of n ln n over the values of a column as it is, from how often each count occurs, so that the order of rows plays no part."""
    table = comparable(source, [name])
    values = table.group_by("c0").aggregate(n=table.count().cast("int64"))
    frame = source.run(values.group_by("n").aggregate(times=values.count()).order_by("n"))
    return float(sum(int(times) * int(n) * math.log(int(n)) for n, times in zip(frame["n"], frame["times"], strict=True)))


def _n_ln_n(counts: np.ndarray) -> float:
    present = sorted(float(count) for count in counts if count > 0)
    return math.fsum(count * math.log(count) for count in present)


def _recount(source: TableSource, chosen: Sequence[Generalisation], sensitive: Sequence[str], parameters: AnonymityParameters) -> _Recount:
    table = generalised(source, chosen, sensitive)
    keys = [f"c{index}" for index in range(len(chosen))]
    figures: dict[str, Any] = {"size": table.count()}
    for index in range(len(sensitive)):
        value = table[f"c{len(keys) + index}"]
        figures |= {f"l{index}": value.nunique() + value.isnull().any().ifelse(1, 0)}
    grouped = table.group_by(keys).aggregate(**figures)
    kept = grouped["size"] >= parameters.k_target
    for index in range(len(sensitive)):
        kept &= grouped[f"l{index}"] >= parameters.l_target
    row = source.run(
        grouped.aggregate(
            k=grouped["size"].min(where=kept),
            held=grouped["size"].sum(where=kept),
            rows=grouped["size"].sum(),
            **{f"l{index}": grouped[f"l{index}"].min(where=kept) for index in range(len(sensitive))},
        )
    ).iloc[0]
    return _Recount(
        k=whole(row["k"]),
        suppressed=whole(row["rows"]) - whole(row["held"]),
        fewest={name: whole(row[f"l{index}"]) for index, name in enumerate(sensitive)},
    )
