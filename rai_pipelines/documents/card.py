"""The model card: what the owner declared, what was measured with its uncertainty, and the verdict; also for a version that failed.

Sections follow Mitchell et al. 2019 (see assessments/documentation.py). The JSON form is the card; Markdown, HTML and PDF print it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field

from rai_pipelines.assessments.documentation import CARD_SECTIONS
from rai_pipelines.documents.card_sections import SectionBody, section_bodies
from rai_pipelines.documents.charts import chart_of
from rai_pipelines.documents.parts import Picture, Table
from rai_pipelines.documents.printed import PrintedDocument, PrintedSection, write_forms
from rai_pipelines.evidence.model import Evidence, Record, Status
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.verdict import Verdict
from rai_pipelines.policy.versions.standing import PolicyStatus
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.subjects.names import ModelVersion


class CardSection(Record):
    """One section as it is printed; `absent` says what it lacks."""

    name: str
    title: str
    body: SectionBody
    absent: tuple[str, ...] = ()


class CardFinding(Record):
    """One control in the card's table of findings."""

    control: str
    statement: str
    status: FindingStatus
    reason: str


class ModelCard(Record):
    """The card of one model version under one verdict."""

    schema_version: Literal["rai.model-card/v1"] = "rai.model-card/v1"
    model_name: str
    model_version: str
    status: str
    reasons: tuple[str, ...]
    policy: str
    policy_digest: str
    policy_status: PolicyStatus = Field(default=PolicyStatus.UNPUBLISHED, description="Whether the policy was published by a signature")
    judged_for: str
    verdict_digest: str
    model_digest: str | None
    datasheet_digest: str | None
    sections: tuple[CardSection, ...]
    findings: tuple[CardFinding, ...]
    evidence: Mapping[str, str]
    not_assessed: tuple[str, ...] = Field(description="Assessments that ended without a result, and why")


def build_card(verdict: Verdict, evidence: Mapping[str, Evidence], datasheet: Datasheet | None) -> ModelCard:
    """The card that follows from a verdict, the evidence it cites and the datasheet (None when there is no usable one)."""
    bodies = section_bodies(datasheet, evidence)
    documentation = evidence.get("documentation_check")
    lacking = documentation.details.get("empty_sections", {}) if documentation else {}
    sections = tuple(
        CardSection(
            name=section.name,
            title=section.title,
            body=bodies[section.name],
            absent=tuple(lacking.get(section.name, ())) if isinstance(lacking, dict) else (),  # type: ignore[arg-type]
        )
        for section in CARD_SECTIONS
    )
    return ModelCard(
        model_name=verdict.model_name,
        model_version=verdict.model_version,
        status=verdict.status.value,
        reasons=verdict.reasons,
        policy=verdict.policy,
        policy_digest=verdict.policy_digest,
        policy_status=verdict.policy_status,
        judged_for=verdict.judged_for.isoformat(),
        verdict_digest=verdict.digest,
        model_digest=verdict.model_digest,
        datasheet_digest=verdict.datasheet_digest,
        sections=sections,
        findings=tuple(CardFinding(control=f.control, statement=f.statement, status=f.status, reason=f.reason) for f in verdict.findings),
        evidence={name: item.digest for name, item in sorted(evidence.items())},
        not_assessed=tuple(f"{name}: {item.reason}" for name, item in sorted(evidence.items()) if item.status is not Status.COMPLETE),
    )


def write_card(card: ModelCard, evidence: Mapping[str, Evidence], policy: Policy, folder: Path) -> dict[str, Path]:
    """Write the card in every format below `folder`, each atomically; returns the paths by format."""
    place = card_folder(folder, ModelVersion(card.model_name, card.model_version))
    printed = printed_card(card, {name: svg for name, item in sorted(evidence.items()) if (svg := chart_of(item, policy))})
    return write_forms(place, "model_card", card, printed)


def card_folder(folder: Path, version: ModelVersion) -> Path:
    """Where the cards of that version lie."""
    return folder / version.key


CHART_PLACES = {
    "evaluation_data": ("data_validation",),
    "training_data": ("anonymization_check",),
    "quantitative_analyses": (
        "performance_report",
        "bias_assessment",
        "adversarial_robustness",
        "explainability_report",
        "privacy_attacks",
        "drift_report",
        "fairness_windows",
    ),
}


def printed_card(card: ModelCard, charts: Mapping[str, str]) -> PrintedDocument:
    """The card as it is printed; `charts` are SVG texts by assessment."""
    sections = [
        PrintedSection(
            anchor=section.name,
            title=section.title,
            absent=section.absent,
            facts=section.body.facts,
            pictures=tuple(_picture(name, charts[name]) for name in CHART_PLACES.get(section.name, ()) if name in charts),
            tables=section.body.tables,
        )
        for section in card.sections
    ]
    rows = tuple((item.control, item.status.value.replace("_", " "), item.statement, item.reason) for item in card.findings)
    findings = Table(caption="Every control of the policy", columns=("control", "status", "what it asks", "why"), rows=rows)
    sections.append(PrintedSection(anchor="findings", title="Findings", tables=(findings,)))
    if card.not_assessed:
        sections.append(PrintedSection(anchor="not-assessed", title="Not assessed", statements=card.not_assessed))
    return PrintedDocument(
        title=f"Model card: {card.model_name}, version {card.model_version}",
        status=card.status,
        under=f"under {card.policy} ({card.policy_status.value}), judged for {card.judged_for}",
        day=date.fromisoformat(card.judged_for),
        lead=card.reasons,
        sections=tuple(sections),
        digests=(
            ("verdict", card.verdict_digest),
            ("policy", card.policy_digest),
            ("model", card.model_digest or "no model file"),
            ("datasheet", card.datasheet_digest or "no datasheet"),
            *((f"evidence of {name}", digest) for name, digest in sorted(card.evidence.items())),
        ),
    )


def _picture(assessment: str, svg: str) -> Picture:
    return Picture(svg=svg, description=f"Chart of {assessment.replace('_', ' ')}; its figures are in the tables below")
