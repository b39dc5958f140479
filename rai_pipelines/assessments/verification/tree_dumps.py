"""Trees of each library as rows of one table of nodes, and the arithmetic around them, exactly as the library does it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LEAF, AT_MOST, ONE_OF = 0, 1, 2
MISSING_RIGHT, MISSING_LEFT, MISSING_AS_ZERO = 0, 1, 2
SINGLE = 2.0**-24  # half a unit in the last place of a single-precision number near 1


class Unsupported(Exception):
    """Why a model cannot be written down exactly."""


@dataclass
class Nodes:
    """Rows of the table of nodes; children come after their parent."""

    tree: list[int] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    column: list[int] = field(default_factory=list)
    threshold: list[float] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    members: list[list[int]] = field(default_factory=list)
    double: list[bool] = field(default_factory=list)  # compared in double precision, whatever the other trees do

    def add(self, tree: int, kind: int, **given: Any) -> int:
        """One more row, and its number."""
        row = {"column": 0, "threshold": 0.0, "missing": 0, "left": -1, "right": -1, "value": 0.0, "members": [], "double": False} | given
        for name, value in {"tree": tree, "kind": kind, **row}.items():
            getattr(self, name).append(value)
        return len(self.tree) - 1

    def split(
        self, tree: int, column: int, threshold: float, *, left: Callable[[], int], right: Callable[[], int], missing: int, double: bool = False
    ) -> int:
        """A comparison and what lies on either side of it."""
        at = self.add(tree, AT_MOST, column=column, threshold=threshold, missing=missing, double=double)
        self.left[at] = left()
        self.right[at] = right()
        return at


def write_ensemble(last: Any, nodes: Nodes, positive: int) -> dict[str, Any]:
    """Write the trees of a classifier of two classes; what is around them is returned.

    Args:
        positive: which of the classes is favourable; all values are turned towards it.

    Returns:
        `link`, `scale`, `base`, `cut`, `single` (inputs are compared in single precision), and `rounding`: how far the library's own sum may be
        from the exact one, where it adds in single precision.

    Raises:
        Unsupported: the model is of another kind, or does something that the table cannot say.
    """
    sign = 1.0 if positive == 1 else -1.0
    origin = type(last).__module__.split(".")[0]
    if origin == "xgboost":
        return _xgboost(last, nodes, sign)
    if origin == "catboost":
        return _catboost(last, nodes, sign)
    return _scikit_or_lightgbm(last, nodes, positive)


def _scikit_or_lightgbm(last: Any, nodes: Nodes, positive: int) -> dict[str, Any]:
    from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

    sign = 1.0 if positive == 1 else -1.0
    boosted = {"link": "sigmoid", "cut": 0.0, "single": True, "scale": 1.0}
    if type(last) in (DecisionTreeClassifier, ExtraTreeClassifier):
        add_sklearn(nodes, 0, last.tree_, lambda value: float(value[0][positive]))
        return {"link": "identity", "cut": 0.5, "single": True, "scale": 1.0, "base": 0.0}
    if type(last) in (RandomForestClassifier, ExtraTreesClassifier):
        for number, one in enumerate(last.estimators_):
            add_sklearn(nodes, number, one.tree_, lambda value: float(value[0][positive]) / len(last.estimators_))
        return {"link": "identity", "cut": 0.5, "single": True, "scale": 1.0, "base": 0.0}
    if type(last) is GradientBoostingClassifier:
        if last.init_ != "zero" and type(last.init_).__name__ != "DummyClassifier":
            raise Unsupported("it starts from another model")
        for number, one in enumerate(last.estimators_[:, 0]):
            add_sklearn(nodes, number, one.tree_, lambda value: sign * last.learning_rate * float(value[0][0]))
        start = float(last._raw_predict_init(np.zeros((1, last.n_features_in_)))[0, 0])
        return {**boosted, "scale": 2.0 if last.loss == "exponential" else 1.0, "base": sign * start}
    if type(last) is HistGradientBoostingClassifier:
        if last.is_categorical_ is not None:
            raise Unsupported("histogram boosting with categorical inputs is not written down here")
        for number, stage in enumerate(last._predictors):
            add_histogram(nodes, number, stage[0].nodes, sign)
        return {**boosted, "single": False, "base": sign * float(np.ravel(last._baseline_prediction)[0])}
    if is_lightgbm(last):
        whole = getattr(last, "booster_", last).dump_model()
        objective = str(whole["objective"]).split()
        if objective[0] != "binary" or whole["average_output"]:
            raise Unsupported(f"LightGBM with the objective {whole['objective']!r} or averaged trees is not written down here")
        for number, tree in enumerate(whole["tree_info"]):
            add_lightgbm(nodes, number, tree["tree_structure"], sign)
        steep = next((float(part.split(":")[1]) for part in objective[1:] if part.startswith("sigmoid:")), 1.0)
        return {**boosted, "single": False, "scale": steep, "base": 0.0}
    raise Unsupported(f"a {type(last).__module__.split('.')[0]} {type(last).__name__} is not written down here")


def is_lightgbm(model: Any) -> bool:
    """Whether it is one of LightGBM's own types; the library is not everywhere, and a model that is not of it needs none."""
    if type(model).__module__.partition(".")[0] != "lightgbm":
        return False
    import lightgbm

    return type(model) in (lightgbm.Booster, lightgbm.LGBMClassifier)


def add_sklearn(nodes: Nodes, number: int, tree: Any, value_of: Any) -> None:
    """A tree of scikit-learn; `value_of` makes the value of a leaf of what the tree keeps there."""
    if not hasattr(tree, "missing_go_to_left"):
        raise Unsupported("trees of scikit-learn before 1.3 do not say what happens to missing values")
    start = len(nodes.tree)
    for at in range(tree.node_count):
        if tree.children_left[at] == tree.children_right[at]:
            nodes.add(number, LEAF, value=value_of(tree.value[at]))
        else:
            nodes.add(
                number, AT_MOST, column=int(tree.feature[at]), threshold=float(tree.threshold[at]), missing=int(tree.missing_go_to_left[at]),
                left=start + int(tree.children_left[at]), right=start + int(tree.children_right[at]),
            )  # fmt: skip


def add_histogram(nodes: Nodes, number: int, rows: Any, sign: float) -> None:
    """A tree of scikit-learn's histogram boosting."""
    start = len(nodes.tree)
    for row in rows:
        if row["is_leaf"]:
            nodes.add(number, LEAF, value=sign * float(row["value"]))
        else:
            nodes.add(
                number, AT_MOST, column=int(row["feature_idx"]), threshold=float(row["num_threshold"]), missing=int(row["missing_go_to_left"]),
                left=start + int(row["left"]), right=start + int(row["right"]),
            )  # fmt: skip


def add_lightgbm(nodes: Nodes, number: int, node: Mapping[str, Any], sign: float) -> int:
    """A node of LightGBM and what hangs below it."""
    if "split_feature" not in node:
        return nodes.add(number, LEAF, value=sign * float(node["leaf_value"]))
    column = int(node["split_feature"])
    if node["decision_type"] == "==":  # a missing category is in no set
        at = nodes.add(number, ONE_OF, column=column, members=[int(part) for part in str(node["threshold"]).split("||")], missing=MISSING_RIGHT)
    else:
        if node["missing_type"] == "Zero":
            raise Unsupported("LightGBM treats zeros as missing")
        side = MISSING_LEFT if node["default_left"] else MISSING_RIGHT
        missing = side if node["missing_type"] == "NaN" else MISSING_AS_ZERO
        at = nodes.add(number, AT_MOST, column=column, threshold=float(node["threshold"]), missing=missing)
    nodes.left[at] = add_lightgbm(nodes, number, node["left_child"], sign)
    nodes.right[at] = add_lightgbm(nodes, number, node["right_child"], sign)
    return at


def _xgboost(last: Any, nodes: Nodes, sign: float) -> dict[str, Any]:
    """Left below the threshold, in single precision; leaves are added in single precision, one tree after the other."""
    if type(last).__name__ != "XGBClassifier" or not (isinstance(last.missing, float) and math.isnan(last.missing)):
        raise Unsupported(f"an XGBoost {type(last).__name__}, or one that takes a number for missing, is not written down here")
    whole = json.loads(bytes(last.get_booster().save_raw(raw_format="json")))["learner"]
    booster, objective = whole["gradient_booster"], whole["objective"]["name"]
    if booster["name"] != "gbtree" or objective != "binary:logistic":
        raise Unsupported(f"XGBoost's {booster['name']} with the objective {objective} is not written down here")
    trees = booster["model"]["trees"]
    best = getattr(last, "best_iteration", None)
    if best is not None:  # predictions stop there
        trees = trees[: booster["model"]["iteration_indptr"][int(best) + 1]]
    share = np.float32(str(whole["learner_model_param"]["base_score"]).strip("[]"))
    if not 0 < share < 1:
        raise Unsupported(f"its base score {share} is no probability")
    base = math.log(float(share) / (1 - float(share)))
    largest = abs(base)
    for number, tree in enumerate(trees):
        if any(tree["split_type"]):
            raise Unsupported("XGBoost's splits by category are not written down here")
        leaves = add_xgboost(nodes, number, tree, sign)
        largest += max(abs(leaf) for leaf in leaves)
    return {
        "link": "sigmoid", "cut": 0.0, "single": True, "scale": 1.0, "base": sign * base,
        "rounding": (len(trees) + 4) * SINGLE * largest,
    }  # fmt: skip


def add_xgboost(nodes: Nodes, number: int, tree: Mapping[str, Any], sign: float) -> list[float]:
    """A tree of XGBoost; its leaves are returned."""
    start = len(nodes.tree)
    order: list[int] = []
    waiting = [0]
    while waiting:  # the nodes that are still there, children after their parent
        here = waiting.pop()
        order.append(here)
        if tree["left_children"][here] != -1:
            waiting += [tree["right_children"][here], tree["left_children"][here]]
    place = {node: start + at for at, node in enumerate(order)}
    leaves = []
    for node in order:
        value = np.float32(tree["split_conditions"][node])
        if tree["left_children"][node] == -1:
            leaves.append(float(value))
            nodes.add(number, LEAF, value=sign * float(value))
            continue
        nodes.add(
            number, AT_MOST, column=int(tree["split_indices"][node]), threshold=float(np.nextafter(value, np.float32(-np.inf))),
            missing=MISSING_LEFT if tree["default_left"][node] else MISSING_RIGHT,
            left=place[tree["left_children"][node]], right=place[tree["right_children"][node]],
        )  # fmt: skip
    return leaves


def _catboost(last: Any, nodes: Nodes, sign: float) -> dict[str, Any]:
    """Oblivious trees: one comparison for each level, right above the border, in single precision; leaves are added in double precision."""
    import tempfile
    from pathlib import Path

    if type(last).__name__ != "CatBoostClassifier" or last.get_all_params().get("loss_function") not in ("Logloss", "CrossEntropy"):
        raise Unsupported(f"a CatBoost {type(last).__name__} with another loss than Logloss is not written down here")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        last.save_model(str(path), format="json")
        whole = json.loads(path.read_text(encoding="utf-8"))
    info = whole["features_info"]
    if info.get("categorical_features") or info.get("text_features") or info.get("embedding_features") or "oblivious_trees" not in whole:
        raise Unsupported("CatBoost's own categories, texts, embeddings or trees that are not oblivious are not written down here")
    columns = {one["feature_index"]: one["flat_feature_index"] for one in info["float_features"]}
    missing = {one["feature_index"]: MISSING_RIGHT if one["nan_value_treatment"] == "AsTrue" else MISSING_LEFT for one in info["float_features"]}
    scale, (bias,) = whole["scale_and_bias"]
    for number, tree in enumerate(whole["oblivious_trees"]):
        splits = tree["splits"] or []
        if any(split["split_type"] != "FloatFeature" for split in splits):
            raise Unsupported("a CatBoost split that is no comparison of a number is not written down here")
        values = [sign * float(scale) * float(value) for value in tree["leaf_values"]]
        levels = [
            (columns[split["float_feature_index"]], float(np.float32(split["border"])), missing[split["float_feature_index"]]) for split in splits
        ]
        _add_oblivious(nodes, number, levels, values, level=len(levels), index=0)
    share = float(last.get_probability_threshold()) if hasattr(last, "get_probability_threshold") else 0.5
    chosen = share if sign > 0 else 1 - share
    if not 0 < chosen < 1:
        raise Unsupported(f"its probability threshold {share:g} is not between 0 and 1")
    cut = math.log(chosen / (1 - chosen))
    return {"link": "sigmoid", "cut": cut, "single": True, "scale": 1.0, "base": sign * float(bias)}


def _add_oblivious(nodes: Nodes, number: int, levels: list[tuple[int, float, int]], values: list[float], *, level: int, index: int) -> int:
    if level == 0:
        return nodes.add(number, LEAF, value=values[index])
    column, border, missing = levels[level - 1]
    return nodes.split(
        number, column, border, missing=missing,
        left=lambda: _add_oblivious(nodes, number, levels, values, level=level - 1, index=index),
        right=lambda: _add_oblivious(nodes, number, levels, values, level=level - 1, index=index | 1 << (level - 1)),
    )  # fmt: skip
