"""What the registry holds and the owner declared, counted: documentation fields and responsibilities."""

from __future__ import annotations

from rai_pipelines.assessments.base import AuditContext, Measured, Parameters
from rai_pipelines.evidence.model import Measurement
from rai_pipelines.subjects.datasheet import PLACEHOLDER, Datasheet


class RegistryRecordParameters(Parameters):
    """This assessment has nothing to set."""


def assess_registry_record(context: AuditContext, _: Parameters) -> Measured:
    """Share of documentation fields and of responsibilities that are declared, and whether the datasheet is about this model.

    `details` carries the risk class and release class that the verdict reads, and the names of what is empty.
    """
    datasheet = context.subject.datasheet
    fields = documentation_fields(datasheet)
    duties = responsibilities(datasheet)
    same = datasheet.model == context.subject.version.name
    return Measured(
        measurements=(
            _share("required_field_share", fields),
            _share("responsibility_share", duties),
            Measurement(
                metric="datasheet_names_this_model",
                value=1.0 if same else 0.0,
                note=None if same else f"the datasheet is about {datasheet.model!r}, the version is registered as {context.subject.version.name!r}",
            ),
        ),
        details={
            "risk_class": datasheet.risk.risk_class.value,
            "release_class": datasheet.release_class.value,
            "has_model_file": context.subject.folder is not None and context.subject.loader is not None,
            "empty_fields": [name for name, filled in fields.items() if not filled],
            "empty_responsibilities": [name for name, filled in duties.items() if not filled],
        },
    )


def documentation_fields(datasheet: Datasheet) -> dict[str, bool]:
    """Whether each field that documentation needs is filled; what still holds the skeleton's placeholder is not."""
    columns, data = datasheet.columns, datasheet.data
    return {
        "purpose": _filled(datasheet.purpose),
        "out_of_scope": _filled(*datasheet.out_of_scope),
        "limitations": _filled(*datasheet.limitations),
        "risk.reason": _filled(datasheet.risk.reason),
        "owner": _filled(datasheet.owner.name, datasheet.owner.contact),
        "human_oversight": _filled(datasheet.human_oversight),
        "provenance": _filled(datasheet.provenance),
        "data.training": data.training is not None,
        "data.evaluation": True,
        "columns.label": columns.label is not None,
        "columns.quasi_identifiers": bool(columns.quasi_identifiers),
    }


def responsibilities(datasheet: Datasheet) -> dict[str, bool]:
    """Whether each responsibility is assigned."""
    deputy = datasheet.deputy
    return {
        "owner": _filled(datasheet.owner.name),
        "owner.contact": _filled(datasheet.owner.contact),
        "deputy": deputy is not None and _filled(deputy.name, deputy.contact),
        "runbook": _filled(datasheet.runbook),
    }


def _filled(*texts: str | None) -> bool:
    """Whether there is at least one text and none of them is absent or a placeholder."""
    return bool(texts) and all(text is not None and PLACEHOLDER not in text for text in texts)


def _share(metric: str, facts: dict[str, bool]) -> Measurement:
    empty = [name for name, filled in facts.items() if not filled]
    return Measurement(
        metric=metric,
        value=(len(facts) - len(empty)) / len(facts),
        n=len(facts),
        denominator=len(facts),
        note=f"not filled: {', '.join(empty)}" if empty else None,
    )
