"""What is known of a linear model or a network over a region: how steep it is in one feature, and how far some features can move it.

Slopes and changes are carried on layer by layer as intervals, like values (Gowal et al. 2018; the change of two inputs at once as by Paulsen, Wang
and Wang 2020, ReluDiff). They are those of the exact function; what single-precision arithmetic adds to a value counts as no change.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from rai_pipelines.assessments.verification.domain import Region
from rai_pipelines.assessments.verification.feedforward import Feedforward, propagated
from rai_pipelines.assessments.verification.feedforward_proofs import towards
from rai_pipelines.assessments.verification.linear import Linear
from rai_pipelines.subjects.networks import AFFINE, Layer

Smooth = Linear | Feedforward
CURVE = 1e-9  # what the slope of a curve may be off, relative to itself
EXACT = 1e-15  # of one operation in double precision, twice


def slope_bounds(form: Smooth, region: Region, at: int) -> tuple[float, float]:
    """Numbers that the slope of the raw value in one number never falls below and never exceeds in the region.

    Zero stays zero, and what has one sign keeps it, whatever the rounding.
    """
    if isinstance(form, Linear):
        return float(form.slopes[at]), float(form.slopes[at])
    low, high = form.reached(region)
    down = np.array([1.0 if place == at and codes is None else 0.0 for place, codes in zip(form.places, form.codes, strict=True)])
    up = down.copy()
    for layer in form.layers():
        if layer.weight is None:
            least, most = slopes_of(layer, low, high)
            down, up = np.where(down >= 0, down * least, down * most), np.where(up >= 0, up * most, up * least)
        else:
            down, up = _weighed(layer.kind, layer.weight, down, up)
        low, high = propagated(layer, low, high)
    return (float(down[0]), float(up[0])) if form.sign > 0 else (-float(up[0]), -float(down[0]))


def change_bound(form: Smooth, region: Region, positions: Collection[int]) -> float:
    """How far the raw value can move at most when the features at `positions` alone move within the region."""
    if isinstance(form, Linear):
        return float(sum(form.spread(region, at) for at in positions))
    low, high = form.reached(region)
    moved = np.array([
        0.0 if place not in positions else (region.high[place] - region.low[place]) if codes is None else np.ptp(codes[list(region.codes[place])])
        for place, codes in zip(form.places, form.codes, strict=True)
    ])  # fmt: skip
    for layer in form.layers():
        if layer.weight is None:
            moved = np.minimum(moved * slopes_of(layer, low, high)[1], (high - low) * (moved > 0))
        else:
            moved = np.abs(layer.weight) @ moved if layer.kind == AFFINE else np.abs(layer.weight) * moved
            moved = moved * (1 + EXACT * (layer.weight.shape[-1] + 4))
        low, high = propagated(layer, low, high)
    return float(moved[0])


def corner(form: Smooth, region: Region, place: np.ndarray, side: int) -> np.ndarray:
    """Where the raw value is largest (`side` 1) or least in the region: exactly for linear models, else as the gradient at a place points."""
    return form.extreme(region, side)[1] if isinstance(form, Linear) else towards(form, region, place, side)


def slopes_of(layer: Layer, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest slope of an activation between two numbers; none of them falls."""
    from scipy.special import expit

    one, nothing = np.ones_like(low), np.zeros_like(low)
    match layer.kind:
        case "relu":
            return np.where(low > 0, one, nothing), np.where(high > 0, one, nothing)
        case "leaky_relu":
            flat = layer.numbers[0]
            return np.where(low >= 0, one, np.where(high <= 0, flat, min(flat, 1.0))), np.where(
                high <= 0, flat, np.where(low >= 0, one, max(flat, 1))
            )
        case "hardtanh":
            first, last = layer.numbers
            return np.where((low > first) & (high < last), one, nothing), np.where((high <= first) | (low >= last), nothing, one)
        case "elu":
            steep = layer.numbers[0]
            left, right = steep * np.exp(np.minimum(low, 0.0)), steep * np.exp(np.minimum(high, 0.0))
            least = np.where(low > 0, one, np.where(high <= 0, left, np.minimum(left, 1.0)))
            return least * (1 - CURVE), np.where(low > 0, one, np.where(high <= 0, right, max(steep, 1.0))) * (1 + CURVE)
        case "softplus":
            return expit(low) * (1 - CURVE), expit(high) * (1 + CURVE)
        case "tanh" | "sigmoid":
            scale, top = (2.0, 1.0) if layer.kind == "tanh" else (1.0, 0.25)

            def slope(values: np.ndarray) -> np.ndarray:  # 1 - tanh^2 is four times the slope of a sigmoid at twice the place
                return np.asarray(4 * top * expit(scale * values) * expit(-scale * values))

            ends = slope(low), slope(high)
            return np.minimum(*ends) * (1 - CURVE), np.where((low <= 0) & (high >= 0), top, np.maximum(*ends)) * (1 + CURVE)
    raise ValueError(f"no slope of {layer.kind}")


def least_mean(low: Sequence[float], least: np.ndarray, most: np.ndarray) -> float:
    """The least mean of numbers that are at least `low`, over weights from `least` to `most` that add up to 1 (the smallest get what is left)."""
    order = np.argsort(low)
    left = 1.0 - float(least.sum())
    total = 0.0
    for at in order:
        more = min(max(left, 0.0), float(most[at] - least[at]))
        left -= more
        total += low[at] * (float(least[at]) + more)
    return total


def _weighed(kind: str, weight: np.ndarray, down: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of terms above 0 and of terms below are kept apart, so that rounding changes no sign where all terms have one."""
    off = EXACT * (weight.shape[-1] + 4)
    positive, negative = np.maximum(weight, 0.0), np.maximum(-weight, 0.0)

    def together(first: np.ndarray, second: np.ndarray, side: int) -> np.ndarray:
        """Positive weights times `first`, less negative ones times `second`."""

        def sums(values: np.ndarray, others: np.ndarray) -> np.ndarray:
            return np.asarray(positive @ values + negative @ others if kind == AFFINE else positive * values + negative * others)

        gain = sums(np.maximum(first, 0.0), np.maximum(-second, 0.0))
        loss = sums(np.maximum(-first, 0.0), np.maximum(second, 0.0))
        return np.asarray(gain * (1 + side * off) - loss * (1 - side * off))

    return together(down, up, -1), together(up, down, 1)
