"""One canonical JSON (RFC 8785) and one digest over it; equal content has equal bytes on every machine."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import rfc8785
from pydantic import BaseModel

from rai_pipelines.errors import EvidenceError


def canonical_json(value: Any) -> bytes:
    """`value` as RFC 8785 canonical JSON, UTF-8.

    Pydantic models, dataclass-free mappings, sequences, dates, enums and NumPy scalars are accepted.

    Raises:
        EvidenceError: a NaN or infinite number, an integer that no double holds exactly, or a type without a JSON form.
    """
    try:
        return rfc8785.dumps(plain(value))
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise EvidenceError(f"content has no canonical JSON form ({error})", hint="This is a defect of the assessment that made it") from error


def digest_of(value: Any) -> str:
    """`sha256:<hex>` over the canonical JSON of `value`."""
    return "sha256:" + hashlib.sha256(canonical_json(value)).hexdigest()


def digest_of_file(path: Path) -> str:
    """`sha256:<hex>` over the bytes of one file."""
    with path.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of_folder(folder: Path) -> str:
    """`sha256:<hex>` over the relative names and contents of all files below `folder`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest_of({path.relative_to(folder).as_posix(): digest_of_file(path) for path in files})


def plain(value: Any) -> Any:
    """`value` as dicts, lists, strings, numbers, booleans and None; refuses numbers that JSON cannot carry."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump(mode="json"))
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if hasattr(value, "item") and not isinstance(value, int | float):  # a NumPy scalar
        value = value.item()
    if isinstance(value, int) and 2**53 <= abs(value) < 2**1023 and Decimal(repr(float(value))) == value:
        return float(value)  # RFC 8785 knows doubles only: the digits of a large one come back from JSON as an integer
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise EvidenceError(f"{value} is not a finite number", hint="Say why a figure is absent (state, note) instead of storing it")
        return value
    raise EvidenceError(f"{type(value).__name__} has no JSON form", hint="This is a defect of the assessment that made it")
