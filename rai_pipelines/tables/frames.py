"""A pandas data frame as a table source, for notebooks and tests: copied into DuckDB, counted there like any other table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rai_pipelines.errors import DataError
from rai_pipelines.tables.files import connect_duckdb, stream_duckdb, without_spill_folder
from rai_pipelines.tables.rows import digest_of_rows

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd
    import pyarrow as pa

PREFIX = "frame:"


@dataclass(frozen=True, eq=False)
class Frame:
    """A data frame in memory. The index is no part of the table; NaN, NaT and pd.NA are null; categories are their values."""

    name: str
    frame: pd.DataFrame | None
    engine: str = "duckdb"
    ordered: bool = False

    @property
    def shown(self) -> str:
        return f"{PREFIX}{self.name}"

    def connect(self, memory_limit: str) -> Any:
        return connect_duckdb(memory_limit)

    def open(self, backend: Any) -> ir.Table:
        import ibis

        if self.frame is None:
            raise DataError("is a data frame of another program", where=self.shown, hint="Open it with table_of(frame, name=...)")
        rows, copied = ibis.util.gen_name("frame_rows"), ibis.util.gen_name("frame")
        backend.con.register(rows, _as_arrow(self.frame, self.shown))
        backend.con.execute(f'CREATE TEMPORARY TABLE "{copied}" AS SELECT * FROM "{rows}"')  # noqa: S608 (both names are made here)
        backend.con.unregister(rows)
        return backend.table(copied)

    def to_arrow(self, backend: Any, expression: Any) -> pa.Table:
        return backend.to_pyarrow(expression)

    def batches(self, backend: Any, expression: Any, rows: int) -> Iterator[pa.RecordBatch]:
        return stream_duckdb(backend, expression, rows)

    def digest(self, table: Callable[[], ir.Table], run: Callable[[Any], pd.DataFrame]) -> str:
        return digest_of_rows(table(), run)

    def without_secrets(self, text: str) -> str:
        return without_spill_folder(text)

    def is_lost(self, backend: Any) -> bool:
        return False

    def reconnect(self, backend: Any) -> None:
        raise AssertionError("DuckDB runs in this process: there is no connection to lose")


def _as_arrow(frame: pd.DataFrame, shown: str) -> pa.Table:
    """The columns as Arrow types.

    Raises:
        DataError: column names that are no text or that come twice, no column at all, or a column that mixes types.
    """
    import pyarrow as pa

    if not len(frame.columns):
        raise DataError("the data frame has no columns", where=shown)
    odd = [name for name in frame.columns if not isinstance(name, str)]
    if odd:
        raise DataError(f"the column name {odd[0]!r} is no text", where=shown, hint="Rename it: frame.columns = frame.columns.astype(str)")
    # DuckDB does not tell column names apart by case
    twice = [name for name, count in Counter(name.lower() for name in frame.columns).items() if count > 1]
    if twice:
        raise DataError(f"the column name {twice[0]!r} comes more than once (upper and lower case count as one)", where=shown, hint="Rename one")
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        reason = str(error).splitlines()[0][:200]
        raise DataError(f"the data frame cannot be read ({reason})", where=shown, hint="Give the column one type") from error
    values = [column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column for column in table.columns]
    return pa.table(values, names=table.column_names)
