"""What changes from one policy to another, and in which direction."""

from __future__ import annotations

from typing import Literal

from rai_pipelines.evidence.model import Record
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.versions.strictness import Change, changes_between


class PolicyDifference(Record):
    """`rai policy diff OLD NEW --json`. The counts are of changes that decide something."""

    schema_version: Literal["rai.policy-difference/v1"] = "rai.policy-difference/v1"
    old: str
    old_digest: str
    new: str
    new_digest: str
    stricter: int
    looser: int
    other: int
    changes: tuple[Change, ...]


def difference(old: Policy, new: Policy) -> PolicyDifference:
    """Every change from `old` to `new`, each called stricter, looser or other."""
    changes = changes_between(old, new)
    deciding = [change.effect for change in changes if change.decides]
    return PolicyDifference(
        old=old.label,
        old_digest=old.digest,
        new=new.label,
        new_digest=new.digest,
        stricter=deciding.count("stricter"),
        looser=deciding.count("looser"),
        other=deciding.count("other"),
        changes=changes,
    )
