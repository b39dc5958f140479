"""What evidence says to each point of Annex IV: claims that name the evidence they rest on, and tables. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
from rai_pipelines.documents.parts import Table
from rai_pipelines.documents.text import number
from rai_pipelines.evidence.model import Evidence, Measurement, Record, State, Status
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.model import Area
from rai_pipelines.policy.verdict import Verdict

VERDICT = "policy_verdict"
SHOWN_FILES, SHOWN_DRIVERS = 20, 5


class Claim(Record):
    """A sentence that evidence supports, with the name and digest of that evidence."""

    text: str
    evidence: str
    digest: str


@dataclass(frozen=True)
class EarlierVersion:
    """A lower version of the same model and the newest verdict on it."""

    version: str
    verdict: Verdict


@dataclass(frozen=True)
class Sources:
    """What claims are made from. `digests` are those of `evidence`."""

    verdict: Verdict
    evidence: Mapping[str, Evidence]
    digests: Mapping[str, str]
    earlier: tuple[EarlierVersion, ...]

    def complete(self, name: str) -> Evidence | None:
        """That evidence, if the assessment was carried out."""
        item = self.evidence.get(name)
        return item if item is not None and item.status is Status.COMPLETE else None


def claims_of(point: str, sources: Sources) -> tuple[Claim, ...]:
    """The claims to that point, in the order of its evidence."""
    return tuple(claim for make in CLAIMS.get(point, ()) for claim in make(sources))


def tables_of(point: str, sources: Sources) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """The tables of that point, and the names of the evidence that they are made from."""
    made = [(name, build(sources.evidence)) for name, build in TABLES.get(point, ())]
    tables = [table for _, found in made for table in found]
    names = [name for name, found in made if found]
    if point in VERDICT_TABLES:
        tables += VERDICT_TABLES[point](sources)
        names.append(VERDICT)
    return tuple(tables), tuple(names)


def _claim(sources: Sources, name: str, text: str) -> Claim:
    return Claim(text=text, evidence=name, digest=sources.verdict.digest if name == VERDICT else sources.digests[name])


def _measured(sources: Sources, name: str, wanted: Mapping[str, str]) -> Iterator[Claim]:
    """A claim for each of these overall figures that was measured: the metric, and how it is called."""
    item = sources.complete(name)
    for metric, called in wanted.items() if item is not None else ():
        for found in item.find(metric) if item is not None else ():
            if found.group is None and found.comparison is None:
                of = f" of {found.attribute}" if found.attribute else ""
                yield _claim(sources, name, f"{called}{of}: {figure_in_words(found)}")


def _identity(sources: Sources) -> Iterator[Claim]:
    verdict = sources.verdict
    about = f"Registered as {verdict.model_name}, version {verdict.model_version}, risk class {verdict.risk_class}"
    if sources.complete("registry_record"):
        yield _claim(sources, "registry_record", f"{about}; model file {verdict.model_digest or 'absent: audited from its predictions'}")
    if sources.earlier:
        yield _claim(sources, VERDICT, f"Earlier versions that were audited, listed under point 6: {len(sources.earlier)}")


def _files(sources: Sources) -> Iterator[Claim]:
    item = sources.complete("model_scan")
    files: Any = item.details.get("files", []) if item is not None else []
    named = [f"{file['path']} ({file['format']})" for file in files[:SHOWN_FILES]]
    more = f" and {len(files) - SHOWN_FILES} more" if len(files) > SHOWN_FILES else ""
    if named:
        yield _claim(sources, "model_scan", f"The model as registered consists of {', '.join(named)}{more}")


def _accuracy(sources: Sources) -> Iterator[Claim]:
    wanted = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "roc_auc": "Area under the ROC curve", "r_squared": "R squared"}
    yield from _measured(sources, "performance_report", wanted)


def _groups_not_judged(sources: Sources) -> Iterator[Claim]:
    item = sources.complete("bias_assessment")
    groups: Any = item.details.get("groups", {}) if item is not None else {}
    for attribute, facts in sorted(groups.items()):
        small = facts.get("insufficient", {}) if " × " not in attribute else {}
        if small and item is not None:
            named = "; ".join(f"{item.spoken(attribute, group)}, n = {count}" for group, count in sorted(small.items()))
            yield _claim(sources, "bias_assessment", f"Nothing is known about groups of {attribute} with too few rows: {named}")


def _drivers(sources: Sources) -> Iterator[Claim]:
    item = sources.complete("explainability_report")
    if item is None:
        return
    ranked = sorted(item.find("feature_importance"), key=lambda found: -(found.value or 0.0))[:SHOWN_DRIVERS]
    if ranked:
        named = ", ".join(f"{found.attribute} ({number(found.value)})" for found in ranked)
        yield _claim(sources, "explainability_report", f"Inputs that move its output most, by mean absolute attribution: {named}")
    yield from _measured(sources, "explainability_report", {"surrogate_fidelity": "Share of decisions that a small tree gives too"})


def _interpretability(sources: Sources) -> Iterator[Claim]:
    yield from _measured(sources, "explainability_report", {"local_explanation_coverage": "Share of sampled decisions that can be explained"})
    wanted = {"reviewed_before_effect": "High-stakes decisions reviewed before effect", "override_rate": "Reviews that decided otherwise"}
    yield from _measured(sources, "human_oversight", wanted)


def _tested_on(sources: Sources) -> Iterator[Claim]:
    item = sources.complete("performance_report")
    if item is not None:
        made = item.provenance
        tables = ", ".join(f"{name} {digest}" for name, digest in sorted(made.data_digests.items()))
        yield _claim(sources, "performance_report", f"Measured on {tables}, seed {made.seed}, by version {made.code_version} ({made.code_digest})")


def _security(sources: Sources) -> Iterator[Claim]:
    yield from _measured(sources, "model_scan", {"dangerous_files": "Files that run code when they are loaded"})
    yield from _measured(sources, "adversarial_robustness", {"robust_to_clean_ratio": "Share of the clean accuracy that survives the attacks"})
    yield from _measured(sources, "poisoning_check", {"harmful_sources": "Sources of training rows that make the model worse"})


def _declared_limits(sources: Sources) -> Iterator[Claim]:
    yield from _accuracy(sources)
    yield from _groups_not_judged(sources)


def _signed(sources: Sources) -> Iterator[Claim]:
    item = sources.complete("signed_reviews")
    reviews: Any = item.details.get("reviews", {}) if item is not None else {}
    for kind, facts in sorted(reviews.items()):
        state = "about what is there today" if facts["current"] else "about an earlier state"
        yield _claim(sources, "signed_reviews", f"Review {kind.replace('_', ' ')} signed on {facts['signed_on']}, {state}")


def _in_use(sources: Sources) -> Iterator[Claim]:
    item = sources.complete("drift_report")
    moved = [found for found in item.find("psi") if found.state is State.MEASURED and found.value is not None] if item is not None else []
    if moved:
        most: Measurement = max(moved, key=lambda found: found.value or 0.0)
        yield _claim(sources, "drift_report", f"Largest population stability index in production: {figure_in_words(most)} of {most.attribute}")
    yield from _measured(sources, "drift_report", {"performance_drop": "Loss of accuracy in production"})


def _controls(sources: Sources) -> tuple[Table, ...]:
    rows = [
        (finding.control, figure.label, number(figure.value), figure.threshold, figure.status.value.replace("_", " "))
        for finding in sources.verdict.findings
        for figure in finding.figures
    ]
    return (
        Table(caption="Measures that were judged, and against what", columns=("control", "measure", "value", "asked", "status"), rows=tuple(rows)),
    )


def _risks(sources: Sources, area: Area | None = None) -> tuple[Table, ...]:
    asked = (FindingStatus.NOT_IN_FORCE, FindingStatus.NOT_APPLICABLE)
    rows = [
        (item.control, item.severity.value, item.status.value.replace("_", " "), item.statement, item.reason)
        for item in sources.verdict.findings
        if item.status not in asked and area in (None, item.area)
    ]
    caption = "Controls in force, as tests of what risk remains" if area is None else "Controls on watching it in use"
    return (Table(caption=caption, columns=("control", "severity", "status", "what it asks", "why"), rows=tuple(rows)),)


def _versions(sources: Sources) -> tuple[Table, ...]:
    newest = (EarlierVersion(sources.verdict.model_version, sources.verdict), *sources.earlier)
    rows = tuple(
        (item.version, item.verdict.status.value.replace("_", " "), item.verdict.judged_for.isoformat(), item.verdict.policy, item.verdict.digest)
        for item in newest
    )
    return (Table(caption="Versions and their newest verdicts", columns=("version", "verdict", "judged for", "policy", "digest"), rows=rows),)


CLAIMS: Mapping[str, tuple[Callable[[Sources], Iterator[Claim]], ...]] = {
    "1(a)": (_identity,),
    "1(c)": (_files,),
    "1(h)": (_accuracy,),
    "2(a)": (_files,),
    "2(b)": (_drivers,),
    "2(e)": (_interpretability,),
    "2(g)": (_tested_on, _signed),
    "2(h)": (_security,),
    "3": (_declared_limits,),
    "9": (_in_use,),
}
TABLES: Mapping[str, tuple[tuple[str, Callable[[Mapping[str, Evidence]], tuple[Table, ...]]], ...]] = {
    "2(b)": (("explainability_report", explanation_tables),),
    "2(d)": (("data_validation", validation_tables), ("anonymization_check", anonymity_tables)),
    "2(g)": (("bias_assessment", bias_tables),),
    "2(h)": (
        ("adversarial_robustness", robustness_tables),
        ("privacy_attacks", privacy_attack_tables),
        ("poisoning_check", poisoning_tables),
    ),
    "3": (("performance_report", performance_tables),),
    "9": (("drift_report", drift_tables), ("fairness_windows", fairness_window_tables)),
}
VERDICT_TABLES: Mapping[str, Callable[[Sources], tuple[Table, ...]]] = {
    "4": _controls,
    "5": _risks,
    "6": _versions,
    "9": lambda sources: _risks(sources, Area.MONITORING),
}
