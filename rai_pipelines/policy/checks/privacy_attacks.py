"""Judges what the model gives away about the people it was trained on, its declared privacy budget, and columns without a purpose."""

from __future__ import annotations

from pydantic import Field

from rai_pipelines.evidence.model import Evidence, State
from rai_pipelines.policy.checks.base import Check, Question, Reads, Threshold, absent_figure, exact_figures
from rai_pipelines.policy.findings import Figure, Judgement, conclude
from rai_pipelines.policy.three_state import Band, Judged, judge_exact, judge_family

ATTACK_METRICS = frozenset(
    (
        *("dp_epsilon_declared", "dp_delta_declared", "dp_epsilon_ratio", "dp_epsilon_recomputed", "dp_declaration_contradicted"),
        *("membership_auc", "membership_tpr_at_fpr_1pct"),
    )
)
MOST_UNDERSTATED = 1.01  # recomputed over declared epsilon; accountants differ by less


class PrivacyBudgetThreshold(Threshold):
    """Largest budget that the mechanism may use, columns without a purpose, and success of membership attacks; absent: not judged."""

    epsilon_max: float | None = Field(default=None, gt=0)
    delta_max: float = Field(default=1e-5, ge=0, lt=1)
    purposeless_columns_max: int = Field(default=0, ge=0)
    membership_auc_max: float | None = Field(default=None, ge=0.5, le=1)
    membership_tpr_at_fpr_1pct_max: float | None = Field(default=None, ge=0.01, le=1)


def judge_privacy_budget(question: Question) -> Judgement:
    """A budget that was not declared is missing; one that the mechanism or an attack contradicts fails."""
    threshold: PrivacyBudgetThreshold = question.threshold
    evidence = question.evidence["privacy_attacks"]
    figures = exact_figures(question.evidence["anonymization_check"], {"purposeless_columns": Band(high=threshold.purposeless_columns_max)})
    if threshold.epsilon_max is not None or evidence.find("dp_epsilon_declared"):
        bands = {"dp_delta_declared": Band(high=threshold.delta_max), "dp_epsilon_ratio": Band(high=MOST_UNDERSTATED)}
        if threshold.epsilon_max is not None:
            bands["dp_epsilon_recomputed"] = Band(high=threshold.epsilon_max)
        figures += exact_figures(evidence, bands)
        figures += tuple(
            judge_exact("attacks prove more than the declared epsilon", item, Band(high=0)) for item in evidence.find("dp_declaration_contradicted")
        )
    limits = {"membership_auc": threshold.membership_auc_max, "membership_tpr_at_fpr_1pct": threshold.membership_tpr_at_fpr_1pct_max}
    for metric, limit in limits.items():
        if limit is not None:
            figures += _attacks(evidence, metric, Band(high=limit), question.alpha)
    return conclude(figures, passed="The model gives little away about the people it was trained on, and every column has a purpose")


def _attacks(evidence: Evidence, metric: str, band: Band, alpha: float) -> tuple[Figure, ...]:
    """Every attack that was shown to work; those that were not count only where none was."""
    found = evidence.find(metric)
    shown = [item for item in found if item.state is State.MEASURED] or list(found)
    items = [Judged(f"{metric.replace('_', ' ')} of {item.group or 'any attack'}", item, band) for item in shown]
    return judge_family(items, alpha=alpha) or (absent_figure(metric, str(band)),)


CHECKS = (
    Check(
        "privacy_budget_and_minimisation",
        ("privacy_attacks", "anonymization_check"),
        PrivacyBudgetThreshold,
        judge_privacy_budget,
        reads={"privacy_attacks": Reads(ATTACK_METRICS), "anonymization_check": Reads(frozenset(("purposeless_columns",)))},
        if_red="Train with differential privacy or stronger regularisation, declare the mechanism as it was run, and drop columns without a purpose",
    ),
)
