"""Open the table that a data reference names, in the engine that holds it, and fingerprint it.

Files (Parquet, CSV, and globs of them) are read by DuckDB; `postgresql://` tables and queries stay in PostgreSQL.
A table leaves its engine only as counts or as a seeded sample of stated size.
"""

from __future__ import annotations

import glob
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_pipelines.errors import DataError
from rai_pipelines.evidence.canonical import digest_of, digest_of_file

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

FILE_SUFFIXES = (".parquet", ".pq", ".csv", ".csv.gz")


@dataclass(frozen=True)
class TableSource:
    """A table that stays where it is. `name` is its part in the audit (training, evaluation, ...), `reference` as declared."""

    name: str
    reference: str
    files: tuple[Path, ...] = ()
    memory_limit: str = "2GB"
    _cache: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

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
                where=self.reference,
                hint="Correct the datasheet or the table",
            )

    def count_rows(self) -> int:
        """Number of rows, counted in the engine.

        Raises:
            DataError: there are none.
        """
        rows = int(self.run(self.table().count()))
        if rows == 0:
            raise DataError(f"the {self.name} table is empty", where=self.reference, hint="Check the reference and the query behind it")
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
            raise DataError(f"the {self.name} table cannot be read ({_first_line(error)})", where=self.reference, hint="Check the file or the database") from error

    def sample(self, rows: int, *, seed: int) -> pd.DataFrame:
        """At most `rows` rows as pandas, the same ones for the same table and seed; all of them when there are no more."""
        frame: pd.DataFrame = self.run(self.table())
        if len(frame) > rows:
            frame = frame.sample(n=rows, random_state=seed).sort_index()
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
                    self._cache["backend"] = ibis.duckdb.connect(memory_limit=self.memory_limit, threads=2)
                else:
                    self._cache["backend"] = ibis.connect(self.reference.split("::", 1)[0])
            except Exception as error:
                raise DataError(f"the engine of the {self.name} table does not answer ({_first_line(error)})", where=self.reference.split("@")[-1]) from error
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
            raise DataError(f"the {self.name} table cannot be opened ({_first_line(error)})", where=self.reference, hint="Check the reference") from error


def open_table(reference: str, *, name: str, data_folder: Path) -> TableSource:
    """The table behind `reference`.

    `reference` is a path or glob (relative to `data_folder`), or `postgresql://HOST/DATABASE::table` / `...::SELECT ...`.

    Raises:
        DataError: no file matches, or the kind of file is not supported.
    """
    if "://" in reference:
        if "::" not in reference:
            raise DataError("names no table", where=reference.split("@")[-1], hint="Write postgresql://HOST/DATABASE::table or ::SELECT ...")
        return TableSource(name=name, reference=reference)
    pattern = Path(reference).expanduser()
    absolute = pattern if pattern.is_absolute() else data_folder / pattern
    files = tuple(sorted(Path(path) for path in glob.glob(str(absolute), recursive=True)))
    if not files and absolute.exists():  # a name with glob characters in it
        files = (absolute,)
    if not files:
        raise DataError(f"no file of the {name} table is there", where=str(absolute), hint="Correct data references in the datasheet or set RAI_DATA_ROOT")
    for path in files:
        if not path.name.lower().endswith(FILE_SUFFIXES):
            raise DataError(f"{path.name} is neither Parquet nor CSV", where=str(path), hint=f"Supported: {', '.join(FILE_SUFFIXES)}")
    return TableSource(name=name, reference=reference, files=files)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
