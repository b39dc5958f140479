"""What follows a verdict, in plain Python: card and technical documentation are written, the gate is applied, a failed run leaves a finding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rai_pipelines.assessments.base import unmade_evidence
from rai_pipelines.audit import EARLIER_VERSIONS, VERDICT, Auditor, evidence_of, latest_verdict
from rai_pipelines.errors import EvidenceError, RaiError, RegistryUnavailable
from rai_pipelines.evidence.model import Evidence, Status
from rai_pipelines.governance.gate.record import GateRecord
from rai_pipelines.policy.verdict import Verdict
from rai_pipelines.steps import steps
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.subjects.names import ModelVersion

if TYPE_CHECKING:
    from rai_pipelines.documents.annex_iv_claims import EarlierVersion
    from rai_pipelines.documents.card import ModelCard
    from rai_pipelines.documents.technical_documentation import TechnicalDocumentation
    from rai_pipelines.governance.gate.binding import Binding
    from rai_pipelines.governance.gate.keeper import Gatekeeper

AUDIT_RUN = "audit_run"
# Evidence that changes without the model: of production, of what people decided, and the list of all evidence. It was not what was reviewed.
MOVING = (
    *("drift_report", "fairness_windows", "human_oversight", "policy_review", "signed_reviews", "governance_record"),
    *("documentation_check", "technical_documentation_check"),
)


def require_verdict(auditor: Auditor, version: ModelVersion) -> Verdict:
    """The newest verdict on `version`.

    Raises:
        EvidenceError: there is none, or it was altered.
    """
    found = latest_verdict(auditor.store, version)
    if found is None:
        raise EvidenceError("was never judged", where=str(version), hint=f"Run: rai audit {version}")
    return found[0]


def write_model_card(auditor: Auditor, version: ModelVersion) -> tuple[ModelCard, dict[str, Path]]:
    """Write the card that follows from the newest verdict; returns it and its files by format."""
    from rai_pipelines.documents.card import build_card, write_card

    verdict = require_verdict(auditor, version)
    evidence = evidence_of(auditor.store, verdict)
    card = build_card(verdict, evidence, _datasheet(auditor, version))
    return card, write_card(card, evidence, auditor.policy, auditor.settings.documents_dir)


def write_technical_documentation(auditor: Auditor, version: ModelVersion) -> tuple[TechnicalDocumentation, dict[str, Path]]:
    """Write the technical documentation that follows from the newest verdict; returns it and its files by format."""
    from rai_pipelines.documents.technical_documentation import build_technical_documentation, write_documentation

    verdict = require_verdict(auditor, version)
    evidence, sheet = evidence_of(auditor.store, verdict), _datasheet(auditor, version)
    document = build_technical_documentation(verdict, evidence, sheet, _earlier(auditor, version))
    return document, write_documentation(document, auditor.settings.documents_dir)


def open_gate(auditor: Auditor, version: ModelVersion) -> GateRecord:
    """Take the newest verdict to the gate, tell the registry how the version stands, and keep a record of it in the store.

    Verdict, state, ledger entry and what the registry has to be told are written together; a registry that is down is told later, by whoever
    drains the outbox next. Where two audits of a version overlap, the one that comes last takes the newer verdict there, whoever made it.

    Raises:
        RegistryUnavailable, DatabaseError: run again; nothing is lost and nothing happens twice.
    """
    from rai_pipelines.governance.gate.rows import Making

    with open_gatekeeper(auditor) as keeper:
        created_ms = auditor.registry.get(version).created_ms
        made, taken = Making(month=auditor.month, scope=auditor.scope), ""
        while (verdict := require_verdict(auditor, version)).digest != taken:  # stored meanwhile by another audit, which may be at the gate already
            keeper.take_verdict(verdict, binding_of(auditor, version, verdict), created_ms=created_ms, made=made)
            taken = verdict.digest
        return tell_registry(auditor, keeper, version)


def binding_of(auditor: Auditor, version: ModelVersion, verdict: Verdict) -> Binding:
    """What a signature about `version` is bound to now: from the newest evidence, and from who submitted and owns it.

    Raises:
        EvidenceError: evidence was made of different states of a table, or was altered.
        RegistryUnavailable: nothing can be found out.
    """
    from rai_pipelines.governance.gate.binding import bind

    submitters, sheet = auditor.registry.get(version).submitted_by, _datasheet(auditor, version)
    evidence = auditor.collect(version, tuple(steps()))
    return bind(verdict, evidence, submitters=submitters, owners=sheet.answerable if sheet else (), moving=MOVING)


def tell_registry(auditor: Auditor, keeper: Gatekeeper, version: ModelVersion) -> GateRecord:
    """Deliver what the registry has still to be told about `version`, and keep how it stands in the evidence store.

    Raises:
        RegistryUnavailable: the outbox keeps it, and whoever drains it next tells the registry.
    """
    from rai_pipelines.governance.gate.moves import registry_key
    from rai_pipelines.governance.gate.registry_sync import read_record, registry_deliveries
    from rai_pipelines.governance.outbox import drain

    told = {}

    def hear(record: GateRecord) -> None:
        told[record.model_version] = record

    deliver = registry_deliveries(keeper.engine, auditor.registry, hear, settle=keeper.settled)
    problems = [item.problem for item in drain(keeper.engine, deliver, now=keeper.clock(), key=registry_key(version)) if item.problem]
    record = told.get(version.version) or read_record(keeper.engine, version)  # another process may be telling it just now
    auditor.store.put(record, kind="release_gate", folder=version.key, status=Status.COMPLETE)
    if problems:
        raise RegistryUnavailable(problems[0], where=str(version), hint="It is recorded, and the registry is told in a later round")
    return record


@contextmanager
def open_gatekeeper(auditor: Auditor) -> Iterator[Gatekeeper]:
    """The gatekeeper of the governance database that the auditor's settings name.

    Raises:
        DatabaseError, PeopleError, KeyProblem: the database, the people's file or a key cannot be used.
    """
    from rai_pipelines.governance.database.engine import answering, open_governance
    from rai_pipelines.governance.decisions.store import DecisionBook
    from rai_pipelines.governance.gate.keeper import Gatekeeper
    from rai_pipelines.governance.keys import read_public_keys
    from rai_pipelines.governance.ledger.storage import Ledger
    from rai_pipelines.governance.people.directory import read_directory

    settings = auditor.settings
    directory, keys = read_directory(settings.people_path), read_public_keys(settings.keys_path)
    engine = open_governance(settings)
    try:
        with answering(engine):
            book = DecisionBook(Ledger(engine), directory, keys)
            yield Gatekeeper(engine, book, auditor.policy, auditor.store, published=settings.policies_path)
    finally:
        engine.dispose()


def record_failed_run(auditor: Auditor, version: ModelVersion, reason: str) -> Evidence:
    """Keep the failure of an audit run as evidence with status `error`, and say so in the registry.

    Raises:
        RegistryUnavailable: the record is kept, the registry was not told.
    """
    from rai_pipelines.governance.gate.registry_sync import tag_failed_audit

    policy = auditor.policy
    evidence = unmade_evidence(
        AUDIT_RUN, version, reason, status=Status.ERROR, seed=auditor.settings.seed, policy=policy.label, policy_digest=policy.digest
    )
    auditor.store.put(evidence, kind=AUDIT_RUN, folder=version.key, status=Status.ERROR)
    tag_failed_audit(version, auditor.registry, judged_before=auditor.store.latest(VERDICT, version.key) is not None)
    return evidence


def _earlier(auditor: Auditor, version: ModelVersion) -> tuple[EarlierVersion, ...]:
    """Lower version numbers that were judged, newest first."""
    from rai_pipelines.documents.annex_iv_claims import EarlierVersion

    if not version.version.isdecimal():
        return ()
    found = []
    for number in range(int(version.version) - 1, max(-1, int(version.version) - 1 - EARLIER_VERSIONS), -1):
        judged = latest_verdict(auditor.store, ModelVersion(version.name, str(number)))
        if judged is not None:
            found.append(EarlierVersion(str(number), judged[0]))
    return tuple(found)


def _datasheet(auditor: Auditor, version: ModelVersion) -> Datasheet | None:
    try:
        return auditor.context(version).subject.datasheet
    except RegistryUnavailable:
        raise
    except RaiError:  # no usable datasheet: the evidence says so, and the card is written without declarations
        return None
