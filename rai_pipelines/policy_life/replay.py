"""Replay a proposed policy over the versions that are live, or over everything that was ever audited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rai_pipelines.audit import Auditor
from rai_pipelines.clock import utc_today
from rai_pipelines.errors import RaiError, RegistryUnavailable, UnknownModelVersion
from rai_pipelines.evidence.canonical import plain
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.rehearsal.replay import Replay, Today, newest_audit, replay
from rai_pipelines.policy.verdict import Verdict
from rai_pipelines.settings import Settings
from rai_pipelines.steps import assessment_of, steps
from rai_pipelines.subjects.names import ModelVersion


def replay_versions(auditor: Auditor, policy: Policy, versions: Sequence[ModelVersion]) -> Replay:
    """`policy` over these versions; their models and datasheets are compared with what the evidence is about.

    Raises:
        RegistryUnavailable, UnknownModelVersion: whether evidence is about today's model cannot be told.
        EvidenceError: stored evidence was altered.
    """

    def today(version: ModelVersion, _: Verdict | None) -> Today:
        try:
            subject = auditor.context(version).subject
        except (RegistryUnavailable, UnknownModelVersion):
            raise
        except RaiError:  # no usable datasheet: evidence that says so is about today's state
            return Today(None, None)
        return Today(subject.model_digest, subject.datasheet.digest)

    found = parameters_under(policy, auditor.settings)
    return replay(policy, versions, store=auditor.store, day=utc_today(), today=today, parameters=found)


def replay_live(auditor: Auditor, policy: Policy) -> Replay:
    """`policy` over every version that the registry says is in use; raises as `replay_versions`."""
    return replay_versions(auditor, policy, sorted(auditor.registry.live_versions()))


def replay_stored(auditor: Auditor, policy: Policy) -> Replay:
    """`policy` over every version that was ever audited, as its newest audit found it; the registry is not asked.

    Raises:
        EvidenceError: stored evidence was altered.
    """
    versions = [ModelVersion.from_key(folder) for folder in auditor.store.folders()]
    found = parameters_under(policy, auditor.settings)
    return replay(policy, versions, store=auditor.store, day=utc_today(), today=newest_audit, parameters=found)


def parameters_under(policy: Policy, settings: Settings) -> Mapping[str, Mapping[str, Any]]:
    """By assessment, the parameters that an audit under `policy` sets."""
    return {name: plain(assessment_of(name, policy, settings)[1]) for name in steps()}
