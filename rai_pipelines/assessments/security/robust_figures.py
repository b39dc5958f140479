"""What was found, as measurements: accuracy under attack at several budgets, success by attack, fragile features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rai_pipelines.assessments.security.attack_suite import Effect
from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.security.oracle import Attacked
from rai_pipelines.assessments.statistics.proportions import proportion
from rai_pipelines.evidence.model import Measurement, State

CURVE = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)  # of the declared budget


@dataclass(frozen=True)
class Standing:
    """How far the attacks may be believed: the state and note of what rests on them, and the interval level."""

    state: State
    note: str | None
    level: float


def accuracy_figures(correct: np.ndarray, nearest: Attacked, standing: Standing, *, epsilon: float, labelled: bool) -> list[Measurement]:
    """`clean_accuracy` and `robust_accuracy` of the sample, `robust_to_clean_ratio` of the attacked rows, and the last two by budget.

    `correct` has one entry per sampled row, `nearest` one row per correct one.
    """
    sample, attacked = len(correct), int(correct.sum())
    survived = attacked - int(nearest.within(epsilon).sum())
    measurements = [_ratio(survived, attacked, sample, standing)]
    measurements.append(_share("clean_accuracy", attacked, sample, Standing(State.MEASURED, None, standing.level), labelled))
    measurements.append(_share("robust_accuracy", survived, sample, standing, labelled))
    for budget in sorted(part * epsilon for part in CURVE):
        kept, group = attacked - int(nearest.within(budget).sum()), f"l2<={budget:g}"
        measurements.append(_share("robust_accuracy_at_budget", kept, sample, standing, labelled, group=group))
        measurements.append(_ratio(kept, attacked, sample, standing, metric="robust_to_clean_ratio_at_budget", group=group))
    return measurements


def success_figures(
    found: Mapping[str, Attacked], nearest: Attacked, problems: Mapping[str, str | None], *, epsilon: float, level: float
) -> list[Measurement]:
    """How often each attack succeeds at the budget; without a group: any attack. An attack that does not work has no standing of its own."""
    measurements = []
    for name, attacked in [*found.items(), (None, nearest)]:
        problem = problems.get(name) if name else None
        measurements.append(_of_attacked("attack_success_rate", attacked, epsilon, level, group=name, problem=problem))
    for name, attacked in found.items():
        note = f"rows asked about; the attack on {attacked.cut} of {len(attacked.rows)} rows ended at its allowance"
        measurements.append(Measurement(metric="attack_queries", value=float(attacked.asked), n=len(attacked.rows), group=name, note=note))
    return measurements


def control_figures(effect: Mapping[str, Effect], nearest: Attacked, *, epsilon: float, level: float) -> list[Measurement]:
    """`positive_control_success` by attack and of any; `unbounded_success`: of known counterexamples, found when distance does not count."""
    measurements = []
    for name, one in effect.items():
        measurements.append(_of_attacked("positive_control_success", one.control, epsilon, level, group=name))
        if one.reachable:
            figure = proportion(one.unbounded, one.reachable, level)
            measurements.append(
                Measurement(
                    metric="unbounded_success",
                    value=figure.value,
                    interval=figure.interval,
                    standard_error=figure.standard_error,
                    n=one.of,
                    denominator=one.reachable,
                    group=name,
                    note="of the rows for which some training value is known to change the decision",
                )
            )
    return [*measurements, _of_attacked("positive_control_success", nearest, epsilon, level)]


def median_distance(nearest: Attacked) -> Measurement:
    """Median over the attacked rows; a row without any counterexample is further than all others."""
    distance = np.sort(nearest.distance)
    found = int(np.isfinite(distance).sum())
    common: dict[str, Any] = {"metric": "median_adversarial_distance", "n": len(distance), "denominator": found}
    note = f"a counterexample was found, at any distance, for {found} of {len(distance)} rows; standard deviations of training"
    middle = distance[[(len(distance) - 1) // 2, len(distance) // 2]] if len(distance) else np.array([np.inf])
    if not np.isfinite(middle).all():
        return Measurement(**common, value=None, state=State.UNDEFINED, note=note)
    return Measurement(**common, value=float(middle.mean()), note=note)


def fragile_features(space: FeatureSpace, rows: np.ndarray, nearest: Attacked, *, epsilon: float, least: int, level: float) -> list[Measurement]:
    """`feature_fragility` by movable feature: the share of the broken rows whose nearest counterexample changes it, largest first."""
    broken = nearest.within(epsilon)
    total = int(broken.sum())
    changed = (np.nan_to_num(nearest.rows[broken] - rows[broken]) != 0).sum(axis=0)
    measurements = []
    for at in sorted(space.movable, key=lambda at: (-int(changed[at]), at)):
        name = space.features[at].name
        if not total:
            measurements.append(_nothing("feature_fragility", name, len(rows), "no row was broken"))
            continue
        figure = proportion(int(changed[at]), total, level)
        few = total < least
        measurements.append(
            Measurement(
                metric="feature_fragility",
                value=figure.value,
                interval=figure.interval,
                standard_error=figure.standard_error,
                n=len(rows),
                denominator=total,
                group=name,
                state=State.INSUFFICIENT if few else State.MEASURED,
                note=f"{total} rows were broken, fewer than {least}" if few else None,
            )
        )
    return measurements


def deciles(found: Mapping[str, Attacked]) -> dict[str, Any]:
    """Deciles of the distances at which each attack found a counterexample, and for how many rows it did."""
    shown: dict[str, Any] = {}
    for name, attacked in found.items():
        distance = attacked.distance[np.isfinite(attacked.distance)]
        quantiles = np.quantile(distance, np.arange(0, 11) / 10, method="inverted_cdf").tolist() if len(distance) else []
        shown[name] = {"found": len(distance), "deciles": [round(value, 6) for value in quantiles]}
    return shown


def _ratio(
    survived: int, attacked: int, sample: int, standing: Standing, *, metric: str = "robust_to_clean_ratio", group: str | None = None
) -> Measurement:
    ratio = proportion(survived, attacked, standing.level) if attacked else None
    return Measurement(
        metric=metric,
        value=ratio.value if ratio else None,
        interval=ratio.interval if ratio else None,
        standard_error=ratio.standard_error if ratio else None,
        n=sample,
        denominator=attacked,
        group=group,
        state=standing.state,
        note=standing.note,
    )


def _share(metric: str, count: int, sample: int, standing: Standing, labelled: bool, *, group: str | None = None) -> Measurement:
    if not labelled:
        return Measurement(metric=metric, value=None, n=sample, group=group, state=State.UNAVAILABLE, note="there are no labels")
    share = proportion(count, sample, standing.level)
    insufficient = standing.state is State.INSUFFICIENT
    return Measurement(
        metric=metric,
        value=share.value,
        interval=share.interval,
        standard_error=share.standard_error,
        n=sample,
        denominator=sample,
        group=group,
        state=State.INSUFFICIENT if insufficient else State.MEASURED,
        note=standing.note if insufficient else None,
    )


def _of_attacked(
    metric: str, attacked: Attacked, epsilon: float, level: float, *, group: str | None = None, problem: str | None = None
) -> Measurement:
    n = len(attacked.rows)
    if not n:
        return _nothing(metric, group, 0, "no row was attacked")
    share = proportion(int(attacked.within(epsilon).sum()), n, level)
    return Measurement(
        metric=metric,
        value=share.value,
        interval=share.interval,
        standard_error=share.standard_error,
        n=n,
        denominator=n,
        group=group,
        state=State.INSUFFICIENT if problem else State.MEASURED,
        note=f"attack not effective: {problem}" if problem else None,
    )


def _nothing(metric: str, group: str | None, rows: int, note: str) -> Measurement:
    return Measurement(metric=metric, value=None, n=rows, denominator=0, group=group, state=State.UNDEFINED, note=note)
