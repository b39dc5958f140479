"""The `rai` command: assembles the verbs and turns errors into one line and an exit code."""

from __future__ import annotations

import os
import sys
import traceback

import typer

from rai_pipelines.cli.common import EXIT_COULD_NOT, print_problem
from rai_pipelines.errors import RaiError


def main() -> None:
    """Entry point of `rai`.

    Whatever ends a command without an answer ends it with 3: 1 and 2 are answers, which a pipeline acts on.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    try:
        app()
    except RaiError as error:
        print_problem(error)
    except OSError as error:
        print_problem(RaiError(error.strerror or type(error).__name__, where=str(error.filename) if error.filename else None))
    except Exception:
        traceback.print_exc()
    else:
        return
    sys.exit(EXIT_COULD_NOT)


def build_app() -> typer.Typer:
    """The command with all its verbs."""
    from rai_pipelines.cli import (
        audits,
        cases,
        datasheets,
        demo,
        explain,
        gate,
        ledger,
        measure,
        operate,
        policy,
        retention,
        review,
        suites,
        webhooks,
    )

    made = typer.Typer(
        name="rai",
        help="Continuous responsible-AI audits of registered models.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    demo.register(made)
    audits.register(made)
    explain.register(made)
    policy.register(made)
    datasheets.register(made)
    suites.register(made)
    measure.register(made)
    operate.register(made)
    ledger.register(made)
    review.register(made)
    cases.register(made)
    gate.register(made)
    retention.register(made)
    webhooks.register(made)
    return made


app = build_app()
