"""What follows a verdict, in plain Python: the card is written, the gate is applied, a failed run leaves a finding."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from rai_pipelines.assessments.base import unmade_evidence
from rai_pipelines.audit import VERDICT, Auditor, evidence_of, latest_verdict
from rai_pipelines.documents.card import ModelCard, build_card, write_card
from rai_pipelines.errors import EvidenceError, RaiError, RegistryUnavailable
from rai_pipelines.evidence.model import Evidence, Status
from rai_pipelines.governance.gate import GateRecord, apply_gate, tag_failed_audit
from rai_pipelines.policy.verdict import Verdict
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.subjects.names import ModelVersion

AUDIT_RUN = "audit_run"


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
    verdict = require_verdict(auditor, version)
    evidence = evidence_of(auditor.store, verdict)
    card = build_card(verdict, evidence, _datasheet(auditor, version))
    return card, write_card(card, evidence, auditor.policy, auditor.settings.documents_dir)


def open_gate(auditor: Auditor, version: ModelVersion) -> GateRecord:
    """Tell the registry what the newest verdict means, and keep a record of it in the store and in the ledger.

    Raises:
        RegistryUnavailable, DatabaseError: run again; the registry is told before the ledger, so that the ledger holds only what happened.
    """
    from rai_pipelines.governance.database.engine import open_governance
    from rai_pipelines.governance.ledger.storage import Happening, Ledger

    verdict = require_verdict(auditor, version)
    engine = open_governance(auditor.settings)  # before anything is changed: what could not be recorded is not done
    try:
        record = apply_gate(verdict, auditor.registry)
        auditor.store.put(record, kind="release_gate", folder=version.key, status=Status.COMPLETE)
        body: dict[str, JsonValue] = {
            "decision": record.decision.value,
            "verdict": verdict.status.value,
            "verdict_digest": verdict.digest,
            "policy_digest": verdict.policy_digest,
            "model_digest": verdict.model_digest,
            "datasheet_digest": verdict.datasheet_digest,
            "evidence": {name: digest for finding in verdict.findings for name, digest in sorted(finding.evidence.items())},
            "alias": record.alias,
        }
        Ledger(engine).append(Happening("gate", "system:release_gate", body, version.name, version.version))
    finally:
        engine.dispose()
    return record


def record_failed_run(auditor: Auditor, version: ModelVersion, reason: str) -> Evidence:
    """Keep the failure of an audit run as evidence with status `error`, and say so in the registry.

    Raises:
        RegistryUnavailable: the record is kept, the registry was not told.
    """
    policy = auditor.policy
    evidence = unmade_evidence(
        AUDIT_RUN, version, reason, status=Status.ERROR, seed=auditor.settings.seed, policy=policy.label, policy_digest=policy.digest
    )
    auditor.store.put(evidence, kind=AUDIT_RUN, folder=version.key, status=Status.ERROR)
    tag_failed_audit(version, auditor.registry, judged_before=auditor.store.latest(VERDICT, version.key) is not None)
    return evidence


def _datasheet(auditor: Auditor, version: ModelVersion) -> Datasheet | None:
    try:
        return auditor.context(version).subject.datasheet
    except RegistryUnavailable:
        raise
    except RaiError:  # no usable datasheet: the evidence says so, and the card is written without declarations
        return None
