"""Tables in files of an object store (Amazon S3 and what speaks its API, Google Cloud Storage, Azure), read by DuckDB through fsspec.

Keys and endpoints come from the environment, as the store's own tools read them (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL,
GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_NAME ...), never from a reference: a datasheet is written by the people under audit.
For the same reason the schemes are a closed list, and DuckDB is shown the files that the reference named and nothing else of the store.
"""

from __future__ import annotations

import hashlib
import importlib
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from rai_pipelines.errors import DataError
from rai_pipelines.tables.files import check_kinds, connect_duckdb, digest_of_files, format_of, read_files, stream_duckdb, without_spill_folder

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd
    import pyarrow as pa

STORES = {  # scheme: (fsspec's name of the store, extra of this project that installs it)
    "s3": ("s3", "s3"),
    "s3a": ("s3", "s3"),
    "gs": ("gcs", "gcs"),
    "gcs": ("gcs", "gcs"),
    "az": ("abfs", "azure"),
    "abfs": ("abfs", "azure"),
    "abfss": ("abfs", "azure"),
    "memory": ("memory", ""),
}
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 10, 60
BLOCK_BYTES = 4 * 2**20
_GLOB = re.compile(r"[*?\[]")
_SECRET_VARIABLES = re.compile(r"(?:AWS|AZURE|GOOGLE|GCS)_[A-Z_]*(?:KEY|SECRET|TOKEN|CONNECTION_STRING|PASSWORD)[A-Z_]*|AWS_ENDPOINT_URL(?:_S3)?")
_PYTHON_ERROR = re.compile(r"^(?=Traceback)[\s\S]*^[\w.]+(?:Error|Exception|Expired): (.*)$", re.MULTILINE)
_numbers = itertools.count()


@dataclass(frozen=True)
class ObjectFiles:
    """The files behind `SCHEME://BUCKET/PATH`, a path or glob; listed once, and refused when one changes afterwards."""

    name: str
    shown: str
    engine: str = "duckdb"
    ordered: bool = True
    _kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def files(self) -> Mapping[str, tuple[str, ...]]:
        """Paths in the store, sorted, each with what identifies its present content (size and entity tag or time).

        Raises:
            DataError: there are none, the kind is not supported, or the store does not answer.
        """
        if "files" not in self._kept:
            try:
                self._kept["files"] = _list(self._store(), self.shown, self.name)
            except DataError:
                raise
            except Exception as error:
                reason = self.without_secrets(str(error).strip() or type(error).__name__).splitlines()[0][:300]
                raise DataError(
                    f"the object store of the {self.name} table does not answer ({reason})",
                    where=self.shown,
                    hint="Check bucket, endpoint and credentials in the environment",
                ) from error
        files: Mapping[str, tuple[str, ...]] = self._kept["files"]
        return files

    def connect(self, memory_limit: str) -> Any:
        return connect_duckdb(memory_limit)

    def open(self, backend: Any) -> ir.Table:
        protocol = f"raiobjects{next(_numbers)}"  # one of our own: ibis would fetch an extension for s3://
        backend.register_filesystem(_only(self._store(), self.files, protocol))
        paths = list(self.files)
        return read_files(backend, [f"{protocol}://{path}" for path in paths], format_of(PurePosixPath(paths[0])))

    def to_arrow(self, backend: Any, expression: Any) -> pa.Table:
        return backend.to_pyarrow(expression)

    def batches(self, backend: Any, expression: Any, rows: int) -> Iterator[pa.RecordBatch]:
        return stream_duckdb(backend, expression, rows)

    def digest(self, table: Callable[[], ir.Table], run: Callable[[Any], pd.DataFrame]) -> str:
        store = self._store()
        return digest_of_files([_digest_of_object(store, path, self.files) for path in self.files])

    def without_secrets(self, text: str) -> str:
        text = (_PYTHON_ERROR.findall(text) or [text])[-1]  # DuckDB hands on what the store's client raised with its whole traceback
        hidden = {value: f"${{{name}}}" for name, value in os.environ.items() if value and _SECRET_VARIABLES.fullmatch(name)}
        for value in sorted(hidden, key=len, reverse=True):
            text = text.replace(value, hidden[value])
        return without_spill_folder(re.sub(r"raiobjects\d+://", f"{self.shown.partition('://')[0]}://", text))

    def is_lost(self, backend: Any) -> bool:
        return False  # the store's client asks again by itself

    def reconnect(self, backend: Any) -> None:
        raise AssertionError("DuckDB runs in this process: there is no connection to lose")

    def _store(self) -> Any:
        if "store" not in self._kept:
            self._kept["store"] = _connect(self.shown, self.name)
        return self._kept["store"]


def parse_object_reference(reference: str, *, name: str) -> ObjectFiles:
    """The files that a reference with one of the `STORES` schemes names; nothing is asked yet.

    Raises:
        DataError: it holds credentials, or names no path. It is not repeated then.
    """
    scheme, _, rest = reference.strip().partition("://")
    # an @ anywhere, for a secret may have a slash in it; the price is that no key with an @ in its name can be read
    if "@" in rest or ":" in rest.partition("/")[0] or re.search(r"\?[^/]*=", rest):
        raise DataError(
            f"the {name} reference has a login or a signature in it",
            where=f"{scheme}://…",
            hint="Credentials and accounts come from the environment; write SCHEME://BUCKET/PATH, and change what was written down",
        )
    bucket, _, path = rest.partition("/")
    if not bucket or not path:
        raise DataError(f"the {name} reference names no file of a bucket", where=f"{scheme}://…", hint="Write SCHEME://BUCKET/PATH")
    if _GLOB.search(bucket) or ".." in PurePosixPath(path).parts:
        raise DataError(f"the {name} reference names no single bucket or leaves it", where=f"{scheme}://…", hint="Write SCHEME://BUCKET/PATH")
    return ObjectFiles(name=name, shown=f"{scheme}://{rest}")


def _connect(shown: str, name: str) -> Any:
    """The fsspec file system of a reference; it lists anew each time, so that a file which came or went is seen."""
    protocol, extra = STORES[shown.partition("://")[0].lower()]
    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if protocol == "s3":
        retries = {"max_attempts": 1}  # s3fs itself asks five times
        options["config_kwargs"] = {"connect_timeout": CONNECT_TIMEOUT_S, "read_timeout": READ_TIMEOUT_S, "retries": retries}
    try:
        return _fsspec().filesystem(protocol, **options)
    except ImportError as error:
        raise DataError(
            f"the {name} table is in an object store whose client is not installed", where=shown, hint=f"Install rai-pipelines[{extra}]"
        ) from error


def _list(store: Any, shown: str, name: str) -> dict[str, tuple[str, ...]]:
    path = shown.partition("://")[2]
    found: dict[str, Mapping[str, Any]]
    try:
        found = {path: store.info(path)}  # a file whose very name has glob characters in it comes before what they would match
    except FileNotFoundError:
        found = dict(store.glob(path, detail=True)) if _GLOB.search(path) else {}
        if not found:
            _refuse_unreadable(store, path)
            raise DataError(f"no file of the {name} table is there", where=shown, hint="Correct the reference in the datasheet") from None
    names = sorted(found)
    check_kinds([(PurePosixPath(each), found[each].get("type") == "directory") for each in names], shown)
    return {each: _state(store.info(each)) for each in names}


def _refuse_unreadable(store: Any, path: str) -> None:
    """Raise what keeps the folder from being listed: fsspec's glob takes a folder that it may not read for an empty one."""
    folder = PurePosixPath(_GLOB.split(path)[0] + "x").parent
    try:
        store.ls(str(folder), detail=False)
    except FileNotFoundError:
        return


def _state(info: Mapping[str, Any]) -> tuple[str, ...]:
    """What changes when an object is written again, as far as the store says: size, entity tag or checksum, time."""
    marks = ("size", "ETag", "etag", "md5Hash", "content_md5", "generation", "LastModified", "last_modified", "created")
    return tuple(f"{mark}={info[mark]}" for mark in marks if info.get(mark) is not None)


def _open_unchanged(store: Any, path: str, files: Mapping[str, tuple[str, ...]]) -> Any:
    if path not in files:
        raise FileNotFoundError(path)
    if _state(store.info(path)) != files[path]:
        raise OSError(f"{PurePosixPath(path).name} has changed since it was listed; start the audit again")
    return store.open(path, "rb", block_size=BLOCK_BYTES)


def _digest_of_object(store: Any, path: str, files: Mapping[str, tuple[str, ...]]) -> str:
    found = hashlib.sha256()
    with _open_unchanged(store, path, files) as stream:
        while block := stream.read(BLOCK_BYTES):
            found.update(block)
    return f"sha256:{found.hexdigest()}"


def _only(store: Any, files: Mapping[str, tuple[str, ...]], protocol: str) -> Any:
    """A read-only file system under a scheme of its own that holds exactly `files` of `store`."""

    def bare(path: str) -> str:
        return path.removeprefix(f"{protocol}://")

    def info(self: Any, path: str, **options: Any) -> dict[str, Any]:
        if bare(path) not in files:
            raise FileNotFoundError(path)
        size = next(mark.partition("=")[2] for mark in files[bare(path)] if mark.startswith("size="))
        return {"name": path, "size": int(size), "type": "file"}

    def modified(self: Any, path: str) -> Any:
        return datetime.fromtimestamp(0, tz=UTC)  # the files are pinned: none is newer than another

    methods = {
        "protocol": protocol,
        "cachable": False,
        "info": info,
        "modified": modified,
        "glob": lambda self, path, **options: [path] if bare(path) in files else [],
        "_open": lambda self, path, mode="rb", **options: _open_unchanged(store, bare(path), files),
    }
    return type("PinnedFiles", (_fsspec().AbstractFileSystem,), methods)()


def _fsspec() -> Any:
    return importlib.import_module("fsspec")  # part of the extras, like the stores' clients
