"""Verbs that hold a policy to what is stored: replay, calibrate, checklist, review."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rai_pipelines.cli.common import EXIT_NON_COMPLIANT, STYLES, AsJson, err, out, print_json, printable
from rai_pipelines.cli.signing import KeyFile, Role

if TYPE_CHECKING:
    from rai_pipelines.policy.rehearsal.replay import Replay
    from rai_pipelines.policy_life.calibration import Calibration, Share

SHOWN_VERSIONS = 40  # in text; --json has all of them

New = Annotated[str, typer.Argument(help="The proposed policy: a file, a published ID@VERSION, shipped, or in-force.")]
Versions = Annotated[list[str] | None, typer.Argument(metavar="[NAME/VERSION]...", help="Model versions, where not all are meant.")]


def register(group: typer.Typer) -> None:
    """Add the verbs to `rai policy`."""
    group.command()(replay)
    group.command()(calibrate)
    group.command()(checklist)
    group.command()(review)


def replay(
    new: New,
    versions: Versions = None,
    all_live: Annotated[bool, typer.Option("--all-live", help="Every version in use; the registry is asked.")] = False,
    all_stored: Annotated[
        bool, typer.Option("--all-stored", help="Every version ever audited, as its newest audit found it; the registry is not asked.")
    ] = False,
    whole_evidence: Annotated[
        bool, typer.Option("--whole-evidence", help="Read all evidence itself, not the excerpts beside the verdicts; takes longer.")
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
        found = replay_versions(auditor, policy, [ModelVersion.parse(text) for text in versions], whole_evidence=whole_evidence)
    else:
        found = (replay_live if all_live else replay_stored)(auditor, policy, whole_evidence=whole_evidence)
    if as_json:
        print_json(found)
    else:
        _print_replay(found)
    if found.worse:
        raise typer.Exit(EXIT_NON_COMPLIANT)


def calibrate(
    version: Annotated[str, typer.Argument(metavar="NAME/VERSION", help="Model version whose stored evidence is simulated from.")],
    *,
    file: Annotated[str, typer.Option("--policy", help="A policy file, ID@VERSION, shipped, or in-force.")] = "in-force",
    draws: Annotated[int, typer.Option(min=20, max=100_000, help="Simulated audits of each world.")] = 200,
    seed: Annotated[int | None, typer.Option(help="Start of every random draw; left out: RAI_SEED.")] = None,
    ratio: Annotated[
        float | None, typer.Option("--planted-ratio", min=0.01, max=10, help="Planted impact ratio; left out: 3/4 of the band's lower end.")
    ] = None,
    difference: Annotated[
        float | None, typer.Option("--planted-difference", min=0.001, max=1, help="Planted difference; left out: twice the largest allowed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Simulate how often thresholds err on a subject's data: flips between two audits of the same world, and power to find a planted disparity."""
    from rai_pipelines.audit import build_auditor
    from rai_pipelines.policy.load import named_policy
    from rai_pipelines.policy_life.calibration import calibrate_version
    from rai_pipelines.policy_life.simulated_groups import Planted
    from rai_pipelines.settings import load_settings
    from rai_pipelines.subjects.names import ModelVersion

    settings = load_settings()
    found = calibrate_version(
        build_auditor(settings),
        named_policy(file, settings),
        ModelVersion.parse(version),
        draws=draws,
        seed=settings.seed if seed is None else seed,
        planted=Planted(ratio, difference),
    )
    if as_json:
        print_json(found)
    else:
        _print_calibration(found)


def _print_calibration(found: Calibration) -> None:
    from rich.table import Table
    from rich.text import Text

    def told(share: Share | None) -> str:
        return "–" if share is None else f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"

    title = f"{found.policy} on {found.model_name}/{found.model_version}: {found.draws} simulated audits, seed {found.seed}"
    table = Table(title=Text(printable(title)), box=None, title_justify="left")
    for column in ("control", "threshold", "flips", "fails without cause", "planted", "found", "not simulated"):
        table.add_column(column, overflow="fold")
    for item in found.thresholds:
        name = item.threshold + (f" of {item.attribute}" if item.attribute else "")
        planted = "–" if item.planted is None else f"{item.planted:.3g} in {item.planted_in} (n={item.planted_n:,})"
        if item.detectable is not None:
            planted = f"80% find a true value of {item.detectable:.3g}"
        texts = (name, told(item.flip_rate), told(item.false_fail), planted, told(item.power), item.why_not or "")
        table.add_row(item.control, *(Text(printable(text)) for text in texts))
    out.print(table)
    for line in found.assumptions:
        out.print(f"Assumed: {line}", markup=False, soft_wrap=True)


def checklist(version: Annotated[str, typer.Argument(metavar="NAME/VERSION")], as_json: AsJson = False) -> None:
    """Print the pre-deployment checklist in Markdown: what evidence answers, what to mend, what a person must decide."""
    from rai_pipelines.audit import build_auditor
    from rai_pipelines.documents.checklist import build_checklist, render_checklist
    from rai_pipelines.errors import DatasheetError
    from rai_pipelines.release import require_verdict
    from rai_pipelines.settings import load_settings
    from rai_pipelines.subjects.names import ModelVersion

    subject, auditor = ModelVersion.parse(version), build_auditor(load_settings())
    verdict = require_verdict(auditor, subject)
    try:
        datasheet = auditor.context(subject).subject.datasheet
    except DatasheetError:
        datasheet = None
    found = build_checklist(verdict, auditor.policy, datasheet)
    if as_json:
        print_json(found)
    else:
        sys.stdout.write("".join(printable(line) + "\n" for line in render_checklist(found).splitlines()))


def review(
    record: Annotated[str | None, typer.Option(help="Sign that the newest document was read, and the outcome: kept or to_be_changed.")] = None,
    person: Annotated[str | None, typer.Option("--as", help="With --record, who you are: an identity in the people's file.")] = None,
    meaning: Annotated[str | None, typer.Option("--meaning", help="With --record, what your signature means, in a sentence.")] = None,
    role: Role = None,
    key: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Assemble the review document of the policy in force, or sign that it was read (which moves the day the next one is due by)."""
    from rai_pipelines.audit import build_auditor
    from rai_pipelines.governance.decisions.signer import Signer
    from rai_pipelines.governance.decisions.statement import words_of
    from rai_pipelines.policy.load import policy_in_force
    from rai_pipelines.policy_facts import RecordedFacts
    from rai_pipelines.policy_life.review import record_review, review_policy
    from rai_pipelines.settings import load_settings

    settings = load_settings()
    policy = policy_in_force(settings)
    if record is not None:
        if record not in ("kept", "to_be_changed"):
            raise typer.BadParameter(f"{record!r}; allowed: kept, to_be_changed", param_hint="--record")
        if person is None or meaning is None:
            raise typer.BadParameter("a review is signed: give --as and --meaning", param_hint="--record")
        made = record_review(policy, settings, "kept" if record == "kept" else "to_be_changed", Signer(person, role, key), words_of(meaning))
        if as_json:
            print_json(made)
        else:
            out.print(f"Review of {made.policy} on {made.reviewed_on}: {made.outcome.replace('_', ' ')}", markup=False, soft_wrap=True)
        return
    auditor = build_auditor(settings)
    document, paths = review_policy(policy, auditor.store, settings, RecordedFacts(auditor))
    if as_json:
        print_json(document)
    else:
        out.print(f"Due by {document.due_on}. Written: {paths['md']} and {paths['html']}", markup=False, soft_wrap=True)


def _print_replay(found: Replay) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{found.policy} on stored evidence, {found.day}", box=None, title_justify="left")
    for column in ("version", "verdict now", "under this policy", "controls that come out otherwise"):
        table.add_column(column, overflow="fold")
    ordered = sorted(found.versions, key=lambda item: not item.flips)  # those that come out otherwise first
    for item in ordered[:SHOWN_VERSIONS]:
        now = item.old.value if item.old is not None else "never judged"
        flips = "; ".join(f"{flip.control} {flip.old.value if flip.old else '–'} → {flip.new.value if flip.new else '–'}" for flip in item.flips)
        name = Text(printable(f"{item.model_name}/{item.model_version}"))
        table.add_row(name, Text(now, style=STYLES.get(now, "dim")), Text(item.new.value, style=STYLES[item.new.value]), Text(flips or "none"))
    out.print(table)
    for item in ordered[:SHOWN_VERSIONS]:
        about = printable(f"{item.model_name}/{item.model_version}")
        for flip in item.flips:
            out.print(f"{about} {flip.control}: {printable(flip.reason)}", markup=False, soft_wrap=True)
        if item.absent:
            words = f"{about}: no stored evidence from {', '.join(item.absent)} about today's model and datasheet; it reads missing"
            err.print(printable(words), style="yellow", markup=False, soft_wrap=True)
        for caveat in item.caveats:
            err.print(printable(f"{about}: {caveat}"), style="yellow", markup=False, soft_wrap=True)
    if len(found.versions) > SHOWN_VERSIONS:
        out.print(f"{len(found.versions) - SHOWN_VERSIONS:,} more versions are in --json", markup=False)
    for control, counts in found.flips.items():
        out.print(f"{control}: {', '.join(f'{name} in {number:,}' for name, number in counts.items())}", markup=False, soft_wrap=True)
    out.print(f"{len(found.versions):,} versions: {found.worse:,} get worse, {found.better:,} better", markup=False)
