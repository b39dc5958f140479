"""Published policies and their yearly reviews as signed decisions: who may sign, what is signed, and which of them count.

A version is published by a person in a role that the version before it names (the first one: that it names itself), as in the chain of root keys
of TUF: who writes a policy file cannot choose who signs for it. The policy itself is kept word for word beside the signature, under its digest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache

import sqlalchemy as sa
from pydantic import ValidationError

from rai_pipelines.errors import DecisionRefused
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.governance.database.tables import bindings, ledger_entries
from rai_pipelines.governance.decisions.statement import Decision, DecisionKind, SignedDecision, Words
from rai_pipelines.governance.decisions.store import DecisionBook, Kept
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.versions.standing import PolicyStanding, PolicyStatus

PREDECESSOR, DOCUMENT = "predecessor", "document"


@dataclass(frozen=True)
class Publication:
    """A version that was published: the signed statement, and the policy word for word."""

    kept: Kept
    policy: Policy


@dataclass(frozen=True)
class Publications:
    """Every publication that counts, oldest first, and what is wrong with the others.

    `lost` is whether one was recorded that can no longer be verified: nothing after it is then the first.
    """

    valid: tuple[Publication, ...] = ()
    problems: tuple[str, ...] = ()
    lost: bool = False

    @property
    def any(self) -> bool:
        """Whether anything was ever published, or pretended to be."""
        return bool(self.valid or self.problems)

    def find(self, label: str) -> Publication | None:
        """The version published as `id@version`."""
        return next((item for item in self.valid if item.policy.label == label), None)

    def predecessor(self, policy_id: str) -> Publication | None:
        """The version of that policy that was published last."""
        return next((item for item in reversed(self.valid) if item.policy.policy.id == policy_id), None)

    def signatories(self, policy: Policy) -> tuple[str, ...]:
        """Roles of which one publishes `policy` next: named by its predecessor, else by whatever was published last, else by itself.

        Nobody does, where all that was published can no longer be verified: whoever removes a key from the folder becomes no signatory by it.
        """
        if not self.valid and self.lost:
            return ()
        authority = self.predecessor(policy.policy.id) or (self.valid[-1] if self.valid else None)
        return (policy if authority is None else authority.policy).signatories.publish


def about(policy: Policy) -> str:
    """What stands for the model's name in a decision about a policy."""
    return f"policy:{policy.policy.id}"


def publications(connection: sa.Connection, book: DecisionBook) -> Publications:
    """Read and verify every publication: signature, person, key, role, ledger entry, predecessor, and that the policy is what was signed."""
    read = book.of_kind(connection, DecisionKind.PUBLISH)
    found = Publications(problems=read.problems)
    for kept in read.valid:
        lost = found.lost or any(sequence < kept.sequence for sequence in read.lost)
        found = replace(found, lost=lost)
        policy = _policy_of(connection, kept.decision.subject)
        problem = "is about a policy that is not kept here, or was altered" if policy is None else problem_of(kept.decision, policy, found)
        if policy is None or problem is not None:
            found = replace(found, problems=(*found.problems, f"decision {kept.id[:19]}… {problem}"), lost=lost or policy is None)
        else:
            found = replace(found, valid=(*found.valid, Publication(kept, policy)))
    return replace(found, lost=found.lost or bool(read.lost))


def standing_of(policy: Policy, found: Publications, today: date, *, files: bool = False) -> PolicyStanding:
    """Whether `policy` may approve anything on that day.

    Args:
        policy: the one that was loaded.
        found: what was published.
        today: the day; a version that was published later replaces earlier ones on the day it takes effect.
        files: whether files, or the ledger, say that policies were published here.
    """
    if not found.any and not files:
        return PolicyStanding()
    mine = found.find(policy.label)
    why = None
    if mine is None:
        why = f"{policy.label} was not published here by a signature that counts"
        why += f" ({'; '.join(found.problems[:2])})" if found.problems else ""
    elif mine.policy.digest != policy.digest:
        why = f"{policy.label} was published with digest {mine.policy.digest}, and this one has {policy.digest}"
    elif policy.policy.effective_from > today:
        why = f"{policy.label} takes effect on {policy.policy.effective_from.isoformat()}"
    else:
        after = found.valid[found.valid.index(mine) + 1 :]
        newer = [item.policy for item in after if item.policy.policy.id == policy.policy.id and item.policy.policy.effective_from <= today]
        why = f"{policy.label} was replaced by {newer[-1].label}" if newer else None
    if mine is None or why is not None:
        return PolicyStanding(status=PolicyStatus.REFUSED, problem=f"{why}: nothing is approved under it")
    return PolicyStanding(status=PolicyStatus.PUBLISHED, decision=mine.kept.id)


def ever_published(connection: sa.Connection) -> bool:
    """Whether the ledger has an entry about a publication; reads all of it where there is none, so it is asked once in an audit."""
    said = ledger_entries.c.content.like('%"decided":"publish"%')  # quotes within texts are escaped: only the field itself reads so
    return connection.execute(sa.select(ledger_entries.c.sequence).where(said).limit(1)).first() is not None


def what_is_published(policy: Policy, found: Publications) -> dict[str, str]:
    """The digests beside its own that a publication of `policy` is about: of the version before it, and of the policies that it extends."""
    before = found.predecessor(policy.policy.id)
    bases = {f"extends:{base.policy.partition('@')[0]}": base.digest for base in policy.extends}
    return bases if before is None else {**bases, PREDECESSOR: before.policy.digest}


def record_publication(connection: sa.Connection, book: DecisionBook, policy: Policy, signed: SignedDecision, words: Words, *, now: datetime) -> Kept:
    """Keep a signed publication of `policy` with the policy itself, in the caller's transaction.

    Raises:
        DecisionRefused: it is not about this policy and its predecessor, this version was published otherwise, or the signer's role does not publish.
    """
    found, decision = publications(connection, book), signed.decision
    problem = problem_of(decision, policy, found)
    if decision.kind is not DecisionKind.PUBLISH or decision.subject != policy.digest:
        problem = "is about something else than this policy"
    if not policy.signatories.publish:
        problem = "names no role whose holders publish it (signatories.publish), so nobody could publish the version after it"
    if problem is not None:
        raise DecisionRefused(problem, where=policy.label, hint="Look with: rai policy check FILE, and sign again")
    kept = connection.execute(sa.select(bindings.c.content).where(bindings.c.digest == policy.digest)).scalar()
    if kept is None:
        connection.execute(bindings.insert().values(digest=policy.digest, content=_content(policy)))
    elif parsed_policy(kept, policy.digest) is None:
        hint = "Find out who wrote to the database, and publish it under another version"
        raise DecisionRefused("something else is kept under its digest", where=policy.label, hint=hint)
    return book.record(connection, signed, words, now=now)


def record_policy_review(
    connection: sa.Connection, book: DecisionBook, policy: Policy, signed: SignedDecision, words: Words, *, now: datetime
) -> Kept:
    """Keep a signed review of `policy`, in the caller's transaction.

    Raises:
        DecisionRefused: it is about another policy or no document, or the signer's role does not review it.
    """
    decision = signed.decision
    problem = review_problem(decision, policy)
    if decision.subject != policy.digest:
        problem = "is about something else than this policy"
    if problem is not None:
        raise DecisionRefused(problem, where=policy.label, hint="Look at signatories.review of the policy")
    return book.record(connection, signed, words, now=now)


def policy_reviews(connection: sa.Connection, book: DecisionBook, policy: Policy) -> tuple[Kept, ...]:
    """Reviews of any version of the policy that count, oldest first: signed in a role that the policy names."""
    read = book.of_kind(connection, DecisionKind.REVIEW_POLICY)
    return tuple(kept for kept in read.valid if review_problem(kept.decision, policy) is None)


def review_problem(decision: Decision, policy: Policy) -> str | None:
    """Why a review does not count under `policy`; None when it does. It may be about any version of it."""
    if decision.kind is not DecisionKind.REVIEW_POLICY or decision.model_name != about(policy) or DOCUMENT not in decision.binding:
        return "is about something else than this policy and a document about it"
    if decision.role not in policy.signatories.review:
        return f"is recorded as {decision.role}, and the policy lets {_named(policy.signatories.review)} record it"
    return None


def problem_of(decision: Decision, policy: Policy, found: Publications) -> str | None:
    """Why a publication does not count after those that were found before it; None when it does."""
    roles = found.signatories(policy)
    known = found.find(policy.label)
    if (decision.model_name, decision.model_version) != (about(policy), policy.policy.version):
        return "names another policy than it is about"
    if known is not None and known.policy.digest != policy.digest:
        return f"was published with digest {known.policy.digest}, and this one has {policy.digest}; give the changed policy a new version"
    if known is not None:
        return "was published already"
    if decision.binding != what_is_published(policy, found):
        return "names another predecessor, or other bases, than the policy has"
    if decision.role not in roles:
        return f"is published as {decision.role}, and it takes {_named(roles)} to publish it"
    return None


def _named(roles: Iterable[str]) -> str:
    return " or ".join(roles) or "nobody"


def _content(policy: Policy) -> str:
    """What the policy's digest is the digest of."""
    return canonical_json(policy.model_dump(mode="json", by_alias=True, exclude_defaults=True)).decode()


def _policy_of(connection: sa.Connection, digest: str) -> Policy | None:
    content = connection.execute(sa.select(bindings.c.content).where(bindings.c.digest == digest)).scalar()
    return None if content is None else parsed_policy(content, digest)


@lru_cache(maxsize=64)
def parsed_policy(content: str, digest: str) -> Policy | None:
    """The policy in `content`; None where it is none, or has another digest."""
    try:
        policy = Policy.model_validate_json(content)
    except ValidationError:
        return None
    return policy if policy.digest == digest else None
