"""The least change of mutable inputs that turns the decision: changes of one and of two inputs, and known counterexamples, made smaller.

Nothing proves that there is none nearer: distances are upper bounds. Source: Wachter, Mittelstadt and Russell 2017.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from rai_pipelines.assessments.explanations.explained_model import ExplainedModel
from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.security.neighbours import nearest_known_counterexamples, shrunk
from rai_pipelines.assessments.security.oracle import Attacked, Effort, Oracle, best_of, confirmed, nearest_of

QUANTILES = np.linspace(0.0, 1.0, 21)  # of training, that a number is changed to
STARTS = 60  # nearest training values tried for each row
BEST_VALUES = 2  # of each input, that pairs are made of
MOST_PAIRS = 300  # of each row


def nearest_counterfactuals(explained: ExplainedModel, rows: np.ndarray, pool: np.ndarray) -> Attacked:
    """For each row the nearest row found that differs in mutable features only and is decided differently; distance infinite where none was.

    Every one is asked about again at the end, and counts as not found where the model does not confirm it.

    Args:
        rows: vectors whose decisions shall turn.
        pool: vectors of training rows.
    """
    space, oracle = explained.space, Oracle(explained.decisions_at)
    if not len(space.movable) or not len(rows):
        return Attacked.nothing(rows)
    decisions = oracle.ask(rows)
    candidates, owner = _changes_of_one(space, rows, pool)
    singles = best_of(oracle, space, rows, decisions, candidates=candidates, owner=owner)
    pairs, of = _changes_of_two(explained, rows, decisions, candidates, owner)
    found = [
        singles,
        best_of(oracle, space, rows, decisions, candidates=pairs, owner=of),
        nearest_known_counterexamples(oracle, space, rows, pool[~np.isnan(pool).any(axis=1)], Effort(starts=STARTS)),
    ]
    nearest = shrunk(oracle, space, rows, decisions, nearest_of(found, rows))
    return confirmed(oracle, space, rows, nearest, instead=nearest_of(found, rows))[0]


def changed_features(space: FeatureSpace, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Whether each feature differs, shape of `before`."""
    return np.asarray(np.nan_to_num(after - before) != 0)


def _changes_of_one(space: FeatureSpace, rows: np.ndarray, pool: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every row with one movable feature at each of its other values (21 quantiles of training for numbers), and whose each is."""
    parts, owners = [], []
    for at in space.movable:
        feature = space.features[at]
        seen = pool[~np.isnan(pool[:, at]), at]
        values = np.arange(len(feature.values), dtype=float) if feature.values is not None else np.unique(np.quantile(seen, QUANTILES))
        block = np.repeat(rows, len(values), axis=0)
        block[:, at] = np.where(np.isnan(block[:, at]), np.nan, np.tile(values, len(rows)))
        parts.append(block)
        owners.append(np.repeat(np.arange(len(rows)), len(values)))
    made, owner = np.concatenate(parts), np.concatenate(owners)
    made = space.project(made, rows[owner])
    moved = space.distance(made, rows[owner]) > 0
    return made[moved], owner[moved]


def _changes_of_two(
    explained: ExplainedModel, rows: np.ndarray, decisions: np.ndarray, singles: np.ndarray, owner: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of the two values of each feature that move the output furthest towards the other decision, the most promising first."""
    space = explained.space
    towards = np.where(decisions == 1, -1.0, 1.0)
    gain = (explained.outputs_of(singles) - explained.outputs_of(rows)[owner]) * towards[owner] if len(singles) else np.zeros(0)
    feature = changed_features(space, rows[owner], singles).argmax(axis=1) if len(singles) else np.zeros(0, dtype=int)
    parts, owners = [np.empty((0, rows.shape[1]))], [np.empty(0, dtype=int)]
    for position in range(len(rows)):
        own = np.flatnonzero(owner == position)
        order = own[np.lexsort((own, -gain[own]))]
        best: dict[int, list[int]] = {}
        for at in order:
            if len(best.setdefault(int(feature[at]), [])) < BEST_VALUES:
                best[int(feature[at])].append(int(at))
        couples = [(a, b) for one, two in combinations(sorted(best), 2) for a in best[one] for b in best[two]]
        couples.sort(key=lambda couple: -(gain[couple[0]] + gain[couple[1]]))
        block = np.repeat(rows[position][None], min(len(couples), MOST_PAIRS), axis=0)
        for line, couple in enumerate(couples[:MOST_PAIRS]):
            for at in couple:
                block[line, feature[at]] = singles[at, feature[at]]
        parts.append(block)
        owners.append(np.full(len(block), position))
    return np.concatenate(parts), np.concatenate(owners)
