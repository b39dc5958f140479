"""The model card: what the owner declared, what was measured with its uncertainty, and the verdict; also for a version that failed.

Sections follow Mitchell et al. 2019 (see assessments/documentation.py). The JSON form is the card; Markdown and HTML render it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from rai_pipelines.assessments.documentation import CARD_SECTIONS
from rai_pipelines.documents.card_sections import SectionBody, section_bodies
from rai_pipelines.documents.charts import chart_of
from rai_pipelines.documents.text import markdown_table, markdown_text
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import Evidence, Record, Status
from rai_pipelines.evidence.store import write_atomically
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.verdict import Verdict
from rai_pipelines.policy.versions.standing import PolicyStatus
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.subjects.names import ModelVersion

CARD_FORMATS = ("html", "md", "json")


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
    """Write the card as JSON, Markdown and HTML below `folder`, each atomically; returns the paths by format."""
    place = card_folder(folder, ModelVersion(card.model_name, card.model_version))
    contents = {
        "json": canonical_json(card),
        "md": render_markdown(card).encode(),
        "html": render_html(card, {name: svg for name, item in sorted(evidence.items()) if (svg := chart_of(item, policy))}).encode(),
    }
    paths = {form: place / f"model_card.{form}" for form in CARD_FORMATS}
    for form, content in contents.items():
        write_atomically(paths[form], content)
    return paths


def card_folder(folder: Path, version: ModelVersion) -> Path:
    """Where the cards of that version lie."""
    return folder / version.key


def render_markdown(card: ModelCard) -> str:
    """The card as Markdown; every declared text is escaped."""
    lines = [f"# Model card: {markdown_text(card.model_name)}, version {markdown_text(card.model_version)}", ""]
    under = f"{markdown_text(card.policy)} ({card.policy_status.value})"
    lines += [f"**{card.status.replace('_', ' ')}** under {under}, judged for {card.judged_for}", ""]
    lines += [f"- {markdown_text(reason)}" for reason in card.reasons] + [""]
    for section in card.sections:
        lines += [f"## {section.title}", ""]
        lines += [f"*Not complete: lacks {markdown_text(', '.join(section.absent))}.*", ""] if section.absent else []
        lines += [f"- **{markdown_text(fact.name)}**: {markdown_text(fact.text)}" for fact in section.body.facts]
        lines += [""] if section.body.facts else []
        for table in section.body.tables:
            lines += [f"**{markdown_text(table.caption)}**", "", markdown_table(table.columns, table.rows), ""]
    lines += [
        "## Findings",
        "",
        markdown_table(("control", "status", "what it asks", "why"), [(f.control, f.status.value, f.statement, f.reason) for f in card.findings]),
        "",
    ]
    if card.not_assessed:
        lines += ["## Not assessed", "", *(f"- {markdown_text(item)}" for item in card.not_assessed), ""]
    lines += ["## Provenance", "", markdown_table(("record", "digest"), provenance_rows(card)), ""]
    return "\n".join(lines)


def render_html(card: ModelCard, charts: Mapping[str, str]) -> str:
    """The card as one HTML file without scripts or outside references; `charts` are SVG texts by assessment."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rai_pipelines.documents", "templates"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    from rai_pipelines.documents.charts import data_uri

    return environment.get_template("model_card.html.j2").render(
        card=card, charts={name: data_uri(svg) for name, svg in charts.items()}, provenance=provenance_rows(card), chart_places=CHART_PLACES
    )


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
    ),
}


def provenance_rows(card: ModelCard) -> list[tuple[str, str]]:
    """Every digest that the card rests on."""
    return [
        ("verdict", card.verdict_digest),
        ("policy", card.policy_digest),
        ("model", card.model_digest or "no model file"),
        ("datasheet", card.datasheet_digest or "no datasheet"),
        *((f"evidence of {name}", digest) for name, digest in sorted(card.evidence.items())),
    ]
