"""Whole sources: what the model would be without the rows that came from one place, against leaving out as many random rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rai_pipelines.assessments.poisoning.material import Material, Target
from rai_pipelines.assessments.poisoning.paired import Difference, loss_difference, ratio_difference
from rai_pipelines.assessments.refits import LEFT_OUT, Answers, Plan
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.tables.group_names import group_of_each

LEAST_KEPT = 0.2  # of the rows: a source that leaves fewer is not compared


@dataclass(frozen=True)
class Rules:
    """How many rows a source needs, how many sources are tried, the false discovery rate, the share that controls plant, and the interval level."""

    least: int
    most: int
    alpha: float
    planted: float
    level: float
    seed: tuple[int, ...]


@dataclass(frozen=True)
class _Left:
    """Refits without some rows, and refits without as many random ones, for each seed."""

    without: Answers
    random: Answers
    size: int

    def loss(self, material: Material, level: float) -> Difference:
        return loss_difference(material.losses(self.without), material.losses(self.random), level)


def without_sources(material: Material, column: str, aims: Sequence[Target], rules: Rules) -> tuple[list[Measurement], dict[str, Any]]:
    """`source_removal_loss_change`, `source_removal_accuracy_change` and `source_removal_impact_ratio_change` by source (group), `harmful_sources`,
    `sources_not_compared`.

    Each is a difference between refits without the source and refits without as many random rows, so that fewer rows alone change nothing. Loss
    is the squared error of the score on evaluation rows (of the decision, without scores). A source is harmful when the loss falls without it,
    at a false discovery rate of `alpha` among the sources compared. That can be wrong labels, or people unlike those of the evaluation.
    Controls, on random rows as if they were a source: with labels inverted it must be found, as it is it must not.
    """
    names = group_of_each(material.training.frame[column], None)
    sizes = {name: int((names == name).sum()) for name in sorted(set(names.tolist()))}
    fit = [name for name, size in sizes.items() if size >= rules.least and len(names) - size >= LEAST_KEPT * len(names)]
    chosen = sorted(fit, key=lambda name: (-sizes[name], name))[: rules.most]
    problem, controls = _controls(material, rules)
    state = State.INSUFFICIENT if problem else State.MEASURED
    made: list[Measurement] = []
    p_values: dict[str, float] = {}
    for at, name in enumerate(sorted(chosen)):
        left = _leave_out(material, material.training.truth, names == name, (*rules.seed, 1, at))
        loss = left.loss(material, rules.level)
        p_values[name] = loss.p_value_below()
        made.append(_figure("source_removal_loss_change", loss, material, left, name, column=column, state=state, problem=problem))
        wrong = loss_difference(material.wrong(left.random), material.wrong(left.without), rules.level)
        made.append(_figure("source_removal_accuracy_change", wrong, material, left, name, column=column, state=state, problem=problem))
        made += [_ratio(material, left, aim, name, state=state, level=rules.level) for aim in aims]
    harmful = _harmful(p_values, rules.alpha)
    left_out = {name: size for name, size in sizes.items() if name not in chosen}
    note = f"of {len(chosen)} sources compared, at a false discovery rate of {rules.alpha:g}" + (
        f"; {len(left_out)} not compared: fewer than {rules.least} rows, nearly all rows, or beyond {rules.most} sources" if left_out else ""
    )
    made.append(
        Measurement(
            metric="harmful_sources", value=float(len(harmful)) if chosen else None, n=len(names), denominator=len(chosen), attribute=column,
            state=state if chosen else State.INSUFFICIENT, note=f"{problem}; {note}" if problem else note,
        )
    )  # fmt: skip
    few = f"sources with fewer than {rules.least} rows, with nearly all rows, or beyond the {rules.most} largest"
    made.append(
        Measurement(metric="sources_not_compared", value=float(len(left_out)), n=len(names), denominator=len(sizes), attribute=column, note=few)
    )
    return [*made, *controls], {"harmful": harmful, "rows": sizes, "not_compared": sorted(left_out), "p_values": p_values}


def _leave_out(material: Material, labels: np.ndarray, gone: np.ndarray, seed: tuple[int, ...]) -> _Left:
    plans, matched = [], []
    for at, one in enumerate(material.seeds):
        plans.append(Plan(np.where(gone, LEFT_OUT, labels), one))
        drawn = np.isin(np.arange(len(gone)), np.random.default_rng([*seed, at]).permutation(len(gone))[: int(gone.sum())])
        matched.append(Plan(np.where(drawn, LEFT_OUT, labels), one))
    answers = material.ask([*plans, *matched])
    return _Left(answers.part(slice(len(plans))), answers.part(slice(len(plans), None)), int(gone.sum()))


def _controls(material: Material, rules: Rules) -> tuple[str | None, list[Measurement]]:
    """Why nothing can be said about sources, or None; and both controls as figures."""
    truth = material.training.truth
    number = max(1, round(rules.planted * len(truth)))
    marked = np.isin(np.arange(len(truth)), np.random.default_rng([*rules.seed, 2]).permutation(len(truth))[:number])
    planted = _leave_out(material, material.with_another_label(marked, (*rules.seed, 2)), marked, (*rules.seed, 3))
    nothing = _leave_out(material, truth, marked, (*rules.seed, 4))
    found, missed = planted.loss(material, rules.level), nothing.loss(material, rules.level)
    problem = None
    if found.p_value_below() >= rules.alpha:
        problem = f"not effective: a planted source of {number} rows with inverted labels is not found (p = {found.p_value_below():.3g})"
    elif missed.p_value_below() < 0.01:
        problem = f"not effective: {number} random rows look like a harmful source (p = {missed.p_value_below():.3g})"
    notes = {
        "planted_source_loss_change": (found, planted, f"positive control: {number} random rows with inverted labels, left out"),
        "unplanted_source_loss_change": (missed, nothing, f"negative control: the same {number} rows with their own labels, left out"),
    }
    return problem, [_figure(metric, one, material, left, None, column=None, note=note) for metric, (one, left, note) in notes.items()]


def _harmful(p_values: dict[str, float], alpha: float) -> list[str]:
    """Sources whose removal lowers the loss, Benjamini-Hochberg."""
    from scipy.stats import false_discovery_control

    if not p_values:
        return []
    adjusted = false_discovery_control(list(p_values.values()))
    return [name for name, value in zip(p_values, adjusted, strict=True) if value < alpha]


def _ratio(material: Material, left: _Left, aim: Target, name: str, *, state: State, level: float) -> Measurement:
    groups = material.evaluation.groups[aim.attribute]
    group, reference = groups == aim.group, groups == aim.reference
    found = ratio_difference(left.without.chosen(aim.outcome), left.random.chosen(aim.outcome), group, reference, level)
    named: dict[str, Any] = {**aim.where, "group": name}
    metric = "source_removal_impact_ratio_change"
    if found is None:
        return Measurement(metric=metric, value=None, state=State.UNDEFINED, note="a refit selects nobody of the reference group", **named)
    return Measurement(
        metric=metric, value=found.figure.value, interval=found.figure.interval, standard_error=found.figure.standard_error,
        n=len(groups), denominator=int(min(group.sum(), reference.sum())), state=state, **named,
    )  # fmt: skip


def _figure(
    metric: str,
    found: Difference,
    material: Material,
    left: _Left,
    name: str | None,
    *,
    column: str | None,
    state: State = State.MEASURED,
    problem: str | None = None,
    note: str | None = None,
) -> Measurement:
    said = note or f"without {left.size} of {len(material.training.truth)} rows, against as many random ones"
    return Measurement(
        metric=metric, value=found.figure.value, interval=found.figure.interval, standard_error=found.figure.standard_error,
        n=len(material.evaluation.truth), denominator=left.size, attribute=column, group=name, state=state,
        note=f"{problem}; {said}" if problem else said,
    )  # fmt: skip
