"""Proofs over networks: interval bounds of a region, and of its halves where they do not settle it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rai_pipelines.assessments.verification.certificates import Answer, Certificate
from rai_pipelines.assessments.verification.domain import Asked, Region
from rai_pipelines.assessments.verification.feedforward import Feedforward
from rai_pipelines.assessments.verification.search import LIMIT_REACHED

METHOD = "interval bounds, regions halved"
INSEPARABLE = "bounds and rounding leave a place open that cannot be halved"
HALVINGS = 12


def prove_score(form: Feedforward, asked: Asked, region: Region, bound: float, side: int, *, limit: int) -> Certificate:
    """That the score never rises above (`side` 1) or falls below (-1) a bound."""

    def breaks(place: np.ndarray) -> bool:
        scores = asked.scores(place)
        return scores is not None and bool(side * (scores[0] - bound) > 0)

    return _never_beyond(form, region, form.raw_at(bound), side, breaks, limit=limit)


def prove_decision(form: Feedforward, asked: Asked, region: Region, decision: int, *, limit: int, near: np.ndarray | None = None) -> Certificate:
    """That every decision is the given one; `near` is a place of the region that is looked at first."""
    side = -1 if decision == 1 else 1
    return _never_beyond(form, region, form.cut, side, lambda place: int(asked.decisions(place)[0]) != decision, limit=limit, near=near)


def certified_radius(form: Feedforward, row: np.ndarray) -> float:
    """The largest number of steps by which every number that can move may move at once, as far as bounds of one region prove it."""
    low, high = 0.0, form.space.diameter
    decision = float(form.raw(row[None])[0]) > form.cut
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        least, most = form.bounds(_moved_by(form, row, middle))
        proved = least > form.cut if decision else most < form.cut
        low, high = (middle, high) if proved else (low, middle)
    return low


def _moved_by(form: Feedforward, row: np.ndarray, radius: float) -> Region:
    steps = np.array([feature.step if feature.movable and feature.values is None else 0.0 for feature in form.space.features])
    codes = {at: (int(row[at]),) for at, feature in enumerate(form.space.features) if feature.values is not None}
    return Region(form.space, row - radius * steps, row + radius * steps, codes)


def _never_beyond(
    form: Feedforward, region: Region, target: float, side: int, breaks: Callable[[np.ndarray], bool], *, limit: int, near: np.ndarray | None = None
) -> Certificate:
    """That `side` times the raw value never exceeds `side` times the target; what breaks it counts once the model itself says so."""
    waiting, nodes, open_place = [region], 0, False
    while waiting:
        here = waiting.pop()
        if nodes >= limit:
            return Certificate(Answer.UNKNOWN, METHOD, nodes, LIMIT_REACHED)
        nodes += 1
        least, most = form.bounds(here)
        if (most if side > 0 else -least) < side * target:
            continue
        middle = middle_of(here, near)
        for place in (middle, towards(form, here, middle, side)):
            if side * float(form.raw(place[None])[0]) >= side * target and breaks(place[None]):
                return Certificate(Answer.REFUTED, METHOD, nodes, places=place[None])
        halves = _halved(form, here, middle)
        if halves is None:
            open_place = True
            continue
        waiting += halves
    return Certificate(Answer.UNKNOWN if open_place else Answer.PROVED, METHOD, nodes, INSEPARABLE if open_place else None)


def middle_of(region: Region, near: np.ndarray | None) -> np.ndarray:
    """A place of the region: `near` moved into it, or its middle."""
    wanted = (region.low + region.high) / 2 if near is None else near
    place = np.clip(wanted, region.low, region.high)
    for at, feature in enumerate(region.space.features):
        if feature.values is not None:
            codes = region.codes[at]
            place[at] = near[at] if near is not None and int(near[at]) in codes else codes[len(codes) // 2]
        elif feature.integer and near is None:
            place[at] = np.clip(np.rint(place[at]), region.low[at], region.high[at])
    return np.asarray(place)


def towards(form: Feedforward, region: Region, place: np.ndarray, side: int) -> np.ndarray:
    """The corner of the region to which the gradient at a place points."""
    slope = form.network.pulled_back(form.columns(place[None]), form.along)[0]
    corner = place.copy()
    for at, codes, steep in zip(form.places, form.codes, slope, strict=True):
        if codes is None:
            corner[at] = region.high[at] if side * steep > 0 else region.low[at]
    return corner


def _halved(form: Feedforward, region: Region, middle: np.ndarray) -> list[Region] | None:
    """Two halves along the feature that moves the raw value most; None where nothing is left to halve."""
    width = np.zeros(len(region.space.features))
    for at, feature in enumerate(region.space.features):
        if feature.values is not None:
            width[at] = max((np.ptp(codes[list(region.codes[at])]) for place, codes in zip(form.places, form.codes, strict=True) if place == at
                             and codes is not None), default=0.0) if len(region.codes[at]) > 1 else 0.0  # fmt: skip
        else:
            width[at] = region.high[at] - region.low[at]
    weight = width * (form.pull(middle) + 1e-12)
    at = int(weight.argmax())
    if weight[at] <= 0:
        return None
    if region.space.features[at].values is not None:
        return region.halves_of_codes(at)
    cut = (region.low[at] + region.high[at]) / 2
    ends = (np.floor(cut), np.floor(cut) + 1) if region.space.features[at].integer else (cut, cut)
    if not region.low[at] <= ends[0] <= ends[1] <= region.high[at] or (ends[0] == ends[1] and ends[0] in (region.low[at], region.high[at])):
        return None
    below, above = region.high.copy(), region.low.copy()
    below[at], above[at] = ends
    return [replace(region, high=below), replace(region, low=above)]
