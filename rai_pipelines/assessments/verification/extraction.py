"""Task: a model's trees or weights as tables, in the process where the model lives. What cannot be written down exactly is named as the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import JsonValue

from rai_pipelines.assessments.security.feature_space import scalar
from rai_pipelines.assessments.security.network_models import network_of
from rai_pipelines.assessments.verification.calibrated import is_calibrated, write_calibrated
from rai_pipelines.assessments.verification.class_tree_dumps import write_classes
from rai_pipelines.assessments.verification.decision_thresholds import GroupThresholds, Threshold, cut_at, threshold_of, write_groups
from rai_pipelines.assessments.verification.preprocessing import column_of, transformed
from rai_pipelines.assessments.verification.tree_dumps import AT_MOST, MISSING_LEFT, MISSING_RIGHT, Nodes, Unsupported, write_ensemble
from rai_pipelines.subjects.subject import Tables

if TYPE_CHECKING:
    from rai_pipelines.subjects.model_files import CheckedModel

TASK = "rai_pipelines.assessments.verification.extraction:described"


def described(model: CheckedModel, parameters: Mapping[str, JsonValue], tables: Tables) -> tuple[Mapping[str, JsonValue], Tables]:
    """The binary classifier as `trees` or `linear`, oriented to the favourable outcome; else `kind` null and a `reason`.

    A `network` says only that it is one; its layers are another task's.

    The raw value is the base plus one leaf value per tree (or the weighted columns); the score is `link(scale * raw)`, and the decision is
    favourable above `cut`. With the link `none` the raw value decides and is no score. With `classes`, three or more names, what is described is
    one raw value for each of them, in that order, of which the largest decides: `class_trees`, `class_linear` or `network`.
    """
    asked = parameters["columns"]
    inputs = list(model.features or (map(str, asked) if isinstance(asked, list) else ()))
    wanted: Any = parameters.get("classes") or []
    if wanted:
        return _of_several(model, inputs, [str(name) for name in wanted])
    network = network_of(model.native)
    if network is not None:
        own: Any = getattr(model.native, "classes_", None)
        names = [str(scalar(item)) for item in own] if own is not None else [str(at) for at in range(network.classes)]
        if len(names) != 2 or model.favourable not in names:
            return {"kind": None, "reason": "it has other than two classes, or none is the favourable outcome"}, {}
        return {"kind": "network", "positive": names.index(model.favourable)}, {}
    nodes = Nodes()
    try:
        columns, last, threshold = _columns_and_estimator(model.native, [column_of(name) for name in inputs])
        classes = [str(scalar(item)) for item in last.classes_] if hasattr(last, "classes_") else list(model.classes or ())
        if len(classes) != 2 or model.favourable not in classes:
            raise Unsupported("it has other than two classes, or none is the favourable outcome")
        positive = classes.index(model.favourable)
        if is_calibrated(last):
            answer, columns = write_calibrated(last, nodes, lambda inner: _inner(inner, columns, nodes), positive)
        else:
            answer = _written(last, columns, nodes, positive)
        if isinstance(threshold, Threshold):
            answer["cut"] = cut_at(threshold, answer, positive)
        elif isinstance(threshold, GroupThresholds):
            answer |= write_groups(threshold, answer, nodes, columns, positive)
    except Unsupported as reason:
        return {"kind": None, "reason": str(reason)}, {}
    if answer["kind"] != "trees":
        return {**answer, "columns": columns}, {}
    return {**answer, "columns": columns}, {"nodes": _table_of(nodes)}


def _written(last: Any, columns: list[dict[str, Any]], nodes: Nodes, positive: int) -> dict[str, Any]:
    if hasattr(last, "coef_"):
        return {"kind": "linear", **_linear(last, columns, positive)}
    answer = {"kind": "trees", **write_ensemble(last, nodes, positive)}
    _send_missing(nodes, columns, single=answer["single"])
    return answer


def _inner(native: Any, columns: list[dict[str, Any]], nodes: Nodes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a calibrated classifier has inside, oriented to its second class."""
    own, last, threshold = _columns_and_estimator(native, [dict(column) for column in columns])
    if threshold is not None or is_calibrated(last):
        raise Unsupported("a CalibratedClassifierCV around a threshold or another one is not written down here")
    return _written(last, own, nodes, 1), own


def _of_several(model: CheckedModel, inputs: list[str], names: list[str]) -> tuple[Mapping[str, JsonValue], Tables]:
    """`places` say where in the order of `names` each class of the model itself stands."""
    import pyarrow as pa

    try:
        nodes, shares = Nodes(), None
        network = None if _is_linear(model.native) else network_of(model.native)
        if network is not None:
            own: Any = getattr(model.native, "classes_", None)
            classes = [str(scalar(item)) for item in own] if own is not None else [str(at) for at in range(network.classes)]
            answer: dict[str, Any] = {"kind": "network"}
        else:
            columns, last, threshold = _columns_and_estimator(model.native, [column_of(name) for name in inputs])
            if threshold is not None:
                raise Unsupported("a threshold around a model of several classes is not written down here")
            classes = [str(scalar(item)) for item in last.classes_] if hasattr(last, "classes_") else list(model.classes or ())
            if hasattr(last, "coef_"):
                answer = {"kind": "class_linear", **_class_linear(last, columns)}
            else:
                told, shares = write_classes(last, nodes, len(classes))
                answer = {"kind": "class_trees", **told}
                _send_missing(nodes, columns, single=answer["single"])
            answer["columns"] = columns
        if sorted(classes) != sorted(names):
            raise Unsupported("it has other classes than columns.classes names")
        answer["places"] = [names.index(name) for name in classes]
    except Unsupported as reason:
        return {"kind": None, "reason": str(reason)}, {}
    if answer["kind"] != "class_trees":
        return answer, {}
    found = {"nodes": _table_of(nodes)}
    if shares is not None:
        found["shares"] = pa.table({f"class{at}": pa.array(column) for at, column in enumerate(shares.T)})
    return answer, found


def _is_linear(native: Any) -> bool:
    """Whether the last step has one weight for each column, so that closed forms do better than bounds of a network."""
    from sklearn.pipeline import Pipeline

    last = native.steps[-1][1] if type(native) is Pipeline else native
    return hasattr(last, "coef_") and not hasattr(last, "coefs_")


def _class_linear(last: Any, columns: list[dict[str, Any]]) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.svm import LinearSVC

    if type(last) not in (LogisticRegression, SGDClassifier, LinearSVC) or last.coef_.shape != (len(last.classes_), len(columns)):
        raise Unsupported(f"a {type(last).__name__} of several classes is not written down here")
    softmax = type(last) is LogisticRegression and getattr(last, "multi_class", "auto") not in ("ovr",) and last.solver != "liblinear"
    return {
        "weights": [[float(weight) for weight in row] for row in last.coef_],
        "bases": np.broadcast_to(np.ravel(last.intercept_), len(last.classes_)).astype(float).tolist(),
        "link": "softmax" if softmax else "none",
    }


def _table_of(nodes: Nodes) -> Any:
    import pyarrow as pa

    return pa.table({name: pa.array(values, type=pa.list_(pa.int64()) if name == "members" else None) for name, values in vars(nodes).items()})


def _send_missing(nodes: Nodes, columns: list[dict[str, Any]], *, single: bool) -> None:
    """Where an imputer fills a column, a missing number goes where the number that stands for it goes."""
    for at, kind in enumerate(nodes.kind):
        number = columns[nodes.column[at]]["missing"] if kind == AT_MOST else None
        if number is not None:
            given = float(np.float32(number)) if single else number
            nodes.missing[at] = MISSING_LEFT if given <= nodes.threshold[at] else MISSING_RIGHT


def _columns_and_estimator(native: Any, columns: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], Any, Threshold | GroupThresholds | None]:
    """The columns of the last estimator, that estimator, and the threshold of the outermost part that sets one."""
    from sklearn.pipeline import Pipeline

    threshold: Threshold | GroupThresholds | None = None
    last = native
    while True:
        if type(last) is Pipeline:
            steps = [step for _, step in last.steps]
            for step in steps[:-1]:
                columns = transformed(step, columns)
            last = steps[-1]
            continue
        found = threshold_of(last)
        if found is None:
            break
        last, one = found
        threshold = threshold or one
    _add_pandas_categories(last, columns)
    return columns, last, threshold


def _add_pandas_categories(last: Any, columns: list[dict[str, Any]]) -> None:
    booster = getattr(last, "booster_", last)
    categories = getattr(booster, "pandas_categorical", None)
    if not categories:
        return
    infos = booster.dump_model(num_iteration=1)["feature_infos"]
    names = [name for name in booster.feature_name() if infos.get(name, {}).get("values")]
    if len(names) != len(categories):
        raise Unsupported("which of its inputs are pandas categories is not certain")
    places = {name: at for at, name in enumerate(booster.feature_name())}
    for name, values in zip(names, categories, strict=True):
        columns[places[name]]["codes"] = [[scalar(value), float(code)] for code, value in enumerate(values)]


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
