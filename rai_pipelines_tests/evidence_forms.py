"""The golden form of evidence: what it measures, in which states, with what beside each figure.

Names, states and shapes are compared, and no values: those are held by the tests of each room, and the last digits of some follow the processor.
"""

from __future__ import annotations

from typing import Any

from rai_pipelines.evidence.model import Evidence

BESIDE = ("interval", "standard_error", "n", "denominator", "attribute", "group", "reference", "comparison", "outcome", "note")
MANY = 12  # keys of a mapping beyond which they are data and no fields


def form_of(evidence: Evidence) -> dict[str, Any]:
    """Metrics with their states and what stands beside them, the fields of details, and what was put in."""
    metrics: dict[str, set[str]] = {}
    for item in evidence.measurements:
        beside = [part for part in BESIDE if getattr(item, part) is not None and part != "note"]
        metrics.setdefault(item.metric, set()).add(f"{item.state.value}, {item.scale}: {' '.join(beside)}")
    return {
        "schema": evidence.schema_version,
        "status": evidence.status.value,
        "metrics": {metric: sorted(forms) for metric, forms in sorted(metrics.items())},
        "details": {key: shape_of(value) for key, value in sorted(evidence.details.items())},
        "parameters": sorted(evidence.provenance.parameters),
        "tables": sorted(evidence.provenance.data_digests),
    }


def shape_of(value: Any) -> Any:
    """The kinds of values; numbers are one kind, since a whole number can be either."""
    if isinstance(value, dict):
        shapes = {key: shape_of(item) for key, item in sorted(value.items())}
        return shapes if len(shapes) <= MANY else f"mapping of {kinds(shapes.values())}"
    if isinstance(value, list):
        return f"list of {kinds(shape_of(item) for item in value)}"
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def kinds(shapes: Any) -> str:
    """The different shapes among many, in words."""
    found = sorted({shape if isinstance(shape, str) else "{" + ", ".join(sorted(shape)) + "}" for shape in shapes})
    return " or ".join(found) or "nothing"
