"""Publish a version of a policy: a named person signs its digest and that of its predecessor; the ledger is told, and a file pins it."""

from __future__ import annotations

from typing import Literal

from rai_pipelines.evidence.model import Record
from rai_pipelines.governance.decisions.signer import Signer, at_the_desk, role_of
from rai_pipelines.governance.decisions.statement import Decision, DecisionKind, Words, digest_of_words, sign_decision
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.versions.published import publish, refuse_changed
from rai_pipelines.settings import Settings


class Published(Record):
    """`rai policy publish --json`: what was signed and pinned; `new` is false where this version was published before, with the same digest.

    `predecessor` is the digest of the version of this policy that was published before it; `decision` is the id of the signed statement.
    """

    schema_version: Literal["rai.policy-publication/v1"] = "rai.policy-publication/v1"
    policy: str
    digest: str
    predecessor: str | None
    decision: str
    person: str
    role: str
    published_at: str
    new: bool


def publish_policy(policy: Policy, settings: Settings, signer: Signer, words: Words) -> Published:
    """Sign that `policy` is published, record it, and pin `id@version` to its digest. Safe to repeat: what a crash left undone is completed.

    Raises:
        PolicyError: this version was published with another digest, or the folder of published versions does not take it.
        DecisionRefused: the person holds no role that publishes it, or the policy names none for the version after it.
        PeopleError, KeyProblem: the person is not known, or has no key here.
        DatabaseError: the governance database does not answer; nothing is published then.
    """
    from rai_pipelines.governance.database.engine import answering, open_governance
    from rai_pipelines.governance.decisions.publications import PREDECESSOR, about, publications, record_publication, what_is_published
    from rai_pipelines.governance.decisions.store import DecisionBook
    from rai_pipelines.governance.keys import read_public_keys
    from rai_pipelines.governance.ledger.storage import Ledger
    from rai_pipelines.governance.people.directory import read_directory

    refuse_changed(policy, settings.policies_path)
    directory, keys = read_directory(settings.people_path), read_public_keys(settings.keys_path)
    engine = open_governance(settings)
    try:
        book = DecisionBook(Ledger(engine), directory, keys)
        with answering(engine), engine.begin() as connection:
            now = book.ledger.lock(connection)
            found = publications(connection, book)
            known = found.find(policy.label)
            if known is not None and known.policy.digest == policy.digest:
                kept, new = known.kept, False
            else:
                person, key = at_the_desk(settings.keys_path, directory, signer)
                role = role_of(person, signer.role, found.signatories(policy))
                decision = Decision(
                    kind=DecisionKind.PUBLISH,
                    model_name=about(policy),
                    model_version=policy.policy.version,
                    subject=policy.digest,
                    binding=what_is_published(policy, found),
                    person=person.id,
                    role=role,
                    words=digest_of_words(words),
                    made_at=book.ledger.clock(),
                )
                kept, new = record_publication(connection, book, policy, sign_decision(decision, key), words, now=now), True
    finally:
        engine.dispose()
    publish(policy, settings.policies_path)  # last: a file without a signature would keep the policy from approving anything
    said = kept.decision
    return Published(
        policy=policy.label,
        digest=policy.digest,
        predecessor=said.binding.get(PREDECESSOR),
        decision=kept.id,
        person=said.person,
        role=said.role or "",
        published_at=kept.recorded_at.isoformat(timespec="milliseconds"),
        new=new,
    )
