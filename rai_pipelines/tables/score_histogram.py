"""Scores counted in bins by group and label, inside the engine: enough for a bracketed AUC, calibration and drift, at any number of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rai_pipelines.errors import DataError
from rai_pipelines.tables.contingency import MAX_CELLS
from rai_pipelines.tables.group_checks import check_columns
from rai_pipelines.tables.group_keys import group_key, without_nan
from rai_pipelines.tables.group_names import as_outcome, named_groups
from rai_pipelines.tables.source import TableSource

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SIGNIFICANT_DIGITS = 12  # of sums of scores; engines add in parallel


@dataclass(frozen=True)
class ScoreHistogram:
    """Counts of scores in equal bins of [low, high]; a score at `high` is in the last bin.

    `cells` has the columns of the groups as text, `label` (1, 0 or <NA>), `bin` (0 to bins - 1, -1 below `low`, `bins` above `high`), `count`
    and `total` (sum of the scores). `missing` rows have no score.
    """

    low: float
    high: float
    bins: int
    cells: pd.DataFrame
    missing: int

    def by_label(self, **groups: str) -> np.ndarray:
        """Counts of the labelled rows of those groups; shape (2, bins + 2): labels 0 and 1, the outer bins first and last."""
        import numpy as np

        chosen = self.cells[self.cells["label"].notna()]
        for name, value in groups.items():
            chosen = chosen[chosen[name] == value]
        counts = np.zeros((2, self.bins + 2), dtype=np.int64)
        np.add.at(counts, (chosen["label"].to_numpy(dtype=int), chosen["bin"].to_numpy(dtype=int) + 1), chosen["count"].to_numpy(dtype=np.int64))
        return counts


def score_histogram(
    source: TableSource,
    *,
    score: str,
    label: str | None,
    favourable: str,
    attributes: Sequence[str] = (),
    attribute_bins: Mapping[str, tuple[float, ...]] | None = None,
    bins: int = 1_000,
    low: float = 0.0,
    high: float = 1.0,
) -> ScoreHistogram:
    """The histogram of `score` by label and group, in one scan.

    Raises:
        DataError: the table is empty or lacks a column; the score is not numeric or infinite; there are too many groups.
        ValueError: fewer than one bin, or `low` not below `high`.
    """
    import ibis
    import pandas as pd

    if bins < 1 or not low < high:
        raise ValueError(f"{bins} bins of [{low}, {high}]: at least one bin of an interval that is not empty")
    names, cuts = list(dict.fromkeys(attributes)), attribute_bins or {}
    check_columns(source, names, cuts, label, score)
    source.count_rows()
    table = source.table()
    if not table[score].type().is_numeric():
        raise DataError(f"score column {score!r} is not numeric ({table[score].type()})", where=source.shown, hint="Name a column of scores")
    number = without_nan(table[score].cast("float64"))
    inside = ((number - low) * (bins / (high - low))).floor().clip(upper=bins - 1).cast("int32")
    place = ibis.cases((number < low, -1), (number > high, bins), else_=inside)
    keys = {f"a{position}": group_key(table, name, cuts) for position, name in enumerate(names)}
    keys |= {"b": ibis.ifelse(number.isnull() | number.isinf(), ibis.null("int32"), place)} | (
        {} if label is None else {"y": without_nan(table[label])}
    )
    chosen = table.select(**keys, s=number)
    figures = {"n": chosen.count(), "t": chosen["s"].sum().coalesce(0.0), "infinite": ibis.ifelse(chosen["s"].isinf(), 1, 0).sum().coalesce(0)}
    found = source.run(chosen.group_by(list(keys)).aggregate(**figures).limit(MAX_CELLS + 1))
    if len(found) > MAX_CELLS:
        raise DataError(f"groups and bins make more than {MAX_CELLS:,} cells", where=source.shown, hint="Declare fewer attributes or bins")
    infinite = int(found["infinite"].sum())
    if infinite:
        raise DataError(f"score column {score!r} is infinite in {infinite:,} rows", where=source.shown, hint="Correct the scores")
    frame: dict[str, Any] = named_groups(found, names, cuts)
    frame["label"] = as_outcome(found["y"], favourable) if label is not None else pd.array([pd.NA] * len(found), dtype="Int64")
    frame["bin"] = found["b"].astype("Int64")
    frame["count"] = found["n"].astype("int64")
    frame["total"] = [float(f"{float(value):.{SIGNIFICANT_DIGITS}g}") for value in found["t"]]
    cells = pd.DataFrame(frame)
    missing = int(cells.loc[cells["bin"].isna(), "count"].sum())
    cells = cells[cells["bin"].notna()].astype({"bin": "int64"}).sort_values([*names, "label", "bin"], na_position="first").reset_index(drop=True)
    return ScoreHistogram(low, high, bins, cells, missing)
