"""Published versions: `id@version` is pinned to one digest, for ever, in a file that is written once.

The file keeps a changed policy from being loaded under the same version. It gives no leave to approve anything: a signature does
(governance/decisions/publications.py).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from rai_pipelines.clock import utc_now
from rai_pipelines.errors import PolicyError
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import Record
from rai_pipelines.policy.model import Policy


class PublishedPolicy(Record):
    """A published version as it is kept: the whole resolved policy with its digest."""

    schema_version: Literal["rai.published-policy/v1"] = "rai.published-policy/v1"
    policy: Policy
    digest: str
    published_at: str


def publish(policy: Policy, folder: Path) -> tuple[PublishedPolicy, bool]:
    """Pin the policy's `id@version` to its digest below `folder`; returns the record, and whether it is new. Safe to repeat.

    Raises:
        PolicyError: this version was published with another digest, or the folder does not take it.
    """
    kept = refuse_changed(policy, folder)
    if kept is not None:
        return kept, False
    record = PublishedPolicy(policy=policy, digest=policy.digest, published_at=utc_now().isoformat(timespec="milliseconds"))
    path = _path(policy.label, folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(canonical_json(record.model_dump(mode="json", by_alias=True)))
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(temporary, 0o444)
            os.link(temporary, path)  # fails where the file is there: of two publishers at once, one wins
        finally:
            Path(temporary).unlink(missing_ok=True)
    except FileExistsError:
        return publish(policy, folder)
    except OSError as error:
        raise PolicyError(f"cannot be published ({error.strerror})", where=str(path), hint="Make the folder writable and try again") from error
    return record, True


def refuse_changed(policy: Policy, folder: Path) -> PublishedPolicy | None:
    """The record of this `id@version`, None where it was not published.

    Raises:
        PolicyError: it was published with another digest.
    """
    kept = published_version(policy.label, folder)
    if kept is not None and kept.digest != policy.digest:
        raise PolicyError(
            f"was published on {kept.published_at[:10]} with digest {kept.digest}; this one has {policy.digest}",
            where=policy.label,
            hint=f"Give the changed policy a new version; rai policy diff {policy.label} FILE shows what changed",
        )
    return kept


def published_version(label: str, folder: Path) -> PublishedPolicy | None:
    """The version published as `id@version`; None when there is none.

    Raises:
        PolicyError: the file was altered or cannot be read: nothing is then known about this version.
    """
    path = _path(label, folder)
    try:
        record = PublishedPolicy.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError, ValueError) as error:
        raise PolicyError("cannot be read", where=str(path), hint="Restore it from a backup; the ledger names the digest it must have") from error
    if record.policy.digest != record.digest or record.policy.label != label:
        raise PolicyError("was altered after it was published", where=str(path), hint="Restore it from a backup; the ledger names its digest")
    return record


def any_published(folder: Path) -> bool:
    """Whether any version has a file there."""
    return next((folder / "published").glob("*/*.json"), None) is not None


def _path(label: str, folder: Path) -> Path:
    name, _, version = label.partition("@")
    if not name or not version or "/" in label or ".." in name or os.sep in label:
        raise PolicyError("is no published policy", where=repr(label), hint="Write ID@VERSION, such as rai-default@1.0.0")
    return folder / "published" / name / f"{version}.json"
