"""Human oversight: were high-stakes decisions reviewed before they took effect, by trained people who took their time?

EU AI Act Art. 14 and 26(2), GDPR Art. 22. Logs are joined in the engine that holds them; evidence has counts and no reviewer's id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, JsonValue

from rai_pipelines.assessments.base import AuditContext, Measured, Parameters
from rai_pipelines.assessments.oversight.training_records import ReadRecords, read_training
from rai_pipelines.assessments.statistics.proportions import proportion
from rai_pipelines.evidence.model import Interval, Measurement, State, Status
from rai_pipelines.subjects.datasheet import Datasheet, RiskClass
from rai_pipelines.subjects.oversight import Oversight
from rai_pipelines.tables.review_log import DecisionLog, ReviewCounts, ReviewLog, count_reviews

NO_RULE = "the datasheet declares no rule for high-stakes decisions (oversight.high_stakes)"
NO_LOG = "the datasheet names no log of decisions and reviews (data.decisions, data.reviews)"


class HumanOversightParameters(Parameters):
    """What counts as a short review, and which hosts may be asked for training records."""

    short_review_seconds: int = Field(default=10, ge=1, le=3600, description="Reviews shorter than this are short")
    interval_level: float = Field(default=0.90, gt=0, lt=1)
    training_record_hosts: tuple[str, ...] = ()


def assess_human_oversight(context: AuditContext, parameters: HumanOversightParameters) -> Measured:
    """Counts and shares of reviewed high-stakes decisions, and how long reviews took.

    Not applicable without a rule for high-stakes decisions, and before a version is in use; a high-risk version in use without rule or log
    is missing.

    Raises:
        DataError: a log or the training records cannot be read; names table, column and what to do.
    """
    sheet, live = context.subject.datasheet, context.subject.live
    declared = sheet.oversight
    if declared is None:
        risky = live and sheet.risk.risk_class is RiskClass.HIGH
        reason = f"{NO_RULE}, and this high-risk version is in use" if risky else NO_RULE
        return Measured(status=Status.MISSING if risky else Status.NOT_APPLICABLE, reason=reason)
    if sheet.data.decisions is None or sheet.data.reviews is None:
        return Measured(
            status=Status.MISSING if live else Status.NOT_APPLICABLE, reason=f"{NO_LOG}, and this version is {'' if live else 'not '}in use"
        )
    records = None
    if declared.training is not None:
        records = read_training(declared.training, data_folder=context.subject.data_folder, hosts=parameters.training_record_hosts)
    counts = count_reviews(_decisions(context, declared), _reviews(context, declared), records.periods if records is not None else None)
    return Measured(measurements=tuple(_figures(counts, parameters, trained=records is not None)), details=_details(counts, sheet, records))


def _figures(counts: ReviewCounts, parameters: HumanOversightParameters, *, trained: bool) -> list[Measurement]:
    reviewed, level = counts.reviewed, parameters.interval_level
    short = sum(n for seconds, n in counts.seconds.items() if seconds < parameters.short_review_seconds)
    nothing = "no high-stakes decision took effect" if not counts.effective else "no high-stakes decision was reviewed before its effect"
    absent = Measurement(metric="reviewed_by_trained", value=None, state=State.UNAVAILABLE, note="the datasheet names no training records")
    reviews = sum(counts.seconds.values())
    return [
        Measurement(metric="high_stakes_decisions", value=float(counts.effective), n=counts.decisions),
        _share("reviewed_before_effect", reviewed, counts.effective, level, nothing),
        _share("reviewed_by_trained", counts.by_trained, counts.effective, level, nothing) if trained else absent,
        _median(counts.seconds, level, nothing),
        _share("short_review_share", short, reviews, level, nothing),
        _share("override_rate", counts.overridden, reviews, level, nothing),
    ]


def _share(metric: str, hits: int, n: int, level: float, nothing: str) -> Measurement:
    if n == 0:
        return Measurement(metric=metric, value=None, n=0, denominator=0, state=State.INSUFFICIENT, note=nothing)
    figure = proportion(hits, n, level)
    return Measurement(metric=metric, value=figure.value, interval=figure.interval, standard_error=figure.standard_error, n=n, denominator=n)


def _median(seconds: Mapping[int, int], level: float, nothing: str) -> Measurement:
    """The median of whole seconds, with the distribution-free interval of order statistics (David and Nagaraja 2003, section 7.1)."""
    import numpy as np
    from scipy.stats import binom

    n = sum(seconds.values())
    metric = "review_seconds_median"
    if n == 0:
        return Measurement(metric=metric, value=None, n=0, denominator=0, state=State.INSUFFICIENT, note=nothing)
    values = sorted(seconds)
    ranks = np.cumsum([seconds[value] for value in values])

    def at(rank: int) -> float:
        """The value of that rank, counted from 1."""
        return float(values[int(np.searchsorted(ranks, rank))])

    middle = (at((n + 1) // 2) + at(n // 2 + 1)) / 2
    below = int(binom.ppf((1 - level) / 2, n, 0.5))  # P(fewer than `below` values under the median) is at most half of what is left
    if below < 1:
        return Measurement(metric=metric, value=middle, n=n, denominator=n, state=State.INSUFFICIENT, note=f"{n} reviews are too few for an interval")
    interval = Interval(low=min(at(below), middle), high=max(at(n + 1 - below), middle), level=level, method="order statistics of the median")
    return Measurement(metric=metric, value=middle, interval=interval, n=n, denominator=n)


def _details(counts: ReviewCounts, sheet: Datasheet, records: ReadRecords | None) -> dict[str, JsonValue]:
    return {
        "decisions": counts.decisions,
        "repeated_decision_ids": counts.repeated_ids,
        "high_stakes": counts.high_stakes,
        "high_stakes_pending": counts.pending,
        "high_stakes_unreadable_times": counts.unreadable,
        "reviewers": counts.reviewers,
        "reviewers_not_always_trained": counts.untrained_reviewers if records is not None else None,
        "reviews_unreadable": counts.reviews_unreadable,
        "reviews_of_unknown_decisions": counts.reviews_unmatched,
        "reviews_by_seconds": {str(seconds): n for seconds, n in sorted(counts.seconds.items())},
        "training_records": None if records is None else {"digest": records.digest, "unusable_rows": records.unusable},
        "risk_class": sheet.risk.risk_class.value,
    }


def _decisions(context: AuditContext, declared: Oversight) -> DecisionLog:
    columns, rule = declared.decisions, declared.high_stakes
    return DecisionLog(
        source=context.table("decisions"),
        decision=columns.decision_id,
        decided_at=columns.decided_at,
        effect_at=columns.took_effect_at,
        stakes=rule.column,
        values=rule.values,
        at_least=rule.at_least,
        at_most=rule.at_most,
    )


def _reviews(context: AuditContext, declared: Oversight) -> ReviewLog:
    columns: Any = declared.reviews
    return ReviewLog(
        source=context.table("reviews"),
        decision=columns.decision_id,
        reviewer=columns.reviewer_id,
        started_at=columns.started_at,
        finished_at=columns.finished_at,
        outcome=columns.outcome,
        overridden=columns.overridden,
    )
