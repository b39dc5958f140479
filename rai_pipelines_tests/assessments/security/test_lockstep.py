"""Attacks that run at once find what each finds alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from rai_pipelines.assessments.security.lockstep import Ask, Question, run_in_lockstep

FEATURES = 5  # odd: the draws of an attack leave one of a pair of normal variates behind
ROWS = 24


def decide(rows: np.ndarray) -> np.ndarray:
    return np.eye(2, dtype=np.float32)[(rows[:, 0] + rows[:, 1] * rows[:, 2] > 0.3).astype(int)]


def people() -> tuple[np.ndarray, np.ndarray]:
    rows = np.random.default_rng(0).normal(size=(ROWS, FEATURES)).astype(np.float32)
    decisions = decide(rows)[:, 1]
    return rows, np.array([rows[np.flatnonzero(decisions != mine)[0]] for mine in decisions])


def answer(questions: Sequence[Question]) -> list[np.ndarray]:
    asked = np.concatenate([rows for _, rows in questions])
    return np.split(decide(asked), np.cumsum([len(rows) for _, rows in questions])[:-1])


def hop_skip_jump(classifier: Any) -> Any:
    from art.attacks.evasion import HopSkipJump

    return HopSkipJump(classifier, norm=2, max_iter=3, init_eval=15, max_eval=40, batch_size=4096, verbose=False)


def boundary(classifier: Any) -> Any:
    from art.attacks.evasion import BoundaryAttack

    return BoundaryAttack(classifier, targeted=False, max_iter=4, batch_size=4096, verbose=False)


@pytest.mark.parametrize("make", [hop_skip_jump, boundary])
@pytest.mark.parametrize("at_once", [1, 3, 256])
def test_every_attack_equals_the_librarys_own_run_alone_on_the_same_seed(make: Callable[[Any], Any], at_once: int) -> None:
    from art.estimators.classification import BlackBoxClassifier

    rows, starts = people()

    def attack(number: int) -> Callable[[Ask], np.ndarray]:
        def run(ask: Ask) -> np.ndarray:
            classifier = BlackBoxClassifier(ask, (FEATURES,), 2, clip_values=(np.full(FEATURES, -5.0), np.full(FEATURES, 5.0)))
            found: np.ndarray = make(classifier).generate(rows[number : number + 1], x_adv_init=starts[number : number + 1].copy())
            return found

        return run

    alone = []
    for number in range(ROWS):
        np.random.seed(number + 100)
        alone.append(attack(number)(decide))
    together = run_in_lockstep([attack(number) for number in range(ROWS)], answer, seeds=range(100, 100 + ROWS), at_once=at_once)
    assert all((one == other).all() for one, other in zip(alone, together, strict=True))
    assert not np.array_equal(np.concatenate(alone), rows)


def test_draws_that_come_in_pairs_survive_the_change_of_attack() -> None:
    def attack(ask: Ask) -> list[float]:
        drawn = []
        for count in (1, 2, 3, 1, 1):
            drawn += np.random.randn(count).tolist()
            ask(np.zeros((1, FEATURES)))
        return [*drawn, float(np.random.rand())]

    expected = []
    for seed in (5, 6):
        np.random.seed(seed)
        expected.append(attack(decide))
    assert run_in_lockstep([attack, attack], answer, seeds=(5, 6)) == expected


def test_the_callers_generator_goes_on_as_if_nothing_had_happened() -> None:
    np.random.seed(1)
    np.random.randn(3)
    state: Any = np.random.get_state(legacy=False)
    run_in_lockstep([lambda ask: ask(np.random.randn(1, FEATURES))] * 4, answer, seeds=range(4))
    after: Any = np.random.get_state(legacy=False)
    assert (after["state"]["key"] == state["state"]["key"]).all()
    assert (after["has_gauss"], after["gauss"]) == (state["has_gauss"], state["gauss"])


def test_questions_of_a_round_are_asked_together() -> None:
    rounds: list[int] = []

    def counting(questions: Sequence[Question]) -> list[np.ndarray]:
        rounds.append(len(questions))
        return answer(questions)

    def attack(ask: Ask) -> int:
        return sum(len(ask(np.zeros((2, FEATURES)))) for _ in range(3))

    assert run_in_lockstep([attack] * 10, counting, seeds=range(10)) == [6] * 10
    assert rounds == [10, 10, 10]


def test_an_attack_that_asks_nothing_and_one_that_fails() -> None:
    assert run_in_lockstep([lambda ask: 7, lambda ask: 8], answer, seeds=(1, 2), at_once=1) == [7, 8]
    assert run_in_lockstep([], answer, seeds=()) == []

    def fail(ask: Ask) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_in_lockstep([lambda ask: ask(np.zeros((1, FEATURES))), fail], answer, seeds=(1, 2))
    with pytest.raises(ValueError, match="2 attacks need as many seeds, not 1"):
        run_in_lockstep([fail, fail], answer, seeds=(1,))


def test_a_model_that_fails_ends_all_attacks_and_each_cleans_up() -> None:
    left: list[int] = []

    def attack(ask: Ask) -> None:
        try:
            ask(np.zeros((1, FEATURES)))
        finally:
            left.append(1)

    def broken(questions: Sequence[Question]) -> list[np.ndarray]:
        raise RuntimeError("the model is gone")

    np.random.seed(3)
    state: Any = np.random.get_state(legacy=False)
    with pytest.raises(RuntimeError, match="the model is gone"):
        run_in_lockstep([attack] * 5, broken, seeds=range(5))
    assert len(left) == 5
    assert (np.random.get_state(legacy=False)["state"]["key"] == state["state"]["key"]).all()  # type: ignore[call-overload, index]
