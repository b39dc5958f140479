"""What each model format comes down to: a prediction and a probability function. Formats that are programs are refused.

Belongs here: opening one file. Finding it, and checking what the model answers, is `model_files`.
"""

from __future__ import annotations

import importlib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_pipelines.errors import ModelError
from rai_pipelines.subjects.lightgbm_text import checked_lightgbm_text, recorded_parameters

if TYPE_CHECKING:
    import pandas as pd

MAX_UNPACKED_BYTES = 2**31  # a zip of a few kilobytes can unpack to terabytes
PICKLE_SUFFIXES = (".pkl", ".pickle", ".joblib", ".cloudpickle", ".dill")
TORCH_PROGRAMS = (".pt", ".pth")  # pickles and TorchScript
KNOWN_SUFFIXES = (".skops", ".lgb", ".txt", ".onnx", ".pt2", *TORCH_PROGRAMS, *PICKLE_SUFFIXES)

# Types beyond those that skops itself vouches for. Exact names, because a module prefix would admit whatever the module has imported.
# None of them runs code from the file; a crafted tree can still crash the process, which costs that run and nothing else.
TRUSTED_TYPES = frozenset(
    {
        "collections.OrderedDict",
        "collections.defaultdict",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "rai_pipelines.demo.thresholds.GroupThresholdClassifier",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
    }
)


def open_model(path: Path, where: str, *, trusted_skops_types: tuple[str, ...], trust_pickles: bool) -> Query:
    """The model in one file, which messages call `where`.

    Raises:
        ModelError: the file is refused, or of an unknown kind. A damaged file raises what its parser raises.
    """
    with path.open("rb") as stream:
        start = stream.read(16)
    if path.suffix.lower() in TORCH_PROGRAMS:
        raise ModelError(
            "is a torch pickle or TorchScript: a program", where=where, hint="Save the model with torch.export (serialization_format='pt2')"
        )
    if start.startswith(b"PK") and path.suffix.lower() == ".pt2":
        return _network(path, where)
    if start.startswith(b"PK") and path.suffix.lower() not in PICKLE_SUFFIXES:
        return _estimator(_load_skops(path, where, trusted_skops_types), "skops")
    if start.startswith(b"tree"):
        return _booster(path, where)
    if path.suffix.lower() == ".onnx":
        return _onnx(path, where)
    if path.suffix.lower() in PICKLE_SUFFIXES or start.startswith(b"\x80"):
        if not trust_pickles:
            raise ModelError(
                "is a pickle: loading it runs whatever program is inside",
                where=where,
                hint="Save the model with skops, as LightGBM text or as ONNX; or set RAI_TRUST_PICKLED_MODELS=true if you trust its author",
            )
        import joblib

        return _estimator(joblib.load(path), "pickle")
    raise ModelError("is not a model format that is known here", where=where, hint="Save the model with skops, as LightGBM text or as ONNX")


@dataclass(frozen=True)
class Query:
    """What every format comes down to: two functions over a frame that holds the inputs in order. `native` is the library's own object."""

    flavor: str
    features: tuple[str, ...] | None
    classes: tuple[str, ...] | None
    predict: Callable[[pd.DataFrame], Any]
    probabilities: Callable[[pd.DataFrame], Any] | None  # shape (rows, classes)
    native: Any = None


def query_of(native: Any, flavor: str) -> Query:
    """How a model in memory is asked: a LightGBM booster, or an object with scikit-learn's methods.

    Raises:
        ModelError: it predicts nothing.
    """
    return _booster_query(native) if f"{type(native).__module__}.{type(native).__name__}" == "lightgbm.basic.Booster" else _estimator(native, flavor)


def _load_skops(path: Path, where: str, trusted: Sequence[str]) -> Any:
    import skops.io

    with zipfile.ZipFile(path) as archive:
        if sum(item.file_size for item in archive.infolist()) > MAX_UNPACKED_BYTES:
            raise ModelError("unpacks to more than 2 GiB", where=where, hint="Use a smaller model")
    unknown = skops.io.get_untrusted_types(file=path)
    refused = [name for name in unknown if name not in TRUSTED_TYPES and name not in trusted and not is_sklearn_estimator(name)]
    if refused:
        raise ModelError(
            f"names types that are not trusted: {', '.join(refused)[:300]}",
            where=where,
            hint="Review them, then list them in RAI_TRUSTED_SKOPS_TYPES",
        )
    return skops.io.load(path, trusted=unknown)


def is_sklearn_estimator(name: str) -> bool:
    """Whether `name` is an estimator class defined in that very module of scikit-learn.

    The prefix alone does not do: `sklearn.utils._testing.check_output` is `subprocess.check_output`.
    """
    module, _, attribute = name.rpartition(".")
    if not module.startswith("sklearn.") or {"_testing", "tests", "conftest", "externals"} & set(module.split(".")):
        return False
    from sklearn.base import BaseEstimator

    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return False
    return isinstance(found, type) and issubclass(found, BaseEstimator) and found.__module__ == module


def _estimator(model: Any, flavor: str) -> Query:
    if not callable(getattr(model, "predict", None)):
        raise ModelError(f"holds a {type(model).__name__}, which has no predict", hint="Register a classifier")
    names = getattr(model, "feature_names_in_", None)
    classes: Any = getattr(model, "classes_", None)
    gives = callable(getattr(model, "predict_proba", None)) and classes is not None
    return Query(
        flavor=flavor,
        features=tuple(str(name) for name in names) if names is not None else None,
        classes=tuple(_class_name(item) for item in classes.tolist()) if gives else None,
        predict=in_one_order(model.predict),
        probabilities=in_one_order(model.predict_proba) if gives else None,
        native=model,
    )


def in_one_order(function: Callable[[pd.DataFrame], Any]) -> Callable[[pd.DataFrame], Any]:
    """`function` without joblib's threads and processes, whatever `n_jobs` the model was saved with.

    Forests add up their trees as threads finish, so that the last bits of a score, and a decision that hangs on them, change from call to call.
    """

    def asked(frame: pd.DataFrame) -> Any:
        import joblib

        with joblib.parallel_backend("sequential"):
            return function(frame)

    return asked


def _booster(path: Path, where: str) -> Query:
    import lightgbm

    text = path.read_text(encoding="utf-8")
    booster = lightgbm.Booster(model_str=checked_lightgbm_text(text, where=where))
    booster.recorded_parameters = recorded_parameters(text)  # for refits
    return _booster_query(booster)


def _booster_query(booster: Any) -> Query:
    import numpy as np

    names = tuple(booster.feature_name())
    count = booster.num_model_per_iteration()
    binary = count == 1

    def probabilities(frame: pd.DataFrame) -> Any:
        raw = np.asarray(booster.predict(frame))
        return np.column_stack([1 - raw, raw]) if binary else raw

    return Query(
        flavor="lightgbm",
        features=None if names == tuple(f"Column_{index}" for index in range(len(names))) else names,
        classes=tuple(str(index) for index in range(2 if binary else count)),
        predict=lambda frame: probabilities(frame).argmax(axis=1),
        probabilities=probabilities,
        native=booster,
    )


def _network(path: Path, where: str) -> Query:
    import numpy as np

    from rai_pipelines.subjects.pt2_archive import read_network

    network = read_network(path, where)

    def numbers(frame: pd.DataFrame) -> Any:
        if frame.shape[1] != network.inputs:
            raise ModelError(
                f"reads {network.inputs} columns and was given {frame.shape[1]}", where=where, hint="Name its inputs in order in columns.features"
            )
        return frame.to_numpy(dtype=np.float32)

    return Query(
        flavor="pytorch",
        features=None,
        classes=tuple(str(index) for index in range(network.classes)),
        predict=lambda frame: network.decisions(numbers(frame)),
        probabilities=lambda frame: network.probabilities(numbers(frame)),
        native=network,
    )


def _onnx(path: Path, where: str) -> Query:
    try:
        session = onnx_session(str(path))
    except ImportError as error:
        raise ModelError(
            "is an ONNX model, and onnxruntime is not installed", where=where, hint="Install onnxruntime, or save the model with skops"
        ) from error
    kinds = {item.name: item.type for item in session.get_inputs()}
    inputs = list(kinds)
    outputs = [item.name for item in session.get_outputs()]

    def run(frame: pd.DataFrame) -> Any:
        if len(inputs) == 1:
            return session.run(outputs, {inputs[0]: onnx_input(frame, kinds[inputs[0]])})
        return session.run(outputs, {name: onnx_input(frame[[name]], kinds[name]) for name in inputs})

    width = session.get_outputs()[1].shape[-1] if len(outputs) > 1 and session.get_outputs()[1].shape else None
    labels = onnx_labels(path) or list(range(width if isinstance(width, int) else 2))
    names = tuple(_class_name(label) for label in labels)

    def probabilities(frame: pd.DataFrame) -> Any:
        decided, found = run(frame)[:2]
        strange = {_class_name(label) for label in decided.ravel().tolist()} - set(names)
        if strange:  # then no column is known to be of any class
            raise ModelError(f"decides for {min(strange)[:80]!r}, and which of its probabilities is whose is not known", where=where)
        return [[row[label] for label in labels] for row in found] if isinstance(found, list) else found

    return Query(
        flavor="onnx",
        features=tuple(inputs) if len(inputs) > 1 else None,
        classes=names if len(outputs) > 1 else None,
        predict=lambda frame: run(frame)[0],
        probabilities=probabilities if len(outputs) > 1 else None,
        native=session,
    )


def onnx_input(frame: pd.DataFrame, kind: str) -> Any:
    """Columns as an input of that kind takes them.

    Raises:
        ValueError: a whole number is asked for, and a row has a fraction or none.
    """
    import numpy as np

    wanted: Any = {"tensor(double)": np.float64, "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(string)": object}.get(kind, np.float32)
    if wanted in (np.int64, np.int32):
        given = frame.to_numpy()
        if given.dtype.kind not in "iub" and not (np.rint(numbers := given.astype(float)) == numbers).all():
            raise ValueError("a row has no whole number where the model reads one")
    return frame.to_numpy(dtype=wanted)


def onnx_labels(path: Path) -> list[Any] | None:
    """The classes of a classifier in the order of its probabilities, as its graph names them; None where it does not, or `onnx` is not there."""
    try:
        import onnx
    except ImportError:
        return None
    graph = onnx.load(str(path), load_external_data=False).graph
    made_by = {name: node for node in graph.node for name in node.output}
    constants = {item.name: item for item in graph.initializer}
    decided, *given = [item.name for item in graph.output[:2]]
    # a ZipMap, or the classifier itself, right before the probabilities; what stands further before them may number its classes otherwise
    for name in given:
        if name in made_by and (labels := _labels_of(made_by[name], constants)):
            return labels
    for _ in graph.node:
        node = made_by.get(decided)
        labels = None if node is None else _labels_of(node, constants)
        if node is None or labels or node.op_type not in ("Cast", "Identity", "Reshape"):
            return labels
        decided = node.input[0]
    return None


def _labels_of(node: Any, constants: Mapping[str, Any]) -> list[Any] | None:
    """The classes that a node of the graph decides between."""
    from onnx import numpy_helper

    found: list[Any] = []
    for attribute in node.attribute:
        if attribute.name.startswith("classlabels_"):
            found += [*attribute.ints, *attribute.strings]
    if node.op_type == "ArrayFeatureExtractor" and node.input[0] in constants:  # the place of the largest, looked up in a list of classes
        found = numpy_helper.to_array(constants[node.input[0]]).ravel().tolist()
    return [item.decode() if isinstance(item, bytes) else item for item in found] or None


def onnx_session(model: str | bytes) -> Any:
    """ONNX Runtime on a file or on bytes, with one thread: it sums trees in an order that depends on the number of threads, so with one the
    answers are the same bits on every machine and for every batch size.

    Raises:
        ImportError: onnxruntime is not installed.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _class_name(value: Any) -> str:
    """A class as the datasheet writes it: 1.0 is `1`."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
