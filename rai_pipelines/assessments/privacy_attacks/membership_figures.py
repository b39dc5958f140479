"""Figures of membership attacks: area under the curve, hits at few false alarms, accuracy, groups, and the gap between training and evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rai_pipelines.assessments.privacy_attacks.membership import Attack
from rai_pipelines.assessments.statistics.auc import hanley_mcneil_auc
from rai_pipelines.assessments.statistics.proportions import difference_of_proportions, proportion
from rai_pipelines.assessments.statistics.uncertainty import Uncertain
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.subjects.datasheet import ProtectedAttribute
from rai_pipelines.tables.group_names import group_of_each

if TYPE_CHECKING:
    import pandas as pd

FALSE_ALARMS = 0.01
LEAST_NON_MEMBERS = 100  # fewer cannot show a false positive rate of 1 %


@dataclass(frozen=True)
class Controls:
    """The area that each attack reaches on a model that learnt by heart, and the one that is reached without the model."""

    positive: Mapping[str, Uncertain]
    without_model: Uncertain
    least: float
    level: float
    rows: int  # of the positive control

    def problem(self, attack: str) -> str | None:
        """Why an attack shows nothing."""
        reached = self.positive.get(attack)
        if reached is None:
            return "attack not effective: it could not be tried on a model that learnt by heart"
        if reached.value < self.least:
            return f"attack not effective: area {reached.value:.3f} on a model that learnt by heart, below {self.least:g}"
        return None


def area(score: np.ndarray, member: np.ndarray, level: float) -> Uncertain:
    """Area under the ROC curve of members against non-members, both present."""
    from sklearn.metrics import roc_auc_score

    members = int(member.sum())
    return hanley_mcneil_auc(float(roc_auc_score(member, score)), members, len(member) - members, level)


def hits_at_few_false_alarms(score: np.ndarray, member: np.ndarray, rate: float = FALSE_ALARMS) -> tuple[int, int]:
    """Members, and non-members, above the smallest threshold that at most that share of non-members exceed (Carlini et al. 2022)."""
    others = np.sort(score[~member])[::-1]
    threshold = others[min(math.floor(rate * len(others)), len(others) - 1)]
    above = score > threshold
    return int((above & member).sum()), int((above & ~member).sum())


def attack_figures(attacks: Mapping[str, Attack], member: np.ndarray, controls: Controls) -> list[Measurement]:
    """By attack (group) `membership_auc`, `membership_tpr_at_fpr_1pct`, `membership_accuracy`, `membership_advantage`, `membership_control_auc`."""
    measurements = []
    for name, attack in attacks.items():
        problem = controls.problem(name)
        judged = attack.judged
        measurements += [
            _auc(name, attack, member, controls, problem),
            _hits(name, attack.score[judged], member[judged], level=controls.level, problem=problem, how=attack.how),
            *_guesses(name, attack, member, controls.level, problem),
        ]
        reached = controls.positive.get(name)
        if reached is not None:
            note = "positive control: the same attack on an unpruned tree that learnt random labels of half of the rows"
            measurements.append(_figure("membership_control_auc", reached, controls.rows, None, group=name, note=note))
    baseline = controls.without_model
    note = "negative control: members told from non-members by inputs and label alone, without the model; 0.5 where the tables do not differ"
    return [*measurements, _figure("membership_auc_without_model", baseline, len(member) // 2, len(member) // 4, note=note)]


def strongest(attacks: Mapping[str, Attack], member: np.ndarray, controls: Controls) -> str | None:
    """The effective attack with the largest area; None where none is effective."""
    areas = {
        name: area(one.score[one.judged], member[one.judged], controls.level).value for name, one in attacks.items() if not controls.problem(name)
    }
    return max(areas, key=lambda name: (areas[name], name)) if areas else None


def group_areas(
    frame: pd.DataFrame, attack: Attack, member: np.ndarray, attributes: Mapping[str, ProtectedAttribute], *, name: str, least: int, level: float
) -> list[Measurement]:
    """`group_membership_auc` of the attack called `name` in every protected group; small groups are disclosed as insufficient."""
    measurements = []
    note = f"attack: {name}, the strongest overall"
    for attribute, declared in attributes.items():
        if attribute not in frame.columns:
            absent = "the column is not in both tables"
            measurements.append(Measurement(metric="group_membership_auc", value=None, attribute=attribute, state=State.UNAVAILABLE, note=absent))
            continue
        groups = group_of_each(frame[attribute], declared.bins)
        for group in sorted(set(groups.tolist())):
            where = {"attribute": attribute, "group": group}
            measurements.append(_part("group_membership_auc", attack, member, groups == group, least=least, level=level, note=note, **where))
    return measurements


def class_areas(
    attack: Attack, member: np.ndarray, truth: np.ndarray, classes: Sequence[str], *, name: str, least: int, level: float
) -> list[Measurement]:
    """`class_membership_auc` of the attack called `name` among the rows of each true class (outcome): rare ones are often learnt by heart."""
    note = f"attack: {name}, the strongest overall"
    return [
        _part("class_membership_auc", attack, member, truth == place, least=least, level=level, note=note, outcome=outcome)
        for place, outcome in enumerate(classes)
    ]


def generalisation_gap(training: tuple[int, int], evaluation: tuple[int, int], level: float) -> Measurement:
    """`generalisation_gap`: accuracy in training minus accuracy in evaluation, from (right, rows) of seeded samples, repeated rows included."""
    figure = difference_of_proportions(training, evaluation, level)
    note = f"accuracy {training[0] / training[1]:.4f} on training rows, {evaluation[0] / evaluation[1]:.4f} on evaluation rows"
    return _figure("generalisation_gap", figure, training[1] + evaluation[1], min(training[1], evaluation[1]), note=note)


def _part(metric: str, attack: Attack, member: np.ndarray, part: np.ndarray, *, least: int, level: float, note: str, **where: str) -> Measurement:
    """The area among some of the rows, where there are enough members and others."""
    chosen = part & attack.judged
    members, others = int((chosen & member).sum()), int((chosen & ~member).sum())
    enough = min(members, others) >= least
    figure = area(attack.score[chosen], member[chosen], level) if enough else None
    few = f"{members} members and {others} non-members, fewer than {least} of one"
    return Measurement(
        metric=metric,
        value=figure.value if figure else None,
        interval=figure.interval if figure else None,
        standard_error=figure.standard_error if figure else None,
        n=members + others,
        denominator=min(members, others),
        state=State.MEASURED if figure else State.INSUFFICIENT,
        note=note if figure else few,
        **where,
    )


def _auc(name: str, attack: Attack, member: np.ndarray, controls: Controls, problem: str | None) -> Measurement:
    judged = attack.judged
    figure = area(attack.score[judged], member[judged], controls.level)
    notes, baseline = [problem, attack.how, attack.cut], controls.without_model
    if figure.value <= baseline.value:
        notes.append(f"not above the area without the model ({baseline.value:.3f}): shows nothing about the model")
    if baseline.interval.low > 0.5 and figure.interval.low <= baseline.interval.high:  # that the tables differ may tell members apart as well
        if figure.value > baseline.value:
            notes.append(f"the tables differ without the model (area {baseline.value:.3f}), which could explain it")
        problem = problem or "the tables differ"
    members = int(member[judged].sum())
    smaller = min(members, int(judged.sum()) - members)
    return _figure("membership_auc", figure, int(judged.sum()), smaller, group=name, note=_joined(notes), state=_state(problem))


def _hits(name: str, score: np.ndarray, member: np.ndarray, *, level: float, problem: str | None, how: str) -> Measurement:
    members, others = int(member.sum()), int((~member).sum())
    hits, alarms = hits_at_few_false_alarms(score, member)
    if hits + alarms == 0 and others >= LEAST_NON_MEMBERS:  # a figure of 0 would read as safe
        note = _joined([problem, f"more than 1 % of {others} non-members share the highest score: there is no such threshold", how])
        metric = "membership_tpr_at_fpr_1pct"
        return Measurement(metric=metric, value=None, n=len(member), denominator=members, group=name, state=State.UNDEFINED, note=note)
    few = f"{others} non-members, fewer than {LEAST_NON_MEMBERS}" if others < LEAST_NON_MEMBERS else None
    note = _joined([problem, few, f"{hits} of {members} members and {alarms} of {others} non-members above the threshold", how])
    return _figure(
        "membership_tpr_at_fpr_1pct", proportion(hits, members, level), len(member), members, group=name, note=note, state=_state(problem or few)
    )


def _guesses(name: str, attack: Attack, member: np.ndarray, level: float, problem: str | None) -> list[Measurement]:
    guess, truth = attack.guess[attack.guess_judged], member[attack.guess_judged]
    members, others = int(truth.sum()), int((~truth).sum())
    right = int((guess == truth).sum())
    hits, alarms = int((guess & truth).sum()), int((guess & ~truth).sum())
    advantage = difference_of_proportions((hits, members), (alarms, others), level)
    state, note = _state(problem), _joined([problem, attack.how])
    return [
        _figure("membership_accuracy", proportion(right, len(truth), level), len(truth), len(truth), group=name, note=note, state=state),
        _figure("membership_advantage", advantage, len(truth), min(members, others), group=name, note=note, state=state),
    ]


def _figure(
    metric: str,
    figure: Uncertain,
    n: int,
    denominator: int | None,
    *,
    group: str | None = None,
    note: str | None = None,
    state: State = State.MEASURED,
) -> Measurement:
    return Measurement(
        metric=metric,
        value=figure.value,
        interval=figure.interval,
        standard_error=figure.standard_error,
        n=n,
        denominator=denominator,
        group=group,
        note=note,
        state=state,
    )


def _state(problem: str | None) -> State:
    return State.INSUFFICIENT if problem else State.MEASURED


def _joined(parts: list[str | None]) -> str | None:
    return "; ".join(part for part in parts if part) or None
