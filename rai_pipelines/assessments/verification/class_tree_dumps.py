"""Trees of classifiers of three or more classes, as rows of the same table of nodes: what each tree adds to the raw value of each class."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from rai_pipelines.assessments.verification.tree_dumps import (
    SINGLE,
    Nodes,
    Unsupported,
    add_histogram,
    add_lightgbm,
    add_sklearn,
    add_xgboost,
    is_lightgbm,
)


def write_classes(last: Any, nodes: Nodes, classes: int) -> tuple[dict[str, Any], np.ndarray | None]:
    """Write the trees of a classifier of `classes` classes, in the model's own order.

    Returns:
        `link` (`softmax` of the raw values; `identity`: they are the scores), `bases` (one for each class), `outcomes` (of each tree the class that
        it adds to; empty where leaves add to all), `single` and `rounding` as in `write_ensemble`; and what each node adds to each class, shape
        (nodes, classes), where leaves add to all.

    Raises:
        Unsupported: the model is of another kind, or does something that the table cannot say.
    """
    origin = type(last).__module__.split(".")[0]
    if origin == "xgboost":
        return _xgboost(last, nodes, classes), None
    if is_lightgbm(last):
        return _lightgbm(last, nodes, classes), None
    from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

    if type(last) in (DecisionTreeClassifier, ExtraTreeClassifier):
        return _voting([last], nodes, classes)
    if type(last) in (RandomForestClassifier, ExtraTreesClassifier):
        return _voting(list(last.estimators_), nodes, classes)
    if type(last) is GradientBoostingClassifier:
        if last.init_ != "zero" and type(last.init_).__name__ != "DummyClassifier":
            raise Unsupported("it starts from another model")
        stages = [(at, one) for stage in last.estimators_ for at, one in enumerate(stage)]
        for number, (_, one) in enumerate(stages):
            add_sklearn(nodes, number, one.tree_, lambda value: last.learning_rate * float(value[0][0]))
        start = np.ravel(last._raw_predict_init(np.zeros((1, last.n_features_in_))))
        return _boosted([at for at, _ in stages], start, single=True), None
    if type(last) is HistGradientBoostingClassifier:
        if last.is_categorical_ is not None:
            raise Unsupported("histogram boosting with categorical inputs is not written down here")
        trees = [(at, one) for stage in last._predictors for at, one in enumerate(stage)]
        for number, (_, one) in enumerate(trees):
            add_histogram(nodes, number, one.nodes, 1.0)
        return _boosted([at for at, _ in trees], np.ravel(last._baseline_prediction), single=False), None
    raise Unsupported(f"a {origin} {type(last).__name__} of several classes is not written down here")


def _boosted(outcomes: list[int], bases: Any, *, single: bool, rounding: float = 0.0) -> dict[str, Any]:
    return {"link": "softmax", "bases": [float(base) for base in bases], "outcomes": outcomes, "single": single, "rounding": rounding}


def _voting(trees: list[Any], nodes: Nodes, classes: int) -> tuple[dict[str, Any], np.ndarray]:
    for number, one in enumerate(trees):
        add_sklearn(nodes, number, one.tree_, lambda value: 0.0)
    shares = np.concatenate([np.asarray(one.tree_.value, dtype=float)[:, 0, :] for one in trees]) / len(trees)
    if shares.shape[1] != classes:
        raise Unsupported("its trees know other classes than it")
    return {"link": "identity", "bases": [0.0] * classes, "outcomes": [], "single": True, "rounding": 0.0}, shares


def _lightgbm(last: Any, nodes: Nodes, classes: int) -> dict[str, Any]:
    whole = getattr(last, "booster_", last).dump_model()
    if str(whole["objective"]).split()[0] != "multiclass" or whole["average_output"] or whole["num_tree_per_iteration"] != classes:
        raise Unsupported(f"LightGBM with the objective {whole['objective']!r} or averaged trees is not written down here")
    for number, tree in enumerate(whole["tree_info"]):
        add_lightgbm(nodes, number, tree["tree_structure"], 1.0)
    return _boosted([number % classes for number in range(len(whole["tree_info"]))], [0.0] * classes, single=False)


def _xgboost(last: Any, nodes: Nodes, classes: int) -> dict[str, Any]:
    if type(last).__name__ != "XGBClassifier" or not (isinstance(last.missing, float) and math.isnan(last.missing)):
        raise Unsupported(f"an XGBoost {type(last).__name__}, or one that takes a number for missing, is not written down here")
    whole = json.loads(bytes(last.get_booster().save_raw(raw_format="json")))["learner"]
    booster, objective = whole["gradient_booster"], whole["objective"]["name"]
    if booster["name"] != "gbtree" or objective not in ("multi:softprob", "multi:softmax"):
        raise Unsupported(f"XGBoost's {booster['name']} with the objective {objective} is not written down here")
    trees, outcomes = booster["model"]["trees"], [int(one) for one in booster["model"]["tree_info"]]
    best = getattr(last, "best_iteration", None)
    if best is not None:  # predictions stop there
        kept = booster["model"]["iteration_indptr"][int(best) + 1]
        trees, outcomes = trees[:kept], outcomes[:kept]
    told = [float(np.float32(part)) for part in str(whole["learner_model_param"]["base_score"]).strip("[]").split(",")]
    bases = told * classes if len(told) == 1 else told
    if len(bases) != classes or not np.isfinite(bases).all():
        raise Unsupported("its base scores are not one for each class")
    largest = np.abs(bases)
    for number, tree in enumerate(trees):
        if any(tree["split_type"]) or int(tree["tree_param"].get("size_leaf_vector", "1")) > 1:
            raise Unsupported("XGBoost's splits by category and leaves for several classes are not written down here")
        largest[outcomes[number]] += max(abs(leaf) for leaf in add_xgboost(nodes, number, tree, 1.0))
    return _boosted(outcomes, bases, single=True, rounding=2 * (len(trees) / classes + 4) * SINGLE * float(largest.max()))
