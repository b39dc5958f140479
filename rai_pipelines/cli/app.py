"""The `rai` command: assembles the verbs and turns errors into one line and an exit code."""

from __future__ import annotations

import os
import sys

import typer

from rai_pipelines.cli.common import EXIT_COULD_NOT, print_problem
from rai_pipelines.errors import RaiError


def main() -> None:
    """Entry point of `rai`."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    try:
        app()
    except RaiError as error:
        print_problem(error)
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
