"""What flipped training labels do: at random, and aimed at one protected group (label-flip poisoning; Biggio, Nelson and Laskov 2011)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rai_pipelines.assessments.poisoning.material import Material, Target
from rai_pipelines.assessments.poisoning.paired import Difference, loss_difference, ratio_difference
from rai_pipelines.assessments.refits import Answers, Plan
from rai_pipelines.evidence.model import Measurement, State

RANDOM, TARGETED = "random_flip", "targeted_flip"


def random_flips(material: Material, aims: Sequence[Target], shares: Sequence[float], *, level: float, seed: tuple[int, ...]) -> list[Measurement]:
    """`random_flip_accuracy_drop` and, by attribute, `random_flip_impact_ratio_change` for each share of labels (group)."""
    made = []
    size = len(material.training.truth)
    for share in shares:
        number = max(1, round(share * size))
        plans = [_flipped(material, np.random.default_rng([*seed, at]).permutation(size)[:number], at, seed) for at in range(len(material.seeds))]
        answers = material.ask(plans)
        how = f"{number} of {size} labels flipped at random"
        made.append(_drop(RANDOM, material, answers, share, how=how, level=level))
        made += [_change(RANDOM, material, answers, aim, share, how=how, level=level) for aim in aims]
    return made


def targeted_flips(material: Material, aim: Target, shares: Sequence[float], *, level: float, seed: tuple[int, ...]) -> list[Measurement]:
    """`targeted_flip_accuracy_drop` and `targeted_flip_impact_ratio_change`: favourable labels of one group made unfavourable, or those of the class
    that the target names made others.

    A share is one of all labels, as for random flips; where the group has fewer favourable labels, all of them are flipped, once.
    """
    made = []
    size = len(material.training.truth)
    open_to = np.flatnonzero((material.training.groups[aim.attribute] == aim.group) & (material.training.truth == aim.outcome))
    made_to, kind = ("unfavourable", "favourable ones") if aim.name is None else ("others", f"of {aim.name!r}")
    used = 0
    for share in shares:
        number = min(max(1, round(share * size)), len(open_to))
        if number <= used:
            said = "favourable labels" if aim.name is None else f"labels {aim.name!r}"
            note = f"the group has {len(open_to)} {said}, all of which are flipped at a smaller share already"
            made.append(_none(f"{TARGETED}_impact_ratio_change", aim, share, State.UNDEFINED, note))
            continue
        used = number
        plans = [
            _flipped(material, open_to[np.random.default_rng([*seed, at]).permutation(len(open_to))[:number]], at, seed)
            for at in range(len(material.seeds))
        ]
        answers = material.ask(plans)
        how = (
            f"{number} of {size} labels made {made_to}, all of {len(open_to)} {kind} of the group"
            if number == len(open_to)
            else (f"{number} of {size} labels made {made_to}, of {len(open_to)} {kind} of the group")
        )
        made.append(_drop(TARGETED, material, answers, share, how=how, level=level, aim=aim))
        made.append(_change(TARGETED, material, answers, aim, share, how=how, level=level))
    return made


def _flipped(material: Material, which: np.ndarray, at: int, seed: Sequence[int]) -> Plan:
    return Plan(material.with_another_label(which, (*seed, at)), material.seeds[at])


def _drop(what: str, material: Material, answers: Answers, share: float, *, how: str, level: float, aim: Target | None = None) -> Measurement:
    found = loss_difference(material.wrong(answers), material.wrong(material.clean), level)
    return _measured(f"{what}_accuracy_drop", found, material, share, how=how, aim=aim, denominator=len(material.evaluation.truth))


def _change(what: str, material: Material, answers: Answers, aim: Target, share: float, *, how: str, level: float) -> Measurement:
    groups = material.evaluation.groups[aim.attribute]
    group, reference = groups == aim.group, groups == aim.reference
    found = ratio_difference(answers.chosen(aim.outcome), material.clean.chosen(aim.outcome), group, reference, level)
    metric = f"{what}_impact_ratio_change"
    if found is None:
        return _none(metric, aim, share, State.UNDEFINED, "a refit selects nobody of the reference group")
    return _measured(metric, found, material, share, how=how, aim=aim, denominator=int(min(group.sum(), reference.sum())))


def _measured(metric: str, found: Difference, material: Material, share: float, *, how: str, aim: Target | None, denominator: int) -> Measurement:
    return Measurement(
        metric=metric,
        value=found.figure.value,
        interval=found.figure.interval,
        standard_error=found.figure.standard_error,
        n=len(material.evaluation.truth),
        denominator=denominator,
        **(aim.where if aim else {}),
        group=f"{share:g}",
        note=f"{how}; {len(material.seeds)} refits with and without",
    )


def _none(metric: str, aim: Target, share: float, state: State, note: str) -> Measurement:
    return Measurement(metric=metric, value=None, group=f"{share:g}", state=state, note=note, **aim.where)
