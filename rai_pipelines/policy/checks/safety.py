"""Judges accuracy against doing nothing clever, and robustness against small deliberate changes."""

from __future__ import annotations

from pydantic import Field

from rai_pipelines.policy.checks.base import Check, Question, Threshold, absent_figure
from rai_pipelines.policy.findings import Figure, Judgement, conclude
from rai_pipelines.policy.three_state import Band, Judged, judge_exact, judge_family


class AdversarialThreshold(Threshold):
    """Smallest share of the clean accuracy that must survive the attacks, and most crashes on malformed input."""

    robust_to_clean_ratio_min: float = Field(gt=0, le=1)
    crashes_max: int = Field(default=0, ge=0)


class AccuracyThreshold(Threshold):
    """How much better than always guessing the majority class the model must be (difference of accuracies)."""

    accuracy_over_majority_min: float = Field(ge=0, lt=1)


def judge_adversarial(question: Question) -> Judgement:
    """An attack that cannot break its positive control shows nothing: the assessment then marks the ratio as insufficient."""
    threshold: AdversarialThreshold = question.threshold
    evidence = question.evidence["adversarial_robustness"]
    ratio = [
        Judged("robust to clean accuracy ratio", item, Band(low=threshold.robust_to_clean_ratio_min))
        for item in evidence.find("robust_to_clean_ratio")
    ]
    figures = _or_missing(judge_family(ratio, alpha=question.statistics.alpha), "robust_to_clean_ratio")
    crashes = tuple(judge_exact("crashes on malformed input", item, Band(high=threshold.crashes_max)) for item in evidence.find("crash_count"))
    return conclude(figures + _or_missing(crashes, "crash_count"), passed="The model keeps its decisions under the declared perturbation budget")


def judge_accuracy(question: Question) -> Judgement:
    """The interval of the difference to the majority-class rate has to lie above the threshold."""
    threshold: AccuracyThreshold = question.threshold
    evidence = question.evidence["performance_report"]
    items = [
        Judged("accuracy above the majority-class rate", item, Band(low=threshold.accuracy_over_majority_min))
        for item in evidence.find("accuracy_over_majority")
    ]
    figures = _or_missing(judge_family(items, alpha=question.statistics.alpha), "accuracy_over_majority")
    return conclude(figures, passed="The model is better than always guessing the majority class")


def _or_missing(figures: tuple[Figure, ...], metric: str) -> tuple[Figure, ...]:
    return figures or (absent_figure(metric, "present"),)


CHECKS = (
    Check("adversarial_suite", ("adversarial_robustness",), AdversarialThreshold, judge_adversarial),
    Check("accuracy_over_baseline", ("performance_report",), AccuracyThreshold, judge_accuracy),
)
