"""Models that behave badly, each in one way. `write_pickle` keeps their code by value, so the confined process needs no test module."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np


def write_pickle(folder: Path, model: Any) -> Path:
    """`folder` with `model` in it, its class included."""
    module = sys.modules[type(model).__module__]
    cloudpickle.register_pickle_by_value(module)
    try:
        content = cloudpickle.dumps(model)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.pkl").write_bytes(content)
    return folder


class Model:
    """Answers 1 for every row, unless a subclass does worse."""

    def predict(self, frame: Any) -> Any:
        self.misbehave(len(frame))
        return np.ones(len(frame), dtype=np.int64)

    def misbehave(self, rows: int) -> None:
        pass


class Says(Model):
    """Raises the text that `find` returns: the way out for what a model sees inside."""

    def misbehave(self, rows: int) -> None:
        raise RuntimeError(self.find().translate(str.maketrans("'\"`", "|||")))  # of what is quoted nothing would be told

    def find(self) -> str:
        raise NotImplementedError


class Hangs(Model):
    def misbehave(self, rows: int) -> None:
        import time

        time.sleep(1000)


class HangsDeaf(Model):
    """Ignores every signal that can be ignored, and leaves a child behind."""

    def misbehave(self, rows: int) -> None:
        import os
        import signal
        import time

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        if os.fork() == 0:
            os.setsid()
        time.sleep(1000)


class Spins(Model):
    def misbehave(self, rows: int) -> None:
        while True:
            pass


class Crashes(Model):
    def misbehave(self, rows: int) -> None:
        import ctypes

        ctypes.string_at(0)


class CrashesFirst(Model):
    """Crashes on fewer than 10 rows only."""

    def misbehave(self, rows: int) -> None:
        import ctypes

        if rows < 10:
            ctypes.string_at(0)


class Exits(Model):
    def misbehave(self, rows: int) -> None:
        import os
        import sys

        sys.stderr.write("last words\x1b[31m\nsecond line\n")
        sys.stderr.flush()
        os._exit(7)


class Forks(Model):
    """Forks without end; says how many it got."""

    def misbehave(self, rows: int) -> None:
        import os
        import time

        made = 0
        try:
            while made < 5000:
                if os.fork() == 0:
                    time.sleep(1000)
                made += 1
        except OSError as error:
            raise RuntimeError(f"made {made} ({error.strerror})") from None


class Prints(Model):
    """Prints 200 MB before it answers."""

    def misbehave(self, rows: int) -> None:
        import os

        line = b"x" * 2**20
        for _ in range(100):
            os.write(1, line)
            os.write(2, line)


class FillsTheDisk(Says):
    def find(self) -> str:
        made = 0
        try:
            for number in range(64):
                with open(f"/tmp/filler-{number}", "wb") as file:
                    for _ in range(64):
                        file.write(b"x" * 2**20)
                        file.flush()
                        made += 1
        except OSError as error:
            return f"wrote {made} MB ({error.strerror})"
        return f"wrote {made} MB"


class Allocates(Model):
    def misbehave(self, rows: int) -> None:
        kept = []
        while True:
            kept.append(bytearray(2**26))


class AllocatesInChildren(Model):
    """Each process stays below the limit; together they do not."""

    def misbehave(self, rows: int) -> None:
        import os
        import time

        for _ in range(8):
            if os.fork() == 0:
                kept = bytearray(300 * 2**20)
                for place in range(0, len(kept), 4096):
                    kept[place] = 1
                time.sleep(1000)
        time.sleep(1000)


class AnswersNothing(Model):
    def predict(self, frame: Any) -> Any:
        return np.full(len(frame), np.nan)


class AnswersTooMuch(Model):
    def predict(self, frame: Any) -> Any:
        return np.ones((len(frame), 3))


class Connects(Says):
    def __init__(self, port: int) -> None:
        self.port = port

    def find(self) -> str:
        import socket

        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=2).close()
        except OSError as error:
            return f"no connection ({type(error).__name__}, {error.strerror})"
        return "connected"


class ReadsEnvironment(Says):
    def find(self) -> str:
        import os
        from pathlib import Path

        found = dict(os.environ)
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    found[entry.name] = (entry / "environ").read_text()
                except OSError:
                    continue
        return " ".join(sorted(found)) + " " + " ".join(value for value in found.values())


class Writes(Says):
    """Tries to write to each place; says where it could."""

    def __init__(self, places: list[str]) -> None:
        self.places = places

    def find(self) -> str:
        import os

        done = []
        for place in self.places:
            try:
                os.makedirs(os.path.dirname(place), exist_ok=True)
                with open(place, "w") as file:
                    file.write("was here")
                done.append(place)
            except OSError:
                continue
        return f"wrote {done}"


class Reads(Says):
    """Tries to read each place; says which it could."""

    def __init__(self, places: list[str]) -> None:
        self.places = places

    def find(self) -> str:
        import os

        return f"sees {[place for place in self.places if os.path.exists(place)]}"


class SeesUsers(Says):
    def find(self) -> str:
        import os
        from pathlib import Path

        others = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        status = Path("/proc/self/status").read_text()
        rights = next(line for line in status.splitlines() if line.startswith("CapEff"))
        return f"user {os.getuid() != 0} processes {len(others)} {' '.join(rights.split())} {'NoNewPrivs:1' in status.replace(chr(9), '')}"


class Forges(Model):
    """Writes its own bytes to every open descriptor before it answers."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def misbehave(self, rows: int) -> None:
        import os

        for descriptor in range(3, 4096):  # the auditor may have many open, and numbers are kept
            try:
                os.write(descriptor, self.content)
            except OSError:
                continue


class Wavers(Model):
    """Changes its mind about some rows on every other call: those whose place, among the places of all rows, is a multiple of four."""

    calls = 0

    def predict(self, frame: Any) -> Any:
        self.calls += 1
        answer = np.zeros(len(frame), dtype=np.int64)
        answer[np.asarray(frame.index) % 4 == 0] = self.calls % 2
        return answer


class HangsWhenLoaded(Model):
    def __setstate__(self, state: Any) -> None:
        import time

        time.sleep(1000)

    def __reduce_ex__(self, protocol: Any) -> Any:
        import copyreg

        return copyreg.__newobj__, (type(self),), {"any": 1}


class PrintsForEver(Model):
    """Never gets to its answer for all that it prints."""

    def misbehave(self, rows: int) -> None:
        import os

        line = b"x" * 2**20
        while True:
            os.write(1, line)


class LacksALibrary(Model):
    def misbehave(self, rows: int) -> None:
        import a_library_that_nobody_has  # type: ignore[import-not-found]  # noqa: F401


class ScoresNothing(Model):
    """Decides, and gives NaN as every probability."""

    classes_ = np.array([0, 1])

    def predict_proba(self, frame: Any) -> Any:
        return np.full((len(frame), 2), np.nan)
