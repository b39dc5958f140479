"""Decisions in the order in which they were made, cut into windows of equally many, inside the engine that holds them.

Windows are counted from the oldest decision, so that in a log that only grows a window keeps its rows for good. Decisions of the same moment
stand in the same window, whatever order the engine reads them in; a window can so have more rows than asked for, and the next one fewer.
"""

from __future__ import annotations

from dataclasses import dataclass

from rai_pipelines.errors import DataError
from rai_pipelines.tables.instants import instant_us
from rai_pipelines.tables.source import TableSource

WINDOW = "__rai_window"


@dataclass(frozen=True)
class Window:
    """One window: its number from the oldest on, its decisions, and the microseconds since 1970 of the first and the last of them.

    A window is `complete` when all decisions that can belong to it have been made.
    """

    number: int
    rows: int
    earliest_us: int
    latest_us: int
    complete: bool


@dataclass(frozen=True)
class Windows:
    """The newest windows of a table. `source` is the table with the column `WINDOW`, of their rows alone; `undated` rows have no time."""

    source: TableSource
    windows: tuple[Window, ...]
    decisions: int
    undated: int


def decision_windows(source: TableSource, column: str, *, size: int, most: int) -> Windows:
    """The newest `most` windows of `size` decisions each, by the time in `column`.

    Raises:
        DataError: the column is not there or holds no times, or the engine refuses.
    """
    import ibis

    source.require(column)
    instant = instant_us(source, column)
    if instant is None:
        raise DataError(
            f"column {column!r} of the {source.name} table holds no times: decisions cannot be put in order",
            where=source.shown,
            hint="Name a column of dates, timestamps or ISO 8601 texts as columns.timestamp",
        )
    rows = source.count_rows()
    timed = source.table().mutate(__rai_us=instant)
    timed = timed.filter(timed["__rai_us"].notnull())
    numbered = timed.mutate(**{WINDOW: (ibis.rank().over(order_by=timed["__rai_us"]) / size).floor().cast("int64")})
    counted = numbered.group_by(WINDOW).aggregate(n=numbered.count(), low=numbered["__rai_us"].min(), high=numbered["__rai_us"].max())
    dated = int(source.run(timed.count()))
    found = source.to_arrow(counted.order_by(ibis.desc(WINDOW)).limit(most)).to_pylist()
    windows = tuple(
        Window(int(row[WINDOW]), int(row["n"]), int(row["low"]), int(row["high"]), complete=(int(row[WINDOW]) + 1) * size <= dated)
        for row in reversed(found)
    )
    newest = numbered.filter(numbered[WINDOW] >= windows[0].number) if windows else numbered
    return Windows(source.holding(newest), windows, dated, rows - dated)
