"""How Weights & Biases says what this project asks of a registry, in pure functions; the adapter beside this file does the calls.

A collection of artifacts is a model, its `v3` is version 3. A version linked into a registry is its source's artifact: whatever metadata is written
there is seen in every collection that links it. So tags of ours stand under `rai`, by collection and version, and a verdict on a model is never
read as one on another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from rai_pipelines.errors import InvalidName, RegistryRefused, SettingsError
from rai_pipelines.subjects.names import ModelVersion

SCHEME = "wandb"
REGISTRY_PREFIX = "wandb-registry-"
OWN_KEY = "rai"  # the one metadata key that is ours
METADATA_KEYS_MAX = 100  # W&B takes no more on one artifact
OWN_ALIASES = ("latest",)  # W&B moves these by itself, and `v0`, `v1` ...


@dataclass(frozen=True)
class Place:
    """Where models are kept: `ENTITY/PROJECT`, or `ORGANISATION/wandb-registry-NAME`; only artifacts of `type` are models."""

    entity: str
    project: str
    type: str = "model"

    @property
    def is_registry(self) -> bool:
        """Whether versions are linked into it, not logged."""
        return self.project.startswith(REGISTRY_PREFIX)

    @property
    def registry_name(self) -> str:
        """The registry's name as people read it."""
        return self.project.removeprefix(REGISTRY_PREFIX)


def parse_place(uri: str) -> Place:
    """The place that `wandb://ENTITY/PROJECT` names, with `?type=` where models are not of type `model`.

    Raises:
        SettingsError: it names none.
    """
    parts = urlsplit(uri)
    names = [unquote(part) for part in (parts.netloc, *parts.path.strip("/").split("/"))]
    asked = parse_qs(parts.query)
    usable = parts.scheme == SCHEME and len(names) == 2 and all(names) and "@" not in parts.netloc
    if not usable or set(asked) - {"type"} or names[1] == REGISTRY_PREFIX:
        raise SettingsError(
            "names no place in Weights & Biases",
            where="RAI_TRACKING_URI",
            hint="Write wandb://ENTITY/PROJECT or wandb://ORGANISATION/wandb-registry-NAME",
        )
    return Place(names[0], names[1], asked.get("type", ["model"])[0])


def version_of(collection: str, text: str) -> ModelVersion:
    """The model version that W&B calls `collection:v3`, from `v3`.

    Raises:
        InvalidName: it cannot be a partition key.
    """
    number = text.removeprefix("v")
    if not (number.isascii() and number.isdecimal()) or str(int(number)) != number:
        raise InvalidName("is no version as W&B numbers them", where=f"{collection}:{text}"[:200], hint="It is left out")
    return ModelVersion(collection, number)


def milliseconds(created_at: str) -> int:
    """Since 1970, from W&B's ISO 8601; without a time zone it is UTC."""
    moment = datetime.fromisoformat(created_at)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def own_aliases(aliases: Iterable[str]) -> tuple[str, ...]:
    """Aliases that people gave, sorted: without `latest` and `v3`, which W&B gives."""
    return tuple(sorted(alias for alias in set(aliases) if not _is_wandbs(alias)))


def check_alias(alias: str) -> None:
    """Raises `InvalidName` for an alias that W&B does not take or moves by itself."""
    if not alias or _is_wandbs(alias) or set(alias) & set("/:"):
        raise InvalidName("is no alias that W&B takes", where=repr(alias), hint="Use another than latest, v0, v1 …, and without / and :")


def moves_of_alias(holders: Iterable[str], target: str | None) -> tuple[bool, tuple[str, ...]]:
    """Whether the alias has to be added to `target` (a version; None: to none), and from which versions it has to be taken afterwards."""
    held = set(holders)
    return target is not None and target not in held, tuple(sorted(held - {target}))


def tags_of(metadata: Mapping[str, Any], place: Place, version: ModelVersion) -> dict[str, str]:
    """Metadata as tags: what people wrote (texts, numbers, yes and no), and what this project wrote about this version in this collection."""
    theirs = {str(key): _text(value) for key, value in metadata.items() if key != OWN_KEY and isinstance(value, str | int | float | bool)}
    kept = metadata.get(OWN_KEY)
    ours = kept.get(_own_key(place, version)) if isinstance(kept, Mapping) else None
    found = {str(key): _text(value) for key, value in ours.items()} if isinstance(ours, Mapping) else {}
    return dict(sorted({**theirs, **found}.items()))


def with_tags(metadata: Mapping[str, Any], place: Place, version: ModelVersion, tags: Mapping[str, str]) -> dict[str, Any]:
    """The metadata with these tags added; everything else as it is.

    Raises:
        RegistryRefused: W&B would not take as many keys.
    """
    if OWN_KEY not in metadata and len(metadata) >= METADATA_KEYS_MAX:
        hint = f"Take one away: W&B takes {METADATA_KEYS_MAX}, and verdicts stand under the key {OWN_KEY!r}"
        raise RegistryRefused(f"has {len(metadata)} metadata keys", where=str(version), hint=hint)
    kept = metadata.get(OWN_KEY)
    all_ours = dict(kept) if isinstance(kept, Mapping) else {}
    before = all_ours.get(_own_key(place, version))
    all_ours[_own_key(place, version)] = {**(before if isinstance(before, Mapping) else {}), **tags}
    return {**metadata, OWN_KEY: all_ours}


def _own_key(place: Place, version: ModelVersion) -> str:
    return f"{place.entity}/{place.project}/{version.name}:v{version.version}"


def _is_wandbs(alias: str) -> bool:
    return alias in OWN_ALIASES or (alias[:1] == "v" and alias[1:].isdecimal())


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
