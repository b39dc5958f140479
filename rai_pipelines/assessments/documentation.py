"""Whether a model card can be complete: which of its sections have the declarations and the evidence they need.

Sections follow Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019). documents/card.py writes exactly these.
"""

from __future__ import annotations

from dataclasses import dataclass

from rai_pipelines.assessments.base import AuditContext, Measured, Parameters
from rai_pipelines.assessments.registry_record import documentation_fields
from rai_pipelines.evidence.model import Measurement, Status


class DocumentationParameters(Parameters):
    """This assessment has nothing to set."""


@dataclass(frozen=True)
class CardSection:
    """One section of the card with the datasheet fields and the assessments it cannot do without."""

    name: str
    title: str
    fields: tuple[str, ...] = ()
    assessments: tuple[str, ...] = ()


CARD_SECTIONS = (
    CardSection("model_details", "Model details", ("owner",), ("registry_record",)),
    CardSection("intended_use", "Intended use", ("purpose", "out_of_scope")),
    CardSection("factors", "Factors", (), ("bias_assessment",)),
    CardSection("metrics", "Metrics", ("columns.label",), ("performance_report",)),
    CardSection("evaluation_data", "Evaluation data", ("data.evaluation",), ("data_validation",)),
    CardSection("training_data", "Training data", ("data.training", "provenance"), ("anonymization_check",)),
    CardSection("quantitative_analyses", "Quantitative analyses", (), ("performance_report", "bias_assessment", "adversarial_robustness")),
    CardSection("ethical_considerations", "Ethical considerations", ("risk.reason", "human_oversight")),
    CardSection("caveats", "Caveats and recommendations", ("limitations",)),
)


def assess_documentation(context: AuditContext, _: Parameters) -> Measured:
    """Share of card sections that can be filled; `details.empty_sections` says what each of the others lacks."""
    filled_fields = documentation_fields(context.subject.datasheet)
    lacking: dict[str, list[str]] = {}
    for section in CARD_SECTIONS:
        lacks = [f"datasheet field {name}" for name in section.fields if not filled_fields[name]]
        for name in section.assessments:
            evidence = context.evidence.get(name)
            if evidence is None or evidence.status in (Status.ERROR, Status.MISSING):
                lacks.append(f"evidence of {name}")
        if lacks:
            lacking[section.name] = lacks
    filled = len(CARD_SECTIONS) - len(lacking)
    note = "; ".join(f"{name} lacks {', '.join(what)}" for name, what in lacking.items()) or None
    return Measured(
        measurements=(
            Measurement(
                metric="card_sections_filled", value=filled / len(CARD_SECTIONS), n=len(CARD_SECTIONS), denominator=len(CARD_SECTIONS), note=note
            ),
        ),
        details={
            "empty_sections": {name: list(what) for name, what in lacking.items()},
            "evidence": {name: item.digest for name, item in sorted(context.evidence.items())},
        },
    )
