"""Verbs of the review desk: rai review, rai waive, rai waiver, rai round."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rai_pipelines.cli.common import AsJson, err, out, print_json, printable
from rai_pipelines.cli.outputs import DeskOutput, ReviewOutput, RoundOutput, WaiverOutput
from rai_pipelines.cli.signing import As, KeyFile, Meaning, Role

if TYPE_CHECKING:
    from rai_pipelines.governance.decisions.signer import Signer
    from rai_pipelines.governance.decisions.waivers import WaiverStanding
    from rai_pipelines.governance.gate.record import GateRecord

Version = Annotated[str, typer.Argument(metavar="NAME/VERSION", help="Registered model and version; the last slash divides them.")]
Conditions = Annotated[list[str] | None, typer.Option("--condition", help="What you ask for with it; may be given again.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, in a sentence or more.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    desk = typer.Typer(help="Decide about model versions: look, approve, reject, comment, revoke, review.", no_args_is_help=True)
    desk.command("list")(list_desk)
    desk.command("show")(show)
    for verb in (approve, reject, comment, revoke, sign):
        desk.command(verb.__name__)(verb)
    waivers = typer.Typer(help="Exceptions: proposed by rai waive, signed by a quorum, ended by their day.", no_args_is_help=True)
    waivers.command("list")(list_waivers)
    waivers.command("sign")(sign_waiver)
    app.add_typer(desk, name="review")
    app.add_typer(waivers, name="waiver")
    app.command()(waive)
    app.command("round")(go)


def list_desk(
    states: Annotated[list[str] | None, typer.Option("--state", help="Only versions in this state; may be given again.")] = None,
    as_json: AsJson = False,
) -> None:
    """Versions at the gate: what waits for people before the rest, the longest first."""
    from rich.table import Table
    from rich.text import Text

    from rai_pipelines.desk import LISTED_AT_ONCE, queue
    from rai_pipelines.governance.gate.record import GateState

    allowed = [state.value for state in GateState]
    for state in states or ():
        if state not in allowed:
            raise typer.BadParameter(f"{state!r}; allowed: {', '.join(allowed)}", param_hint="--state")
    found = queue(_auditor(), [GateState(state) for state in states or ()])
    if len(found) == LISTED_AT_ONCE:
        err.print(f"These are the first {LISTED_AT_ONCE}; choose with --state", markup=False)
    if as_json:
        print_json([DeskOutput.of(item).model_dump(mode="json") for item in found])
        return
    table = Table(box=None, pad_edge=False)
    for column in ("version", "state", "since", "risk", "worst finding", "why"):
        table.add_column(column, overflow="fold")
    for item in found:
        cells = (str(item.version), item.state.value, f"{item.since:%Y-%m-%d %H:%M}", item.risk_class, item.severity, item.reason)
        table.add_row(*(Text(printable(cell)) for cell in cells))  # as text: brackets in a name are no markup, and do not vanish
    out.print(table) if found else out.print("Nothing at the gate")


def show(version: Version, as_json: AsJson = False) -> None:
    """Everything a reviewer has to see: state, what is in the way, digests, decisions with their words, waivers, who may not decide."""
    from rai_pipelines.desk import show as look
    from rai_pipelines.subjects.names import ModelVersion

    shown = ReviewOutput.of(look(_auditor(), ModelVersion.parse(version)))
    if as_json:
        print_json(shown)
        return
    lines = [
        f"{version}: {shown.state}, since {shown.since}",
        shown.reason,
        f"Verdict after waivers: {shown.effective_verdict}",
        f"Policy: {shown.policy} ({shown.policy_status})",
    ]
    lines += [f"  in the way: {reason}" for reason in shown.in_the_way]
    lines += [f"  {item.made_on} {item.kind} by {item.person}{f' as {item.role}' if item.role else ''}: {item.meaning}" for item in shown.decisions]
    lines += [f"    on condition: {condition}" for item in shown.decisions for condition in item.conditions]
    lines += [f"  waiver {item.id[7:19]} of {item.control} until {item.until}: {item.problem or 'in effect'}" for item in shown.waivers]
    lines += [f"Cannot decide: {', '.join(shown.excluded) or 'nobody known'}", f"What is signed: {shown.binding_digest}"]
    lines += [f"  {name} {digest}" for name, digest in shown.digests.items()]
    for line in lines:
        out.print(printable(line), markup=False, soft_wrap=True)


def approve(version: Version, person: As, meaning: Meaning, role: Role = None, key: KeyFile = None, condition: Conditions = None) -> None:
    """Approve a version as it stands at the gate."""
    _decide("approve", version, _signer(person, role, key), meaning, condition)


def reject(version: Version, person: As, meaning: Meaning, role: Role = None, key: KeyFile = None, condition: Conditions = None) -> None:
    """Reject a version as it stands at the gate; approvals do not outweigh it."""
    _decide("reject", version, _signer(person, role, key), meaning, condition)


def comment(version: Version, person: As, meaning: Meaning, key: KeyFile = None, condition: Conditions = None) -> None:
    """Say something about a version for the record; it changes nothing."""
    _decide("comment", version, _signer(person, None, key), meaning, condition)


def revoke(version: Version, person: As, meaning: Meaning, key: KeyFile = None) -> None:
    """Take every approval of a version back; it has to be approved anew."""
    _decide("revoke", version, _signer(person, None, key), meaning, None)


def sign(
    version: Version,
    person: As,
    meaning: Meaning,
    kind: Annotated[str, typer.Option("--kind", help="training_data_bias, key_figures or owner_acknowledgement")],
    key: KeyFile = None,
) -> None:
    """Sign a review that the policy asks people for, and judge the version again with it."""
    from rai_pipelines.desk import review
    from rai_pipelines.governance.decisions.reviews import ReviewKind
    from rai_pipelines.governance.decisions.statement import words_of
    from rai_pipelines.subjects.names import ModelVersion

    if kind not in set(ReviewKind):
        raise typer.BadParameter(f"{kind!r}; allowed: {', '.join(ReviewKind)}", param_hint="--kind")
    _tell(review(_auditor(), ModelVersion.parse(version), ReviewKind(kind), _signer(person, None, key), words_of(meaning)))


def waive(
    control: Annotated[str, typer.Argument(help="Control of the policy, for instance DATA-B.")],
    scope: Annotated[str, typer.Option("--scope", help="NAME/VERSION, or NAME/* for every version of the model.")],
    until: Annotated[datetime, typer.Option("--until", formats=["%Y-%m-%d"], help="Last day on which it counts.")],
    person: As,
    reason: Reason,
    role: Role = None,
    key: KeyFile = None,
) -> None:
    """Propose an exception and sign it first; it counts when the policy's quorum has signed, and ends by itself."""
    from rai_pipelines.desk import Wish, propose_waiver
    from rai_pipelines.governance.decisions.statement import words_of
    from rai_pipelines.subjects.names import ModelVersion

    covered = ModelVersion.parse(scope)
    wish = Wish(control, covered.name, None if covered.version == "*" else covered.version, until.date())
    _tell_waiver(propose_waiver(_auditor(), wish, _signer(person, role, key), words_of(reason)))


def sign_waiver(
    waiver: Annotated[str, typer.Argument(help="Digest of the waiver, or its beginning.")],
    person: As,
    meaning: Meaning,
    role: Role = None,
    key: KeyFile = None,
) -> None:
    """Sign an exception that somebody proposed."""
    from rai_pipelines.desk import find_waiver
    from rai_pipelines.desk import sign_waiver as sign_it
    from rai_pipelines.governance.decisions.statement import words_of

    auditor = _auditor()
    _tell_waiver(sign_it(auditor, find_waiver(auditor, waiver), _signer(person, role, key), words_of(meaning)))


def list_waivers(as_json: AsJson = False) -> None:
    """Every exception, and what it is worth today."""
    from rai_pipelines.desk import all_waivers

    found = [WaiverOutput.of(item) for item in all_waivers(_auditor())]
    if as_json:
        print_json([item.model_dump(mode="json") for item in found])
        return
    for item in found:
        scope = f"{item.model_name}/{item.model_version or '*'}"
        out.print(
            printable(f"{item.id[7:19]} {item.control} {scope} until {item.until}: {item.problem or 'in effect'}"), markup=False, soft_wrap=True
        )
    if not found:
        out.print("No waivers")


def go(as_json: AsJson = False) -> None:
    """Do what a daemon does every half minute: end what has expired, look for bypasses, tell others what they have still to be told.

    Exit codes: 0 done, 1 something could not be done and is tried again next time.
    """
    from rai_pipelines.rounds import go_round

    report = RoundOutput.of(go_round(_auditor()))
    if as_json:
        print_json(report)
    else:
        for what in ("moved", "bypasses", "escalated", "cases_moved", "problems"):
            for item in getattr(report, what):
                out.print(printable(f"{what.replace('_', ' ')}: {item}"), markup=False, soft_wrap=True)
        out.print(f"{report.delivered} told, {len(report.problems)} to be tried again")
    if report.problems:
        raise typer.Exit(1)


def _decide(kind: str, version: str, signer: Signer, meaning: str, conditions: list[str] | None) -> None:
    from rai_pipelines.desk import decide
    from rai_pipelines.governance.decisions.statement import DecisionKind, words_of
    from rai_pipelines.subjects.names import ModelVersion

    words = words_of(meaning, conditions or ())
    _tell(decide(_auditor(), ModelVersion.parse(version), DecisionKind(kind), signer, words))


def _tell(record: GateRecord) -> None:
    out.print(printable(f"{record.model_name}/{record.model_version}: {record.state.value}. {record.reason}"), markup=False, soft_wrap=True)


def _tell_waiver(found: WaiverStanding) -> None:
    text = f"Waiver {found.waiver.digest[7:19]} of {found.waiver.control}: {found.problem or 'in effect until ' + found.waiver.until.isoformat()}"
    out.print(printable(text), markup=False, soft_wrap=True)


def _signer(person: str, role: str | None, key: Path | None) -> Signer:
    from rai_pipelines.governance.decisions.signer import Signer

    return Signer(person, role, key)


def _auditor() -> Any:
    from rai_pipelines.audit import build_auditor
    from rai_pipelines.settings import load_settings

    return build_auditor(load_settings())
