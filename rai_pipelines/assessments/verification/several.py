"""A classifier of three or more classes as differences of two of them each: the same trees, weights or layers as of two classes, one pair at a time.

The raw value of the pair (one, other) is that of the first class minus that of the second; the class that is above 0 against all others is decided
for. So what is proved of two classes is proved of several by pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.verification.domain import Asked
from rai_pipelines.assessments.verification.feedforward import Feedforward, feedforward_of
from rai_pipelines.assessments.verification.linear import Linear, linear_of
from rai_pipelines.assessments.verification.search import Leaves
from rai_pipelines.assessments.verification.tree_dumps import Unsupported
from rai_pipelines.assessments.verification.trees import Ensemble, ensemble_of
from rai_pipelines.errors import ModelError
from rai_pipelines.subjects.networks import AFFINE, Layer, Network

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_CLASSES = 12  # of more, the pairs are too many
Pair = Ensemble | Linear | Feedforward


@dataclass(frozen=True)
class Several:
    """`pairs` by places of classes, both ways round. Scores are the softmax of the raw values, or with `own` (`link` identity) these themselves.

    With the link `probability`, of two classes, the raw value of the second less that of the first is its probability above `cut`.
    """

    names: tuple[str, ...]
    pairs: Mapping[tuple[int, int], Pair]
    link: str
    own: Mapping[int, Ensemble]
    cut: float = 0.0

    @property
    def first(self) -> Pair:
        """Any pair: space, rounding and kind are the same in all."""
        return self.pairs[0, 1]

    @property
    def rounding(self) -> float:
        """How far the model's own raw values may be from these."""
        return max(pair.rounding for pair in self.pairs.values())

    def against(self, one: int) -> list[Pair]:
        """The pairs of one class with every other."""
        return [self.pairs[one, other] for other in range(len(self.names)) if other != one]

    def raw(self, vectors: np.ndarray) -> np.ndarray:
        """Raw values less that of the first class, or scores where they have a meaning of their own; shape (rows, classes)."""
        if self.own:
            return np.column_stack([self.own[at].raw(vectors) for at in range(len(self.names))])
        return np.column_stack([np.zeros(len(vectors)), *(self.pairs[at, 0].raw(vectors) for at in range(1, len(self.names)))])

    def scores(self, raw: np.ndarray) -> np.ndarray:
        """Scores of such raw values, the same shape."""
        from scipy.special import softmax

        if self.link == "probability":
            share = raw[:, 1] + self.cut
            return np.column_stack([1 - share, share])
        return raw if self.own else np.asarray(softmax(raw, axis=1))

    def under(self, space: FeatureSpace) -> Several:
        """The same where the same inputs obey other rules of moving them."""
        return replace(
            self,
            pairs={key: _under(pair, space) for key, pair in self.pairs.items()},
            own={key: replace(one, grid=replace(one.grid, space=space)) for key, one in self.own.items()},
        )


@dataclass(frozen=True)
class AskedClasses:
    """The model itself, asked about vectors: places of classes, and the probabilities of all where it gives any."""

    space: FeatureSpace
    like: Any
    decide: Callable[[Any], np.ndarray]
    tell: Callable[[Any], np.ndarray | None]

    def decisions(self, vectors: np.ndarray) -> np.ndarray:
        """Places of classes, shape (rows,)."""
        return np.asarray(self.decide(self.space.decode(vectors, self.like)))

    def scores(self, vectors: np.ndarray) -> np.ndarray | None:
        """Shape (rows, classes), or None."""
        return self.tell(self.space.decode(vectors, self.like))

    def of(self, outcome: int) -> Asked:
        """The same, asked about one class against all others."""

        def score(frame: Any) -> np.ndarray | None:
            told = self.tell(frame)
            return None if told is None else told[:, outcome]

        return Asked(self.space, self.like, lambda frame: (np.asarray(self.decide(frame)) == outcome).astype(int), score)


def pair_of(form: Feedforward) -> Several:
    """A network of two classes in the same words: unfavourable, favourable."""
    names = ("unfavourable", "favourable")
    if form.link != "identity":
        return Several(names, {(1, 0): form, (0, 1): replace(form, sign=-form.sign)}, "softmax", {})
    lowered = Layer(AFFINE, np.ones((1, 1)), np.array([-form.cut]))
    above = replace(form, network=replace(form.network, layers=(*form.network.layers, lowered)), cut=0.0)
    return Several(names, {(1, 0): above, (0, 1): replace(above, sign=-above.sign)}, "probability", {}, cut=form.cut)


def asked_twice(asked: Asked) -> AskedClasses:
    """The model of two classes, asked for both probabilities."""

    def tell(frame: Any) -> np.ndarray | None:
        scores = asked.score_frame(frame)
        return None if scores is None else np.column_stack([1 - scores, scores])

    return AskedClasses(asked.space, asked.like, asked.decide, tell)


def several_of(answer: Mapping[str, Any], tables: Mapping[str, Any], names: tuple[str, ...], space: FeatureSpace) -> Several:
    """The classifier that the model's side describes as `class_trees` or `class_linear`, its classes in the order of `names`.

    Raises:
        Unsupported: an input is used in a way that the space cannot express, or there are too many classes.
        ModelError: what the model's side says is neither.
    """
    if len(names) > MOST_CLASSES:
        raise Unsupported(f"it has {len(names)} classes, more than {MOST_CLASSES}")
    places = _places(answer, len(names))
    try:
        bases = _ordered(answer["bases"], places, (len(names),))
        link = str(answer["link"])
        if link not in ("softmax", "identity", "none") or not np.isfinite(bases).all():
            raise ValueError("link or bases")
        if answer["kind"] == "class_linear":
            weights = _ordered(answer["weights"], places, (len(names), len(answer["columns"])))
            told = {"columns": answer["columns"], "link": "sigmoid" if link == "softmax" else "none", "cut": 0.0}
            linear = {
                (one, other): linear_of(
                    {**told, "weights": (weights[one] - weights[other]).tolist(), "base": float(bases[one] - bases[other])}, space
                )
                for one, other in permutations(range(len(names)), 2)
            }
            return Several(names, linear, link, {})
        table = tables["nodes"]
        values = _values(answer, table, tables.get("shares"), places)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ModelError(f"describes its classes with something else ({error})", hint="The model tampers with its process") from error
    return _trees(answer, table, np.concatenate([bases[None], values]), names, space)


def network_pairs(network: Network, answer: Mapping[str, Any], names: tuple[str, ...], space: FeatureSpace, columns: Sequence[str]) -> Several:
    """A network with one logit for each class.

    Raises:
        Unsupported: it has other than one logit for each class, too many classes, or reads a column that the space cannot express.
        ModelError: the model's side names its classes with something else.
    """
    places = _places(answer, len(names))
    if network.outputs != len(names) or len(names) > MOST_CLASSES:
        raise Unsupported(f"it has {network.outputs} logits for {len(names)} classes, of which at most {MOST_CLASSES} are compared")
    found = {}
    for one, other in permutations(range(len(names)), 2):
        apart = np.zeros(len(names))
        apart[places == one], apart[places == other] = 1.0, -1.0
        found[one, other] = feedforward_of(network, space, columns, positive=True, apart=tuple(apart.tolist()))
    return Several(names, found, "softmax", {})


def _ordered(told: Any, places: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers by class, in the order of the datasheet."""
    given = np.asarray(told, dtype=float)
    if given.shape != shape:
        raise ValueError(f"numbers of shape {given.shape}")
    made = np.empty(shape)
    made[places] = given
    return made


def _places(answer: Mapping[str, Any], classes: int) -> np.ndarray:
    places = answer.get("places")
    if not isinstance(places, list) or sorted(map(str, places)) != sorted(map(str, range(classes))):
        raise ModelError("names its classes with something else", hint="The model tampers with its process")
    return np.array(places, dtype=int)


def _values(answer: Mapping[str, Any], table: Any, shares: Any, places: np.ndarray) -> np.ndarray:
    """What each node adds to each class in the order of the datasheet, shape (nodes, classes)."""
    values = np.zeros((table.num_rows, len(places)))
    if shares is not None:
        for at, place in enumerate(places):
            values[:, place] = shares[f"class{at}"].to_numpy(zero_copy_only=False)
    else:
        trees = np.asarray(table["tree"].to_numpy(zero_copy_only=False), dtype=int)
        outcomes = np.asarray(answer["outcomes"], dtype=int)
        if len(trees) and not (trees.min() >= 0 and trees.max() < len(outcomes) and outcomes.min() >= 0 and outcomes.max() < len(places)):
            raise ValueError("trees without a class")
        values[np.arange(len(trees)), places[outcomes[trees]]] = table["value"].to_numpy(zero_copy_only=False)
    if not np.isfinite(values).all():
        raise ValueError("values that are not finite")
    return values


def _trees(answer: Mapping[str, Any], table: Any, values: np.ndarray, names: tuple[str, ...], space: FeatureSpace) -> Several:
    """Every class has the same trees over the same cells; a pair keeps those that tell the two apart."""
    import pyarrow as pa

    numbered = table.set_column(table.column_names.index("value"), "value", pa.array(np.arange(table.num_rows, dtype=float)))
    whole = ensemble_of({**answer, "base": -1.0, "scale": 1.0, "cut": 0.0, "link": "identity"}, numbered, space)
    each = values[whole.leaves.value.astype(int) + 1]  # of each leaf; the first is the base
    own = {}
    if answer["link"] == "identity":
        own = {at: replace(whole, leaves=replace(whole.leaves, value=each[:, at])) for at in range(len(names))}
    pairs = {
        (one, other): replace(
            whole, leaves=_apart(whole.leaves, each[:, one] - each[:, other]), link="sigmoid" if answer["link"] == "softmax" else "none"
        )
        for one, other in permutations(range(len(names)), 2)
    }
    return Several(names, pairs, str(answer["link"]), own)


def _apart(leaves: Leaves, value: np.ndarray) -> Leaves:
    trees = np.unique(leaves.tree[value != 0])
    kept = np.isin(leaves.tree, trees) if len(trees) else leaves.tree == leaves.tree[0]
    return replace(leaves, value=value).take(kept)


def _under(pair: Pair, space: FeatureSpace) -> Pair:
    return replace(pair, grid=replace(pair.grid, space=space)) if isinstance(pair, Ensemble) else replace(pair, space=space)
