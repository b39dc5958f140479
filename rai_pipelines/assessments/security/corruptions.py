"""Natural corruptions: how decisions hold up when inputs are measured badly, missing, out of range, or coded wrongly; nobody attacks.

Every input can be corrupted, also those that a person cannot change: an error of measurement asks nobody's leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.security.malformed_inputs import REFUSALS
from rai_pipelines.assessments.statistics.proportions import proportion
from rai_pipelines.evidence.model import Measurement, State

NOISE_LEVELS = (0.1, 0.25, 0.5, 1.0)  # standard deviations of training
SHARES = (0.1, 0.3)  # of the values of a row that go missing, or of its categories that are swapped
OUT_OF_RANGE = 3.0  # standard deviations beyond the range of training, for one number of each row
Decide = Callable[[np.ndarray], np.ndarray]


def measure_corruptions(
    decide: Decide, space: FeatureSpace, vectors: np.ndarray, truth: np.ndarray | None, *, level: float, seed: int
) -> list[Measurement]:
    """`corrupted_accuracy` (with labels) and `corrupted_agreement` (the share of decisions that stay) by corruption (`group`), with intervals.

    Each row is corrupted once. Where the model refuses a corruption, there is no figure, and the note says so.
    """
    clean = decide(vectors)
    measurements = []
    for name, corrupted in _corruptions(space, vectors, seed):
        try:
            decisions = decide(corrupted)
        except Exception as error:  # whatever the model raises is the result; its text can quote data
            cause = type(error.__cause__ or error).__name__
            does = "refuses" if cause in REFUSALS else "fails on"
            measurements += [_none(metric, name, len(vectors), f"the model {does} such rows ({cause})") for metric in _metrics(truth)]
            continue
        measurements.append(_share("corrupted_agreement", name, decisions == clean, level))
        if truth is not None:
            measurements.append(_share("corrupted_accuracy", name, decisions == truth, level))
    return measurements


def _corruptions(space: FeatureSpace, vectors: np.ndarray, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    numbers, codes = np.flatnonzero(~space.categorical), np.flatnonzero(space.categorical)
    codes = np.array([at for at in codes if space.features[at].high > 0], dtype=int)
    if len(numbers):
        for position, size in enumerate(NOISE_LEVELS):
            yield f"noise:{size:g}", _noisy(space, vectors, numbers, size, np.random.default_rng([seed, 25, position]))
        yield "out_of_range", _beyond(space, vectors, numbers, np.random.default_rng([seed, 26]))
    for position, share in enumerate(SHARES):
        rng = np.random.default_rng([seed, 27, position])
        yield f"missing:{share:g}", np.where(rng.random(vectors.shape) < share, np.nan, vectors)
        if len(codes):
            yield f"swapped_categories:{share:g}", _swapped(space, vectors, codes, share, np.random.default_rng([seed, 28, position]))


def _noisy(space: FeatureSpace, vectors: np.ndarray, numbers: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """Normal noise on every number, kept within the range of training and whole where training is."""
    noisy = vectors.copy()
    for at in numbers:
        feature, given = space.features[at], vectors[:, at]
        moved = np.clip(
            given + rng.normal(size=len(vectors)) * size * space.features[at].deviation, np.fmin(feature.low, given), np.fmax(feature.high, given)
        )
        noisy[:, at] = np.rint(moved) if feature.integer else moved
    return noisy


def _beyond(space: FeatureSpace, vectors: np.ndarray, numbers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    moved = vectors.copy()
    chosen, above = numbers[rng.integers(len(numbers), size=len(vectors))], rng.random(len(vectors)) < 0.5
    for line, (at, up) in enumerate(zip(chosen, above, strict=True)):
        feature, far = space.features[at], OUT_OF_RANGE * space.features[at].deviation
        value = feature.high + far if up else feature.low - far
        moved[line, at] = np.rint(value) if feature.integer else value
    return moved


def _swapped(space: FeatureSpace, vectors: np.ndarray, codes: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Each category by chance another one that training has seen."""
    swapped = vectors.copy()
    for at in codes:
        count = int(space.features[at].high) + 1
        other = (vectors[:, at] + rng.integers(1, count, size=len(vectors))) % count
        swapped[:, at] = np.where(rng.random(len(vectors)) < share, other, vectors[:, at])
    return swapped


def _metrics(truth: np.ndarray | None) -> tuple[str, ...]:
    return ("corrupted_agreement",) if truth is None else ("corrupted_agreement", "corrupted_accuracy")


def _share(metric: str, group: str, kept: np.ndarray, level: float) -> Measurement:
    figure = proportion(int(kept.sum()), len(kept), level)
    return Measurement(
        metric=metric,
        value=figure.value,
        interval=figure.interval,
        standard_error=figure.standard_error,
        n=len(kept),
        denominator=len(kept),
        group=group,
    )


def _none(metric: str, group: str, rows: int, note: str) -> Measurement:
    return Measurement(metric=metric, value=None, n=rows, group=group, state=State.UNAVAILABLE, note=note)
