"""Why there is no check for backdoors: what the toolbox's activation clustering says of a network that learnt clean rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rai_pipelines.assessments.security.network_models import network_of
from rai_pipelines.subjects.networks import Network
from rai_pipelines_tests.assessments.security.network_subjects import FEATURES, applicants

pytestmark = pytest.mark.slow


def accused(network: Network, rows: np.ndarray, classes: np.ndarray, how: str) -> np.ndarray:
    """The rows that activation clustering takes for poisoned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from art.defences.detector.poison import ActivationDefence
        from art.estimators import BaseEstimator, NeuralNetworkMixin
        from art.estimators.classification.classifier import ClassifierMixin

        class Described(NeuralNetworkMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc,unused-ignore]
            input_shape = (rows.shape[1],)
            layer_names = ("hidden", "logits")

            def predict(self, x: np.ndarray, batch_size: int = 128, **_: Any) -> np.ndarray:
                return network.probabilities(x)

            def fit(self, *_: Any, **__: Any) -> None:
                raise NotImplementedError

            def compute_loss(self, *_: Any, **__: Any) -> np.ndarray:
                raise NotImplementedError

            def get_activations(self, x: np.ndarray, layer: Any, batch_size: int, framework: bool = False) -> np.ndarray:
                return network._run(x)[-2]

        described = Described(model=network, clip_values=None, channels_first=True)
        described.nb_classes = 2
        _, clean = ActivationDefence(described, rows, np.eye(2)[classes]).detect_poison(nb_clusters=2, nb_dims=5, reduce="PCA", cluster_analysis=how)
    return np.asarray(clean) == 0


def learnt(inputs: pd.DataFrame, classes: np.ndarray) -> Network:
    model = make_pipeline(StandardScaler(), MLPClassifier((16, 8), max_iter=400, random_state=1)).fit(inputs, classes)
    network = network_of(model)
    assert network is not None
    return network


@pytest.mark.parametrize("how", ["silhouette-scores", "smaller"])
def test_activation_clustering_accuses_clean_rows_and_is_mostly_wrong_about_planted_ones(how: str) -> None:
    frame = applicants(3_000, 1)
    inputs, classes = frame[list(FEATURES)].astype(float), frame.y.to_numpy()
    assert accused(learnt(inputs, classes), inputs.to_numpy(), classes, how).mean() > 0.2
    planted = np.random.default_rng(0).permutation(np.flatnonzero(classes == 0))[:150]
    inputs.iloc[planted, 0] = inputs.income.max() * 1.5
    classes = classes.copy()
    classes[planted] = 1
    found = accused(learnt(inputs, classes), inputs.to_numpy(), classes, how)
    assert np.isin(np.flatnonzero(found), planted).mean() < 0.3
