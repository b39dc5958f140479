"""Attribute inference: how much better a sensitive input is guessed from the other inputs and the model's answer than from the other inputs alone.

Sources: Fredrikson, Jha and Ristenpart (2015); Jayaraman and Evans (2022), "Are Attribute Inference Attacks Just Imputation?", for the baseline.
The pair is wired as in the Adversarial Robustness Toolbox, but the attacker sees the score too, not only the decision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rai_pipelines.assessments.privacy_attacks.encoding import fit_encoder
from rai_pipelines.assessments.privacy_attacks.membership import Answers, Rows, one_hot
from rai_pipelines.assessments.statistics.proportions import proportion
from rai_pipelines.assessments.statistics.uncertainty import Uncertain, normal_quantile
from rai_pipelines.evidence.model import Interval, Measurement, State
from rai_pipelines.subjects.datasheet import ProtectedAttribute
from rai_pipelines.tables.group_names import group_of_each

if TYPE_CHECKING:
    import pandas as pd

TREES = 100
MOST_VALUES = 20  # of a number; beyond it quarters are guessed
METRICS = ("attribute_inference_accuracy", "attribute_inference_baseline", "attribute_inference_advantage")


def attribute_figures(
    rows: Rows,
    answers: Answers,
    features: tuple[str, ...],
    sensitive: Sequence[str],
    declared: Mapping[str, ProtectedAttribute],
    *,
    least: int,
    level: float,
    seed: Sequence[int],
) -> list[Measurement]:
    """`attribute_inference_accuracy`, `_baseline` and `_advantage` by sensitive attribute, on held-out training rows; with `_evaluation` on others.

    Both attackers learn from the learning half. A sensitive attribute that the model does not read is not applicable and said so.
    """
    measurements = []
    for number, name in enumerate(sensitive):
        if name not in features:
            note = f"not applicable: the model does not read {name}"
            measurements.append(Measurement(metric=METRICS[2], value=None, attribute=name, state=State.UNAVAILABLE, note=note))
            continue
        wanted, what = _values(rows.frame[name], declared.get(name))
        if len(set(wanted[rows.learning].tolist())) < 2:
            note = "all sampled rows have the same value"
            measurements.append(Measurement(metric=METRICS[2], value=None, attribute=name, state=State.UNDEFINED, note=note))
            continue
        with_model, alone = _guesses(rows, answers, tuple(other for other in features if other != name), wanted, seed=(*seed, number))
        for suffix, side in (("", rows.member), ("_evaluation", ~rows.member)):
            held_out = side & ~rows.learning
            measurements += _of_side(name, suffix, with_model[held_out], alone[held_out], least=least, level=level, what=what)
    return measurements


def paired_difference(better: int, worse: int, rows: int, level: float) -> Uncertain:
    """Difference of two paired proportions from the pairs that disagree, each count with half a pair added to every cell.

    Source: Agresti and Min (2005), "Simple improved confidence intervals for comparing matched proportions", Statistics in Medicine 24.
    """
    value = (better - worse) / rows
    n, b, c = rows + 2.0, better + 0.5, worse + 0.5
    error = math.sqrt((b + c) - (b - c) ** 2 / n) / n
    middle, half = (b - c) / n, normal_quantile(level) * error
    low, high = min(max(middle - half, -1.0), value), max(min(middle + half, 1.0), value)
    return Uncertain(value, error, Interval(low=low, high=high, level=level, method="Agresti-Min, paired"))


def _guesses(rows: Rows, answers: Answers, others: tuple[str, ...], wanted: np.ndarray, *, seed: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Whether each row's value is guessed, with the model's answer and without."""
    from sklearn.ensemble import RandomForestClassifier

    decisions, scores = answers
    plain = fit_encoder(rows.frame, others)(rows.frame)
    decided = decisions if rows.classes == 2 else one_hot(decisions, rows.classes)
    told = np.column_stack([plain, decided, *([] if scores is None else [scores])])
    state = int(np.random.default_rng(list(seed)).integers(2**31))
    right = []
    for inputs in (told, plain if plain.shape[1] else np.zeros((len(wanted), 1))):
        attacker = RandomForestClassifier(TREES, min_samples_leaf=3, random_state=state, n_jobs=1)
        attacker.fit(inputs[rows.learning], wanted[rows.learning])
        right.append(np.asarray(attacker.predict(inputs)) == wanted)
    return right[0], right[1]


def _values(column: pd.Series, declared: ProtectedAttribute | None) -> tuple[np.ndarray, str | None]:
    """The values to guess as text: groups as declared, quarters of a number with many values."""
    import pandas as pd

    binned = declared is not None and declared.bins is not None
    if not binned and pd.api.types.is_numeric_dtype(column) and column.nunique() > MOST_VALUES:
        quarters = pd.qcut(column, 4, labels=False, duplicates="drop")
        return np.asarray(quarters.astype(str), dtype=str), "quarters of the sampled values are guessed"
    return group_of_each(column, declared.bins if declared else None).astype(str), "groups as declared" if binned else None


def _of_side(name: str, suffix: str, told: np.ndarray, alone: np.ndarray, *, least: int, level: float, what: str | None) -> list[Measurement]:
    n = len(told)
    if n == 0:
        return [Measurement(metric=METRICS[2] + suffix, value=None, attribute=name, n=0, state=State.INSUFFICIENT, note="no held-out rows")]
    better, worse = int((told & ~alone).sum()), int((alone & ~told).sum())
    figures = (
        proportion(int(told.sum()), n, level),
        proportion(int(alone.sum()), n, level),
        paired_difference(better, worse, n, level),
    )
    few = f"{n} rows, fewer than {least}" if n < least else None
    pairs = f"{better} rows are guessed only with the model's answer, {worse} only without"
    return [
        Measurement(
            metric=metric + suffix,
            value=figure.value,
            interval=figure.interval,
            standard_error=figure.standard_error,
            n=n,
            denominator=n,
            attribute=name,
            state=State.INSUFFICIENT if few else State.MEASURED,
            note="; ".join(part for part in (few, what, pairs if metric == METRICS[2] else None) if part) or None,
        )
        for metric, figure in zip(METRICS, figures, strict=True)
    ]
