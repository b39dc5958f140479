"""The bodies of the card's sections: facts from the datasheet, tables from evidence."""

from __future__ import annotations

from collections.abc import Mapping

from rai_pipelines.documents.evidence_tables import (
    anonymity_tables,
    bias_tables,
    drift_tables,
    explanation_tables,
    fairness_window_tables,
    figure_in_words,
    performance_tables,
    poisoning_tables,
    privacy_attack_tables,
    robustness_tables,
    validation_tables,
)
from rai_pipelines.documents.parts import Fact, Table
from rai_pipelines.evidence.model import Evidence, Record, Status
from rai_pipelines.subjects.datasheet import Datasheet


class SectionBody(Record):
    """What a section shows."""

    facts: tuple[Fact, ...] = ()
    tables: tuple[Table, ...] = ()


def section_bodies(datasheet: Datasheet | None, evidence: Mapping[str, Evidence]) -> dict[str, SectionBody]:
    """A body for every section of the card; a section without its sources has an empty one."""
    return {
        "model_details": SectionBody(facts=_model_details(datasheet, evidence)),
        "intended_use": SectionBody(facts=_intended_use(datasheet)),
        "factors": SectionBody(facts=_factors(datasheet, evidence)),
        "metrics": SectionBody(facts=_metrics(evidence)),
        "evaluation_data": SectionBody(facts=_data(datasheet, "evaluation"), tables=validation_tables(evidence)),
        "training_data": SectionBody(facts=_data(datasheet, "training"), tables=anonymity_tables(evidence)),
        "quantitative_analyses": SectionBody(
            tables=(
                *performance_tables(evidence),
                *bias_tables(evidence),
                *robustness_tables(evidence),
                *explanation_tables(evidence),
                *privacy_attack_tables(evidence),
                *poisoning_tables(evidence),
                *drift_tables(evidence),
                *fairness_window_tables(evidence),
            )
        ),
        "ethical_considerations": SectionBody(facts=_ethics(datasheet)),
        "caveats": SectionBody(facts=_caveats(datasheet)),
    }


def _facts(*pairs: tuple[str, str | None]) -> tuple[Fact, ...]:
    return tuple(Fact(name=name, text=text) for name, text in pairs if text)


def _model_details(datasheet: Datasheet | None, evidence: Mapping[str, Evidence]) -> tuple[Fact, ...]:
    made = next(iter(evidence.values()), None)
    model = (made.provenance.model_digest if made else None) or "no model file: audited from its predictions alone"
    if datasheet is None:
        return _facts(("Datasheet", "none that can be read"), ("Model file", model))
    return _facts(
        ("Owner", f"{datasheet.owner.name} ({datasheet.owner.contact})"),
        ("Deputy", f"{datasheet.deputy.name} ({datasheet.deputy.contact})" if datasheet.deputy else None),
        ("Runbook", datasheet.runbook),
        ("Task", datasheet.task.replace("_", " ")),
        ("Model file", model),
    )


def _intended_use(datasheet: Datasheet | None) -> tuple[Fact, ...]:
    if datasheet is None:
        return ()
    return _facts(("Purpose", datasheet.purpose), *(("Out of scope", item) for item in datasheet.out_of_scope))


def _factors(datasheet: Datasheet | None, evidence: Mapping[str, Evidence]) -> tuple[Fact, ...]:
    facts: list[tuple[str, str | None]] = []
    if datasheet:
        for name, attribute in datasheet.columns.protected_attributes.items():
            words = f"compared with {_named(datasheet, name, attribute.reference)}"
            if attribute.bins:
                words += "; bands at " + ", ".join(f"{edge:g}" for edge in attribute.bins)
            facts.append((name, words))
    bias = evidence.get("bias_assessment")
    groups = bias.details.get("groups", {}) if bias and bias.status is Status.COMPLETE else {}
    if isinstance(groups, dict):
        for attribute_name, item in sorted(groups.items()):
            small = item.get("insufficient", {}) if isinstance(item, dict) else {}
            if small and isinstance(small, dict) and " × " not in attribute_name:
                named = "; ".join(f"{bias.spoken(attribute_name, group)}, n={count}" for group, count in sorted(small.items())) if bias else ""
                facts.append((f"{attribute_name}: too few rows to judge", named))
    return _facts(*facts)


def _metrics(evidence: Mapping[str, Evidence]) -> tuple[Fact, ...]:
    performance = evidence.get("performance_report")
    if performance is None or performance.status is not Status.COMPLETE:
        return ()
    names = ("accuracy", "balanced_accuracy", "recall", "precision", "roc_auc", "majority_class_rate", "accuracy_over_majority")
    return tuple(
        Fact(name=name.replace("_", " "), text=figure_in_words(item)) for name in names for item in performance.find(name, attribute=None, group=None)
    )


def _data(datasheet: Datasheet | None, which: str) -> tuple[Fact, ...]:
    if datasheet is None:
        return ()
    source = datasheet.provenance if which == "training" else None
    return _facts(("Reference", getattr(datasheet.data, which)), ("Provenance", source))


def _ethics(datasheet: Datasheet | None) -> tuple[Fact, ...]:
    if datasheet is None:
        return ()
    return _facts((f"Risk class {datasheet.risk.risk_class.value}", datasheet.risk.reason), ("Human oversight", datasheet.human_oversight))


def _caveats(datasheet: Datasheet | None) -> tuple[Fact, ...]:
    return _facts(*(("Limitation", item) for item in datasheet.limitations)) if datasheet else ()


def _named(datasheet: Datasheet, attribute: str, group: str) -> str:
    label = datasheet.columns.protected_attributes[attribute].labels.get(group)
    return f"{group} ({label})" if label else group
