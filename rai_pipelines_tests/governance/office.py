"""An office for tests: people by their part, with keys and roles, a gatekeeper over a real database, and verdicts to decide about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from rai_pipelines.evidence.model import Evidence, Status
from rai_pipelines.evidence.store import LocalEvidenceStore
from rai_pipelines.governance.database.tables import bindings, decisions
from rai_pipelines.governance.decisions.publications import (
    DOCUMENT,
    about,
    publications,
    record_policy_review,
    record_publication,
    what_is_published,
)
from rai_pipelines.governance.decisions.statement import Decision, DecisionKind, SignedDecision, Words, digest_of_words, sign_decision
from rai_pipelines.governance.decisions.store import DecisionBook, Kept
from rai_pipelines.governance.decisions.waivers import Waiver, WaiverStanding
from rai_pipelines.governance.gate.binding import Binding, bind
from rai_pipelines.governance.gate.keeper import Gatekeeper
from rai_pipelines.governance.gate.work_out import Gate
from rai_pipelines.governance.keys import load_signer, make_key, read_public_keys
from rai_pipelines.governance.ledger.storage import Happening, Ledger
from rai_pipelines.governance.people.directory import read_directory
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.verdict import Verdict, VerdictStatus, judge
from rai_pipelines_tests.conftest import evidence

START = datetime(2026, 12, 15, 9, 0, tzinfo=UTC)
ROLES = {
    "validator": ("validator",),
    "second-validator": ("validator",),
    "risk-owner": ("risk_owner",),
    "officer": ("ethics_officer",),
    "submitter": ("validator", "risk_owner"),
    "owner": ("validator",),
}
WORDS = Words(meaning="I read the bias assessment and the card, and accept what they say")


@dataclass
class Clock:
    """A clock that tests set."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **step: float) -> None:
        self.now += timedelta(**step)


@dataclass
class Office:
    """Everything around one governance database."""

    engine: sa.Engine
    folder: Path
    clock: Clock = field(default_factory=Clock)
    release: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keys = self.folder / "keys"
        self.ids = {name: make_key(self.keys, name) for name in ROLES}
        self.people = [
            {"id": name, "name": name.replace("-", " "), "mail": f"{name}@example.org", "roles": list(roles), "keys": [{"id": self.ids[name]}]}
            for name, roles in ROLES.items()
        ]
        self.people.append({"id": "ci", "name": "build service", "responsible": ["submitter"]})
        self.store = LocalEvidenceStore(self.folder / "evidence")
        self.policy = self.policy_with(self.release)

    def policy_with(self, release: Mapping[str, Any], **changes: Any) -> Policy:
        shipped = read_policy().model_dump(by_alias=True)
        return Policy.model_validate({**shipped, "release": {**shipped["release"], **release}, **changes})

    @property
    def keeper(self) -> Gatekeeper:
        path = self.folder / "people.yaml"
        path.write_text(yaml.safe_dump({"schema": "rai.people/v1", "people": self.people}), encoding="utf-8")
        book = DecisionBook(Ledger(self.engine, self.clock), read_directory(path), read_public_keys(self.keys))
        return Gatekeeper(self.engine, book, self.policy, self.store, self.clock)

    def verdict(self, status: VerdictStatus = VerdictStatus.COMPLIANT, *, version: str = "1", risk: str = "high", **changes: Any) -> Verdict:
        """A verdict in the store; which controls failed follows from `failing`."""
        record = evidence("registry_record", details={"risk_class": risk, "release_class": "internal"}, model_name="loans", model_version=version)
        judged = judge(self.policy, {"registry_record": record}, model_name="loans", model_version=version, day=self.clock.now.date())
        made = judged.model_copy(update={"status": status, "reasons": (), **changes})
        self.store.put(made, kind="policy_verdict", folder=f"loans/{version}", status=Status.COMPLETE)
        return made

    def binding(self, verdict: Verdict, *, submitters: tuple[str, ...] = ("ci",), more: Mapping[str, Evidence] | None = None) -> Binding:
        found = {"bias_assessment": evidence("bias_assessment", model_name="loans", model_version=verdict.model_version), **(more or {})}
        return bind(verdict, found, submitters=submitters, owners=("owner@example.org",))

    def audited(self, status: VerdictStatus = VerdictStatus.COMPLIANT, *, version: str = "1", **changes: Any) -> Gate:
        """A version that was judged so and came to the gate."""
        binding_changes = {name: changes.pop(name) for name in ("submitters", "more") if name in changes}
        verdict = self.verdict(status, version=version, **changes)
        return self.keeper.take_verdict(verdict, self.binding(verdict, **binding_changes), created_ms=int(version))

    def signed(
        self, person: str, kind: DecisionKind, about: Binding, *, key: str | None = None, words: Words = WORDS, **changes: Any
    ) -> SignedDecision:
        role = ROLES.get(person, ("validator",))[0] if kind in (DecisionKind.APPROVE, DecisionKind.WAIVE) else None
        fields: dict[str, Any] = {
            "kind": kind,
            "model_name": about.model_name,
            "model_version": about.model_version,
            "subject": about.digest,
            "binding": about.listed,
            "person": person,
            "role": role,
            "words": digest_of_words(words),
            "made_at": self.clock.now,
        }
        return sign_decision(Decision(**{**fields, **changes}), load_signer(self.keys / f"{key or person}.key"))

    def decide(self, person: str, kind: DecisionKind, gate: Gate, **changes: Any) -> Gate:
        words = changes.get("words", WORDS)
        return self.keeper.decide(self.signed(person, kind, gate.binding, **changes), words)

    def approve(self, gate: Gate, *people: str, **changes: Any) -> Gate:
        for person in people:
            gate = self.decide(person, DecisionKind.APPROVE, gate, **changes)
        return gate

    def waiver(self, control: str, *, days: int = 20, version: str | None = "1", **changes: Any) -> Waiver:
        until = (self.clock.now + timedelta(days=days)).date()
        fields = {"control": control, "model_name": "loans", "model_version": version, "until": until}
        return Waiver(**{**fields, "reason": digest_of_words(WORDS), "proposed_at": self.clock.now, **changes})

    def signed_waiver(self, person: str, waiver: Waiver, **changes: Any) -> SignedDecision:
        fields: dict[str, Any] = {
            "kind": DecisionKind.WAIVE,
            "model_name": waiver.model_name,
            "model_version": waiver.model_version,
            "subject": waiver.digest,
            "person": person,
            "role": ROLES[person][0],
            "words": digest_of_words(WORDS),
            "made_at": self.clock.now,
        }
        return sign_decision(Decision(**{**fields, **changes}), load_signer(self.keys / f"{person}.key"))

    def waive(self, waiver: Waiver, *people: str) -> WaiverStanding:
        for person in people:
            found = self.keeper.waive(waiver, self.signed_waiver(person, waiver), WORDS)
        return found

    def publication(self, policy: Policy, person: str = "officer", *, key: str | None = None, **changes: Any) -> SignedDecision:
        """A signed statement that publishes `policy`, about what is published now."""
        with self.engine.connect() as connection:
            binding = what_is_published(policy, publications(connection, self.keeper.book))
        fields: dict[str, Any] = {
            "kind": DecisionKind.PUBLISH,
            "model_name": about(policy),
            "model_version": policy.policy.version,
            "subject": policy.digest,
            "binding": binding,
            "person": person,
            "role": ROLES.get(person, ("ethics_officer",))[0],
            "words": digest_of_words(WORDS),
            "made_at": self.clock.now,
        }
        return sign_decision(Decision(**{**fields, **changes}), load_signer(self.keys / f"{key or person}.key"))

    def publish(self, policy: Policy, person: str = "officer", **changes: Any) -> Kept:
        """`policy` published by a person, as it is recorded."""
        signed, book = self.publication(policy, person, **changes), self.keeper.book
        with self.engine.begin() as connection:
            return record_publication(connection, book, policy, signed, WORDS, now=book.ledger.lock(connection))

    def review_policy(self, person: str = "officer", *, policy: Policy | None = None, **changes: Any) -> Kept:
        """A review of the policy, recorded."""
        reviewed, book = policy or self.policy, self.keeper.book
        fields: dict[str, Any] = {
            "kind": DecisionKind.REVIEW_POLICY,
            "model_name": about(reviewed),
            "model_version": reviewed.policy.version,
            "subject": reviewed.digest,
            "binding": {DOCUMENT: "sha256:" + "0" * 64},
            "person": person,
            "role": ROLES[person][0],
            "review": "kept",
            "words": digest_of_words(WORDS),
            "made_at": self.clock.now,
        }
        signed = sign_decision(Decision(**{**fields, **changes}), load_signer(self.keys / f"{person}.key"))
        with self.engine.begin() as connection:
            return record_policy_review(connection, book, reviewed, signed, WORDS, now=book.ledger.lock(connection))


def inserted(office: Office, signed: SignedDecision, *, content: str | None = None, entry: bool = True, recorded_at: datetime | None = None) -> None:
    """A decision written past the checks, as by somebody who has the application's role in the database: rows, and the ledger entry unless told.

    `content` is what the decision is about, word for word, where that is kept too.
    """
    ledger, decision = office.keeper.ledger, signed.decision
    body: dict[str, Any] = {"decision": signed.id, "decided": decision.kind.value, "subject": decision.subject, "words": decision.words}
    with office.engine.begin() as connection:
        happening = Happening("decision", f"key:{signed.keyid}", body, decision.model_name, decision.model_version)
        written = ledger.append_within(connection, happening) if entry else None
        if content is not None and not connection.execute(sa.select(bindings).where(bindings.c.digest == decision.subject)).first():
            connection.execute(bindings.insert().values(digest=decision.subject, content=content))
        connection.execute(
            decisions.insert().values(
                id=signed.id,
                kind=decision.kind.value,
                model_name=decision.model_name,
                model_version=decision.model_version,
                subject=decision.subject,
                recorded_at=recorded_at or (written.recorded_at if written else office.clock.now),
                sequence=written.sequence if written else 1,
                envelope=json.dumps(signed.envelope),
            )
        )
