"""Scikit-learn's `CalibratedClassifierCV` around models whose raw value is known: what its curves make of it, written down exactly.

One sigmoid over one raw value is again a logistic model, of scaled raw values. Several folds are a mean of curves, and an isotonic curve is a sum of
ramps; over linear models both are a small network, whose answer is the probability itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.verification.feedforward import Feedforward
from rai_pipelines.assessments.verification.linear import linear_of
from rai_pipelines.assessments.verification.tree_dumps import Nodes, Unsupported
from rai_pipelines.errors import ModelError
from rai_pipelines.subjects.networks import AFFINE, Layer, Network

MOST_RAMPS = 2_000
Columns = list[dict[str, Any]]
Inner = Callable[[Any], tuple[dict[str, Any], Columns]]  # an estimator as `linear` or `trees`, oriented to its second class, and its columns


def is_calibrated(native: Any) -> bool:
    """Whether it is that wrapper itself."""
    if type(native).__module__ != "sklearn.calibration":
        return False
    from sklearn.calibration import CalibratedClassifierCV

    return type(native) is CalibratedClassifierCV


def write_calibrated(native: Any, nodes: Nodes, inner: Inner, positive: int) -> tuple[dict[str, Any], Columns]:
    """The calibrated classifier as `linear`, `trees` or `mean` (of curves over linear models), and the columns of the first two.

    Args:
        nodes: what `inner` writes trees to.

    Raises:
        Unsupported: its curves, or the models below them, are of a kind that is not written down.
    """
    parts = native.calibrated_classifiers_
    sign = 1.0 if positive == 1 else -1.0
    curves = [_curve(part) for part in parts]
    if len(parts) == 1 and "ramps" not in curves[0]:
        answer, columns = inner(parts[0].estimator)
        steep, start = curves[0]["steep"], curves[0]["start"]
        if answer["kind"] == "linear":
            _check_raw(answer)
            return {**answer, "weights": [sign * steep * one for one in answer["weights"]], "base": sign * (steep * answer["base"] + start),
                    "link": "sigmoid", "scale": 1.0, "cut": 0.0}, columns  # fmt: skip
        if answer["link"] == "sigmoid" and not hasattr(parts[0].estimator, "decision_function"):
            raise Unsupported("a CalibratedClassifierCV whose curve is drawn over a curve is not written down here")
        nodes.value = [sign * steep * value for value in nodes.value]
        return {**answer, "base": sign * (steep * answer["base"] + start), "link": "sigmoid", "scale": 1.0, "cut": 0.0,
                "rounding": abs(steep) * answer.get("rounding", 0.0)}, columns  # fmt: skip
    told = []
    for part, curve in zip(parts, curves, strict=True):
        answer, columns = inner(part.estimator)
        if answer["kind"] != "linear":
            raise Unsupported("a CalibratedClassifierCV of several folds, or of steps, is written down around linear models only")
        _check_raw(answer)
        told.append({"weights": answer["weights"], "base": answer["base"], "columns": columns, **curve})
    return {"kind": "mean", "parts": told, "favourable": positive == 1, "link": "identity", "scale": 1.0, "cut": 0.5}, []


def mean_of(answer: Mapping[str, Any], space: FeatureSpace) -> Feedforward:
    """The mean of curves over linear models that the model's side describes, as a network whose value is the probability.

    Raises:
        Unsupported: an input is used in a way that the space cannot express.
        ModelError: what the model's side says is no such mean.
    """
    try:
        numbers = [at for at, one in enumerate(space.features) if one.values is None]
        categories = [at for at, one in enumerate(space.features) if one.values is not None]
        places: list[int] = list(numbers)
        codes: list[np.ndarray | None] = [None for _ in numbers]
        rows, bases, rises = [], [], []
        folds, start = len(answer["parts"]), 0.0
        for number, part in enumerate(answer["parts"]):
            linear = linear_of({**part, "link": "none", "cut": 0.0}, space)
            weights = np.zeros(len(numbers) + len(categories) * folds)
            weights[: len(numbers)] = linear.slopes[numbers]
            for position, at in enumerate(categories):
                weights[len(numbers) + number * len(categories) + position] = 1.0
                places.append(at)
                codes.append(linear.terms[at])
            start += float(part.get("least", 0.0)) / folds
            for scale, shift, rise in _pieces(part):
                rows.append(scale * weights)
                bases.append(scale * linear.base + shift)
                rises.append(rise)
        ramps = "ramps" in answer["parts"][0]
        if any(("ramps" in part) != ramps for part in answer["parts"]) or not np.isfinite([*np.ravel(rows), *bases, *rises, start]).all():
            raise ValueError("curves of two kinds, or numbers that are not finite")
        sign = 1.0 if answer["favourable"] is True else -1.0
        cut = float(answer["cut"])
        layers = (
            Layer(AFFINE, np.array(rows), np.array(bases)),
            Layer("hardtanh", numbers=(0.0, 1.0)) if ramps else Layer("sigmoid"),
            Layer(AFFINE, sign * np.array([rises]) / folds, np.array([start if sign > 0 else 1.0 - start])),
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"describes its curves with something else ({error})", hint="The model tampers with its process") from error
    network = Network(layers, len(places), single=False)
    return Feedforward(space, network, 1, tuple(places), tuple(codes), link="identity", cut=cut)


def _pieces(part: Mapping[str, Any]) -> list[tuple[float, float, float]]:
    """What the units of the network take of the raw value of one fold: scale, shift, and how much each adds at most."""
    if "ramps" not in part:
        return [(float(part["steep"]), float(part["start"]), 1.0)]
    ends = [(float(first), float(last), float(rise)) for first, last, rise in part["ramps"]]
    if not ends or any(first >= last or rise <= 0 for first, last, rise in ends):
        raise ValueError("ramps that do not rise")
    return [(1 / (last - first), -first / (last - first), rise) for first, last, rise in ends]


def _check_raw(answer: Mapping[str, Any]) -> None:
    if answer["link"] not in ("sigmoid", "none") or answer["cut"] != 0.0:
        raise Unsupported("a CalibratedClassifierCV around a model with a threshold of its own is not written down here")


def _curve(part: Any) -> dict[str, Any]:
    """The curve of one fold: a sigmoid of `steep * raw + start`, or `least` and `ramps` from one number to another, each with its rise."""
    from sklearn.isotonic import IsotonicRegression

    if not hasattr(part, "calibrators"):
        raise Unsupported("a CalibratedClassifierCV of an older scikit-learn is not written down here")
    if part.method == "sigmoid":
        return {"steep": -float(part.calibrators[0].a_), "start": -float(part.calibrators[0].b_)}
    curve = part.calibrators[0]
    if part.method != "isotonic" or type(curve) is not IsotonicRegression or curve.out_of_bounds != "clip":
        raise Unsupported(f"a CalibratedClassifierCV with the method {part.method!r} is not written down here")
    places, values = (np.asarray(numbers, dtype=float) for numbers in (curve.X_thresholds_, curve.y_thresholds_))
    risen = [at for at in range(len(places) - 1) if values[at + 1] > values[at] and places[at + 1] > places[at]]
    if not 0 < len(risen) <= MOST_RAMPS:
        raise Unsupported(f"a CalibratedClassifierCV with {len(risen)} steps is not written down here")
    return {"least": float(values[0]), "ramps": [[float(places[at]), float(places[at + 1]), float(values[at + 1] - values[at])] for at in risen]}
