"""The Merkle tree over all entries (RFC 6962, section 2.1), grown entry by entry with a handful of hashes in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

LEAF, NODE = b"\x00", b"\x01"  # told apart, so that no node can pass for an entry


@dataclass
class Frontier:
    """The roots of the complete subtrees of what was added so far, the largest first: enough to go on, and to know the root."""

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)

    def add(self, entry_hash: str) -> None:
        """Add the next leaf."""
        node = hashlib.sha256(LEAF + bytes.fromhex(entry_hash.removeprefix("sha256:"))).digest()
        size = self.size
        while size & 1:
            node = hashlib.sha256(NODE + self.peaks.pop() + node).digest()
            size >>= 1
        self.peaks.append(node)
        self.size += 1

    @property
    def root(self) -> str:
        """Hex of the tree's root; of the empty string's hash for an empty tree."""
        if not self.peaks:
            return hashlib.sha256(b"").hexdigest()
        node = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            node = hashlib.sha256(NODE + peak + node).digest()
        return node.hex()

    def as_texts(self) -> list[str]:
        """The peaks as hex, to be kept."""
        return [peak.hex() for peak in self.peaks]


def frontier_of(size: int, peaks: Sequence[str]) -> Frontier:
    """A frontier that was kept.

    Raises:
        ValueError: the number of peaks does not fit the size.
    """
    if len(peaks) != size.bit_count():
        raise ValueError(f"{len(peaks)} subtrees do not make {size} entries")
    return Frontier(size, [bytes.fromhex(peak) for peak in peaks])


def root_of(hashes: Iterable[str]) -> str:
    """The root over entry hashes."""
    frontier = Frontier()
    for item in hashes:
        frontier.add(item)
    return frontier.root
