"""What checks read of evidence, kept beside each verdict, so that a policy is replayed without reading all that was ever measured.

An audit of one model version leaves thousands of figures; its checks read some hundred. An excerpt holds those, names by digest the evidence
that it was taken from, and says what it holds: asked for more it raises, so that nothing reads as absent because it was not kept. Excerpts
serve replays alone: verdicts and gates read the evidence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import Field

from rai_pipelines.errors import EvidenceError
from rai_pipelines.evidence.model import Evidence, Measurement, Record
from rai_pipelines.policy.checks.base import Reads
from rai_pipelines.policy.checks.registry import reads

EXCERPTS = "judged_evidence"  # kind in the evidence store


class Excerpt(Evidence):
    """Evidence without the figures and details that no check declares to read."""

    source: str = Field(description="Digest of the evidence that it was taken from")
    held_metrics: tuple[str, ...] | None = Field(description="Metrics that it holds all figures of; null where it holds all metrics")
    held_details: tuple[str, ...] | None = Field(description="Details that it holds where the evidence has them; null where it holds all")

    @classmethod
    def of(cls, evidence: Evidence, digest: str, wanted: Reads | None) -> Excerpt:
        """What `wanted` names of `evidence`, whose digest is `digest`; all of it where that is None."""
        fields = {name: getattr(evidence, name) for name in Evidence.model_fields}
        if wanted is None:
            return cls.model_construct(**fields, source=digest, held_metrics=None, held_details=None)
        fields["measurements"] = evidence.among(wanted.metrics)
        fields["details"] = {name: value for name, value in evidence.details.items() if name in wanted.details}
        return cls.model_construct(**fields, source=digest, held_metrics=tuple(sorted(wanted.metrics)), held_details=tuple(sorted(wanted.details)))

    def among(self, metrics: Collection[str]) -> tuple[Measurement, ...]:
        """See `Evidence.among`.

        Raises:
            EvidenceError: a metric that is not held: a check reads it without declaring so.
        """
        self._refuse(sorted(set(metrics) - set(self.held_metrics)) if self.held_metrics is not None else [])
        return super().among(metrics)

    def detail(self, name: str, default: Any = None) -> Any:
        """See `Evidence.detail`.

        Raises:
            EvidenceError: a detail that is not held, as with metrics.
        """
        self._refuse([name] if self.held_details is not None and name not in self.held_details else [])
        return super().detail(name, default)

    def _refuse(self, absent: Sequence[str]) -> None:
        if absent:
            raise EvidenceError(
                f"the excerpt of {self.assessment} does not hold {', '.join(absent)}",
                where=self.source,
                hint="Declare it in `reads` of the check that asks for it; until then replay with --whole-evidence",
            )

    def serves(self, digest: str, wanted: Reads | None) -> bool:
        """Whether it is about that evidence and holds what checks read of it now: one that an earlier version of this project made may not."""
        if self.source != digest:
            return False
        if self.held_metrics is None or self.held_details is None:
            return True
        return wanted is not None and wanted.metrics <= set(self.held_metrics) and wanted.details <= set(self.held_details)


class JudgedEvidence(Record):
    """The excerpts of one model version's evidence, by assessment, as its verdict was made."""

    schema_version: Literal["rai.judged-evidence/v1"] = "rai.judged-evidence/v1"
    model_name: str
    model_version: str
    excerpts: Mapping[str, Excerpt]

    @classmethod
    def of(cls, evidence: Mapping[str, Evidence], digests: Mapping[str, str], *, model_name: str, model_version: str) -> Self:
        """Excerpts of all evidence that some check reads; what none reads is left out. `digests` are those of `evidence`."""
        found = {name: Excerpt.of(item, digests[name], reads()[name]) for name, item in evidence.items() if name in reads()}
        return cls(model_name=model_name, model_version=model_version, excerpts=found)
