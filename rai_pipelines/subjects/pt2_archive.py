"""A PyTorch network from the archive that `torch.export.save` and MLflow write (`.pt2`), read as data: no PyTorch, and nothing is unpickled.

The graph is JSON and the weights are raw numbers. Chains of linear layers, batch normalisation, scaling and activations are understood; every
other operation is named in the refusal. The example inputs, which are a pickle, are left alone.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rai_pipelines.errors import ModelError
from rai_pipelines.subjects.networks import AFFINE, SCALE, Layer, Network, is_known

DTYPES = {7: "<f4", 8: "<f8"}  # torch's serialised scalar types for float32 and float64
MOST_BYTES = 2**28
MOST_GRAPH_BYTES = 2**24
HINT = "Export a plain feed-forward network with torch.export, or save another model format"
UNCHANGED = ("dropout.default", "alias.default", "clone.default", "detach.default", "contiguous.default", "lift_fresh_copy.default")
SIMPLE = ("relu.default", "tanh.default", "sigmoid.default")
DEFAULTS = {"leaky_relu": (0.01,), "elu": (1.0,), "hardtanh": (-1.0, 1.0), "softplus": (1.0, 20.0)}
ARGUMENTS = {"leaky_relu": ("negative_slope",), "elu": ("alpha",), "hardtanh": ("min_val", "max_val"), "softplus": ("beta", "threshold")}


def read_network(path: Path, where: str) -> Network:
    """The network in one archive.

    Raises:
        ModelError: the archive is damaged, too large, or holds more than a chain of known layers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(item.file_size for item in archive.infolist()) > MOST_BYTES:
                raise ModelError(f"unpacks to more than {MOST_BYTES >> 20} MiB", where=where, hint="Use a smaller network")
            return _read(archive, where)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, StopIteration, RecursionError, zipfile.BadZipFile) as error:
        raise ModelError(f"is not a whole archive of torch.export ({type(error).__name__}: {error})"[:300], where=where, hint=HINT) from error


@dataclass(frozen=True)
class _Graph:
    where: str
    tensors: Mapping[str, np.ndarray]
    start: str


def _read(archive: zipfile.ZipFile, where: str) -> Network:
    name = next(one for one in archive.namelist() if one.endswith("/models/model.json") or one == "models/model.json")
    root = name.removesuffix("models/model.json")
    if archive.read(f"{root}byteorder").strip() != b"little":
        raise ModelError("is written in another byte order", where=where, hint=HINT)
    if archive.getinfo(name).file_size > MOST_GRAPH_BYTES:
        raise ModelError("describes a graph that is too large", where=where, hint=HINT)
    module = json.loads(archive.read(name))["graph_module"]
    tensors: dict[str, np.ndarray] = {}
    users: list[tuple[str, int]] = []
    weights, constants = (_raw(archive, root, folder) for folder in ("weights", "constants"))
    for spec in module["signature"]["input_specs"]:
        ((kind, told),) = spec.items()
        if kind == "user_input":
            name = told["arg"]["as_tensor"]["name"]
            users.append((name, module["graph"]["tensor_values"][name]["sizes"][-1]["as_int"]))
            if len(module["graph"]["tensor_values"][name]["sizes"]) != 2:
                raise ModelError("reads something else than a table of rows and columns", where=where, hint=HINT)
        elif kind in ("parameter", "buffer"):
            found = weights.get(told[f"{kind}_name"])
            if found is not None:
                tensors[told["arg"]["name"]] = found()
        elif kind == "tensor_constant":
            found = constants.get(told["tensor_constant_name"])
            if found is not None:
                tensors[told["arg"]["name"]] = found()
    outputs = module["graph"]["outputs"]
    if len(users) != 1 or len(outputs) != 1:
        raise ModelError(f"has {len(users)} inputs and {len(outputs)} outputs, where one each is read", where=where, hint=HINT)
    start, width = users[0]
    layers = _chain(module["graph"]["nodes"], _Graph(where, tensors, start), outputs[0]["as_tensor"]["name"])
    return _checked(layers, int(width), where)


def _raw(archive: zipfile.ZipFile, root: str, folder: str) -> dict[str, Callable[[], np.ndarray]]:
    """The tensors of one folder that are raw numbers, by name, read when asked for."""
    config = f"{root}data/{folder}/{'model_' + folder}_config.json"
    if config not in archive.namelist():
        return {}
    found = {}
    for name, told in json.loads(archive.read(config))["config"].items():
        meta = told.get("tensor_meta") or {}
        if told.get("use_pickle") is not False or "/" in told["path_name"] or meta.get("dtype") not in DTYPES:
            continue
        found[str(name)] = _reader(archive, f"{root}data/{folder}/{told['path_name']}", meta)
    return found


def _reader(archive: zipfile.ZipFile, record: str, meta: Mapping[str, Any]) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        sizes = [int(size["as_int"]) for size in meta["sizes"]]
        strides = [int(stride["as_int"]) for stride in meta["strides"]]
        plain = [math.prod(sizes[at + 1 :]) for at in range(len(sizes))]
        if int(meta["storage_offset"]["as_int"]) != 0 or any(
            size > 1 and one != other for size, one, other in zip(sizes, strides, plain, strict=True)
        ):
            raise ValueError(f"{record} is not laid out row by row")
        values = np.frombuffer(archive.read(record), dtype=DTYPES[meta["dtype"]]).astype(float)
        if len(values) != math.prod(sizes) or not np.isfinite(values).all():
            raise ValueError(f"{record} does not hold {math.prod(sizes)} finite numbers")
        return values.reshape(sizes)

    return read


def _chain(nodes: list[Mapping[str, Any]], graph: _Graph, end: str) -> list[Layer]:
    """The layers from the input to the output; a graph that is no chain is refused."""
    here, layers = graph.start, list[Layer]()
    for node in nodes:
        target = str(node["target"])
        operation = target.removeprefix("torch.ops.aten.")
        given = {str(one["name"]): one["arg"] for one in node["inputs"]}
        first = given.get("input") or given.get("self") or {}
        if operation == target or (first.get("as_tensor") or {}).get("name") != here:
            raise ModelError(f"is no chain of layers: {target[:80]} takes something else than the layer before", where=graph.where, hint=HINT)
        layers += _layers(operation, given, graph)
        here = node["outputs"][0]["as_tensor"]["name"]
    if here != end:
        raise ModelError("does not give out its last layer", where=graph.where, hint=HINT)
    return layers


def _layers(operation: str, given: Mapping[str, Any], graph: _Graph) -> list[Layer]:
    def tensor(name: str) -> np.ndarray | None:
        told = (given.get(name) or {}).get("as_tensor")
        return None if told is None else graph.tensors[told["name"]]

    def beside() -> np.ndarray | None:
        """The other side of an operation, where it is one of the network's own tensors."""
        told = given["other"].get("as_tensor")
        return None if told is None else graph.tensors.get(told["name"])

    kind = operation.partition(".")[0]
    if operation in UNCHANGED:
        if operation == "dropout.default" and given["train"]["as_bool"]:
            raise ModelError("was exported while training: dropout is at work", where=graph.where, hint="Call eval() before the export")
        return []
    if operation == "linear.default":
        return [Layer(AFFINE, tensor("weight"), tensor("bias"))]
    if operation == "batch_norm.default":
        return [_normalised(given, tensor, graph.where)]
    if operation in SIMPLE and len(given) == 1:
        return [Layer(kind)]
    if kind in ARGUMENTS and operation.endswith(".default") and set(given) <= {"self", *ARGUMENTS[kind]}:
        numbers = [_number(given.get(name), default) for name, default in zip(ARGUMENTS[kind], DEFAULTS[kind], strict=True)]
        if kind == "softplus" and tuple(numbers) == DEFAULTS[kind]:
            return [Layer(kind)]
        if kind != "softplus" and is_known(kind, numbers):
            return [Layer(kind, numbers=tuple(numbers))]
    if kind in ("softmax", "log_softmax") and given["dim"]["as_int"] in (1, -1):
        return [Layer("softmax")]
    if operation == "squeeze.dim" and given["dim"]["as_int"] in (1, -1):
        return [Layer("squeeze")]
    if operation in ("add.Tensor", "sub.Tensor", "mul.Tensor", "div.Tensor") and set(given) == {"self", "other"}:
        other = beside()
        if other is not None and other.ndim <= 2 and (other.ndim < 2 or other.shape[0] == 1):
            return [_scaled(kind, np.ravel(other))]
    raise ModelError(f"uses the operation {operation[:60]}, which is not read here", where=graph.where, hint=HINT)


def _number(told: Mapping[str, Any] | None, default: float) -> float:
    if told is None:
        return default
    return float(told["as_float"] if "as_float" in told else told["as_int"])


def _normalised(given: Mapping[str, Any], tensor: Callable[[str], np.ndarray | None], where: str) -> Layer:
    if given["training"]["as_bool"]:
        raise ModelError("was exported while training: batch normalisation is at work", where=where, hint="Call eval() before the export")
    mean, variance, weight, bias = (tensor(name) for name in ("running_mean", "running_var", "weight", "bias"))
    if mean is None or variance is None:
        raise ModelError("normalises batches without running statistics", where=where, hint=HINT)
    factor = 1.0 / np.sqrt(variance + float(given["eps"]["as_float"]))
    factor = factor if weight is None else factor * weight
    return Layer(SCALE, factor, -mean * factor + (0.0 if bias is None else bias))


def _scaled(kind: str, other: np.ndarray) -> Layer:
    same = np.ones_like(other)
    if kind in ("add", "sub"):
        return Layer(SCALE, same, other if kind == "add" else -other)
    return Layer(SCALE, other if kind == "mul" else 1.0 / other, np.zeros_like(other))


def _checked(layers: list[Layer], width: int, where: str) -> Network:
    """The network, once the layers fit together and end in logits."""
    inputs, kept = width, list[Layer]()
    ends = [layer.kind for layer in layers]
    body = len(layers)
    squeezed = body > 0 and ends[body - 1] == "squeeze"
    body -= squeezed
    if body and ends[body - 1] in ("sigmoid", "softmax"):
        body -= 1
    last = ends[body] if body < len(layers) else None
    for layer in layers[:body]:
        if layer.kind == "squeeze" and layer is layers[body - 1]:  # squeezed before the sigmoid
            squeezed = True
            continue
        if layer.kind in ("softmax", "squeeze"):
            raise ModelError(f"has a {layer.kind} before its end", where=where, hint=HINT)
        if layer.weight is not None:
            if layer.weight.ndim != (2 if layer.kind == AFFINE else 1) or layer.weight.shape[-1] not in (width, 1 if layer.kind == SCALE else width):
                raise ValueError(f"a layer of shape {layer.weight.shape} after {width} columns")
            width = len(layer.weight) if layer.kind == AFFINE else width
            if layer.bias is not None and (layer.bias.ndim != 1 or len(layer.bias) not in (width, 1)):
                raise ValueError(f"a bias of shape {layer.bias.shape} for {width} columns")
            if not np.isfinite(layer.weight).all() or (layer.bias is not None and not np.isfinite(layer.bias).all()):
                raise ValueError("a weight that is no finite number")
        kept.append(layer)
    if (last == "softmax" and width < 2) or (last == "sigmoid" and width != 1) or (squeezed and width != 1):
        raise ModelError(
            f"ends in {last or 'a squeeze'} over {width} outputs: one probability, or one for each class, is read", where=where, hint=HINT
        )
    return Network(tuple(kept), inputs)
