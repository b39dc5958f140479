"""The JSON Schemas that docs/schemas publishes, made from the models themselves."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, TypeAdapter


def published_schemas() -> dict[str, dict[str, Any]]:
    """Schema by name: what editors check (policy, datasheet) and what the verbs print."""
    from rai_pipelines.assessments.explanations.traces import TraceRecord
    from rai_pipelines.cli.diagnosis import Diagnosis
    from rai_pipelines.cli.explain import ExplainOutput
    from rai_pipelines.cli.outputs import (
        AuditOutput,
        CaseOutput,
        CheckOutput,
        DeskOutput,
        GateOutput,
        PolicyOutput,
        ReviewOutput,
        RoundOutput,
        VerdictOutput,
        WaiverOutput,
    )
    from rai_pipelines.cli.plain_files import MeasureOutput
    from rai_pipelines.cli.suites import SuiteCheckOutput
    from rai_pipelines.demo.story import DemoResult
    from rai_pipelines.documents.card import ModelCard
    from rai_pipelines.documents.checklist import Checklist
    from rai_pipelines.documents.policy_review import PolicyReviewDocument
    from rai_pipelines.documents.technical_documentation import TechnicalDocumentation
    from rai_pipelines.evidence.model import Evidence, Receipt
    from rai_pipelines.governance.cases.tracker_file import TrackerFile
    from rai_pipelines.governance.decisions.statement import Decision
    from rai_pipelines.governance.decisions.waivers import Waiver
    from rai_pipelines.governance.gate.binding import Binding
    from rai_pipelines.governance.gate.record import GateRecord
    from rai_pipelines.governance.people.directory import Directory
    from rai_pipelines.policy.model import Policy
    from rai_pipelines.policy.rehearsal.coverage import Coverage
    from rai_pipelines.policy.rehearsal.difference import PolicyDifference
    from rai_pipelines.policy.rehearsal.explanation import ControlExplanation
    from rai_pipelines.policy.rehearsal.replay import Replay
    from rai_pipelines.policy.verdict import Verdict
    from rai_pipelines.policy.versions.extension import PolicyExtension
    from rai_pipelines.policy.versions.reviews import PolicyReview
    from rai_pipelines.policy_life.calibration import Calibration
    from rai_pipelines.policy_life.publication import Published
    from rai_pipelines.subjects.datasheet import Datasheet

    models: dict[str, type[BaseModel]] = {
        "policy": Policy,
        "policy-extension": PolicyExtension,
        "policy-coverage": Coverage,
        "policy-difference": PolicyDifference,
        "policy-publication": Published,
        "policy-replay": Replay,
        "policy-calibration": Calibration,
        "checklist": Checklist,
        "policy-review": PolicyReview,
        "policy-review-document": PolicyReviewDocument,
        "control-explanation": ControlExplanation,
        "datasheet": Datasheet,
        "evidence": Evidence,
        "verdict": Verdict,
        "gate": GateRecord,
        "model-card": ModelCard,
        "technical-documentation": TechnicalDocumentation,
        "measure": MeasureOutput,
        "audit-output": AuditOutput,
        "verdict-output": VerdictOutput,
        "policy-output": PolicyOutput,
        "check-output": CheckOutput,
        "suite-check": SuiteCheckOutput,
        "explain-output": ExplainOutput,
        "decision-trace": TraceRecord,
        "demo-output": DemoResult,
        "people": Directory,
        "binding": Binding,
        "decision": Decision,
        "waiver": Waiver,
        "review-output": ReviewOutput,
        "round-output": RoundOutput,
        "gate-output": GateOutput,
        "case": CaseOutput,
        "tracker": TrackerFile,
    }
    schemas = {name: model.model_json_schema(by_alias=True) for name, model in models.items()}
    schemas["doctor"] = TypeAdapter(list[Diagnosis]).json_schema()
    schemas["review-list"] = TypeAdapter(list[DeskOutput]).json_schema()
    schemas["waiver-list"] = TypeAdapter(list[WaiverOutput]).json_schema()
    schemas["receipts"] = TypeAdapter(list[Receipt]).json_schema()
    for name, schema in schemas.items():
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
        schema["title"] = f"rai_pipelines {name}"
    return schemas
