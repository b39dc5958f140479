"""Proofs over linear models, in closed form: a sum of one term per feature is largest and least where each term is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rai_pipelines.assessments.verification.certificates import Answer, Certificate
from rai_pipelines.assessments.verification.domain import Asked, Region
from rai_pipelines.assessments.verification.linear import Linear
from rai_pipelines.assessments.verification.search import ROUNDING

METHOD = "closed form of a linear model"
UNCONFIRMED = "within rounding, or the model does not confirm what its own weights say"


def prove_score(linear: Linear, asked: Asked, region: Region, bound: float, side: int) -> Certificate:
    """As for trees: that the score never goes beyond a bound."""
    most, place = linear.extreme(region, side)
    if side * most <= side * linear.raw_at(bound) - ROUNDING:
        return Certificate(Answer.PROVED, METHOD)

    def breaks(places: np.ndarray) -> bool:
        scores = asked.scores(places)
        return scores is not None and bool(side * (scores[0] - bound) > 0)

    return _shown(place[None], breaks)


def prove_decision(linear: Linear, asked: Asked, region: Region, decision: int) -> Certificate:
    """That every decision is the given one."""
    side = -1 if decision == 1 else 1
    most, place = linear.extreme(region, side)
    if side * most <= side * linear.cut - ROUNDING:
        return Certificate(Answer.PROVED, METHOD)
    return _shown(place[None], lambda places: int(asked.decisions(places)[0]) != decision)


def prove_monotone(linear: Linear, asked: Asked, region: Region, at: int, sign: int) -> Certificate:
    """That the slope has the right sign, or is 0. Asked where the logistic curve is steepest within reach."""
    if sign * linear.slopes[at] >= 0 or region.low[at] == region.high[at]:
        return Certificate(Answer.PROVED, METHOD)
    middle = _crossing(linear, region, [at])
    places = np.stack([middle, middle])
    places[:, at] = region.low[at], region.high[at]

    def breaks(places: np.ndarray) -> bool:
        scores = asked.scores(places)
        return scores is not None and bool(sign * (scores[1] - scores[0]) < 0)

    return _shown(places, breaks)


def prove_invariant(linear: Linear, asked: Asked, region: Region, positions: Sequence[int], tolerance: float | None) -> Certificate:
    """That the features change no decision within the region, nor the score by more than `tolerance` where one is given."""
    spread = sum(linear.spread(region, at) for at in positions)
    if spread == 0.0:
        return Certificate(Answer.PROVED, METHOD)
    least, most = (linear.extreme(region, side)[0] for side in (-1, 1))
    one_side = least > linear.cut + ROUNDING or most < linear.cut - ROUNDING
    if one_side and (tolerance is None or spread / 4 <= tolerance - ROUNDING):
        return Certificate(Answer.PROVED, METHOD)
    middle = _crossing(linear, region, positions)
    ends = np.stack([_moved(linear, region, middle, positions, side) for side in (-1, 1)])

    def breaks(places: np.ndarray) -> bool:
        decisions = asked.decisions(places)
        scores = asked.scores(places) if tolerance is not None else None
        return bool(decisions[0] != decisions[1]) or (scores is not None and tolerance is not None and bool(abs(scores[1] - scores[0]) > tolerance))

    return _shown(ends, breaks)


def _crossing(linear: Linear, region: Region, positions: Sequence[int]) -> np.ndarray:
    """A place where the features at `positions`, moved from end to end, cross the cut if they can: the others walk from least to most."""
    low, high = (linear.extreme(region, side)[1] for side in (-1, 1))
    here = low.copy()

    def middle(place: np.ndarray) -> float:
        ends = [float(linear.raw(_moved(linear, region, place, positions, side)[None])[0]) for side in (-1, 1)]
        return sum(ends) / 2 - linear.cut

    for at in (at for at in range(len(low)) if at not in positions):
        further = here.copy()
        further[at] = high[at]
        if middle(further) > 0:
            if at not in linear.terms:  # a number can stop on the way
                before, after = middle(here), middle(further)
                share = min(1.0, max(0.0, -before / (after - before))) if after > before else 0.0
                stop = here[at] + share * (high[at] - here[at])
                here[at] = np.rint(stop) if region.space.features[at].integer else stop
            elif abs(middle(further)) < abs(middle(here)):
                here = further
            continue
        here = further
    return here


def _moved(linear: Linear, region: Region, place: np.ndarray, positions: Sequence[int], side: int) -> np.ndarray:
    end = linear.extreme(region, side)[1]
    moved = place.copy()
    moved[list(positions)] = end[list(positions)]
    return moved


def _shown(places: np.ndarray, breaks: Callable[[np.ndarray], bool]) -> Certificate:
    if breaks(places):
        return Certificate(Answer.REFUTED, METHOD, places=places)
    return Certificate(Answer.UNKNOWN, METHOD, reason=UNCONFIRMED)
