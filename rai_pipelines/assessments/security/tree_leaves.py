"""The exact attack on a single decision tree: the nearest place in a leaf of another class that the attacker may reach.

A leaf is a box, so the nearest point of each is known in closed form (Kantchelian, Tygar and Joseph 2016, on tree ensembles). The toolbox's own
DecisionTreeAttack (ART 1.20) climbs on towards the root after it has found a leaf, and ends far away, mostly at inputs that nobody can change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import JsonValue

from rai_pipelines.assessments.security.feature_space import Feature, FeatureSpace
from rai_pipelines.assessments.security.neighbours import shrunk
from rai_pipelines.assessments.security.oracle import Attacked, Oracle, best_of
from rai_pipelines.errors import ModelError
from rai_pipelines.subjects.subject import LoadedModel, Tables

if TYPE_CHECKING:
    from rai_pipelines.subjects.model_files import CheckedModel

DECISION_TREE = "decision_tree"
TASK = "rai_pipelines.assessments.security.tree_leaves:leaves"
NEAREST_LEAVES = 32  # tried for each row; projecting a place to a row that could exist can lead out of its leaf
CLASS = "class"


@dataclass(frozen=True)
class Leaves:
    """The boxes of a tree's leaves, `low < value <= high`, shapes (leaves, features), and the place of each leaf's class.

    `allowed` says for each categorical feature, by position, which codes lie in each box, shape (leaves, codes).
    """

    low: np.ndarray
    high: np.ndarray
    classes: np.ndarray
    allowed: Mapping[int, np.ndarray]


def leaves_of(model: LoadedModel, space: FeatureSpace) -> Leaves | None:
    """The leaves of a scikit-learn decision tree over the features of the space; None for other models.

    Raises:
        ModelError: the model's side answers with something else than boxes.
    """
    answer, tables = model.run(TASK, {"columns": list(space.columns)}, {})
    if answer.get("applicable") is not True:
        return None
    wanted = [CLASS, *(f"{side}:{name}" for side in ("low", "high") for name in space.columns)]
    found = tables["leaves"].to_pandas() if "leaves" in tables else None
    if (
        found is None
        or not set(wanted) <= set(found.columns)
        or not all(found[name].dtype.kind in "if" for name in wanted)
        or found[wanted].isna().any(axis=None)
    ):
        raise ModelError("describes its tree with something else than boxes", hint="The model tampers with its process")
    limits = {side: {name: found[f"{side}:{name}"].to_numpy(dtype=float) for name in space.columns} for side in ("low", "high")}
    return _in_space(space, limits["low"], limits["high"], found[CLASS].to_numpy())


def leaves_of_vectors(tree: Any, space: FeatureSpace) -> Leaves:
    """The leaves of a tree that was fitted to the vectors themselves: its categories are codes."""
    low, high, classes = _boxes(tree)
    allowed = {
        at: (np.arange(len(feature.values)) > low[:, [at]]) & (np.arange(len(feature.values)) <= high[:, [at]])
        for at, feature in enumerate(space.features)
        if feature.values is not None
    }
    return Leaves(low, high, classes, allowed)


def decision_tree(oracle: Oracle, space: FeatureSpace, rows: np.ndarray, *, leaves: Leaves) -> Attacked:
    """For each row the nearest reachable place in a leaf of another class that the model confirms, then made smaller."""
    decisions = oracle.ask(rows)
    candidates, owner = [np.empty((0, rows.shape[1]))], []
    for position, row in enumerate(rows):
        places = space.project(_nearest_places(space, row, leaves), row[None])
        candidates.append(places[space.distance(places, row) > 0])
        owner += [position] * len(candidates[-1])
    found = best_of(oracle, space, rows, decisions, candidates=np.concatenate(candidates), owner=np.array(owner, dtype=int))
    return shrunk(oracle, space, rows, decisions, found)


def leaves(model: CheckedModel, parameters: Mapping[str, JsonValue], tables: Tables) -> tuple[Mapping[str, JsonValue], Tables]:
    """Task: the boxes of a decision tree, one row per leaf; `applicable` is false where the model is none."""
    import pyarrow as pa
    from sklearn.tree import DecisionTreeClassifier

    tree = model.native
    if type(tree) is not DecisionTreeClassifier or len(getattr(tree, "classes_", ())) < 2:
        return {"applicable": False}, {}
    asked = parameters["columns"]
    columns = list(model.features or (map(str, asked) if isinstance(asked, list) else ()))
    low, high, classes = _boxes(tree)
    described = {CLASS: classes, **{f"low:{name}": low[:, at] for at, name in enumerate(columns)}}
    return {"applicable": True}, {"leaves": pa.table({**described, **{f"high:{name}": high[:, at] for at, name in enumerate(columns)}})}


def _boxes(tree: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`low < value <= high` of every leaf, and the place of its class."""
    inner = tree.tree_
    boxes = []
    waiting = [(0, np.full(tree.n_features_in_, -np.inf), np.full(tree.n_features_in_, np.inf))]
    while waiting:
        node, low, high = waiting.pop()
        left, right = inner.children_left[node], inner.children_right[node]
        if left == right:
            boxes.append((low, high, int(inner.value[node][0].argmax())))
            continue
        at, threshold = inner.feature[node], inner.threshold[node]
        below, above = high.copy(), low.copy()
        below[at], above[at] = min(high[at], threshold), max(low[at], threshold)
        waiting += [(left, low, below), (right, above, high)]
    lows, highs, classes = zip(*boxes, strict=True)
    return np.array(lows), np.array(highs), np.array(classes)


def _in_space(space: FeatureSpace, low: Mapping[str, np.ndarray], high: Mapping[str, np.ndarray], classes: np.ndarray) -> Leaves:
    lows, highs, allowed = [], [], {}
    for at, feature in enumerate(space.features):
        if feature.values is None:
            lows.append(low[feature.name])
            highs.append(high[feature.name])
            continue
        lows.append(np.full(len(classes), -np.inf))
        highs.append(np.full(len(classes), np.inf))
        allowed[at] = _codes_in(feature, low, high)
    return Leaves(np.column_stack(lows), np.column_stack(highs), classes, allowed)


def _codes_in(feature: Feature, low: Mapping[str, np.ndarray], high: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which codes of a category lie in each box, shape (leaves, codes), given what the table has in the columns of each."""
    values = feature.values or ()
    inside = []
    for code, value in enumerate(values):
        given = {name: float(place == code) for place, name in enumerate(feature.members)} or {feature.name: float(value)}
        inside.append(np.logical_and.reduce([(low[name] < number) & (number <= high[name]) for name, number in given.items()]))
    return np.column_stack(inside)


def _nearest_places(space: FeatureSpace, row: np.ndarray, leaves: Leaves) -> np.ndarray:
    """The nearest point of the nearest leaves of another class that the attacker may reach from `row`."""
    whole = np.array([feature.integer and feature.values is None for feature in space.features])
    low = np.where(whole, np.floor(leaves.low) + 1, _just_above(leaves.low))
    high = np.where(whole, np.floor(leaves.high), _at_most(leaves.high))
    least, most = space.bounds(row[None])
    with np.errstate(invalid="ignore"):
        stays = np.isnan(row) | ((row > leaves.low) & (row <= leaves.high))
        places = np.where(stays, row, np.clip(row, low, high))
        reachable = stays | ((places >= least) & (places <= most) & (low <= high))
    for at, codes in leaves.allowed.items():
        if np.isnan(row[at]):
            continue
        here = codes[:, int(row[at])]
        movable = space.features[at].movable
        stays[:, at], reachable[:, at] = here, here | (codes.any(axis=1) & movable)
        places[:, at] = np.where(here, row[at], codes.argmax(axis=1))
    own = np.flatnonzero(stays.all(axis=1))
    other = leaves.classes != leaves.classes[own[0]] if len(own) else np.ones(len(leaves.classes), dtype=bool)
    usable = np.flatnonzero(reachable.all(axis=1) & other)
    nearest = np.argsort(space.distance(places[usable], row), kind="stable")[:NEAREST_LEAVES]
    return np.asarray(places[usable[nearest]])


def _just_above(limit: np.ndarray) -> np.ndarray:
    """The least single-precision number above `limit`: scikit-learn compares single-precision inputs with double-precision thresholds."""
    rounded = limit.astype(np.float32)
    return np.where(rounded > limit, rounded, np.nextafter(rounded, np.float32(np.inf))).astype(float)


def _at_most(limit: np.ndarray) -> np.ndarray:
    rounded = limit.astype(np.float32)
    return np.where(rounded <= limit, rounded, np.nextafter(rounded, np.float32(-np.inf))).astype(float)
