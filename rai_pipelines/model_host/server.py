"""The model's side: started by `host` as a program, confined by `sandbox`, it loads one model and answers requests until the pipe closes.

Only what the format needs is imported, and nothing but Python's own library before the process is confined: the libraries may be the model's.
Nothing that the model prints reaches the protocol.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rai_pipelines.model_host.isolation import HostLimits, Measure
from rai_pipelines.model_host.sandbox import Plan, run_confined

MOST_REQUEST_BYTES = 2**34
NEEDED = ("numpy", "pyarrow", "pandas", "pydantic", "yaml", "rfc8785")  # of a model's own environment; see own_environment.HOST_NEEDS


def main() -> None:
    """Read the plan from the only argument, and serve."""
    given = json.loads(sys.argv[1])
    limits = HostLimits(**given["limits"])
    plan = Plan(given["folder"], given["private"], given["lifeline"], tuple(given["protocol"]), given["shared"], limits, given["libraries"])
    run_confined(plan, lambda folder, measures: Server(plan, folder).serve(measures))


class Server:
    """Answers one request after the other. `folder` is where the model's files are to be seen."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.requests, self.answers = plan.protocol
        self.shared = plan.shared
        self.folder = folder
        self.model: Any = None
        self.libraries = plan.libraries
        if plan.libraries is not None:  # only now, where nothing can reach further; and its start-up files (.pth) are not run
            sys.path.append(plan.libraries)

    def serve(self, measures: tuple[Measure, ...]) -> None:
        """Report what confines this process, then answer until the auditor closes the pipe."""
        self._write({"measures": [[measure.name, measure.in_force, measure.how] for measure in measures]})
        from rai_pipelines.model_host.shared import open_requests
        from rai_pipelines.model_host.wire import read_message

        memory = open_requests(self.shared) if self.shared is not None else memoryview(b"")
        while True:
            try:
                header, payloads = read_message(self._read, most_bytes=MOST_REQUEST_BYTES)
            except EOFError:
                return
            if header["shared"] is not None:
                payloads = [memory[start : start + size] for start, size in header["shared"]]
            try:
                answer, tables = self._answer(header, payloads)
            except MemoryError:
                answer, tables = {"error": {"kind": "MemoryError"}}, []
            except Exception as error:  # whatever the model or a library raises is an answer, told by type and first line
                answer, tables = {"error": _described(error)}, []
            self._write(answer, tables)

    def _answer(self, header: Mapping[str, Any], payloads: list[memoryview]) -> tuple[dict[str, Any], list[Any]]:
        match header["do"]:
            case "load":
                return self._load(header), []
            case "scan":
                return self._scan(header), []
            case "predict" | "score":
                return self._query(header, payloads)
            case "run":
                return self._run(header, payloads)
        raise ValueError("no such request")

    def _load(self, header: Mapping[str, Any]) -> dict[str, Any]:
        self._check_libraries()
        from rai_pipelines.subjects.datasheet import Datasheet
        from rai_pipelines.subjects.model_files import load_model_files

        self.model = load_model_files(
            self.folder,
            Datasheet.model_validate(header["datasheet"]),
            trusted_skops_types=tuple(header["trusted_skops_types"]),
            trust_pickles=header["trust_pickles"],
        )
        features = self.model.features
        return {"flavor": self.model.flavor, "features": None if features is None else list(features)}

    def _scan(self, header: Mapping[str, Any]) -> dict[str, Any]:
        from rai_pipelines.model_host.scan import scan_file
        from rai_pipelines.model_host.scan_parts import ScanLimits

        name = header["path"]
        found = scan_file(
            self.folder / name, name, trusted_skops_types=tuple(header["trusted_skops_types"]), limits=ScanLimits(**header["limits"])
        )  # fmt: skip
        return {"scan": {"format": found.format, "verdict": found.verdict.value, "reasons": list(found.reasons)}}

    def _check_libraries(self) -> None:
        """A model's own libraries may be too old, or may not fit each other: say which, before something else fails because of it."""
        if self.libraries is None:
            return
        from importlib import import_module

        from rai_pipelines.errors import ModelError

        for name in NEEDED:
            try:
                import_module(name)
            except ImportError as error:
                raise ModelError(
                    f"the model's own environment does not serve the host: {name} cannot be imported ({error})",
                    hint="Change requirements.txt, or set RAI_MODEL_ENVIRONMENT=shared",
                ) from error

    def _query(self, header: Mapping[str, Any], payloads: list[memoryview]) -> tuple[dict[str, Any], list[Any]]:
        import numpy as np

        from rai_pipelines.model_host.frames import pack_array, unpack_frame
        from rai_pipelines.model_host.wire import lay_out, pack_items, take_apart

        frame = unpack_frame(header["frame"], take_apart(header["layout"], payloads, untrusted=False))
        found = self.model.predict(frame) if header["do"] == "predict" else self.model.score(frame)
        if found is None:
            return {"array": None}, []
        arrays: list[Any] = []
        described = pack_array(np.asarray(found), arrays)
        layout, items = lay_out(arrays)
        return {"array": described, "layout": layout}, pack_items(items)

    def _run(self, header: Mapping[str, Any], payloads: list[memoryview]) -> tuple[dict[str, Any], list[Any]]:
        from rai_pipelines.evidence.canonical import plain
        from rai_pipelines.model_host.wire import pack_table, plain_table, unpack_table

        tables = {name: unpack_table(memoryview(bytes(payload)), untrusted=False) for name, payload in zip(header["tables"], payloads, strict=True)}
        answer, found = self.model.run(header["task"], header["parameters"], tables)
        return {"answer": plain(dict(answer)), "tables": list(found)}, [pack_table(plain_table(table)) for table in found.values()]

    def _read(self, size: int) -> memoryview:
        content = memoryview(bytearray(size))
        got = 0
        while got < size:
            count = os.readv(self.requests, [content[got:]])
            if count == 0:
                raise EOFError
            got += count
        return content

    def _write(self, header: Mapping[str, Any], payloads: list[Any] | None = None) -> None:
        from rai_pipelines.model_host.wire import pack_message

        for piece in pack_message(header, payloads or []):
            left = piece
            while left:
                left = left[os.write(self.answers, left) :]


def _described(error: BaseException) -> dict[str, Any]:
    """An error as data: its type, its text or parts, and the type of what caused it."""
    from rai_pipelines.errors import RaiError

    cause = type(error.__cause__).__name__ if error.__cause__ is not None else None
    if isinstance(error.__cause__, MemoryError):
        return {"kind": "MemoryError"}
    if isinstance(error, RaiError):
        return {"kind": type(error).__name__, "what": error.what, "where": error.where, "hint": error.hint, "cause": cause}
    return {"kind": type(error).__name__, "what": (str(error).strip().splitlines() or [""])[0][:300], "where": None, "hint": None, "cause": cause}


if __name__ == "__main__":
    main()
