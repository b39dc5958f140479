"""Open the table that a data reference names, in the engine that holds it, and fingerprint it.

Files (Parquet, CSV, and globs of them) are read by DuckDB; `postgresql://` tables and queries stay in PostgreSQL.
A table leaves its engine only as counts or as a seeded sample of stated size.
"""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_pipelines.errors import DataError
from rai_pipelines.evidence.canonical import digest_of, digest_of_file
from rai_pipelines.tables.postgres import connect, digest_of_rows, draw_rows, open_relation, parse_reference

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

    from rai_pipelines.tables.postgres import PostgresReference

PARQUET_SUFFIXES = (".parquet", ".pq")
FILE_SUFFIXES = (*PARQUET_SUFFIXES, ".csv", ".csv.gz")
POSTGRES = "postgresql://"
ROW_NUMBER = "__rai_row_number"


@dataclass(frozen=True)
class TableSource:
    """A table that stays where it is.

    `name` is its part in the audit (training, evaluation, ...); `reference` is as declared, without passwords, so that it can stand in
    errors and output; `address` is the one with them, for SQL tables.
    """

    name: str
    reference: str
    files: tuple[Path, ...] = ()
    memory_limit: str = "2GB"
    address: str = field(default="", compare=False, repr=False)
    _cache: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def shown(self) -> str:
        """The reference as errors and evidence may show it: without user name and password."""
        return self.reference if self.files else parse_reference(self.reference, name=self.name).shown

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

        Raises:
            DataError: the engine refuses it or goes away.
        """
        try:
            return self._backend().execute(expression)
        except DataError:
            raise
        except Exception as error:
            raise DataError(
                f"the {self.name} table cannot be read ({self._said(error)})", where=self.shown, hint="Check the file or the database"
            ) from error

    def sample(self, rows: int, *, seed: int, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """At most `rows` rows as pandas, the same ones for the same table and seed; all of them when there are no more.

        Rows of files come in table order. SQL tables have none: theirs come in an order that follows from content and seed. Only the
        drawn rows of `columns` (default: all) leave the engine.
        """
        import numpy as np

        table = self.table() if columns is None else self.table().select(*columns)
        if not self.files:
            chosen: pd.DataFrame = self.run(draw_rows(table, rows, seed=seed))
            return chosen.reset_index(drop=True)
        held = int(self.run(table.count()))
        if held <= rows:
            frame: pd.DataFrame = self.run(table)
            return frame.reset_index(drop=True)
        import ibis

        drawn = np.sort(np.random.default_rng(seed).choice(held, size=rows, replace=False, shuffle=False))
        numbered = table.mutate(**{ROW_NUMBER: ibis.row_number().cast("int64")})
        wanted = ibis.memtable({ROW_NUMBER: drawn.astype("int64")})
        frame = self.run(numbered.semi_join(wanted, ROW_NUMBER).order_by(ROW_NUMBER).drop(ROW_NUMBER))
        return frame.reset_index(drop=True)

    def digest(self) -> str:
        """`sha256:` over the files' bytes; for SQL over column names, types and all rows in any order (`rows-sha256:`)."""
        if "digest" not in self._cache:
            self._cache["digest"] = self._digest()
        return str(self._cache["digest"])

    def _digest(self) -> str:
        if self.files:
            return digest_of(sorted(digest_of_file(path) for path in self.files)) if len(self.files) > 1 else digest_of_file(self.files[0])
        return digest_of_rows(self.table(), self.run)

    def _backend(self) -> Any:
        if "backend" not in self._cache:
            try:
                self._cache["backend"] = self._duckdb() if self.files else connect(self._parts)
            except DataError:
                raise
            except Exception as error:
                raise DataError(
                    f"the engine of the {self.name} table does not answer ({self._said(error)})",
                    where=self.shown,
                    hint="Check host, database and credentials",
                ) from error
        return self._cache["backend"]

    def _duckdb(self) -> Any:
        import ibis

        return ibis.duckdb.connect(memory_limit=self.memory_limit, threads=2, temp_directory=_spill_folder())

    def _open(self) -> ir.Table:
        backend = self._backend()
        try:
            if not self.files:
                return open_relation(backend, self._parts.table)
            paths = [glob.escape(str(path)) for path in self.files]  # DuckDB would take a[1].parquet for a1.parquet
            if not _is_parquet(self.files[0]):
                return backend.read_csv(paths)
            # Arrow leaves NaN out of a file's statistics. Without this DuckDB concludes that there is none and optimises isnan() away.
            return backend.read_parquet(paths, can_have_nan=True)
        except Exception as error:
            raise DataError(f"the {self.name} table cannot be opened ({self._said(error)})", where=self.shown, hint="Check the reference") from error

    @property
    def _parts(self) -> PostgresReference:
        return parse_reference(self.address or self.reference, name=self.name)

    def _said(self, error: BaseException) -> str:
        """The first line of an engine's error, without paths of this machine and without anything secret."""
        text = str(error).strip() or type(error).__name__
        if not self.files:
            text = self._parts.without_secrets(text)
        for path in self.files:
            for spelling in (glob.escape(str(path)), str(path)):
                text = text.replace(spelling, path.name)
        return text.replace(_spill_folder(), "the spill folder").splitlines()[0][:300]


def open_table(reference: str, *, name: str, data_folder: Path) -> TableSource:
    """The table behind `reference`.

    `reference` is a path or glob (relative to `data_folder`), or `postgresql://HOST/DATABASE::table`, `...::schema.table` or
    `...::SELECT ...`. In an address `${NAME}` stands for an environment variable, so that no password is written into a datasheet.
    Queries are run as declared: connect as a role that can only read.

    Raises:
        DataError: no file matches, the kind of file is not supported, or the address cannot be read.
    """
    if reference.startswith(POSTGRES):
        return TableSource(name=name, reference=parse_reference(reference, name=name).public, address=reference)
    scheme, mark, _ = reference.partition("://")
    if mark:
        raise DataError(
            f"the {name} reference is of a kind that is not supported", where=f"{scheme}://…", hint="Use files, or postgresql://HOST/DATABASE::table"
        )
    files = _matching_files(reference, data_folder)
    if not files:
        raise DataError(
            f"no file of the {name} table is there", where=reference, hint="Correct the datasheet; relative references start at RAI_DATA_ROOT"
        )
    for path in files:
        if path.is_dir():
            raise DataError(f"{path.name} is a folder", where=reference, hint=f"Name the files in it: {reference.rstrip('/')}/*.parquet")
        if not path.name.lower().endswith(FILE_SUFFIXES):
            raise DataError(f"{path.name} is neither Parquet nor CSV", where=reference, hint=f"Supported: {', '.join(FILE_SUFFIXES)}")
    if len({_is_parquet(path) for path in files}) > 1:
        raise DataError("matches Parquet and CSV files", where=reference, hint="One table is files of one kind; narrow the glob")
    return TableSource(name=name, reference=reference, files=files)


def _matching_files(reference: str, data_folder: Path) -> tuple[Path, ...]:
    """The files that `reference` names, sorted; one whose very name has glob characters in it comes before what they would match."""
    pattern = Path(reference).expanduser()
    literal = pattern if pattern.is_absolute() else data_folder / pattern
    if literal.exists():
        return (literal,)
    found = glob.glob(str(pattern), root_dir=None if pattern.is_absolute() else data_folder, recursive=True)
    return tuple(sorted(data_folder / path for path in found))


def _is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(PARQUET_SUFFIXES)


def _spill_folder() -> str:
    """Where DuckDB writes what does not fit in memory; not the current folder, which is its default."""
    return f"{tempfile.gettempdir()}/rai-duckdb"
