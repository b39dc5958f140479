"""`rai demo`: three real model versions, from registration through the daemon's sensor to verdicts, cards and registry tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rai_pipelines.cli.common import STYLES, AsJson, err, out, print_json

if TYPE_CHECKING:
    from rai_pipelines.demo.story import DemoResult


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command()(demo)


def demo(
    timeout_s: Annotated[int, typer.Option("--timeout", min=30, help="Seconds until the audits must have ended.")] = 600,
    as_json: AsJson = False,
) -> None:
    """Train and register three versions on census data, let the sensor find them, and print their verdicts. Safe to repeat."""
    from rai_pipelines.demo.story import run_demo
    from rai_pipelines.settings import load_settings

    with err.status("Starting …") as status:

        def progress(text: str) -> None:
            err.print("·", text, markup=False)
            status.update(text)

        result = run_demo(load_settings(), on_progress=progress, timeout_s=timeout_s)
    if as_json:
        print_json(result)
    else:
        _print(result)
    raise typer.Exit(0 if result.complete else 3)


def _print(result: DemoResult) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"Verdicts under {result.policy}", title_justify="left", show_lines=True)
    table.add_column("version")
    table.add_column("verdict", no_wrap=True)
    table.add_column("why", overflow="fold")
    for item in result.versions:
        reasons = "\n".join(f"{number}. {reason}" for number, reason in enumerate(item.reasons, start=1)) or "nothing in the way"
        verdict = Text(item.verdict.replace("_", " "), style=STYLES.get(item.verdict, "bold"))
        table.add_row(Text(f"{item.name}/{item.version}\n{item.what}"), verdict, Text(reasons))
    out.print(table)
    for item in result.versions:
        out.print(f"Card of {item.name}/{item.version}: {item.card}", markup=False, soft_wrap=True)
        out.print(f"Technical documentation: {item.technical_documentation}", markup=False, soft_wrap=True)
    launched = f"{result.runs_launched} audit runs launched" if result.runs_launched else "no audit launched: every version is judged already"
    out.print(f"{launched}; {result.seconds:.0f} s. See them in the Dagster UI: make dev", markup=False)
