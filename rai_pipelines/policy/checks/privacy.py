"""Judges the training data: anonymity of the people in it, and its validity."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from rai_pipelines.evidence.model import Evidence, State
from rai_pipelines.policy.checks.base import Check, Question, Reads, Threshold, exact_figures, label_of
from rai_pipelines.policy.findings import Figure, FindingStatus, Judgement, conclude
from rai_pipelines.policy.three_state import Band, judge_exact

SHOWN_COLUMNS = 5
ANONYMITY_METRICS = frozenset(
    ("direct_identifier_columns", "direct_identifier_share", "k_minimum", "prosecutor_risk_maximum", "l_distinct_minimum", "t_maximum")
)


class ByRelease(BaseModel):
    """A threshold for data that stays in the organisation and one for data that is published."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    internal: float = Field(ge=0)
    public: float = Field(ge=0)

    def of(self, release_class: str) -> float:
        """The threshold of that release class; an unknown class gets the public one."""
        return self.internal if release_class == "internal" else self.public


class AnonymityThreshold(Threshold):
    """Smallest class, smallest diversity, largest distance and risk that are allowed."""

    direct_identifiers_max: int = Field(default=0, ge=0)
    k_min: ByRelease
    prosecutor_risk_max: ByRelease
    l_min: float = Field(ge=1)
    t_max: float = Field(gt=0, le=1)


class DataValidThreshold(Threshold):
    """What the tables may get wrong."""

    critical_failures_max: int = Field(default=0, ge=0)
    label_leakage_auc_max: float = Field(default=0.99, gt=0.5, le=1)


def judge_anonymity(question: Question) -> Judgement:
    """Every figure is a property of the table itself, so each passes or fails exactly."""
    threshold: AnonymityThreshold = question.threshold
    evidence = question.evidence["anonymization_check"]
    bands = {
        "direct_identifier_columns": Band(high=threshold.direct_identifiers_max),
        "k_minimum": Band(low=threshold.k_min.of(question.release_class)),
        "prosecutor_risk_maximum": Band(high=threshold.prosecutor_risk_max.of(question.release_class)),
        "l_distinct_minimum": Band(low=threshold.l_min),
        "t_maximum": Band(high=threshold.t_max),
    }
    figures = exact_figures(evidence, bands)
    unscanned = [item for item in evidence.find("direct_identifier_share", group="content") if item.state is State.UNAVAILABLE]
    figures += tuple(judge_exact("direct identifiers among the values", item, bands["direct_identifier_columns"]) for item in unscanned)
    return conclude(figures, passed="No direct identifiers, and every equivalence class is large and diverse enough")


def judge_data_valid(question: Question) -> Judgement:
    """Critical expectations decide; warnings are listed in the evidence."""
    threshold: DataValidThreshold = question.threshold
    evidence = question.evidence["data_validation"]
    figures = exact_figures(evidence, {"expectations_failed_critical": Band(high=threshold.critical_failures_max)})
    figures += tuple(_leakage(evidence, Band(high=threshold.label_leakage_auc_max)))
    return conclude(figures, passed="No critical expectation failed, and no column gives the label away")


def _leakage(evidence: Evidence, band: Band) -> Iterator[Figure]:
    """The columns that give the label away, and one undecided figure for those of which it is not known; nothing where all are known and do not.

    Other tasks than binary classification have no such figure to ask for.
    """
    found = evidence.find("label_leakage_auc")
    for item in found:
        if item.state is State.MEASURED and item.value is not None and not band.contains(item.value):
            yield judge_exact(label_of(item), item, band)
    unknown = [item for item in found if item.state is not State.MEASURED]
    if evidence.detail("task", "binary_classification") != "binary_classification":
        note = f"leakage is measured for two classes only; the task is {evidence.detail('task')}"
        yield Figure(
            label="label leakage", metric="label_leakage_auc", value=None, threshold=str(band), status=FindingStatus.NOT_APPLICABLE, note=note
        )
    elif unknown or not found:
        columns = ", ".join(str(item.attribute) for item in unknown[:SHOWN_COLUMNS] if item.attribute)
        note = (f"not known for {len(unknown)} columns ({columns}): " if columns else "") + (
            str(unknown[0].note) if unknown else "not in the evidence"
        )
        yield Figure(label="label leakage", metric="label_leakage_auc", value=None, threshold=str(band), status=FindingStatus.INCONCLUSIVE, note=note)


CHECKS = (
    Check(
        "anonymity",
        ("anonymization_check",),
        AnonymityThreshold,
        judge_anonymity,
        reads={"anonymization_check": Reads(ANONYMITY_METRICS)},
        if_red="Remove direct identifiers, and recode the training data as the evidence proposes (coarser bands, suppressed rows)",
    ),
    Check(
        "data_valid",
        ("data_validation",),
        DataValidThreshold,
        judge_data_valid,
        reads={"data_validation": Reads(frozenset(("expectations_failed_critical", "label_leakage_auc")), frozenset(("task",)))},
        if_red="Correct the tables, or the datasheet where it describes them wrongly; edited expectations stay visible in the evidence",
    ),
)
