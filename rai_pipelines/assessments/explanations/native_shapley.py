"""Shapley values from inside the model, by shap's explainers for trees and for linear models. Runs where the model lives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import JsonValue

from rai_pipelines.assessments.explanations.libraries import installed, library
from rai_pipelines.errors import without_values
from rai_pipelines.subjects.subject import Tables

if TYPE_CHECKING:
    import pandas as pd

    from rai_pipelines.subjects.model_files import CheckedModel

TASK = "rai_pipelines.assessments.explanations.native_shapley:native_shapley"
INTERVENTIONAL = "interventional"
RANKS = "interventional on ranks"
PATHS = "tree path dependent"
WAYS = (INTERVENTIONAL, RANKS, PATHS)  # which of them is right for a model is tested against its answers
OBJECTIVE = re.compile(r"^objective=(\S+)", re.MULTILINE)
WRAPPERS = ("best_estimator_", "model")  # a search, or a plain class that only adds thresholds; wrong guesses fail the additivity test


def native_shapley(model: CheckedModel, parameters: Mapping[str, JsonValue], tables: Tables) -> tuple[Mapping[str, JsonValue], Tables]:
    """Task: Shapley values of `rows` against `background`, both with the model's inputs.

    Parameters: `columns`, the inputs where the model's file does not name them; `output`, `score` or `prediction`; `way`, one of WAYS.
    Answers `explainer`, `output` (probability, log-odds or prediction) and `base`, and the table `values` with one column per input, in order;
    or `reason`, where neither explainer fits the model. The columns that a pipeline makes of one input are added up.
    """
    import pyarrow as pa

    if not installed("shap"):
        return {"reason": "shap is not among the libraries of the model's process"}, {}
    given = parameters["columns"]
    columns = list(model.features or (map(str, given) if isinstance(given, list) else ()))
    rows, background = (tables[name].to_pandas()[columns] for name in ("rows", "background"))
    place = None
    if parameters["output"] == "score":
        classes = model.classes or ()
        if len(classes) < 2 or model.favourable not in classes:
            return {"reason": f"the model has {len(classes)} classes with a probability, and the explained one is not among them"}, {}
        place = classes.index(model.favourable)
    steps, last = _parts(model.native)
    made = _inputs_of_the_last_step(steps, rows, background)
    if isinstance(made, str):
        return {"reason": made}, {}
    ours, theirs, source = made
    if hasattr(last, "coef_"):
        found = _by_weights(last, ours, theirs, place) if parameters["way"] == INTERVENTIONAL else "a linear model has no trees"
    else:
        found = _by_trees(last, ours, theirs, place, str(parameters["way"]))
    if isinstance(found, str):
        return {"reason": found}, {}
    explainer, output, values, base = found
    summed = {str(at): values[:, source == at].sum(axis=1) for at in range(len(columns))}
    return {"explainer": explainer, "output": output, "base": base}, {"values": pa.table(summed)}


def _parts(native: Any) -> tuple[Any, Any]:
    """The transforming part of a pipeline (None without one) and the estimator at its end."""
    from sklearn.pipeline import Pipeline

    for name in WRAPPERS:
        inner = getattr(native, name, None)
        if inner is not None and callable(getattr(inner, "predict", None)):
            native = inner
    if isinstance(native, Pipeline):
        return (native[:-1] if len(native.steps) > 1 else None), native.steps[-1][1]
    return None, native


def _inputs_of_the_last_step(steps: Any, rows: pd.DataFrame, background: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray] | str:
    """What the estimator is given for rows and background, and for each of its columns the position of the input that it is made of.

    Found by moving the values of one input to other rows and seeing which columns change, so it holds for any transformer.
    """
    import pandas as pd

    both = pd.concat([rows, background], ignore_index=True)
    try:
        whole = _dense(steps.transform(both)) if steps is not None else both.to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError):
        return "the model reads inputs that are not numbers"
    source = np.arange(whole.shape[1])
    if steps is not None:
        moved = np.roll(np.arange(len(both)), 1)
        touched = np.zeros((len(both.columns), whole.shape[1]), dtype=bool)
        for at, name in enumerate(both.columns):
            changed = both.assign(**{name: both[name].take(moved).reset_index(drop=True)})
            again = _dense(steps.transform(changed))
            touched[at] = ((whole != again) & ~(np.isnan(whole) & np.isnan(again))).any(axis=0)
        if (touched.sum(axis=0) > 1).any():
            return "a step of the pipeline mixes several inputs into one"
        source = touched.argmax(axis=0)  # a column that never changes has no share
    return whole[: len(rows)], whole[len(rows) :], source


def _dense(made: Any) -> np.ndarray:
    return np.asarray(made.toarray() if hasattr(made, "toarray") else made, dtype=float)


def _by_trees(estimator: Any, rows: np.ndarray, background: np.ndarray, place: int | None, way: str) -> tuple[str, str, np.ndarray, float] | str:
    """Interventional: parts of the probability, against the background. Along the paths: parts of the raw output, against the trees' training."""
    shap = library("shap")
    try:
        if way == PATHS:
            explainer = shap.TreeExplainer(_with_objective(estimator), feature_perturbation="tree_path_dependent")
        else:
            masker = shap.maskers.Independent(background, max_samples=len(background))
            wanted = "probability" if place is not None else "raw"
            explainer = shap.TreeExplainer(_with_objective(estimator), masker, model_output=wanted, feature_perturbation="interventional")
        if way == RANKS:
            rows = _on_ranks(explainer, rows)
        values = np.asarray(explainer.shap_values(rows, check_additivity=False), dtype=float)
        of_odds = way == PATHS and str(explainer.model.tree_output) == "log_odds"
        output = "prediction" if place is None else "log-odds" if of_odds else "probability"
        chosen, base = _side(values, explainer.expected_value, place, whole=1.0 if output == "probability" else 0.0)
    except Exception as error:  # whatever shap says about a kind of tree that it does not know: the reason is handed on
        return _why(estimator, error)
    return f"TreeExplainer, {way}", output, chosen, base


def _on_ranks(explainer: Any, rows: np.ndarray) -> np.ndarray:
    """Rows, and in place the background and thresholds of the explainer, as ranks among the thresholds of each input.

    shap's interventional walk (0.51) compares inputs with thresholds in single precision, so that values at a threshold go the wrong way. Ranks
    are small whole numbers: the comparisons come out as in double precision, and nothing else of the computation changes.
    """
    trees = explainer.model
    rows, background = (part.astype(trees.input_dtype).astype(float) for part in (rows, explainer.data))
    inner = trees.children_left >= 0
    for at in range(rows.shape[1]):
        own = inner & (trees.features == at)
        edges = np.unique(trees.thresholds[own])
        trees.thresholds[own] = np.searchsorted(edges, trees.thresholds[own])
        for part in (rows, background):
            part[:, at] = np.where(np.isnan(part[:, at]), np.nan, np.searchsorted(edges, part[:, at]))
    explainer.data = background
    return rows


def _by_weights(estimator: Any, rows: np.ndarray, background: np.ndarray, place: int | None) -> tuple[str, str, np.ndarray, float] | str:
    shap = library("shap")
    try:
        explainer = shap.LinearExplainer(estimator, shap.maskers.Independent(background, max_samples=len(background)))
        values = np.asarray(explainer.shap_values(rows), dtype=float)
        chosen, base = _side(values, explainer.expected_value, place, whole=0.0)
    except Exception as error:  # as above
        return _why(estimator, error)
    return "LinearExplainer, interventional", "prediction" if place is None else "log-odds", chosen, base


def _why(estimator: Any, error: Exception) -> str:
    return f"{type(estimator).__name__}: {without_values((str(error).strip().splitlines() or [type(error).__name__])[0][:200])}"


def _side(values: np.ndarray, expected: Any, place: int | None, *, whole: float) -> tuple[np.ndarray, float]:
    """Values and base of the favourable class. One output is that of the second class; the first has what is left of `whole`."""
    base = np.atleast_1d(np.asarray(expected, dtype=float))
    if values.ndim == 3 and place is not None and values.shape[2] > max(1, place):
        return values[:, :, place], float(base[place])
    values = values.reshape(values.shape[0], values.shape[1])
    return (values, float(base[-1])) if place != 0 else (-values, whole - float(base[-1]))


def _with_objective(estimator: Any) -> Any:
    """A LightGBM booster read from text does not say what it was trained for where shap looks; a copy does."""
    if type(estimator).__module__ != "lightgbm.basic" or type(estimator).__name__ != "Booster" or estimator.params.get("objective"):
        return estimator
    import lightgbm

    text = estimator.model_to_string()
    named = OBJECTIVE.search(text)
    copy = lightgbm.Booster(model_str=text)
    copy.params = {"objective": named.group(1) if named else "custom"}
    return copy
