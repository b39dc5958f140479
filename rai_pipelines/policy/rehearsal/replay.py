"""Replay a policy over stored evidence alone: who would be judged otherwise, and by which controls. Nothing is measured again.

Evidence counts when it is about today's model and datasheet, whatever policy it was measured under. Where an assessment took parameters from
that policy that it would not take from the new one, the replay says so: its figures are then those of the old parameters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from pydantic import Field

from rai_pipelines.evidence.model import Evidence, Receipt, Record, Status
from rai_pipelines.evidence.store import EvidenceStore
from rai_pipelines.policy.checks.registry import checks
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.model import Control, Policy
from rai_pipelines.policy.verdict import Verdict, VerdictStatus, judge
from rai_pipelines.subjects.names import ModelVersion

VERDICT = "policy_verdict"
SHOWN_DIFFERENCES = 3
BEST_FIRST = (VerdictStatus.COMPLIANT, VerdictStatus.NEEDS_REVIEW, VerdictStatus.NON_COMPLIANT)


@dataclass(frozen=True)
class Today:
    """What a model version consists of now; None where it has no model file, or no usable datasheet."""

    model_digest: str | None
    datasheet_digest: str | None


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
    versions: Iterable[ModelVersion],
    *,
    store: EvidenceStore,
    day: date,
    today: Callable[[ModelVersion, Verdict | None], Today],
    parameters: Mapping[str, Mapping[str, Any]],
) -> Replay:
    """Judge `versions` by `policy` on what `store` holds, and compare with their newest stored verdicts.

    Args:
        day: whose controls are in force.
        today: the digests of a version's model and datasheet as they are now, given the version and its newest stored verdict; `newest_audit`
            takes them from that verdict.
        parameters: by assessment, what an audit under `policy` would set.

    Raises:
        EvidenceError: stored evidence was altered or cannot be read. Nothing is judged on what cannot be verified.
    """
    digest = policy.digest
    found = tuple(_replayed(policy, digest, version, _Source(store, day, today, parameters)) for version in versions)
    ranks = [(BEST_FIRST.index(item.old), BEST_FIRST.index(item.new)) for item in found if item.old is not None]
    flips: dict[str, Counter[str]] = {}
    for item in found:
        for flip in item.flips:
            flips.setdefault(flip.control, Counter())[f"{_name(flip.old)} → {_name(flip.new)}"] += 1
    return Replay(
        policy=policy.label,
        policy_digest=digest,
        day=day,
        versions=found,
        worse=sum(new > old for old, new in ranks),
        better=sum(new < old for old, new in ranks),
        transitions=dict(sorted(Counter(f"{_name(item.old)} → {_name(item.new)}" for item in found).items())),
        flips={control: dict(sorted(counts.items())) for control, counts in sorted(flips.items())},
    )


def newest_audit(_: ModelVersion, verdict: Verdict | None) -> Today:
    """`today` as the newest verdict has it, for versions whose registry is not asked."""
    return Today(verdict.model_digest, verdict.datasheet_digest) if verdict is not None else Today(None, None)


@dataclass(frozen=True)
class _Stored(Mapping[str, Evidence]):
    """The newest evidence of each assessment that is about `today`; read when it is asked for."""

    store: EvidenceStore
    receipts: Mapping[str, tuple[Receipt, ...]]  # newest first
    today: Today
    digests: dict[str, str] = field(default_factory=dict)
    _read: dict[str, Evidence | None] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Evidence:
        if name not in self._read:
            self._read[name] = self._newest(name)
        evidence = self._read[name]
        if evidence is None:
            raise KeyError(name)
        return evidence

    def __iter__(self) -> Iterator[str]:
        return iter([name for name in self.receipts if name in self])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _newest(self, name: str) -> Evidence | None:
        for receipt in self.receipts.get(name, ()):
            evidence = self.store.get(receipt.digest, Evidence)
            made_from = evidence.provenance
            if (made_from.model_digest, made_from.datasheet_digest) == (self.today.model_digest, self.today.datasheet_digest):
                self.digests[name] = receipt.digest
                return evidence
        return None


@dataclass(frozen=True)
class _Source:
    """What a replay reads from, the same for all versions."""

    store: EvidenceStore
    day: date
    today: Callable[[ModelVersion, Verdict | None], Today]
    parameters: Mapping[str, Mapping[str, Any]]


def _replayed(policy: Policy, policy_digest: str, version: ModelVersion, source: _Source) -> ReplayedVersion:
    store = source.store
    receipts: dict[str, list[Receipt]] = {}
    for receipt in reversed(store.history(version.key)):
        receipts.setdefault(receipt.assessment, []).append(receipt)
    judged = receipts.pop(VERDICT, [])
    old = store.get(judged[0].digest, Verdict) if judged else None
    stored = _Stored(store, {name: _once(found) for name, found in receipts.items()}, source.today(version, old))
    new = judge(
        policy,
        stored,
        model_name=version.name,
        model_version=version.version,
        day=source.day,
        look=old.look if old is not None else 1,
        digests=stored.digests,
        policy_digest=policy_digest,
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
        caveats=tuple(_caveats({name: stored[name] for name in needed if name in stored}, source.parameters)),
    )


def _once(receipts: list[Receipt]) -> tuple[Receipt, ...]:
    """An audit that found the same again left the same object: each is read once."""
    return tuple({receipt.digest: receipt for receipt in reversed(receipts)}.values())[::-1]


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
