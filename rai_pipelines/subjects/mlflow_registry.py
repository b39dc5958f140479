"""The MLflow adapter of `ModelRegistry`: any tracking URI that mlflow-skinny speaks (SQLite, PostgreSQL, a tracking server).

Only this file (and the demo, through it) imports mlflow. No user's name ever enters a filter string: versions are found by
paging in creation order, so quotes, spaces and non-Latin scripts need no escaping.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import structlog

from rai_pipelines.addresses import scrubbed, without_secrets
from rai_pipelines.errors import InvalidName, ModelError, RaiError, RegistryUnavailable, SettingsError, UnknownModelVersion
from rai_pipelines.subjects.fetched import FILES_FOLDER, put_in_place
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.registry import LIVE_TAG_VALUE, SUBMITTER_TAG, LivePointer, RegisteredVersion, whole_milliseconds

if TYPE_CHECKING:
    from mlflow import MlflowClient

PAGE_SIZE = 500
CONNECT_TIMEOUT_S = 5
RUN_USER_TAG = "mlflow.user"
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")

# A sensor tick has about 20 s: MLflow's own defaults (7 retries, 120 s each) would hold it for minutes. What the user has set stays.
CLIENT_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}

_log = structlog.get_logger(__name__)


class MlflowRegistry:
    """A `ModelRegistry` on MLflow.

    `live_aliases` and `live_tag` (with the value `production`) say which versions are in use; relative sources of versions start at
    `artifact_root`. The connection is made on first use, so constructing one costs nothing and cannot fail.
    """

    def __init__(
        self,
        uri: str,
        *,
        live_aliases: Sequence[str] = ("champion", "production"),
        live_tag: str = "stage",
        artifact_root: Path | None = None,
    ) -> None:
        self.uri = uri
        self.live_aliases = tuple(live_aliases)
        self.live_tag = live_tag
        self.artifact_root = artifact_root
        self._connected: MlflowClient | None = None

    def versions_since(self, created_ms: int, *, limit: int) -> Sequence[RegisteredVersion]:
        """See `ModelRegistry.versions_since`. Costs one page of 500 per 500 versions newer than `created_ms`."""
        with self._answering():
            new_enough = takewhile(lambda item: item.created_ms >= created_ms, self._newest_first())
            found = {item.version: item for item in new_enough}
        ordered = sorted(found.values(), key=lambda item: (item.created_ms, item.version)) if found else []
        return tuple(whole_milliseconds(ordered, limit))

    def get(self, version: ModelVersion) -> RegisteredVersion:
        """See `ModelRegistry.get`."""
        with self._answering(version):
            kept = self._client().get_model_version(version.name, version.version)
            found = _registered(kept)
            runner = self._runner(kept.run_id)
        if found is None:
            hint = "Check RAI_TRACKING_URI and the server"
            raise RegistryUnavailable("the registry answered about nothing that it was asked", where=str(version), hint=hint)
        if found.version != version:  # MLflow takes 01 for 1, and some databases Loans for loans: one version must not stand at the gate twice
            raise UnknownModelVersion("is not in the registry", where=str(version), hint=f"Did you mean {found.version}?")
        if runner:
            found = replace(found, submitted_by=tuple(dict.fromkeys((*found.submitted_by, runner))))
        return found

    def live_pointers(self, *, also: Collection[str] = ()) -> Sequence[LivePointer]:
        """See `ModelRegistry.live_pointers`; sorted by name and version."""
        found: set[LivePointer] = set()
        with self._answering():
            client = self._client()
            for model in _pages(lambda token: client.search_registered_models(max_results=PAGE_SIZE, page_token=token)):
                for alias, number in model.aliases.items():
                    if alias in self.live_aliases or alias in also:
                        found.update(LivePointer(alias, version) for version in _usable(model.name, number))
            tagged = (item.version for item in self._newest_first() if item.tags.get(self.live_tag, "").lower() == LIVE_TAG_VALUE)
            found.update(LivePointer(self.live_tag, version, "tag") for version in tagged)
        return tuple(sorted(found, key=lambda pointer: (pointer.version, pointer.kind, pointer.name)))

    def live_versions(self) -> Sequence[ModelVersion]:
        """See `ModelRegistry.live_versions`; sorted, without repeats."""
        return tuple(sorted({pointer.version for pointer in self.live_pointers()}))

    def is_live(self, version: ModelVersion) -> bool:
        """See `ModelRegistry.is_live`."""
        aliases = self.aliases(version.name)
        if any(aliases.get(alias) == version.version for alias in self.live_aliases):
            return True
        return self.get(version).tags.get(self.live_tag, "").lower() == LIVE_TAG_VALUE

    def fetch(self, version: ModelVersion, into: Path) -> Path:
        """See `ModelRegistry.fetch`. Files that are already there with the same content are left alone.

        Raises:
            ModelError: the version's files hold a symbolic link.
        """
        with self._answering(version):
            source = self._client().get_model_version_download_uri(version.name, version.version)
        into.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=into, prefix=".fetching-"))
        try:
            local = self._local_path(source)
            if local is None:
                self._download(source, unfinished, version)
            else:
                _copy_files(local, unfinished, version)
            return put_in_place(unfinished, into / FILES_FOLDER)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def set_tags(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        """See `ModelRegistry.set_tags`."""
        with self._answering(version):
            for key, value in sorted(tags.items()):
                self._client().set_model_version_tag(version.name, version.version, key, value)

    def aliases(self, name: str) -> Mapping[str, str]:
        """See `ModelRegistry.aliases`; empty for a model that does not exist."""
        try:
            with self._answering(ModelVersion(name, "0")):
                return {alias: str(number) for alias, number in sorted(self._client().get_registered_model(name).aliases.items())}
        except UnknownModelVersion:
            return {}

    def set_alias(self, alias: str, version: ModelVersion) -> None:
        """See `ModelRegistry.set_alias`."""
        with self._answering(version):
            self._client().set_registered_model_alias(version.name, alias, version.version)

    def delete_alias(self, alias: str, name: str) -> None:
        """See `ModelRegistry.delete_alias`."""
        if alias in self.aliases(name):
            with self._answering(ModelVersion(name, "0")):
                self._client().delete_registered_model_alias(name, alias)

    def register(self, name: str, source: Path, *, tags: Mapping[str, str] | None = None) -> ModelVersion:
        """Register the local folder `source` as the next version of `name`, which is created when it does not exist."""
        with self._answering(ModelVersion(name, "0")):
            from mlflow.exceptions import MlflowException

            client = self._client()
            try:
                client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            made = client.create_model_version(name, source=str(source), tags=dict(tags or {}))
        return ModelVersion(name, str(made.version))

    def _runner(self, run_id: str | None) -> str | None:
        """Who ran the run that the version came from; None where there is no run (any more)."""
        from mlflow.exceptions import MlflowException

        if not run_id:
            return None
        try:
            user = self._client().get_run(run_id).data.tags.get(RUN_USER_TAG)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return str(user) if user else None

    def _newest_first(self) -> Iterator[RegisteredVersion]:
        """Every version, newest first. A version registered meanwhile shifts pages: an item can come twice, never be lost."""
        client = self._client()
        order = ["creation_timestamp DESC"]
        for found in _pages(lambda token: client.search_model_versions(order_by=order, max_results=PAGE_SIZE, page_token=token)):
            item = _registered(found)
            if item is not None:
                yield item

    def _download(self, source: str, into: Path, version: ModelVersion) -> None:
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        with self._answering(version):
            try:
                got = Path(download_artifacts(artifact_uri=source, dst_path=str(into), tracking_uri=self.uri, registry_uri=self.uri))
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return  # a version without files
                raise
        if got.is_dir() and got != into:  # MLflow makes a subfolder for some stores
            for item in got.iterdir():
                shutil.move(item, into / item.name)
            got.rmdir()

    def _local_path(self, source: str) -> Path | None:
        """Where a version's files lie on this machine, or None for a remote store."""
        parts = urlsplit(source)
        if parts.scheme == "file":
            return Path(unquote(parts.path))
        if parts.scheme and len(parts.scheme) > 1:
            return None
        path = Path(source)
        return path if path.is_absolute() or self.artifact_root is None else self.artifact_root / path

    def _client(self) -> MlflowClient:
        if self._connected is None:
            for name, value in CLIENT_DEFAULTS.items():
                os.environ.setdefault(name, value)
            if self.uri.startswith(DATABASES):
                _check_database(self.uri)
            from mlflow import MlflowClient

            for noisy in ("mlflow", "alembic"):
                logging.getLogger(noisy).setLevel(logging.ERROR)
            self._connected = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        return self._connected

    @contextmanager
    def _answering(self, version: ModelVersion | None = None) -> Iterator[None]:
        """Say every failure of the registry in this project's words."""
        try:
            yield
        except RaiError:
            raise
        except Exception as error:
            code = getattr(error, "error_code", None)
            reason = scrubbed((str(error).strip().splitlines() or [type(error).__name__])[0], self.uri)[:300]
            if version is not None and code == "RESOURCE_DOES_NOT_EXIST":
                raise UnknownModelVersion("is not in the registry", where=str(version), hint="Check name and version") from error
            if version is not None and code == "INVALID_PARAMETER_VALUE":
                # MLflow numbers its versions: it calls any other text for one an invalid parameter.
                kind = InvalidName if version.version.isdecimal() else UnknownModelVersion
                raise kind(f"the registry refuses this ({reason})", where=str(version), hint="Use names that MLflow allows") from error
            if isinstance(error, ValueError) and not _is_outage(error):
                raise SettingsError(f"is not an address ({reason})", where="RAI_TRACKING_URI", hint="Correct or unset this variable") from error
            if not _is_outage(error):
                raise
            self._connected = None  # connect anew next time
            raise RegistryUnavailable(
                f"the model registry does not answer ({reason})",
                where=without_secrets(self.uri),
                hint="Check RAI_TRACKING_URI and the server",
            ) from error


def _pages(search: Any) -> Iterator[Any]:
    """All items of a paged MLflow search."""
    token: str | None = None
    while True:
        page = search(token)
        yield from page
        token = page.token
        if not token:
            return


def _registered(found: Any) -> RegisteredVersion | None:
    for version in _usable(found.name, found.version):
        tags = dict(sorted((found.tags or {}).items()))
        said = [str(one) for one in (getattr(found, "user_id", None), tags.get(SUBMITTER_TAG)) if one]
        return RegisteredVersion(version=version, created_ms=int(found.creation_timestamp), tags=tags, submitted_by=tuple(dict.fromkeys(said)))
    return None


def _usable(name: str, number: str | int) -> tuple[ModelVersion, ...]:
    """The version, or nothing (said in the log) when its name cannot be a partition key."""
    try:
        return (ModelVersion(name, str(number)),)
    except InvalidName as error:
        _log.warning("model version cannot be audited", reason=str(error))
        return ()


def _is_outage(error: Exception) -> bool:
    from google.protobuf.json_format import ParseError  # type: ignore[import-untyped,unused-ignore]  # an answer of another form
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return isinstance(error, MlflowException | SQLAlchemyError | OSError | ParseError)


def _check_database(uri: str) -> None:
    """Ask the database once, quickly: MLflow itself tries ten times over 100 seconds before it says that a database is down."""
    import sqlalchemy

    url = sqlalchemy.engine.make_url(uri)
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    options = {"connect_timeout": CONNECT_TIMEOUT_S} if url.get_backend_name() == "postgresql" else {}
    engine = sqlalchemy.create_engine(url, connect_args=options, poolclass=sqlalchemy.pool.NullPool)
    with engine.connect() as connection:
        sqlalchemy.inspect(connection).get_table_names()


def _copy_files(source: Path, target: Path, version: ModelVersion) -> None:
    """Copy a file or a folder; nothing when it does not exist (a version without files)."""
    for path in [source, *source.rglob("*")]:
        if path.is_symlink() and path != source:
            raise ModelError(
                "holds a symbolic link, which could lead out of the model's folder", where=f"{version}: {path.name}", hint="Register plain files"
            )
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.is_file():
        shutil.copy2(source, target / source.name)
