"""Attacks along gradients, by the Adversarial Robustness Toolbox: of scikit-learn's logistic regression here, of networks with `networks`.

Trees, forests and boosting have no gradient.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import JsonValue

from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.security.neighbours import shrunk
from rai_pipelines.assessments.security.networks import NetworkView, along_gradient
from rai_pipelines.assessments.security.oracle import Attacked, Effort, Oracle, best_of
from rai_pipelines.errors import ModelError
from rai_pipelines.subjects.subject import LoadedModel, Tables

if TYPE_CHECKING:
    from rai_pipelines.subjects.model_files import CheckedModel

TASK = "rai_pipelines.assessments.security.gradients:weights"
ALONG = np.concatenate([np.linspace(1 / 64, 1, 64), [1.5, 2.0]])  # of the way that the gradient takes


def linear_weights(model: LoadedModel, space: FeatureSpace) -> np.ndarray | None:
    """Weights of a logistic regression for each feature of the space (0 for categories) and, last, the intercept; None for other models.

    Raises:
        ModelError: the model's side answers with something else than numbers.
    """
    answer, _ = model.run(TASK, {"columns": list(space.columns)}, {})
    found: Any = answer.get("weights")
    intercept: Any = answer.get("intercept")
    if found is None:
        return None
    try:
        numbers = dict(found) if isinstance(found, dict) else {}
        slope = [0.0 if feature.values is not None else float(numbers[feature.name]) for feature in space.features]
        made = np.array([*slope, float(intercept)])
    except (KeyError, TypeError, ValueError):
        made = np.array([np.nan])
    if not np.isfinite(made).all():
        raise ModelError("gives weights that are not one finite number per input", hint="Look at the model's coefficients")
    return made


def gradient(oracle: Oracle, space: FeatureSpace, rows: np.ndarray, *, weights: np.ndarray, epsilon: float, effort: Effort) -> Attacked:
    """Projected gradient descent (Madry et al. 2018), L2, on the movable numbers in standard deviations; the least way along it that counts.

    Args:
        weights: one for each feature of the space, then the intercept. Categories stay where they are.
        epsilon: how far the descent goes.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PyTorch not found", category=UserWarning)
        from art.attacks.evasion import ProjectedGradientDescentNumpy
        from art.estimators.classification.scikitlearn import ScikitlearnLogisticRegression
    moving = np.array([at for at in space.movable if not space.categorical[at]], dtype=int)
    if not len(moving) or not len(rows):
        return Attacked.nothing(rows)
    known = np.nan_to_num(rows)
    standard = known / space.step
    descent = ProjectedGradientDescentNumpy(
        ScikitlearnLogisticRegression(_logistic(weights[:-1] * space.step, weights[-1])),
        norm=2, eps=epsilon, eps_step=epsilon / 4, max_iter=effort.gradient_steps, num_random_init=0, batch_size=len(rows), verbose=False,
    )  # fmt: skip
    mask = np.isin(np.arange(rows.shape[1]), moving).astype(np.float32)
    decided = np.eye(2, dtype=np.float32)[oracle.ask(rows)]  # the weights leave categories out, so they do not say
    moved = descent.generate(standard.astype(np.float32), decided, mask=mask) * space.step
    change = np.where(mask.astype(bool), moved - known, 0.0)
    return _tried(oracle, space, rows, [rows + share * change for share in ALONG])


def network_gradient(
    name: str, oracle: Oracle, space: FeatureSpace, rows: np.ndarray, *, view: NetworkView, epsilon: float, effort: Effort, seed: int
) -> Attacked:
    """One of the gradient attacks on a network (see `along_gradient`); the least part of its way that counts. Categories stay where they are."""
    if not len(rows) or all(space.categorical[at] for at in space.movable):
        return Attacked.nothing(rows)
    reached = along_gradient(name, view, space, rows, epsilon=epsilon, steps=effort.gradient_steps, seed=seed)
    change = np.where(np.isnan(rows), 0.0, reached - rows)
    return _tried(oracle, space, rows, [rows + share * change for share in ALONG])


def weights(model: CheckedModel, parameters: Mapping[str, JsonValue], tables: Tables) -> tuple[Mapping[str, JsonValue], Tables]:
    """Task: the weights and intercept of a binary logistic regression, alone or after scikit-learn's StandardScaler; null for other models."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    steps = [step for _, step in model.native.steps] if type(model.native) is Pipeline else [model.native]
    last = steps[-1]
    if type(last) is not LogisticRegression or len(last.classes_) != 2 or any(type(step) is not StandardScaler for step in steps[:-1]):
        return {"weights": None, "intercept": None}, {}
    slope, intercept = np.array(last.coef_[0], dtype=float), float(last.intercept_[0])
    for step in reversed(steps[:-1]):
        slope = slope / (step.scale_ if step.scale_ is not None else 1.0)
        intercept -= float(slope @ (step.mean_ if step.mean_ is not None else np.zeros(len(slope))))
    return {"weights": dict(zip(_columns(model, parameters), slope.tolist(), strict=True)), "intercept": intercept}, {}


def _columns(model: CheckedModel, parameters: Mapping[str, JsonValue]) -> list[str]:
    """The model's inputs in its own order; as asked, where its file does not say."""
    columns = parameters["columns"]
    return list(model.features or (map(str, columns) if isinstance(columns, list) else ()))


def _tried(oracle: Oracle, space: FeatureSpace, rows: np.ndarray, ways: Sequence[np.ndarray]) -> Attacked:
    """The nearest of several changed versions of each row that could exist and is decided differently, then made smaller."""
    decisions = oracle.ask(rows)
    candidates = np.concatenate([space.project(way, rows) for way in ways])
    owner = np.tile(np.arange(len(rows)), len(ways))
    moved = space.distance(candidates, rows[owner]) > 0
    found = best_of(oracle, space, rows, decisions, candidates=candidates[moved], owner=owner[moved])
    return shrunk(oracle, space, rows, decisions, replace(found, asked=int(moved.sum())))


def _logistic(slope: np.ndarray, intercept: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression()
    model.classes_ = np.array([0, 1])
    model.coef_, model.intercept_ = slope[None], np.array([intercept])
    model.n_features_in_ = len(slope)
    return model
