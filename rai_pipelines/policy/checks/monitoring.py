"""Judges what was measured in production: drift of what the model reads and decides, and loss of performance."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from rai_pipelines.evidence.model import Evidence, Measurement, State
from rai_pipelines.policy.checks.base import Check, Question, Reads, Threshold, absent_figure, label_of
from rai_pipelines.policy.findings import Figure, FindingStatus, Judgement, conclude
from rai_pipelines.policy.three_state import Band, Judged, judge_family


class DriftThreshold(Threshold):
    """Largest population stability index of any column, and largest loss of accuracy against the evaluation table."""

    psi_max: float = Field(gt=0)
    performance_drop_max: float = Field(ge=0, lt=1)


def judge_drift(question: Question) -> Judgement:
    """All columns form one family; a loss that no label can show yet is inconclusive, not absent.

    Intervals of the index hold together over all columns already, so the test against its bound is careful twice: it fails only what surely drifted.
    """
    threshold: DriftThreshold = question.threshold
    evidence = question.evidence["drift_report"]
    bands = {"psi": Band(high=threshold.psi_max), "performance_drop": Band(high=threshold.performance_drop_max)}
    unread = _not_read_by_the_model(evidence)
    figures: list[Figure] = []
    for metric, band in bands.items():
        found = [Judged(label_of(item), _awaited(item), band) for item in evidence.find(metric) if item.attribute not in unread]
        figures += judge_family(found, alpha=question.alpha) or (absent_figure(metric, str(band)),)
    figures += [_disclosed(name, str(bands["psi"])) for name in sorted(unread)]
    return conclude(tuple(figures), passed="Neither what the model reads nor how often it is right has moved beyond its bounds")


def _not_read_by_the_model(evidence: Evidence) -> frozenset[str]:
    """Columns that could not be compared and that the model neither reads nor answers: labels to come, attributes that production does not log."""
    absent: Any = evidence.detail("not_compared", {})
    return frozenset(name for name, facts in absent.items() if set(facts["roles"]) <= {"label", "protected attribute"})


def _disclosed(column: str, threshold: str) -> Figure:
    note = "not in both tables; the model does not read it, and its loss of accuracy is judged apart"
    return Figure(label=f"psi of {column}", metric="psi", value=None, threshold=threshold, status=FindingStatus.PASS, note=note)


def _awaited(item: Measurement) -> Measurement:
    """Labels that have not arrived are awaited: such a loss is undecided, which is not the same as never measured."""
    waiting = item.metric == "performance_drop" and item.value is None and item.denominator == 0 and item.state is State.UNAVAILABLE
    return item.model_copy(update={"state": State.INSUFFICIENT}) if waiting else item


CHECKS = (
    Check(
        "drift_and_performance",
        ("drift_report",),
        DriftThreshold,
        judge_drift,
        reads={"drift_report": Reads(frozenset(("psi", "performance_drop")), frozenset(("not_compared",)))},
        if_red="Find out what changed in the named columns; correct the feed, or retrain on recent data and register a new version; without labels, "
        "obtain them: a loss of accuracy stays undecided until they arrive",
    ),
)
