"""Run many black-box attacks at once, so that a model answers all their questions of one round together.

The Adversarial Robustness Toolbox (ART) attacks one sample after the other and asks about one to a few hundred rows at a time; most of a
model's time goes into starting to answer. Here every attack is a greenlet that stops when it asks, a hub collects the questions of all,
asks once, and lets each go on with its own answer.

ART draws from NumPy's global generator. Every attack has a generator of its own, seeded as `numpy.random.seed` does and put in place of the
global one while the attack runs, so what an attack finds is what it finds when it runs alone, however many run beside it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.random import mtrand

AT_ONCE = 256  # attacks that are under way together; more use more memory and save little
Result = TypeVar("Result")
Ask = Callable[[np.ndarray], np.ndarray]
Question = tuple[int, np.ndarray]  # number of the attack, and the rows it asks about
STATE_WORDS = 625  # of a Mersenne twister: 624 of its key and its position


def run_in_lockstep(
    attacks: Sequence[Callable[[Ask], Result]],
    answer: Callable[[Sequence[Question]], Sequence[np.ndarray]],
    *,
    seeds: Sequence[int],
    at_once: int = AT_ONCE,
) -> list[Result]:
    """Run every attack to its end and return their results in order.

    Args:
        attacks: functions that get `ask(rows) -> answers`, which stands for the model.
        answer: answers the questions of one round, in order. What it raises ends all attacks and is raised here.
        seeds: one seed per attack, 0 to 2**32 - 1: `numpy.random` as each attack finds it.
        at_once: attacks under way together. Results do not depend on it.

    Raises:
        ValueError: there are not as many seeds as attacks.
    """
    from greenlet import GreenletExit, getcurrent, greenlet

    if len(seeds) != len(attacks):
        raise ValueError(f"{len(attacks)} attacks need as many seeds, not {len(seeds)}")
    hub = getcurrent()
    results: dict[int, Result] = {}

    def start(number: int) -> Any:
        def body() -> None:
            results[number] = attacks[number](lambda rows: hub.switch((number, rows)))

        return greenlet(body)

    under_way: dict[int, tuple[Any, _Stream]] = {}
    with _own_generator_kept():
        try:
            waiting = iter(range(len(attacks)))
            pending: list[Question] = []
            while True:
                for number in islice(waiting, max(0, at_once - len(under_way))):
                    under_way[number] = start(number), _Stream(seeds[number])
                    pending += _resume(under_way, number, None)
                if len(results) == len(attacks):
                    return [results[number] for number in range(len(attacks))]
                answers = answer(pending) if pending else []
                asked, pending = pending, []
                for (number, _), answered in zip(asked, answers, strict=True):
                    pending += _resume(under_way, number, answered)
        finally:
            for task, _ in under_way.values():
                task.throw(GreenletExit)


def _resume(under_way: dict[int, tuple[Any, _Stream]], number: int, answered: np.ndarray | None) -> list[Question]:
    """Let one attack go on until its next question; none when it has ended."""
    task, stream = under_way[number]
    stream.enter()
    try:
        question = task.switch() if answered is None else task.switch(answered)
    except BaseException:
        del under_way[number]
        raise
    stream.leave()
    if task.dead:
        del under_way[number]
        return []
    return [question]


@dataclass
class _Stream:
    """The global generator as one attack sees it."""

    seed: int
    bits: np.random.MT19937 | None = None
    spare: dict[str, Any] | None = None  # the state while a second normal variate, of those drawn in pairs, waits to be handed out
    before: bytes = field(default=b"", repr=False)

    def enter(self) -> None:
        if self.bits is None:
            self.bits = np.random.MT19937()
            mtrand.set_bit_generator(self.bits)
            np.random.seed(self.seed)
        else:
            mtrand.set_bit_generator(self.bits)
            if self.spare is not None:  # putting a generator in place drops it
                np.random.set_state(self.spare)
        self.before = _fingerprint(self.bits)

    def leave(self) -> None:
        """Keep the waiting variate. Reading a state is slow, so only where something was drawn."""
        assert self.bits is not None
        if self.spare is not None or not self.before or _fingerprint(self.bits) != self.before:
            state: dict[str, Any] = np.random.get_state(legacy=False)
            self.spare = state if state["has_gauss"] else None


def _fingerprint(bits: np.random.MT19937) -> bytes:
    """The words of a generator's state, read from memory; empty where NumPy lays them out differently, and then nothing is spared."""
    return ctypes.string_at(bits.ctypes.state_address, 4 * STATE_WORDS) if _is_laid_out_as_expected() else b""


@cache
def _is_laid_out_as_expected() -> bool:
    bits = np.random.MT19937(1)
    bits.random_raw(3)
    state: Any = bits.state["state"]
    words = np.frombuffer(ctypes.string_at(bits.ctypes.state_address, 4 * STATE_WORDS), dtype=np.uint32)
    return bool((words[:-1] == state["key"]).all() and words[-1] == state["pos"])


@contextmanager
def _own_generator_kept() -> Iterator[None]:
    """NumPy's global generator, afterwards, as the caller left it."""
    bits, state = mtrand.get_bit_generator(), np.random.get_state(legacy=False)
    try:
        yield
    finally:
        mtrand.set_bit_generator(bits)
        if isinstance(bits, np.random.MT19937):
            np.random.set_state(state)
