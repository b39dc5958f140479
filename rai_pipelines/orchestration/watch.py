"""What sensors and schedules look up before they plan: runs by key, verdicts by version. Thin I/O around planning.py."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime

import dagster as dg

from rai_pipelines.audit import VERDICT, Auditor
from rai_pipelines.clock import utc_now
from rai_pipelines.errors import DatabaseError, EvidenceError, RegistryUnavailable, UnknownModelVersion
from rai_pipelines.evidence.store import EvidenceStore
from rai_pipelines.orchestration.jobs import TAG_ATTEMPT, TAG_MODEL, TAG_MONTH, TAG_RUN_KEY, TAG_TRIGGER, TAG_VERSION
from rai_pipelines.orchestration.planning import AuditRequest, RunState, Seen
from rai_pipelines.subjects.names import ModelVersion

_CHUNK = 400  # values in one tag filter; databases limit the parameters of a statement
_ENDED_BADLY = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def run_states(instance: dg.DagsterInstance, run_keys: Iterable[str]) -> Mapping[str, RunState]:
    """What became of the runs with these keys; keys without a run are absent. The newest run of a key counts."""
    keys = sorted(set(run_keys))
    states: dict[str, RunState] = {}
    for start in range(0, len(keys), _CHUNK):
        for run in instance.get_runs(dg.RunsFilter(tags={TAG_RUN_KEY: keys[start : start + _CHUNK]})):
            states.setdefault(run.tags[TAG_RUN_KEY], _state(run.status))
    return states


def judged_at_ms(store: EvidenceStore, keys: Iterable[str]) -> Mapping[str, int]:
    """When the newest verdict of each version was stored (milliseconds since 1970, UTC); versions without one are absent.

    So are those whose receipt cannot be read: their next audit writes it anew, and no other version waits for that.
    """
    found = {}
    for key in set(keys):
        try:
            receipt = store.latest(VERDICT, key)
        except EvidenceError:
            continue
        if receipt is not None:
            found[key] = int(datetime.fromisoformat(receipt.recorded_at).timestamp() * 1000)
    return found


def announced_versions(auditor: Auditor, log: logging.Logger) -> list[Seen]:
    """New versions that the registry called in about since the last tick, as the registry has them now; each is handed out once.

    Polling finds all of them too: an inbox that cannot be read, or a version that cannot, is said in the log and costs no more than that.
    """
    from rai_pipelines.governance.database.engine import answering, open_governance
    from rai_pipelines.governance.webhooks.announcement import NEW_VERSION
    from rai_pipelines.governance.webhooks.inbox import handled, waiting

    found: dict[str, Seen] = {}
    try:
        engine = open_governance(auditor.settings)
        try:
            with answering(engine):
                announced = waiting(engine, (NEW_VERSION,), limit=auditor.settings.sensor_batch)
                for item in announced:
                    version = ModelVersion(str(item.model_name), str(item.model_version))
                    if version.key not in found and (seen := _as_registered(auditor, version)) is not None:
                        found[version.key] = seen
                handled(engine, announced, now=utc_now())
        finally:
            engine.dispose()
    except (DatabaseError, RegistryUnavailable) as error:
        log.warning("What was announced is left to polling for now: %s", error)
    return sorted(found.values(), key=lambda seen: (seen.created_ms, seen.key))


def _as_registered(auditor: Auditor, version: ModelVersion) -> Seen | None:
    try:
        return Seen(version.key, auditor.registry.get(version).created_ms)
    except UnknownModelVersion:  # announced, and gone or never there
        return None


def run_request(request: AuditRequest) -> dg.RunRequest:
    """The launch of one planned audit."""
    tags = {
        TAG_MODEL: request.key.split("/")[0],
        TAG_VERSION: request.key,
        TAG_TRIGGER: request.trigger,
        TAG_RUN_KEY: request.run_key,
        TAG_ATTEMPT: str(request.attempt),
    }
    if request.month:
        tags[TAG_MONTH] = request.month
    return dg.RunRequest(run_key=request.run_key, partition_key=request.key, tags=tags)


def _state(status: dg.DagsterRunStatus) -> RunState:
    if status is dg.DagsterRunStatus.SUCCESS:
        return RunState.SUCCEEDED
    return RunState.FAILED if status in _ENDED_BADLY else RunState.ACTIVE
