"""A network over the features of a space, and numbers that its raw value never leaves in a region: interval bound propagation.

Layer by layer the least and the largest value of every unit is carried on (Gowal et al. 2018), widened by what single-precision arithmetic may add
or take away, so that the bounds hold for the network as PyTorch runs it. They are never too narrow, and often too wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.verification.domain import Region
from rai_pipelines.assessments.verification.preprocessing import column_of
from rai_pipelines.assessments.verification.search import ROUNDING
from rai_pipelines.assessments.verification.tree_dumps import Unsupported
from rai_pipelines.assessments.verification.trees import numbers_of
from rai_pipelines.subjects.networks import AFFINE, Layer, Network, after

SINGLE = 2.0**-24
CURVED = 1e-6  # what a library's exponential may be off, relative to its value or to 0.1
FLAT = ("relu", "leaky_relu", "hardtanh")


@dataclass(frozen=True)
class Feedforward:
    """`raw` is the logit of the favourable outcome, or with the link `identity` its probability; `sign` is -1 where that is the first class.
    `codes` are the numbers of categories, by column.

    With `apart`, one number for each logit, `raw` is the sum of these times the logits: of two of several classes the difference.
    """

    space: FeatureSpace
    network: Network
    sign: int
    places: tuple[int, ...]
    codes: tuple[np.ndarray | None, ...]
    link: str = "sigmoid"
    scale: float = 1.0
    cut: float = 0.0
    rounding: float = ROUNDING
    score_rounding: float = 0.0
    apart: tuple[float, ...] | None = None

    @property
    def along(self) -> np.ndarray:
        """What `raw` takes of each logit, shape (1, outputs)."""
        if self.apart is not None:
            return np.array([self.apart])
        return self.sign * (np.ones((1, 1)) if self.network.outputs == 1 else np.array([[-1.0, 1.0]]))

    def columns(self, vectors: np.ndarray) -> np.ndarray:
        """What the network is given, shape (rows, inputs)."""
        found = [vectors[:, at] if codes is None else codes[vectors[:, at].astype(int)] for at, codes in zip(self.places, self.codes, strict=True)]
        return np.column_stack(found)

    def raw(self, vectors: np.ndarray) -> np.ndarray:
        """Logits, shape (rows,); NaN where a value is missing."""
        gone = np.isnan(vectors).any(axis=1)
        logits = self.network.logits(self.columns(np.where(gone[:, None], 0.0, vectors)))
        if self.apart is not None:
            return np.where(gone, np.nan, logits @ np.array(self.apart))
        margin = logits[:, 0] if self.network.outputs == 1 else logits[:, 1] - logits[:, 0]
        return np.where(gone, np.nan, self.sign * margin)

    def score(self, raw: np.ndarray) -> np.ndarray:
        """Scores of raw values."""
        from scipy.special import expit

        return np.asarray(raw if self.link == "identity" else expit(raw))

    def raw_at(self, score: float) -> float:
        """The raw value that has this score."""
        if self.link == "identity":
            return score
        return float(np.inf * np.sign(score - 0.5)) if score in (0.0, 1.0) else float(np.log(score / (1 - score)))

    def pull(self, vector: np.ndarray) -> np.ndarray:
        """How steep the raw value is in each feature at one place, summed over its columns; shape (features,)."""
        steep = np.abs(self.network.pulled_back(self.columns(vector[None]), self.along)[0])
        return np.bincount(self.places, weights=steep, minlength=len(self.space.features))

    def bounds(self, region: Region) -> tuple[float, float]:
        """Numbers that the raw value never falls below and never exceeds in the region."""
        low, high = self.reached(region)
        for layer in self.layers():
            low, high = propagated(layer, low, high)
        least, most = float(low[0]), float(high[0])
        return (least, most) if self.sign > 0 else (-most, -least)

    def reached(self, region: Region) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest value of each column in the region, rounding included; shape (inputs,)."""
        low, high = (np.empty(len(self.places)) for _ in range(2))
        for column, (at, codes) in enumerate(zip(self.places, self.codes, strict=True)):
            if codes is None:
                low[column], high[column] = region.low[at], region.high[at]
            else:
                reached = codes[list(region.codes[at])]
                low[column], high[column] = reached.min(), reached.max()
        reach = SINGLE * np.maximum(np.abs(low), np.abs(high))
        return low - reach, high + reach

    def layers(self) -> Sequence[Layer]:
        """The layers to one number, before `sign`: of several logits the difference, taken in the last weights where they come last."""
        layers = list(self.network.layers)
        if self.network.outputs == 1:
            return layers
        apart = np.array([self.apart if self.apart is not None else (-1.0, 1.0)])
        last = layers[-1] if layers else None
        if last is None or last.kind != AFFINE or last.weight is None:
            return [*layers, Layer(AFFINE, apart, None)]
        bias = None if last.bias is None else apart @ np.broadcast_to(last.bias, (self.network.outputs,))
        return [*layers[:-1], Layer(AFFINE, apart @ last.weight, bias)]


def feedforward_of(
    network: Network, space: FeatureSpace, columns: Sequence[str], *, positive: bool, apart: tuple[float, ...] | None = None
) -> Feedforward:
    """The network over the features of `space`; `columns` are its inputs in order, `positive` says that its second class is the favourable one.

    Args:
        apart: of a network of several classes, what is taken of each logit.

    Raises:
        Unsupported: it has other than two classes, or reads a column that the space cannot express.
    """
    if apart is None and network.classes != 2:
        raise Unsupported("it has other than two classes")
    places, codes = [], []
    for name in columns:
        at = next((at for at, feature in enumerate(space.features) if name in feature.columns), None)
        if at is None:
            raise Unsupported(f"it reads {name!r}, which is no feature")
        feature = space.features[at]
        places.append(at)
        codes.append(None if feature.values is None else numbers_of(column_of(name), feature.values, feature.members))
    return Feedforward(space, network, 1 if positive else -1, tuple(places), tuple(codes), apart=apart)


def propagated(layer: Layer, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers that the outputs of a layer never leave where its inputs lie from `low` to `high`, single-precision arithmetic included."""
    largest = np.maximum(np.abs(low), np.abs(high))
    if layer.weight is None:
        least, most = after(layer, low[None])[0], after(layer, high[None])[0]
        off = SINGLE * np.maximum(np.abs(least), np.abs(most)) if layer.kind in FLAT else CURVED * (0.1 + np.maximum(np.abs(least), np.abs(most)))
        return least - off, most + off
    middle, reach = (high + low) / 2, (high - low) / 2
    weight, bias = layer.weight, 0.0 if layer.bias is None else layer.bias
    if layer.kind == AFFINE:
        centre, spread, size = weight @ middle + bias, np.abs(weight) @ reach, np.abs(weight) @ largest + np.abs(bias)
        terms = weight.shape[1] + 4
    else:
        centre, spread, size = weight * middle + bias, np.abs(weight) * reach, np.abs(weight) * largest + np.abs(bias)
        terms = 8
    spread = spread + terms * SINGLE * size
    return np.asarray(centre - spread), np.asarray(centre + spread)
