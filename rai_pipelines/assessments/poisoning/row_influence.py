"""Single rows: what leaving one out changes, and whose label the rest of the table contradicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rai_pipelines.assessments.poisoning.material import Material
from rai_pipelines.assessments.refits import LEFT_OUT, Plan
from rai_pipelines.assessments.statistics.auc import hanley_mcneil_auc
from rai_pipelines.assessments.statistics.proportions import proportion
from rai_pipelines.assessments.statistics.uncertainty import Uncertain
from rai_pipelines.evidence.model import Measurement, State

LEAST_FOUND = 0.1  # of the planted wrong labels; a share of contradicted labels that misses more shows nothing
SURE = 0.99  # level at which a negative control is called failed: it is looked at in every audit


def left_out_rows(material: Material, *, rows: int, least: float, level: float, seed: tuple[int, ...]) -> list[Measurement]:
    """`row_influence_maximum`, `row_influence_mean` and `influential_row_share`: exact refits without each of a seeded sample of rows.

    The influence of a row is the share of evaluation decisions that differ when it is left out and nothing else changes, the learner's seed
    included; `influential_row_share` counts those above `least`. `refit_noise` is what the learner's seed alone changes.
    """
    made = [_noise(material)]
    size = len(material.training.truth)
    chosen = np.sort(np.random.default_rng(list(seed)).permutation(size)[:rows])
    if not len(chosen):
        return made
    plans = []
    for row in chosen:
        labels = material.training.truth.copy()
        labels[row] = LEFT_OUT
        plans.append(Plan(labels, material.seeds[0]))
    answers = material.ask(plans)
    influence = (answers.decisions != material.clean.decisions[0]).mean(axis=1)
    above = int((influence > least).sum())
    share = proportion(above, len(chosen), level)
    note = f"share of {len(material.evaluation.truth)} evaluation decisions that differ without one row; {len(chosen)} of {size} rows were tried"
    return [
        *made,
        Measurement(metric="row_influence_maximum", value=float(influence.max()), n=len(chosen), note=f"{note}; others may have more"),
        Measurement(metric="row_influence_mean", value=float(influence.mean()), n=len(chosen), note=note),
        Measurement(
            metric="influential_row_share", value=share.value, interval=share.interval, standard_error=share.standard_error, n=len(chosen),
            denominator=len(chosen), note=f"rows without which more than {least:g} of the evaluation decisions differ",
        ),
    ]  # fmt: skip


@dataclass(frozen=True)
class Contradiction:
    """How likely the refits that did not see a row find its label, shape (rows,)."""

    belief: np.ndarray

    def area(self, marked: np.ndarray, level: float) -> Uncertain:
        """Area under the ROC curve of marked rows against the others, the least believed first."""
        from sklearn.metrics import roc_auc_score

        return hanley_mcneil_auc(float(roc_auc_score(marked, -self.belief)), int(marked.sum()), int((~marked).sum()), level)


def contradicted_labels(
    material: Material, *, models: int, planted: int, below: float, min_control_auc: float, level: float, seed: tuple[int, ...]
) -> tuple[list[Measurement], dict[str, Any]]:
    """`contradicted_label_share`: rows whose label refits that did not see them believe by less than `below`.

    Refits learn from halves of the rows, so half of them have not seen a given row (the estimator of memorisation of Feldman and Zhang 2020).
    Positive control `planted_label_auc`: the same with the labels of `planted` random rows flipped, which must be believed least.
    Negative control `unplanted_label_auc`: as many random rows whose labels stay, which must not. Both are controls of the ranking; how many
    labels really are wrong the share does not say: classes overlap, and one wrong label in a region looks like a rare true one.
    """
    truth = material.training.truth
    size, number = len(truth), min(planted, len(truth) // 4)
    if models < 4 or number < 5:
        note = "fewer than 4 refits are allowed (half_refits)" if models < 4 else f"{size} training rows are too few"
        return [Measurement(metric="contradicted_label_share", value=None, n=size, state=State.INSUFFICIENT, note=note)], {}
    rng = np.random.default_rng(list(seed))
    halves, seeds = [], []
    for _ in range(models // 2):
        half = np.zeros(size, dtype=bool)
        half[rng.permutation(size)[: size // 2]] = True
        draw = int(rng.integers(2**31))
        halves += [half, ~half]
        seeds += [draw, draw]
    inside = np.array(halves)
    places = rng.permutation(size)
    marked, unmarked = (np.isin(np.arange(size), places[part]) for part in (slice(number), slice(number, 2 * number)))
    real = _beliefs(material, truth, inside, seeds)
    control = _beliefs(material, material.with_another_label(marked, seed), inside, seeds)
    found, nothing = control.area(marked, level), real.area(unmarked, level)
    problem = None
    if found.value < min_control_auc or found.interval.low <= 0.5:
        problem = f"not effective: planted wrong labels are told with an area of {found.value:.3f}"
    elif real.area(unmarked, SURE).interval.low > 0.5:
        problem = f"not effective: random rows with true labels are told with an area of {nothing.value:.3f}"
    hits, alarms = int((control.belief[marked] < below).sum()), int((control.belief[~marked] < below).sum())
    if problem is None and hits < LEAST_FOUND * number:
        problem = "not effective: the model is too unsure of these rows to contradict labels at that level"
    contradicted = int((real.belief < below).sum())
    share = proportion(contradicted, size, level)
    told = f"of {number} planted wrong labels {hits} are below {below:g}, of {size - number} others {alarms}"
    note = f"labels that refits without the row believe by less than {below:g}; {told}"
    return [
        Measurement(
            metric="contradicted_label_share", value=share.value, interval=share.interval, standard_error=share.standard_error,
            n=size, denominator=size,
            state=State.INSUFFICIENT if problem else State.MEASURED, note=f"{problem}; {note}" if problem else note,
        ),
        _area("planted_label_auc", found, size, number, f"positive control: labels of {number} random rows flipped"),
        _area("unplanted_label_auc", nothing, size, number, f"negative control: {number} random rows whose labels stay; 0.5 is chance"),
    ], {"half_refits": len(inside), "planted": number, "labels_below": below, "planted_found": hits, "others_found_beside": alarms}  # fmt: skip


def _beliefs(material: Material, labels: np.ndarray, inside: np.ndarray, seeds: list[int]) -> Contradiction:
    """Every row is outside of one half of each pair."""
    plans = [Plan(np.where(half, labels, LEFT_OUT), one) for half, one in zip(inside, seeds, strict=True)]
    answers = material.ask(plans, asked=material.training.frame)
    belief = answers.belief_in(labels)
    return Contradiction((belief * ~inside).sum(axis=0) / (~inside).sum(axis=0))


def _noise(material: Material) -> Measurement:
    decisions = material.clean.decisions
    apart = [(decisions[0] != other).mean() for other in decisions[1:]]
    note = f"share of evaluation decisions that differ between refits to the same rows with another seed, mean of {len(apart)} pairs"
    return Measurement(metric="refit_noise", value=float(np.mean(apart)), n=decisions.shape[1], denominator=decisions.shape[1], note=note)


def _area(metric: str, figure: Uncertain, rows: int, marked: int, note: str) -> Measurement:
    return Measurement(
        metric=metric, value=figure.value, interval=figure.interval, standard_error=figure.standard_error, n=rows, denominator=marked, note=note
    )
