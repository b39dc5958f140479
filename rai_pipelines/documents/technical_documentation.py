"""The technical documentation of one model version (Regulation (EU) 2024/1689, Art. 11 and Annex IV): every point, resolved or open.

What people declared stands as their statement, what was measured as claims that name their evidence by digest, and what is absent is said.
The JSON form is the document; Markdown, HTML and PDF print it. It is written anew at every audit, also for a version that failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field

from rai_pipelines.assessments.annex_iv import ANNEX_IV, AnnexPoint, PointState, standings_of
from rai_pipelines.assessments.annex_iv import PointStanding as Standing
from rai_pipelines.documents.annex_iv_claims import VERDICT, Claim, EarlierVersion, Sources, claims_of, tables_of
from rai_pipelines.documents.card import card_folder
from rai_pipelines.documents.parts import Fact, Table
from rai_pipelines.documents.printed import PrintedDocument, PrintedSection, words, write_forms
from rai_pipelines.evidence.model import Evidence, Record
from rai_pipelines.policy.verdict import Verdict
from rai_pipelines.policy.versions.standing import PolicyStatus
from rai_pipelines.subjects.datasheet import PLACEHOLDER, Datasheet
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.technical_file import NotApplicable

PARTS = {"1": "General description", "2": "Elements and development"}
ACKNOWLEDGEMENT = "owner_acknowledgement"


class DocumentedPoint(Record):
    """One point of Annex IV. `statement` is the provider's, `declared` are other fields of the datasheet, `rests_on` the digests behind it."""

    number: str
    title: str
    state: PointState
    lacks: tuple[str, ...] = ()
    statement: str | None = None
    not_applicable: str | None = Field(default=None, description="Why the point does not apply, as declared")
    declared: tuple[Fact, ...] = ()
    claims: tuple[Claim, ...] = ()
    tables: tuple[Table, ...] = ()
    rests_on: Mapping[str, str] = Field(default_factory=dict)


class TechnicalDocumentation(Record):
    """All points of one model version under its newest verdict. `status` is complete when no point is open."""

    schema_version: Literal["rai.technical-documentation/v1"] = "rai.technical-documentation/v1"
    model_name: str
    model_version: str
    status: Literal["complete", "open"]
    verdict: str
    verdict_digest: str
    policy: str
    policy_digest: str
    policy_status: PolicyStatus
    judged_for: date
    model_digest: str | None
    datasheet_digest: str | None
    acknowledged_on: date | None = Field(description="When owner or deputy signed for the datasheet as it is now; null: nobody has")
    points: tuple[DocumentedPoint, ...]

    def in_state(self, state: PointState) -> tuple[str, ...]:
        """Numbers of the points in that state."""
        return tuple(point.number for point in self.points if point.state == state)


def build_technical_documentation(
    verdict: Verdict, evidence: Mapping[str, Evidence], datasheet: Datasheet | None, earlier: tuple[EarlierVersion, ...] = ()
) -> TechnicalDocumentation:
    """The documentation that follows from a verdict, the evidence it cites, the datasheet (None: none is usable) and earlier versions."""
    sources = Sources(verdict, evidence, {name: item.digest for name, item in evidence.items()}, earlier)
    standings = standings_of(datasheet, evidence)
    points = tuple(_point(point, standings[point.number], datasheet, sources) for point in ANNEX_IV)
    return TechnicalDocumentation(
        model_name=verdict.model_name,
        model_version=verdict.model_version,
        status="open" if any(point.state == "open" for point in points) else "complete",
        verdict=verdict.status.value,
        verdict_digest=verdict.digest,
        policy=verdict.policy,
        policy_digest=verdict.policy_digest,
        policy_status=verdict.policy_status,
        judged_for=verdict.judged_for,
        model_digest=verdict.model_digest,
        datasheet_digest=verdict.datasheet_digest,
        acknowledged_on=_acknowledged(evidence.get("signed_reviews")),
        points=points,
    )


def write_documentation(document: TechnicalDocumentation, folder: Path) -> dict[str, Path]:
    """Write it in every format below `folder`, each atomically; returns the paths by format."""
    place = card_folder(folder, ModelVersion(document.model_name, document.model_version))
    return write_forms(place, "technical_documentation", document, printed_documentation(document))


def printed_documentation(document: TechnicalDocumentation) -> PrintedDocument:
    """As it is printed: its points under the two parts that have several, then the rest."""
    sections: list[PrintedSection] = []
    for point in document.points:
        part = point.number.partition("(")[0]
        if "(" in point.number and f"part-{part}" not in {section.anchor for section in sections}:
            sections.append(PrintedSection(anchor=f"part-{part}", title=f"{part}. {PARTS[part]}"))
        sections.append(_printed(point, level=2 if "(" in point.number else 1))
    digests = {VERDICT: document.verdict_digest, "policy": document.policy_digest, "model": document.model_digest or "no model file"}
    digests["datasheet"] = document.datasheet_digest or "no datasheet"
    for point in document.points:
        digests |= {name if name == VERDICT else f"evidence of {name}": digest for name, digest in sorted(point.rests_on.items())}
    return PrintedDocument(
        title=f"Technical documentation: {document.model_name}, version {document.model_version}",
        status=document.status,
        under=f"{document.verdict.replace('_', ' ')} under {document.policy} ({document.policy_status.value}), judged for {document.judged_for}",
        day=document.judged_for,
        lead=_lead(document),
        sections=tuple(sections),
        digests=tuple(digests.items()),
    )


def _point(point: AnnexPoint, standing: Standing, datasheet: Datasheet | None, sources: Sources) -> DocumentedPoint:
    statements = datasheet.technical_documentation if datasheet is not None else None
    said = getattr(statements, point.statement) if statements is not None else None
    claims = claims_of(point.number, sources)
    tables, names = tables_of(point.number, sources)
    if point.number == "8" and standing.state == "open":
        tables = (_draft_declaration(sources.verdict, getattr(statements, "provider", None)),)
    verdict = {VERDICT: sources.verdict.digest} if VERDICT in names else {}
    return DocumentedPoint(
        number=point.number,
        title=point.title,
        state=standing.state,
        lacks=standing.lacks,
        statement=said if isinstance(said, str) and PLACEHOLDER not in said else None,
        not_applicable=said.not_applicable if isinstance(said, NotApplicable) and standing.state == "not_applicable" else None,
        declared=tuple(_declared(point, datasheet)),
        claims=claims,
        tables=tables,
        rests_on={claim.evidence: claim.digest for claim in claims} | {name: sources.digests[name] for name in names if name != VERDICT} | verdict,
    )


def _declared(point: AnnexPoint, datasheet: Datasheet | None) -> list[Fact]:
    if datasheet is None:
        return []
    values = {
        "purpose": ("Intended purpose", (datasheet.purpose,)),
        "out_of_scope": ("Not meant for", datasheet.out_of_scope),
        "limitations": ("Limitation", datasheet.limitations),
        "provenance": ("Where the data came from", (datasheet.provenance,)),
        "human_oversight": ("Human oversight", (datasheet.human_oversight,)),
        "risk.reason": (f"Risk class {datasheet.risk.risk_class.value}", (datasheet.risk.reason,)),
    }
    return [Fact(name=values[field][0], text=text) for field in point.also for text in values[field][1] if text and PLACEHOLDER not in text]


def _draft_declaration(verdict: Verdict, provider: str | None) -> Table:
    """What Annex V asks a declaration of conformity to hold, as far as it is known here. A draft is signed by nobody."""
    to_fill = "to be stated by the provider"
    rows = (
        ("System", f"{verdict.model_name}, version {verdict.model_version}, {verdict.model_digest or 'no model file'}"),
        ("Provider", provider or to_fill),
        ("Under the provider's sole responsibility", to_fill),
        ("Conformity with Regulation (EU) 2024/1689 and other Union law", to_fill),
        ("Processing of personal data complies with Union law", to_fill),
        ("Standards or common specifications", to_fill),
        ("Notified body and certificate, where one took part", to_fill),
        ("Place, date, name, function and signature", "not signed"),
    )
    return Table(
        caption="Draft of an EU declaration of conformity (Annex V): no declaration until a person signs one", columns=("asked", "content"), rows=rows
    )


def _printed(point: DocumentedPoint, *, level: int) -> PrintedSection:
    said = [point.statement] if point.statement else []
    said += [f"Does not apply: {point.not_applicable}"] if point.not_applicable else []
    facts = (*point.declared, *(Fact(name=f"Measured ({claim.evidence})", text=claim.text) for claim in point.claims))
    anchor = "point-" + "".join(character for character in point.number if character.isalnum())
    title = f"{point.number}{'' if '(' in point.number else '.'} {point.title}"
    return PrintedSection(anchor=anchor, title=title, level=level, absent=point.lacks, statements=tuple(said), facts=facts, tables=point.tables)


def _lead(document: TechnicalDocumentation) -> tuple[str, ...]:
    still_open, none = document.in_state("open"), document.in_state("not_applicable")
    lead = [f"{len(document.in_state('resolved'))} of {len(document.points)} points of Annex IV to Regulation (EU) 2024/1689 are resolved"]
    lead[0] += f", {words(none)} do not apply" if len(none) > 1 else f", {none[0]} does not apply" if none else ""
    lead[0] += f"; open: {words(still_open)}" if still_open else ""
    signed = f"signed for by owner or deputy on {document.acknowledged_on}" if document.acknowledged_on else "signed for by nobody as they are now"
    lead.append(f"Statements are the provider's, from the datasheet, {signed}. What is marked as measured rests on the evidence named beside it.")
    lead.append("Whether a statement is true and enough is not judged here; this document is no legal advice.")
    return tuple(lead)


def _acknowledged(reviews: Evidence | None) -> date | None:
    facts = reviews.details.get("reviews") if reviews is not None else None
    found = facts.get(ACKNOWLEDGEMENT) if isinstance(facts, dict) else None
    return date.fromisoformat(str(found["signed_on"])) if isinstance(found, dict) and found.get("current") else None
