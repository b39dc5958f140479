"""Verbs that rehearse a policy on what is stored: replay, calibrate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rai_pipelines.cli.common import EXIT_NON_COMPLIANT, STYLES, AsJson, err, out, print_json, printable

if TYPE_CHECKING:
    from rai_pipelines.policy.rehearsal.replay import Replay

New = Annotated[str, typer.Argument(help="The proposed policy: a file, a published ID@VERSION, shipped, or in-force.")]
Versions = Annotated[list[str] | None, typer.Argument(metavar="[NAME/VERSION]...", help="Model versions, where not all are meant.")]


def register(group: typer.Typer) -> None:
    """Add the verbs to `rai policy`."""
    group.command()(replay)


def replay(
    new: New,
    versions: Versions = None,
    all_live: Annotated[bool, typer.Option("--all-live", help="Every version in use; the registry is asked.")] = False,
    all_stored: Annotated[
        bool, typer.Option("--all-stored", help="Every version ever audited, as its newest audit found it; the registry is not asked.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Judge by a proposed policy on stored evidence alone: who would fail? Exit codes: 0 no verdict gets worse, 1 one does."""
    from rai_pipelines.audit import build_auditor
    from rai_pipelines.policy.load import named_policy
    from rai_pipelines.policy_life.replay import replay_live, replay_stored, replay_versions
    from rai_pipelines.settings import load_settings
    from rai_pipelines.subjects.names import ModelVersion

    if sum((bool(versions), all_live, all_stored)) != 1:
        raise typer.BadParameter("name model versions, or give one of --all-live and --all-stored", param_hint="NAME/VERSION")
    settings = load_settings()
    policy, auditor = named_policy(new, settings), build_auditor(settings)
    if versions:
        found = replay_versions(auditor, policy, [ModelVersion.parse(text) for text in versions])
    else:
        found = replay_live(auditor, policy) if all_live else replay_stored(auditor, policy)
    if as_json:
        print_json(found)
    else:
        _print_replay(found)
    if found.worse:
        raise typer.Exit(EXIT_NON_COMPLIANT)


def _print_replay(found: Replay) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{found.policy} on stored evidence, {found.day}", box=None, title_justify="left")
    for column in ("version", "verdict now", "under this policy", "controls that come out otherwise"):
        table.add_column(column, overflow="fold")
    for item in found.versions:
        now = item.old.value if item.old is not None else "never judged"
        flips = "; ".join(f"{flip.control} {flip.old.value if flip.old else '–'} → {flip.new.value if flip.new else '–'}" for flip in item.flips)
        name = Text(printable(f"{item.model_name}/{item.model_version}"))
        table.add_row(name, Text(now, style=STYLES.get(now, "dim")), Text(item.new.value, style=STYLES[item.new.value]), Text(flips or "none"))
    out.print(table)
    for item in found.versions:
        about = printable(f"{item.model_name}/{item.model_version}")
        for flip in item.flips:
            out.print(f"{about} {flip.control}: {printable(flip.reason)}", markup=False, soft_wrap=True)
        if item.absent:
            words = f"{about}: no stored evidence from {', '.join(item.absent)} about today's model and datasheet; it reads missing"
            err.print(printable(words), style="yellow", markup=False, soft_wrap=True)
        for caveat in item.caveats:
            err.print(printable(f"{about}: {caveat}"), style="yellow", markup=False, soft_wrap=True)
    out.print(f"{len(found.versions)} versions: {found.worse} get worse, {found.better} better", markup=False)
