"""What an approval is bound to: the digests of model, datasheet, policy, data and evidence, and who must not approve. Any other digest voids it.

Evidence about production data is left out: it changes each month by itself and was not what was reviewed. It is judged anew by every audit,
and a verdict that gets worse takes the approval back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import Field

from rai_pipelines.errors import EvidenceError
from rai_pipelines.evidence.canonical import digest_of
from rai_pipelines.evidence.model import Evidence, Record
from rai_pipelines.governance.ledger.entry import Digest
from rai_pipelines.governance.people.directory import Directory, Person
from rai_pipelines.governance.people.identity import canonical_identity
from rai_pipelines.policy.verdict import Verdict

PRODUCTION = "production"


class Binding(Record):
    """Everything that a reviewer's signature is about. People are named by the digest of their identity only."""

    schema_version: Literal["rai.binding/v1"] = "rai.binding/v1"
    model_name: str
    model_version: str
    model_digest: Digest | None
    datasheet_digest: Digest | None
    policy_digest: Digest
    data: dict[str, str] = Field(default_factory=dict, description="Table to the digest of its content")
    evidence: dict[str, Digest] = Field(default_factory=dict, description="Assessment to the digest of its evidence")
    submitters: tuple[Digest, ...] = Field(default=(), description="Digests of the identities that submitted the version")
    owners: tuple[Digest, ...] = Field(default=(), description="Digests of the identities of owner and deputy")

    @property
    def digest(self) -> str:
        """`sha256:<hex>` over the canonical JSON."""
        return digest_of(self)

    @property
    def listed(self) -> dict[str, str]:
        """The digests behind it, by name, as the signed statement lists them."""
        named = {"model": self.model_digest, "datasheet": self.datasheet_digest, "policy": self.policy_digest}
        found = {name: digest for name, digest in named.items() if digest is not None}
        return found | {f"evidence:{name}": digest for name, digest in self.evidence.items()}


def bind(
    verdict: Verdict, evidence: Mapping[str, Evidence], *, submitters: Iterable[str], owners: Iterable[str], moving: Iterable[str] = ()
) -> Binding:
    """The binding of a verdict.

    Args:
        verdict: the newest verdict.
        evidence: what it rests on, by assessment.
        submitters: identities that the registry gives for who submitted the version.
        owners: identities of owner and deputy in the datasheet.
        moving: assessments that change without anybody changing the model: those of production and of people's decisions.

    Raises:
        EvidenceError: two assessments were made of different states of the same table.
    """
    left_out = set(moving)
    data: dict[str, str] = {}
    for name in sorted(set(evidence) - left_out):
        for table, digest in evidence[name].provenance.data_digests.items():
            if table != PRODUCTION and data.setdefault(table, digest) != digest:
                raise EvidenceError(
                    f"was made of another state of the {table} table than other evidence",
                    where=f"{verdict.model_name}/{verdict.model_version}: {name}",
                    hint="Run the audit again",
                )
    return Binding(
        model_name=verdict.model_name,
        model_version=verdict.model_version,
        model_digest=verdict.model_digest,
        datasheet_digest=verdict.datasheet_digest,
        policy_digest=verdict.policy_digest,
        data=dict(sorted(data.items())),
        evidence={name: evidence[name].digest for name in sorted(set(evidence) - left_out)},
        submitters=identity_digests(submitters),
        owners=identity_digests(owners),
    )


def people_excluded(binding: Binding, directory: Directory) -> frozenset[str]:
    """Ids of the people who must not approve it: whoever submitted or owns it, under any of their identities, and who answers for a service."""
    involved = {*binding.submitters, *binding.owners}
    found: set[str] = set()
    for person in directory.people:
        if any(_digest(identity) in involved for identity in person.known_as):
            found |= {person.id, *person.responsible}
    return frozenset(found)


def owners_of(binding: Binding, directory: Directory) -> list[Person]:
    """The people whom the datasheet names as owner and deputy, as far as the directory knows them."""
    return [person for person in directory.people if any(_digest(identity) in binding.owners for identity in person.known_as)]


def submitter_known(binding: Binding, directory: Directory) -> bool:
    """Whether it is known who submitted the version: every identity that the registry gives is somebody's."""
    known = {_digest(identity) for person in directory.people for identity in person.known_as}
    return bool(binding.submitters) and set(binding.submitters) <= known


def identity_digests(identities: Iterable[str]) -> tuple[str, ...]:
    """As a binding names people."""
    return tuple(sorted({_digest(identity) for identity in identities if identity.strip()}))


def _digest(identity: str) -> str:
    return "sha256:" + hashlib.sha256(canonical_identity(identity).encode()).hexdigest()
