"""Feed-forward networks as plain numbers: layers one after the other, what they answer, and the gradient of their answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

AFFINE, SCALE = "affine", "scale"


@dataclass(frozen=True)
class Layer:
    """One step: `affine` (weight of shape (outputs, inputs), bias), `scale` (the same, column by column), or an activation with its numbers."""

    kind: str
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    numbers: tuple[float, ...] = ()


@dataclass(frozen=True)
class Activation:
    """A function of one number, and its slope; both take the `numbers` of the layer. It never falls where `rises` says so of them."""

    value: Callable[[np.ndarray, Sequence[float]], np.ndarray]
    slope: Callable[[np.ndarray, Sequence[float]], np.ndarray]
    numbers: int = 0
    rises: Callable[[Sequence[float]], bool] = lambda _: True


def _sigmoid(x: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return np.asarray(expit(x))


ACTIVATIONS: Mapping[str, Activation] = {
    "relu": Activation(lambda x, _: np.maximum(x, 0.0), lambda x, _: (x > 0) * 1.0),
    "leaky_relu": Activation(lambda x, a: np.where(x > 0, x, a[0] * x), lambda x, a: np.where(x > 0, 1.0, a[0]), 1, lambda a: a[0] >= 0),
    "elu": Activation(
        lambda x, a: np.where(x > 0, x, a[0] * np.expm1(np.minimum(x, 0.0))),
        lambda x, a: np.where(x > 0, 1.0, a[0] * np.exp(np.minimum(x, 0.0))),
        1,
        lambda a: a[0] >= 0,
    ),
    "softplus": Activation(lambda x, _: np.logaddexp(x, 0.0), lambda x, _: _sigmoid(x)),
    "tanh": Activation(lambda x, _: np.tanh(x), lambda x, _: 1.0 - np.tanh(x) ** 2),
    "sigmoid": Activation(lambda x, _: _sigmoid(x), lambda x, _: _sigmoid(x) * (1.0 - _sigmoid(x))),
    "hardtanh": Activation(lambda x, a: np.clip(x, a[0], a[1]), lambda x, a: ((x > a[0]) & (x < a[1])) * 1.0, 2, lambda a: a[0] <= a[1]),
}


@dataclass(frozen=True)
class Network:
    """Layers from the inputs to logits: one logit of the second of two classes, or one for each class.

    A last sigmoid or softmax is left off: `probabilities` puts it back. Numbers are held in double precision; with `single`, inputs are first
    rounded to single precision, as PyTorch is given them.
    """

    layers: tuple[Layer, ...]
    inputs: int
    single: bool = True

    @cached_property
    def outputs(self) -> int:
        """Number of logits."""
        width = self.inputs
        for layer in self.layers:
            width = len(layer.weight) if layer.kind == AFFINE and layer.weight is not None else width
        return width

    @property
    def classes(self) -> int:
        """Number of classes."""
        return max(2, self.outputs)

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """Shape (rows, outputs)."""
        return self._run(rows)[-1]

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Shape (rows, classes)."""
        from scipy.special import softmax

        logits = self.logits(rows)
        if self.outputs == 1:
            share = _sigmoid(logits)
            return np.concatenate([1 - share, share], axis=1)
        return np.asarray(softmax(logits, axis=1))

    def decisions(self, rows: np.ndarray) -> np.ndarray:
        """Numbers of classes, shape (rows,); of equals the first."""
        logits = self.logits(rows)
        return (logits[:, 0] > 0).astype(int) if self.outputs == 1 else logits.argmax(axis=1)

    def pulled_back(self, rows: np.ndarray, along: np.ndarray) -> np.ndarray:
        """The gradient of the sum of `along` times logits with respect to the inputs, shape (rows, inputs)."""
        reached = self._run(rows)
        pull = np.asarray(along, dtype=float)
        for layer, before in zip(reversed(self.layers), reversed(reached[:-1]), strict=True):
            if layer.weight is not None:
                pull = pull @ layer.weight if layer.kind == AFFINE else pull * layer.weight
            else:
                pull = pull * ACTIVATIONS[layer.kind].slope(before, layer.numbers)
        return pull

    def _run(self, rows: np.ndarray) -> list[np.ndarray]:
        reached = [np.asarray(rows, dtype=np.float32).astype(float) if self.single else np.asarray(rows, dtype=float)]
        for layer in self.layers:
            reached.append(after(layer, reached[-1]))
        return reached


def is_known(kind: str, numbers: Sequence[float]) -> bool:
    """Whether there is such an activation, with numbers for which it never falls."""
    known = ACTIVATIONS.get(kind)
    return known is not None and len(numbers) == known.numbers and bool(np.isfinite(list(numbers)).all()) and known.rises(numbers)


def after(layer: Layer, values: np.ndarray) -> np.ndarray:
    """What one layer makes of its input, shape (rows, width)."""
    if layer.weight is None:
        return np.asarray(ACTIVATIONS[layer.kind].value(values, layer.numbers))
    moved = values @ layer.weight.T if layer.kind == AFFINE else values * layer.weight
    return np.asarray(moved if layer.bias is None else moved + layer.bias)
