"""Whether enough people, in the right roles, have signed."""

from __future__ import annotations

from collections.abc import Sequence

from rai_pipelines.governance.decisions.store import Kept
from rai_pipelines.policy.release_rules import Quorum


def newest_of_each(signed: Sequence[Kept], *, excluded: frozenset[str]) -> list[Kept]:
    """The newest signature of each person who is not excluded; one person stands for one role."""
    return list({item.decision.person: item for item in signed if item.decision.person not in excluded}.values())


def missing_of(quorum: Quorum, signed: Sequence[Kept]) -> str | None:
    """Who is missing, in words, or None when the quorum is reached. `signed` has one signature a person."""
    roles = {item.decision.role for item in signed}
    absent = [role for role in quorum.roles if role not in roles]
    if absent:
        return "somebody as " + " and somebody as ".join(absent)
    short = quorum.people - len(signed)
    return f"{short} more {'person' if short == 1 else 'people'}" if short > 0 else None
