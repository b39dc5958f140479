"""LIME (Ribeiro, Singh and Guestrin 2016) of rows: a second opinion, made in another way than Shapley values."""

from __future__ import annotations

import warnings

import numpy as np

from rai_pipelines.assessments.explanations.explained_model import ExplainedModel
from rai_pipelines.assessments.explanations.libraries import library, numpy_seed_kept

LEAST_COMPLETE = 50  # rows without a missing value that LIME learns the spread of inputs from


def lime_weights(explained: ExplainedModel, pool: np.ndarray, rows: np.ndarray, *, samples: int, seed: int) -> np.ndarray:
    """LIME's weight of every feature for each row, shape of `rows`; NaN for rows with a missing value, which LIME cannot vary.

    Each row is explained with the seed `seed` alone, so that one row gets the same weights in any company.

    Args:
        pool: vectors of training rows; those with a missing value are left out.
        rows: vectors.
        samples: neighbours drawn for each row.
    """
    complete = pool[~np.isnan(pool).any(axis=1)]
    weights = np.full(rows.shape, np.nan)
    if len(complete) < LEAST_COMPLETE:
        return weights
    tabular = library("lime.lime_tabular")
    space = explained.space
    with warnings.catch_warnings(), numpy_seed_kept():
        warnings.simplefilter("ignore")  # divisions by a spread of zero, in constant columns
        for position in np.flatnonzero(~np.isnan(rows).any(axis=1)):
            explainer = tabular.LimeTabularExplainer(
                complete,
                mode="regression",  # of the output: for two classes the same as classification, and right for amounts
                feature_names=list(space.names),
                categorical_features=np.flatnonzero(space.categorical).tolist(),
                feature_selection="none",
                random_state=seed,
            )
            made = explainer.explain_instance(rows[position], explained.outputs_of, num_features=rows.shape[1], num_samples=samples)
            weights[position] = 0.0
            for feature, weight in made.as_map()[1]:
                weights[position, feature] = weight
    return weights
