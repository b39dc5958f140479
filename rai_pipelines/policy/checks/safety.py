"""Judges accuracy against doing nothing clever, and robustness against small deliberate changes."""

from __future__ import annotations

from pydantic import Field

from rai_pipelines.policy.checks.base import Check, Question, Reads, Threshold, absent_figure, exact_figures
from rai_pipelines.policy.findings import Figure, FindingStatus, Judgement, conclude
from rai_pipelines.policy.three_state import Band, Judged, judge_exact, judge_family


class AdversarialThreshold(Threshold):
    """Smallest share of the clean accuracy that must survive the attacks, and most crashes on malformed input."""

    robust_to_clean_ratio_min: float = Field(gt=0, le=1)
    crashes_max: int = Field(default=0, ge=0)


class FormalPropertiesThreshold(Threshold):
    """Smallest share of the declared safety properties that must be proved."""

    proved_min: float = Field(gt=0, le=1)


class TrainingSourcesThreshold(Threshold):
    """Most sources of training rows without which the model does better than without as many random rows; and most that were not compared."""

    harmful_sources_max: int = Field(default=0, ge=0)
    not_compared_max: int = Field(default=0, ge=0)


class AccuracyThreshold(Threshold):
    """How much better than doing nothing clever the model must be: always guessing the majority class, the mean, or a score at random."""

    accuracy_over_majority_min: float = Field(ge=0, lt=1)


class ModelScanThreshold(Threshold):
    """Most files that run code when loaded; more files of unknown effect than allowed leave the control undecided."""

    dangerous_files_max: int = Field(default=0, ge=0)
    undecided_files_max: int = Field(default=0, ge=0)


def judge_model_scan(question: Question) -> Judgement:
    """Suspicious and unreadable files show nothing either way."""
    threshold: ModelScanThreshold = question.threshold
    evidence = question.evidence["model_scan"]
    decided = exact_figures(evidence, {"dangerous_files": Band(high=threshold.dangerous_files_max)})
    band = Band(high=threshold.undecided_files_max)
    unclear = exact_figures(evidence, {"suspicious_files": band, "not_scannable_files": band})
    return conclude(decided + tuple(_undecided(figure) for figure in unclear), passed="No file of the model holds code that runs when it is loaded")


def judge_formal_properties(question: Question) -> Judgement:
    """Fails only where enough properties are refuted: one that the proof did not settle is undecided, and none declared is missing."""
    threshold: FormalPropertiesThreshold = question.threshold
    evidence = question.evidence["proof_certificates"]
    answers = evidence.find("property_proved")
    figures = exact_figures(evidence, {"proved_share": Band(low=threshold.proved_min)})
    possible = sum(item.value != 0.0 for item in answers)  # proved, or not settled
    if answers and possible / len(answers) >= threshold.proved_min:
        figures = tuple(_undecided(figure) for figure in figures)
    return conclude(figures, passed="Every input of the declared domain keeps to the declared safety properties")


def judge_training_sources(question: Question) -> Judgement:
    """The count is already one at a false discovery rate. Where its controls fail it shows nothing, and too small sources leave it undecided."""
    threshold: TrainingSourcesThreshold = question.threshold
    evidence = question.evidence["poisoning_check"]
    decided = exact_figures(evidence, {"harmful_sources": Band(high=threshold.harmful_sources_max)})
    unclear = exact_figures(evidence, {"sources_not_compared": Band(high=threshold.not_compared_max)})
    return conclude(
        decided + tuple(_undecided(figure) for figure in unclear),
        passed="The model is not better without any one of its declared sources of training rows",
    )


def _undecided(figure: Figure) -> Figure:
    return figure.model_copy(update={"status": FindingStatus.INCONCLUSIVE}) if figure.status is FindingStatus.FAIL else figure


def judge_adversarial(question: Question) -> Judgement:
    """An attack that cannot break its positive control shows nothing: the assessment then marks the ratio as insufficient."""
    threshold: AdversarialThreshold = question.threshold
    evidence = question.evidence["adversarial_robustness"]
    ratio = [
        Judged("robust to clean accuracy ratio", item, Band(low=threshold.robust_to_clean_ratio_min))
        for item in evidence.find("robust_to_clean_ratio")
    ]
    figures = _or_missing(judge_family(ratio, alpha=question.alpha), "robust_to_clean_ratio")
    crashes = tuple(judge_exact("crashes on malformed input", item, Band(high=threshold.crashes_max)) for item in evidence.find("crash_count"))
    return conclude(figures + _or_missing(crashes, "crash_count"), passed="The model keeps its decisions under the declared perturbation budget")


LEADS = {
    "accuracy_over_majority": "accuracy above the majority-class rate",
    "r_squared": "share of the variation explained, above always predicting the mean",
    "auc_over_chance": "area under the ROC curve above that of chance",
}
LEAD_OF_TASK = {"regression": "r_squared", "scoring": "auc_over_chance"}


def judge_accuracy(question: Question) -> Judgement:
    """The interval of the lead over the task's baseline has to lie above the threshold, and above zero: being as good is not being better.

    A model that always gives the majority class has a lead of exactly zero, without any uncertainty.
    """
    threshold: AccuracyThreshold = question.threshold
    evidence = question.evidence["performance_report"]
    lead = LEAD_OF_TASK.get(str(evidence.detail("task")), "accuracy_over_majority")
    items = [Judged(LEADS[lead], item, Band(low=threshold.accuracy_over_majority_min)) for item in evidence.find(lead)]
    figures = tuple(_better(figure) for figure in judge_family(items, alpha=question.alpha))
    return conclude(_or_missing(figures, lead), passed="The model is better than doing nothing clever")


def _better(figure: Figure) -> Figure:
    interval = figure.interval
    if figure.status is not FindingStatus.PASS or interval is None or interval.low > 0:
        return figure
    beaten = interval.high <= 0
    return figure.model_copy(
        update={
            "status": FindingStatus.FAIL if beaten else FindingStatus.INCONCLUSIVE,
            "threshold": "above 0",
            "note": "no better than its trivial baseline" if beaten else "it may be no better than its trivial baseline",
        }
    )


def _or_missing(figures: tuple[Figure, ...], metric: str) -> tuple[Figure, ...]:
    return figures or (absent_figure(metric, "present"),)


CHECKS = (
    Check(
        "formal_properties",
        ("proof_certificates",),
        FormalPropertiesThreshold,
        judge_formal_properties,
        if_red="Look at the counterexample in the evidence; constrain the model (monotone features, fewer trees) or correct the property",
    ),
    Check(
        "training_sources",
        ("poisoning_check",),
        TrainingSourcesThreshold,
        judge_training_sources,
        if_red="Look at the named source: correct or leave out its rows, or find out who could write them, and train again",
    ),
    Check(
        "model_scan",
        ("model_scan",),
        ModelScanThreshold,
        judge_model_scan,
        if_red="Do not load the files; find out who wrote them, and register the model again in a format that holds no code (ONNX, skops)",
    ),
    Check(
        "adversarial_suite",
        ("adversarial_robustness",),
        AdversarialThreshold,
        judge_adversarial,
        reads={"adversarial_robustness": Reads(frozenset(("robust_to_clean_ratio", "crash_count")))},
        if_red="Look at the fragile features in the evidence; smooth or bound them, train on attacked rows, or reject malformed input "
        "before the model",
    ),
    Check(
        "accuracy_over_baseline",
        ("performance_report",),
        AccuracyThreshold,
        judge_accuracy,
        reads={"performance_report": Reads(frozenset(LEADS), frozenset(("task",)))},
        if_red="Improve the model, or do not use it: it does not know more than its trivial baseline",
    ),
)
