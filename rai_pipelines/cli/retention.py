"""Verbs about what is kept for how long: rai retention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from rai_pipelines.cli.common import err, out, printable

if TYPE_CHECKING:
    from rai_pipelines.governance.retention import Keeper

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Name of a registered model, or * for everything.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    group = typer.Typer(help="Keep records as long as they must be kept; delete what may go.", no_args_is_help=True)
    for verb in (show, hold, lift, delete):
        group.command(verb.__name__)(verb)
    app.add_typer(group, name="retention")


def show() -> None:
    """What may be deleted, and what is held."""
    with _keeper() as keeper:
        for kind in ("document", "log"):
            out.print(f"{kind}s from before {keeper.last_day(kind):%Y-%m-%d} may be deleted")
        for model, reason in keeper.holds().items():
            out.print(printable(f"held: {model}: {reason}"), markup=False, soft_wrap=True)


def hold(model: Model, reason: Annotated[str, typer.Option("--reason", help="Why, for instance the number of the proceedings.")]) -> None:
    """Let nothing about a model be deleted."""
    with _keeper() as keeper:
        keeper.hold(model, reason)
        known = keeper.knows(model)
    out.print(printable(f"{model} is held"), markup=False)
    if not known:
        err.print(printable(f"Nothing is kept about a model of the name {model!r} yet; look whether it is written as in the registry"), markup=False)


def lift(model: Model) -> None:
    """End the hold of a model."""
    with _keeper() as keeper:
        keeper.lift(model)
    out.print(printable(f"{model} is no longer held"), markup=False)


def delete(
    kind: Annotated[str, typer.Argument(help="document or log")],
    before: Annotated[datetime | None, typer.Option("--before", formats=["%Y-%m-%d"], help="Only older ones; left out: all that may go.")] = None,
) -> None:
    """Delete records that are older than they have to be kept; the ledger says how many."""
    if kind not in ("document", "log"):
        raise typer.BadParameter(f"{kind!r}; allowed: document, log", param_hint="KIND")
    with _keeper() as keeper:
        gone = keeper.delete(cast(Literal["document", "log"], kind), before=None if before is None else before.replace(tzinfo=UTC))
    out.print(f"{gone.receipts} receipts, {gone.objects} objects, the words of {gone.words} decisions and {gone.messages} messages are deleted")


@contextmanager
def _keeper() -> Iterator[Keeper]:
    from rai_pipelines.audit import build_auditor
    from rai_pipelines.governance.retention import Keeper
    from rai_pipelines.release import open_gatekeeper
    from rai_pipelines.settings import load_settings

    auditor = build_auditor(load_settings())
    with open_gatekeeper(auditor) as gate:
        yield Keeper(gate.engine, auditor.store, auditor.policy.retention, gate.clock)
