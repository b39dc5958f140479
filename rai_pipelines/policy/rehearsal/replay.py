"""Replay a policy over stored evidence alone: who would be judged otherwise, and by which controls. Nothing is measured again.

Evidence counts when it is about today's model and datasheet, whatever policy it was measured under. Where an assessment took parameters from
that policy that it would not take from the new one, the replay says so: its figures are then those of the old parameters. Many versions
are shared out among processes.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from multiprocessing import current_process, get_context
from typing import Any, Literal

from pydantic import Field

from rai_pipelines.errors import RaiError
from rai_pipelines.evidence.model import Evidence, Record, Status
from rai_pipelines.evidence.store import EvidenceStore
from rai_pipelines.policy.checks.registry import checks
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.model import Control, Policy
from rai_pipelines.policy.rehearsal.stored import Today, stored_of
from rai_pipelines.policy.verdict import Verdict, VerdictStatus, judge
from rai_pipelines.subjects.names import ModelVersion

VERSIONS_A_TASK = 100  # judged by one process at a time; fewer than two of them are judged in this one
SHOWN_DIFFERENCES = 3
BEST_FIRST = (VerdictStatus.COMPLIANT, VerdictStatus.NEEDS_REVIEW, VerdictStatus.NON_COMPLIANT)


class Flip(Record):
    """A control that comes out otherwise; `old` is null for a control that the stored verdict did not have, `new` for one that is gone."""

    control: str
    old: FindingStatus | None
    new: FindingStatus | None
    reason: str


class ReplayedVersion(Record):
    """One model version: its stored verdict and the one that the new policy gives on the stored evidence.

    `absent` is evidence that the new policy needs and that is not stored about today's model and datasheet: it reads missing. `caveats` are
    measurements whose parameters the new policy would set otherwise. `old` is null where the version was never judged.
    """

    model_name: str
    model_version: str
    old: VerdictStatus | None
    old_policy: str | None
    new: VerdictStatus
    flips: tuple[Flip, ...]
    absent: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()


class Replay(Record):
    """`rai policy replay --json`. `worse` counts versions whose verdict gets worse, `transitions` versions by `old → new`."""

    schema_version: Literal["rai.policy-replay/v1"] = "rai.policy-replay/v1"
    policy: str
    policy_digest: str
    day: date
    versions: tuple[ReplayedVersion, ...]
    worse: int
    better: int
    transitions: dict[str, int]
    flips: dict[str, dict[str, int]] = Field(description="By control, versions by old → new")


def replay(
    policy: Policy,
    versions: Sequence[ModelVersion],
    *,
    store: EvidenceStore,
    day: date,
    parameters: Mapping[str, Mapping[str, Mapping[str, Any]]],
    today: Mapping[ModelVersion, Today] | None = None,
    whole_evidence: bool = False,
    processes: int | None = None,
) -> Replay:
    """Judge `versions` by `policy` on what `store` holds, and compare with their newest stored verdicts.

    Args:
        store: one that can be handed to another process, as `LocalEvidenceStore`.
        day: whose controls are in force.
        parameters: by risk class and assessment, what an audit under `policy` would set.
        today: the digests of each version's model and datasheet as they are now; absent, or of a version that it does not name: as the newest
            verdict has them.
        whole_evidence: read all evidence itself, however much it is, and no excerpt.
        processes: how many judge many versions; left out: as many as this one may use processors. One that may have no children judges alone.

    Raises:
        EvidenceError: stored evidence was altered or cannot be read. Nothing is judged on what cannot be verified.
        RaiError: a process that judged ended before it had answered.
    """
    task = _Task(policy, policy.digest, store, day, parameters, today or {}, whole_evidence)
    found = tuple(_shared_out(task, versions, processes))
    ranks = [(BEST_FIRST.index(item.old), BEST_FIRST.index(item.new)) for item in found if item.old is not None]
    flips: dict[str, Counter[str]] = {}
    for item in found:
        for flip in item.flips:
            flips.setdefault(flip.control, Counter())[f"{_name(flip.old)} → {_name(flip.new)}"] += 1
    return Replay(
        policy=policy.label,
        policy_digest=task.policy_digest,
        day=day,
        versions=found,
        worse=sum(new > old for old, new in ranks),
        better=sum(new < old for old, new in ranks),
        transitions=dict(sorted(Counter(f"{_name(item.old)} → {_name(item.new)}" for item in found).items())),
        flips={control: dict(sorted(counts.items())) for control, counts in sorted(flips.items())},
    )


@dataclass(frozen=True)
class _Task:
    """What is the same for all versions."""

    policy: Policy
    policy_digest: str
    store: EvidenceStore
    day: date
    parameters: Mapping[str, Mapping[str, Mapping[str, Any]]]
    today: Mapping[ModelVersion, Today]
    whole_evidence: bool


def _shared_out(task: _Task, versions: Sequence[ModelVersion], processes: int | None) -> Iterator[ReplayedVersion]:
    """The versions in their order, whichever process judged them."""
    parts = [versions[start : start + VERSIONS_A_TASK] for start in range(0, len(versions), VERSIONS_A_TASK)]
    workers = min(processes or _processors(), len(parts))
    if workers < 2 or current_process().daemon:
        yield from (_replayed(task, version) for version in versions)
        return
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_collect_rarely) as pool:
            for found in pool.map(_replayed_part, [replace(task, today=_only(task.today, part)) for part in parts], parts):
                yield from found
    except BrokenProcessPool as error:
        raise RaiError(
            f"one of {workers} processes that judged {len(versions):,} versions ended before it had answered",
            where=f"replay of {task.policy.label}",
            hint='See whether memory ran out, or give processes=1; a script calls it below `if __name__ == "__main__":`; from a pipe none can',
        ) from error


def _processors() -> int:
    """Those that this process may use, which are fewer than the machine has where it is confined to some."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed is not None else (os.cpu_count() or 1)


def _collect_rarely() -> None:
    """For a process that only judges: what it reads has no cycles, and to look for some takes a third of its time."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def _only(today: Mapping[ModelVersion, Today], part: Sequence[ModelVersion]) -> Mapping[ModelVersion, Today]:
    return {version: today[version] for version in part if version in today}


def _replayed_part(task: _Task, part: Sequence[ModelVersion]) -> list[ReplayedVersion]:
    return [_replayed(task, version) for version in part]


def _replayed(task: _Task, version: ModelVersion) -> ReplayedVersion:
    policy = task.policy
    old, stored = stored_of(task.store, version, task.today.get(version), whole_evidence=task.whole_evidence)
    new = judge(
        policy,
        stored,
        model_name=version.name,
        model_version=version.version,
        day=task.day,
        look=old.look if old is not None else 1,
        digests=stored.digests,
        policy_digest=task.policy_digest,
    )
    needed = _needed(policy, new)
    return ReplayedVersion(
        model_name=version.name,
        model_version=version.version,
        old=old.status if old is not None else None,
        old_policy=f"{old.policy} {old.policy_digest}" if old is not None else None,
        new=new.status,
        flips=tuple(_flips(old, new)),
        absent=tuple(name for name in needed if name not in stored),
        caveats=tuple(
            _caveats(
                {name: stored[name] for name in needed if name in stored}, task.parameters.get(new.risk_class) or task.parameters.get("high", {})
            )
        ),
    )


def _flips(old: Verdict | None, new: Verdict) -> Iterator[Flip]:
    if old is None:
        return
    before = {finding.control: finding.status for finding in old.findings}
    for finding in new.findings:
        was = before.pop(finding.control, None)
        if was is not finding.status:
            yield Flip(control=finding.control, old=was, new=finding.status, reason=finding.reason)
    for control, was in before.items():
        yield Flip(control=control, old=was, new=None, reason="the new policy has no such control")


def _needed(policy: Policy, verdict: Verdict) -> list[str]:
    """Evidence that controls in force and asked of this version cannot do without."""
    asked = {finding.control for finding in verdict.findings if finding.status not in (FindingStatus.NOT_IN_FORCE, FindingStatus.NOT_APPLICABLE)}
    names = [name for control in policy.on(verdict.judged_for) if control.id in asked for name in _reads(control)]
    return sorted(set(names))


def _reads(control: Control) -> tuple[str, ...]:
    check = checks().get(control.check)
    if check is None:
        return control.evidence
    return (*check.assessments, *(name for threshold, name in check.also_reads.items() if control.threshold.get(threshold) is not None))


def _caveats(read: Mapping[str, Evidence], parameters: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, evidence in read.items():
        wanted, used = parameters.get(name), evidence.provenance.parameters
        if wanted is None or evidence.status is not Status.COMPLETE or wanted == used:
            continue
        differing = [key for key in sorted({*wanted, *used}) if wanted.get(key) != used.get(key)]
        shown = "; ".join(f"{key} {used.get(key)}, an audit under this policy would use {wanted.get(key)}" for key in differing[:SHOWN_DIFFERENCES])
        more = f"; and {len(differing) - SHOWN_DIFFERENCES} more" if len(differing) > SHOWN_DIFFERENCES else ""
        yield f"{name} was measured with {shown}{more}"


def _name(status: VerdictStatus | FindingStatus | None) -> str:
    return status.value if status is not None else "none"
