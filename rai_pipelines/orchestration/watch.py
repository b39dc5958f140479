"""What sensors and schedules look up before they plan: runs by key, verdicts by version. Thin I/O around planning.py."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime

import dagster as dg

from rai_pipelines.audit import VERDICT, Auditor, latest_verdict
from rai_pipelines.clock import utc_now
from rai_pipelines.errors import DatabaseError, EvidenceError, RegistryUnavailable, UnknownModelVersion
from rai_pipelines.evidence.model import Status
from rai_pipelines.evidence.store import EvidenceStore
from rai_pipelines.orchestration.jobs import AUDIT_JOB, TAG_ATTEMPT, TAG_MODEL, TAG_MONTH, TAG_RUN_KEY, TAG_TRIGGER, TAG_VERSION
from rai_pipelines.orchestration.planning import AuditRequest, RunState, Seen
from rai_pipelines.steps import WATCHED, steps
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


def audited_at_ms(store: EvidenceStore, keys: Iterable[str]) -> Mapping[str, int]:
    """When each version was last audited as a whole: the oldest of its newest evidence that a look at production leaves alone, and its verdict."""
    found = {}
    kinds = [VERDICT, *(name for name in steps() if name not in WATCHED)]
    for key in set(keys):
        try:
            receipts = [store.latest(kind, key) for kind in kinds]
        except EvidenceError:  # as in judged_at_ms
            continue
        moments = [receipt.recorded_at for receipt in receipts if receipt is not None]
        if len(moments) == len(kinds):
            found[key] = int(datetime.fromisoformat(min(moments)).timestamp() * 1000)
    return found


def watchable(auditor: Auditor, keys: Iterable[str], log: logging.Logger) -> list[str]:
    """Versions that a look at production can say something new about: they log production, and were judged under today's policy.

    What is known of them is read from the store alone. A version that was judged under another policy is said in the log: without a whole
    audit under today's, a look would find everything else missing.
    """
    chosen = []
    for key in sorted(set(keys)):
        try:
            judged = latest_verdict(auditor.store, ModelVersion.from_key(key))
            receipts = [auditor.store.latest(name, key) for name in WATCHED]
        except EvidenceError as error:
            log.warning("%s is in use and cannot be looked at: %s", key, error)
            continue
        if all(receipt is None or receipt.status is Status.NOT_APPLICABLE for receipt in receipts):
            continue
        if judged is None or judged[0].policy_digest != auditor.policy.digest:
            log.warning("%s is in use and was not audited under today's policy: launch %s for it", key, AUDIT_JOB)
            continue
        chosen.append(key)
    return chosen


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
