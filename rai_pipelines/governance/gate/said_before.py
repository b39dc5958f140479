"""What people said about a version before it was what it is now: a no to something that was changed since, and approvals of a better verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from rai_pipelines.errors import EvidenceError
from rai_pipelines.evidence.store import EvidenceStore
from rai_pipelines.governance.database.tables import judgements
from rai_pipelines.governance.decisions.statement import DecisionKind
from rai_pipelines.governance.decisions.store import DecisionBook, Kept
from rai_pipelines.governance.decisions.waivers import WaiverStanding, apply_waivers, in_effect_at
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.verdict import Verdict, VerdictStatus

NO = (DecisionKind.REJECT, DecisionKind.REVOKE)


@dataclass(frozen=True)
class SaidBefore:
    """What was said about the version that `effective` is about: its verdict of now, after waivers. `excluded` are those who submitted or own it."""

    connection: sa.Connection
    book: DecisionBook
    store: EvidenceStore
    policy: Policy
    effective: Verdict
    excluded: frozenset[str]

    def refused_last(self) -> bool:
        """Whether the last word of people was no: a rejection or a revocation, of whatever the version was bound to then."""
        found = self.book.of_model(self.connection, self.effective.model_name, self.effective.model_version).valid
        words = [item for item in found if item.decision.model_version is not None and (item.decision.kind in NO or self._approves(item))]
        return bool(words) and words[-1].decision.kind in NO

    def outgrown(self, decided: Sequence[Kept], waived: Sequence[WaiverStanding]) -> frozenset[str]:
        """Ids of the approvals among `decided` that were given while the verdict was better than now, after the waivers of that moment."""
        if self.effective.status is VerdictStatus.COMPLIANT:
            return frozenset()
        return frozenset(item.id for item in decided if self._approves(item) and self._was_compliant(item, waived))

    def _approves(self, item: Kept) -> bool:
        return item.decision.kind is DecisionKind.APPROVE and item.decision.person not in self.excluded

    def _was_compliant(self, item: Kept, waived: Sequence[WaiverStanding]) -> bool:
        judged = judgements.c
        mine = (judged.model_name == self.effective.model_name) & (judged.model_version == self.effective.model_version)
        chosen = sa.select(judged.verdict_digest, judged.effective_status).where(mine, judged.recorded_at <= item.recorded_at)
        row = self.connection.execute(chosen.order_by(judged.id.desc()).limit(1)).first()
        if row is None or row.effective_status == VerdictStatus.COMPLIANT.value:
            return row is not None
        then = in_effect_at(waived, self.policy.release.waiver, self.excluded, item.recorded_at)
        try:
            return bool(then) and apply_waivers(self.store.get(row.verdict_digest, Verdict), self.policy, then).status is VerdictStatus.COMPLIANT
        except EvidenceError:  # what they looked at is gone: nobody can say that it was no better
            return True
