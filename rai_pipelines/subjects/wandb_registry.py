"""The Weights & Biases adapter of `ModelRegistry`, through the public API of the `wandb` package: a registry, or a project's artifacts.

Only this file imports wandb, and only when it is asked something. The key comes from WANDB_API_KEY, the server from WANDB_BASE_URL. The package
starts a process of its own (wandb-core) that talks to the server.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from rai_pipelines.addresses import HIDDEN, without_secrets
from rai_pipelines.errors import InvalidName, ModelError, RaiError, RegistryRefused, RegistryUnavailable, SettingsError, UnknownModelVersion
from rai_pipelines.subjects.fetched import FILES_FOLDER, put_in_place
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.registry import LIVE_TAG_VALUE, SUBMITTER_TAG, LivePointer, RegisteredVersion, whole_milliseconds
from rai_pipelines.subjects.wandb_mapping import check_alias, milliseconds, moves_of_alias, own_aliases, parse_place, tags_of, version_of, with_tags

KEY = "WANDB_API_KEY"
PAGE_SIZE = 100
TIMEOUT_S = 10
NEWEST_LINK_FIRST = "-linked_at"
# A sensor tick has about 20 s: wandb's own default (20 retries, up to a minute apart) would hold it for an hour. What the user has set stays.
CLIENT_DEFAULTS = {
    "WANDB__GRAPHQL_RETRY_MAX": "1",
    "WANDB__FILE_TRANSFER_RETRY_MAX": "2",
    "WANDB_HTTP_TIMEOUT": str(TIMEOUT_S),
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",
}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Found:
    """One version as W&B lists it. For a registry `created_ms` is when it was linked: the artifact itself may be years older."""

    version: ModelVersion
    created_ms: int
    aliases: tuple[str, ...]
    artifact: Any = field(repr=False)


class WandbRegistry:
    """A `ModelRegistry` on Weights & Biases: `wandb://ORGANISATION/wandb-registry-NAME`, or `wandb://ENTITY/PROJECT`.

    `live_aliases` say which versions are in use, and so does the metadata key `live_tag` with the value `production`. A connection is made on
    first use.

    Raises:
        SettingsError: the address names no place.
    """

    def __init__(self, uri: str, *, live_aliases: Sequence[str] = ("champion", "production"), live_tag: str = "stage") -> None:
        self.uri = uri
        self.place = parse_place(uri)
        self.live_aliases = tuple(live_aliases)
        self.live_tag = live_tag
        self._connected: Any = None

    def versions_since(self, created_ms: int, *, limit: int) -> Sequence[RegisteredVersion]:
        """See `ModelRegistry.versions_since`. W&B sorts links by their time only for some organisations; elsewhere every version is listed."""
        found: dict[ModelVersion, RegisteredVersion] = {}
        previous, in_order = None, True
        with self._answering():
            for item, asked_in_order in self._newest_links():
                in_order = in_order and asked_in_order and (previous is None or item.created_ms <= previous)  # asked for is not done
                previous = item.created_ms
                if item.created_ms >= created_ms:
                    found[item.version] = self._registered(item)
                elif in_order:
                    break
        return tuple(whole_milliseconds(sorted(found.values(), key=lambda item: (item.created_ms, item.version)), limit))

    def get(self, version: ModelVersion) -> RegisteredVersion:
        """See `ModelRegistry.get`. Who ran the run that logged the artifact counts as having submitted it; W&B does not say who linked it."""
        with self._answering(version):
            item = self._find(version)
            user = _runner(item.artifact)
        return self._registered(item, submitters=(user,) if user else ())

    def live_pointers(self, *, also: Collection[str] = ()) -> Sequence[LivePointer]:
        """See `ModelRegistry.live_pointers`; sorted by name and version."""
        found: set[LivePointer] = set()
        with self._answering():
            for item in self._walk():
                found.update(LivePointer(alias, item.version) for alias in item.aliases if alias in self.live_aliases or alias in also)
                if self._has_live_tag(item):
                    found.add(LivePointer(self.live_tag, item.version, "tag"))
        return tuple(sorted(found, key=lambda pointer: (pointer.version, pointer.kind, pointer.name)))

    def live_versions(self) -> Sequence[ModelVersion]:
        """See `ModelRegistry.live_versions`; sorted, without repeats."""
        return tuple(sorted({pointer.version for pointer in self.live_pointers()}))

    def is_live(self, version: ModelVersion) -> bool:
        """See `ModelRegistry.is_live`."""
        with self._answering(version):
            item = self._find(version)
            return self._has_live_tag(item) or any(alias in self.live_aliases for alias in item.aliases)

    def fetch(self, version: ModelVersion, into: Path) -> Path:
        """See `ModelRegistry.fetch`. Every file is compared with the digest in W&B's manifest.

        Raises:
            ModelError: the artifact refers to files elsewhere, which could be files of this machine.
        """
        into.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=into, prefix=".fetching-"))
        try:
            with self._answering(version):
                artifact = self._find(version).artifact
                elsewhere = sorted(name for name, entry in artifact.manifest.entries.items() if entry.ref is not None)
                if elsewhere:
                    raise ModelError(
                        f"refers to {len(elsewhere)} files elsewhere, {elsewhere[0][:100]!r} among them",
                        where=str(version),
                        hint="Log the files themselves",
                    )
                artifact.download(root=str(unfinished), skip_cache=True)
                artifact.verify(root=str(unfinished))
            return put_in_place(unfinished, into / FILES_FOLDER)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def set_tags(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        """See `ModelRegistry.set_tags`; read again afterwards: wandb only warns when the source of a linked version cannot be written.

        Raises:
            RegistryRefused: it was not written, or there is no room for it.
        """
        with self._answering(version):
            artifact = self._find(version).artifact
            artifact.metadata = with_tags(artifact.metadata, self.place, version, tags)
            artifact.save()
            kept = tags_of(self._find(version).artifact.metadata, self.place, version)
        if any(kept.get(key) != value for key, value in tags.items()):
            hint = "Give the key the right to write to the project that the version was logged to"
            raise RegistryRefused("metadata was not taken", where=str(version), hint=hint)

    def aliases(self, name: str) -> Mapping[str, str]:
        """See `ModelRegistry.aliases`; empty for a model that does not exist."""
        with self._answering():
            return dict(sorted((alias, item.version.version) for item in self._walk(name) for alias in item.aliases))

    def set_alias(self, alias: str, version: ModelVersion) -> None:
        """See `ModelRegistry.set_alias`. It is added first and taken from others then, so that who follows it always finds a version."""
        check_alias(alias)
        with self._answering(version):
            self._find(version)
            self._move(alias, version.name, version.version)
            holders = [item.version for item in self._walk(version.name) if alias in item.aliases]
        if holders != [version]:
            raise RegistryRefused(f"alias {alias!r} was not taken", where=str(version), hint="See whether the alias is protected in W&B")

    def delete_alias(self, alias: str, name: str) -> None:
        """See `ModelRegistry.delete_alias`."""
        check_alias(alias)
        with self._answering():
            self._move(alias, name, None)

    def _move(self, alias: str, name: str, target: str | None) -> None:
        items = {item.version.version: item for item in self._walk(name)}
        add, taken_from = moves_of_alias((number for number, item in items.items() if alias in item.aliases), target)
        if add and target is not None:
            _save_aliases(items[target].artifact, add=alias)
            items = {item.version.version: item for item in self._walk(name)}  # W&B itself takes it from the others
            _, taken_from = moves_of_alias((number for number, item in items.items() if alias in item.aliases), target)
        for number in taken_from:
            _save_aliases(items[number].artifact, remove=alias)

    def _registered(self, item: _Found, submitters: tuple[str, ...] = ()) -> RegisteredVersion:
        tags = tags_of(item.artifact.metadata, self.place, item.version)
        said = (*((tags[SUBMITTER_TAG],) if SUBMITTER_TAG in tags else ()), *submitters)
        return RegisteredVersion(item.version, item.created_ms, tags, tuple(dict.fromkeys(said)))

    def _has_live_tag(self, item: _Found) -> bool:
        return tags_of(item.artifact.metadata, self.place, item.version).get(self.live_tag, "").lower() == LIVE_TAG_VALUE

    def _find(self, version: ModelVersion) -> _Found:
        for item in self._walk(version.name):
            if item.version == version:
                return item
        raise UnknownModelVersion("is not in the registry", where=str(version), hint="Check collection and version (3 for v3)")

    def _newest_links(self) -> Iterator[tuple[_Found, bool]]:
        """Every version, and whether they come with the newest link first."""
        from wandb.errors import UnsupportedError

        if self.place.is_registry:
            try:
                listed = self._linked(None, order=NEWEST_LINK_FIRST)
            except UnsupportedError:
                pass
            else:
                yield from ((item, True) for item in listed)
                return
        yield from ((item, False) for item in self._walk())

    def _walk(self, name: str | None = None) -> Iterator[_Found]:
        """Every version of every collection, or of the one called so."""
        return self._linked(name) if self.place.is_registry else self._logged(name)

    def _linked(self, name: str | None, order: str | None = None) -> Iterator[_Found]:
        """Versions of a registry."""
        registries = self._api().registries(organization=self.place.entity, filter={"name": self.place.registry_name})
        listed = registries if name is None else registries.collections(filter={"name": name})
        return self._memberships(listed.versions(order=order, per_page=PAGE_SIZE), name)

    def _memberships(self, versions: Any, name: str | None) -> Iterator[_Found]:
        page: Any = None
        linked_at: dict[str, str] = {}
        for artifact in versions:
            if versions.last_response is not page:
                page = versions.last_response
                linked_at = {
                    f"{node.artifact_collection.name}:v{node.version_index}": node.created_at for node in page.nodes() if node.artifact_collection
                }
            collection, _, number = artifact.name.rpartition(":")
            if artifact.type == self.place.type and artifact.project == self.place.project and name in (None, collection):
                yield from self._usable(collection, number, linked_at[artifact.name], artifact)
        if page is None:
            self._check_registry()

    def _check_registry(self) -> None:
        """Nothing was listed: either there is nothing, or there is no such registry (for this key), which W&B answers in the same way."""
        listed = self._api().registries(organization=self.place.entity, filter={"name": self.place.registry_name})
        if self.place.registry_name not in [registry.name for registry in listed]:
            hint = "Check RAI_TRACKING_URI, and whether the key may read that registry"
            raise RegistryUnavailable("there is no such registry, or it may not be seen", where=self.uri, hint=hint)

    def _logged(self, name: str | None) -> Iterator[_Found]:
        """Versions of a project's own collections."""
        path = f"{self.place.entity}/{self.place.project}"
        for collection in self._api().artifact_collections(path, self.place.type, per_page=PAGE_SIZE):
            if name not in (None, collection.name):
                continue
            for artifact in collection.artifacts(per_page=PAGE_SIZE):
                yield from self._usable(collection.name, artifact.name.rpartition(":")[2], artifact.created_at, artifact)

    def _usable(self, collection: str, number: str, created_at: str, artifact: Any) -> Iterator[_Found]:
        """The version, or nothing (said in the log) when its name cannot be a partition key."""
        try:
            yield _Found(version_of(collection, number), milliseconds(created_at), own_aliases(artifact.aliases), artifact)
        except InvalidName as error:
            _log.warning("model version cannot be audited", reason=str(error))

    def _api(self) -> Any:
        if self._connected is None:
            for name, value in CLIENT_DEFAULTS.items():
                os.environ.setdefault(name, value)
            key = os.environ.get(KEY)
            if not key:  # wandb would ask at the terminal
                raise SettingsError("is not set", where=KEY, hint="Set the key of a service account; RAI_TRACKING_URI names Weights & Biases")
            try:
                import wandb
            except ImportError as error:
                raise SettingsError("needs the package wandb", where="RAI_TRACKING_URI", hint="pip install 'rai-pipelines[wandb]'") from error
            self._connected = wandb.Api(api_key=key, timeout=TIMEOUT_S)
        return self._connected

    @contextmanager
    def _answering(self, version: ModelVersion | None = None) -> Iterator[None]:
        """Whatever goes wrong between here and W&B is an outage: nothing is known, and nothing may be concluded from it."""
        try:
            yield
        except RaiError:
            raise
        except Exception as error:
            self._connected = None  # connect anew next time
            key = os.environ.get(KEY) or HIDDEN
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].replace(key, HIDDEN)[:300]
            where = without_secrets(self.uri) + (f" {version}" if version else "")
            hint = f"Check RAI_TRACKING_URI, {KEY}, WANDB_BASE_URL and the server"
            raise RegistryUnavailable(f"Weights & Biases does not answer as it should ({reason})", where=where, hint=hint) from error


def _runner(artifact: Any) -> str | None:
    """Who ran the run that logged the artifact; None where there is no run (any more)."""
    from wandb.apis.public.runs import RunNotFoundError

    try:
        run = artifact.logged_by()
    except Exception as error:
        if isinstance(error, RunNotFoundError) or isinstance(getattr(error, "exc", None), RunNotFoundError):
            return None
        raise
    return None if run is None or not run.user.username else str(run.user.username)


def _save_aliases(artifact: Any, *, add: str | None = None, remove: str | None = None) -> None:
    """Write an artifact's aliases; wandb sends what has changed."""
    artifact.aliases = [alias for alias in artifact.aliases if alias != remove] + ([add] if add else [])
    artifact.save()
