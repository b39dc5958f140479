"""Publish a version of a policy: pinned to its digest in a file that is written once, and told to the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import JsonValue

from rai_pipelines.evidence.model import Record
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.versions.published import publish
from rai_pipelines.settings import Settings

if TYPE_CHECKING:
    from rai_pipelines.governance.ledger.storage import Ledger

PUBLISHED, ACTOR = "policy_published", "system:policy"


class Publication(Record):
    """`rai policy publish --json`: what is pinned; `new` is false where this version was published before, with the same digest."""

    schema_version: Literal["rai.policy-publication/v1"] = "rai.policy-publication/v1"
    policy: str
    digest: str
    published_at: str
    new: bool


def publish_policy(policy: Policy, settings: Settings) -> Publication:
    """Pin `id@version` to the policy's digest. Safe to repeat: after a crash between file and ledger, the next call completes it.

    Raises:
        PolicyError: this version was published with another digest.
        DatabaseError: the ledger does not answer; nothing new is pinned then, unless it went away in between.
    """
    from rai_pipelines.governance.database.engine import open_governance
    from rai_pipelines.governance.ledger.storage import Happening, Ledger

    engine = open_governance(settings)  # before anything is pinned: what could not be recorded is not done
    try:
        record, new = publish(policy, settings.policies_path)
        ledger = Ledger(engine)
        if new or not _is_recorded(ledger, policy):
            body: dict[str, JsonValue] = {
                "policy": policy.policy.id,
                "version": policy.policy.version,
                "policy_digest": policy.digest,
                "extends": [base.digest for base in policy.extends],
                "waivers": {item.control.id: item.until.isoformat() for item in policy.relaxations},
            }
            ledger.append(Happening(PUBLISHED, ACTOR, body))
    finally:
        engine.dispose()
    return Publication(policy=policy.label, digest=record.digest, published_at=record.published_at, new=new)


def _is_recorded(ledger: Ledger, policy: Policy) -> bool:
    return any(entry.kind == PUBLISHED and entry.body.get("policy_digest") == policy.digest for entry in ledger.entries())
