"""The ledger in the governance database: append, read, checkpoint, export."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import sqlalchemy as sa
from pydantic import JsonValue, ValidationError
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from rai_pipelines.clock import utc_now
from rai_pipelines.errors import DatabaseError, KeyProblem, LedgerError
from rai_pipelines.governance.database.engine import reading
from rai_pipelines.governance.database.tables import ledger_checkpoints, ledger_entries
from rai_pipelines.governance.ledger.checkpoints import open_checkpoint, sign_checkpoint, write_outside
from rai_pipelines.governance.ledger.entry import GENESIS, LedgerEntry, Retention, read_entry, seal
from rai_pipelines.governance.ledger.merkle import Frontier, frontier_of

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

ATTEMPTS = 50  # to win the next place against other writers
LOCK = 7240114
PAGE = 5_000


@dataclass(frozen=True)
class Happening:
    """What is to be recorded; the ledger adds place, time and seal."""

    kind: str
    actor: str
    body: Mapping[str, JsonValue]
    model_name: str | None = None
    model_version: str | None = None
    retention: Retention = "document"


@dataclass(frozen=True)
class Ledger:
    """The ledger of one database. `clock` is what tests replace."""

    engine: sa.Engine
    clock: Callable[[], datetime] = utc_now

    def append(self, happening: Happening) -> LedgerEntry:
        """Record it in a transaction of its own.

        Raises:
            LedgerError: it holds personal data or is too large.
            DatabaseError: the database did not take it: nothing was recorded.
        """
        for _ in range(ATTEMPTS):
            try:
                with self.engine.begin() as connection:
                    return self.append_within(connection, happening)
            except IntegrityError:
                continue  # another writer took the place
            except SQLAlchemyError as error:
                raise DatabaseError(f"did not record a {happening.kind} ({type(error).__name__})", where="ledger", hint="Try again") from error
        raise DatabaseError(f"did not record a {happening.kind}: other writers took {ATTEMPTS} places in a row", where="ledger", hint="Try again")

    def append_within(self, connection: sa.Connection, happening: Happening) -> LedgerEntry:
        """Record it as part of the caller's transaction, so that a decision and its record are there together or not at all.

        A clock that was set back does not take time back: an entry is never dated before the one it follows.

        Raises:
            LedgerError: it holds personal data or is too large.
        """
        newest, now = self._lock(connection)
        try:
            entry = LedgerEntry(
                sequence=1 if newest is None else newest.sequence + 1,
                previous=GENESIS if newest is None else newest.hash,
                recorded_at=now,
                kind=happening.kind,
                model_name=happening.model_name,
                model_version=happening.model_version,
                actor=happening.actor,
                retention=happening.retention,
                body=happening.body,
            )
        except ValidationError as error:
            first = error.errors()[0]
            what = f"cannot be recorded: {first['msg']} (in {'.'.join(str(part) for part in first['loc'])})"
            raise LedgerError(what, where=f"ledger entry of kind {happening.kind}") from error
        content, sealed = seal(entry)
        connection.execute(ledger_entries.insert().values(sequence=entry.sequence, hash=sealed, previous=entry.previous, content=content))
        return entry

    def lock(self, connection: sa.Connection) -> datetime:
        """Make the caller's transaction the only writer until it ends; returns the time of the ledger, which never goes back.

        Decisions are made by this time: a clock that was set back does not bring an expired waiver to life.
        """
        return self._lock(connection)[1]

    def _lock(self, connection: sa.Connection) -> tuple[Any, datetime]:
        if connection.dialect.name == "postgresql":  # one writer at a time; SQLite's transactions are begun that way
            connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        columns = ledger_entries.c
        newest = connection.execute(sa.select(columns.sequence, columns.hash, columns.content).order_by(columns.sequence.desc()).limit(1)).first()
        now = self.clock()
        return newest, now if newest is None else max(now, read_entry(newest.content).recorded_at)

    def rows(self, *, after: int = 0) -> Iterator[tuple[int, str, str]]:
        """(sequence, hash, content) of the entries after that one, in order, a page at a time."""
        table, last = ledger_entries, after
        while True:
            query = sa.select(table.c.sequence, table.c.hash, table.c.content).where(table.c.sequence > last).order_by(table.c.sequence).limit(PAGE)
            with reading(self.engine) as connection:
                page = connection.execute(query).all()
            yield from ((row.sequence, row.hash, row.content) for row in page)
            if len(page) < PAGE:
                return
            last = page[-1].sequence

    def entries(self, *, after: int = 0) -> Iterator[LedgerEntry]:
        """The entries after that one, in order."""
        for _, _, content in self.rows(after=after):
            yield read_entry(content)

    def checkpoint(self, signer: CryptoSigner, folder: Path) -> dict[str, Any] | None:
        """Sign the Merkle root over all entries, and keep it in `folder` and in the database; None when nothing was added since the last one.

        Raises:
            LedgerError: the folder does not take it, or entries that an earlier checkpoint covers are gone.
            DatabaseError: the database does not answer.
        """
        with reading(self.engine) as connection:
            frontier = _signed_before(connection, signer)
        before, last = frontier.size, None
        for sequence, sealed, _ in self.rows(after=before):
            if sequence != frontier.size + 1:
                raise LedgerError(f"goes from {frontier.size} to {sequence}", where="ledger", hint="Entries are gone; verify an export")
            frontier.add(sealed)
            last = sealed
        if last is None:
            return None
        envelope = sign_checkpoint(frontier, last, self.clock(), signer)
        write_outside(folder, frontier.size, envelope)
        try:
            with self.engine.begin() as connection:
                values = {"size": frontier.size, "peaks": json.dumps(frontier.as_texts()), "envelope": json.dumps(envelope, sort_keys=True)}
                connection.execute(ledger_checkpoints.insert().values(**values))
        except IntegrityError:
            pass  # another process wrote a checkpoint of this size
        return envelope

    def export(self, stream: TextIO) -> int:
        """Write one entry a line, as verified by `rai ledger verify`; returns how many."""
        written = 0
        for _, _, content in self.rows():
            stream.write(content + "\n")
            written += 1
        return written


def _signed_before(connection: sa.Connection, signer: CryptoSigner) -> Frontier:
    """What the newest checkpoint holds that `signer` made, to go on from; nothing, where there is none: who may add rows signs nothing by it.

    Raises:
        LedgerError: the entries are no longer those that were signed.
    """
    for row in connection.execute(sa.select(ledger_checkpoints).order_by(ledger_checkpoints.c.size.desc())):
        try:
            signed = open_checkpoint(json.loads(row.envelope), [signer.public_key])
            frontier = frontier_of(row.size, json.loads(row.peaks))
        except (KeyProblem, ValueError, TypeError, AttributeError):
            continue
        if (signed.size, signed.root) != (frontier.size, frontier.root):
            continue
        hashed = connection.execute(sa.select(ledger_entries.c.hash).where(ledger_entries.c.sequence == signed.size)).scalar()
        if hashed != signed.last:
            what = f"entry {signed.size} is not the one that was signed at {signed.signed_at}"
            raise LedgerError(what, where="ledger", hint="Entries are gone or were changed; verify an export against the checkpoints kept elsewhere")
        return frontier
    return Frontier()
