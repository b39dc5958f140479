"""Proofs over trees of three or more classes: each property as a question about the differences of two classes, all of them searched at once.

The log odds of a class against all others are minus the log of the sum of exp(-difference) over the others. They rise with every difference, so
bounds of the differences bound them; where every tree has one leaf left, the model itself is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np

from rai_pipelines.assessments.verification import tree_proofs
from rai_pipelines.assessments.verification.certificates import Answer, Certificate
from rai_pipelines.assessments.verification.domain import Region
from rai_pipelines.assessments.verification.search import ROUNDING, Box, Part, search_above
from rai_pipelines.assessments.verification.several import AskedClasses, Several
from rai_pipelines.assessments.verification.tree_proofs import METHOD, Way, all_pairs, certificate, change, every_pair, held, neighbours, signed
from rai_pipelines.assessments.verification.trees import Ensemble


def prove_score(form: Several, asked: AskedClasses, region: Region, outcome: int, *, bound: float, side: int, limit: int) -> Certificate:
    """That the score of a class never rises above (`side` 1) or falls below (-1) a bound."""
    if form.own:
        return tree_proofs.prove_score(form.own[outcome], asked.of(outcome), region, bound, side, limit=limit)
    pairs, of_class = _against(form, outcome), asked.of(outcome)
    target = side * _log_odds(bound) - 2 * form.rounding - pairs[0].score_rounding / max(bound * (1 - bound), ROUNDING)

    def possible(tops: Sequence[float]) -> bool:
        return side * float(combined(side * np.array(tops))) > target

    def breaks(place: np.ndarray) -> bool:
        scores = of_class.scores(place)
        return scores is not None and bool(side * (scores[0] - bound) > 0)

    return _one_place(pairs, [Part(signed(pair.leaves, side), -math.inf) for pair in pairs], region, breaks, limit=limit, possible=possible)


def prove_never(form: Several, asked: AskedClasses, region: Region, outcome: int, *, limit: int) -> Certificate:
    """That no decision is for that class: nowhere is it above all others."""
    pairs, of_class = _against(form, outcome), asked.of(outcome)
    parts = [Part(pair.leaves, 0.0, pair.rounding) for pair in pairs]
    return _one_place(pairs, parts, region, lambda place: int(of_class.decisions(place)[0]) == 1, limit=limit)


def prove_monotone(form: Several, asked: AskedClasses, region: Region, outcome: int, *, at: int, sign: int, limit: int) -> Certificate:
    """That the score of a class never falls (`sign` 1) or never rises (-1) as one number rises; a change within rounding does not count."""
    if form.own:
        return tree_proofs.prove_monotone(form.own[outcome], asked.of(outcome), region, at, sign, limit=limit)
    pairs, of_class = _against(form, outcome), asked.of(outcome)

    def parts(first: int, second: int) -> Sequence[Part]:
        steps = [Part(signed(change(pair, at, first, second), -sign), 0.0) for pair in pairs]
        return [*steps, *(Part(held(pair, at, first), -math.inf) for pair in pairs)]  # so that all trees have one leaf when the model is asked

    def possible(tops: Sequence[float]) -> bool:
        return max(tops[: len(pairs)]) > 2 * form.rounding

    def breaks(places: np.ndarray) -> bool:
        odds = combined(np.array([pair.raw(places) for pair in pairs]))
        scores = of_class.scores(places)
        return bool(sign * (odds[1] - odds[0]) < -2 * form.rounding) and scores is not None and bool(sign * (scores[1] - scores[0]) < 0)

    return every_pair(pairs[0], region, at, [(parts, breaks, False, possible)], pairs=neighbours(pairs[0], region, at), limit=limit)


def prove_invariant(
    form: Several, asked: AskedClasses, region: Region, positions: Sequence[int], *, outcome: int, tolerance: float | None, limit: int
) -> Certificate:
    """That changing the features, alone or together, never changes the decision, nor the score of a class by more than `tolerance`.

    As for two classes: a chain of changes of one feature each, of which the tolerance is shared out.
    """
    nodes, unsettled = 0, None
    used = [at for at in positions if at in _ensemble(form).used]
    for at in used:
        grid = _ensemble(form)
        pairs = list(neighbours(grid, region, at) if tolerance is None else all_pairs(grid, region, at))
        ways = _decision_ways(form, asked, at)
        if tolerance is not None and form.own:
            ways = [*tree_proofs.score_ways(form.own[outcome], asked.of(outcome), at, tolerance, len(positions)), *ways]
        elif tolerance is not None:
            ways = [*_score_ways(form, asked, at, outcome, tolerance, features=len(positions)), *ways]
        found = every_pair(grid, region, at, ways, pairs=pairs, limit=limit - nodes)
        nodes += found.nodes
        if found.answer is Answer.REFUTED:
            return replace(found, nodes=nodes)
        unsettled = unsettled or (found if found.answer is Answer.UNKNOWN else None)
    if unsettled is not None:
        return replace(unsettled, nodes=nodes)
    return Certificate(Answer.PROVED, METHOD if used else tree_proofs.BY_STRUCTURE, nodes)


def combined(differences: np.ndarray) -> np.ndarray:
    """Log odds of a class from its differences to all others, along the first axis."""
    from scipy.special import logsumexp

    return np.asarray(-logsumexp(-np.asarray(differences, dtype=float), axis=0))


def _decision_ways(form: Several, asked: AskedClasses, at: int) -> list[Way]:
    """One class above all others in one cell, and another one in the other."""

    def differ(places: np.ndarray) -> bool:
        decisions = asked.decisions(places)
        return bool(decisions[0] != decisions[1])

    def parts(one: int, other: int) -> Callable[[int, int], Sequence[Part]]:
        pair = form.pairs[one, other]
        assert isinstance(pair, Ensemble)
        return lambda first, second: [
            Part(signed(change(pair, at, first, second), -1), 2 * ROUNDING),
            *(Part(held(more, at, first), 0.0, more.rounding) for more in _against(form, one)),
            *(Part(held(more, at, second), 0.0, more.rounding) for more in _against(form, other)),
        ]

    return [(parts(one, other), differ, True) for one, other in permutations(range(len(form.names)), 2)]


def _score_ways(form: Several, asked: AskedClasses, at: int, outcome: int, tolerance: float, *, features: int) -> list[Way]:
    """A change of the score beyond the tolerance: log odds move no further than the difference that moves most, and a score a quarter of that."""
    pairs, of_class = _against(form, outcome), asked.of(outcome)
    least = 4 * (tolerance / features - pairs[0].score_rounding) + 2 * ROUNDING

    def beyond(places: np.ndarray) -> bool:
        scores = of_class.scores(places)
        return scores is not None and bool(abs(scores[1] - scores[0]) > tolerance)

    def one(pair: Ensemble, sign: int) -> Callable[[int, int], Sequence[Part]]:
        return lambda first, second: [Part(signed(change(pair, at, first, second), sign), least, pair.rounding)]

    if features > 1:  # what one step may do is less than the tolerance, so that the model is not asked about a step beyond it
        return [(one(pair, sign), beyond, True) for pair in pairs for sign in (1, -1)]

    def every(first: int, second: int) -> Sequence[Part]:
        steps = [Part(signed(change(pair, at, first, second), sign), 0.0) for pair in pairs for sign in (1, -1)]
        return [*steps, *(Part(held(pair, at, first), -math.inf) for pair in pairs)]

    return [(every, beyond, False, lambda tops: max(tops[: 2 * len(pairs)]) > least)]


def _one_place(
    pairs: Sequence[Ensemble],
    parts: Sequence[Part],
    region: Region,
    breaks: Callable[[np.ndarray], bool],
    *,
    limit: int,
    possible: Callable[[Sequence[float]], bool] | None = None,
) -> Certificate:
    grid = pairs[0].grid

    def place(box: Box) -> np.ndarray:
        return grid.place(box, region)[None]

    found = search_above(parts, grid.box(region), lambda box: breaks(place(box)), limit=limit, possible=possible)
    return certificate(found, place(found.found) if found.found is not None else None, found.nodes)


def _against(form: Several, outcome: int) -> list[Ensemble]:
    return [pair for pair in form.against(outcome) if isinstance(pair, Ensemble)]


def _ensemble(form: Several) -> Ensemble:
    pair = form.first
    assert isinstance(pair, Ensemble)
    return pair


def _log_odds(score: float) -> float:
    return math.copysign(math.inf, score - 0.5) if score in (0.0, 1.0) else math.log(score / (1 - score))
