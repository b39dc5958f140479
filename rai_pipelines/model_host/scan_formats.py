"""What a single format can hide: pickles, NumPy arrays of objects, skops types, ONNX data outside the folder, LightGBM text, Keras lambdas."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import IO

from rai_pipelines.errors import ModelError
from rai_pipelines.model_host.known_globals import Meaning, meaning_of
from rai_pipelines.model_host.onnx_outline import KNOWN_DOMAINS, outline_of
from rai_pipelines.model_host.pickle_walk import Walk, walk_pickle
from rai_pipelines.model_host.scan_parts import Part, Place, Verdict
from rai_pipelines.subjects.lightgbm_text import checked_lightgbm_text
from rai_pipelines.subjects.model_formats import PICKLE_SUFFIXES, TRUSTED_TYPES, is_sklearn_estimator

MAX_PICKLES = 1000  # PyTorch's first format was five in a row
KERAS_CODE = ("Lambda", "TFOpLambda", "SlicingOpLambda")
DATA_MAGICS = {b"PAR1": "parquet", b"ARROW1": "arrow"}
CODE_SUFFIXES = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh", ".ipynb", ".whl")


def scan_pickles(stream: IO[bytes], place: Place) -> Iterator[Part]:
    """All pickles that follow each other from where `stream` stands, by the own walk and by picklescan; the worse reading counts."""
    begun = stream.tell()
    verdict, reasons = Verdict.CLEAN, dict[str, None]()
    arrays = 0
    for _ in range(MAX_PICKLES):
        walk = walk_pickle(stream)
        arrays += walk.arrays
        found, why = _judge_walk(walk)
        verdict = max(verdict, found, key=lambda item: item.rank)
        reasons.update(dict.fromkeys(why))
        here = stream.tell()
        following = stream.read(2)
        stream.seek(here)
        if not walk.whole or not following:
            break
        if following[0] != 0x80:
            verdict = max(verdict, Verdict.SUSPICIOUS, key=lambda item: item.rank)
            reasons["bytes follow the end of the pickle"] = None
            break
    else:
        verdict = max(verdict, Verdict.NOT_SCANNABLE, key=lambda item: item.rank)
        reasons["holds too many pickles"] = None
    stream.seek(begun)
    second, heard = _picklescan(stream, place)
    if second is Verdict.NOT_SCANNABLE and verdict in (Verdict.CLEAN, Verdict.SUSPICIOUS) and arrays:
        second = Verdict.SUSPICIOUS  # picklescan does not step over joblib's arrays; the own walk did
        heard = (*heard, f"read to its end only by stepping over {arrays} arrays")
    reasons.update(dict.fromkeys(heard))
    yield place.part("joblib" if arrays else "pickle", max(verdict, second, key=lambda item: item.rank), *reasons)


def _judge_walk(walk: Walk) -> tuple[Verdict, list[str]]:
    meanings = {f"{module}.{name}": meaning_of(module, name) for module, name in walk.imports}
    dangerous = [name for name, meaning in meanings.items() if meaning is Meaning.DANGEROUS]
    unknown = [name for name, meaning in meanings.items() if meaning is Meaning.UNKNOWN]
    reasons = [f"imports {name}, which can run code" for name in dangerous]
    reasons += [f"imports {name}, which is not known to be harmless" for name in unknown]
    reasons += list(walk.oddities)
    if walk.problem:
        reasons.append(f"cannot be read to its end ({walk.problem})")
    if dangerous:
        return Verdict.DANGEROUS, reasons
    if not walk.whole:
        return Verdict.NOT_SCANNABLE, reasons
    return (Verdict.SUSPICIOUS if unknown or walk.oddities else Verdict.CLEAN), reasons


def _picklescan(stream: IO[bytes], place: Place) -> tuple[Verdict, tuple[str, ...]]:
    from picklescan.scanner import SafetyLevel, scan_pickle_bytes  # type: ignore[import-untyped,unused-ignore]

    try:
        result = scan_pickle_bytes(stream, place.name)
    except Exception as error:  # it raises what its parser raises: then it has said nothing
        return Verdict.NOT_SCANNABLE, (f"picklescan fails on it ({type(error).__name__})",)
    named = tuple(
        f"imports {item.module}.{item.name}, which picklescan calls dangerous" for item in result.globals if item.safety is SafetyLevel.Dangerous
    )
    if named:
        return Verdict.DANGEROUS, named
    return (Verdict.NOT_SCANNABLE, ("picklescan cannot parse it",)) if result.scan_err else (Verdict.CLEAN, ())


def scan_numpy(stream: IO[bytes], place: Place) -> Iterator[Part]:
    """An .npy file: numbers are data; an array of objects is a pickle."""
    from numpy.lib import format as npy

    try:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version} of the format is not read here")
        _, _, dtype = read(stream)
    except Exception as error:  # a header that NumPy does not read
        yield place.part("npy", Verdict.NOT_SCANNABLE, f"is not a readable array ({type(error).__name__})")
        return
    if not dtype.hasobject:
        yield place.part("npy", Verdict.CLEAN)
        return
    yield place.part("npy_objects", Verdict.SUSPICIOUS, "is an array of Python objects, which is kept as a pickle")
    yield from scan_pickles(stream, place)


def scan_plain(stream: IO[bytes], start: bytes, place: Place) -> Iterator[Part]:
    """Everything without an archive around it and without the mark of a pickle; a pickle of protocol 0 or 1 has none."""
    if start.startswith(b"tree\n") or start.startswith(b"tree\r\n"):
        yield _lightgbm(stream, place)
        return
    if place.suffix == ".onnx":
        yield from _onnx(stream, place)
        return
    pickles = tuple(scan_unmarked(stream, place))
    if pickles:
        yield from pickles
    elif start.startswith(b"\x89HDF\r\n\x1a\n"):
        yield place.part("hdf5", Verdict.NOT_SCANNABLE, "is HDF5 (Keras, AnnData ...), which can hold code and is not read here")
    elif start.startswith(b"\x7fELF") or start.startswith(b"MZ") or place.suffix in CODE_SUFFIXES:
        yield place.part("code", Verdict.SUSPICIOUS, "is program code, which this project never loads but others may")
    elif any(start.startswith(magic) for magic in DATA_MAGICS):
        yield place.part(next(kind for magic, kind in DATA_MAGICS.items() if start.startswith(magic)), Verdict.CLEAN)
    elif not start or _is_text(stream):
        yield place.part("text", Verdict.CLEAN)
    else:
        yield place.part("unknown", Verdict.NOT_SCANNABLE, "is of no known format")


def scan_unmarked(stream: IO[bytes], place: Place) -> Iterator[Part]:
    """A pickle of protocol 0 or 1, which nothing marks: by its suffix, or because it imports and calls. No part when it is none."""
    walk = walk_pickle(stream)
    stream.seek(0)
    if place.suffix in PICKLE_SUFFIXES or (walk.imports and (walk.whole or walk.calls)):
        yield from scan_pickles(stream, place)
    stream.seek(0)


def _is_text(stream: IO[bytes]) -> bool:
    import codecs

    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while chunk := stream.read(2**20):
            if "\0" in decoder.decode(chunk):
                return False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _lightgbm(stream: IO[bytes], place: Place) -> Part:
    try:
        checked_lightgbm_text(stream.read().decode("utf-8"), where=place.name)
    except UnicodeDecodeError:
        return place.part("lightgbm", Verdict.NOT_SCANNABLE, "is not text")
    except ModelError as error:
        if "gives no probabilities" not in error.what:  # what it predicts is not a matter of safety
            return place.part("lightgbm", Verdict.SUSPICIOUS, error.what)
    return place.part("lightgbm", Verdict.CLEAN)


def _onnx(stream: IO[bytes], place: Place) -> Iterator[Part]:
    try:
        outline = outline_of(stream.read())
    except (ValueError, IndexError, RecursionError) as error:
        yield place.part("onnx", Verdict.NOT_SCANNABLE, f"is not a readable ONNX model ({error})")
        return
    outside = sorted(path for path in outline.external_paths if _leaves_folder(path))
    strange = sorted(outline.domains - KNOWN_DOMAINS)
    reasons = [f"reads data outside the model's folder: {path!r}" for path in outside]
    reasons += [f"uses operators of {name!r}, which need code of their own" for name in strange]
    yield place.part("onnx", Verdict.DANGEROUS if outside else Verdict.SUSPICIOUS if strange else Verdict.CLEAN, *reasons)


def _leaves_folder(path: str) -> bool:
    parts = PurePosixPath(path.replace("\\", "/"))
    return parts.is_absolute() or ".." in parts.parts or ":" in path or "\0" in path


def describe_zip(
    archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo], stream: IO[bytes], place: Place
) -> tuple[str, list[Part], frozenset[str]]:
    """What kind of zip it is, what that kind says beside its members, and which members are raw tensors."""
    names = {member.filename for member in members}
    if "schema.json" in names:
        return "skops", [_skops(stream, place)], frozenset()
    if "config.json" in names and {"metadata.json", "model.weights.h5"} & names:
        return "keras", [_keras(archive, place)], frozenset()
    graph = next((name for name in names if name == "models/model.json" or name.endswith("/models/model.json")), None)
    if graph is not None:
        return "pt2", [], _raw_weights(archive, graph.removesuffix("models/model.json"))
    roots = {name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")}
    tensors = frozenset(name for name in names for root in roots if name.startswith(root + "data/") and name.removeprefix(root + "data/").isdigit())
    if roots:
        return "pytorch", [], tensors
    return ("npz" if names and all(name.endswith(".npy") for name in names) else "zip"), [], frozenset()


def _raw_weights(archive: zipfile.ZipFile, root: str) -> frozenset[str]:
    """The members of an archive of torch.export that it says are raw numbers; the network is read from these and from JSON alone."""
    found = set()
    for folder in ("weights", "constants"):
        try:
            config = json.loads(archive.read(f"{root}data/{folder}/model_{folder}_config.json"))["config"]
            paths = [str(told["path_name"]) for told in config.values() if told.get("use_pickle") is False]
        except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
            continue
        found |= {f"{root}data/{folder}/{path}" for path in paths if path.startswith(("weight_", "tensor_")) and "/" not in path}
    return frozenset(found)


def _skops(stream: IO[bytes], place: Place) -> Part:
    """Types that neither skops nor this project vouches for; skops builds no object to list them."""
    import skops.io

    position = stream.tell()
    try:
        stream.seek(0)
        unknown = skops.io.get_untrusted_types(data=stream.read())
    except Exception as error:  # whatever skops says about a tree that it cannot read
        return place.part("skops", Verdict.NOT_SCANNABLE, f"is not a readable skops file ({type(error).__name__})")
    finally:
        stream.seek(position)
    dangerous = [name for name in unknown if meaning_of(*_split(name)) is Meaning.DANGEROUS]
    vouched = TRUSTED_TYPES | frozenset(place.trusted_skops_types)
    strange = [name for name in unknown if name not in vouched and name not in dangerous and not is_sklearn_estimator(name)]
    reasons = [f"names {name}, which can run code" for name in dangerous]
    reasons += [f"names {name}, which is not known to be harmless" for name in strange]
    return place.part("skops", Verdict.DANGEROUS if dangerous else Verdict.SUSPICIOUS if strange else Verdict.CLEAN, *reasons)


def _split(name: str) -> tuple[str, str]:
    module, _, attribute = name.rpartition(".")
    return module, attribute


def _keras(archive: zipfile.ZipFile, place: Place) -> Part:
    try:
        with archive.open("config.json") as config:
            content = config.read(2**26)
        layers = set(_class_names(json.loads(content)))
    except (ValueError, RecursionError):
        return place.part("keras", Verdict.NOT_SCANNABLE, "has no readable configuration")
    held = sorted(layers & set(KERAS_CODE))
    if held:
        return place.part("keras", Verdict.DANGEROUS, f"holds Python code in {', '.join(held)} layers")
    return place.part("keras", Verdict.NOT_SCANNABLE, "is a Keras model; its weights are HDF5, which is not read here")


def _class_names(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("class_name"), str):
            yield value["class_name"]
        for item in value.values():
            yield from _class_names(item)
    elif isinstance(value, list):
        for item in value:
            yield from _class_names(item)
