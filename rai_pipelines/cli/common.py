"""What the verbs share: exit codes, output as JSON or for people, opening the auditor."""

from __future__ import annotations

import json
import sys
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
}

out = Console(soft_wrap=False, highlight=False)
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
    plain = content.model_dump(mode="json") if isinstance(content, BaseModel) else content
    sys.stdout.write(json.dumps(plain, indent=2, ensure_ascii=False) + "\n")


def print_problem(error: RaiError) -> None:
    """An error for a person, to standard error; a document's problems one a line."""
    lines = error.problems if isinstance(error, DocumentError) and error.problems else (str(error),)
    for line in lines:
        err.print("error:", line, style="red", markup=False)
