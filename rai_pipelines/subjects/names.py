"""The one place that names partition keys: a model version `name/version`, safe as a key, a path and a URL."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote

from rai_pipelines.errors import InvalidName

MAX_PART_BYTES = 200  # a quoted part becomes a file name; common file systems allow 255 bytes


@dataclass(frozen=True, order=True)
class ModelVersion:
    """One version of one registered model.

    Raises:
        InvalidName: a part is empty, too long, no text, or contains a control character.
    """

    name: str
    version: str

    def __post_init__(self) -> None:
        for label, part in (("model name", self.name), ("model version", self.version)):
            if not part or not part.strip():
                raise InvalidName(f"{label} is empty", where=f"{self.name!r}/{self.version!r}", hint="Write NAME/VERSION")
            if any("\ud800" <= character <= "\udfff" for character in part):
                raise InvalidName(f"{label} is no text", where=ascii(part[:40]), hint="Write it in UTF-8")
            if any(ord(character) < 32 or ord(character) == 127 for character in part):
                raise InvalidName(f"{label} has a control character", where=repr(part), hint="Register the model under a printable name")
            if len(_quoted(part)) > MAX_PART_BYTES:
                raise InvalidName(
                    f"{label} is longer than {MAX_PART_BYTES} bytes when quoted", where=repr(part[:40]) + "…", hint="Use a shorter name"
                )

    @property
    def key(self) -> str:
        """Partition key and relative folder: each part URL-quoted, joined by a slash."""
        return f"{_quoted(self.name)}/{_quoted(self.version)}"

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"

    @classmethod
    def from_key(cls, key: str) -> ModelVersion:
        """The model version of a partition key.

        Raises:
            InvalidName: `key` was not made by `ModelVersion.key`.
        """
        name, slash, version = key.partition("/")
        if not slash or "/" in version:
            raise InvalidName("is not a partition key", where=repr(key), hint="A key reads name/version, each part URL-quoted")
        made = cls(unquote(name), unquote(version))
        if made.key != key:
            raise InvalidName("is not a partition key", where=repr(key), hint=f"Did you mean {made.key!r}?")
        return made

    @classmethod
    def parse(cls, text: str) -> ModelVersion:
        """What a person types: the last slash divides name and version, so names may contain slashes."""
        name, slash, version = text.rpartition("/")
        if not slash:
            raise InvalidName("names no version", where=repr(text), hint="Write NAME/VERSION, for instance credit-scoring/3")
        return cls(name, version)


def folder_of(name: str) -> str:
    """How the model's name reads in partition keys, receipts and paths."""
    return _quoted(name)


def _quoted(part: str) -> str:
    """URL-quoted; a leading dot too, so that no part reads as `.` or `..` in a path."""
    quoted = quote(part, safe="")
    return "%2E" + quoted[1:] if quoted.startswith(".") else quoted
