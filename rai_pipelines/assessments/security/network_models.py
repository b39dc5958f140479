"""Models that are feed-forward networks, whatever library they come from. Runs where the model lives."""

from __future__ import annotations

from typing import Any

import numpy as np

from rai_pipelines.subjects.networks import AFFINE, SCALE, Layer, Network

CURVES = {"relu": "relu", "tanh": "tanh", "logistic": "sigmoid", "identity": None}


def network_of(native: Any) -> Network | None:
    """A network read from its archive; scikit-learn's `MLPClassifier`, or its logistic regression over several classes, alone or after
    `StandardScaler`. None for other models.
    """
    if type(native) is Network:
        return native
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    steps = [step for _, step in native.steps] if type(native) is Pipeline else [native]
    last = steps[-1]
    if any(type(step) is not StandardScaler for step in steps[:-1]):
        return None
    layers: list[Layer] = []
    if type(last) is MLPClassifier and last.out_activation_ in ("logistic", "softmax"):
        for weight, bias in zip(last.coefs_, last.intercepts_, strict=True):
            curve = CURVES[last.activation]
            layers += [Layer(AFFINE, np.asarray(weight, dtype=float).T, np.asarray(bias, dtype=float)), *([Layer(curve)] if curve else [])]
        layers = layers[: len(layers) - bool(CURVES[last.activation])]  # the outputs have a curve of their own
        if last.out_activation_ == "logistic" and last.n_outputs_ != 1:
            return None  # several labels at once
    elif type(last) is LogisticRegression and len(last.classes_) > 2:
        layers = [Layer(AFFINE, np.asarray(last.coef_, dtype=float), np.asarray(last.intercept_, dtype=float))]
    else:
        return None
    return Network((*(_standardised(step) for step in steps[:-1]), *layers), int(steps[0].n_features_in_), single=False)


def _standardised(step: Any) -> Layer:
    width = step.n_features_in_
    spread = step.scale_ if step.scale_ is not None else np.ones(width)
    middle = step.mean_ if step.mean_ is not None else np.zeros(width)
    return Layer(SCALE, 1.0 / spread, -middle / spread)
