"""A model in a process of its own, confined, that the auditor asks as if it were loaded here. Only data come back, and they are checked."""

from __future__ import annotations

import builtins
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pydantic import JsonValue

from rai_pipelines import errors
from rai_pipelines.errors import ModelError, RaiError
from rai_pipelines.model_host.confined_scan import scan_confined
from rai_pipelines.model_host.isolation import NEEDED_FOR_PROGRAMS, HostLimits, Isolation, read_isolation
from rai_pipelines.model_host.own_environment import OwnEnvironment, own_environment
from rai_pipelines.model_host.process import Ended, ModelProcess
from rai_pipelines.model_host.scan_parts import COMPRESSIONS, Verdict, one_line
from rai_pipelines.model_host.wire import WireError, lay_out, take_apart, unpack_table
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.subjects.model_files import checked_decisions, checked_scores
from rai_pipelines.subjects.model_formats import PICKLE_SUFFIXES
from rai_pipelines.subjects.subject import ModelLoader, Tables

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

PROGRAM_FORMATS = ("pickle", "joblib", "npy_objects", *COMPRESSIONS)
WHERE = "the model's process"


def hosted_loader(
    *,
    trusted_skops_types: tuple[str, ...] = (),
    trust_pickles: bool = False,
    environments: Path | None = None,
    limits: HostLimits | None = None,
) -> ModelLoader:
    """A loader that scans a version's files and then loads the model in a confined process.

    With `environments`, a folder, a version that has a `requirements.txt` runs with the libraries named there, which are kept in that folder.

    Raises, when it is called:
        ModelMissing: there is no model file.
        ModelError: a file is dangerous; a pickle could not be scanned to its end; the model's own environment cannot be built; or whatever
            `load_model_files` refuses.
    """
    return partial(
        _load, trusted_skops_types=trusted_skops_types, trust_pickles=trust_pickles, environments=environments, limits=limits or HostLimits()
    )


def _load(
    folder: Path,
    datasheet: Datasheet,
    *,
    trusted_skops_types: tuple[str, ...],
    trust_pickles: bool,
    environments: Path | None,
    limits: HostLimits,
) -> HostedModel:
    report, _ = scan_confined(folder, trusted_skops_types=trusted_skops_types)
    dangerous = report.with_verdict(Verdict.DANGEROUS)
    if dangerous:
        first = dangerous[0]
        raise ModelError(
            f"is dangerous and was not loaded: {'; '.join(first.reasons[:3])}", where=one_line(first.path), hint="Register the model without it"
        )
    unread = [
        file for file in report.with_verdict(Verdict.NOT_SCANNABLE) if file.format in PROGRAM_FORMATS or file.path.lower().endswith(PICKLE_SUFFIXES)
    ]
    if unread and trust_pickles:
        raise ModelError(
            f"is a pickle that could not be scanned to its end: {'; '.join(unread[0].reasons[:3])}",
            where=one_line(unread[0].path),
            hint="Save the model with skops, as LightGBM text or as ONNX",
        )
    environment = own_environment(folder, environments) if environments is not None else None
    return HostedModel(
        folder, datasheet, trusted_skops_types=trusted_skops_types, trust_pickles=trust_pickles, environment=environment, limits=limits
    )


class HostedModel:
    """A `LoadedModel` whose every answer comes from a confined process. A context manager; also ended when it goes away.

    The files are not scanned here: `hosted_loader` does that first. `isolation` says what confines the process, `environment` whose libraries
    it has (None: the auditor's).

    Raises:
        ModelMissing, ModelError: as `load_model_files`; also when the process ends, is too slow, or answers with anything but valid data.
    """

    def __init__(
        self,
        folder: Path,
        datasheet: Datasheet,
        *,
        trusted_skops_types: tuple[str, ...] = (),
        trust_pickles: bool = False,
        environment: OwnEnvironment | None = None,
        limits: HostLimits | None = None,
    ) -> None:
        self.limits = limits or HostLimits()
        self.environment = environment
        self.deadline: float | None = None  # on the monotonic clock: requests end then at the latest; whoever asks sets it
        self._folder = folder
        self._load_request = {
            "do": "load",
            "datasheet": datasheet.model_dump(mode="json", by_alias=True),
            "trusted_skops_types": list(trusted_skops_types),
            "trust_pickles": trust_pickles,
        }
        self._lock = threading.RLock()
        self._starts = 0
        self._closed = False
        self._process: ModelProcess | None = None
        self.flavor, self.features, self.isolation = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def allow_restarts(self) -> None:
        """Count deaths anew: whoever asks next is not to suffer for what the one before made of the model."""
        with self._lock:
            self._starts = min(self._starts, 1)

    def close(self) -> None:
        """End the process. The model cannot be asked afterwards."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.close()

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Decisions, shape (rows,)."""
        found = self._query("predict", frame)
        if found is None:
            raise ModelError("gives no decisions", where=WHERE)
        return checked_decisions(found, len(frame), WHERE)

    def score(self, frame: pd.DataFrame) -> np.ndarray | None:
        """Probability of the favourable outcome, shape (rows,), or None."""
        found = self._query("score", frame)
        if found is None:
            return None
        if found.dtype.kind != "f" or found.shape != (len(frame),):
            raise ModelError(f"gives scores of shape {found.shape} and type {found.dtype} for {len(frame)} rows", where=WHERE)
        return checked_scores(found, WHERE)

    def run(self, task: str, parameters: Mapping[str, JsonValue], tables: Tables) -> tuple[Mapping[str, JsonValue], Tables]:
        """As `LoadedModel.run`, with what comes back checked as Arrow and JSON."""
        request = {"do": "run", "task": task, "parameters": dict(parameters), "tables": list(tables)}
        with self._lock, self._sound():
            header, payloads = self._ask(request, list(tables.values()), self.limits.request_s)
            answer, names = header.get("answer"), header.get("tables")
            if not isinstance(answer, dict) or names is None or not _are_texts(names) or len(names) != len(payloads):
                raise WireError("sent an answer that is none")
            return answer, {name: unpack_table(payload, untrusted=True) for name, payload in zip(names, payloads, strict=True)}

    def _query(self, what: str, frame: pd.DataFrame) -> np.ndarray | None:
        from rai_pipelines.model_host.frames import pack_frame, unpack_answer

        if self.features is not None:
            given = frame.columns.tolist()
            wanted = [name for name in self.features if name in given]
            frame = frame[wanted] if given != wanted else frame
        described, contents = pack_frame(frame)
        layout, items = lay_out(contents)
        with self._lock, self._sound():
            header, payloads = self._ask({"do": what, "frame": described, "layout": layout}, items, self.limits.request_s)
            part = header.get("array")
            if part is None:
                return None
            return unpack_answer(part, take_apart(header.get("layout"), payloads, untrusted=True), most_bytes=self.limits.answer_bytes)

    @contextmanager
    def _sound(self) -> Iterator[None]:
        """A process that breaks the protocol is not asked again."""
        try:
            yield
        except WireError as error:
            if self._process is not None:
                self._process.close()
            raise ModelError(str(error), where=WHERE, hint="The model tampers with its process: do not use it") from error

    def _start(self) -> tuple[str, tuple[str, ...] | None, Isolation]:
        """A new process with the model loaded."""
        self._starts += 1
        self._process = process = ModelProcess(self._folder, self.limits, self.environment.folder if self.environment else None)
        try:
            with self._sound():
                isolation = read_isolation(self._receive(process))
                self._refuse_programs_without(isolation)
                header, _ = self._exchange(process, self._load_request, [], self.limits.start_s)
                flavor, features = header.get("flavor"), header.get("features")
                if not isinstance(flavor, str) or not (features is None or _are_texts(features)):
                    raise WireError("sent a description that is none")
            return one_line(flavor, 50), None if features is None else tuple(features), isolation
        except BaseException:
            process.close()
            raise

    def _receive(self, process: ModelProcess) -> Mapping[str, Any]:
        try:
            return process.receive(self.limits.start_s)[0]
        except Ended as error:
            raise ModelError(str(error), where=WHERE, hint="Look at what it printed") from error

    def _refuse_programs_without(self, isolation: Isolation) -> None:
        lacking = isolation.lacks(*NEEDED_FOR_PROGRAMS) if self._load_request["trust_pickles"] else ()
        if lacking:
            raise ModelError(
                f"a pickle may not run here, where it is not confined: {'; '.join(f'{measure.name}: {measure.how}' for measure in lacking)}",
                where=WHERE,
                hint="Allow namespaces to this container, or save the model with skops, as LightGBM text or as ONNX",
            )

    def _ask(self, header: Mapping[str, Any], tables: Sequence[pa.Table | np.ndarray], within_s: float) -> tuple[Mapping[str, Any], list[memoryview]]:
        """The answer of the running process, or of a new one when it has ended."""
        if self._closed:
            raise ModelError("was closed", where=WHERE, hint="Load the model again")
        if self._process is None or not self._process.alive:
            if self._starts > self.limits.restarts:
                raise ModelError(f"ended {self._starts} times and is not started again", where=WHERE, hint="Mend the model")
            described = self._start()[:2]
            if described != (self.flavor, self.features):
                raise ModelError("describes itself differently each time it is loaded", where=WHERE, hint="Mend the model")
        if self._process is None:  # _start has set it
            raise ModelError("could not be started", where=WHERE)
        return self._exchange(self._process, header, tables, within_s)

    def _exchange(
        self, process: ModelProcess, header: Mapping[str, Any], tables: Sequence[pa.Table | np.ndarray], within_s: float
    ) -> tuple[Mapping[str, Any], list[memoryview]]:
        if self.deadline is not None:
            within_s = max(0.0, min(within_s, self.deadline - time.monotonic()))
        try:
            answer, found = process.ask(header, tables, within_s)
        except Ended as error:
            raise ModelError(str(error), where=WHERE, hint="Try the model on fewer rows, or give it more time or memory") from error
        if "error" in answer:
            raise _error_of(answer["error"], self.limits)
        return answer, found


def _error_of(told: Any, limits: HostLimits) -> Exception:
    """The error that the model's side describes, as one of ours; its texts are the model's, so they are cut and cleaned."""
    if not isinstance(told, dict):
        raise WireError("sent an error that is none")
    kind, what = str(told.get("kind")), one_line(str(told.get("what") or "failed"), 500)
    if kind == "MemoryError":
        return ModelError(f"needs more than {limits.memory_bytes / 2**30:.3g} GiB of memory", where=WHERE, hint="Try the model on fewer rows")
    if kind == "ValueError":
        return ValueError(what)
    where, hint = (one_line(str(told[key]), 300) if isinstance(told.get(key), str) else None for key in ("where", "hint"))
    named = getattr(errors, kind, None)
    known = isinstance(named, type) and issubclass(named, RaiError)
    made: RaiError = named(what, where=where, hint=hint) if known and named is not None else ModelError(f"{one_line(kind, 60)}: {what}", where=WHERE)
    cause = told.get("cause")
    if isinstance(cause, str):
        made.__cause__ = _stand_in(cause)
    return made


def _stand_in(name: str) -> Exception:
    """An exception of that name, as cause: who counts crashes looks at its type."""
    found = getattr(builtins, name, None)
    if isinstance(found, type) and issubclass(found, Exception) and not issubclass(found, UnicodeError | ExceptionGroup):
        return found("in the model's process")
    kind: type[Exception] = type(name if name.isidentifier() and len(name) < 80 else "ModelSideError", (Exception,), {})
    return kind("in the model's process")


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and len(values) <= 100_000 and all(isinstance(value, str) for value in values)
