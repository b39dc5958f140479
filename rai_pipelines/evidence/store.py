"""The content-addressed store: evidence goes in once under its digest and is verified each time it comes out.

Layout of the local store:

    objects/<first two hex digits>/<hex>.json     canonical JSON, immutable
    latest/<model>/<version>/<kind>.json          receipt of the newest object of that kind
    history/<model>/<version>.jsonl               every receipt, oldest first
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from rai_pipelines.clock import utc_now
from rai_pipelines.errors import EvidenceError
from rai_pipelines.evidence.canonical import canonical_json, digest_of
from rai_pipelines.evidence.model import Evidence, Receipt, Status

RecordT = TypeVar("RecordT", bound=BaseModel)


class EvidenceStore(Protocol):
    """What the rest of the project asks of a store. `folder` is the path-safe partition key `name/version`."""

    def put(self, record: BaseModel, *, kind: str, folder: str, status: Status, duration_s: float = 0.0) -> Receipt:
        """Keep `record`; the same content again is the same object."""

    def get(self, digest: str, model: type[RecordT]) -> RecordT:
        """The object with this digest, verified."""

    def latest(self, kind: str, folder: str) -> Receipt | None:
        """The receipt of the newest object of that kind, or None."""

    def history(self, folder: str) -> tuple[Receipt, ...]:
        """Every receipt of that model version, oldest first."""

    def latest_evidence(self, assessment: str, folder: str) -> Evidence | None:
        """The newest evidence of that assessment, verified; None when there is none."""

    def purge(self, before: datetime, *, held: frozenset[str]) -> tuple[int, int]:
        """Delete receipts from before that moment, but for those of the models in `held` and the newest of each kind, and objects that none names.

        Models in `held` are named as in receipts: by the path-safe form of their name.

        Returns:
            How many receipts and how many objects went.
        """

    def folders(self) -> tuple[str, ...]:
        """The path-safe keys of every model version that something is kept of, sorted."""


class LocalEvidenceStore:
    """An `EvidenceStore` in a local folder. Writes are atomic: a reader sees the old file or the new one, never half of one."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, record: BaseModel, *, kind: str, folder: str, status: Status, duration_s: float = 0.0) -> Receipt:
        content = canonical_json(record)
        digest = digest_of(record)
        target = self._object_path(digest)
        if not target.exists() or target.read_bytes() != content:
            write_atomically(target, content)
        name, version = folder.rsplit("/", 1)
        receipt = Receipt(
            digest=digest,
            assessment=kind,
            model_name=name,
            model_version=version,
            status=status,
            recorded_at=utc_now().isoformat(timespec="milliseconds"),
            duration_s=round(duration_s, 3),
        )
        line = receipt.model_dump_json().encode() + b"\n"
        self._append(self.root / "history" / f"{folder}.jsonl", line)
        write_atomically(self._latest_path(kind, folder), line)
        return receipt

    def get(self, digest: str, model: type[RecordT]) -> RecordT:
        path = self._object_path(digest)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise EvidenceError("is not in the evidence store", where=digest, hint=f"Run the audit again or restore {path}") from error
        try:
            # objects are written in canonical form, so that their bytes have the digest; one that was laid out anew is read all the same
            if "sha256:" + hashlib.sha256(content).hexdigest() != digest and digest_of(json.loads(content)) != digest:
                raise EvidenceError(
                    "content does not match its digest: it was altered after it was stored",
                    where=str(path),
                    hint="Restore the file from a backup, or delete it and run the audit again",
                )
            return model.model_validate_json(content)
        except (ValueError, ValidationError) as error:
            raise EvidenceError(f"is not readable as {model.__name__} ({error})", where=str(path), hint="Run the audit again") from error

    def latest(self, kind: str, folder: str) -> Receipt | None:
        path = self._latest_path(kind, folder)
        try:
            return Receipt.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise EvidenceError("is not a receipt", where=str(path), hint="Delete it and run the audit again") from error

    def history(self, folder: str) -> tuple[Receipt, ...]:
        path = self.root / "history" / f"{folder}.jsonl"
        if not path.exists():
            return ()
        found = []
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            if not line.strip():
                continue
            try:
                found.append(Receipt.model_validate_json(line))
            except ValidationError as error:
                hint = "A full disk leaves half a line; restore the file from a backup, or remove that line: what it named is then not looked at"
                raise EvidenceError("is not a receipt", where=f"{path}:{number}", hint=hint) from error
        return tuple(found)

    def latest_evidence(self, assessment: str, folder: str) -> Evidence | None:
        """The newest evidence of that assessment, verified; None when there is none."""
        receipt = self.latest(assessment, folder)
        return self.get(receipt.digest, Evidence) if receipt else None

    def purge(self, before: datetime, *, held: frozenset[str]) -> tuple[int, int]:
        """See `EvidenceStore.purge`. An object is looked at by its own age too: one that was written just now has a receipt that is to come."""
        moment, gone, named = before.isoformat(timespec="milliseconds"), 0, set[str]()
        for path in sorted((self.root / "history").rglob("*.jsonl")) if self.root.exists() else ():
            folder = path.relative_to(self.root / "history").with_suffix("").as_posix()
            receipts = self.history(folder)
            newest = {receipt.assessment: receipt for receipt in receipts}
            kept = [item for item in receipts if item.recorded_at >= moment or item.model_name in held or item is newest[item.assessment]]
            named |= {receipt.digest for receipt in kept}
            if len(kept) < len(receipts):
                gone += len(receipts) - len(kept)
                write_atomically(path, b"".join(receipt.model_dump_json().encode() + b"\n" for receipt in kept))
        objects = [path for path in (self.root / "objects").rglob("*.json") if f"sha256:{path.stem}" not in named]
        old = [path for path in objects if path.stat().st_mtime < before.timestamp()]
        for path in old:
            path.unlink()
        return gone, len(old)

    def folders(self) -> tuple[str, ...]:
        root = self.root / "history"
        return tuple(sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.jsonl")))

    def _object_path(self, digest: str) -> Path:
        kind, _, value = digest.partition(":")
        if kind != "sha256" or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
            raise EvidenceError("is not a digest", where=repr(digest), hint="A digest reads sha256:<64 hex digits>")
        return self.root / "objects" / value[:2] / f"{value}.json"

    def _latest_path(self, kind: str, folder: str) -> Path:
        return self.root / "latest" / folder / f"{kind}.json"

    @staticmethod
    def _append(path: Path, line: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line)  # one write of one line: concurrent writers do not mix
            os.fsync(handle)
        finally:
            os.close(handle)


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that no reader, and no crash, ever sees a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
