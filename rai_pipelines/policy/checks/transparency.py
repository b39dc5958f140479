"""Judges explanations: whether single decisions can be explained, and whether a global account exists and traces can be replayed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from rai_pipelines.evidence.model import Measurement
from rai_pipelines.policy.checks.base import Check, Question, Reads, Threshold, absent_figure
from rai_pipelines.policy.findings import Figure, Judgement, conclude
from rai_pipelines.policy.three_state import Band, Judged, judge_exact, judge_family

REPORT = "explainability_report"
LARGEST = "maximum"
LOCAL_METRICS = frozenset(("local_explanation_coverage", "deletion_fidelity", "top5_stability", "additivity_error"))
GLOBAL_METRICS = frozenset(("surrogate_fidelity", "trace_replay_match"))


class LocalThreshold(Threshold):
    """Least share of decisions with an explanation that adds up, and the largest error of any explanation, in units of the explained output.

    Two more say whether they mean something, and do not bind where they are absent: how much sooner than in a random order the output moves when
    inputs are replaced in theirs (0: not at all), and how far explanations against other backgrounds and seeds name the same largest inputs (0 to 1).
    """

    family: ClassVar[frozenset[str]] = frozenset(("coverage_min", "deletion_fidelity_min", "top5_stability_min"))
    coverage_min: float = Field(gt=0, le=1)
    additivity_error_max: float = Field(gt=0)
    deletion_fidelity_min: float | None = Field(default=None, ge=0)
    top5_stability_min: float | None = Field(default=None, gt=0, le=1)


class GlobalThreshold(Threshold):
    """Least share of decisions that a small tree gives too, and of traced decisions that come out the same again."""

    surrogate_fidelity_min: float = Field(gt=0, le=1)
    replay_match_min: float = Field(gt=0, le=1)


def judge_local_explanations(question: Question) -> Judgement:
    """The error is a property of the explanations that were made, so it is judged exactly; what rests on sampled rows is one family."""
    threshold: LocalThreshold = question.threshold
    sampled = {
        "local_explanation_coverage": threshold.coverage_min,
        "deletion_fidelity": threshold.deletion_fidelity_min,
        "top5_stability": threshold.top5_stability_min,
    }
    figures = _family(question, {metric: Band(low=least) for metric, least in sampled.items() if least is not None})
    band = Band(high=threshold.additivity_error_max)
    found = question.evidence[REPORT].find("additivity_error", group=LARGEST)
    errors = tuple(judge_exact(_named("largest additivity error", item), item, band) for item in found)
    errors = errors or (absent_figure("additivity_error", str(band)),)
    return conclude(figures + errors, passed="Sampled decisions can be explained, and the explanations add up to what the model says")


def judge_global_explanation(question: Question) -> Judgement:
    """Replaying is no matter of chance: a decision that does not come out the same again fails."""
    threshold: GlobalThreshold = question.threshold
    fidelity = _family(question, {"surrogate_fidelity": Band(low=threshold.surrogate_fidelity_min)})
    band = Band(low=threshold.replay_match_min)
    found = question.evidence[REPORT].find("trace_replay_match")
    replays = tuple(judge_exact("traced decisions that come out the same again", item, band) for item in found)
    replays = replays or (absent_figure("trace_replay_match", str(band)),)
    return conclude(fidelity + replays, passed="A small tree tells what the model does, and traced decisions come out the same again")


def _named(what: str, item: Measurement) -> str:
    """Of several classes, which one the figure is about."""
    return what if item.outcome is None else f"{what}, class {item.outcome}"


def _family(question: Question, bands: Mapping[str, Band]) -> tuple[Figure, ...]:
    """The figures of these metrics, judged together; one that is not in the evidence is missing."""
    found = {metric: question.evidence[REPORT].find(metric) for metric in bands}
    items = [Judged(_named(metric.replace("_", " "), item), item, bands[metric]) for metric in bands for item in found[metric]]
    absent = tuple(absent_figure(metric, str(bands[metric])) for metric in bands if not found[metric])
    return judge_family(items, alpha=question.alpha) + absent


# `global_report_and_traces` (GlobalThreshold, judge_global_explanation) joins when production leaves traces: the report replays its own only.
CHECKS = (
    Check(
        "local_explanations",
        (REPORT,),
        LocalThreshold,
        judge_local_explanations,
        reads={REPORT: Reads(LOCAL_METRICS | GLOBAL_METRICS)},
        if_red="Use a model that the explainers support, or fewer features; an explanation that does not add up must not be given to a person",
    ),
)
