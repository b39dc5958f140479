"""Open the table that a data reference names, in the engine that holds it, and fingerprint it.

Files (Parquet, CSV, and globs of them) are read by DuckDB; `postgresql://` tables and queries stay in PostgreSQL.
A table leaves its engine only as counts or as a seeded sample of stated size.
"""

from __future__ import annotations

import glob
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rai_pipelines.errors import DataError
from rai_pipelines.evidence.canonical import digest_of, digest_of_file

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

FILE_SUFFIXES = (".parquet", ".pq", ".csv", ".csv.gz")
ROW_NUMBER = "__rai_row_number"


@dataclass(frozen=True)
class TableSource:
    """A table that stays where it is. `name` is its part in the audit (training, evaluation, ...), `reference` as declared."""

    name: str
    reference: str
    files: tuple[Path, ...] = ()
    memory_limit: str = "2GB"
    _cache: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def shown(self) -> str:
        """The reference as errors and evidence may show it: without user name and password."""
        scheme, mark, rest = self.reference.partition("://")
        if not mark:
            return self.reference
        address, divider, table = rest.partition("::")
        return f"{scheme}://{address.rpartition('@')[2]}{divider}{table}"

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
        except Exception as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"the {self.name} table cannot be read ({_first_line(error)})", where=self.shown, hint="Check the file or the database") from error

    def sample(self, rows: int, *, seed: int, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """At most `rows` rows as pandas, in table order, the same ones for the same table and seed; all of them when there are no more.

        Only the drawn rows of `columns` (default: all) leave the engine.
        """
        import numpy as np

        table = self.table() if columns is None else self.table().select(*columns)
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
        """`sha256:` over the files' bytes; for SQL over the schema and a per-column profile (`profile-sha256:`)."""
        if "digest" not in self._cache:
            self._cache["digest"] = self._digest()
        return str(self._cache["digest"])

    def _digest(self) -> str:
        if self.files:
            return digest_of(sorted(digest_of_file(path) for path in self.files)) if len(self.files) > 1 else digest_of_file(self.files[0])
        table = self.table()
        figures = {"rows": table.count()}
        for column in table.columns:
            figures[f"nulls:{column}"] = table[column].isnull().sum()
            figures[f"distinct:{column}"] = table[column].nunique()
            figures[f"min:{column}"] = table[column].cast("string").min()
            figures[f"max:{column}"] = table[column].cast("string").max()
        row = self.run(table.aggregate(**figures)).iloc[0].to_dict()
        profile = {"schema": {name: str(kind) for name, kind in table.schema().items()}, "figures": {key: str(value) for key, value in row.items()}}
        return "profile-" + digest_of(profile)

    def _backend(self) -> Any:
        if "backend" not in self._cache:
            import ibis

            try:
                if self.files:
                    spill = tempfile.gettempdir()  # not the current folder, which is DuckDB's default
                    self._cache["backend"] = ibis.duckdb.connect(memory_limit=self.memory_limit, threads=2, temp_directory=f"{spill}/rai-duckdb")
                else:
                    self._cache["backend"] = ibis.connect(_with_environment(self.reference.partition("::")[0], self.shown))
            except DataError:
                raise
            except Exception as error:
                raise DataError(f"the engine of the {self.name} table does not answer ({_first_line(error)})", where=self.shown, hint="Check host, database and credentials") from error
        return self._cache["backend"]

    def _open(self) -> ir.Table:
        backend = self._backend()
        try:
            if not self.files:
                _, _, rest = self.reference.partition("::")
                return backend.sql(rest) if rest.lower().startswith("select ") else backend.table(rest)
            paths = [str(path) for path in self.files]
            if self.files[0].suffix in {".parquet", ".pq"}:
                return backend.read_parquet(paths)
            return backend.read_csv(paths)
        except Exception as error:
            raise DataError(f"the {self.name} table cannot be opened ({_first_line(error)})", where=self.shown, hint="Check the reference") from error


def open_table(reference: str, *, name: str, data_folder: Path) -> TableSource:
    """The table behind `reference`.

    `reference` is a path or glob (relative to `data_folder`), or `postgresql://HOST/DATABASE::table` / `...::SELECT ...`. In an
    address `${NAME}` stands for an environment variable, so that no password is written into a datasheet.

    Raises:
        DataError: no file matches, or the kind of file is not supported.
    """
    if "://" in reference:
        source = TableSource(name=name, reference=reference)
        if not reference.startswith("postgresql://"):
            raise DataError("is of a kind that is not supported", where=source.shown, hint="Use files, or postgresql://HOST/DATABASE::table")
        if "::" not in reference:
            raise DataError("names no table", where=source.shown, hint="Write postgresql://HOST/DATABASE::table or ::SELECT ...")
        return source
    pattern = Path(reference).expanduser()
    absolute = pattern if pattern.is_absolute() else data_folder / pattern
    files = tuple(sorted(Path(path) for path in glob.glob(str(absolute), recursive=True)))
    if not files and absolute.exists():  # a name with glob characters in it
        files = (absolute,)
    if not files:
        raise DataError(f"no file of the {name} table is there", where=reference, hint="Correct the datasheet; relative references start at RAI_DATA_ROOT")
    for path in files:
        if not path.name.lower().endswith(FILE_SUFFIXES):
            raise DataError(f"{path.name} is neither Parquet nor CSV", where=reference, hint=f"Supported: {', '.join(FILE_SUFFIXES)}")
    return TableSource(name=name, reference=reference, files=files)


def _with_environment(address: str, shown: str) -> str:
    """`address` with `${NAME}` replaced by environment variables; their values are never shown."""

    def value_of(match: re.Match[str]) -> str:
        value = os.environ.get(match[1])
        if value is None:
            raise DataError(f"the environment has no variable {match[1]}", where=shown, hint="Set it where the audit runs")
        return quote(value, safe="")

    return re.sub(r"\$\{([A-Z][A-Z0-9_]*)\}", value_of, address)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
