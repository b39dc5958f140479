"""One model process as the auditor sees it: started, asked with a time limit, and ended for certain.

What it sends is read here as bytes and messages; what those mean is decided in `host`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rai_pipelines
from rai_pipelines.errors import ModelError
from rai_pipelines.model_host.file_view import SHOWN_HOME
from rai_pipelines.model_host.isolation import HostLimits
from rai_pipelines.model_host.sandbox import MEMORY_EXIT, PROCESSES_EXIT, SETUP_EXIT
from rai_pipelines.model_host.scan_parts import one_line
from rai_pipelines.model_host.shared import RequestMemory
from rai_pipelines.model_host.wire import WireError, pack_items, pack_message, read_message

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

PASSED_ON = (
    "PATH", "LANG", "LC_ALL", "TZ", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LD_LIBRARY_PATH",
    "OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES", "MKL_CBWR",  # which instructions do the sums: others round otherwise
)  # fmt: skip
PIPE_BYTES = 2**20
LOG_BYTES = 2**16
KEPT_LOG_BYTES = 2000
REUSED_BYTES = 2**25  # the largest that glibc takes
END_WITHIN_S = 5.0


ALONE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("rai_pipelines", {package!r} + "/__init__.py", submodule_search_locations=[{package!r}])
sys.modules["rai_pipelines"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["rai_pipelines"])
from rai_pipelines.model_host.server import main
main()
"""


class Ended(Exception):
    """The process is gone, or was ended for what it did; the text says why."""


class ModelProcess:
    """A started process. It is ended by `close()`, when this object goes away, or when this program ends in any way."""

    def __init__(self, folder: Path, limits: HostLimits, libraries: Path | None = None) -> None:
        self.limits = limits
        self.log = b""
        private = tempfile.mkdtemp(prefix="rai-model-")
        os.chmod(private, 0o711)  # noqa: S103  (another user inside; nothing can be listed)
        requests_in, self._requests = os.pipe()
        self._answers, answers_out = os.pipe()
        self._log, log_out = os.pipe()
        lifeline_in, lifeline = os.pipe()
        self._memory = memory = RequestMemory()
        theirs = tuple(item for item in (requests_in, answers_out, log_out, lifeline_in, memory.descriptor) if item is not None)
        ours = (self._requests, self._answers, self._log, lifeline)
        plan = {
            "folder": str(folder.resolve()),
            "private": private,
            "lifeline": lifeline_in,
            "protocol": [requests_in, answers_out],
            "shared": memory.descriptor,
            "limits": asdict(limits),
            "libraries": str(libraries.resolve()) if libraries is not None else None,
        }
        try:
            self._child = subprocess.Popen(  # noqa: S603  (this Python, a fixed module)
                [*_program(own=libraries is not None), json.dumps(plan)],
                stdin=subprocess.DEVNULL,
                stdout=log_out,
                stderr=log_out,
                pass_fds=theirs,
                env=_environment(),
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            for descriptor in ours:
                os.close(descriptor)
            shutil.rmtree(private, ignore_errors=True)
            raise ModelError(f"the model's process cannot be started ({error.strerror})", hint="Check the machine's limits") from error
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        for descriptor in (self._requests, self._answers, self._log):
            os.set_blocking(descriptor, False)
        for descriptor in (self._requests, self._answers):
            with contextlib.suppress(OSError):  # only a matter of speed; the kernel may cap it
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._end = weakref.finalize(self, _end, self._child, lifeline, ours[:3], private, os.getpid())

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._end.alive and self._child.poll() is None

    @property
    def pid(self) -> int:
        """The supervisor's process number."""
        return self._child.pid

    def close(self) -> None:
        """End the process and everything that it started. Harmless when done twice."""
        self._end()

    def receive(self, within_s: float) -> tuple[dict[str, Any], list[memoryview]]:
        """The next message. Raises `Ended` when there is none in time, or something else."""
        return self._exchange([], within_s)

    def ask(self, header: Mapping[str, Any], items: Sequence[pa.Table | np.ndarray], within_s: float) -> tuple[dict[str, Any], list[memoryview]]:
        """Send a request with tables or bytes, and wait for its answer. Raises `Ended`."""
        places = self._memory.write(items) if items else []
        payloads = pack_items(items) if places is None else []
        return self._exchange(pack_message({**header, "shared": places}, payloads), within_s)

    def _exchange(self, pieces: list[memoryview], within_s: float) -> tuple[dict[str, Any], list[memoryview]]:
        transfer = _Transfer(self, pieces, time.monotonic() + within_s, within_s)
        try:
            with transfer:
                transfer.send()
                return read_message(transfer.read, most_bytes=self.limits.answer_bytes)
        except WireError as error:
            self.close()
            raise Ended(str(error)) from error
        except Ended:
            self.close()
            raise

    def keep_log(self) -> None:
        """Take what the model printed; only the end of it is kept."""
        with contextlib.suppress(BlockingIOError):
            self.log = (self.log + os.read(self._log, LOG_BYTES))[-KEPT_LOG_BYTES:]

    def how_it_ended(self) -> str:
        """Why the process is gone, in words, with the end of what it printed."""
        try:
            code = self._child.wait(timeout=END_WITHIN_S)
        except subprocess.TimeoutExpired:
            return "closed its pipe"
        for _ in range(64):
            before = self.log
            with contextlib.suppress(OSError):
                self.keep_log()
            if self.log == before:
                break
        said = one_line(" ".join(self.log.decode("utf-8", errors="replace").split())[-400:], 400)
        return _in_words(code, said, self.limits) + (f"; it last printed: {said}" if said else "")

    @property
    def descriptors(self) -> tuple[int, int, int]:
        """Requests, answers, log."""
        return self._requests, self._answers, self._log


class _Transfer:
    """One request on its way there and back, before a deadline, while what the model prints is taken away."""

    def __init__(self, process: ModelProcess, pieces: list[memoryview], deadline: float, within_s: float) -> None:
        self.process, self.pieces, self.deadline, self.within_s = process, pieces, deadline, within_s
        self.requests, self.answers, self.log = process.descriptors
        self.selector = selectors.PollSelector()

    def __enter__(self) -> _Transfer:
        self.selector.register(self.answers, selectors.EVENT_READ)
        self.selector.register(self.log, selectors.EVENT_READ)
        return self

    def __exit__(self, *_: object) -> None:
        self.selector.close()

    def send(self) -> None:
        if not self.pieces:
            return
        self.selector.register(self.requests, selectors.EVENT_WRITE)
        try:
            for piece in self.pieces:
                left = piece
                while left:
                    try:
                        left = left[os.write(self.requests, left) :]
                    except BlockingIOError:
                        self._wait(self.requests)
        except BrokenPipeError as error:
            raise Ended(self.process.how_it_ended()) from error
        self.selector.unregister(self.requests)

    def read(self, size: int) -> memoryview:
        content = memoryview(bytearray(size))
        got = 0
        while got < size:
            try:
                count = os.readv(self.answers, [content[got:]])
            except BlockingIOError:
                self._wait(self.answers)
                continue
            if count == 0:
                raise Ended(self.process.how_it_ended())
            got += count
        return content

    def _wait(self, wanted: int) -> None:
        while True:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise Ended(f"did not answer within {self.within_s:g} s")
            ready = {key.fd for key, _ in self.selector.select(left)}
            if self.log in ready:
                self.process.keep_log()
            if wanted in ready or (self.answers in ready and not self.process.alive):
                return


def _program(*, own: bool) -> list[str]:
    """The model's side of the host. With libraries of the model's own, those of the auditor are out of its reach: this Python without its
    packages (-S), and this package from its folder alone."""
    if not own:
        return [sys.executable, "-I", "-m", "rai_pipelines.model_host.server"]
    package = str(Path(rai_pipelines.__file__).resolve().parent)
    return [sys.executable, "-I", "-S", "-c", ALONE.format(package=package)]


def _environment() -> dict[str, str]:
    """Nothing of the auditor's but where programs lie, the language, and by how many threads and which instructions sums are made."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {
        **kept,
        "HOME": SHOWN_HOME,
        "TMPDIR": "/tmp",  # noqa: S108  (inside the model's own file system)
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "2",  # each further arena takes 64 MB of the address space that is limited
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        # threads of OpenMP that spin between two requests take the processor from the auditor: a small LightGBM request took 6 ms instead of 1.4
        "OMP_WAIT_POLICY": "PASSIVE",
        # memory of one request serves the next, or every buffer of more than 128 kB is fetched from the kernel page by page
        "MALLOC_MMAP_THRESHOLD_": str(REUSED_BYTES),
        "MALLOC_TRIM_THRESHOLD_": str(8 * REUSED_BYTES),
    }


def _in_words(code: int, said: str, limits: HostLimits) -> str:
    memory = f"was ended: it needs more than {limits.memory_bytes / 2**30:.3g} GiB of memory"
    if code == MEMORY_EXIT or "bad_alloc" in said or "MemoryError" in said:
        return memory
    if code == PROCESSES_EXIT:
        return f"was ended: it started more than {limits.processes} processes"
    if code == SETUP_EXIT:
        return "could not be set up"
    number = code - 128 if code > 128 else -code
    if number in (signal.SIGXCPU, signal.SIGKILL) and code > 128:
        return f"was ended: it used more than {limits.cpu_s} s of processor time" if number == signal.SIGXCPU else "was killed"
    if 0 < number < 65:
        try:
            return f"crashed with signal {signal.Signals(number).name}"
        except ValueError:
            return f"crashed with signal {number}"
    return f"ended itself with code {code}"


def _end(child: subprocess.Popen[bytes], lifeline: int, descriptors: tuple[int, ...], private: str, owner: int) -> None:
    """Close the lifeline: the supervisor ends the rest. A forked copy of the auditor only lets go."""
    for descriptor in (lifeline, *descriptors):
        with contextlib.suppress(OSError):
            os.close(descriptor)
    if os.getpid() != owner:
        return
    try:
        child.wait(timeout=END_WITHIN_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    _remove(private)


def _remove(private: str) -> None:
    """The private folder, although the copy of a model in it is read-only."""
    for parent, _, _ in os.walk(private):
        with contextlib.suppress(OSError):
            os.chmod(parent, 0o700)
    shutil.rmtree(private, ignore_errors=True)
