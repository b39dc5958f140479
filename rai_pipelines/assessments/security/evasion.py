"""Decision-based evasion attacks of the Adversarial Robustness Toolbox (ART), many at once, among rows that could exist.

Whatever row ART asks about, the model is asked about the nearest row that the attacker may make (`FeatureSpace.project`), so what is
found needs no repair. Inputs are standardised first: on raw amounts the attacks find nothing (ART issue 2388).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.security.lockstep import AT_ONCE, Ask, Question, run_in_lockstep
from rai_pipelines.assessments.security.neighbours import shrunk
from rai_pipelines.assessments.security.oracle import Attacked, Effort, Guard, Oracle

HOP_SKIP_JUMP = "hop_skip_jump"
BOUNDARY = "boundary"
ONE_QUESTION = 100_000  # rows ART may ask about at once: it must not divide a question


class _Ended(Exception):
    """An attack on one row ends: its allowance is used up, or time is over."""


def black_box(
    name: str,
    oracle: Oracle,
    space: FeatureSpace,
    rows: np.ndarray,
    *,
    starts: Attacked,
    effort: Effort,
    seeds: Sequence[int],
    guard: Guard,
    at_once: int = AT_ONCE,
) -> Attacked:
    """HopSkipJump (Chen, Jordan and Wainwright 2020) or the boundary attack (Brendel, Rauber and Bethge 2018): L2, untargeted.

    They see the movable features in standard deviations of training and start from the counterexamples of `starts`; a row without one is
    not attacked (ART would draw its start without a seed).
    """
    decisions = oracle.ask(rows)
    desk = _Desk(oracle, space, rows, decisions, starts)
    usable = desk.usable_starts()
    low, high = desk.bounds()
    make = _makers(effort)[name]

    def attack(position: int) -> Callable[[Ask], bool]:
        def run(ask: Ask) -> bool:
            left = effort.allowance

            def within_allowance(question: np.ndarray) -> np.ndarray:
                nonlocal left
                left -= len(question)
                if left < 0 or guard.check():
                    raise _Ended
                return ask(question)

            classifier = _black_box_classifier(within_allowance, (low[position], high[position]))
            try:
                with np.errstate(invalid="ignore", divide="ignore"):  # a direction of length zero; see `_Desk.answer`
                    make(classifier).generate(desk.origin[position][None], x_adv_init=desk.start[position][None].copy())
            except _Ended:
                return True
            return False

        return run

    numbers = np.flatnonzero(usable)
    with _quiet():
        cut = run_in_lockstep(
            [attack(int(position)) for position in numbers],
            lambda questions: desk.answer([(int(numbers[number]), asked) for number, asked in questions]),
            seeds=[seeds[int(position)] for position in numbers],
            at_once=at_once,
        )
    found = shrunk(oracle, space, rows, decisions, desk.found)
    return replace(found, without_start=int((~usable).sum()), asked=found.asked + desk.asked + starts.asked, cut=sum(cut))


class _Desk:
    """Answers ART's questions: valid rows only, each asked once per attack, the nearest counterexample of each attack remembered."""

    def __init__(self, oracle: Oracle, space: FeatureSpace, rows: np.ndarray, decisions: np.ndarray, starts: Attacked) -> None:
        self.oracle, self.space, self.rows, self.decisions, self.starts = oracle, space, rows, decisions, starts
        self.scale = space.step[space.movable]
        self.origin, self.start = (self._scaled(vectors) for vectors in (rows, starts.rows))
        self.known: dict[int, dict[bytes, int]] = {}
        self.found = replace(starts, rows=starts.rows.copy(), distance=starts.distance.copy(), asked=0)
        self.asked = 0

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest value of each movable feature of each row, as ART sees them.

        A feature that cannot move in a row (its value is missing, or at the end of its only direction) gets room that leads nowhere,
        because ART divides by the room.
        """
        low, high = (self._scaled(limit) for limit in self.space.bounds(self.rows))
        stuck = high <= low
        return np.where(stuck, self.origin - 1, low), np.where(stuck, self.origin + 1, high)

    def usable_starts(self) -> np.ndarray:
        """Rows whose start, rounded as ART rounds it, still has another decision; without one ART draws a start of its own, unseeded."""
        usable = np.isfinite(self.starts.distance) & (len(self.scale) > 0)
        rounded = self._rows(self.start[usable], self.rows[usable])
        usable[usable] = self.oracle.ask(rounded) != self.decisions[usable]
        return np.asarray(usable)

    def answer(self, questions: Sequence[Question]) -> list[np.ndarray]:
        """For each question whether the decision stays (first column) or changes (second), one-hot, shape (rows, 2); positions stand before it.

        Nothing is aimed at a certain class, so of several classes it matters only whether it is still the same.
        """
        lengths = [len(asked) for _, asked in questions]
        owner = np.repeat([position for position, _ in questions], lengths)
        scaled = np.concatenate([asked for _, asked in questions])
        self.asked += len(scaled)
        candidates = self._rows(scaled, self.rows[owner])
        keys: list[bytes] = candidates.view(np.dtype((np.void, candidates.itemsize * candidates.shape[1]))).ravel().tolist()  # type: ignore[assignment]
        answers, new = self._look_up(owner.tolist(), keys)
        if new:
            decisions = self.oracle.ask(candidates[new])
            for at, decision in zip(new, decisions.tolist(), strict=True):
                self.known[int(owner[at])][keys[at]] = decision
            answers = [self.known[at][key] for at, key in zip(owner.tolist(), keys, strict=True)]
            self._remember(candidates[new], owner[new], decisions)
        changed = np.array(answers) != self.decisions[owner]
        # a direction of length zero gives NaN; only a change ends ART's search for a step, and ART then gives the row up
        changed |= np.isnan(scaled).any(axis=1)
        return np.split(np.eye(2, dtype=np.float32)[changed.astype(int)], np.cumsum(lengths)[:-1])

    def _look_up(self, owner: list[int], keys: list[bytes]) -> tuple[list[int], list[int]]:
        """Known answers, -1 where there is none, and the places of the rows to ask about, each once."""
        answers, new = [], []
        for at, (position, key) in enumerate(zip(owner, keys, strict=True)):
            known = self.known.setdefault(position, {})
            if key not in known:
                known[key] = -1
                new.append(at)
            answers.append(known[key])
        return answers, new

    def _remember(self, asked: np.ndarray, owner: np.ndarray, decisions: np.ndarray) -> None:
        flipped = np.flatnonzero(decisions != self.decisions[owner])
        length = self.space.distance(asked[flipped], self.rows[owner[flipped]])
        order = np.lexsort((flipped, length, owner[flipped]))
        owners, first = np.unique(owner[flipped][order], return_index=True)
        chosen = order[first]
        better = length[chosen] < self.found.distance[owners]
        self.found.rows[owners[better]] = asked[flipped[chosen[better]]]
        self.found.distance[owners[better]] = length[chosen[better]]

    def _scaled(self, vectors: np.ndarray) -> np.ndarray:
        return np.asarray(np.nan_to_num(vectors[:, self.space.movable]) / self.scale, dtype=np.float32)

    def _rows(self, scaled: np.ndarray, origin: np.ndarray) -> np.ndarray:
        candidates = origin.copy()
        candidates[:, self.space.movable] = scaled.astype(float) * self.scale
        return np.ascontiguousarray(self.space.project(candidates, origin))


@contextmanager
def _quiet() -> Iterator[None]:
    """ART warns once for every row that it did not improve; how many rows held is in the figures."""
    logger = logging.getLogger("art.attacks")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _makers(effort: Effort) -> dict[str, Callable[[Any], Any]]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PyTorch not found", category=UserWarning)  # needed by none of the attacks here
        from art.attacks.evasion import BoundaryAttack, HopSkipJump
    common: dict[str, Any] = {"targeted": False, "batch_size": ONE_QUESTION, "verbose": False}
    steps = {"max_iter": effort.max_iter, "init_eval": effort.init_eval, "max_eval": max(effort.max_eval, effort.init_eval)}
    return {
        HOP_SKIP_JUMP: lambda classifier: HopSkipJump(classifier, norm=2, **steps, **common),
        BOUNDARY: lambda classifier: BoundaryAttack(classifier, max_iter=effort.boundary_iterations, **common),
    }


def _black_box_classifier(predict: Ask, clip: tuple[np.ndarray, np.ndarray]) -> Any:
    from art.estimators.classification import BlackBoxClassifier

    return BlackBoxClassifier(predict, input_shape=clip[0].shape, nb_classes=2, clip_values=clip)
