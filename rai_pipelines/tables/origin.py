"""What every kind of table source has in common: how it is reached, opened, shown and fingerprinted. One file per kind implements it.

Files and object stores are read by DuckDB; PostgreSQL and Spark count what they hold themselves; a data frame is copied into DuckDB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd
    import pyarrow as pa


class Origin(Protocol):
    """Where one table is held.

    `shown` is the reference as errors and evidence may show it. Two origins with the same `engine` can be read by one query.
    `ordered` says whether the rows have an order of their own, by which a sample can be drawn; without one it goes by content.
    """

    @property
    def shown(self) -> str: ...

    @property
    def engine(self) -> str: ...

    @property
    def ordered(self) -> bool: ...

    def connect(self, memory_limit: str) -> Any:
        """A new Ibis backend; errors of the driver pass."""

    def open(self, backend: Any) -> ir.Table:
        """The table in that backend; errors of the driver pass."""

    def to_arrow(self, backend: Any, expression: Any) -> pa.Table:
        """The expression's rows with their types; errors of the driver pass."""

    def batches(self, backend: Any, expression: Any, rows: int) -> Iterator[pa.RecordBatch]:
        """The same, in batches of at most `rows`, so that they are never all in memory."""

    def digest(self, table: Callable[[], ir.Table], run: Callable[[Any], pd.DataFrame]) -> str:
        """The fingerprint of the content; `table` and `run` are for origins that hash inside their engine."""

    def without_secrets(self, text: str) -> str:
        """A driver's message without passwords, keys and paths of this machine."""

    def is_lost(self, backend: Any) -> bool:
        """Whether the connection is gone, so that asking again over a new one can help."""

    def reconnect(self, backend: Any) -> None:
        """Give the same backend a new connection, so that expressions over it stay valid."""
