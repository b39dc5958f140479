"""Judges human oversight: high-stakes decisions reviewed before effect, by trained people, and not waved through; and that the policy is reviewed."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from pydantic import Field

from rai_pipelines.evidence.model import Evidence, Measurement, State
from rai_pipelines.policy.checks.base import Check, Question, Threshold, absent_figure, exact_figures
from rai_pipelines.policy.findings import Figure, FindingStatus, Judgement, conclude
from rai_pipelines.policy.three_state import Band, Judged, judge_exact, judge_family

BOUND_LEVEL = 0.95


class HumanReviewThreshold(Threshold):
    """Shares of high-stakes decisions that must be reviewed, and what looks like waving through; absent: not judged.

    `reviews_without_override_max`: so many reviews without a single other decision ask for a person's look.
    """

    family: ClassVar[frozenset[str]] = frozenset(("median_review_seconds_min", "short_review_share_max"))
    reviewed_before_effect_min: float = Field(gt=0, le=1)
    reviewed_by_trained_min: float | None = Field(default=None, gt=0, le=1)
    median_review_seconds_min: float | None = Field(default=None, gt=0)
    short_review_share_max: float | None = Field(default=None, ge=0, lt=1)
    reviews_without_override_max: int | None = Field(default=None, ge=1)


class HumanReviewParameters(Threshold):
    """What the assessment takes from the policy: reviews below so many seconds are short."""

    short_review_seconds_min: int = Field(default=10, ge=1, le=3600)


def judge_human_review(question: Question) -> Judgement:
    """Whether a decision was reviewed is a fact of the log and judged exactly; times of reviews are a sample of how people work."""
    threshold: HumanReviewThreshold = question.threshold
    evidence = question.evidence["human_oversight"]
    facts = {"reviewed_before_effect": threshold.reviewed_before_effect_min, "reviewed_by_trained": threshold.reviewed_by_trained_min}
    figures = exact_figures(evidence, {metric: Band(low=least) for metric, least in facts.items() if least is not None})
    bands: dict[str, Band] = {}
    if threshold.median_review_seconds_min is not None:
        bands["review_seconds_median"] = Band(low=threshold.median_review_seconds_min)
    if threshold.short_review_share_max is not None:
        bands["short_review_share"] = Band(high=threshold.short_review_share_max)
    items = [Judged(metric.replace("_", " "), item, band) for metric, band in bands.items() for item in evidence.find(metric)]
    figures += judge_family(items, alpha=question.alpha)
    figures += tuple(absent_figure(metric, str(band)) for metric, band in bands.items() if not evidence.find(metric))
    if threshold.reviews_without_override_max is not None:
        figures += (_overrides(evidence, threshold.reviews_without_override_max),)
    return conclude(figures, passed="Every high-stakes decision was reviewed before it took effect, by trained people who took their time")


def _overrides(evidence: Evidence, most: int) -> Figure:
    """Never deciding otherwise proves nothing by itself: it is undecided, with the exact upper limit of the rate (Clopper and Pearson 1934)."""
    wanted = f"an override in {most:,} reviews"
    found = evidence.find("override_rate")
    if not found:
        return absent_figure("override_rate", wanted)
    rate = found[0]
    if rate.value is None or rate.n is None:
        status = FindingStatus.INCONCLUSIVE if rate.state is State.INSUFFICIENT else FindingStatus.MISSING
        return Figure(label="override rate", metric=rate.metric, value=None, threshold=wanted, status=status, note=rate.note)
    never = rate.value == 0 and rate.n >= most
    upper = 1 - (1 - BOUND_LEVEL) ** (1 / rate.n)
    note = f"no override in {rate.n:,} reviews: at {BOUND_LEVEL:.0%} confidence the rate is at most {upper:.2%}" if never else None
    return Figure(
        label="override rate",
        metric=rate.metric,
        value=rate.value,
        interval=rate.interval,
        n=rate.n,
        denominator=rate.n,
        threshold=wanted,
        status=FindingStatus.INCONCLUSIVE if never else FindingStatus.PASS,
        note=note,
    )


class PolicyReviewThreshold(Threshold):
    """Days by which the review of the policy may be late."""

    days_late_max: int = Field(default=0, ge=0)


def judge_policy_review(question: Question) -> Judgement:
    """The day of the verdict against the day by which the policy has to be reviewed; a review that was never recorded moves nothing."""
    threshold: PolicyReviewThreshold = question.threshold
    band = Band(high=threshold.days_late_max)
    evidence = question.evidence["policy_review"]
    absent = conclude((absent_figure("policy_review_days_late", str(band)),), passed="")
    try:
        due = date.fromisoformat(str(evidence.detail("due_on")))
    except ValueError:
        return absent
    if question.day is None or not evidence.find("policy_reviews_recorded"):
        return absent
    late = max(0, (question.day - due).days)
    figure = judge_exact(
        f"days since the policy was due for review on {due.isoformat()}", Measurement(metric="policy_review_days_late", value=late), band
    )
    return conclude((figure,), passed=f"The policy is reviewed in time: next by {due.isoformat()}")


CHECKS = (
    Check(
        "human_review_of_decisions",
        ("human_oversight",),
        HumanReviewThreshold,
        judge_human_review,
        HumanReviewParameters,
        if_red="Stop high-stakes decisions from taking effect before a review; train the reviewers that the log names, renew what expired, and "
        "give them time and the right to decide otherwise",
    ),
    Check(
        "policy_reviewed",
        ("policy_review",),
        PolicyReviewThreshold,
        judge_policy_review,
        basis="declared",
        if_red="Nothing about the model: the policy's owner reads the review document (rai policy review) and records the review",
    ),
)
