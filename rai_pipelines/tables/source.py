"""Open the table that a data reference names, in the engine that holds it, and fingerprint it.

| reference | held by | counted in |
|---|---|---|
| `people.parquet`, `part-*.csv.gz`, `people.jsonl` | files (Parquet, CSV, JSON Lines, globs of them) | DuckDB |
| `s3://BUCKET/PATH`, `gs://`, `az://`, `abfs://` | object stores, the same kinds of files | DuckDB |
| `postgresql://HOST/DATABASE::TABLE`, `...::SELECT ...` or `postgresql://HOST/DATABASE/TABLE` | PostgreSQL | PostgreSQL |
| `spark:CATALOG.SCHEMA.TABLE`, `spark:SELECT ...`, `spark:parquet:PATH` | Spark | Spark |
| `table_of(frame, name=...)` | a pandas data frame | DuckDB |

A table leaves its engine only as counts or as a seeded sample of stated size.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any, TypeVar

from rai_pipelines.errors import DataError
from rai_pipelines.tables.files import MEMORY_LIMIT, LocalFiles, find_files
from rai_pipelines.tables.frames import PREFIX as FRAME
from rai_pipelines.tables.frames import Frame
from rai_pipelines.tables.integers import execute_exactly
from rai_pipelines.tables.objects import STORES, parse_object_reference
from rai_pipelines.tables.postgres import parse_reference
from rai_pipelines.tables.rows import draw_rows
from rai_pipelines.tables.spark import PREFIX as SPARK
from rai_pipelines.tables.spark import parse_spark_reference

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd
    import pyarrow as pa

    from rai_pipelines.tables.origin import Origin

POSTGRES = "postgresql://"
ROW_NUMBER = "__rai_row_number"
_QUOTED_VALUE = re.compile(r"""((?:for type [\w ]+|[Cc]onvert string|[Cc]ast string|field value):? )(["']).*?\2""")
RETRY_PAUSES_S = (0.2, 1.0)  # before the second and the third attempt over a connection that broke

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class TableSource:
    """A table that stays where it is.

    `name` is its part in the audit (training, evaluation, ...); `reference` is as declared, without passwords, so that it can stand in
    errors and output; `address` is the one with them, for SQL tables. `files` are those of this machine. `memory_limit` is DuckDB's (see
    `connect_duckdb`); PostgreSQL and Spark have limits of their own.
    """

    name: str
    reference: str
    files: tuple[Path, ...] = ()
    memory_limit: str = MEMORY_LIMIT
    address: str = field(default="", compare=False, repr=False)
    frame: pd.DataFrame | None = field(default=None, compare=False, repr=False)
    _cache: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def origin(self) -> Origin:
        """Where the table is held."""
        if "origin" not in self._cache:
            self._cache["origin"] = self._origin()
        origin: Origin = self._cache["origin"]
        return origin

    @property
    def shown(self) -> str:
        """The reference as errors and evidence may show it: without user name and password."""
        return self.origin.shown

    def table(self) -> ir.Table:
        """The table as an Ibis expression.

        Raises:
            DataError: it cannot be opened.
        """
        if "table" not in self._cache:
            self._cache["table"] = self._open()
        return self._cache["table"]

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(self.table().columns)

    def require(self, *columns: str) -> None:
        """Raise `DataError` naming every column of `columns` that the table lacks."""
        absent = [column for column in columns if column not in self.columns]
        if absent:
            raise DataError(
                f"the {self.name} table has no column {', '.join(map(repr, absent))}; it has {', '.join(self.columns)}",
                where=self.shown,
                hint="Correct the datasheet or the table",
            )

    def count_rows(self) -> int:
        """Number of rows, counted in the engine.

        Raises:
            DataError: there are none.
        """
        rows = int(self.run(self.table().count()))
        if rows == 0:
            raise DataError(f"the {self.name} table is empty", where=self.shown, hint="Check the reference and the query behind it")
        return rows

    def run(self, expression: Any) -> Any:
        """Execute an expression over this table in its engine.

        Integers are exact, also beyond 2**53. An answer is whole or it is none: where the connection breaks meanwhile, the expression is
        executed again from the start over a new one, at most twice.

        Raises:
            DataError: the engine refuses it or goes away.
        """
        return self._ask(lambda backend: execute_exactly(backend.execute, expression))

    def to_arrow(self, expression: Any) -> pa.Table:
        """As `run`, with the engine's types kept."""
        found: pa.Table = self._ask(lambda backend: self.origin.to_arrow(backend, expression))
        return found

    def batches(self, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """`columns` of all rows in batches of at most `rows`: for who has to see rows (a model), and never all of them at once.

        A connection that breaks on the way is not opened again, since the rows may have another order then.

        Raises:
            DataError: a column is not there, or the engine cannot read them.
        """
        self.require(*columns)
        chosen, backend = self.table().select(*columns), self._backend()
        try:
            yield from self.origin.batches(backend, chosen, rows)
        except DataError:
            raise
        except Exception as error:
            raise self._refused(f"the {self.name} table cannot be read to its end", error, hint="Check the file or the database") from error

    def sample(self, rows: int, *, seed: int, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """At most `rows` rows as pandas, the same ones for the same table and seed; all of them when there are no more.

        Rows of files come in table order. Other tables have none: theirs come in an order that follows from content and seed. Only the
        drawn rows of `columns` (default: all) leave the engine. Decimals come as doubles: to pandas they would be objects without an order.
        """
        import numpy as np

        table = self.table() if columns is None else self.table().select(*columns)
        if not self.origin.ordered:
            return _plain_numbers(self.run(draw_rows(table, rows, seed=seed)), table)
        held = int(self.run(table.count()))
        if held <= rows:
            return _plain_numbers(self.run(table), table)
        import ibis

        drawn = np.sort(np.random.default_rng(seed).choice(held, size=rows, replace=False, shuffle=False))
        numbered = table.mutate(**{ROW_NUMBER: ibis.row_number().cast("int64")})
        wanted = ibis.memtable({ROW_NUMBER: drawn.astype("int64")})
        return _plain_numbers(self.run(numbered.semi_join(wanted, ROW_NUMBER).order_by(ROW_NUMBER).drop(ROW_NUMBER)), table)

    def digest(self) -> str:
        """`sha256:` over the files' bytes; for others over column names, types and all rows in any order (`rows-sha256:`).

        Raises:
            DataError: the table cannot be read.
        """
        if "digest" not in self._cache:
            try:
                self._cache["digest"] = self.origin.digest(self.table, self.run)
            except (OSError, ValueError) as error:
                raise self._refused(f"the {self.name} table cannot be read", error, hint="Check the file") from error
        return str(self._cache["digest"])

    def beside(self, other: TableSource) -> TableSource | None:
        """This table opened in the engine of `other`, so that one query can read both; None where it lies elsewhere."""
        if self.origin.engine != other.origin.engine:
            return None
        return dataclasses.replace(self, _cache={"backend": other._backend()})

    def holding(self, expression: ir.Table) -> TableSource:
        """Rows and columns of `expression`, an expression over this table, as a table of its own in the same engine."""
        return dataclasses.replace(self, _cache={"backend": self._backend(), "table": expression})

    def _origin(self) -> Origin:
        if self.files:
            return LocalFiles(self.reference, self.files)
        if self.frame is not None or self.reference.startswith(FRAME):
            return Frame(self.name, self.frame)
        if self.reference.startswith(SPARK):
            return parse_spark_reference(self.reference, name=self.name)
        if self.reference.partition("://")[0].lower() in STORES:
            return parse_object_reference(self.reference, name=self.name)
        return parse_reference(self.address or self.reference, name=self.name)

    def _ask(self, question: Callable[[Any], Answer], *, failed: str = "cannot be read", hint: str = "Check the file or the database") -> Answer:
        """What the engine answers, asked again, whole, where the connection broke before the answer was complete."""
        backend = self._backend()
        for attempt, pause_s in enumerate((*RETRY_PAUSES_S, None), start=1):
            try:
                if attempt > 1:
                    self.origin.reconnect(backend)
                return question(backend)
            except DataError:
                raise
            except Exception as error:
                lost = self.origin.is_lost(backend)
                if not lost or pause_s is None:
                    advice = f"The connection broke {attempt} times; try again when the database holds it" if lost else hint
                    raise self._refused(f"the {self.name} table {failed}", error, hint=advice) from error
            sleep(pause_s)
        raise AssertionError("unreachable: the last attempt answers or raises")

    def _backend(self) -> Any:
        if "backend" not in self._cache:
            try:
                self._cache["backend"] = self.origin.connect(self.memory_limit)
            except DataError:
                raise
            except Exception as error:
                what = f"the engine of the {self.name} table does not answer"
                raise self._refused(what, error, hint="Check host, database and credentials") from error
        return self._cache["backend"]

    def _open(self) -> ir.Table:
        return self._ask(self.origin.open, failed="cannot be opened", hint="Check the reference")

    def _refused(self, what: str, error: BaseException, *, hint: str) -> DataError:
        """`what`, with the first line of an engine's error, without paths of this machine, anything secret, or a value that did not convert."""
        said = self.origin.without_secrets(str(error).strip() or type(error).__name__).splitlines()[0]
        said = _QUOTED_VALUE.sub(r"\1\2…\2", said)[:300]
        return DataError(f"{what} ({said})", where=self.shown, hint=hint)


def _plain_numbers(frame: pd.DataFrame, table: ir.Table) -> pd.DataFrame:
    return frame.astype({name: "float64" for name, kind in table.schema().items() if kind.is_decimal()}).reset_index(drop=True)


def open_table(reference: str, *, name: str, data_folder: Path, memory_limit: str = MEMORY_LIMIT) -> TableSource:
    """The table behind `reference`, in one of the forms at the top of this file.

    Paths and globs are relative to `data_folder`. In a PostgreSQL address `${NAME}` stands for an environment variable, so that no
    password is written into a datasheet; object stores and Spark take theirs from the environment alone. Queries are run as declared:
    connect as a role that can only read. Object stores are asked which files there are; other engines are not reached before they are needed.

    Args:
        memory_limit: What DuckDB's buffers may take, such as 2GB or 512MiB; beyond it sorting and grouping spill to a folder below TMPDIR.

    Raises:
        DataError: no file matches, the kind of file is not supported, the address cannot be read, or an object store does not answer.
    """
    scheme, mark, _ = reference.partition("://")
    if reference.startswith(POSTGRES):
        public = parse_reference(reference, name=name).public
        return TableSource(name=name, reference=public, memory_limit=memory_limit, address=reference)
    if reference.startswith(SPARK):
        return TableSource(name=name, reference=parse_spark_reference(reference, name=name).shown, memory_limit=memory_limit)
    if mark and scheme.lower() in STORES:
        objects = parse_object_reference(reference, name=name)
        _ = objects.files  # a reference that matches nothing is said here, as for files of this machine
        return TableSource(name=name, reference=objects.shown, memory_limit=memory_limit, _cache={"origin": objects})
    if mark:
        raise DataError(
            f"the {name} reference is of a kind that is not supported",
            where=f"{scheme[:40]}://…",
            hint="Use files, s3://, gs://, az://, postgresql://HOST/DATABASE::TABLE or spark:TABLE",
        )
    return TableSource(name=name, reference=reference, files=find_files(reference, name=name, data_folder=data_folder), memory_limit=memory_limit)


def table_of(frame: pd.DataFrame, *, name: str = "training", memory_limit: str = MEMORY_LIMIT) -> TableSource:
    """A data frame as a table, for notebooks: copied when it is first read, counted in DuckDB, fingerprinted over its content.

    The index is no part of the table; NaN, NaT and pd.NA are null; a categorical column is its values. Rows have no order: a sample goes by
    content and seed, so that it is the same for the same rows in any order.
    """
    return TableSource(name=name, reference=f"{FRAME}{name}", memory_limit=memory_limit, frame=frame)
