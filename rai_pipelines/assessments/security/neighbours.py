"""Searches that need no attack library: known counterexamples among training values, valid neighbours, and making a change smaller."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rai_pipelines.assessments.security.feature_space import Feature, FeatureSpace
from rai_pipelines.assessments.security.oracle import Attacked, Effort, Oracle, best_of

MOST_CHANGES = 4  # features that one random neighbour changes at most
AMOUNTS = np.concatenate([np.linspace(-1, -0.02, 8), np.linspace(0.02, 1, 8)])  # of one number, as shares of the budget
HALVES = (0.0, 0.5)


def nearest_known_counterexamples(oracle: Oracle, space: FeatureSpace, rows: np.ndarray, pool: np.ndarray, effort: Effort) -> Attacked:
    """For each row, training values of the movable features that change the decision: where the attacks start from."""
    decisions, known = oracle.ask(rows), oracle.ask(pool)
    donors = {int(decision): pool[known != decision] for decision in np.unique(decisions)}
    candidates, owner = [], []
    for position, row in enumerate(rows):
        others = space.project(_graft(space, row, donors[int(decisions[position])]), row[None])
        others = others[np.argsort(space.distance(others, row), kind="stable")[: effort.starts]]
        candidates.append(others)
        owner += [position] * len(others)
    return best_of(oracle, space, rows, decisions, candidates=_stacked(candidates, rows), owner=np.array(owner, dtype=int))


def search_valid_neighbours(
    oracle: Oracle, space: FeatureSpace, rows: np.ndarray, *, budgets: tuple[float, ...], effort: Effort, seeds: np.ndarray
) -> Attacked:
    """Changes of one feature to values across its range, and random changes of up to four, within each of `budgets`; then made smaller.

    Args:
        budgets: Euclidean distances, in the units of the space; the random changes are divided among them.
        seeds: one per row, so that what is found for a row does not depend on the others.
    """
    decisions = oracle.ask(rows)
    candidates, owner, cut = [], [], 0
    for position, row in enumerate(rows):
        rng = np.random.default_rng(seeds[position])
        number = max(1, effort.neighbours // len(budgets))
        tried = [
            change for epsilon in budgets for change in (_single_changes(space, row, epsilon), _random_changes(space, row, epsilon, number, rng))
        ]
        drawn = space.project(np.concatenate(tried), row[None])
        length = space.distance(drawn, row)
        drawn = np.unique(drawn[(length > 0) & (length <= max(budgets))], axis=0)
        if len(drawn) > effort.allowance:
            drawn, cut = drawn[np.sort(rng.choice(len(drawn), effort.allowance, replace=False))], cut + 1
        candidates.append(drawn)
        owner += [position] * len(drawn)
    found = best_of(oracle, space, rows, decisions, candidates=_stacked(candidates, rows), owner=np.array(owner, dtype=int))
    return replace(shrunk(oracle, space, rows, decisions, found), cut=cut)


def shrunk(oracle: Oracle, space: FeatureSpace, rows: np.ndarray, decisions: np.ndarray, found: Attacked) -> Attacked:
    """Undo, and halve, one change at a time while the decision stays changed; all rows in one question per round."""
    current = replace(found, rows=found.rows.copy(), distance=found.distance.copy())
    improved = np.isfinite(current.distance)
    for _ in range(2 * len(space.features)):
        at = np.flatnonzero(improved)
        position, feature = np.nonzero(np.nan_to_num(current.rows[at] - rows[at]))
        if not len(position):
            break
        position = at[position]
        parts = []
        for share in HALVES:
            chosen = np.ones(len(position), dtype=bool) if share == 0.0 else ~space.categorical[feature]
            smaller, line = current.rows[position[chosen]].copy(), np.arange(int(chosen.sum()))
            origin = rows[position[chosen], feature[chosen]]
            smaller[line, feature[chosen]] = origin + share * (smaller[line, feature[chosen]] - origin)
            parts.append((space.project(smaller, rows[position[chosen]]), position[chosen]))
        candidates, owner = (np.concatenate(column) for column in zip(*parts, strict=True))
        better = best_of(oracle, space, rows, decisions, candidates=candidates, owner=owner)
        improved = better.distance < current.distance - 1e-9
        current.rows[improved], current.distance[improved] = better.rows[improved], better.distance[improved]
        current = replace(current, asked=current.asked + better.asked)
    return current


def _stacked(parts: list[np.ndarray], rows: np.ndarray) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty((0, rows.shape[1]))


def _graft(space: FeatureSpace, row: np.ndarray, donors: np.ndarray) -> np.ndarray:
    grafted = np.repeat(row[None], len(donors), axis=0)
    grafted[:, space.movable] = donors[:, space.movable]
    return grafted


def _single_changes(space: FeatureSpace, row: np.ndarray, epsilon: float) -> np.ndarray:
    """Every other category that the budget allows, and 16 values of each number within its reach."""
    changed = []
    for position in space.movable:
        if np.isnan(row[position]):
            continue
        values = _values_of(space.features[position], row[position], epsilon)
        block = np.repeat(row[None], len(values), axis=0)
        block[:, position] = values
        changed.append(block)
    return np.concatenate(changed) if changed else np.empty((0, len(row)))


def _values_of(feature: Feature, value: float, epsilon: float) -> np.ndarray:
    if feature.values is not None:
        return np.arange(len(feature.values), dtype=float) if epsilon >= feature.swap else np.empty(0)
    values = value + feature.step * epsilon * AMOUNTS
    if feature.integer:  # rounding outward would leave the budget
        return np.concatenate([np.trunc(values - value) + value, [value - 1, value + 1]])
    return values


def _random_changes(space: FeatureSpace, row: np.ndarray, epsilon: float, number: int, rng: np.random.Generator) -> np.ndarray:
    """Changes of one to four movable features at once: categories as far as the budget goes, numbers within what they leave of it."""
    movable = np.array([position for position in space.movable if not np.isnan(row[position])], dtype=int)
    if not len(movable):
        return np.empty((0, len(row)))
    features = [space.features[position] for position in movable]
    categorical = np.array([feature.values is not None for feature in features])
    most = min(MOST_CHANGES, space.most_changes or MOST_CHANGES)
    rank = rng.random((number, len(movable))).argsort(axis=1).argsort(axis=1)
    chosen = rank < rng.integers(1, most + 1, size=(number, 1))
    price = np.where(chosen & categorical, np.array([feature.swap for feature in features]) ** 2, 0.0)
    in_order = np.take_along_axis(price, rank.argsort(axis=1), axis=1).cumsum(axis=1)
    spent = np.take_along_axis(in_order, rank, axis=1)  # what the features up to this one cost, in the order of their rank
    swapped = chosen & categorical & (spent <= epsilon**2 + 1e-9)
    left = np.sqrt(np.maximum(epsilon**2 - (price * swapped).sum(axis=1), 0.0))
    move = rng.standard_normal(rank.shape) * (chosen & ~categorical)
    length = np.linalg.norm(move, axis=1)
    move *= (left * np.sqrt(rng.random(number)) / np.where(length > 0, length, 1.0))[:, None]
    codes = rng.integers(0, [int(feature.high) + 1 if feature.values is not None else 1 for feature in features], size=rank.shape)
    block = np.repeat(row[None], number, axis=0)
    block[:, movable] = np.where(swapped, codes, row[movable] + move * space.step[movable])
    return block
