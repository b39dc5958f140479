"""Reviews that the policy asks people for: what each is about, who may sign it, and which of them still stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from rai_pipelines.errors import DecisionRefused
from rai_pipelines.evidence.canonical import digest_of
from rai_pipelines.evidence.model import Evidence
from rai_pipelines.governance.decisions.statement import DecisionKind
from rai_pipelines.governance.decisions.store import Kept
from rai_pipelines.governance.people.directory import Directory, Person

KEY_FIGURES = ("bias_assessment", "performance_report", "drift_report")


class ReviewKind(StrEnum):
    """What a person can be asked to look at and sign."""

    TRAINING_DATA_BIAS = "training_data_bias"  # the training data, before deployment
    KEY_FIGURES = "key_figures"  # performance, bias and drift of a version in use, each month
    OWNER_ACKNOWLEDGEMENT = "owner_acknowledgement"  # the owner answers for the model as the datasheet declares it


@dataclass(frozen=True)
class ReviewStanding:
    """The newest review of a kind by somebody who may sign it; `current` is whether what it was about is still so."""

    kind: ReviewKind
    signed_on: date
    current: bool
    decision: str


def digests_reviewed(kind: ReviewKind, evidence: Mapping[str, Evidence], datasheet_digest: str) -> dict[str, str]:
    """What a signature of that kind is about, by name.

    Raises:
        DecisionRefused: what has to be looked at was not measured.
    """
    found: dict[str, str] = {}
    match kind:
        case ReviewKind.OWNER_ACKNOWLEDGEMENT:
            found = {"datasheet": datasheet_digest}
        case ReviewKind.TRAINING_DATA_BIAS:
            validated = evidence.get("data_validation")
            table = validated.provenance.data_digests.get("training") if validated else None
            found = {"data:training": digest_of(table)} if table else {}
        case ReviewKind.KEY_FIGURES:
            found = {f"evidence:{name}": evidence[name].digest for name in KEY_FIGURES if name in evidence}
    if not found:
        raise DecisionRefused("what it is about was not measured", where=f"review {kind.value}", hint="Run the audit first")
    return found


def subject_of(kind: ReviewKind, model_name: str, model_version: str, digests: Mapping[str, str]) -> str:
    """The digest that is signed."""
    return digest_of({"review": kind.value, "model": model_name, "version": model_version, "about": dict(digests)})


def involved(directory: Directory, submitters: Iterable[str], owners: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Ids of the people behind the identities of submitters, and of owners."""
    found = [frozenset().union(*(directory.standing_for(identity) for identity in group)) for group in (submitters, owners)]
    return found[0], found[1]


def require_may_review(kind: ReviewKind, person: Person, submitters: frozenset[str], owners: frozenset[str]) -> None:
    """Refuse who may not sign that review.

    Raises:
        DecisionRefused: an acknowledgement is the owner's or deputy's; anything else is looked at by somebody who neither submitted nor owns it.
    """
    where = f"review {kind.value} by {person.id!r}"
    if kind is ReviewKind.OWNER_ACKNOWLEDGEMENT:
        if person.id not in owners:
            raise DecisionRefused(
                "only the declared owner or deputy acknowledges a model", where=where, hint="Check owner and deputy in the datasheet"
            )
    elif person.id in submitters | owners:
        raise DecisionRefused("who submitted or owns a model does not review it", where=where, hint="Ask somebody else")


def standing_reviews(
    signed: Sequence[Kept], now_about: Mapping[ReviewKind, str], submitters: frozenset[str], owners: frozenset[str]
) -> dict[ReviewKind, ReviewStanding]:
    """The newest review of each kind that somebody signed who may. `now_about` has the digest that a signature of today would be about.

    Key figures change each month by themselves: a review of them stays about the figures of its day.
    """
    found: dict[ReviewKind, ReviewStanding] = {}
    for item in signed:
        decision = item.decision
        if decision.kind is not DecisionKind.REVIEW or decision.review not in set(ReviewKind):
            continue
        kind = ReviewKind(decision.review)
        wanted = decision.person in owners if kind is ReviewKind.OWNER_ACKNOWLEDGEMENT else decision.person not in submitters | owners
        if wanted:
            current = kind is ReviewKind.KEY_FIGURES or now_about.get(kind) == decision.subject
            found[kind] = ReviewStanding(kind, item.recorded_at.date(), current, item.id)
    return found
