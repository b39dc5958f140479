"""One signed decision: who says what about which digests, in an in-toto statement that anybody with the public key can verify."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError

from rai_pipelines.errors import DecisionRefused, KeyProblem
from rai_pipelines.evidence.canonical import canonical_json, digest_of
from rai_pipelines.evidence.model import Record
from rai_pipelines.governance.keys import open_statement, sign_statement
from rai_pipelines.governance.ledger.entry import Digest
from rai_pipelines.governance.people.directory import Directory

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, Key

PREDICATE = "urn:rai-pipelines:decision:v1"
SUBJECT = "decided-on"


class DecisionKind(StrEnum):
    """What a person can say. A comment changes nothing; dissent is a comment or a rejection, and both are kept."""

    APPROVE = "approve"
    REJECT = "reject"
    COMMENT = "comment"
    REVOKE = "revoke"
    WAIVE = "waive"
    REVIEW = "review"
    PUBLISH = "publish"  # a version of a policy
    REVIEW_POLICY = "review_policy"


class Words(Record):
    """What a person wrote. Kept apart from the signed statement, which names its digest, so that it can be deleted.

    `meaning` says what the signature means ("I reviewed the bias assessment and accept ..."); `conditions` are what an approval asks for.
    """

    meaning: str = Field(min_length=10, max_length=4000)
    conditions: tuple[str, ...] = Field(default=(), max_length=20)


class Decision(Record):
    """What is signed.

    `subject` is the digest of what is decided on: a binding (approve, reject, revoke, comment), a waiver, what a review is about, or a policy.
    About a policy, `model_name` is `policy:ID` (no registry allows the colon in a name) and `model_version` the policy's version.
    `binding` lists the digests of model, data, policy and evidence behind it, so that the envelope says them by itself.
    """

    schema_version: Literal["rai.decision/v1"] = "rai.decision/v1"
    kind: DecisionKind
    model_name: str
    model_version: str | None
    subject: Digest
    binding: dict[str, Digest] = Field(default_factory=dict)
    person: str
    role: str | None = None
    review: str | None = Field(default=None, description="For a review: which one; for that of a policy: what came out")
    words: Digest
    made_at: datetime
    nonce: str = Field(default_factory=lambda: secrets.token_hex(8), description="Two decisions of the same words are two decisions")


@dataclass(frozen=True)
class SignedDecision:
    """A decision with its envelope, the key that signed it, and what identifies it."""

    decision: Decision
    envelope: Mapping[str, Any]
    keyid: str
    id: str


def sign_decision(decision: Decision, signer: CryptoSigner) -> SignedDecision:
    """The decision in an envelope signed with `signer`."""
    subjects = {SUBJECT: decision.subject, **decision.binding}
    predicate = json.loads(canonical_json(decision))
    envelope = sign_statement({name: digest.removeprefix("sha256:") for name, digest in subjects.items()}, PREDICATE, predicate, signer)
    return SignedDecision(decision, envelope, str(signer.public_key.keyid), identity_of(envelope))


def open_decision(envelope: Mapping[str, Any], directory: Directory, keys: Mapping[str, Key]) -> SignedDecision:
    """The decision in `envelope`: signed with a key of the person it names, and about the digests that it lists.

    Raises:
        DecisionRefused: malformed, not signed by a known key, or signed with somebody else's.
    """
    known = [keys[key.id] for person in directory.people for key in person.keys if key.id in keys]
    try:
        statement, accepted = open_statement(envelope, known, PREDICATE)
        decision = Decision.model_validate(statement["predicate"])
        subjects = {item["name"]: f"sha256:{item['digest']['sha256']}" for item in statement["subject"]}
    except KeyProblem as error:
        raise DecisionRefused(
            f"is not signed by anybody known ({error.what})", where="decision", hint="Check the people's file and the keys"
        ) from error
    except (KeyError, TypeError, ValidationError) as error:
        raise DecisionRefused("is malformed", where="decision", hint="Treat it as forged") from error
    if subjects != {SUBJECT: decision.subject, **decision.binding}:
        raise DecisionRefused("names other digests in its subject than in its content", where="decision", hint="Treat it as forged")
    person = directory.find(decision.person)
    keyid = next((key for key in accepted if person is not None and any(key == own.id for own in person.keys)), None)
    if person is None or person.id != decision.person or keyid is None:  # in another spelling they would count as somebody else
        raise DecisionRefused("is signed with a key that is not this person's", where=f"decision of {decision.person!r}", hint="Treat it as forged")
    return SignedDecision(decision, envelope, keyid, identity_of(envelope))


def identity_of(envelope: Mapping[str, Any]) -> str:
    """`sha256:` over the signed bytes: the same statement is the same decision, however its envelope is written."""
    return "sha256:" + hashlib.sha256(str(envelope.get("payload", "")).encode()).hexdigest()


def words_of(meaning: str, conditions: Sequence[str] = ()) -> Words:
    """What a person wrote, if it says something.

    Raises:
        DecisionRefused: it is shorter than ten characters, or too long.
    """
    try:
        return Words(meaning=meaning, conditions=tuple(conditions))
    except ValidationError as error:
        raise DecisionRefused(
            f"is not what a signature can mean: {error.errors()[0]['msg']}", where="meaning", hint="Say what you looked at, and what you conclude"
        ) from error


def digest_of_words(words: Words) -> str:
    """What the statement names."""
    return digest_of(words)
