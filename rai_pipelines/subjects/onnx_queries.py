"""Ask a model through ONNX Runtime instead of its own library, where both were shown to decide alike on a sample.

ONNX works in single precision: a value that lies between a threshold and its rounding is decided differently. So nothing is taken for granted:
every conversion is compared with the model itself on given rows, and refused when one decision differs, or one probability by more than 1e-5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from rai_pipelines.errors import ModelError
from rai_pipelines.subjects.model_formats import Query, onnx_input, onnx_session
from rai_pipelines.subjects.subject import Tables

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from rai_pipelines.subjects.model_files import CheckedModel

TOLERANCE = 1e-5  # largest difference of a probability that single precision explains
OPSET = 17
MAX_NODES = 300_000  # of all trees; converting more takes tens of seconds
VOTERS = ("RandomForestClassifier", "ExtraTreesClassifier")  # trees often tie; the first class then wins, unless rounding breaks the tie
TIE_DIGITS = 6
PREPARE = "rai_pipelines.subjects.onnx_queries:prepare_fast_queries"
RESTORE = "rai_pipelines.subjects.onnx_queries:restore_own_queries"
FAST_IN_BATCHES = ("xgboost", "catboost")  # answer thousands of rows at once three to ten times as fast as ONNX Runtime does
Convert = Callable[[Any, Any], Any]  # model, and the frame that shows its inputs; gives an ONNX model


class _Refused(Exception):
    """This model is not converted; the text says why."""


@dataclass(frozen=True)
class Parity:
    """How a conversion compares with the model itself. `reason` says why it is not used, and is None where it is."""

    rows: int
    max_difference: float | None
    decisions_different: int | None
    reason: str | None

    @property
    def proved(self) -> bool:
        """Whether the conversion may stand for the model."""
        return self.reason is None


def fast_query(query: Query, sample: pd.DataFrame) -> tuple[Query, Parity]:
    """`query` answered by ONNX Runtime, and the proof; `query` itself and the reason where there is none.

    `sample` are rows as the model reads them; take those that it will be asked about.
    """
    try:
        made = _through_onnx(query, sample)
    except _Refused as refusal:
        return query, Parity(len(sample), None, None, str(refusal))
    except ImportError as error:
        return query, Parity(len(sample), None, None, f"{error.name or 'a converter'} is not installed")
    except Exception as error:  # converters raise whatever they meet in a model that they do not know; the model's own answers remain
        return query, Parity(len(sample), None, None, f"the conversion fails ({type(error).__name__})")
    parity = compare(query, made, sample)
    return (made if parity.proved else query), parity


def compare(query: Query, other: Query, sample: pd.DataFrame) -> Parity:
    """Decisions and probabilities of both on every row of `sample`."""
    import numpy as np

    if not len(sample):
        return Parity(0, None, None, "there is no row to compare")
    decisions = [np.asarray(one.predict(sample)) for one in (query, other)]
    different = int((decisions[0].astype(str) != decisions[1].astype(str)).sum())
    largest = None
    if query.probabilities is not None and other.probabilities is not None:
        gap = np.abs(np.asarray(query.probabilities(sample), dtype=float) - np.asarray(other.probabilities(sample), dtype=float))
        largest = float(gap.max())
    reason = None
    if different:
        reason = f"{different} of {len(sample)} decisions differ"
    elif largest is None or not largest <= TOLERANCE:
        reason = "there are no probabilities to compare" if largest is None else f"a probability differs by {largest:.1g}, more than {TOLERANCE:g}"
    return Parity(len(sample), None if largest is None else float(f"{largest:.3g}"), different, reason)


def prepare_fast_queries(model: CheckedModel, parameters: Mapping[str, JsonValue], tables: Tables) -> tuple[Mapping[str, JsonValue], Tables]:
    """Task: from now on `model` answers through ONNX Runtime, if `rows` prove that it decides alike; says which path it takes.

    With `batches` (true or false) a library that answers large questions faster by itself keeps doing so.
    """
    rows = tables["rows"].to_pandas()
    own = model._query if not isinstance(model._query, _Fast) else model._query.own
    library = type(own.native).__module__.partition(".")[0]
    if parameters.get("batches") and library in FAST_IN_BATCHES:
        return {"path": "native", **asdict(Parity(0, None, None, f"{library} itself answers large questions faster"))}, {}
    made, parity = fast_query(own, rows[list(model.features)] if model.features else rows)
    if parity.proved:
        model._query = _Fast(**{name: getattr(made, name) for name in made.__dataclass_fields__}, own=own)
    return {"path": "onnx" if parity.proved else "native", **asdict(parity)}, {}


def restore_own_queries(model: CheckedModel, parameters: Mapping[str, JsonValue], tables: Tables) -> tuple[Mapping[str, JsonValue], Tables]:
    """Task: `model` answers by itself again."""
    if isinstance(model._query, _Fast):
        model._query = model._query.own
    return {"path": "native"}, {}


@dataclass(frozen=True)
class _Fast(Query):
    """A query through ONNX Runtime that remembers the model's own."""

    own: Any = None


def _through_onnx(query: Query, sample: pd.DataFrame) -> Query:
    convert = _converter(query.native)
    if query.probabilities is None or query.classes is None:
        raise _Refused("the model gives no probabilities to compare")
    made = convert(query.native, sample)
    session = onnx_session(made.SerializeToString())
    ask = _asker(session, sample)
    own: Any = getattr(query.native, "classes_", None)  # a booster has no labels of its own
    votes = type(query.native).__name__ in VOTERS

    def probabilities(frame: pd.DataFrame) -> np.ndarray:
        import numpy as np

        found = ask(frame)[1]
        clipped = np.clip(found, 0.0, 1.0)
        return np.where(np.abs(clipped - found) <= TOLERANCE, clipped, found)  # a sum of single-precision votes may exceed 1

    def predict(frame: pd.DataFrame) -> np.ndarray:
        import numpy as np

        labels, shares = ask(frame)
        if own is None or votes:
            places = (np.round(shares, TIE_DIGITS) if votes else shares).argmax(axis=1)
            return np.asarray(places if own is None else np.asarray(own)[places])
        return np.asarray(labels).astype(np.asarray(own).dtype).reshape(-1)

    return replace(query, flavor=f"{query.flavor} through onnx", predict=predict, probabilities=probabilities)


def _converter(model: Any) -> Convert:
    kind = type(model)
    library = kind.__module__.partition(".")[0]
    if library == "sklearn":
        return _from_sklearn
    if library == "lightgbm":
        return _from_lightgbm
    if library == "xgboost":
        return _from_xgboost
    if library == "catboost":
        return _from_catboost
    raise _Refused(f"{kind.__name__} has no conversion")


def _from_sklearn(model: Any, sample: pd.DataFrame) -> Any:
    from skl2onnx import convert_sklearn

    _check_size(model)
    return convert_sklearn(model, initial_types=_inputs(sample, _reads_columns(model)), options=_without_maps(model), target_opset=OPSET)


def _from_lightgbm(model: Any, sample: pd.DataFrame) -> Any:
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    booster = model.booster_ if hasattr(model, "booster_") else model
    if booster.num_trees() * 64 > MAX_NODES and booster.trees_to_dataframe().shape[0] > MAX_NODES:
        raise _Refused(f"the trees have more than {MAX_NODES:,} nodes")
    if any(kind not in "iufb" for kind in _kinds(sample)):
        raise _Refused("LightGBM is asked with columns that are not numbers")
    return convert_lightgbm(model, initial_types=[("input", FloatTensorType([None, sample.shape[1]]))], zipmap=False, target_opset=15)


def _from_xgboost(model: Any, sample: pd.DataFrame) -> Any:
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    unnamed = type(model)()  # a copy: the converter knows columns by number only
    unnamed.load_model(model.get_booster().save_raw("ubj"))
    unnamed.get_booster().feature_names = None
    return convert_xgboost(unnamed, initial_types=[("input", FloatTensorType([None, sample.shape[1]]))], target_opset=15)


def _from_catboost(model: Any, sample: pd.DataFrame) -> Any:
    import tempfile
    from pathlib import Path

    import onnx

    if model.get_cat_feature_indices():
        raise _Refused("CatBoost exports no model with categorical features")
    with tempfile.TemporaryDirectory(prefix="rai-onnx-") as folder:
        path = Path(folder) / "model.onnx"
        model.save_model(str(path), format="onnx")
        return onnx.load(str(path))


def _check_size(model: Any) -> None:
    nodes = sum(tree.tree_.node_count for tree in _trees(model))
    if nodes > MAX_NODES:
        raise _Refused(f"the trees have {nodes:,} nodes, more than {MAX_NODES:,}")


def _trees(model: Any) -> list[Any]:
    if hasattr(model, "tree_"):
        return [model]
    parts: list[Any] = []
    for name in ("estimators_", "steps", "calibrated_classifiers_"):
        found = getattr(model, name, None)
        if found is not None:
            parts += [part[1] if isinstance(part, tuple) else part for part in getattr(found, "ravel", lambda found=found: found)()]
    inner = getattr(model, "estimator", None)
    return [tree for part in parts if part is not model for tree in _trees(part)] + (_trees(inner) if hasattr(inner, "tree_") else [])


def _reads_columns(model: Any) -> bool:
    """Whether the model tells columns apart by name (a pipeline that begins with a ColumnTransformer)."""
    steps = getattr(model, "steps", None)
    first = steps[0][1] if steps else model
    return type(first).__name__ == "ColumnTransformer"


def _inputs(sample: pd.DataFrame, by_column: bool) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

    kinds = _kinds(sample)
    if not by_column:
        if any(kind not in "iufb" for kind in kinds):
            raise _Refused("the model reads columns that are not numbers as one array")
        return [("input", FloatTensorType([None, sample.shape[1]]))]
    types = {"f": FloatTensorType, "i": Int64TensorType, "u": Int64TensorType, "b": Int64TensorType}
    return [(str(name), types.get(kind, StringTensorType)([None, 1])) for name, kind in zip(sample.columns, kinds, strict=True)]


def _kinds(sample: pd.DataFrame) -> list[str]:
    return [getattr(kind, "kind", "O") for kind in sample.dtypes]


def _without_maps(model: Any) -> dict[int, dict[str, bool]]:
    """Probabilities as a matrix; by default every row is a dictionary."""
    return {id(model): {"zipmap": False}}


def _asker(session: Any, sample: pd.DataFrame) -> Callable[[pd.DataFrame], tuple[Any, np.ndarray]]:
    """A function that gives labels and probabilities, shape (rows, classes), of a frame in the order of `sample`."""
    import numpy as np

    inputs = session.get_inputs()
    outputs = [item.name for item in session.get_outputs()]
    if len(outputs) < 2:
        raise ModelError("the conversion gives no probabilities")
    columns = list(sample.columns)

    def ask(frame: pd.DataFrame) -> tuple[Any, np.ndarray]:
        frame = frame if frame.columns.tolist() == columns else frame[columns]
        if len(inputs) == 1 and len(columns) != 1:
            fed = {inputs[0].name: frame.to_numpy(dtype=np.float32)}
        else:
            fed = {item.name: onnx_input(frame[[name]], item.type) for item, name in zip(inputs, columns, strict=True)}
        labels, found = session.run(outputs[:2], fed)
        if isinstance(found, list):  # CatBoost's own export gives a dictionary per row
            found = np.array([[row[key] for key in sorted(row)] for row in found])
        return labels, np.asarray(found, dtype=float)

    return ask
