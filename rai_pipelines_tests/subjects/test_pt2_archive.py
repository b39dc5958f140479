"""Networks read from the archives of torch.export without PyTorch, against what PyTorch said of them when they were written."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_pipelines.errors import ModelError
from rai_pipelines.model_host.host import hosted_loader
from rai_pipelines.subjects.datasheet import parse_datasheet
from rai_pipelines.subjects.model_files import load_model_files
from rai_pipelines.subjects.networks import Network
from rai_pipelines.subjects.pt2_archive import read_network

FOLDER = Path(__file__).parent / "networks"
ANSWERS = json.loads((FOLDER / "answers.json").read_text(encoding="utf-8"))
SHEET = """
schema: rai.datasheet/v1
model: m
purpose: Test
out_of_scope: [Anything else]
risk: {class: high, reason: Decides about people}
owner: {name: Team, contact: team@example.org}
columns: {label: y, features: [income, age, sex], protected_attributes: {sex: {}}}
data: {evaluation: evaluation.parquet}
"""


def frame_of(name: str) -> tuple[pd.DataFrame, np.ndarray]:
    return pd.DataFrame(ANSWERS[name]["inputs"], columns=["income", "age", "sex"]), np.array(ANSWERS[name]["outputs"])


def changed(tmp_path: Path, name: str, change: Callable[[str, bytes], bytes | None], extra: dict[str, bytes] | None = None) -> Path:
    """The archive with records changed, left out or added."""
    made = tmp_path / "model.pt2"
    with zipfile.ZipFile(FOLDER / name) as old, zipfile.ZipFile(made, "w") as new:
        for item in old.infolist():
            content = change(item.filename, old.read(item))
            if content is not None:
                new.writestr(item.filename, content)
        for record, content in (extra or {}).items():
            new.writestr(record, content)
    return made


def test_a_network_answers_as_pytorch_did() -> None:
    frame, outputs = frame_of("binary.pt2")
    network = read_network(FOLDER / "binary.pt2", "m")
    np.testing.assert_allclose(network.probabilities(frame.to_numpy())[:, 1], outputs[:, 0], atol=1e-6)
    np.testing.assert_array_equal(network.decisions(frame.to_numpy()), outputs[:, 0] > 0.5)
    frame, outputs = frame_of("three.pt2")
    three = read_network(FOLDER / "three.pt2", "m")
    np.testing.assert_allclose(three.logits(frame.to_numpy()), outputs, atol=1e-4)
    np.testing.assert_array_equal(three.decisions(frame.to_numpy()), outputs.argmax(axis=1))
    assert (network.outputs, network.classes, three.outputs, three.classes) == (1, 2, 3, 3)


@pytest.mark.parametrize("name", ["binary.pt2", "three.pt2"])
def test_gradients_are_those_of_small_differences(name: str) -> None:
    network, rows = read_network(FOLDER / name, "m"), frame_of(name)[0].to_numpy()
    along = np.random.default_rng(1).normal(size=(len(rows), network.outputs))
    exact = network.pulled_back(rows, along)
    whole = Network(network.layers, network.inputs)
    for at in range(3):
        step = np.zeros(3)
        step[at] = 0.25  # a power of two, so that rounding to single precision moves both sides alike
        small = (whole.logits(rows + step / 64) - whole.logits(rows - step / 64)) * along / (step[at] / 32)
        assert np.median(np.abs(small.sum(axis=1) - exact[:, at])) < 1e-4 + 0.01 * np.abs(exact[:, at]).max()


def test_the_folder_that_mlflow_writes_is_loaded_here_and_in_the_confined_process(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "model.pt2").write_bytes((FOLDER / "binary.pt2").read_bytes())
    (tmp_path / "MLmodel").write_text(
        "flavors:\n  python_function: {loader_module: mlflow.pytorch, data: data}\n  pytorch: {model_data: data, pytorch_version: 2.13.0}\n"
    )
    sheet = parse_datasheet(SHEET, source="datasheet.yaml")
    frame, outputs = frame_of("binary.pt2")
    loaded = load_model_files(tmp_path, sheet)
    assert loaded.flavor == "pytorch"
    assert loaded.score(frame) == pytest.approx(outputs[:, 0], abs=1e-6)
    with hosted_loader()(tmp_path, sheet) as hosted:  # type: ignore[attr-defined]
        assert hosted.score(frame) == pytest.approx(outputs[:, 0], abs=1e-6)
    with pytest.raises(ModelError, match="needs the input"):
        loaded.predict(frame[["income", "age"]])


class Runs:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_pickles_in_an_archive_are_never_loaded(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    program = pickle.dumps(Runs(mark))
    quiet = changed(tmp_path, "binary.pt2", lambda name, content: program if name.endswith("sample_inputs/model.pt") else content)
    assert read_network(quiet, "m").classes == 2  # the example inputs are not looked at

    def pickled(name: str, content: bytes) -> bytes:
        if name.endswith("weights_config.json"):
            return content.replace(b'"use_pickle": false', b'"use_pickle": true', 1)
        return program if name.endswith("/weight_0") else content

    with pytest.raises(ModelError):
        read_network(changed(tmp_path, "binary.pt2", pickled), "m")
    assert not mark.exists()


def in_graph(old: bytes, new: bytes) -> Callable[[str, bytes], bytes]:
    return lambda name, content: content.replace(old, new) if name.endswith(("model.json", "config.json", "byteorder")) else content


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (in_graph(b"aten.tanh.default", b"aten.gelu.default"), "gelu.default"),
        (in_graph(b"torch.ops.aten.tanh.default", b"os.system"), "os.system"),
        (in_graph(b'"name": "train", "arg": {"as_bool": false}', b'"name": "train", "arg": {"as_bool": true}'), "while training"),
        (in_graph(b'"as_tensor": {"name": "tanh"}}, "kind"', b'"as_tensor": {"name": "linear"}}, "kind"'), "no chain"),
        (in_graph(b"little", b"big"), "byte order"),
        (in_graph(b'"dtype": 7', b'"dtype": 6'), "whole archive"),
        (lambda name, content: content[:-4] if name.endswith("/weight_2") else content, "whole archive"),
        (lambda name, content: b"\xff" * len(content) if name.endswith("/weight_2") else content, "finite"),
        (lambda name, content: None if name.endswith("model.json") else content, "whole archive"),
        (lambda name, content: b"{" if name.endswith("model.json") else content, "whole archive"),
        (lambda name, content: b"[" * 200_000 if name.endswith("model.json") else content, "whole archive"),
        (lambda name, content: b'{"config": {}}' if name.endswith("weights_config.json") else content, "whole archive"),
    ],
)
def test_what_is_no_chain_of_known_layers_is_refused_with_its_reason(change: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        read_network(changed(tmp_path, "binary.pt2", change), "model.pt2")
    assert reason in str(caught.value)


def test_layers_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    def narrower(name: str, content: bytes) -> bytes:
        if name.endswith("weights_config.json"):
            told = json.loads(content)
            told["config"]["4.weight"]["tensor_meta"] = told["config"]["1.weight"]["tensor_meta"]
            told["config"]["4.weight"]["path_name"] = told["config"]["1.weight"]["path_name"]
            return json.dumps(told).encode()
        return content

    with pytest.raises(ModelError, match="after 8 columns"):
        read_network(changed(tmp_path, "binary.pt2", narrower), "m")


@pytest.mark.parametrize("name", ["model.pth", "model.pt"])
def test_pickled_torch_models_and_torchscript_are_refused_by_name(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps(Runs(tmp_path / "ran")))
    with pytest.raises(ModelError, match="torch"):
        load_model_files(tmp_path, parse_datasheet(SHEET, source="datasheet.yaml"))
    assert not (tmp_path / "ran").exists()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255), st.integers(1, 4))
def test_a_damaged_archive_is_refused_or_read_and_never_anything_else(place: int, change: int, count: int) -> None:
    content = bytearray((FOLDER / "binary.pt2").read_bytes())
    for number in range(count):
        content[(place * (number + 1)) % len(content)] ^= change
    with TemporaryDirectory() as folder:
        (Path(folder) / "model.pt2").write_bytes(bytes(content))
        try:
            loaded = load_model_files(Path(folder), parse_datasheet(SHEET, source="datasheet.yaml"))
            scores = loaded.score(frame_of("binary.pt2")[0])
        except ModelError:
            return
        assert scores is not None and np.isfinite(scores).all()
