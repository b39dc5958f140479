"""Verbs about what a policy says: check, show, coverage, explain, diff, publish."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten
from typing import Annotated

import typer

from rai_pipelines.cli.common import EXIT_NON_COMPLIANT, AsJson, out, print_json, print_problem, printable
from rai_pipelines.cli.outputs import CheckOutput, PolicyOutput
from rai_pipelines.cli.signing import As, KeyFile, Meaning, Role
from rai_pipelines.errors import PolicyError

PolicyFile = Annotated[Path | None, typer.Argument(help="Policy file; left out: the policy in force.")]
NamedPolicy = Annotated[str, typer.Argument(help="A policy file, a published ID@VERSION, shipped, or in-force.")]
SHOWN = 80  # characters of a value; --json has all of them
STATES = {"measured": "green", "declared": "cyan", "not_in_force": "dim", "missing": "bold red"}
EFFECTS = {"stricter": "green", "looser": "bold red", "other": "yellow"}


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    from rai_pipelines.cli import rehearsal

    group = typer.Typer(help="The policy as a machine-readable contract.", no_args_is_help=True)
    for verb in (check, show, coverage, explain, diff, publish):
        group.command()(verb)
    rehearsal.register(group)
    app.add_typer(group, name="policy")


def check(file: PolicyFile = None, as_json: AsJson = False) -> None:
    """Check a policy file; names file, line, field and allowed values of every problem. Exit codes: 0 usable, 1 not."""
    from rai_pipelines.policy.load import read_policy
    from rai_pipelines.settings import load_settings

    settings = load_settings()
    try:
        policy = read_policy(file or settings.policy_file, published=settings.policies_path)
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
        for base in policy.extends:
            out.print(f"extends {base.policy}, digest {base.digest}", markup=False, soft_wrap=True)
        if empty:
            out.print(f"Cells without any control: {', '.join(empty)}", style="yellow", markup=False, soft_wrap=True)


def show(file: PolicyFile = None, as_json: AsJson = False) -> None:
    """Show the controls of a policy and which of them are in force today."""
    from rich.table import Table
    from rich.text import Text

    from rai_pipelines.clock import utc_today
    from rai_pipelines.policy.load import read_policy
    from rai_pipelines.settings import load_settings

    settings = load_settings()
    policy = read_policy(file or settings.policy_file, published=settings.policies_path)
    if as_json:
        in_force = tuple(control.id for control in policy.on(utc_today()) if control.in_force(utc_today()))
        print_json(PolicyOutput(policy=policy, digest=policy.digest, in_force=in_force))
        return
    table = Table(title=f"{policy.label}  {policy.digest}", box=None, title_justify="left")
    for column in ("control", "area", "tier", "in force", "severity", "statement", "threshold comes from"):
        table.add_column(column, overflow="fold")
    for control in policy.on(utc_today()):
        force = "yes" if control.in_force(utc_today()) else (f"from {control.effective_from}" if control.effective_from else "no date")
        table.add_row(
            control.id,
            control.area.value,
            control.tier.value,
            Text(force, style="green" if force == "yes" else "dim"),
            control.severity.value,
            Text(printable(control.statement)),
            Text(printable(f"{control.provenance.kind}: {control.provenance.source}")),
        )
    out.print(table)


def coverage(file: PolicyFile = None, as_json: AsJson = False) -> None:
    """Show for each of the 21 cells whether it is measured, declared, not in force, or missing. Exit codes: 0 no cell is missing, 1 one is."""
    from rich.table import Table
    from rich.text import Text

    from rai_pipelines.clock import utc_today
    from rai_pipelines.policy.load import read_policy
    from rai_pipelines.policy.rehearsal.coverage import CellState
    from rai_pipelines.policy.rehearsal.coverage import coverage as cover
    from rai_pipelines.settings import load_settings

    settings = load_settings()
    found = cover(read_policy(file or settings.policy_file, published=settings.policies_path), utc_today())
    if as_json:
        print_json(found)
    else:
        table = Table(title=f"{found.policy} on {found.day}", box=None, title_justify="left")
        for column in ("area", "tier", "cell", "controls"):
            table.add_column(column, overflow="fold")
        for cell in found.cells:
            words = "; ".join(
                f"{item.control} {item.state.value.replace('_', ' ')}" + (f" ({item.why})" if item.why else "") for item in cell.controls
            )
            style = STATES[cell.state.value]
            shown = Text(cell.state.value.replace("_", " "), style=style)
            table.add_row(cell.area.value, cell.tier.value, shown, Text(printable(words or "no control")))
        out.print(table)
        out.print(", ".join(f"{number} {state.value.replace('_', ' ')}" for state, number in found.counts.items()), markup=False)
    if found.counts[CellState.MISSING]:
        raise typer.Exit(EXIT_NON_COMPLIANT)


def explain(
    control: Annotated[str, typer.Argument(help="For instance FAIR-S.")],
    file: Annotated[str, typer.Option("--policy", help="A policy file, ID@VERSION, shipped, or in-force.")] = "in-force",
    as_json: AsJson = False,
) -> None:
    """Explain a control: what it asks, why, from where, which evidence, how it is judged, and what to do if it is red."""
    from rai_pipelines.clock import utc_today
    from rai_pipelines.policy.load import named_policy
    from rai_pipelines.policy.rehearsal.explanation import explain_control
    from rai_pipelines.settings import load_settings

    found = explain_control(named_policy(file, load_settings()), control, utc_today())
    if as_json:
        print_json(found)
        return
    lines = [
        (found.control, found.asks),
        ("policy", f"{found.policy} {found.policy_digest}"),
        ("asked of", f"{found.asked_of} (area {found.area}, tier {found.tier})"),
        ("in force", found.in_force),
        *((("waived", found.waiver),) if found.waiver else ()),
        ("why", "; ".join(found.why) or "no reference is given"),
        *(
            (
                "threshold",
                f"{item.name} {item.value} ({item.stricter}); {item.source.kind}, {item.source.date}, {item.source.confidence} confidence: "
                f"{item.source.source}" + (f". {item.source.note}" if item.source.note else ""),
            )
            for item in found.thresholds
        ),
        ("evidence", f"{', '.join(found.evidence)}; rests on {found.rests_on}"),
        ("judged", found.judged),
        ("if not met", found.consequence),
        ("if red", found.if_red),
    ]
    for name, text in lines:
        out.print(f"{name:<11} {printable(text)}", markup=False, soft_wrap=True)


def diff(old: NamedPolicy, new: NamedPolicy, as_json: AsJson = False) -> None:
    """Tell what changes from one policy to another, and whether it is stricter or looser. Exit codes: 0 nothing is looser, 1 something is."""
    from rich.table import Table
    from rich.text import Text

    from rai_pipelines.policy.load import named_policy
    from rai_pipelines.policy.rehearsal.difference import difference
    from rai_pipelines.settings import load_settings

    settings = load_settings()
    found = difference(named_policy(old, settings), named_policy(new, settings))
    if as_json:
        print_json(found)
    else:
        title = f"{found.old} → {found.new}: {found.stricter} stricter, {found.looser} looser, {found.other} other"
        table = Table(title=title, box=None, title_justify="left")
        for column in ("about", "field", "old", "new", "effect"):
            table.add_column(column, overflow="fold")
        for change in found.changes:
            effect = Text(change.effect, style=EFFECTS[change.effect]) if change.decides else Text("wording", style="dim")
            told = [Text(shorten(printable("–" if value is None else str(value)), SHOWN)) for value in (change.old, change.new)]
            table.add_row(change.about, Text(change.field), *told, effect)
        out.print(table)
    if found.looser:
        raise typer.Exit(EXIT_NON_COMPLIANT)


def publish(person: As, meaning: Meaning, file: PolicyFile = None, role: Role = None, key: KeyFile = None, as_json: AsJson = False) -> None:
    """Publish a version, signed: ID@VERSION is pinned to its digest for ever; a file that says otherwise is refused from then on.

    Once anything was published here, nothing is approved under a policy that was not.
    """
    from rai_pipelines.governance.decisions.signer import Signer
    from rai_pipelines.governance.decisions.statement import words_of
    from rai_pipelines.policy.load import read_policy
    from rai_pipelines.policy_life.publication import publish_policy
    from rai_pipelines.settings import load_settings

    settings = load_settings()
    policy = read_policy(file or settings.policy_file, published=settings.policies_path)
    made = publish_policy(policy, settings, Signer(person, role, key), words_of(meaning))
    if as_json:
        print_json(made)
    else:
        words = f"published by {made.person} as {made.role}" if made.new else f"was published already, on {made.published_at[:10]}"
        out.print(printable(f"{made.policy} {words}: {made.digest}"), markup=False, soft_wrap=True)
