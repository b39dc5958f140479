"""What the project asks of a model registry; adapters (MLflow, Weights & Biases) answer it.

A registry that does not answer raises `RegistryUnavailable`; it never looks like an empty one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from rai_pipelines.subjects.names import ModelVersion

LIVE_TAG_VALUE = "production"
SUBMITTER_TAG = "rai.submitted_by"


@dataclass(frozen=True)
class RegisteredVersion:
    """A version as the registry lists it. `created_ms` is milliseconds since 1970, UTC; `submitted_by` the identities that registered it."""

    version: ModelVersion
    created_ms: int
    tags: Mapping[str, str] = field(default_factory=dict)
    submitted_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class LivePointer:
    """Something in the registry that means "in use": an alias of that name, or a tag."""

    name: str
    version: ModelVersion
    kind: Literal["alias", "tag"] = "alias"


class ModelRegistry(Protocol):
    """The verbs that an adapter implements. Every one may raise `RegistryUnavailable`."""

    def versions_since(self, created_ms: int, *, limit: int) -> Sequence[RegisteredVersion]:
        """Versions created at or after `created_ms`: the oldest `limit` of them, oldest first, ties by (name, version).

        All versions of the last millisecond come along, even beyond `limit`: a caller that goes on from the millisecond after
        the last one it got moves forward and loses none.
        """

    def get(self, version: ModelVersion) -> RegisteredVersion:
        """One version, with everybody whom the registry says it was submitted by; raises `UnknownModelVersion`."""

    def live_pointers(self, *, also: Collection[str] = ()) -> Sequence[LivePointer]:
        """Everything that points at a version in use: live aliases, and the live tag. Aliases in `also` are listed beside them."""

    def live_versions(self) -> Sequence[ModelVersion]:
        """Versions that a live alias or the live tag points at."""

    def is_live(self, version: ModelVersion) -> bool:
        """Whether `version` is one of `live_versions`, without listing them."""

    def fetch(self, version: ModelVersion, into: Path) -> Path:
        """Copy the version's files below `into` and return their folder; runs nothing of them."""

    def set_tags(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        """Write tags on a version."""

    def aliases(self, name: str) -> Mapping[str, str]:
        """Alias to version of one registered model."""

    def set_alias(self, alias: str, version: ModelVersion) -> None:
        """Point `alias` at `version`."""

    def delete_alias(self, alias: str, name: str) -> None:
        """Remove `alias` from the registered model; no error when it is not there."""


def whole_milliseconds(ordered: Sequence[RegisteredVersion], limit: int) -> Sequence[RegisteredVersion]:
    """The first `limit` items, and those that share the last one's millisecond."""
    if len(ordered) <= limit:
        return ordered
    last = ordered[max(limit, 1) - 1].created_ms
    return [item for item in ordered if item.created_ms <= last]
