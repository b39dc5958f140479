"""Which audits are due: pure functions of what the registry lists, what is known, and what ran. No I/O and no dagster.

Exactly once, for these reasons:
* a run key names version, creation time, trigger and attempt, and Dagster launches a run key once, even when a cursor was lost;
* a version that was judged after it was created is done, even when its runs were pruned (a deleted and re-created name is a new one);
* a version stays pending until it is judged, so a killed or failed run is tried again, at most `max_attempts` times.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

OVERLAP_MS = 10 * 60 * 1000  # versions may be committed later than they were stamped; look back this far behind the watermark

PRODUCTION = "production"  # trigger of a look between two audits


class RunState(StrEnum):
    """What became of the run with a given key."""

    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Seen:
    """A version as listed: partition key and creation time (milliseconds since 1970, UTC)."""

    key: str
    created_ms: int


@dataclass(frozen=True)
class Pending:
    """A version whose audit was asked for and that is not judged yet."""

    created_ms: int
    attempt: int


@dataclass(frozen=True)
class WatchState:
    """What the sensor remembers between ticks (its cursor)."""

    watermark_ms: int = 0
    seen: Mapping[str, int] = field(default_factory=dict)
    pending: Mapping[str, Pending] = field(default_factory=dict)

    def to_cursor(self) -> str:
        """As the text that Dagster keeps."""
        pending = {key: [item.created_ms, item.attempt] for key, item in self.pending.items()}
        return json.dumps({"watermark_ms": self.watermark_ms, "seen": dict(self.seen), "pending": pending}, sort_keys=True)

    @classmethod
    def from_cursor(cls, cursor: str | None) -> WatchState:
        """From that text; an absent or foreign one starts afresh (run keys keep that harmless)."""
        try:
            content = json.loads(cursor or "{}")
            pending = {key: Pending(int(created), int(attempt)) for key, (created, attempt) in content.get("pending", {}).items()}
            seen = {str(key): int(created) for key, created in content.get("seen", {}).items()}
            return cls(watermark_ms=int(content.get("watermark_ms", 0)), seen=seen, pending=pending)
        except (ValueError, TypeError, AttributeError):
            return cls()

    @property
    def look_from_ms(self) -> int:
        """Creation time from which to list versions again."""
        return max(0, self.watermark_ms - OVERLAP_MS)


@dataclass(frozen=True)
class AuditRequest:
    """One run to launch."""

    key: str
    run_key: str
    trigger: str
    attempt: int
    month: str | None = None


@dataclass(frozen=True)
class AuditPlan:
    """What a tick does: runs to launch, the state to remember, and versions that a person has to look at."""

    requests: tuple[AuditRequest, ...]
    state: WatchState
    given_up: tuple[str, ...] = ()


def plan_audits(
    snapshot: Sequence[Seen],
    state: WatchState,
    *,
    runs: Mapping[str, RunState],
    judged_at_ms: Mapping[str, int],
    max_attempts: int,
    batch: int,
    announced: Sequence[Seen] = (),
) -> AuditPlan:
    """Audits to launch for newly registered versions.

    Args:
        snapshot: versions created since `state.look_from_ms`, oldest first, at least `batch + len(state.seen)` of them if there are so many.
        state: the cursor.
        runs: what became of the runs of pending versions, by run key.
        judged_at_ms: when the newest verdict of a version was stored, for versions in the snapshot or pending.
        max_attempts: runs a version gets.
        batch: most requests in one plan; the rest waits for the next tick.
        announced: versions that the registry called in about, whenever they were created. They come first, and get the run that polling
            would give them: the same key, so that hearing and seeing the same version is one audit.
    """
    pending, requests, given_up = _follow_up(state.pending, runs, judged_at_ms, max_attempts, batch)
    seen = dict(state.seen)
    watermark = state.watermark_ms
    for item in announced:
        known = seen.get(item.key) == item.created_ms or (item.key in pending and pending[item.key].created_ms == item.created_ms)
        if not known and judged_at_ms.get(item.key, -1) < item.created_ms and item.key not in given_up and len(requests) < batch:
            pending[item.key] = Pending(item.created_ms, 1)
            requests.append(_registration(item.key, pending[item.key]))
    for item in sorted(snapshot, key=lambda listed: (listed.created_ms, listed.key)):
        if seen.get(item.key) == item.created_ms or (item.key in pending and pending[item.key].created_ms == item.created_ms):
            watermark = max(watermark, item.created_ms)
            seen[item.key] = item.created_ms
            continue
        if judged_at_ms.get(item.key, -1) < item.created_ms:
            if len(requests) >= batch:
                break
            pending[item.key] = Pending(item.created_ms, 1)
            requests.append(_registration(item.key, pending[item.key]))
        seen[item.key] = item.created_ms
        watermark = max(watermark, item.created_ms)
    recent = {key: created for key, created in seen.items() if created >= watermark - OVERLAP_MS}
    return AuditPlan(tuple(requests), WatchState(watermark, recent, pending), tuple(given_up))


def _follow_up(
    pending: Mapping[str, Pending], runs: Mapping[str, RunState], judged_at_ms: Mapping[str, int], max_attempts: int, batch: int
) -> tuple[dict[str, Pending], list[AuditRequest], list[str]]:
    """What to do about versions asked for earlier: drop the judged, wait for the running, try the failed again, give up in the end."""
    still: dict[str, Pending] = {}
    requests: list[AuditRequest] = []
    given_up: list[str] = []
    for key, item in sorted(pending.items()):
        if judged_at_ms.get(key, -1) >= item.created_ms:
            continue
        run = runs.get(run_key(key, item))
        if run is RunState.SUCCEEDED and key in judged_at_ms:  # judged before it was made, by the clock of a registry that is ahead
            continue
        if run is RunState.ACTIVE or len(requests) >= batch:
            still[key] = item
        elif run is None:  # asked for, but never launched (or its record is gone): the same run key makes asking again harmless
            still[key] = item
            requests.append(_registration(key, item))
        elif item.attempt >= max_attempts:
            given_up.append(key)
        else:
            still[key] = Pending(item.created_ms, item.attempt + 1)
            requests.append(_registration(key, still[key]))
    return still, requests, given_up


def run_key(key: str, item: Pending) -> str:
    """The name of one attempt to audit one registration."""
    return f"{key}:{item.created_ms}:registration:{item.attempt}"


def _registration(key: str, item: Pending) -> AuditRequest:
    return AuditRequest(key=key, run_key=run_key(key, item), trigger="registration", attempt=item.attempt)


def monthly_run_key(key: str, month: str, attempt: int) -> str:
    """The name of one attempt to audit one live version in one month (`2026-11`)."""
    return f"{key}:{month}:monthly:{attempt}"


def plan_monthly(
    live: Sequence[str], *, month: str, month_start_ms: int, runs: Mapping[str, RunState], judged_at_ms: Mapping[str, int], max_attempts: int
) -> tuple[AuditRequest, ...]:
    """Audits that live versions still owe this month: one each, tried again on a later day when a run failed.

    A version judged since `month_start_ms` under any trigger owes nothing.
    """
    requests = []
    for key in sorted(set(live)):
        if judged_at_ms.get(key, -1) >= month_start_ms:
            continue
        states = [runs.get(monthly_run_key(key, month, attempt)) for attempt in range(1, max_attempts + 1)]
        if RunState.ACTIVE in states:
            continue
        attempt = next((number for number, state in enumerate(states, start=1) if state is None), None)
        if attempt is not None:
            requests.append(AuditRequest(key, monthly_run_key(key, month, attempt), "monthly", attempt, month))
    return tuple(requests)


def watch_run_key(key: str, day: str, attempt: int) -> str:
    """The name of one attempt to look at one live version on one day (`2026-11-25`)."""
    return f"{key}:{day}:production:{attempt}"


def plan_watch(live: Sequence[str], *, day: str, runs: Mapping[str, RunState], max_attempts: int) -> tuple[AuditRequest, ...]:
    """Looks at production that live versions still owe that day: one each, tried again in a later tick when a run failed."""
    requests = []
    for key in sorted(set(live)):
        states = [runs.get(watch_run_key(key, day, attempt)) for attempt in range(1, max_attempts + 1)]
        if RunState.ACTIVE in states or RunState.SUCCEEDED in states:
            continue
        attempt = next((number for number, state in enumerate(states, start=1) if state is None), None)
        if attempt is not None:
            requests.append(AuditRequest(key, watch_run_key(key, day, attempt), PRODUCTION, attempt))
    return tuple(requests)


REVIEW_LEAD_DAYS = 30  # the document is there so long before the review is due


def policy_review_run_key(policy: str, due_on: date, attempt: int) -> str:
    """The name of one attempt to assemble the review of one version of a policy (`id@version`) for one due day: a document is about one version."""
    return f"policy-review:{policy}:{due_on.isoformat()}:{attempt}"


def plan_policy_review(policy: str, due_on: date, today: date, runs: Mapping[str, RunState], *, max_attempts: int) -> int | None:
    """Which attempt to assemble the review is due today; None: it is early, done, under way, or was tried often enough.

    A review that was missed while nothing ran is caught up with, however late; a recorded review moves `due_on`, and with it the run keys.
    """
    if (due_on - today).days > REVIEW_LEAD_DAYS:
        return None
    states = [runs.get(policy_review_run_key(policy, due_on, attempt)) for attempt in range(1, max_attempts + 1)]
    if RunState.ACTIVE in states or RunState.SUCCEEDED in states:
        return None
    return next((number for number, state in enumerate(states, start=1) if state is None), None)
