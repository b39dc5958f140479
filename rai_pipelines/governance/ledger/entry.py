"""One entry of the ledger: canonical JSON, sealed by the hash of the entry before it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import rfc8785
from pydantic import AfterValidator, Field, JsonValue, ValidationError

from rai_pipelines.errors import LedgerError
from rai_pipelines.evidence.model import Record

GENESIS = "sha256:" + "0" * 64  # what the first entry names as the one before it
LONGEST_TEXT = 300
MOST_BYTES = 64 * 1024
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Actor = Annotated[str, Field(pattern=r"^(system|key):[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
Retention = Literal["document", "log"]
MAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")


def _no_personal_data(body: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    for text in _texts(body):
        if len(text) > LONGEST_TEXT:
            raise ValueError(f"a text of {len(text)} characters; keep it in the governance database and name its digest")
        if MAIL.search(text):
            raise ValueError("a mail address; the ledger names people by their key only")
    return body


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for key, item in value.items() for text in (str(key), *_texts(item))]
    return [text for item in value for text in _texts(item)] if isinstance(value, list | tuple) else []


class LedgerEntry(Record):
    """What happened. `sequence` counts from 1; `actor` is a part of this software or the id of a key, never a name."""

    schema_version: Literal["rai.ledger.entry/v1"] = "rai.ledger.entry/v1"
    sequence: int = Field(ge=1, le=2**53 - 1)
    previous: Digest
    recorded_at: datetime
    kind: str = Field(pattern=r"^[a-z][a-z_]{1,39}$")
    model_name: str | None = Field(default=None, max_length=LONGEST_TEXT)
    model_version: str | None = Field(default=None, max_length=LONGEST_TEXT)
    actor: Actor
    retention: Retention = "document"
    body: Annotated[Mapping[str, JsonValue], AfterValidator(_no_personal_data)] = Field(default_factory=dict)


NAMES = LedgerEntry.model_fields.keys()


def seal(entry: LedgerEntry) -> tuple[str, str]:
    """The entry as canonical JSON (RFC 8785), and its hash over every byte of it, which the next entry names.

    Raises:
        LedgerError: the entry is larger than 64 KiB.
    """
    content = entry.model_dump(mode="json")
    content["recorded_at"] = _moment(entry.recorded_at)
    text = rfc8785.dumps(content)
    if len(text) > MOST_BYTES:
        raise LedgerError(f"has {len(text):,} bytes", where=f"ledger entry {entry.sequence}", hint="Keep the content elsewhere and name its digest")
    return text.decode(), hash_of(text)


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def hash_of(content: bytes) -> str:
    """`sha256:<hex>` over the bytes of one entry."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def read_entry(content: str) -> LedgerEntry:
    """The entry in `content`.

    Raises:
        LedgerError: it is no entry, or not in canonical form: the same entry could be written in two ways.
    """
    try:
        fractions: list[str] = []

        def fraction(text: str) -> float:
            fractions.append(text)
            return float(text)

        parsed = json.loads(content, object_pairs_hook=_without_repeats, parse_float=fraction, parse_int=_exact)
        if not _is_canonical(parsed, content, plain=not fractions and content.isascii()):
            raise LedgerError("is not in canonical form", where="ledger entry")
        entry = LedgerEntry.model_validate(parsed)
        if parsed.keys() != NAMES or type(parsed["sequence"]) is not int or parsed["recorded_at"] != _moment(entry.recorded_at):
            raise LedgerError("is written otherwise than entries are", where="ledger entry")
        return entry
    except (ValueError, RecursionError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise LedgerError(f"is not readable ({why[:200]})", where="ledger entry") from error


def _exact(text: str) -> int:
    """RFC 8785 writes whole numbers beyond 2^53 as fractions are written."""
    if len(text) > 17 or abs(int(text)) >= 2**53:
        raise ValueError(f"a whole number of {len(text)} digits")
    return int(text)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _is_canonical(parsed: Any, content: str, *, plain: bool) -> bool:
    """Without fractions and beyond ASCII nothing, the standard library writes what RFC 8785 asks for, and fast."""
    if plain and json.dumps(parsed, sort_keys=True, separators=(",", ":"), ensure_ascii=False) == content:
        return True
    return rfc8785.dumps(parsed) == content.encode()
