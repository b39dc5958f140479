"""Replay a proposed policy over the versions that are live, or over everything that was ever audited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rai_pipelines.audit import Auditor
from rai_pipelines.clock import utc_today
from rai_pipelines.errors import RaiError, RegistryUnavailable, UnknownModelVersion
from rai_pipelines.evidence.canonical import plain
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.rehearsal.replay import Replay, replay
from rai_pipelines.policy.rehearsal.stored import Today
from rai_pipelines.settings import Settings
from rai_pipelines.steps import assessment_of, budget_of, steps
from rai_pipelines.subjects.names import ModelVersion


def replay_versions(auditor: Auditor, policy: Policy, versions: Sequence[ModelVersion], *, whole_evidence: bool = False) -> Replay:
    """`policy` over these versions; their models and datasheets are compared with what the evidence is about.

    `whole_evidence` reads no excerpts (policy/excerpts.py).

    Raises:
        RegistryUnavailable, UnknownModelVersion: whether evidence is about today's model cannot be told.
        EvidenceError: stored evidence was altered.
    """

    today = {version: _today(auditor, version) for version in versions}
    found = parameters_under(policy, auditor.settings)
    return replay(policy, versions, store=auditor.store, day=utc_today(), parameters=found, today=today, whole_evidence=whole_evidence)


def replay_live(auditor: Auditor, policy: Policy, *, whole_evidence: bool = False) -> Replay:
    """`policy` over every version that the registry says is in use; raises as `replay_versions`."""
    return replay_versions(auditor, policy, sorted(auditor.registry.live_versions()), whole_evidence=whole_evidence)


def replay_stored(auditor: Auditor, policy: Policy, *, whole_evidence: bool = False) -> Replay:
    """`policy` over every version that was ever audited, as its newest audit found it; the registry is not asked.

    Raises:
        EvidenceError: stored evidence was altered.
    """
    versions = [ModelVersion.from_key(folder) for folder in auditor.store.folders()]
    found = parameters_under(policy, auditor.settings)
    return replay(policy, versions, store=auditor.store, day=utc_today(), parameters=found, whole_evidence=whole_evidence)


def _today(auditor: Auditor, version: ModelVersion) -> Today:
    try:
        subject = auditor.context(version).subject
    except (RegistryUnavailable, UnknownModelVersion):
        raise
    except RaiError:  # no usable datasheet: evidence that says so is about today's state
        return Today(None, None)
    return Today(subject.model_digest, subject.datasheet.digest)


def parameters_under(policy: Policy, settings: Settings) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """By risk class and assessment, the parameters that an audit under `policy` sets: its budget follows from the risk class."""
    return {
        risk: {name: plain(assessment_of(name, policy, settings, budget_of(name, policy, risk))[1]) for name in steps()}
        for risk in type(policy.budgets).model_fields
    }
