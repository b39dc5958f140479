"""What a person sees on an asset in the UI: a chart, the key figures, and where the evidence lies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from rai_pipelines.documents.charts import chart_of, data_uri
from rai_pipelines.documents.technical_documentation import TechnicalDocumentation
from rai_pipelines.documents.text import markdown_table, markdown_text, number
from rai_pipelines.evidence.model import Evidence, Measurement, State, Status
from rai_pipelines.governance.gate.record import GateRecord
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.verdict import Verdict

MOST_ROWS = 30


def evidence_metadata(evidence: Evidence, policy: Policy) -> dict[str, dg.MetadataValue]:
    """Metadata of an assessment's materialization."""
    metadata: dict[str, dg.MetadataValue] = {
        "status": dg.MetadataValue.text(evidence.status.value),
        "evidence_digest": dg.MetadataValue.text(evidence.digest),
        "seed": dg.MetadataValue.int(evidence.provenance.seed),
    }
    if evidence.status is not Status.COMPLETE:
        metadata["reason"] = dg.MetadataValue.md(f"**{evidence.status.value}**: {markdown_text(evidence.reason or '')}")
    metadata |= _headline(evidence)
    svg = chart_of(evidence, policy)
    if svg:
        metadata["chart"] = dg.MetadataValue.md(f"![chart]({data_uri(svg)})")
    if evidence.measurements:
        metadata["measurements"] = dg.MetadataValue.md(_measurements_table(evidence))
    return metadata


def verdict_metadata(verdict: Verdict) -> dict[str, dg.MetadataValue]:
    """Metadata of the verdict: status, reasons, and the table of findings."""
    decided = [finding for finding in verdict.findings if finding.status is not FindingStatus.NOT_IN_FORCE]
    rows = [
        (finding.control.replace("-", "\u2011"), finding.status.value.replace("_", " "), finding.severity.value, finding.reason)
        for finding in sorted(decided, key=lambda item: _ORDER.index(item.status))
    ]
    waiting = ", ".join(finding.control for finding in verdict.with_status(FindingStatus.NOT_IN_FORCE)) or "none"
    reasons = "\n".join(f"- {markdown_text(reason)}" for reason in verdict.reasons) or "- nothing in the way"
    return {
        "verdict": dg.MetadataValue.text(verdict.status.value),
        "reasons": dg.MetadataValue.md(reasons),
        "findings": dg.MetadataValue.md(markdown_table(("control", "outcome", "severity", "why"), rows)),
        "not_in_force": dg.MetadataValue.text(waiting),
        "policy": dg.MetadataValue.text(f"{verdict.policy} {verdict.policy_digest} ({verdict.policy_status.value})"),
        "verdict_digest": dg.MetadataValue.text(verdict.digest),
        "risk_class": dg.MetadataValue.text(f"{verdict.risk_class}, so tier {verdict.tier.value}"),
    }


def card_metadata(markdown: str, paths: Mapping[str, Path]) -> dict[str, dg.MetadataValue]:
    """Metadata of the model card: the card itself and its files."""
    files = {f"file_{form}": dg.MetadataValue.path(str(path)) for form, path in paths.items()}
    return {"card": dg.MetadataValue.md(markdown), **files}


def documentation_metadata(document: TechnicalDocumentation, paths: Mapping[str, Path]) -> dict[str, dg.MetadataValue]:
    """Metadata of the technical documentation: how many points are resolved, what the others lack, and its files."""
    still_open = [(point.number, point.title, ", ".join(point.lacks)) for point in document.points if point.state == "open"]
    files = {f"file_{form}": dg.MetadataValue.path(str(path)) for form, path in paths.items()}
    return {
        "points_resolved": dg.MetadataValue.int(len(document.in_state("resolved"))),
        "points_not_applicable": dg.MetadataValue.int(len(document.in_state("not_applicable"))),
        "points_open": dg.MetadataValue.md(markdown_table(("point", "about", "lacks"), still_open) if still_open else "none"),
        **files,
    }


def gate_metadata(record: GateRecord) -> dict[str, dg.MetadataValue]:
    """Metadata of the gate: the decision and what the registry was told."""
    rows = [*record.tags.items(), *((f"alias {alias}", move.replace("_", " ")) for alias, move in record.aliases.items())]
    return {
        "decision": dg.MetadataValue.text(record.decision.value),
        "state": dg.MetadataValue.text(f"{record.state.value}: {record.reason}"),
        "registry": dg.MetadataValue.md(markdown_table(("in the registry", "value"), rows)),
    }


_ORDER = (
    FindingStatus.FAIL,
    FindingStatus.ERROR,
    FindingStatus.MISSING,
    FindingStatus.INCONCLUSIVE,
    FindingStatus.WAIVED,
    FindingStatus.PASS,
    FindingStatus.NOT_APPLICABLE,
    FindingStatus.NOT_IN_FORCE,
)


HEADLINES = {
    "model_scan": ("dangerous_files", "suspicious_files", "files_scanned"),
    "data_validation": ("expectations_evaluated", "expectations_failed_critical", "expectations_failed_warning"),
    "anonymization_check": ("k_minimum", "singling_out_share", "direct_identifier_columns"),
    "performance_report": ("accuracy", "balanced_accuracy", "accuracy_over_majority"),
    "adversarial_robustness": ("clean_accuracy", "robust_accuracy", "robust_to_clean_ratio"),
    "explainability_report": ("local_explanation_coverage", "surrogate_fidelity", "deletion_fidelity"),
    "proof_certificates": ("proved_share", "certified_share", "unknown_share"),
    "privacy_attacks": ("generalisation_gap", "membership_auc_without_model", "empirical_epsilon_lower_bound"),
    "poisoning_check": ("refit_agreement", "contradicted_label_share", "row_influence_maximum"),
    "drift_report": ("domain_classifier_auc", "performance_drop"),
    "human_oversight": ("reviewed_before_effect", "review_seconds_median", "override_rate"),
    "documentation_check": ("card_sections_filled",),
    "technical_documentation_check": ("annex_iv_points_resolved",),
    "registry_record": ("required_field_share", "responsibility_share"),
}


def _headline(evidence: Evidence) -> dict[str, dg.MetadataValue]:
    """A few numbers in plain sight, which the UI also plots over time; an absent figure is left out, not zero."""
    found: dict[str, dg.MetadataValue] = {}
    for name in HEADLINES.get(evidence.assessment, ()):
        value = evidence.value(name, attribute=None, group=None)
        if value is not None:
            found[name] = dg.MetadataValue.float(float(value))
    ratios = [item for item in evidence.find("impact_ratio", state=State.MEASURED) if " × " not in (item.attribute or "") and item.value is not None]
    if ratios:
        worst = min(ratios, key=lambda item: min(item.value or 0.0, 1 / item.value if item.value else 0.0))
        found["impact_ratio_farthest_from_one"] = dg.MetadataValue.float(float(worst.value or 0.0))
        found["of"] = dg.MetadataValue.text(f"{worst.attribute}={worst.comparison} against {worst.reference}")
    return found


def _measurements_table(evidence: Evidence) -> str:
    """The figures without intersections first, at most `MOST_ROWS`; what is not shown is counted."""
    ordered = sorted(evidence.measurements, key=lambda item: " × " in (item.attribute or ""))
    rows = [_row(item) for item in ordered[:MOST_ROWS]]
    table = markdown_table(("metric", "of", "value", "interval", "n", "state"), rows)
    rest = len(ordered) - len(rows)
    return table + (f"\n\nand {rest} more in the evidence (`rai evidence`)" if rest > 0 else "")


def _row(item: Measurement) -> tuple[str, ...]:
    about = " ".join(part for part in (item.attribute, f"= {item.group}" if item.group else None) if part)
    if item.comparison:
        about += f": {item.comparison} against {item.reference}"
    interval = f"{number(item.interval.low)} to {number(item.interval.high)}" if item.interval else "–"
    state = item.state.value + (f" ({item.note})" if item.note else "")
    return item.metric, about, number(item.value), interval, "–" if item.n is None else f"{item.n:,}", state
