"""Checkpoints: the Merkle root over the first n entries, signed, and kept where who writes the database does not write."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from rai_pipelines.errors import KeyProblem, LedgerError
from rai_pipelines.governance.keys import open_statement, sign_statement
from rai_pipelines.governance.ledger.merkle import Frontier

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, Key

PREDICATE = "urn:rai-pipelines:ledger-checkpoint:v1"
SUBJECT = "rai-ledger"


@dataclass(frozen=True)
class Checkpoint:
    """The first `size` entries: root of their Merkle tree, hash of the last of them, and which keys signed."""

    size: int
    root: str
    last: str
    signed_at: str
    keys: tuple[str, ...]


def sign_checkpoint(frontier: Frontier, last: str, now: datetime, signer: CryptoSigner) -> dict[str, Any]:
    """A signed envelope over what `frontier` holds; `last` is the hash of its last entry."""
    predicate: dict[str, JsonValue] = {"size": frontier.size, "last": last, "signedAt": now.isoformat(timespec="seconds").replace("+00:00", "Z")}
    return sign_statement({SUBJECT: frontier.root}, PREDICATE, predicate, signer)


def open_checkpoint(envelope: Mapping[str, Any], keys: Sequence[Key]) -> Checkpoint:
    """The checkpoint in a signed envelope.

    Raises:
        KeyProblem: it is malformed, or not signed by one of `keys`.
    """
    statement, accepted = open_statement(envelope, keys, PREDICATE)
    try:
        (subject,) = statement["subject"]
        predicate = statement["predicate"]
        if subject["name"] != SUBJECT:
            raise KeyProblem(f"is about {subject['name']!r}", where="checkpoint", hint="Treat it as forged")
        return Checkpoint(int(predicate["size"]), str(subject["digest"]["sha256"]), str(predicate["last"]), str(predicate["signedAt"]), accepted)
    except (KeyError, TypeError, ValueError) as error:
        raise KeyProblem("is malformed", where="checkpoint", hint="Treat it as forged") from error


def write_outside(folder: Path, size: int, envelope: Mapping[str, Any]) -> Path:
    """Keep the envelope as a file of its own, which is never overwritten, and make it durable.

    Raises:
        LedgerError: the folder does not take it.
    """
    path = folder / f"checkpoint-{size:012d}.dsse.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
    except FileExistsError:
        return path  # another process wrote this size; its signature is as good
    except OSError as error:
        raise LedgerError(f"cannot be written ({error.strerror})", where=path.name, hint="Check RAI_CHECKPOINT_DIR") from error
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(envelope, stream, sort_keys=True)
        stream.flush()
        os.fsync(stream.fileno())
    return path


def read_outside(folder: Path) -> list[dict[str, Any]]:
    """Every envelope in the folder, by size.

    Raises:
        LedgerError: a file is unreadable: absent evidence of tampering is no proof of its absence.
    """
    found = []
    for path in sorted(folder.glob("checkpoint-*.dsse.json")):
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise LedgerError("is not readable", where=path.name, hint="Restore it from the copy kept elsewhere") from error
    return found
