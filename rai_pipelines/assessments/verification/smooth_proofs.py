"""Proofs over linear models and networks by bounds of a region, and of its halves where these do not settle it.

Two classes are one difference, of which the log odds are the value; of more the log odds of a class are minus the log of the sum of
exp(-difference) over the others, which rises with each difference and is as steep as a mean of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product

import numpy as np

from rai_pipelines.assessments.verification.certificates import Answer, Certificate
from rai_pipelines.assessments.verification.class_tree_proofs import combined
from rai_pipelines.assessments.verification.domain import Region
from rai_pipelines.assessments.verification.feedforward import Feedforward
from rai_pipelines.assessments.verification.feedforward_proofs import INSEPARABLE, METHOD, middle_of
from rai_pipelines.assessments.verification.linear import Linear
from rai_pipelines.assessments.verification.search import LIMIT_REACHED, ROUNDING
from rai_pipelines.assessments.verification.several import AskedClasses, Several
from rai_pipelines.assessments.verification.smooth import Smooth, change_bound, corner, least_mean, slope_bounds

SINGLE_SLACK = 1e-6  # of log odds and scores that a library computes in single precision
MOST_PARTS = 64  # ways to set the features that may change, looked at one by one
MOST_ASKED = 200  # places that one proof asks the model about


@dataclass(frozen=True)
class _Look:
    """What a region says: whether the property holds all over it, and else places that may break it."""

    settled: bool
    places: Sequence[np.ndarray] = ()


def prove_score(form: Several, asked: AskedClasses, region: Region, outcome: int, *, bound: float, side: int, limit: int) -> Certificate:
    """That the score of a class never rises above (`side` 1) or falls below (-1) a bound."""
    pairs, of_class = _against(form, outcome), asked.of(outcome)
    target = math.copysign(math.inf, bound - 0.5) if bound in (0.0, 1.0) else math.log(bound / (1 - bound))

    def look(here: Region, middle: np.ndarray) -> _Look:
        low, high = _odds(pairs, here)
        reached = high if side > 0 else -low
        if side > 0 and all(isinstance(pair, Linear) for pair in pairs):
            reached = min(reached, _highest(pairs, here, middle))
        if reached < side * target - _slack(pairs):
            return _Look(True)
        places = [middle, *(corner(pair, here, middle, side) for pair in pairs)]
        return _Look(False, [place[None] for place in places if side * float(combined(_raw(pairs, place[None]))[0]) >= side * target])

    def breaks(place: np.ndarray) -> bool:
        scores = of_class.scores(place)
        return scores is not None and bool(side * (scores[0] - bound) > 0)

    return _halving(pairs, region, look, breaks, limit=limit)


def prove_never(form: Several, asked: AskedClasses, region: Region, outcome: int, *, limit: int) -> Certificate:
    """That no decision is for that class: nowhere is it above all others."""
    pairs, of_class = _against(form, outcome), asked.of(outcome)

    def look(here: Region, middle: np.ndarray) -> _Look:
        if any(pair.bounds(here)[1] < -_slack(pairs) for pair in pairs):
            return _Look(True)
        places = [middle, *(corner(pair, here, middle, 1) for pair in pairs)]
        return _Look(False, [place[None] for place in places if float(_raw(pairs, place[None]).min()) >= 0])

    return _halving(pairs, region, look, lambda place: int(of_class.decisions(place)[0]) == 1, limit=limit)


def prove_monotone(form: Several, asked: AskedClasses, region: Region, outcome: int, *, at: int, sign: int, limit: int) -> Certificate:
    """That the score of a class never falls (`sign` 1) or never rises (-1) as one number rises: its slope has that sign or is 0 everywhere.

    It is refuted by two places where the log odds fall by more than single precision explains, and the model's own score falls.
    """
    pairs, of_class = _against(form, outcome), asked.of(outcome)
    if region.low[at] == region.high[at]:
        return Certificate(Answer.PROVED, METHOD)

    def look(here: Region, middle: np.ndarray) -> _Look:
        slopes = [slope_bounds(pair, here, at) for pair in pairs]
        worst = [low if sign > 0 else -high for low, high in slopes]
        if min(worst) >= 0:
            return _Look(True)
        if len(pairs) > 1 and least_mean(worst, *_shares(pairs, here)) > ROUNDING:
            return _Look(True)
        ends = np.stack([middle, middle])
        ends[:, at] = here.low[at], here.high[at]
        first, second = (_odds(pairs, _at(region, end)) for end in ends)
        falls = second[1] < first[0] if sign > 0 else second[0] > first[1]
        return _Look(False, [ends] if falls else [])

    def breaks(places: np.ndarray) -> bool:
        scores = of_class.scores(places)
        return scores is not None and bool(sign * (scores[1] - scores[0]) < 0)

    return _halving(pairs, region, look, breaks, limit=limit, joined=at)


def prove_invariant(
    form: Several, asked: AskedClasses, region: Region, positions: Sequence[int], *, outcome: int, tolerance: float | None, limit: int
) -> Certificate:
    """That changing the features, alone or together, never changes the decision, nor the score of a class by more than `tolerance`.

    The other inputs are halved until one class is above all others whatever the features are, and the score moves little enough.
    """
    smooth = [pair for pair in form.pairs.values() if isinstance(pair, Linear | Feedforward)]
    if all(change_bound(pair, region, positions) == 0.0 for pair in smooth):
        return Certificate(Answer.PROVED, METHOD)
    of_class = asked.of(outcome)

    def look(here: Region, middle: np.ndarray) -> _Look:
        parts = list(_parts(here, positions))
        decided = int(form.raw(middle[None])[0].argmax())
        slack = _slack(smooth)
        settled = all(pair.bounds(part)[0] > slack for part in parts for pair in _against(form, decided))
        if settled and tolerance is not None:
            settled = _most_moved(form, outcome, here, parts=parts, positions=positions) <= tolerance - slack
        if settled:
            return _Look(True)
        tried = _variants(form, parts, middle, positions)
        raw = form.raw(tried)
        found = []
        differ = np.flatnonzero(raw.argmax(axis=1) != raw[0].argmax())
        if len(differ):
            found.append(tried[[0, int(differ[0])]])
        if tolerance is not None:
            scores = form.scores(raw)[:, outcome]
            if np.ptp(scores) > tolerance:
                found.append(tried[[int(scores.argmin()), int(scores.argmax())]])
        return _Look(False, found)

    def breaks(places: np.ndarray) -> bool:
        decisions = asked.decisions(places)
        scores = of_class.scores(places) if tolerance is not None else None
        return bool(decisions[0] != decisions[1]) or (scores is not None and tolerance is not None and bool(abs(scores[1] - scores[0]) > tolerance))

    return _halving(smooth, region, look, breaks, limit=limit, kept=set(positions))


def _halving(
    pairs: Sequence[Smooth],
    region: Region,
    look: Callable[[Region, np.ndarray], _Look],
    breaks: Callable[[np.ndarray], bool],
    *,
    limit: int,
    kept: Collection[int] = (),
    joined: int | None = None,
) -> Certificate:
    """`kept` features are never halved; halves of `joined` share the place between them, also where it holds whole numbers only."""
    waiting, nodes, asked, open_place = [region], 0, 0, False
    while waiting:
        here = waiting.pop()
        if nodes >= limit:
            return Certificate(Answer.UNKNOWN, METHOD, nodes, LIMIT_REACHED)
        nodes += 1
        middle = middle_of(here, None)
        seen = look(here, middle)
        if seen.settled:
            continue
        for places in seen.places:
            asked += 1
            if asked <= MOST_ASKED and breaks(places):
                return Certificate(Answer.REFUTED, METHOD, nodes, places=places)
        halves = _halved(here, np.max([pair.pull(middle) for pair in pairs], axis=0), kept=kept, joined=joined)
        if halves is None:
            open_place = True
            continue
        waiting += halves
    return Certificate(Answer.UNKNOWN if open_place else Answer.PROVED, METHOD, nodes, INSEPARABLE if open_place else None)


def _halved(region: Region, pull: np.ndarray, *, kept: Collection[int], joined: int | None) -> list[Region] | None:
    """Two halves along the feature that moves the values most; None where nothing is left to halve."""
    width = np.array([
        (len(region.codes[at]) > 1) if feature.values is not None else region.high[at] - region.low[at]
        for at, feature in enumerate(region.space.features)
    ], dtype=float)  # fmt: skip
    weight = np.where([at in kept for at in range(len(width))], 0.0, width * (pull + 1e-12))
    for at in np.argsort(-weight):
        if weight[at] <= 0:
            return None
        if region.space.features[at].values is not None:
            return region.halves_of_codes(int(at))
        cut = (region.low[at] + region.high[at]) / 2
        ends = (cut, cut)
        if region.space.features[at].integer:
            ends = (np.floor(cut), np.floor(cut) + (at != joined))
        if ends[0] in (region.low[at], region.high[at]) and ends[0] == ends[1]:
            continue  # too narrow to be halved
        below, above = region.high.copy(), region.low.copy()
        below[at], above[at] = ends
        return [replace(region, high=below), replace(region, low=above)]
    return None


def _against(form: Several, outcome: int) -> list[Smooth]:
    return [pair for pair in form.against(outcome) if isinstance(pair, Linear | Feedforward)]


def _slack(pairs: Sequence[Smooth]) -> float:
    return ROUNDING if all(isinstance(pair, Linear) for pair in pairs) else SINGLE_SLACK


def _raw(pairs: Sequence[Smooth], places: np.ndarray) -> np.ndarray:
    return np.array([pair.raw(places) for pair in pairs])


def _odds(pairs: Sequence[Smooth], region: Region) -> tuple[float, float]:
    """Bounds of the log odds against all others."""
    bounds = np.array([pair.bounds(region) for pair in pairs])
    low, high = combined(bounds[:, 0]), combined(bounds[:, 1])
    slack = _slack(pairs) if len(pairs) > 1 else 0.0
    return float(low) - slack, float(high) + slack


def _highest(pairs: Sequence[Smooth], region: Region, middle: np.ndarray) -> float:
    """Never below the log odds in the region: they are concave, and lie under a weighted sum of differences plus the entropy of the weights."""
    weights = np.exp(-_raw(pairs, middle[None])[:, 0] + float(combined(_raw(pairs, middle[None]))[0]))
    weights = weights / weights.sum()
    linear = [pair for pair in pairs if isinstance(pair, Linear)]
    slopes = sum(weight * pair.slopes for weight, pair in zip(weights, linear, strict=True))
    total = sum(weight * pair.base for weight, pair in zip(weights, linear, strict=True))
    total += float(np.where(region.space.categorical, 0.0, np.maximum(slopes * region.low, slopes * region.high)).sum())
    for at in linear[0].terms:
        terms = sum(weight * pair.terms[at] for weight, pair in zip(weights, linear, strict=True))
        total += float(np.asarray(terms)[list(region.codes[at])].max())
    held = weights[weights > 0]
    return float(total - (held * np.log(held)).sum())


def _shares(pairs: Sequence[Smooth], region: Region) -> tuple[np.ndarray, np.ndarray]:
    """The least and the most that each difference weighs in the slope of the log odds."""
    low, high = np.array([pair.bounds(region) for pair in pairs]).T
    shift = low.min()
    most, least = np.exp(shift - low), np.exp(shift - high)
    others = ~np.eye(len(pairs), dtype=bool)
    others_least, others_most = (np.where(others, one, 0.0).sum(axis=1) for one in (least, most))
    return np.asarray(least / (least + others_most)), np.asarray(most / (most + others_least))


def _at(region: Region, place: np.ndarray) -> Region:
    codes = {at: (int(place[at]),) for at, one in enumerate(region.space.features) if one.values is not None}
    return replace(region, low=place, high=place, codes=codes)


def _most_moved(form: Several, outcome: int, region: Region, *, parts: Sequence[Region], positions: Sequence[int]) -> float:
    """How far the score can move at most: a quarter of how far the differences do, and no further than from its least to its largest value."""
    from scipy.special import expit

    pairs = _against(form, outcome)
    most = max(change_bound(pair, region, positions) for pair in pairs)
    bounds = [_odds(pairs, part) for part in parts]
    low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    return min(most, high - low) if form.link == "probability" else min(most / 4, float(expit(high) - expit(low)))


def _parts(region: Region, positions: Sequence[int]) -> Iterator[Region]:
    """The region once for each way to set the categories and whole numbers among the features, where there are few."""
    values = {at: region.codes[at] for at in positions if region.space.features[at].values is not None}
    for at in positions:
        if region.space.features[at].integer and at not in values and region.high[at] - region.low[at] < MOST_PARTS:
            values[at] = tuple(range(int(region.low[at]), int(region.high[at]) + 1))
    while math.prod(len(one) for one in values.values()) > MOST_PARTS:
        values.pop(max(values, key=lambda at: len(values[at])))
    for chosen in product(*values.values()):
        part = region
        for at, value in zip(values, chosen, strict=True):
            part = part.holding(at, float(value))
        yield part


def _variants(form: Several, parts: Sequence[Region], middle: np.ndarray, positions: Sequence[int]) -> np.ndarray:
    """Places that differ from the middle in the features alone: ends and middles of numbers, with the categories of every part."""
    rows = []
    for part in parts:
        ends = []
        for at in positions:
            if part.space.features[at].values is not None:
                ends.append([float(code) for code in part.codes[at][:MOST_PARTS]])
            else:
                ends.append(sorted({float(part.low[at]), float(middle[at]), float(part.high[at])}))
        for values in islice(product(*ends), MOST_PARTS):
            place = middle.copy()
            place[list(positions)] = values
            rows.append(place)
    return np.array(rows)
