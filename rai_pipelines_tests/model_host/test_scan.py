"""Scanning with real exploits: each is found in whatever it is wrapped, nothing of it runs, and what cannot be read is never clean."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickle
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import onnx
import pytest
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from rai_pipelines.errors import ModelMissing
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.model_host.known_globals import Meaning, meaning_of
from rai_pipelines.model_host.pickle_walk import walk_pickle
from rai_pipelines.model_host.scan import FileScan, scan_model_files
from rai_pipelines.model_host.scan_parts import ScanLimits, Verdict

ROWS = np.random.default_rng(4).normal(size=(120, 3))
LABELS = (ROWS[:, 0] > 0).astype(int)


class Exploit:
    """Unpickling it runs a command that leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


class Chained:
    """No dangerous name at first sight: `getattr` on an imported module, step by step."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return eval, (f"getattr(__import__('o' + 's'), 'system')('touch {self.mark}')",)


def zipped(content: bytes, name: str = "inner.bin") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def tarred(content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo("folder/inner")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def dumped(value: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    joblib.dump(value, stream, **options)
    return stream.getvalue()


def saved(value: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, value, allow_pickle=True)
    return stream.getvalue()


def scanned(folder: Path, content: bytes, name: str = "model.bin", **options: Any) -> FileScan:
    (folder / name).write_bytes(content)
    report = scan_model_files(folder, **options)
    return next(file for file in report.files if file.path == name)


WRAPPED: dict[str, Callable[[Any], bytes]] = {
    "protocol 0": lambda made: pickle.dumps(made, protocol=0),
    "protocol 2": lambda made: pickle.dumps(made, protocol=2),
    "protocol 5": lambda made: pickle.dumps(made, protocol=5),
    "cut off after the call": lambda made: pickle.dumps(made, protocol=0)[:-1] + b"\xff",
    "after a harmless pickle": lambda made: pickle.dumps([1]) + pickle.dumps(made),
    "joblib": dumped,
    "joblib with arrays before it": lambda made: dumped([np.arange(1000.0), np.array(["a", None], dtype=object), made]),
    "joblib, zlib": lambda made: dumped(made, compress=("zlib", 3)),
    "joblib, xz": lambda made: dumped([np.arange(9), made], compress=("xz", 3)),
    "gzip": lambda made: gzip.compress(pickle.dumps(made)),
    "bz2": lambda made: bz2.compress(pickle.dumps(made)),
    "zlib after an empty stream": lambda made: zlib.compress(b"") + zlib.compress(pickle.dumps(made)),
    "xz after an empty lzma stream": lambda made: lzma.compress(b"", format=lzma.FORMAT_ALONE) + lzma.compress(pickle.dumps(made)),
    "lzma after an empty xz stream": lambda made: lzma.compress(b"") + lzma.compress(pickle.dumps(made), format=lzma.FORMAT_ALONE),
    "lzma": lambda made: lzma.compress(pickle.dumps(made), format=lzma.FORMAT_ALONE),
    "gzip in gzip": lambda made: gzip.compress(gzip.compress(pickle.dumps(made))),
    "zip": lambda made: zipped(pickle.dumps(made)),
    "zip in zip in zip": lambda made: zipped(zipped(zipped(pickle.dumps(made)))),
    "tar": lambda made: tarred(pickle.dumps(made)),
    "compressed tar": lambda made: gzip.compress(tarred(pickle.dumps(made))),
    "array of objects": lambda made: saved(np.array([made], dtype=object)),
    "npz": lambda made: zipped(saved(np.array([made], dtype=object)), "x.npy"),
    "joblib, array of objects": lambda made: dumped(np.array([made, 1], dtype=object)),
    "PyTorch": lambda made: zipped(pickle.dumps(made), "archive/data.pkl"),
    "behind text, as a zip": lambda made: b"# a harmless note\n" + zipped(pickle.dumps(made)),
}


@pytest.mark.parametrize("exploit", [Exploit, Chained])
@pytest.mark.parametrize("wrapping", WRAPPED)
@pytest.mark.parametrize("name", ["model.pkl", "notes.txt"])
def test_an_exploit_is_dangerous_in_any_wrapping_and_under_any_suffix_and_does_not_run(
    tmp_path: Path, wrapping: str, exploit: type[Exploit], name: str
) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "model").mkdir()
    found = scanned(tmp_path / "model", WRAPPED[wrapping](exploit(mark)), name)
    assert found.verdict is Verdict.DANGEROUS
    assert any("system" in reason or "eval" in reason for reason in found.reasons)
    assert not mark.exists()
    pickle.loads(pickle.dumps(exploit(mark)))
    assert mark.exists(), "the exploit is harmless, so this test showed nothing"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"), ("posix", "popen"), ("subprocess", "Popen"), ("builtins", "eval"), ("__builtin__", "execfile"), ("commands", "getoutput"),
        ("builtins", "getattr"), ("importlib", "import_module"), ("runpy", "run_path"), ("pathlib", "Path.write_text"), ("numpy", "os.system"),
        ("sklearn.utils._testing", "check_output"), ("numpy.testing._private.utils", "runstring"), ("joblib", "load"), ("pickle", "loads"),
        ("types", "CodeType"), ("operator", "methodcaller"), ("functools", "partial"), ("shutil", "rmtree"), ("socket", "create_connection"),
        ("sklearn.base", "warnings.sys.modules"),
    ],
)  # fmt: skip
def test_what_runs_code_is_known_by_name(module: str, name: str) -> None:
    assert meaning_of(module, name) is Meaning.DANGEROUS


@pytest.mark.parametrize(
    ("module", "name", "meaning"),
    [
        ("sklearn.linear_model._logistic", "LogisticRegression", Meaning.HARMLESS),
        ("numpy", "dtype", Meaning.HARMLESS),
        ("copy_reg", "_reconstructor", Meaning.HARMLESS),
        ("sklearn.utils", "Bunch.fromkeys", Meaning.UNKNOWN),
        ("sklearn.linear_model._logistic", "np", Meaning.UNKNOWN),
        ("sklearn.ensemble", "no_such_thing", Meaning.UNKNOWN),
        ("house_models", "Classifier", Meaning.UNKNOWN),
    ],
)
def test_only_exact_harmless_names_are_harmless(module: str, name: str, meaning: Meaning) -> None:
    assert meaning_of(module, name) is meaning


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        RandomForestClassifier(n_estimators=3, random_state=1),
        HistGradientBoostingClassifier(max_iter=3),
        lightgbm.LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_benign_pickle_is_clean_and_a_benign_joblib_file_never_reads_clean(tmp_path: Path, model: Any) -> None:
    model.fit(ROWS, LABELS)
    for protocol in (0, 2, 5):
        assert scanned(tmp_path, pickle.dumps(model, protocol=protocol)).verdict is Verdict.CLEAN
    joblib_file = scanned(tmp_path, dumped(model))
    assert (joblib_file.format, joblib_file.verdict) == ("joblib", Verdict.SUSPICIOUS)
    assert "picklescan cannot parse it" in joblib_file.reasons
    (tmp_path / "model.bin").unlink()
    skops.io.dump(model, tmp_path / "model.skops")
    assert [(file.format, file.verdict) for file in scan_model_files(tmp_path).files] == [("skops", Verdict.CLEAN)]


class Unknown:
    value = 1


def test_a_class_that_nobody_knows_is_suspicious(tmp_path: Path) -> None:
    found = scanned(tmp_path, pickle.dumps(Unknown()))
    assert found.verdict is Verdict.SUSPICIOUS
    assert "Unknown, which is not known to be harmless" in found.reasons[0]


@given(cut=st.integers(1, 400), change=st.binary(min_size=1, max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_pickle_never_raises_and_a_cut_one_is_never_clean(tmp_path: Path, cut: int, change: bytes) -> None:
    whole = pickle.dumps(LogisticRegression().fit(ROWS, LABELS))
    place = min(cut, len(whole) - 1)
    assert scanned(tmp_path, whole[:place]).verdict is not Verdict.CLEAN or place < 2
    scanned(tmp_path, whole[:place] + change + whole[place + len(change) :])


def hidden_in_tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("cos\nsystem\n(S'true'\ntR."))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "verdicts"),
    [
        (b"(cos\nsystem\nS'true'\no.", (Verdict.DANGEROUS, Verdict.DANGEROUS)),
        (b"(S'true'\nios\nsystem\n.", (Verdict.DANGEROUS, Verdict.DANGEROUS)),
        # the name is computed, and the whole file is valid text
        (b"cbuiltins\nstr\n(X\x02\x00\x00\x00ostR\x8c\x06systemC\x01\xc2\x930.", (Verdict.DANGEROUS, Verdict.DANGEROUS)),
        (b"only text", (Verdict.NOT_SCANNABLE, Verdict.CLEAN)),
        (zlib.compress(b"only text"), (Verdict.NOT_SCANNABLE, Verdict.CLEAN)),
        (b"\x80\x09" + pickle.dumps(1)[2:], (Verdict.CLEAN, Verdict.CLEAN)),
        (hidden_in_tar(), (Verdict.DANGEROUS, Verdict.DANGEROUS)),
    ],
    ids=["OBJ", "INST", "computed name", "text", "compressed text", "protocol 9", "name in a tar"],
)
def test_what_joblib_would_unpickle_is_judged_as_a_pickle(tmp_path: Path, content: bytes, verdicts: tuple[Verdict, Verdict]) -> None:
    assert (scanned(tmp_path, content, "model.pkl").verdict, scanned(tmp_path, content, "notes.txt").verdict) == verdicts


def joblib_array(state: dict[str, Any], *, after: bytes) -> bytes:
    """A joblib stream whose one array has `state`; `after` follows where the array's bytes would."""
    import joblib.numpy_pickle as numpy_pickle

    made = numpy_pickle.NumpyArrayWrapper.__new__(numpy_pickle.NumpyArrayWrapper)
    made.__dict__.update(state)
    return pickle.dumps(made, protocol=3)[:-1] + after


def test_array_bytes_are_stepped_over_as_joblib_reads_them_and_no_further() -> None:
    state = {"subclass": np.ndarray, "shape": (4,), "order": "C", "dtype": np.dtype("u1"), "allow_mmap": True, "numpy_array_alignment_bytes": None}
    hidden = b"cos\nsystem\n"
    honest = walk_pickle(io.BytesIO(joblib_array(state, after=b"\x80\x04cX" + b".")))
    assert honest.whole and ("os", "system") not in honest.imports
    short = walk_pickle(io.BytesIO(joblib_array({**state, "shape": (1,)}, after=b"X" + hidden + b"0.")))
    assert ("os", "system") in short.imports
    for broken in ({"shape": (10**12,)}, {"shape": "x"}, {"shape": (-1,)}, {"dtype": "u1"}):
        assert not walk_pickle(io.BytesIO(joblib_array({**state, **broken}, after=b"XXXX."))).whole
    framed = pickle.dumps([1, 2], protocol=4)
    assert framed[2:3] == b"\x95", "protocol 4 has no frame, so this test showed nothing"
    body = joblib_array(state, after=b"XXXX.")[2:]
    overlong = b"\x80\x04\x95" + struct.pack("<Q", len(body)) + body
    assert not walk_pickle(io.BytesIO(overlong)).whole, "joblib would read the array behind the frame"


def test_links_and_special_files_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "outside").mkdir()
    (folder / "own.txt").write_text("text")
    for name, target in (("file", "/etc/passwd"), ("dir", tmp_path / "outside"), ("own", "own.txt"), ("broken", "nothing")):
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe")
    found = {file.path: file.verdict for file in scan_model_files(folder).files}
    assert found == {
        "file": Verdict.DANGEROUS,
        "dir": Verdict.DANGEROUS,
        "own": Verdict.CLEAN,
        "broken": Verdict.SUSPICIOUS,
        "pipe": Verdict.NOT_SCANNABLE,
        "own.txt": Verdict.CLEAN,
    }


def test_bombs_stop_at_their_limit_and_are_not_scannable(tmp_path: Path) -> None:
    limits = ScanLimits(unpacked_bytes=2**20, depth=3, members=10)
    deep = pickle.dumps(1)
    for _ in range(6):
        deep = zipped(deep)
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w") as archive:
        for number in range(12):
            archive.writestr(str(number), b"text")
    zeros = bytes(2**22)
    cases = {"big": zipped(zeros), "gzip": gzip.compress(zeros), "zlib": zlib.compress(zeros), "deep": deep, "many": many.getvalue()}
    for name, content in cases.items():
        found = scanned(tmp_path, content, name, limits=limits)
        assert found.verdict is Verdict.NOT_SCANNABLE, name
        assert "more than" in found.reasons[0]


@pytest.mark.parametrize("name", ["../outside", "/absolute", "a/../../b"])
def test_an_archive_that_unpacks_outside_is_dangerous(tmp_path: Path, name: str) -> None:
    assert scanned(tmp_path, zipped(b"text", name)).verdict is Verdict.DANGEROUS


def test_a_zip_that_python_cannot_read_is_not_clean(tmp_path: Path) -> None:
    whole = zipped(b"text" * 100)
    for broken in (whole[: len(whole) // 2], whole.replace(b"PK\x01\x02", b"PK\x01\x03"), whole[:40] + bytes(4) + whole[44:]):
        assert scanned(tmp_path, broken).verdict is Verdict.NOT_SCANNABLE


def test_skops_types_are_judged_by_our_list_and_the_operator_s(tmp_path: Path) -> None:
    skops.io.dump(Unknown(), tmp_path / "model.skops")
    name = f"{Unknown.__module__}.Unknown"
    assert [file.verdict for file in scan_model_files(tmp_path).files] == [Verdict.SUSPICIOUS]
    assert [file.verdict for file in scan_model_files(tmp_path, trusted_skops_types=(name,)).files] == [Verdict.CLEAN]
    content = skops.io.dumps(make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()))
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(stream, "w") as target:
        for item in source.namelist():
            text = source.read(item)
            if item == "schema.json":
                for old, new in ((b'"log1p"', b'"system"'), (b'"__module__": "numpy"', b'"__module__": "os"'), (b'"scipy.special"', b'"os"')):
                    text = text.replace(old, new)
            target.writestr(item, text)
    found = scanned(tmp_path, stream.getvalue(), "crafted.skops")
    assert found.verdict is Verdict.DANGEROUS
    assert "os.system" in found.reasons[0]


def onnx_model(*, domain: str = "", location: str | None = None, nested: bool = False) -> bytes:
    weights = numpy_helper.from_array(np.ones(4, dtype=np.float32), "w")
    if location is not None:
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        weights.external_data.add(key="location", value=location)
    node = helper.make_node("Add", ["x", "w"], ["y"], domain=domain)
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    into = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    graph = helper.make_graph([node], "g", [] if nested else [into], [out], [weights])
    if nested:
        branch = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)
        chosen = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
        graph = helper.make_graph([branch], "outer", [into, chosen], [out])
    content: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString()
    return content


@pytest.mark.parametrize("nested", [False, True])
def test_onnx_data_outside_the_folder_and_foreign_operators_are_found_at_any_depth(tmp_path: Path, nested: bool) -> None:
    cases = {
        (): Verdict.CLEAN,
        (("location", "weights.bin"),): Verdict.CLEAN,
        (("location", "../../etc/passwd"),): Verdict.DANGEROUS,
        (("location", "/etc/passwd"),): Verdict.DANGEROUS,
        (("domain", "ai.onnx.ml"),): Verdict.CLEAN,
        (("domain", "house.ops"),): Verdict.SUSPICIOUS,
    }
    for changes, verdict in cases.items():
        content = onnx_model(nested=nested, **dict(changes))  # type: ignore[arg-type]
        assert onnx.load_model_from_string(content).graph.name
        assert scanned(tmp_path, content, "model.onnx").verdict is verdict, changes
    assert scanned(tmp_path, onnx_model()[:-7], "model.onnx").verdict is Verdict.NOT_SCANNABLE
    assert scanned(tmp_path, b"", "model.onnx").verdict is Verdict.NOT_SCANNABLE


def test_lightgbm_text_is_clean_when_it_is_consistent(tmp_path: Path) -> None:
    text = lightgbm.LGBMRegressor(n_estimators=2, n_jobs=1, verbose=-1).fit(ROWS, LABELS).booster_.model_to_string()
    assert scanned(tmp_path, text.encode()).verdict is Verdict.CLEAN
    assert scanned(tmp_path, text.replace("left_child=1", "left_child=900000").encode()).verdict is Verdict.SUSPICIOUS


def test_what_is_not_read_here_says_so(tmp_path: Path) -> None:
    layered = zipped(b"", "model.weights.h5")
    stream = io.BytesIO(layered)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("config.json", '{"config": {"layers": [{"class_name": "Lambda"}]}}')
    cases = {
        "weights.h5": (b"\x89HDF\r\n\x1a\n" + bytes(64), Verdict.NOT_SCANNABLE),
        "lambda.keras": (stream.getvalue(), Verdict.DANGEROUS),
        "noise.bin": (bytes(range(128, 256)) * 4, Verdict.NOT_SCANNABLE),
        "code.py": (b"import os\n", Verdict.SUSPICIOUS),
        "MLmodel": (b"flavors: {}\n", Verdict.CLEAN),
        "README.md": (b"cat\nhouse\n(a note about the model)\n", Verdict.CLEAN),
        "empty": (b"", Verdict.CLEAN),
        "numbers.npy": (saved(np.arange(4)), Verdict.CLEAN),
    }
    for name, (content, verdict) in cases.items():
        assert scanned(tmp_path, content, name).verdict is verdict, name


def test_the_report_is_bounded_readable_evidence_and_the_same_every_time(tmp_path: Path) -> None:
    (tmp_path / "evil\x1b[31m\n.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    (tmp_path / "fine.txt").write_text("text")
    details = scan_model_files(tmp_path).details()
    assert details["counts"] == {"clean": 1, "suspicious": 0, "not_scannable": 0, "dangerous": 1}
    assert canonical_json(details) == canonical_json(scan_model_files(tmp_path).details())
    assert all(file["path"].isprintable() for file in details["files"])  # type: ignore[union-attr,index,call-overload]
    with pytest.raises(ModelMissing):
        scan_model_files(tmp_path / "nowhere")


def test_the_scan_of_a_dangerous_folder_imports_nothing_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"cantigravity\nfly\n(tR.")
    script = (
        "import sys, pathlib; from rai_pipelines.model_host.scan import scan_model_files; r = scan_model_files(pathlib.Path(sys.argv[1]));"
        "print(r.files[0].verdict, 'antigravity' in sys.modules)"
    )
    import sys

    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["suspicious", "False"]
