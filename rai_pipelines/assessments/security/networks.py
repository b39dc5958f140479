"""Attacks along the gradients of a network, by the Adversarial Robustness Toolbox; the network's layers are read as numbers where the model lives."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import JsonValue

from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.security.network_models import network_of
from rai_pipelines.errors import ModelError
from rai_pipelines.subjects.networks import ACTIVATIONS, AFFINE, SCALE, Layer, Network, is_known
from rai_pipelines.subjects.subject import LoadedModel, Tables

if TYPE_CHECKING:
    from rai_pipelines.subjects.model_files import CheckedModel

FAST_GRADIENT, GRADIENT, AUTO_PGD = "fast_gradient", "gradient", "auto_pgd"
TASK = "rai_pipelines.assessments.security.networks:layers"
HELD = 1e-6  # what counts as 1 for an input that cannot move: so little that no attack moves it noticeably, and its gradient is next to nothing
MOST_LAYERS = 200


@dataclass(frozen=True)
class NetworkView:
    """A network over the vectors of a space. `columns` makes its inputs of vectors, shape (rows, inputs)."""

    network: Network
    columns: Callable[[np.ndarray], np.ndarray]
    place: Mapping[int, int]  # of each number of the space, its column


def read_layers(model: LoadedModel, inputs: int) -> Network | None:
    """The network that the model is; None for other models.

    Raises:
        ModelError: the model's side answers with something else than layers that fit together.
    """
    answer, tables = model.run(TASK, {}, {})
    told: Any = answer.get("layers")
    if told is None:
        return None
    try:
        layers = [_layer(one, tables.get(f"layer{at}")) for at, one in enumerate(told[:MOST_LAYERS])]
        network = Network(tuple(layers), int(str(answer["inputs"])), answer["single"] is True)
        if network.inputs != inputs or len(told) > MOST_LAYERS or not np.isfinite(network.logits(np.zeros((1, inputs)))).all():
            raise ValueError(f"{network.inputs} inputs, {len(told)} layers")
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise ModelError(f"describes its layers with something else ({error})", hint="The model tampers with its process: do not use it") from error
    return network


def network_view(network: Network, space: FeatureSpace, columns: Callable[[np.ndarray], np.ndarray]) -> NetworkView:
    """The network as attacks on vectors of `space` see it."""
    order = space.columns or tuple(name for feature in space.features for name in feature.columns)
    return NetworkView(network, columns, {at: order.index(one.name) for at, one in enumerate(space.features) if one.values is None})


def along_gradient(name: str, view: NetworkView, space: FeatureSpace, rows: np.ndarray, *, epsilon: float, steps: int, seed: int) -> np.ndarray:
    """What each row is moved to, shape (rows, features): the fast gradient method (Goodfellow et al. 2015), projected gradient descent (Madry et
    al. 2018) or AutoPGD (Croce and Hein 2020), all in the Euclidean norm over the numbers that can move, in standard deviations.

    Args:
        epsilon: how far at most.
        steps: iterations of the last two.
        seed: of AutoPGD's random start.
    """
    moving = [int(at) for at in space.movable if not space.categorical[at]]
    known = np.nan_to_num(view.columns(rows))
    unit = np.full(known.shape[1], HELD)
    for at in moving:
        unit[view.place[at]] = space.step[at]
    decided = np.eye(view.network.classes, dtype=np.float32)[view.network.decisions(known)]
    start = (known / unit).astype(np.float32)
    with _seeded(seed):
        moved = _attack(name, _estimator(view.network, unit), epsilon, steps, len(rows)).generate(start, decided)
    change = (moved - start) * unit
    reached = rows.copy()
    for at in moving:
        reached[:, at] = np.nan_to_num(rows[:, at]) + change[:, view.place[at]]
    return reached


def layers(model: CheckedModel, parameters: Mapping[str, JsonValue], tables: Tables) -> tuple[Mapping[str, JsonValue], Tables]:
    """Task: the layers of a model that is a network (see `network_of`), with weights row by row; null for other models."""
    import pyarrow as pa

    network = network_of(model.native)
    if network is None:
        return {"layers": None}, {}
    told: list[JsonValue] = []
    found = {}
    for at, layer in enumerate(network.layers):
        shape: list[JsonValue] = [int(size) for size in layer.weight.shape] if layer.weight is not None else []
        numbers: list[JsonValue] = [float(number) for number in layer.numbers]
        told.append({"kind": layer.kind, "numbers": numbers, "shape": shape, "bias": layer.bias is not None})
        if layer.weight is not None:
            values = np.concatenate([np.ravel(layer.weight), layer.bias if layer.bias is not None else np.empty(0)])
            found[f"layer{at}"] = pa.table({"values": pa.array(values)})
    return {"layers": told, "inputs": network.inputs, "single": network.single}, found


def _layer(told: Mapping[str, Any], table: Any) -> Layer:
    kind, numbers = str(told["kind"]), tuple(float(number) for number in told["numbers"])
    if kind in ACTIVATIONS:
        if not is_known(kind, numbers):
            raise ValueError(f"numbers of {kind}")
        return Layer(kind, numbers=numbers)
    shape = [int(size) for size in told["shape"]]
    if kind not in (AFFINE, SCALE) or len(shape) != (2 if kind == AFFINE else 1) or min(shape) < 1:
        raise ValueError(f"layer {kind[:20]!r}")
    values = np.asarray(table.column("values").to_numpy(zero_copy_only=False), dtype=float)
    size = int(np.prod(shape))
    if not np.isfinite(values).all() or len(values) < size or (len(values) > size) != bool(told["bias"]):
        raise ValueError("weights")
    return Layer(kind, values[:size].reshape(shape), values[size:] if told["bias"] else None)


def _attack(name: str, estimator: Any, epsilon: float, steps: int, rows: int) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PyTorch not found", category=UserWarning)
        from art.attacks.evasion import AutoProjectedGradientDescent, FastGradientMethod, ProjectedGradientDescentNumpy
    common: dict[str, Any] = {"norm": 2, "eps": float(epsilon), "batch_size": max(1, rows)}
    match name:
        case "fast_gradient":
            return FastGradientMethod(estimator, eps_step=float(epsilon), **common)
        case "gradient":
            return ProjectedGradientDescentNumpy(estimator, eps_step=epsilon / 4, max_iter=steps, num_random_init=0, verbose=False, **common)
        case "auto_pgd":
            return AutoProjectedGradientDescent(estimator, eps_step=2 * epsilon, max_iter=steps, nb_random_init=1, verbose=False, **common)
    raise KeyError(name)


def _estimator(network: Network, unit: np.ndarray) -> Any:
    """The network as the toolbox wants it: centred logits, and the gradient of the cross-entropy, over inputs in units."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PyTorch not found", category=UserWarning)
        from art.estimators import BaseEstimator, LossGradientsMixin
        from art.estimators.classification.classifier import ClassifierMixin
    from scipy.special import log_softmax

    class NumberedNetwork(LossGradientsMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc,unused-ignore]
        """A classifier in the sense of the toolbox."""

        def __init__(self) -> None:
            super().__init__(model=network, clip_values=None)
            self.nb_classes = network.classes

        @property
        def input_shape(self) -> tuple[int, ...]:
            return (network.inputs,)

        def predict(self, x: np.ndarray, **_: Any) -> np.ndarray:
            logits = network.logits(np.asarray(x, dtype=float) * unit)
            if network.outputs == 1:
                logits = np.concatenate([-logits / 2, logits / 2], axis=1)
            return np.asarray(logits - logits.mean(axis=1, keepdims=True))

        def fit(self, x: np.ndarray, y: np.ndarray, **_: Any) -> None:
            raise NotImplementedError("this network is attacked, not trained")

        def compute_loss(self, x: np.ndarray, y: np.ndarray, **_: Any) -> np.ndarray:
            return np.asarray(-(y * log_softmax(self.predict(x), axis=1)).sum(axis=1))

        def loss_gradient(self, x: np.ndarray, y: np.ndarray, **_: Any) -> np.ndarray:
            inputs = np.asarray(x, dtype=float) * unit
            along = network.probabilities(inputs) - y
            return np.asarray(network.pulled_back(inputs, along[:, 1:] if network.outputs == 1 else along) * unit, dtype=np.float32)

    return NumberedNetwork()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The toolbox draws from NumPy's global generator, which is put back afterwards."""
    before = np.random.get_state()
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        np.random.set_state(before)


def line_network(weights: Sequence[float] | np.ndarray) -> Network:
    """A line as a network of one layer: weights, then the intercept."""
    given = np.asarray(weights, dtype=float)
    return Network((Layer(AFFINE, given[None, :-1], given[-1:]),), len(given) - 1)
