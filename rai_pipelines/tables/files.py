"""Tables in files of this machine (Parquet, CSV, JSON Lines), and the DuckDB engine that reads them."""

from __future__ import annotations

import glob
import os
import re
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from rai_pipelines.errors import DataError
from rai_pipelines.evidence.canonical import digest_of, digest_of_file

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd
    import pyarrow as pa

SUFFIXES = {
    "Parquet": (".parquet", ".pq"),
    "CSV": (".csv", ".csv.gz"),
    "JSON Lines": (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz"),
}
MEMORY_LIMIT = "2GB"
THREADS = 2
_MEMORY = re.compile(r"\d+(?:\.\d+)?\s*(?:[KMGT]i?B)", re.IGNORECASE)


@dataclass(frozen=True)
class LocalFiles:
    """Files of one kind that together are one table, in the order of their names."""

    shown: str
    paths: tuple[Path, ...]
    engine: str = "duckdb"
    ordered: bool = True

    def connect(self, memory_limit: str) -> Any:
        return connect_duckdb(memory_limit)

    def open(self, backend: Any) -> ir.Table:
        # DuckDB would take a[1].parquet for a1.parquet
        return read_files(backend, [glob.escape(str(path)) for path in self.paths], format_of(self.paths[0]))

    def to_arrow(self, backend: Any, expression: Any) -> pa.Table:
        return backend.to_pyarrow(expression)

    def batches(self, backend: Any, expression: Any, rows: int) -> Iterator[pa.RecordBatch]:
        return stream_duckdb(backend, expression, rows)

    def digest(self, table: Callable[[], ir.Table], run: Callable[[Any], pd.DataFrame]) -> str:
        return digest_of_files([digest_of_file(path) for path in self.paths])

    def without_secrets(self, text: str) -> str:
        for path in self.paths:
            for spelling in (glob.escape(str(path)), str(path)):
                text = text.replace(spelling, path.name)
        return without_spill_folder(text)

    def is_lost(self, backend: Any) -> bool:
        return False

    def reconnect(self, backend: Any) -> None:
        raise AssertionError("DuckDB runs in this process: there is no connection to lose")


def find_files(reference: str, *, name: str, data_folder: Path) -> tuple[Path, ...]:
    """The files that `reference`, a path or glob, names; all of one kind.

    Raises:
        DataError: there are none, one is a folder, or they are of different or unknown kinds.
    """
    files = _matching(reference, data_folder)
    if not files:
        raise DataError(
            f"no file of the {name} table is there", where=reference, hint="Correct the datasheet; relative references start at RAI_DATA_ROOT"
        )
    check_kinds([(path, path.is_dir()) for path in files], reference)
    return files


def check_kinds(found: Sequence[tuple[PurePath, bool]], reference: str) -> None:
    """Refuse folders, unknown kinds and mixtures among the (path, is a folder) of `found`.

    Raises:
        DataError: says which file.
    """
    for path, is_folder in found:
        if is_folder:
            raise DataError(f"{path.name} is a folder", where=reference, hint=f"Name the files in it: {reference.rstrip('/')}/*.parquet")
        if format_of(path) is None:
            known = ", ".join(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
            raise DataError(f"{path.name} is neither Parquet nor CSV nor JSON Lines", where=reference, hint=f"Supported: {known}")
    kinds = {format_of(path) for path, _ in found}
    if len(kinds) > 1:
        mixed = " and ".join(kind for kind in SUFFIXES if kind in kinds)
        raise DataError(f"matches {mixed} files", where=reference, hint="One table is files of one kind; narrow the glob")


def format_of(path: PurePath) -> str | None:
    """`Parquet`, `CSV` or `JSON Lines`, by the file's name; None for any other."""
    return next((kind for kind, suffixes in SUFFIXES.items() if path.name.lower().endswith(suffixes)), None)


def digest_of_files(digests: Sequence[str]) -> str:
    """The digest of a table in files: that of the one file's bytes, or of the set of them whatever the names."""
    return digests[0] if len(digests) == 1 else digest_of(sorted(digests))


def connect_duckdb(memory_limit: str) -> Any:
    """DuckDB in this process, with two threads. It fetches no extension from anywhere.

    `memory_limit` (such as 2GB or 512MiB) is what its buffers may take; sorting and grouping beyond it spill to a folder of this engine's
    own below TMPDIR, which goes when the engine does. Nobody else can read it: what spills are rows.

    Raises:
        DataError: the limit is no amount of memory.
    """
    import ibis

    if not _MEMORY.fullmatch(memory_limit.strip()):
        raise DataError(f"{memory_limit!r} is no amount of memory", where="RAI_TABLE_MEMORY_LIMIT", hint="Write an amount such as 2GB or 512MiB")
    # Engines that share a folder overwrite each other's pages; a name that can be guessed can be taken by another user.
    folder = Path(tempfile.gettempdir()) / f"rai-duckdb-{os.getpid()}-{secrets.token_hex(8)}"
    backend = ibis.duckdb.connect(
        memory_limit=memory_limit.strip(),
        threads=THREADS,
        temp_directory=str(folder),
        autoinstall_known_extensions=False,
        autoload_known_extensions=False,
    )
    with suppress(OSError):  # where nothing can be written, DuckDB says so when it has to spill
        folder.mkdir(mode=0o700)  # made by DuckDB, it and its files could be read by every user of the machine
    weakref.finalize(backend, shutil.rmtree, folder, ignore_errors=True)
    return backend


def stream_duckdb(backend: Any, expression: Any, rows: int) -> Iterator[pa.RecordBatch]:
    """What the expression gives, as DuckDB makes it: Ibis 12 streams through a method that DuckDB 2.0 removed."""
    relation = backend.con.sql(backend.compile(expression))
    stream = relation.to_arrow_reader if hasattr(relation, "to_arrow_reader") else relation.fetch_arrow_reader
    yield from stream(rows)


def read_files(backend: Any, paths: Sequence[str], kind: str | None) -> ir.Table:
    """Files of one kind as one table. Types of JSON Lines are found from all lines, so that a late value changes none."""
    if kind == "CSV":
        return backend.read_csv(list(paths))
    if kind == "JSON Lines":
        return _with_plain_integers(backend, backend.read_json(list(paths), format="newline_delimited", records="true", sample_size=-1))
    # Arrow leaves NaN out of a file's statistics. Without this DuckDB concludes that there is none and optimises isnan() away.
    return backend.read_parquet(list(paths), can_have_nan=True)


def _with_plain_integers(backend: Any, table: ir.Table) -> ir.Table:
    """DuckDB takes JSON integers of both signs for 128-bit ones, which ibis calls decimals; those that fit are int64 here, as in Parquet."""
    huge = [name for name, kind in table.schema().items() if kind.is_decimal()]
    if not huge:
        return table
    edges = {f"{edge}{position}": getattr(table[name], edge)().cast("string") for position, name in enumerate(huge) for edge in ("min", "max")}
    found = backend.execute(table.aggregate(**edges)).iloc[0]
    fitting = [name for position, name in enumerate(huge) if _fits(found[f"min{position}"]) and _fits(found[f"max{position}"])]
    return table.cast(dict.fromkeys(fitting, "int64"))


def _fits(integer: object) -> bool:
    return isinstance(integer, str) and -(2**63) <= int(integer) < 2**63


def without_spill_folder(text: str) -> str:
    """DuckDB's message without the path of its spill folder."""
    return re.sub(rf"{re.escape(tempfile.gettempdir())}/rai-duckdb-\d+-[0-9a-f]+", "the spill folder", text)


def _matching(reference: str, data_folder: Path) -> tuple[Path, ...]:
    """The files that `reference` names, sorted; one whose very name has glob characters in it comes before what they would match."""
    pattern = Path(reference).expanduser()
    literal = pattern if pattern.is_absolute() else data_folder / pattern
    if literal.exists():
        return (literal,)
    found = glob.glob(str(pattern), root_dir=None if pattern.is_absolute() else data_folder, recursive=True)
    return tuple(sorted(data_folder / path for path in found))
