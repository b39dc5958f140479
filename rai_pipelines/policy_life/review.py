"""Review a policy: assemble what it did since the last review into a document, and record that people have read it.

Findings and verdicts come from the evidence store. Waivers of findings and incidents are handed in by whoever keeps them (`ReviewFacts`);
where nobody does, the document says that it did not look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from rai_pipelines.clock import utc_today
from rai_pipelines.documents.policy_review import (
    ControlReview,
    IncidentFact,
    OpenChoice,
    PolicyReviewDocument,
    VerdictChange,
    WaiverFact,
    newest_review_document,
    was_written,
    write_review,
)
from rai_pipelines.errors import PolicyError
from rai_pipelines.evidence.store import EvidenceStore
from rai_pipelines.governance.decisions.signer import Signer, at_the_desk, role_of
from rai_pipelines.governance.decisions.statement import Decision, DecisionKind, Words, digest_of_words, sign_decision
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.rehearsal.explanation import in_force_words
from rai_pipelines.policy.verdict import Verdict
from rai_pipelines.policy.versions.reviews import Outcome, PolicyReview, review_due_on
from rai_pipelines.policy_record import last_signed_review
from rai_pipelines.settings import Settings

VERDICT = "policy_verdict"
OLDEST_DAYS = 60  # of a document whose reading still counts as a review


class ReviewFacts(Protocol):
    """What is kept outside the evidence store. Each answers None where it is not recorded at all: that is not the same as none."""

    def waivers_since(self, since: date | None) -> Sequence[WaiverFact] | None:
        """Waivers of findings that were granted or in force since that day."""

    def incidents_since(self, since: date | None) -> Sequence[IncidentFact] | None:
        """Incidents opened since that day, with their lessons."""


def review_policy(policy: Policy, store: EvidenceStore, settings: Settings, facts: ReviewFacts) -> tuple[PolicyReviewDocument, dict[str, Path]]:
    """Assemble the document for `policy` today and write it; returns it and its files by format.

    Raises:
        DatabaseError, PeopleError, KeyProblem: when it was reviewed last cannot be found out.
        EvidenceError: a stored verdict was altered.
    """
    last = last_signed_review(settings, policy)
    since = last.reviewed_on if last is not None else None
    document = assemble_review(policy, store, since=since, until=utc_today(), due_on=review_due_on(policy.policy, last), facts=facts)
    return document, write_review(document, settings.policies_path)


def record_review(policy: Policy, settings: Settings, outcome: Outcome, signer: Signer, words: Words) -> PolicyReview:
    """Sign that the newest document about this policy was read, and what came out; recorded in the governance database and its ledger.

    Raises:
        PolicyError: there is no document, or the newest is about another version or too old.
        DecisionRefused: the person holds no role that the policy lets record its review.
        PeopleError, KeyProblem: the person is not known, or has no key here.
        DatabaseError: the governance database does not answer; nothing is recorded then.
    """
    from rai_pipelines.governance.database.engine import answering, open_governance
    from rai_pipelines.governance.decisions.publications import DOCUMENT, about, record_policy_review
    from rai_pipelines.governance.decisions.store import DecisionBook
    from rai_pipelines.governance.keys import read_public_keys
    from rai_pipelines.governance.ledger.storage import Ledger
    from rai_pipelines.governance.people.directory import read_directory

    document = _document_read(policy, settings)
    directory = read_directory(settings.people_path)
    person, key = at_the_desk(settings.keys_path, directory, signer)
    engine = open_governance(settings)
    try:
        book = DecisionBook(Ledger(engine), directory, read_public_keys(settings.keys_path))
        decision = Decision(
            kind=DecisionKind.REVIEW_POLICY,
            model_name=about(policy),
            model_version=policy.policy.version,
            subject=policy.digest,
            binding={DOCUMENT: document.digest},
            person=person.id,
            role=role_of(person, signer.role, policy.signatories.review),
            review=outcome,
            words=digest_of_words(words),
            made_at=book.ledger.clock(),
        )
        with answering(engine), engine.begin() as connection:
            now = book.ledger.lock(connection)
            kept = record_policy_review(connection, book, policy, sign_decision(decision, key), words, now=now)
    finally:
        engine.dispose()
    return PolicyReview(
        policy=policy.label,
        policy_digest=policy.digest,
        reviewed_on=kept.recorded_at.date(),
        outcome=outcome,
        document_digest=document.digest,
        decision=kept.id,
    )


def _document_read(policy: Policy, settings: Settings) -> PolicyReviewDocument:
    document = newest_review_document(policy.policy.id, settings.policies_path)
    if document is None or document.policy_digest != policy.digest:
        what = "has no review document" if document is None else f"was not reviewed: the newest document is about {document.policy_digest}"
        raise PolicyError(what, where=policy.label, hint="Run: rai policy review, and read what it writes")
    if (utc_today() - document.until).days > OLDEST_DAYS:
        what = f"was not reviewed: the newest document is of {document.until.isoformat()}, older than {OLDEST_DAYS} days"
        raise PolicyError(what, where=policy.label, hint="Run: rai policy review, and read what it writes")
    if not was_written(document, settings.policies_path):
        what = "was not reviewed: what people read (policy_review.md, policy_review.html) is not what its JSON says"
        raise PolicyError(what, where=policy.label, hint="Find out who changed it, and run: rai policy review")
    return document


def assemble_review(
    policy: Policy, store: EvidenceStore, *, since: date | None, until: date, due_on: date, facts: ReviewFacts
) -> PolicyReviewDocument:
    """The document about the days from `since` to `until`, both included; verdicts under any policy count, and the changes say so."""
    histories = [found for folder in store.folders() if (found := _verdicts(store, folder, since, until))]
    newest = [found[-1].verdict for found in histories if found[-1].inside]
    changes = [change for found in histories for change in _changes(found)]
    waivers, incidents = facts.waivers_since(since), facts.incidents_since(since)
    own = [
        WaiverFact(control=item.control.id, about=policy.label, reason=item.reason, until=item.until, ended=item.until < until)
        for item in policy.relaxations
    ]
    left_out = {"waivers of single findings are not recorded by this version": waivers, "incidents are not recorded by this version": incidents}
    return PolicyReviewDocument(
        policy=policy.label,
        policy_digest=policy.digest,
        owner=policy.policy.owner,
        since=since,
        until=until,
        due_on=due_on,
        verdicts=sum(item.inside for found in histories for item in found),
        versions=len(newest),
        statuses=dict(Counter(verdict.status.value for verdict in newest)),
        controls=tuple(_controls(policy, newest, changes, until)),
        changes=tuple(sorted(changes, key=lambda item: (item.on, item.model_name, item.model_version))),
        waivers=(*own, *(waivers or ())),
        incidents=tuple(incidents or ()),
        choices=tuple(_choices(policy, until)),
        not_included=tuple(words for words, found in left_out.items() if found is None),
    )


@dataclass(frozen=True)
class _Judged:
    """A stored verdict, when it was stored, and whether that is in the period (the last one before it is kept to compare with)."""

    verdict: Verdict
    on: date
    inside: bool


def _verdicts(store: EvidenceStore, folder: str, since: date | None, until: date) -> list[_Judged]:
    found: list[_Judged] = []
    for receipt in store.history(folder):
        if receipt.assessment != VERDICT:
            continue
        day = datetime.fromisoformat(receipt.recorded_at).date()
        if day > until:
            break
        inside = since is None or day >= since
        if not inside:
            found.clear()
        found.append(_Judged(store.get(receipt.digest, Verdict), day, inside))
    return found


def _changes(found: list[_Judged]) -> Iterator[VerdictChange]:
    for before, after in pairwise(found):
        old = {finding.control: finding.status for finding in before.verdict.findings}
        controls = tuple(finding.control for finding in after.verdict.findings if old.get(finding.control) is not finding.status)
        if before.verdict.status is not after.verdict.status or controls:
            yield VerdictChange(
                model_name=after.verdict.model_name,
                model_version=after.verdict.model_version,
                on=after.on,
                old=before.verdict.status.value,
                new=after.verdict.status.value,
                controls=controls,
                under_another_policy=before.verdict.policy_digest != after.verdict.policy_digest,
            )


def _controls(policy: Policy, newest: list[Verdict], changes: list[VerdictChange], day: date) -> Iterator[ControlReview]:
    for control in policy.on(day):
        outcomes = Counter(finding.status.value for verdict in newest for finding in verdict.findings if finding.control == control.id)
        changed = sum(control.id in change.controls for change in changes)
        words = in_force_words(control, day).partition(" (")[0]
        yield ControlReview(control=control.id, statement=control.statement, in_force=words, outcomes=dict(outcomes), changes=changed)


def _choices(policy: Policy, day: date) -> Iterator[OpenChoice]:
    """Thresholds in force whose source has low confidence."""
    for control in policy.on(day):
        for name, value in control.threshold.items():
            source = control.threshold_provenance.get(name, control.provenance)
            if control.in_force(day) and source.confidence == "low":
                yield OpenChoice(control=control.id, threshold=name, value=str(value), source=source.source, confidence=source.confidence)
