"""What a membership attack proves about differential privacy: no (epsilon, delta) below the bound can hold.

Source: Kairouz, Oh and Viswanath (2015), "The Composition Theorem for Differential Privacy": TPR <= e^epsilon FPR + delta, and the same for
non-members (1 - FPR <= e^epsilon (1 - TPR) + delta).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rai_pipelines.assessments.privacy_attacks.membership import Attack
from rai_pipelines.assessments.statistics.uncertainty import Uncertain
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.subjects.privacy_budget import DifferentialPrivacy

TRIED = 200  # thresholds for each attack


@dataclass(frozen=True)
class EpsilonBound:
    """The bound (0 when nothing is proved), and the counts behind it: members and non-members on the named side of the threshold."""

    value: float
    attack: str
    side: str
    hits: tuple[int, int]
    alarms: tuple[int, int]


def bound_figures(
    attacks: Mapping[str, Attack],
    member: np.ndarray,
    learning: np.ndarray,
    declared: DifferentialPrivacy | None,
    *,
    delta: float,
    level: float,
    baseline: Uncertain,
) -> list[Measurement]:
    """`empirical_epsilon_lower_bound`, and with a declaration `dp_declaration_contradicted` (1 where the bound lies above the declared epsilon).

    Rows of one training run are taken as independent trials. Where members are told from non-members without the model (`baseline`), the
    tables differ, and the bound proves nothing.
    """
    at = declared.delta if declared is not None else delta
    bound = empirical_bound(attacks, member, learning, delta=at, level=level)
    if bound is None:
        note = "no attack scores all rows"
        return [Measurement(metric="empirical_epsilon_lower_bound", value=None, state=State.INSUFFICIENT, note=note)]
    (hits, of), (alarms, others) = bound.hits, bound.alarms
    shifted = baseline.interval.low > 0.5
    problem = (
        f"the tables differ without the model (area {baseline.value:.3f}), which could explain the bound" if shifted and bound.value > 0 else None
    )
    note = (
        f"confidence {level:g} at delta {at:g}, by {bound.attack}: {hits} of {of} {bound.side} and {alarms} of {others} others; "
        "rows of one training run taken as independent trials"
    )
    state = State.INSUFFICIENT if problem else State.MEASURED
    found = [
        Measurement(
            metric="empirical_epsilon_lower_bound",
            value=bound.value,
            n=of + others,
            denominator=min(of, others),
            state=state,
            note="; ".join(part for part in (problem, note) if part),
        )
    ]
    if declared is not None:
        against = f"lower bound {bound.value:.4g} against the declared epsilon {declared.epsilon:g}"
        found.append(
            Measurement(
                metric="dp_declaration_contradicted",
                value=float(bound.value > declared.epsilon),
                n=of + others,
                state=state,
                note="; ".join(part for part in (problem, against) if part),
            )
        )
    return found


def empirical_bound(attacks: Mapping[str, Attack], member: np.ndarray, learning: np.ndarray, *, delta: float, level: float) -> EpsilonBound | None:
    """Lower bound on epsilon with confidence `level`; None where no attack scores all rows.

    A learned attack fits the learning half too well to be chosen by it, and is left out. Attack, threshold and side are chosen on the learning
    half and judged once on the other, so that the choice costs nothing. Each of the two rates is bounded by Clopper and Pearson at half of
    the error.
    """
    best: tuple[float, str, float, bool] | None = None
    for name, attack in attacks.items():
        if not attack.judged.all():
            continue
        score = attack.score[learning]
        for threshold in np.unique(np.quantile(score, np.linspace(0, 1, TRIED), method="inverted_cdf")).tolist():
            for upper in (True, False):
                value = _bound(*_counts(score, member[learning], threshold, upper), delta=delta, level=level)
                if best is None or value > best[0]:
                    best = (value, name, threshold, upper)
    if best is None:
        return None
    _, name, threshold, upper = best
    hits, alarms = _counts(attacks[name].score[~learning], member[~learning], threshold, upper)
    return EpsilonBound(_bound(hits, alarms, delta=delta, level=level), name, "members" if upper else "non-members", hits, alarms)


def _counts(score: np.ndarray, member: np.ndarray, threshold: float, upper: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """Right and false claims with their trials: of members from the threshold up, or of non-members below it."""
    claimed, true = (score >= threshold, member) if upper else (score < threshold, ~member)
    return (int((claimed & true).sum()), int(true.sum())), (int((claimed & ~true).sum()), int((~true).sum()))


def _bound(hits: tuple[int, int], alarms: tuple[int, int], *, delta: float, level: float) -> float:
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    (right, of), (wrong, others) = hits, alarms
    if not right or not others:
        return 0.0
    low = float(betaincinv(right, of - right + 1, tail))
    high = float(betaincinv(wrong + 1, others - wrong, 1 - tail)) if wrong < others else 1.0
    return max(0.0, math.log((low - delta) / high)) if low > delta else 0.0
