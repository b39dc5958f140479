"""Verbs about the policy: check, show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rai_pipelines.cli.common import EXIT_NON_COMPLIANT, AsJson, out, print_json, print_problem
from rai_pipelines.cli.outputs import CheckOutput, PolicyOutput
from rai_pipelines.errors import PolicyError

PolicyFile = Annotated[Path | None, typer.Argument(help="Policy file; left out: the policy in force.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    group = typer.Typer(help="The policy as a machine-readable contract.", no_args_is_help=True)
    group.command()(check)
    group.command()(show)
    app.add_typer(group, name="policy")


def check(file: PolicyFile = None, as_json: AsJson = False) -> None:
    """Check a policy file; names file, line, field and allowed values of every problem. Exit codes: 0 usable, 1 not."""
    from rai_pipelines.policy.load import read_policy
    from rai_pipelines.settings import load_settings

    try:
        policy = read_policy(file or load_settings().policy_file)
    except PolicyError as error:
        if as_json:
            print_json(CheckOutput(usable=False, problems=error.problems or (str(error),)))
        else:
            print_problem(error)
        raise typer.Exit(EXIT_NON_COMPLIANT) from None
    empty = [f"{area.value}/{tier.value}" for area, tier in policy.cells_without_control()]
    if as_json:
        print_json(CheckOutput(usable=True, about=policy.label, digest=policy.digest, cells_without_control=tuple(empty)))
    else:
        out.print(f"{policy.label} is usable: {len(policy.controls)} controls, digest {policy.digest}", markup=False, soft_wrap=True)
        if empty:
            out.print(f"Cells without any control: {', '.join(empty)}", style="yellow", markup=False, soft_wrap=True)


def show(file: PolicyFile = None, as_json: AsJson = False) -> None:
    """Show the controls of a policy and which of them are in force today."""
    from rich.table import Table
    from rich.text import Text

    from rai_pipelines.clock import utc_today
    from rai_pipelines.policy.load import read_policy
    from rai_pipelines.settings import load_settings

    policy = read_policy(file or load_settings().policy_file)
    if as_json:
        in_force = tuple(control.id for control in policy.controls if control.in_force(utc_today()))
        print_json(PolicyOutput(policy=policy, digest=policy.digest, in_force=in_force))
        return
    table = Table(title=f"{policy.label}  {policy.digest}", box=None, title_justify="left")
    for column in ("control", "area", "tier", "in force", "severity", "statement", "threshold comes from"):
        table.add_column(column, overflow="fold")
    for control in policy.controls:
        force = "yes" if control.in_force(utc_today()) else (f"from {control.effective_from}" if control.effective_from else "no date")
        table.add_row(
            control.id,
            control.area.value,
            control.tier.value,
            Text(force, style="green" if force == "yes" else "dim"),
            control.severity.value,
            Text(control.statement),
            Text(f"{control.provenance.kind}: {control.provenance.source}"),
        )
    out.print(table)
