"""What every attack works with: a decision function that counts, how hard to try, and what was found."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from rai_pipelines.assessments.security.feature_space import FeatureSpace

BEYOND = (1.0 + 1e-6, 1.001, 1.01)  # where a finding that was not confirmed is looked for again, as a share of its distance


@dataclass
class Oracle:
    """A decision function over feature vectors that counts the rows it is asked about. Decisions are numbers of classes."""

    decide: Callable[[np.ndarray], np.ndarray]
    queries: int = 0

    def ask(self, rows: np.ndarray) -> np.ndarray:
        """Decisions, shape (rows,)."""
        self.queries += len(rows)
        return np.asarray(self.decide(rows), dtype=np.int64) if len(rows) else np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Effort:
    """How hard the attacks try on one row. All are counts, so that a slow machine finds the same.

    `allowance` is the number of rows that may be asked about for one row under attack, repeated ones included; attacks share it.
    """

    starts: int = 100
    neighbours: int = 150
    max_iter: int = 4
    init_eval: int = 60
    max_eval: int = 200
    boundary_iterations: int = 8
    gradient_steps: int = 20
    allowance: int = 10**9

    def share(self, part: float) -> Effort:
        """A part of the effort, at least one of everything; the starting points stay."""
        counts = ("neighbours", "max_iter", "init_eval", "max_eval", "boundary_iterations", "gradient_steps", "allowance")
        return replace(self, **{name: max(1, int(getattr(self, name) * part)) for name in counts})


@dataclass
class Guard:
    """A hard end in seconds, for a model that hangs. Counts, not this, limit the attacks; when it is hit, `hit` says so for good."""

    seconds: float
    hit: bool = False
    started: float = field(default_factory=time.monotonic)

    def check(self) -> bool:
        """Whether the time is over."""
        self.hit = self.hit or time.monotonic() - self.started > self.seconds
        return self.hit


@dataclass(frozen=True)
class Attacked:
    """For each row the nearest valid row with another decision, and how far it is; infinite when none was found.

    `asked` counts what the attack asked about, repeated rows included; `cut` the rows whose attack ended at its allowance.
    """

    rows: np.ndarray
    distance: np.ndarray
    without_start: int = 0
    asked: int = 0
    cut: int = 0

    @classmethod
    def nothing(cls, rows: np.ndarray) -> Attacked:
        """No row has a counterexample."""
        return cls(rows.copy(), np.full(len(rows), np.inf))

    def within(self, epsilon: float) -> np.ndarray:
        """The rows that were broken at that distance or nearer."""
        return np.asarray(self.distance <= epsilon)

    def part(self, number: int) -> Attacked:
        """The first rows alone."""
        return replace(self, rows=self.rows[:number], distance=self.distance[:number])


def nearest_of(found: list[Attacked], rows: np.ndarray) -> Attacked:
    """For each row the nearest that any of the attacks found; of equals the first."""
    nearest = Attacked.nothing(rows)
    for one in found:
        better = one.distance < nearest.distance
        nearest = replace(nearest, rows=np.where(better[:, None], one.rows, nearest.rows), distance=np.where(better, one.distance, nearest.distance))
    return nearest


def best_of(oracle: Oracle, space: FeatureSpace, rows: np.ndarray, decisions: np.ndarray, *, candidates: np.ndarray, owner: np.ndarray) -> Attacked:
    """Ask about all candidates at once and keep the nearest counterexample of each row; of equals the first candidate."""
    found = replace(Attacked.nothing(rows), asked=len(candidates))
    if not len(candidates):
        return found
    flipped = np.flatnonzero(oracle.ask(candidates) != decisions[owner])
    length = space.distance(candidates[flipped], rows[owner[flipped]])
    order = np.lexsort((flipped, length, owner[flipped]))
    owners, first = np.unique(owner[flipped][order], return_index=True)
    chosen = order[first]
    found.rows[owners], found.distance[owners] = candidates[flipped[chosen]], length[chosen]
    return found


def confirmed(oracle: Oracle, space: FeatureSpace, rows: np.ndarray, attacked: Attacked, *, instead: Attacked | None = None) -> tuple[Attacked, int]:
    """What the model, asked again about the final rows, really decides differently, and how many findings it did not confirm at once.

    `oracle` may be another way to ask the model than the one that found them, which rounds differently: a finding that is not confirmed
    is looked for once more a little further out, then among `instead`, and else counts as not found.
    """
    found = np.isfinite(attacked.distance)
    decisions = oracle.ask(rows)
    checked = np.zeros(len(rows), dtype=bool)
    checked[found] = oracle.ask(attacked.rows[found]) != decisions[found]
    lost = np.flatnonzero(found & ~checked)
    kept = replace(attacked, rows=np.where(checked[:, None], attacked.rows, rows), distance=np.where(checked, attacked.distance, np.inf))
    if not len(lost):
        return kept, 0
    base = rows[lost]
    tries = [space.project(base + factor * np.nan_to_num(attacked.rows[lost] - base), base) for factor in BEYOND]
    if instead is not None:
        tries.append(np.where(np.isfinite(instead.distance[lost])[:, None], instead.rows[lost], base))
    repaired = best_of(oracle, space, rows, decisions, candidates=np.concatenate(tries), owner=np.tile(lost, len(tries)))
    nearest = nearest_of([kept, repaired], rows)
    return replace(attacked, rows=nearest.rows, distance=nearest.distance), len(lost)
