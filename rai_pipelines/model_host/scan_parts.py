"""What a scan is made of: verdicts, parts, the place that is looked at, and the limits of unpacking."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import PurePosixPath

from rai_pipelines.subjects.model_formats import MAX_UNPACKED_BYTES

COMPRESSIONS = ("zlib", "gzip", "bz2", "xz", "lzma", "lz4")


class Verdict(StrEnum):
    """What a file is, for someone who is about to load it."""

    CLEAN = "clean"
    SUSPICIOUS = "suspicious"  # names or holds something that is not known to be harmless
    NOT_SCANNABLE = "not_scannable"  # could not be read to its end: nothing is known
    DANGEROUS = "dangerous"  # runs code, or reaches outside the folder, when it is loaded

    @property
    def rank(self) -> int:
        """Higher is worse."""
        return list(Verdict).index(self)


@dataclass(frozen=True)
class Part:
    """A file, or something inside it: `inside` is its path within the file, empty for the file itself."""

    format: str
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    inside: str = ""


@dataclass(frozen=True)
class ScanLimits:
    """How much is unpacked per file, how deep, and how many members are opened."""

    unpacked_bytes: int = MAX_UNPACKED_BYTES
    depth: int = 5
    members: int = 20_000


@dataclass
class Budget:
    """What is left of the limits for one file."""

    limits: ScanLimits
    unpacked: int = 0
    members: int = 0

    def fresh(self) -> Budget:
        """The same limits, untouched."""
        return Budget(self.limits)


class TooMuch(Exception):
    """A limit of the scan was reached."""


@dataclass(frozen=True)
class Place:
    """Where the scan is: the outermost file's name, the path inside it, and what the members around it are known to be."""

    name: str
    budget: Budget
    trusted_skops_types: tuple[str, ...]
    inside: str = ""
    depth: int = 0
    tensors: frozenset[str] = field(default_factory=frozenset)  # members that a PyTorch archive holds as raw numbers

    def into(self, member: str) -> Place:
        """One level deeper."""
        return replace(self, inside=f"{self.inside}!{member}" if self.inside else member, depth=self.depth + 1)

    @property
    def suffix(self) -> str:
        """The suffix of the innermost name, in lower case; what is only compressed has the name of its wrapping."""
        names = [self.name, *(self.inside.split("!") if self.inside else ())]
        while names[-1] in COMPRESSIONS and len(names) > 1:
            names.pop()
        return PurePosixPath(names[-1]).suffix.lower()

    def part(self, format: str, verdict: Verdict, *reasons: str) -> Part:
        """A part at this place."""
        return Part(format, verdict, reasons, self.inside)


def one_line(text: str, limit: int = 300) -> str:
    """`text` on one line without control characters: names inside model files are the attacker's."""
    printable = "".join(character if character.isprintable() else "�" for character in text[: limit + 1])
    return printable if len(printable) <= limit else printable[: limit - 1] + "…"
