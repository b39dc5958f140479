"""Where a model decides, when something around it sets the threshold: scikit-learn's wrappers, and one threshold for each group of people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rai_pipelines.assessments.verification.tree_dumps import LEAF, MISSING_RIGHT, Nodes, Unsupported

BEYOND = 1e6  # a cut that no raw value reaches: a threshold at or beyond the ends of the scores
EVERYTHING = 1e300  # the same, of a linear model over numbers of any size
MOST_GROUPS = 10_000


@dataclass(frozen=True)
class Threshold:
    """The score of the class at `place` from which on it is decided; `of_probability`, or of the decision function."""

    value: float
    place: int
    of_probability: bool


@dataclass(frozen=True)
class GroupThresholds:
    """For each group, named by the values of its columns, the probability of the second class above which it is decided."""

    columns: tuple[str, ...]
    bins: Mapping[str, Sequence[float]]
    thresholds: Mapping[str, float]
    fallback: float


def threshold_of(native: Any) -> tuple[Any, Threshold | GroupThresholds] | None:
    """The estimator inside and the threshold around it; None where nothing is around it.

    Raises:
        Unsupported: the wrapper decides in a way that is not followed here.
    """
    kind = f"{type(native).__module__}.{type(native).__name__}"
    if kind == "rai_pipelines.demo.thresholds.GroupThresholdClassifier":
        bins = {str(name): [float(edge) for edge in edges] for name, edges in native.bins.items()}
        limits = {str(name): float(value) for name, value in native.thresholds.items()}
        return native.model, GroupThresholds(tuple(map(str, native.group_columns)), bins, limits, float(native.fallback))
    if not kind.startswith("sklearn.model_selection."):
        return None
    from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

    if type(native) is FixedThresholdClassifier:
        inner, label, value = getattr(native, "estimator_", native.estimator), native.pos_label, native.threshold
    elif type(native) is TunedThresholdClassifierCV:
        inner, label, value = native.estimator_, native._curve_scorer._get_pos_label(), native.best_threshold_
    else:
        return None
    classes = np.asarray(inner.classes_).tolist()
    place = 1 if label is None else classes.index(label)
    method = (
        native.response_method if native.response_method != "auto" else ("predict_proba" if hasattr(inner, "predict_proba") else "decision_function")
    )
    probable = method == "predict_proba"
    if value == "auto":
        value = 0.5 if probable else 0.0
    return inner, Threshold(float(value), place, probable)


def cut_at(threshold: Threshold, answer: Mapping[str, Any], positive: int) -> float:
    """The raw value, turned towards the favourable outcome, above which the decision is favourable."""
    same = threshold.place == positive
    if not threshold.of_probability:
        if answer["link"] == "identity":
            raise Unsupported("its threshold is one of a decision function that its trees do not have")
        return threshold.value if same else -threshold.value
    if answer["link"] == "none":
        raise Unsupported("its threshold is one of a probability that the model does not give")
    return _raw_at(threshold.value if same else 1 - threshold.value, answer, BEYOND)


def write_groups(
    threshold: GroupThresholds, answer: Mapping[str, Any], nodes: Nodes, columns: Sequence[Mapping[str, Any]], positive: int
) -> dict[str, Any]:
    """One more tree, which takes off the threshold of each group; favourable is then what lies above 0. The raw value is no score any more.

    Around a linear model, `groups`: for each group, by its name, the raw value above which the decision is favourable.

    Raises:
        Unsupported: the model inside is neither an ensemble of trees nor linear, or trees do not read the columns that make groups as they are.
    """
    if answer["kind"] == "linear" and answer["link"] == "sigmoid":
        return _linear_groups(threshold, answer, positive)
    if answer["kind"] != "trees":
        raise Unsupported("one threshold for each group around a model other than trees and linear ones is not written down here")
    places = []
    for name in threshold.columns:
        at = next((at for at, column in enumerate(columns) if column["source"] == name), None)
        if at is None or columns[at]["codes"] is not None or columns[at]["steps"] or columns[at]["missing"] is not None:
            raise Unsupported(f"the model inside does not read {name!r}, which makes groups, as it is")
        places.append(at)
    values = _values(threshold.thresholds, len(places))
    if math.prod(len(one) + 1 for one in values) > MOST_GROUPS:
        raise Unsupported(f"it has more than {MOST_GROUPS:,} groups")
    largest: dict[int, float] = {}
    for tree, kind, value in zip(nodes.tree, nodes.kind, nodes.value, strict=True):
        if kind == LEAF:
            largest[tree] = max(largest.get(tree, 0.0), abs(value))
    beyond = sum(largest.values()) + abs(answer["base"]) + 1.0
    tree = max(nodes.tree) + 1

    def limit(parts: tuple[float | None, ...]) -> int:
        name = "/".join("-" if part is None else f"{part:g}" for part in parts)
        share = threshold.thresholds.get(name, threshold.fallback)
        raw = _raw_at(share if positive == 1 else 1 - share, answer, beyond)
        return nodes.add(tree, LEAF, value=-raw)

    def level(parts: tuple[float | None, ...]) -> int:
        if len(parts) == len(places):
            return limit(parts)
        name, place = threshold.columns[len(parts)], places[len(parts)]
        if name in threshold.bins:
            return _by_bins(nodes, tree, place, threshold.bins[name], lambda part: level((*parts, part)))
        return _by_values(nodes, tree, place, values[len(parts)], lambda part: level((*parts, part)))

    level(())
    return {"link": "none", "cut": 0.0}


def _linear_groups(threshold: GroupThresholds, answer: Mapping[str, Any], positive: int) -> dict[str, Any]:
    def cut(share: float) -> float:
        return _raw_at(share if positive == 1 else 1 - share, answer, EVERYTHING)

    groups = {
        "columns": list(threshold.columns),
        "bins": {name: list(edges) for name, edges in threshold.bins.items()},
        "cuts": {name: cut(share) for name, share in threshold.thresholds.items()},
        "fallback": cut(threshold.fallback),
    }
    return {"kind": "grouped", "link": "none", "cut": 0.0, "groups": groups}


def _values(names: Iterable[str], columns: int) -> list[list[float]]:
    """The values that occur in the names of groups, column by column, ascending."""
    keys = [name.split("/") for name in names]
    try:
        values = [sorted({float(key[at]) for key in keys}) for at in range(columns)]
    except (IndexError, ValueError) as error:
        raise Unsupported("the names of its groups are no numbers, one for each column") from error
    if any(len(key) != columns for key in keys) or not all(math.isfinite(value) for one in values for value in one):
        raise Unsupported("the names of its groups are no numbers, one for each column")
    return values


def _by_bins(nodes: Nodes, tree: int, place: int, edges: Sequence[float], below: Any) -> int:
    """The last edge that is not above a number names its bin; the first bin has no lower end, the last no upper one, and takes what is missing."""
    if len(edges) == 1:
        return int(below(edges[0]))
    return nodes.split(
        tree, place, float(np.nextafter(edges[1], -np.inf)), missing=MISSING_RIGHT, double=True,
        left=lambda: int(below(edges[0])), right=lambda: _by_bins(nodes, tree, place, edges[1:], below),
    )  # fmt: skip


def _by_values(nodes: Nodes, tree: int, place: int, values: Sequence[float], below: Any) -> int:
    """Exactly one of the values, or none of them."""
    if not values:
        return int(below(None))
    return nodes.split(
        tree, place, float(np.nextafter(values[0], -np.inf)), missing=MISSING_RIGHT, double=True,
        left=lambda: int(below(None)),
        right=lambda: nodes.split(
            tree, place, values[0], missing=MISSING_RIGHT, double=True,
            left=lambda: int(below(values[0])), right=lambda: _by_values(nodes, tree, place, values[1:], below),
        ),
    )  # fmt: skip


def _raw_at(share: float, answer: Mapping[str, Any], beyond: float) -> float:
    if answer["link"] == "identity":
        return share
    if share <= 0.0 or share >= 1.0:
        return -beyond if share <= 0.0 else beyond
    return math.log(share / (1 - share)) / float(answer["scale"])
