"""Black-box evasion attacks that stay in the valid feature space: HopSkipJump (from ART) and a search among valid neighbours.

Both ask the model only about rows that could exist, so what they find needs no repair; and every finding is asked for once more.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from rai_pipelines.assessments.security.feature_space import FeatureSpace

MOST_CHANGES = 4  # features that one random neighbour changes at most
HOP_SKIP_JUMP = "hop_skip_jump"
VALID_NEIGHBOURS = "valid_neighbours"


@dataclass
class Oracle:
    """A decision function over feature vectors that counts the rows it is asked about. Decisions are 0 or 1."""

    decide: Callable[[np.ndarray], np.ndarray]
    queries: int = 0

    def ask(self, rows: np.ndarray) -> np.ndarray:
        """Decisions, shape (rows,)."""
        self.queries += len(rows)
        return np.asarray(self.decide(rows), dtype=np.int64) if len(rows) else np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Budget:
    """How hard the attacks try. All are counts, so that a slow machine finds the same."""

    max_iter: int
    init_eval: int
    max_eval: int
    neighbours: int
    starts: int


@dataclass
class Attacked:
    """For each row the nearest valid row with another decision, and how far it is; infinite when none was found."""

    rows: np.ndarray
    distance: np.ndarray
    without_start: int = 0


def nearest_known_counterexamples(oracle: Oracle, space: FeatureSpace, rows: np.ndarray, pool: np.ndarray, budget: Budget) -> Attacked:
    """For each row, training values of the movable features that change the decision: where HopSkipJump starts from."""
    decisions = oracle.ask(rows)
    known = oracle.ask(pool)
    candidates, owner = [], []
    for position, row in enumerate(rows):
        others = space.project(_graft(space, row, pool[known != decisions[position]]), row)
        others = others[np.argsort(space.distance(others, row), kind="stable")[: budget.starts]]
        candidates.append(others)
        owner += [position] * len(others)
    return _best(oracle, space, rows, decisions, candidates=np.concatenate(candidates), owner=np.array(owner, dtype=int))


def search_valid_neighbours(
    oracle: Oracle, space: FeatureSpace, rows: np.ndarray, *, epsilon: float, budget: Budget, seed: tuple[int, ...]
) -> Attacked:
    """Changes of one feature to values across its range, and random changes of up to four, all within `epsilon`; then made smaller."""
    rng = np.random.default_rng(list(seed))
    decisions = oracle.ask(rows)
    candidates, owner = [], []
    for position, row in enumerate(rows):
        tried = np.concatenate([_single_changes(space, row, epsilon), _random_changes(space, row, epsilon, budget.neighbours, rng)])
        tried = np.unique(space.project(tried, row), axis=0)
        length = space.distance(tried, row)
        tried = tried[(length > 0) & (length <= epsilon)]
        candidates.append(tried)
        owner += [position] * len(tried)
    found = _best(oracle, space, rows, decisions, candidates=np.concatenate(candidates), owner=np.array(owner, dtype=int))
    return _shrink(oracle, space, rows, decisions, found)


def hop_skip_jump(oracle: Oracle, space: FeatureSpace, rows: np.ndarray, *, starts: Attacked, budget: Budget, seed: int) -> Attacked:
    """HopSkipJump (Chen, Jordan and Wainwright 2020), L2, untargeted, on the movable features in standard deviations of training.

    It starts from the counterexamples of `starts`; a row without one is not attacked (ART would draw its start without a seed).
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PyTorch not found", category=UserWarning)  # needed by none of the attacks here
        from art.attacks.evasion import HopSkipJump
        from art.estimators.classification import BlackBoxClassifier

    decisions = oracle.ask(rows)
    best = Attacked(rows.copy(), np.full(len(rows), np.inf), without_start=int(np.isinf(starts.distance).sum()))
    step = np.array([feature.step for feature in space.features])
    low, high = (np.array([getattr(feature, name) for feature in space.features]) for name in ("low", "high"))
    with _numpy_seeded(seed):
        for position in np.flatnonzero(np.isfinite(starts.distance)):
            origin = rows[position]
            moving = np.array([at for at in space.movable if not np.isnan(origin[at])], dtype=int)
            bounds = np.minimum(low, origin)[moving] / step[moving], np.maximum(high, origin)[moving] / step[moving]
            questions = _Questions(oracle, space, origin, moving=moving, step=step, decision=int(decisions[position]))
            classifier = BlackBoxClassifier(questions.answer, input_shape=(len(moving),), nb_classes=2, clip_values=bounds)
            attack = HopSkipJump(
                classifier, norm=2, max_iter=budget.max_iter, max_eval=budget.max_eval, init_eval=budget.init_eval, batch_size=4096, verbose=False
            )
            start = (starts.rows[position][moving] / step[moving]).astype(np.float32)[None]
            attack.generate((origin[moving] / step[moving]).astype(np.float32)[None], x_adv_init=start)
            best.rows[position], best.distance[position] = questions.nearest(starts.rows[position], starts.distance[position])
    return _shrink(oracle, space, rows, decisions, best)


def verified(oracle: Oracle, space: FeatureSpace, rows: np.ndarray, attacked: Attacked) -> Attacked:
    """What the model, asked again about the final rows, really decides differently; the rest counts as not found."""
    flipped = oracle.ask(space.project(attacked.rows, rows)) != oracle.ask(rows)
    distance = np.where(flipped & np.isfinite(attacked.distance), space.distance(attacked.rows, rows), np.inf)
    return Attacked(attacked.rows, distance, attacked.without_start)


class _Questions:
    """The function that ART sees for one row: valid rows only, each asked once, the nearest counterexample remembered."""

    def __init__(self, oracle: Oracle, space: FeatureSpace, origin: np.ndarray, *, moving: np.ndarray, step: np.ndarray, decision: int) -> None:
        self.oracle, self.space, self.origin, self.moving, self.step, self.decision = oracle, space, origin, moving, step, decision
        self.known: dict[bytes, int] = {}
        self.best: tuple[np.ndarray, float] | None = None

    def answer(self, scaled: np.ndarray) -> np.ndarray:
        """One-hot decisions of standardised movable features, shape (rows, 2)."""
        candidates = np.repeat(self.origin[None], len(scaled), axis=0)
        candidates[:, self.moving] = scaled.astype(float) * self.step[self.moving]
        impossible = np.isnan(scaled).any(axis=1)
        candidates = self.space.project(candidates, self.origin)
        keys = [row.tobytes() for row in candidates]
        new = {key: at for at, key in enumerate(keys) if key not in self.known}
        if new:
            asked = candidates[list(new.values())]
            decisions = self.oracle.ask(asked)
            self.known |= dict(zip(new, (int(decision) for decision in decisions), strict=True))
            self._remember(asked[decisions != self.decision])
        answers = np.array([self.known[key] for key in keys])
        # a direction of length zero gives NaN; only the other class ends ART's search for a step, and ART then gives the row up
        answers[impossible] = 1 - self.decision
        return np.asarray(np.eye(2, dtype=np.float32)[answers])

    def nearest(self, start: np.ndarray, distance: float) -> tuple[np.ndarray, float]:
        """The nearest valid row with another decision of all that were asked about, the start included."""
        return self.best if self.best is not None and self.best[1] < distance else (start, distance)

    def _remember(self, found: np.ndarray) -> None:
        if len(found):
            lengths = self.space.distance(found, self.origin)
            nearest = int(lengths.argmin())
            if self.best is None or lengths[nearest] < self.best[1]:
                self.best = found[nearest], float(lengths[nearest])


def _graft(space: FeatureSpace, row: np.ndarray, donors: np.ndarray) -> np.ndarray:
    grafted = np.repeat(row[None], len(donors), axis=0)
    grafted[:, space.movable] = donors[:, space.movable]
    return grafted


def _single_changes(space: FeatureSpace, row: np.ndarray, epsilon: float) -> np.ndarray:
    """Every other category, and 16 values of each number within reach of `epsilon`."""
    changed = []
    for position in space.movable:
        feature = space.features[position]
        if np.isnan(row[position]):
            continue
        if feature.values is not None:
            values = np.arange(len(feature.values), dtype=float) if epsilon >= space.category_step else np.empty(0)
        else:
            values = row[position] + feature.step * epsilon * np.concatenate([np.linspace(-1, -0.02, 8), np.linspace(0.02, 1, 8)])
            if feature.integer:  # rounding outward would leave the budget
                values = np.concatenate([np.trunc(values - row[position]) + row[position], [row[position] - 1, row[position] + 1]])
        block = np.repeat(row[None], len(values), axis=0)
        block[:, position] = values
        changed.append(block)
    return np.concatenate(changed) if changed else np.empty((0, len(row)))


def _random_changes(space: FeatureSpace, row: np.ndarray, epsilon: float, number: int, rng: np.random.Generator) -> np.ndarray:
    """Changes of one to four movable features at once: categories as far as the budget goes, numbers within what they leave of it."""
    movable = np.array([position for position in space.movable if not np.isnan(row[position])], dtype=int)
    if not len(movable):
        return np.empty((0, len(row)))
    features = [space.features[position] for position in movable]
    categorical = np.array([feature.values is not None for feature in features])
    rank = rng.random((number, len(movable))).argsort(axis=1).argsort(axis=1)
    chosen = rank < rng.integers(1, MOST_CHANGES + 1, size=(number, 1))
    order = np.where(chosen & categorical, rank, len(movable)).argsort(axis=1).argsort(axis=1)
    swapped = chosen & categorical & (order < int(epsilon**2 / space.category_step**2 + 1e-9))
    left = np.sqrt(np.maximum(epsilon**2 - swapped.sum(axis=1) * space.category_step**2, 0.0))
    move = rng.standard_normal(rank.shape) * (chosen & ~categorical)
    length = np.linalg.norm(move, axis=1)
    move *= (left * np.sqrt(rng.random(number)) / np.where(length > 0, length, 1.0))[:, None]
    step = np.array([feature.step for feature in features])
    codes = rng.integers(0, [int(feature.high) + 1 if feature.values is not None else 1 for feature in features], size=rank.shape)
    block = np.repeat(row[None], number, axis=0)
    block[:, movable] = np.where(swapped, codes, row[movable] + move * step)
    return block


def _best(oracle: Oracle, space: FeatureSpace, rows: np.ndarray, decisions: np.ndarray, *, candidates: np.ndarray, owner: np.ndarray) -> Attacked:
    """Ask about all candidates at once and keep the nearest counterexample of each row."""
    found = Attacked(rows.copy(), np.full(len(rows), np.inf))
    if not len(candidates):
        return found
    flipped = oracle.ask(candidates) != decisions[owner]
    length = np.where(flipped, space.distance(candidates, rows[owner]), np.inf)
    for at in np.lexsort((np.arange(len(length)), length)):
        if np.isinf(length[at]):
            break
        if np.isinf(found.distance[owner[at]]):
            found.rows[owner[at]], found.distance[owner[at]] = candidates[at], length[at]
    return found


def _shrink(oracle: Oracle, space: FeatureSpace, rows: np.ndarray, decisions: np.ndarray, found: Attacked) -> Attacked:
    """Undo, and halve, one change at a time while the decision stays changed; all rows in one question per round."""
    current, distance = found.rows.copy(), found.distance.copy()
    for _ in range(2 * len(space.features)):
        candidates, owner = [], []
        for position in np.flatnonzero(np.isfinite(distance)):
            for at in np.flatnonzero(np.nan_to_num(current[position] - rows[position])):
                for share in (0.0, 0.5) if space.features[at].values is None else (0.0,):
                    smaller = current[position].copy()
                    smaller[at] = rows[position][at] + share * (current[position][at] - rows[position][at])
                    candidates.append(space.project(smaller, rows[position]))
                    owner.append(position)
        if not candidates:
            break
        better = _best(oracle, space, rows, decisions, candidates=np.array(candidates), owner=np.array(owner, dtype=int))
        improved = better.distance < distance - 1e-9
        if not improved.any():
            break
        current[improved], distance[improved] = better.rows[improved], better.distance[improved]
    return Attacked(current, distance, found.without_start)


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """ART draws from NumPy's global generator: seed it, and give it back as it was."""
    state = np.random.get_state()
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        np.random.set_state(state)
