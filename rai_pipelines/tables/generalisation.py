"""Coarser versions of a column, from as it is to gone: the same step as an expression for the engine and as codes of values in memory.

Steps of one column nest: what one step puts together, the next keeps together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rai_pipelines.tables.profile import ColumnProfile, TableProfile, comparable

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import numpy as np
    import pandas as pd

    from rai_pipelines.tables.source import TableSource

Method = Literal["keep", "bins", "digits", "merge_rare", "month", "year", "drop"]

OTHER = "(other)"
RARE_SHARES = (0.005, 0.02, 0.05, 0.1, 0.25)  # a value held by a smaller share of rows is merged into one
BINS_AT_MOST = 200  # of the narrowest bins of a number
DOUBLINGS = 12
ZIP_DIGITS = 5
ZIP_PATTERN = r"^[0-9]{5}$"


@dataclass(frozen=True)
class Generalisation:
    """One step of a column: `bins` of width `parameter`, the first `parameter` `digits`, values held by at least a share `parameter` of rows.

    `frequent` are the values that `merge_rare` keeps; they stay in memory and are no part of a proposal.
    """

    column: str
    method: Method
    parameter: float | None = None
    frequent: frozenset[str] = field(default=frozenset(), repr=False)

    def expression(self, column: Any) -> Any:
        """The coarser column, for a column of `comparable`; null stays null unless rare values are merged."""
        import ibis

        if self.method == "bins":
            return (column.cast("float64") / self.parameter).floor().cast("float64") * self.parameter
        if self.method == "digits":
            return column.cast("string").substr(0, int(self.parameter or 0))
        if self.method == "merge_rare":
            text = column.cast("string")
            return ibis.ifelse(text.isin(sorted(self.frequent)), text, ibis.literal(OTHER)) if self.frequent else ibis.literal(OTHER)
        if self.method in {"month", "year"}:
            return column.truncate("M" if self.method == "month" else "Y")
        return ibis.literal(0, "int64") if self.method == "drop" else column

    def codes(self, values: pd.Series) -> np.ndarray:
        """Whole numbers, equal for values of an earlier step that this one puts together; shape (values,)."""
        import numpy as np
        import pandas as pd

        coarse: Any = values
        if self.method == "bins":
            coarse = np.floor(values.to_numpy(dtype=float, na_value=np.nan) / float(self.parameter or 1))
        elif self.method == "digits":
            coarse = values.astype("string").str[: int(self.parameter or 0)]
        elif self.method == "merge_rare":
            coarse = [value if isinstance(value, str) and value in self.frequent else OTHER for value in values]
        elif self.method in {"month", "year"}:
            coarse = pd.to_datetime(values).dt.strftime("%Y-%m" if self.method == "month" else "%Y")
        elif self.method == "drop":
            coarse = np.zeros(len(values))
        codes: np.ndarray = pd.factorize(pd.Series(coarse).astype(object), use_na_sentinel=False)[0]
        return codes


def generalisations(
    source: TableSource, figures: TableProfile, columns: Sequence[str], *, categorical: Sequence[str]
) -> Mapping[str, tuple[Generalisation, ...]]:
    """The steps of each column, finest first: numbers in bins of doubling width, dates to month and year, US ZIP codes to fewer digits, all else
    with rare values merged; the last step drops the column.

    Raises:
        DataError: the engine refuses.
    """
    return {name: _steps(source, figures.columns[name], is_code=name in categorical) for name in columns}


def generalised(source: TableSource, chosen: Sequence[Generalisation], further: Sequence[str] = ()) -> ir.Table:
    """The table with the chosen steps as `c0`, `c1`, ..., and the columns `further` after them, ready for GROUP BY."""
    table = comparable(source, (*(step.column for step in chosen), *further))
    coarse = {f"c{index}": step.expression(table[f"c{index}"]) for index, step in enumerate(chosen)}
    return table.mutate(**coarse)


def is_category(source: TableSource, column: ColumnProfile, *, is_code: bool) -> bool:
    """Whether the values have no order that a coarser version could keep."""
    dtype = source.table().schema()[column.name]
    return not ((column.kind == "numeric" and not is_code) or dtype.is_date() or dtype.is_timestamp())


def _steps(source: TableSource, column: ColumnProfile, *, is_code: bool) -> tuple[Generalisation, ...]:
    name = column.name
    if column.kind == "numeric" and not is_code:
        inner = [Generalisation(name, "bins", width) for width in _widths(column)]
    elif not is_category(source, column, is_code=is_code):
        inner = [Generalisation(name, "month"), Generalisation(name, "year")]
    elif column.kind == "text" and _is_zip(source, column):
        inner = [Generalisation(name, "digits", digits) for digits in range(ZIP_DIGITS - 1, 0, -1)]
    else:
        inner = _merges(source, column)
    return (Generalisation(name, "keep"), *inner, Generalisation(name, "drop"))


def _widths(column: ColumnProfile) -> list[float]:
    if not isinstance(column.minimum, float) or not isinstance(column.maximum, float) or column.maximum <= column.minimum:
        return []
    span = column.maximum - column.minimum
    unit = 10.0 ** math.ceil(math.log10(span / BINS_AT_MOST / 5)) if span / BINS_AT_MOST / 5 > 0 else 1.0
    if column.dtype.startswith(("int", "uint")):
        unit = max(1.0, unit)
    return [width for step in range(DOUBLINGS) if (width := unit * 5 * 2**step) < span]


def _is_zip(source: TableSource, column: ColumnProfile) -> bool:
    values = comparable(source, [column.name])
    present = values.c0.count()
    row = source.run(values.aggregate(held=present, five=values.c0.re_search(ZIP_PATTERN).sum())).iloc[0]
    return bool(row["held"]) and row["held"] == row["five"]


def _merges(source: TableSource, column: ColumnProfile) -> list[Generalisation]:
    table = comparable(source, [column.name])
    text = table.select(v=table.c0.cast("string"))
    counts = text.filter(text.v.notnull()).group_by("v").aggregate(n=lambda t: t.count())
    frame = source.run(counts.filter(counts.n >= max(1, math.ceil(RARE_SHARES[0] * column.rows))))
    steps: list[Generalisation] = []
    for share in RARE_SHARES:
        kept = frozenset(str(value) for value, n in zip(frame["v"], frame["n"], strict=True) if n >= share * column.rows)
        before = steps[-1].frequent if steps else None
        if kept != before and len(kept) < column.distincts and kept:
            steps.append(Generalisation(column.name, "merge_rare", share, kept))
    return steps
