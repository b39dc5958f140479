"""What an owner declared is counted as it stands: placeholders and absent duties are not filled."""

from pathlib import Path
from typing import Any

import yaml

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.documentation import CARD_SECTIONS, DocumentationParameters, assess_documentation
from rai_pipelines.assessments.registry_record import RegistryRecordParameters, assess_registry_record
from rai_pipelines.evidence.model import Status
from rai_pipelines.subjects.datasheet import parse_datasheet
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import Subject
from rai_pipelines_tests.conftest import evidence
from rai_pipelines_tests.house import datasheet

ASSESSMENTS = ("registry_record", "data_validation", "anonymization_check", "bias_assessment", "performance_report", "adversarial_robustness")


def context(**changes: Any) -> AuditContext:
    sheet = parse_datasheet(yaml.safe_dump(datasheet(**changes)), source="datasheet.yaml")
    subject = Subject(version=ModelVersion("calls", "1"), datasheet=sheet, folder=None, model_digest=None, data_folder=Path())
    return AuditContext(subject=subject, seed=1, scratch=Path(), evidence={name: evidence(name) for name in ASSESSMENTS})


def value(measured: Measured, metric: str) -> float | None:
    return next(item.value for item in measured.measurements if item.metric == metric)


def test_a_complete_datasheet_is_complete() -> None:
    measured = assess_registry_record(context(), RegistryRecordParameters())
    assert value(measured, "required_field_share") == value(measured, "responsibility_share") == 1.0
    assert measured.details["risk_class"] == "limited"


def test_a_placeholder_is_not_an_answer() -> None:
    measured = assess_registry_record(context(purpose="FILL IN: what it decides", runbook="FILL IN"), RegistryRecordParameters())
    assert measured.details["empty_fields"] == ["purpose"]
    assert measured.details["empty_responsibilities"] == ["runbook"]


def test_an_absent_deputy_is_named() -> None:
    measured = assess_registry_record(context(deputy=None), RegistryRecordParameters())
    assert value(measured, "responsibility_share") == 0.75
    assert measured.details["empty_responsibilities"] == ["deputy"]


def test_a_card_section_needs_its_declarations_and_its_evidence() -> None:
    whole = assess_documentation(context(), DocumentationParameters())
    assert value(whole, "card_sections_filled") == 1.0
    bare = context(limitations=[])
    broken = evidence("bias_assessment", status=Status.ERROR, reason="no such column")
    lacking = assess_documentation(
        AuditContext(subject=bare.subject, seed=1, scratch=Path(), evidence={**bare.evidence, "bias_assessment": broken}), DocumentationParameters()
    )
    assert set(lacking.details["empty_sections"]) == {"caveats", "factors", "quantitative_analyses"}  # type: ignore[arg-type]
    assert value(lacking, "card_sections_filled") == (len(CARD_SECTIONS) - 3) / len(CARD_SECTIONS)
