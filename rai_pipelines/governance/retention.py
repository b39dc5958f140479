"""Keep what has to be kept, and delete what may go: never early, never under a legal hold, and never the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from rai_pipelines.clock import utc_now
from rai_pipelines.errors import DecisionRefused
from rai_pipelines.evidence.store import EvidenceStore
from rai_pipelines.governance.database.engine import reading
from rai_pipelines.governance.database.tables import decisions, legal_holds, outbox, texts, webhook_deliveries
from rai_pipelines.governance.decisions.statement import Decision
from rai_pipelines.governance.ledger.storage import Happening, Ledger
from rai_pipelines.policy.retention_rules import RetentionRules
from rai_pipelines.subjects.names import folder_of

ACTOR = "system:retention"
EVERY_MODEL = "*"
RecordClass = Literal["document", "log"]


@dataclass(frozen=True)
class Deleted:
    """What a deletion took away."""

    receipts: int = 0
    objects: int = 0
    words: int = 0
    messages: int = 0


@dataclass(frozen=True)
class Keeper:
    """Retention over one database and one evidence store."""

    engine: sa.Engine
    store: EvidenceStore
    rules: RetentionRules
    clock: Callable[[], datetime] = utc_now

    def last_day(self, kind: RecordClass) -> datetime:
        """Records of that class from before this moment may be deleted."""
        months = self.rules.log_months if kind == "log" else 12 * self.rules.document_years
        now = self.clock()
        year, month = divmod(now.year * 12 + now.month - 1 - months, 12)
        return now.replace(year=year, month=month + 1, day=min(now.day, 28))  # every month has a 28th: some days longer, never shorter

    def hold(self, model_name: str, reason: str) -> None:
        """Let nothing about that model (`*`: any) be deleted until the hold is lifted."""
        with self.engine.begin() as connection:
            now = self._ledger.lock(connection)
            connection.execute(legal_holds.insert().values(model_name=model_name, reason=reason, set_at=now))
            self._ledger.append_within(connection, Happening("legal_hold", ACTOR, {"set": True}, _named(model_name)))

    def knows(self, model_name: str) -> bool:
        """Whether anything is kept about a model of that name (`*`: of any); a hold of another name holds nothing yet."""
        return model_name == EVERY_MODEL or any(key.startswith(f"{folder_of(model_name)}/") for key in self.store.folders())

    def lift(self, model_name: str) -> None:
        """End the holds of that name.

        Raises:
            DecisionRefused: there is none.
        """
        with self.engine.begin() as connection:
            now = self._ledger.lock(connection)
            open_ones = (legal_holds.c.model_name == model_name) & legal_holds.c.lifted_at.is_(None)
            if not connection.execute(legal_holds.update().where(open_ones).values(lifted_at=now)).rowcount:
                raise DecisionRefused("is not held", where=repr(model_name), hint="Look with: rai retention show")
            self._ledger.append_within(connection, Happening("legal_hold", ACTOR, {"set": False}, _named(model_name)))

    def holds(self) -> dict[str, str]:
        """Models that are held, with why."""
        with reading(self.engine) as connection:
            return {row.model_name: row.reason for row in connection.execute(sa.select(legal_holds).where(legal_holds.c.lifted_at.is_(None)))}

    def delete(self, kind: RecordClass, *, before: datetime | None = None) -> Deleted:
        """Delete the records of a class from before `before` (default: all that may go), but for those that are held.

        Evidence goes with its receipts; of decisions only the words that people wrote go, and the signed statement stays verifiable. The ledger,
        bindings and checkpoints are never deleted: they hold no personal data.

        Raises:
            DecisionRefused: that is earlier than the law or the policy allows.
        """
        last = self.last_day(kind)
        until = before or last
        if until > last:
            years = f"{self.rules.document_years} years" if kind == "document" else f"{self.rules.log_months} months"
            hint = f"A {kind} is kept for {years}: name a day before {last:%Y-%m-%d}"
            raise DecisionRefused(f"would delete records from before {until:%Y-%m-%d}", where="retention", hint=hint)
        held = self.holds()
        if EVERY_MODEL in held:
            raise DecisionRefused(f"everything is held: {held[EVERY_MODEL]}", where="retention", hint="Lift the hold first, if you may")
        found = self._documents(until, frozenset(held)) if kind == "document" else self._messages(until)
        if found != Deleted():
            body: dict[str, Any] = {"class": kind, "before": until.isoformat(timespec="seconds"), **vars(found)}
            self._ledger.append(Happening("records_deleted", ACTOR, body))
        return found

    def _documents(self, until: datetime, held: frozenset[str]) -> Deleted:
        receipts, objects = self.store.purge(until, held=frozenset(folder_of(name) for name in held))
        with self.engine.begin() as connection:
            kept = connection.execute(sa.select(decisions.c.envelope, decisions.c.model_name, decisions.c.recorded_at)).all()
            young = {_words(row.envelope) for row in kept if row.recorded_at >= until or row.model_name in held}
            old = {words for row in kept if (words := _words(row.envelope)) is not None} - young
            gone = sum(connection.execute(texts.delete().where(texts.c.digest == digest)).rowcount for digest in sorted(old))
        return Deleted(receipts=receipts, objects=objects, words=gone)

    def _messages(self, until: datetime) -> Deleted:
        """Messages delivered, from here and to here: mails hold addresses. Which of them a hold is about cannot be told, so a hold keeps them all."""
        if self.holds():
            return Deleted()
        with self.engine.begin() as connection:
            sent = outbox.c.done_at.is_not(None) & (outbox.c.done_at < until) & outbox.c.kind.in_(("mail", "webhook"))
            came = webhook_deliveries.c.handled_at.is_not(None) & (webhook_deliveries.c.handled_at < until)
            gone = (outbox.delete().where(sent), webhook_deliveries.delete().where(came))
            return Deleted(messages=sum(connection.execute(one).rowcount for one in gone))

    @property
    def _ledger(self) -> Ledger:
        return Ledger(self.engine, self.clock)


def _words(envelope: str) -> str | None:
    """The digest of the words behind a signed decision; None where somebody wrote a row that is none."""
    import base64
    import json

    try:
        statement = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
        return Decision.model_validate(statement["predicate"]).words
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _named(model_name: str) -> str | None:
    return None if model_name == EVERY_MODEL else model_name
