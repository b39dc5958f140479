"""What the yearly review of a policy reads from the governance database: waivers of findings, and incidents with their lessons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from rai_pipelines.audit import Auditor
from rai_pipelines.documents.policy_review import IncidentFact, PolicyReviewDocument, WaiverFact
from rai_pipelines.policy.model import Severity
from rai_pipelines.release import open_gatekeeper

DELETED = "(the words were deleted)"


@dataclass(frozen=True)
class RecordedFacts:
    """The `ReviewFacts` of the database that the auditor's settings name."""

    auditor: Auditor

    def waivers_since(self, since: date | None) -> Sequence[WaiverFact]:
        """Waivers that a quorum signed and that were in force on or after that day, with their reasons."""
        from rai_pipelines.governance.database.engine import reading
        from rai_pipelines.governance.decisions.waivers import waivers_of

        found = []
        with open_gatekeeper(self.auditor) as keeper, reading(keeper.engine) as connection:
            today = keeper.ledger.clock().date()
            standings = waivers_of(
                connection, keeper.book, self.auditor.policy.release.waiver, model_name=None, excluded=frozenset(), today=since or date.min
            )
            for item in standings:
                waiver = item.waiver
                if not item.active:
                    continue  # nobody had to keep to it: it was never signed by enough people, or was over before
                words = keeper.book.words_of(connection, item.signatures[0]) if item.signatures else None
                about = f"{waiver.model_name}/{waiver.model_version or '*'}"
                reason = DELETED if words is None else words.meaning
                found.append(WaiverFact(control=waiver.control, about=about, reason=reason, until=waiver.until, ended=waiver.until < today))
        return found

    def incidents_since(self, since: date | None) -> Sequence[IncidentFact]:
        """Cases that were opened on or after that day."""
        from rai_pipelines.governance.cases.book import CaseBook

        begin = None if since is None else datetime.combine(since, time(), UTC)
        found = []
        with open_gatekeeper(self.auditor) as keeper:
            book = CaseBook(keeper.engine, keeper.ledger)
            for case in book.opened_since(begin):
                request = case.request
                words = book.lesson_of(case)
                found.append(
                    IncidentFact(
                        id=str(case.id),
                        opened_on=request.noticed_at.date(),
                        severity=request.severity.value,
                        about="/".join(filter(None, (request.model_name, request.model_version))) or "no model",
                        title=request.title,
                        status=case.state.value,
                        lesson=words.meaning if words is not None else (DELETED if case.lesson else None),
                    )
                )
        return found


def open_review_case(auditor: Auditor, document: PolicyReviewDocument) -> int:
    """Open the case of the review that this document is for, once for each day by which the policy has to be reviewed; returns its number."""
    from rai_pipelines.governance.cases.book import CaseBook
    from rai_pipelines.governance.cases.case import CaseRequest

    with open_gatekeeper(auditor) as keeper:
        request = CaseRequest(
            key=f"policy_review:{auditor.policy.policy.id}:{document.due_on.isoformat()}",
            kind="policy_review",
            severity=Severity.MEDIUM,
            title=f"Review {document.policy} by {document.due_on.isoformat()}",
            description=f"The review document is assembled ({document.digest}). Read it, decide, and sign: rai policy review --record kept --as ID",
            noticed_at=keeper.ledger.clock(),
        )
        return CaseBook(keeper.engine, keeper.ledger).request(request).id
