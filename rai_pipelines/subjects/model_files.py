"""Load a model from files that nobody vouches for: what a file may name is decided here, never by the file.

`MLmodel` is read as YAML, without mlflow. Formats that hold data are loaded (skops, LightGBM text, ONNX); pickles, which are
programs, are refused unless the operator trusts them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import JsonValue

from rai_pipelines.errors import ModelError, ModelMissing, without_values
from rai_pipelines.subjects.datasheet import DATASHEET_FILE, Datasheet
from rai_pipelines.subjects.model_formats import KNOWN_SUFFIXES, Query, open_model
from rai_pipelines.subjects.model_tasks import run_task
from rai_pipelines.subjects.subject import LoadedModel, Tables

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MLMODEL_FILE = "MLmodel"
DATA_KEYS = ("pickled_model", "model_data", "data", "model_path")  # where the flavors of MLflow name their file
NOT_MODELS = (DATASHEET_FILE, MLMODEL_FILE, "requirements.txt")


def load_model_files(folder: Path, datasheet: Datasheet, *, trusted_skops_types: tuple[str, ...] = (), trust_pickles: bool = False) -> LoadedModel:
    """The model in `folder`, the way MLflow lays it out or as a single known file.

    `trusted_skops_types` are exact names that the operator adds to the built-in list. The trusted types that an `MLmodel` file
    lists are ignored.

    Raises:
        ModelMissing: there is no model file.
        ModelError: the file is refused, damaged, of an unknown kind, or disagrees with the datasheet about its inputs.
    """
    path, described = _find_model_file(folder)
    where = path.relative_to(folder.resolve()).as_posix()
    try:
        query = open_model(path, where, trusted_skops_types=trusted_skops_types, trust_pickles=trust_pickles)
    except ModelError:
        raise
    except Exception as error:  # whatever a parser says about a file that it cannot read
        reason = _reason(error).replace(str(path), where)  # evidence names no folder of this machine
        raise ModelError(f"does not load ({reason})", where=where, hint="The file may be damaged: register the model again") from error
    declared = datasheet.columns.features or None
    own = query.features or described
    if own and declared and set(own) != set(declared):
        differing = ", ".join(sorted(set(own) ^ set(declared))[:10])
        raise ModelError(f"model and datasheet disagree about the inputs: {differing}", where=where, hint="Correct columns.features in the datasheet")
    return CheckedModel(query, own or declared, datasheet.columns.favourable_outcome, where)


class CheckedModel:
    """A `LoadedModel` in this process that checks what goes in and what comes out. `native` is the library's own object, for white-box work."""

    def __init__(self, query: Query, features: tuple[str, ...] | None, favourable: str, where: str) -> None:
        self.flavor = query.flavor
        self.features = features
        self.native = query.native
        self.classes = query.classes
        same = [name for name in query.classes or () if _spelled(name) == _spelled(favourable)]
        self.favourable = same[0] if len(same) == 1 else favourable  # as the model writes it
        self._query = query
        self._where = where

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return checked_decisions(self._ask(self._query.predict, frame), len(frame), self._where)

    def score(self, frame: pd.DataFrame) -> np.ndarray | None:
        if self.classes is None or self.favourable not in self.classes:
            return None
        answer = self.probabilities(frame)
        return None if answer is None else checked_scores(answer[:, self.classes.index(self.favourable)], self._where)

    def probabilities(self, frame: pd.DataFrame) -> np.ndarray | None:
        """Probabilities of all of `classes`, shape (rows, classes), not checked for their range; None where the model gives none."""
        import numpy as np

        query = self._query
        if query.probabilities is None or query.classes is None:
            return None
        answer = self._ask(query.probabilities, frame)
        expected = (len(frame), len(query.classes))
        if answer.shape != expected:
            raise ModelError(f"gives probabilities of shape {answer.shape} where {expected} is expected", where=self._where)
        return np.asarray(answer, dtype=float)

    def run(self, task: str, parameters: Mapping[str, JsonValue], tables: Tables) -> tuple[Mapping[str, JsonValue], Tables]:
        return run_task(task, self, parameters, tables)

    def _ask(self, function: Callable[[pd.DataFrame], Any], frame: pd.DataFrame) -> np.ndarray:
        import numpy as np

        if self.features is not None:
            absent = [name for name in self.features if name not in frame.columns]
            if absent:
                raise ModelError(f"needs the input {', '.join(map(repr, absent))}, which the table lacks", where=self._where)
            frame = frame[list(self.features)]
        try:
            found = function(frame)
            answer = np.asarray(found)
        except Exception as error:
            raise ModelError(
                f"fails on {len(frame)} rows ({without_values(_reason(error), known=frame.columns, error=error)})",
                where=self._where,
                hint="Try the model on the evaluation table",
            ) from error
        _check_kind(found, answer, frame, self._where)
        return answer


def _check_kind(found: Any, answer: np.ndarray, frame: pd.DataFrame, where: str) -> None:
    """Refuse what NumPy would make numbers of without a word: masked values, imaginary parts, rows that pandas labels in another order.

    Raises:
        ModelError: it is one of these.
    """
    import numpy as np
    import pandas as pd

    if isinstance(found, np.ma.MaskedArray) and np.ma.getmaskarray(found).any():
        gone = int(np.ma.getmaskarray(found).reshape(len(found), -1).any(axis=1).sum())
        raise ModelError(f"masks its answer for {gone} of {len(found)} rows", where=where, hint="Handle missing inputs in the model")
    if answer.dtype.kind == "c":
        raise ModelError("answers with complex numbers", where=where, hint="Return classes and probabilities")
    own = found.index if isinstance(found, pd.Series | pd.DataFrame) else frame.index
    if len(own) == len(frame) and not own.equals(frame.index) and own.is_unique and frame.index.is_unique and own.isin(frame.index).all():
        raise ModelError("labels its answers with the rows in another order", where=where, hint="Answer in the order of the rows")


def checked_decisions(answer: np.ndarray, rows: int, where: str) -> np.ndarray:
    """`answer`, once it is one decision per row.

    Raises:
        ModelError: another shape, or a row without a decision.
    """
    import pandas as pd

    if answer.shape != (rows,):
        raise ModelError(f"predicts shape {answer.shape} where {(rows,)} is expected", where=where, hint="Return one decision per row")
    unknown = int(pd.isna(answer).sum())
    if unknown:
        raise ModelError(f"predicts no value for {unknown} of {rows} rows", where=where, hint="Handle missing inputs in the model")
    return answer


def checked_scores(column: np.ndarray, where: str) -> np.ndarray:
    """`column`, once it holds probabilities; what rounding put just outside 0 to 1 is put back.

    Raises:
        ModelError: a number outside 0 to 1, or none.
    """
    import numpy as np

    if not np.isfinite(column).all() or (column.size and (column.min() < -1e-9 or column.max() > 1 + 1e-9)):
        raise ModelError("gives probabilities outside 0 to 1", where=where, hint="Check predict_proba of the model")
    clipped: np.ndarray = np.clip(column, 0.0, 1.0)
    return clipped


def _find_model_file(folder: Path) -> tuple[Path, tuple[str, ...] | None]:
    """The model file, inside `folder`, and the inputs that the signature in `MLmodel` names."""
    described = _read_mlmodel(folder) if (folder / MLMODEL_FILE).is_file() else {}
    named = _named_file(described)
    if named is not None:
        path = (folder / named).resolve()
        if not path.is_relative_to(folder.resolve()) or path == folder.resolve():
            raise ModelError(f"names a file outside the model's folder: {named!r}", where=MLMODEL_FILE, hint="Register the model again")
        if path.is_dir():
            path = _only_candidate(path) or path
        if not path.is_file():
            raise ModelMissing(f"names the file {named!r}, which is not there", where=MLMODEL_FILE, hint="Register the model's files")
    else:
        candidate = _only_candidate(folder)
        if candidate is None:
            raise ModelMissing("the version has no model file", hint="Register the model's files, or leave what needs the model unassessed")
        path = candidate.resolve()
        if not path.is_relative_to(folder.resolve()):
            raise ModelError("is a link that leaves the model's folder", where=candidate.name, hint="Register plain files")
    return path, _signature_inputs(described)


def _read_mlmodel(folder: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load((folder / MLMODEL_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ModelError(f"is not readable ({_reason(error)})", where=MLMODEL_FILE, hint="Register the model again") from error
    if not isinstance(content, dict) or not isinstance(content.get("flavors", {}), dict):
        raise ModelError("is not a description of a model", where=MLMODEL_FILE, hint="Register the model again")
    return content


def _named_file(described: Mapping[str, Any]) -> str | None:
    """The file of the most specific flavor: `python_function` only repeats what a library's own flavor says."""
    flavors = described.get("flavors", {})
    for name in sorted(flavors, key=lambda flavor: (flavor == "python_function", str(flavor))):
        details = flavors[name] if isinstance(flavors[name], dict) else {}
        for key in DATA_KEYS:
            if isinstance(details.get(key), str):
                return str(details[key])
    return None


def _only_candidate(folder: Path) -> Path | None:
    if not folder.is_dir():
        return None
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in KNOWN_SUFFIXES and path.name not in NOT_MODELS and path.is_file())
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ModelError(f"more than one file could be the model: {names}", hint="Add an MLmodel file that names it")
    return found[0] if found else None


def _signature_inputs(described: Mapping[str, Any]) -> tuple[str, ...] | None:
    signature = described.get("signature")
    inputs = signature.get("inputs") if isinstance(signature, dict) else None
    try:
        columns = yaml.safe_load(inputs) if isinstance(inputs, str) else inputs  # JSON is YAML
        return tuple(str(column["name"]) for column in columns) if columns else None
    except (TypeError, KeyError, yaml.YAMLError):
        return None  # a tensor signature has no column names


def _spelled(name: str) -> str:
    """A class as tables are read: true is 1."""
    return {"true": "1", "false": "0"}.get(name.lower(), name)


def _reason(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [""])[0][:300]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
