"""What a replay reads of one model version: its newest verdict, and the newest evidence of each assessment that is about today's state.

What checks read of evidence is taken from the excerpt beside the verdict, where that is about the same evidence, and else from the evidence;
either is verified against its digest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rai_pipelines.evidence.model import Evidence, Receipt
from rai_pipelines.evidence.store import EvidenceStore
from rai_pipelines.policy.checks.registry import reads
from rai_pipelines.policy.excerpts import EXCERPTS, Excerpt, JudgedEvidence
from rai_pipelines.policy.verdict import Verdict
from rai_pipelines.subjects.names import ModelVersion

VERDICT = "policy_verdict"


@dataclass(frozen=True)
class Today:
    """What a model version consists of now; None where it has no model file, or no usable datasheet."""

    model_digest: str | None
    datasheet_digest: str | None


def stored_of(
    store: EvidenceStore, version: ModelVersion, today: Today | None, *, whole_evidence: bool = False
) -> tuple[Verdict | None, StoredEvidence]:
    """The newest verdict on `version` (None: never judged), and its evidence about `today` (None: as that verdict has it).

    `whole_evidence` reads no excerpt.

    Raises:
        EvidenceError: the verdict or the excerpts were altered or cannot be read; the evidence raises it when it is asked for.
    """
    receipts: dict[str, list[Receipt]] = {}
    for receipt in reversed(store.history(version.key)):
        receipts.setdefault(receipt.assessment, []).append(receipt)
    judged, kept = receipts.pop(VERDICT, []), receipts.pop(EXCERPTS, [])
    verdict = store.get(judged[0].digest, Verdict) if judged else None
    excerpts = store.get(kept[0].digest, JudgedEvidence).excerpts if kept and not whole_evidence else {}
    state = today or (Today(verdict.model_digest, verdict.datasheet_digest) if verdict is not None else Today(None, None))
    return verdict, StoredEvidence(store, {name: _once(found) for name, found in receipts.items()}, state, excerpts)


@dataclass(frozen=True)
class StoredEvidence(Mapping[str, Evidence]):
    """The newest evidence of each assessment that is about `today`; read when it is asked for. `digests` are those of what was read."""

    store: EvidenceStore
    receipts: Mapping[str, tuple[Receipt, ...]]  # newest first
    today: Today
    excerpts: Mapping[str, Excerpt]
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
            excerpt = self.excerpts.get(name)
            served = excerpt is not None and excerpt.serves(receipt.digest, reads().get(name))
            evidence = excerpt if excerpt is not None and served else self.store.get(receipt.digest, Evidence)
            made_from = evidence.provenance
            if (made_from.model_digest, made_from.datasheet_digest) == (self.today.model_digest, self.today.datasheet_digest):
                self.digests[name] = receipt.digest
                return evidence
        return None


def _once(receipts: list[Receipt]) -> tuple[Receipt, ...]:
    """An audit that found the same again left the same object: each is read once."""
    return tuple({receipt.digest: receipt for receipt in reversed(receipts)}.values())[::-1]
