"""Run `rai` through its entry point, as a terminal does, and read what it printed and how it ended."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rai_pipelines.cli.app import main


@dataclass(frozen=True)
class Ended:
    """What one command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document and nothing else."""
        return json.loads(self.out)

    def could_not(self) -> str:
        """The only line on standard error of a command that ended in 3 with nothing on standard output."""
        assert (self.code, self.out) == (3, ""), self
        (line,) = self.err.splitlines()
        assert line.startswith("error: ")
        return line


Rai = Callable[..., Ended]


@pytest.fixture
def rai(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Rai:
    """`rai(*arguments)`: in an empty folder, with an empty home in it."""
    monkeypatch.setenv("RAI_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["rai", *arguments])
        capsys.readouterr()
        code: int | str | None = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        return Ended(int(code or 0), printed.out, printed.err)

    return run
