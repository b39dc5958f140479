"""Verify an exported ledger offline, against the public keys and the checkpoints that were kept elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from rai_pipelines.errors import KeyProblem, LedgerError
from rai_pipelines.governance.ledger.checkpoints import Checkpoint, open_checkpoint
from rai_pipelines.governance.ledger.entry import GENESIS, LedgerEntry, hash_of, read_entry
from rai_pipelines.governance.ledger.merkle import Frontier

if TYPE_CHECKING:
    from securesystemslib.signer import Key

MOST_PROBLEMS = 100


@dataclass
class Verification:
    """What was found. `sealed` entries are covered by a signed checkpoint; those after it hold together, and nobody vouches for their end.

    `signatures` is how many decisions were held to their signed statements.
    """

    entries: int = 0
    sealed: int = 0
    checkpoints: int = 0
    signatures: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether the ledger is what was signed: no problem, and at least one checkpoint to hold it against."""
        return not self.problems and self.checkpoints > 0


class Statements(Protocol):
    """The signed statements behind entries, asked entry by entry (governance/decisions/offline.py)."""

    verified: int

    def entry(self, entry: LedgerEntry) -> list[str]:
        """What is wrong with the statement behind that entry."""

    def end(self) -> list[str]:
        """What is left over when the ledger has ended."""


def verify_ledger(
    lines: Iterable[str], envelopes: Sequence[Mapping[str, Any]], keys: Sequence[Key], *, statements: Statements | None = None
) -> Verification:
    """Read the entries once, in flat memory, and hold them against every checkpoint and, where they are given, against the signed statements.

    Edits, deletions, insertions, reordering and forged signatures each are a problem, named with its place; so is a ledger that ends before the
    largest checkpoint (truncation), and any error in between: what could not be verified does not hold.
    """
    found = Verification()
    try:
        _verify(lines, _by_size(envelopes, keys, found), found, statements)
    except Exception as error:  # whatever goes wrong, an unverified ledger must not read as a verified one
        found.problems.append(f"verification ended after entry {found.entries}: {type(error).__name__}: {str(error)[:200]}")
    if not found.checkpoints and not found.problems:
        found.problems.append("there is no signed checkpoint: the entries hold together, and nobody vouches that they are all")
    return found


def _verify(lines: Iterable[str], checkpoints: dict[int, list[Checkpoint]], found: Verification, statements: Statements | None) -> None:
    frontier, previous, when = Frontier(), GENESIS, None
    for line in lines:
        content = line.removesuffix("\n")
        place = frontier.size + 1
        previous, entry = _entry(content, place, previous, when, found)
        when = when if entry is None else entry.recorded_at
        frontier.add(previous)
        found.entries = frontier.size
        if statements is not None and entry is not None:
            found.problems += statements.entry(entry)
            found.signatures = statements.verified
        for checkpoint in checkpoints.pop(frontier.size, ()):
            if (checkpoint.root, checkpoint.last) != (frontier.root, previous):
                _tell(found, f"entries 1 to {checkpoint.size} are not those that were signed at {checkpoint.signed_at}")
            else:
                found.sealed, found.checkpoints = checkpoint.size, found.checkpoints + 1
        if len(found.problems) >= MOST_PROBLEMS:
            _tell(found, "there are more problems; the rest was not read")
            return
    found.problems += statements.end() if statements is not None else []
    for size, missed in sorted(checkpoints.items()):
        _tell(found, f"the ledger ends at entry {frontier.size}, and {size} entries were signed at {missed[0].signed_at}: it was cut off")


def _by_size(envelopes: Sequence[Mapping[str, Any]], keys: Sequence[Key], found: Verification) -> dict[int, list[Checkpoint]]:
    checkpoints: dict[int, list[Checkpoint]] = {}
    for position, envelope in enumerate(envelopes, start=1):
        try:
            checkpoint = open_checkpoint(envelope, keys)
        except KeyProblem as error:
            _tell(found, f"checkpoint {position}: {error}")
            continue
        if checkpoint.size < 1:
            _tell(found, f"checkpoint {position} is about {checkpoint.size} entries")
        else:
            checkpoints.setdefault(checkpoint.size, []).append(checkpoint)
    return checkpoints


def _entry(content: str, place: int, previous: str, when: datetime | None, found: Verification) -> tuple[str, LedgerEntry | None]:
    """The hash to go on from, and the entry where it can be read; what is wrong with it is told."""
    sealed = hash_of(content.encode())
    try:
        entry = read_entry(content)
    except LedgerError as error:
        _tell(found, f"entry {place}: {error}")
        return sealed, None
    if entry.sequence != place:
        _tell(found, f"entry {place} says that it is entry {entry.sequence}: entries were deleted, inserted or reordered")
    if entry.previous != previous:
        _tell(found, f"entry {place} does not follow the entry before it: one of the two was changed")
    if when is not None and entry.recorded_at < when:
        _tell(found, f"entry {place} is dated before the entry before it")
    return sealed, entry


def _tell(found: Verification, problem: str) -> None:
    found.problems.append(problem)
