"""Whether the technical documentation can be complete: which points of Annex IV have the statements and the evidence that they need.

Points are the 23 leaves of Regulation (EU) 2024/1689, Annex IV, in words of our own. documents/technical_documentation.py writes exactly these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from rai_pipelines.assessments.base import AuditContext, Measured, Parameters
from rai_pipelines.evidence.model import Evidence, Measurement, Status
from rai_pipelines.subjects.datasheet import PLACEHOLDER, Datasheet
from rai_pipelines.subjects.technical_file import NotApplicable, TechnicalDeclarations

PointState = Literal["resolved", "open", "not_applicable"]


class TechnicalDocumentationParameters(Parameters):
    """This assessment has nothing to set."""


@dataclass(frozen=True)
class AnnexPoint:
    """One point of Annex IV: the statement that answers it (a field of `technical_documentation`), and the evidence that it cannot do without.

    `also` are datasheet fields outside that section whose text belongs to the point, shown where they are filled.
    """

    number: str
    title: str
    statement: str
    assessments: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


ANNEX_IV = (
    AnnexPoint("1(a)", "Intended purpose, provider, and version", "provider", ("registry_record",), ("purpose", "out_of_scope")),
    AnnexPoint("1(b)", "What the system works with", "interaction"),
    AnnexPoint("1(c)", "Software versions and updates", "software_and_updates", ("model_scan",)),
    AnnexPoint("1(d)", "Forms in which it is placed on the market", "market_forms"),
    AnnexPoint("1(e)", "Hardware it is meant for", "hardware"),
    AnnexPoint("1(f)", "Pictures and markings of the product", "product_markings"),
    AnnexPoint("1(g)", "What the deployer sees and operates", "deployer_interface"),
    AnnexPoint("1(h)", "Instructions for use", "instructions_for_use", ("performance_report",), ("limitations",)),
    AnnexPoint("2(a)", "How it was developed, and what came from others", "development", ("model_scan",)),
    AnnexPoint("2(b)", "Logic, design choices and trade-offs", "design_choices", ("explainability_report",)),
    AnnexPoint("2(c)", "Architecture and computing", "architecture_and_computing"),
    AnnexPoint("2(d)", "Data for training and testing", "data_selection_and_labelling", ("data_validation", "anonymization_check"), ("provenance",)),
    AnnexPoint("2(e)", "Human oversight and interpretability", "oversight_assessment", ("explainability_report",), ("human_oversight",)),
    AnnexPoint("2(f)", "Changes determined beforehand", "planned_changes"),
    AnnexPoint("2(g)", "Validation and testing", "test_signatory", ("performance_report", "bias_assessment", "adversarial_robustness")),
    AnnexPoint("2(h)", "Cybersecurity", "cybersecurity", ("model_scan", "adversarial_robustness")),
    AnnexPoint("3", "Capabilities, limits, unintended outcomes", "unintended_outcomes", ("performance_report", "bias_assessment"), ("limitations",)),
    AnnexPoint("4", "Whether the measures of performance suit it", "metric_choice", ("performance_report",)),
    AnnexPoint("5", "Risk management", "risk_management", (), ("risk.reason",)),
    AnnexPoint("6", "Changes through its life", "changes_made"),
    AnnexPoint("7", "Standards, or other solutions", "standards"),
    AnnexPoint("8", "EU declaration of conformity", "declaration_of_conformity"),
    AnnexPoint("9", "Watching it after placing on the market", "post_market_plan", ("drift_report",)),
)


@dataclass(frozen=True)
class PointStanding:
    """Where a point stands. `lacks` names every statement and every evidence that is absent; empty unless the point is open."""

    state: PointState
    lacks: tuple[str, ...] = ()


def assess_technical_documentation(context: AuditContext, _: Parameters) -> Measured:
    """Share of the points that are resolved or do not apply; `details.points` says of each where it stands and what it lacks."""
    standings = standings_of(context.subject.datasheet, context.evidence)
    still_open = {number: item.lacks for number, item in standings.items() if item.state == "open"}
    note = "; ".join(f"{number} lacks {', '.join(lacks)}" for number, lacks in still_open.items()) or None
    points: dict[str, JsonValue] = {number: {"state": item.state, "lacks": list(item.lacks)} for number, item in standings.items()}
    total = len(ANNEX_IV)
    share = (total - len(still_open)) / total
    return Measured(
        measurements=(Measurement(metric="annex_iv_points_resolved", value=share, n=total, denominator=total, note=note),),
        details={"points": points, "evidence": {name: item.digest for name, item in sorted(context.evidence.items())}},
    )


def standings_of(datasheet: Datasheet | None, evidence: Mapping[str, Evidence]) -> dict[str, PointStanding]:
    """Where each point stands, by its number; without a datasheet every statement is absent."""
    declared = datasheet.technical_documentation if datasheet is not None else None
    return {point.number: _standing(point, declared or TechnicalDeclarations(), evidence) for point in ANNEX_IV}


def _standing(point: AnnexPoint, declared: TechnicalDeclarations, evidence: Mapping[str, Evidence]) -> PointStanding:
    statement = getattr(declared, point.statement)
    if isinstance(statement, NotApplicable) and PLACEHOLDER not in statement.not_applicable:
        return PointStanding("not_applicable")
    lacks = [] if isinstance(statement, str) and PLACEHOLDER not in statement else [f"datasheet field technical_documentation.{point.statement}"]
    lacks += [f"evidence of {name}" for name in point.assessments if not _usable(evidence.get(name))]
    return PointStanding("open", tuple(lacks)) if lacks else PointStanding("resolved")


def _usable(evidence: Evidence | None) -> bool:
    return evidence is not None and evidence.status not in (Status.ERROR, Status.MISSING)
