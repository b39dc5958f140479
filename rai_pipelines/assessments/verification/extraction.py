"""Task: a model's trees or weights as tables, in the process where the model lives. What cannot be written down exactly is named as the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import JsonValue

from rai_pipelines.assessments.security.feature_space import scalar
from rai_pipelines.subjects.subject import Tables

if TYPE_CHECKING:
    from rai_pipelines.subjects.model_files import CheckedModel

TASK = "rai_pipelines.assessments.verification.extraction:described"
LEAF, AT_MOST, ONE_OF = 0, 1, 2
MISSING_RIGHT, MISSING_LEFT, MISSING_AS_ZERO = 0, 1, 2


class Unsupported(Exception):
    """Why a model cannot be written down exactly."""


@dataclass
class _Nodes:
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

    def add(self, tree: int, kind: int, **given: Any) -> int:
        row = {"column": 0, "threshold": 0.0, "missing": 0, "left": -1, "right": -1, "value": 0.0, "members": []} | given
        for name, value in {"tree": tree, "kind": kind, **row}.items():
            getattr(self, name).append(value)
        return len(self.tree) - 1


def described(model: CheckedModel, parameters: Mapping[str, JsonValue], tables: Tables) -> tuple[Mapping[str, JsonValue], Tables]:
    """The binary classifier as `trees` or `linear`, oriented to the favourable outcome; else `kind` null and a `reason`.

    The raw value is the base plus one leaf value per tree (or the weighted columns); the score is `link(scale * raw)`, and the decision is
    favourable above `cut`.
    """
    import pyarrow as pa

    asked = parameters["columns"]
    inputs = list(model.features or (map(str, asked) if isinstance(asked, list) else ()))
    try:
        columns, last = _columns_and_estimator(model.native, inputs)
        classes = [str(scalar(item)) for item in last.classes_] if hasattr(last, "classes_") else list(model.classes or ())
        if len(classes) != 2 or model.favourable not in classes:
            raise Unsupported("it has other than two classes, or none is the favourable outcome")
        positive = classes.index(model.favourable)
        if hasattr(last, "coef_"):
            return {"kind": "linear", "columns": columns, **_linear(last, columns, positive)}, {}
        nodes = _Nodes()
        answer = _ensemble(last, nodes, positive)
    except Unsupported as reason:
        return {"kind": None, "reason": str(reason)}, {}
    table = pa.table({name: pa.array(values, type=pa.list_(pa.int64()) if name == "members" else None) for name, values in vars(nodes).items()})
    return {"kind": "trees", "columns": columns, **answer}, {"nodes": table}


def _columns_and_estimator(native: Any, inputs: list[str]) -> tuple[Any, Any]:
    """What the last estimator reads: for each of its columns the input, the number of each category, and how it is scaled."""
    from sklearn.pipeline import Pipeline

    steps = [step for _, step in native.steps] if type(native) is Pipeline else [native]
    columns: list[dict[str, Any]] = [_column(name) for name in inputs]
    for step in steps[:-1]:
        columns = _transformed(step, columns)
    last = steps[-1]
    categories = getattr(getattr(last, "booster_", last), "pandas_categorical", None)
    if categories:
        infos = getattr(last, "booster_", last).dump_model(num_iteration=1)["feature_infos"]
        names = [name for name in getattr(last, "booster_", last).feature_name() if infos.get(name, {}).get("values")]
        if len(names) != len(categories):
            raise Unsupported("which of its inputs are pandas categories is not certain")
        places = {name: at for at, name in enumerate(getattr(last, "booster_", last).feature_name())}
        for name, values in zip(names, categories, strict=True):
            columns[places[name]]["codes"] = [[scalar(value), float(code)] for code, value in enumerate(values)]
    return columns, last


def _column(source: str) -> dict[str, Any]:
    return {"source": source, "codes": None, "mean": 0.0, "scale": 1.0}


def _transformed(step: Any, columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

    if step is None or (isinstance(step, str) and step == "passthrough") or (type(step) is FunctionTransformer and step.func is None):
        return columns
    if type(step) is StandardScaler:
        if any(column["codes"] is not None or column["scale"] != 1.0 or column["mean"] != 0.0 for column in columns):
            raise Unsupported("columns are scaled after they are encoded")
        means = step.mean_ if step.with_mean else np.zeros(len(columns))
        scales = step.scale_ if step.with_std else np.ones(len(columns))
        return [{**column, "mean": float(mean), "scale": float(scale)} for column, mean, scale in zip(columns, means, scales, strict=True)]
    if type(step) in (OneHotEncoder, OrdinalEncoder):
        if any(column["codes"] is not None or column["scale"] != 1.0 for column in columns):
            raise Unsupported("columns are encoded twice")
        if type(step) is OrdinalEncoder:
            return [
                {**column, "codes": [[scalar(value), float(code)] for code, value in enumerate(values)]}
                for column, values in zip(columns, step.categories_, strict=True)
            ]
        if step.drop is not None or step.min_frequency is not None or step.max_categories is not None:
            raise Unsupported("its one-hot encoder drops or merges categories")
        return [
            {**column, "codes": [[scalar(value), float(value == hot)] for value in values]}
            for column, values in zip(columns, step.categories_, strict=True)
            for hot in values
        ]
    if type(step) is ColumnTransformer:
        places = {column["source"]: at for at, column in enumerate(columns)}
        found: dict[int, dict[str, Any]] = {}
        for name, part, chosen in step.transformers_:
            where = step.output_indices_[name]
            if where.stop == where.start:
                continue
            keys = [chosen] if isinstance(chosen, str | int | np.integer) else list(chosen)
            try:
                given = [columns[places[key] if isinstance(key, str) else int(key)] for key in keys]
            except (KeyError, ValueError, TypeError, IndexError) as error:
                raise Unsupported("its column transformer chooses columns in a way that is not followed here") from error
            made = _transformed(part, [dict(column) for column in given])
            found |= dict(zip(range(where.start, where.stop), made, strict=True))
        return [found[at] for at in sorted(found)]
    raise Unsupported(f"its {type(step).__name__} is not written down here")


def _linear(last: Any, columns: list[dict[str, Any]], positive: int) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.svm import LinearSVC

    if type(last) not in (LogisticRegression, SGDClassifier, LinearSVC) or last.coef_.shape != (1, len(columns)):
        raise Unsupported(f"a {type(last).__name__} is not written down here")
    sign = 1.0 if positive == 1 else -1.0
    scored = type(last) is LogisticRegression or getattr(last, "loss", None) == "log_loss"
    return {
        "weights": (sign * np.asarray(last.coef_[0], dtype=float)).tolist(),
        "base": sign * float(np.ravel(last.intercept_)[0]),
        "link": "sigmoid" if scored else "none",
        "scale": 1.0,
        "cut": 0.0,
    }


def _ensemble(last: Any, nodes: _Nodes, positive: int) -> dict[str, Any]:
    from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

    sign = 1.0 if positive == 1 else -1.0
    boosted = {"link": "sigmoid", "cut": 0.0, "single": True, "scale": 1.0}
    if type(last) in (DecisionTreeClassifier, ExtraTreeClassifier):
        _add_sklearn(nodes, 0, last.tree_, lambda value: float(value[0][positive]))
        return {"link": "identity", "cut": 0.5, "single": True, "scale": 1.0, "base": 0.0}
    if type(last) in (RandomForestClassifier, ExtraTreesClassifier):
        for number, one in enumerate(last.estimators_):
            _add_sklearn(nodes, number, one.tree_, lambda value: float(value[0][positive]) / len(last.estimators_))
        return {"link": "identity", "cut": 0.5, "single": True, "scale": 1.0, "base": 0.0}
    if type(last) is GradientBoostingClassifier:
        if last.init_ != "zero" and type(last.init_).__name__ != "DummyClassifier":
            raise Unsupported("it starts from another model")
        for number, one in enumerate(last.estimators_[:, 0]):
            _add_sklearn(nodes, number, one.tree_, lambda value: sign * last.learning_rate * float(value[0][0]))
        start = float(last._raw_predict_init(np.zeros((1, last.n_features_in_)))[0, 0])
        return {**boosted, "scale": 2.0 if last.loss == "exponential" else 1.0, "base": sign * start}
    if type(last) is HistGradientBoostingClassifier:
        if last.is_categorical_ is not None:
            raise Unsupported("histogram boosting with categorical inputs is not written down here")
        for number, stage in enumerate(last._predictors):
            _add_histogram(nodes, number, stage[0].nodes, sign)
        return {**boosted, "single": False, "base": sign * float(np.ravel(last._baseline_prediction)[0])}
    if _is_lightgbm(last):
        whole = getattr(last, "booster_", last).dump_model()
        objective = str(whole["objective"]).split()
        if objective[0] != "binary" or whole["average_output"]:
            raise Unsupported(f"LightGBM with the objective {whole['objective']!r} or averaged trees is not written down here")
        for number, tree in enumerate(whole["tree_info"]):
            _add_lightgbm(nodes, number, tree["tree_structure"], sign)
        steep = next((float(part.split(":")[1]) for part in objective[1:] if part.startswith("sigmoid:")), 1.0)
        return {**boosted, "single": False, "scale": steep, "base": 0.0}
    raise Unsupported(f"a {type(last).__module__.split('.')[0]} {type(last).__name__} is not written down here")


def _is_lightgbm(model: Any) -> bool:
    """Whether it is one of LightGBM's own types; the library is not everywhere, and a model that is not of it needs none."""
    if type(model).__module__.partition(".")[0] != "lightgbm":
        return False
    import lightgbm

    return type(model) in (lightgbm.Booster, lightgbm.LGBMClassifier)


def _add_sklearn(nodes: _Nodes, number: int, tree: Any, value_of: Any) -> None:
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


def _add_histogram(nodes: _Nodes, number: int, rows: Any, sign: float) -> None:
    start = len(nodes.tree)
    for row in rows:
        if row["is_leaf"]:
            nodes.add(number, LEAF, value=sign * float(row["value"]))
        else:
            nodes.add(
                number, AT_MOST, column=int(row["feature_idx"]), threshold=float(row["num_threshold"]), missing=int(row["missing_go_to_left"]),
                left=start + int(row["left"]), right=start + int(row["right"]),
            )  # fmt: skip


def _add_lightgbm(nodes: _Nodes, number: int, node: Mapping[str, Any], sign: float) -> int:
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
    nodes.left[at] = _add_lightgbm(nodes, number, node["left_child"], sign)
    nodes.right[at] = _add_lightgbm(nodes, number, node["right_child"], sign)
    return at
