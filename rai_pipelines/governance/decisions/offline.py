"""Signed decisions outside the database: exported beside the ledger, and verified against it entry by entry without any database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

import sqlalchemy as sa

from rai_pipelines.errors import DecisionRefused
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.governance.database.engine import reading
from rai_pipelines.governance.database.tables import bindings, decisions
from rai_pipelines.governance.decisions.publications import Publication, Publications, parsed_policy, problem_of, review_problem
from rai_pipelines.governance.decisions.statement import Decision, DecisionKind, SignedDecision, open_decision
from rai_pipelines.governance.decisions.store import ABOUT_POLICIES, Kept, why_not_counted
from rai_pipelines.governance.ledger.entry import LedgerEntry
from rai_pipelines.governance.people.directory import Directory

if TYPE_CHECKING:
    from securesystemslib.signer import Key

PAGE = 1_000
ENTRY = "decision"  # the kind of the ledger's entries about signed decisions


def export_decisions(engine: sa.Engine, stream: TextIO, *, until: int) -> int:
    """Write the signed statements behind the ledger's first `until` entries, one a line in their order; returns how many.

    A published policy stands beside the statement that publishes it. Statements name people by their ids: this file holds personal data.
    """
    written, last = 0, 0
    columns = decisions.c
    chosen = sa.select(columns.sequence, columns.kind, columns.subject, columns.envelope)
    while True:
        with reading(engine) as connection:
            page = connection.execute(chosen.where(columns.sequence > last, columns.sequence <= until).order_by(columns.sequence).limit(PAGE)).all()
            for row in page:
                line: dict[str, Any] = {"sequence": row.sequence}
                if row.kind == DecisionKind.PUBLISH.value:
                    line["policy"] = connection.execute(sa.select(bindings.c.content).where(bindings.c.digest == row.subject)).scalar()
                stream.write(_exported(line, row.envelope) + "\n")
        written += len(page)
        if len(page) < PAGE:
            return written
        last = page[-1].sequence


@dataclass
class SignatureCheck:
    """Holds each entry about a decision to the signed statement that was exported for it. Memory grows with published policies only.

    `lines` is the export, `keys` are public keys by id, and `directory` says whose they are and which roles those people hold or held.
    """

    lines: Iterable[str]
    directory: Directory
    keys: Mapping[str, Key]
    verified: int = 0
    _published: Publications = field(default_factory=Publications)
    _ahead: dict[str, Any] | None = None
    _before: int = 0

    def __post_init__(self) -> None:
        self._left = iter(self.lines)

    def entry(self, entry: LedgerEntry) -> list[str]:
        """What is wrong with the statement behind that entry; nothing for entries about anything else."""
        if entry.kind != ENTRY:
            return []
        problems: list[str] = []
        line = self._next(problems)
        while line is not None and line["sequence"] < entry.sequence:
            problems.append(f"a signed statement names entry {line['sequence']}, which is about no decision")
            line = self._next(problems)
        if line is None or line["sequence"] > entry.sequence:
            self._ahead = line
            return [*problems, f"entry {entry.sequence}: the signed statement behind it was not exported, or was deleted"]
        try:
            self._hold(entry, line)
        except DecisionRefused as error:
            return [*problems, f"entry {entry.sequence}: the decision behind it {error.what}"]
        self.verified += 1
        return problems

    def end(self) -> list[str]:
        """What is left when the ledger has ended."""
        problems: list[str] = []
        while (line := self._next(problems)) is not None:
            problems.append(f"a signed statement names entry {line['sequence']}, which is about no decision")
        return problems

    def _next(self, problems: list[str]) -> dict[str, Any] | None:
        if self._ahead is not None:
            line, self._ahead = self._ahead, None
            return line
        for text in self._left:
            found = _line(text)
            if found is not None and found["sequence"] > self._before:
                self._before = found["sequence"]
                return found
            problems.append(f"a line of the decisions after that of entry {self._before} is unreadable, or out of order")
        return None

    def _hold(self, entry: LedgerEntry, line: Mapping[str, Any]) -> None:
        """Raises DecisionRefused where statement, entry, person, role and time do not fit."""
        opened = open_decision(line["envelope"], self.directory, self.keys)
        decision = opened.decision
        if said_in(entry) != _said_by(opened):
            raise DecisionRefused("is not what the entry says")
        why = why_not_counted(opened, self.directory, entry.recorded_at)
        if why is not None:
            raise DecisionRefused(why)
        if decision.kind in ABOUT_POLICIES:
            self._about_a_policy(opened, entry, line.get("policy"))

    def _about_a_policy(self, opened: SignedDecision, entry: LedgerEntry, content: Any) -> None:
        decision, valid = opened.decision, self._published.valid
        if decision.kind is DecisionKind.REVIEW_POLICY:
            reviewed = next((item.policy for item in valid if item.policy.digest == decision.subject), None)
            why = None if reviewed is None else review_problem(decision, reviewed)
        else:
            policy = parsed_policy(str(content), decision.subject)
            why = "is about a policy that was not exported, or was altered" if policy is None else problem_of(decision, policy, self._published)
            if policy is not None and why is None:
                kept = Kept(opened.id, decision, opened.keyid, entry.recorded_at, entry.sequence)
                self._published = Publications((*valid, Publication(kept, policy)))
        if why is not None:
            raise DecisionRefused(why)


def said_in(entry: LedgerEntry) -> tuple[Any, ...]:
    """What an entry says about its decision."""
    body = entry.body
    said = (entry.actor, *(body.get(name) for name in ("decision", "decided", "subject", "words", "role", "review", "about")))
    return (*said, entry.model_name, entry.model_version)


def _said_by(opened: SignedDecision) -> tuple[Any, ...]:
    decision: Decision = opened.decision
    about = dict(decision.binding) if decision.kind in ABOUT_POLICIES else None
    said = (opened.id, decision.kind.value, decision.subject, decision.words, decision.role, decision.review, about)
    return (f"key:{opened.keyid}", *said, decision.model_name, decision.model_version)


def _exported(line: Mapping[str, Any], envelope: str) -> str:
    """The line with its envelope; with an empty one, which verifies for nobody, where somebody wrote one that is none."""
    try:
        return canonical_json({**line, "envelope": json.loads(envelope)}).decode()
    except (ValueError, RecursionError):
        return canonical_json({**line, "envelope": {}}).decode()


def _line(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
        usable = isinstance(found["sequence"], int) and isinstance(found["envelope"], dict)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if usable else None
