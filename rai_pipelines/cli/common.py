"""What the verbs share: exit codes, output as JSON or for people, opening the auditor."""

from __future__ import annotations

import json
import sys
import unicodedata
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console

from rai_pipelines.errors import DocumentError, RaiError
from rai_pipelines.policy.verdict import Verdict, VerdictStatus

EXIT_COMPLIANT, EXIT_NON_COMPLIANT, EXIT_NEEDS_REVIEW, EXIT_COULD_NOT = 0, 1, 2, 3

STYLES = {
    "compliant": "bold green",
    "needs_review": "bold yellow",
    "non_compliant": "bold red",
    "pass": "green",
    "fail": "bold red",
    "missing": "bold red",
    "error": "bold red",
    "inconclusive": "yellow",
    "not_applicable": "dim",
    "not_in_force": "dim",
    "waived": "yellow",
}

PIPE_WIDTH = 120  # where there is no terminal to ask

out = Console(soft_wrap=False, highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
err = Console(stderr=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def exit_code_of(verdict: Verdict) -> int:
    """0 compliant, 1 non-compliant, 2 needs review, 3 when nothing could be measured at all."""
    if not verdict.could_audit:
        return EXIT_COULD_NOT
    codes = {
        VerdictStatus.COMPLIANT: EXIT_COMPLIANT,
        VerdictStatus.NON_COMPLIANT: EXIT_NON_COMPLIANT,
        VerdictStatus.NEEDS_REVIEW: EXIT_NEEDS_REVIEW,
    }
    return codes[verdict.status]


def print_json(content: Any) -> None:
    """JSON to standard output, whole and uncoloured."""
    plain = content.model_dump(mode="json", by_alias=True) if isinstance(content, BaseModel) else content
    speaks_unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    sys.stdout.write(json.dumps(plain, indent=2, ensure_ascii=not speaks_unicode) + "\n")


def print_problem(error: RaiError) -> None:
    """An error for a person, to standard error: one line, or for a document one line a problem."""
    lines = error.problems if isinstance(error, DocumentError) and error.problems else (str(error),)
    for line in lines:
        err.print("error:", printable(line), style="red", markup=False, soft_wrap=True)


def printable(text: str) -> str:
    """`text` on one line, with the characters that steer a terminal (escape sequences, reversed writing) shown as escapes.

    Names of columns and groups come out of data; they must not be able to repaint what a person reads.
    """
    flat = " ".join(text.splitlines())
    return "".join(char.encode("unicode_escape").decode() if unicodedata.category(char) in _STEERING else char for char in flat)


_STEERING = frozenset({"Cc", "Cf", "Cs"})  # control, format, surrogate
