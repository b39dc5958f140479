"""Verbs about one model version: audit, verdict, card, technical documentation, evidence."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rai_pipelines.cli.common import EXIT_COULD_NOT, EXIT_NON_COMPLIANT, STYLES, AsJson, err, exit_code_of, out, print_json, printable
from rai_pipelines.cli.outputs import AuditOutput, VerdictOutput
from rai_pipelines.errors import EvidenceError
from rai_pipelines.policy.verdict import Verdict

Version = Annotated[str, typer.Argument(metavar="NAME/VERSION", help="Registered model and version; the last slash divides them.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    app.command()(audit)
    app.command()(verdict)
    app.command()(card)
    app.command(name="technical-documentation")(technical_documentation)
    app.command()(evidence)


def audit(version: Version, as_json: AsJson = False) -> None:
    """Audit one registered version now: measure, judge, write card and technical documentation, apply the gate.

    Exit codes: 0 compliant, 1 non-compliant, 2 needs review, 3 could not audit.
    """
    from rai_pipelines.audit import build_auditor
    from rai_pipelines.release import open_gate, write_model_card, write_technical_documentation
    from rai_pipelines.settings import load_settings
    from rai_pipelines.subjects.names import ModelVersion

    subject = ModelVersion.parse(version)
    auditor = build_auditor(load_settings())

    def progress(step: Any, evidence: Any) -> None:
        err.print(printable(f"  {step.title}: {evidence.status.value}" + (f" ({evidence.reason})" if evidence.reason else "")), markup=False)

    found = auditor.audit(subject, on_step=progress, on_progress=lambda asked: err.print(printable(f"    {asked}"), markup=False))
    gate = open_gate(auditor, subject)  # first: a document that cannot be written must not keep a worse verdict from the gate
    _, paths = write_model_card(auditor, subject)
    write_technical_documentation(auditor, subject)
    if as_json:
        print_json(AuditOutput(verdict=found, verdict_digest=found.digest, gate=gate))
    else:
        print_verdict(found)
        out.print(f"Gate: {gate.decision.value.replace('_', ' ')}. Card: {paths['html']}", markup=False)
    raise typer.Exit(exit_code_of(found))


def verdict(version: Version, as_json: AsJson = False) -> None:
    """Print the newest verdict; exit codes as for audit, 3 when there is none or the newest audit failed."""
    from rai_pipelines.audit import VERDICT, build_auditor
    from rai_pipelines.release import AUDIT_RUN, require_verdict
    from rai_pipelines.settings import load_settings
    from rai_pipelines.subjects.names import ModelVersion

    subject = ModelVersion.parse(version)
    auditor = build_auditor(load_settings())
    failed, judged = auditor.store.latest(AUDIT_RUN, subject.key), auditor.store.latest(VERDICT, subject.key)
    failure = failed if failed and (judged is None or failed.recorded_at > judged.recorded_at) else None
    if failure:
        reason = auditor.store.latest_evidence(AUDIT_RUN, subject.key)
        err.print(
            printable(f"The newest audit of {subject} failed on {failure.recorded_at}: {reason.reason if reason else ''}"), style="red", markup=False
        )
    found = require_verdict(auditor, subject)
    if as_json:
        print_json(VerdictOutput(verdict=found, verdict_digest=found.digest, newest_audit_failed=failure is not None))
    else:
        print_verdict(found)
    raise typer.Exit(EXIT_COULD_NOT if failure else exit_code_of(found))


def card(
    version: Version,
    form: Annotated[str, typer.Option("--format", help="md, html, json, or pdf")] = "md",
    to: Annotated[Path | None, typer.Option("--out", help="Write it there; a pdf has to be.")] = None,
) -> None:
    """Print the model card of the newest verdict, or write it to a file."""
    from rai_pipelines.documents.card import card_folder
    from rai_pipelines.documents.printed import FORMS
    from rai_pipelines.evidence.store import write_atomically
    from rai_pipelines.settings import load_settings
    from rai_pipelines.subjects.names import ModelVersion

    if form not in FORMS:
        raise typer.BadParameter(f"{form!r}; allowed: {', '.join(FORMS)}", param_hint="--format")
    if form == "pdf" and to is None:
        raise typer.BadParameter("a pdf is not printed: name the file to write with --out", param_hint="--format")
    subject = ModelVersion.parse(version)
    path = card_folder(load_settings().documents_dir, subject) / f"model_card.{form}"
    if not path.is_file():
        raise EvidenceError("has no model card", where=str(subject), hint=f"Run: rai audit {subject}")
    if to is not None:
        write_atomically(to, path.read_bytes())
    else:
        sys.stdout.write(path.read_text(encoding="utf-8"))


def technical_documentation(version: Version, as_json: AsJson = False) -> None:
    """Write the technical documentation (EU AI Act, Annex IV) of the newest verdict anew, and print what is open in it.

    Exit codes: 0 every point is resolved or does not apply, 1 some are open, 3 when there is no verdict.
    """
    from rai_pipelines.audit import build_auditor
    from rai_pipelines.release import write_technical_documentation
    from rai_pipelines.settings import load_settings
    from rai_pipelines.subjects.names import ModelVersion

    document, paths = write_technical_documentation(build_auditor(load_settings()), ModelVersion.parse(version))
    if as_json:
        print_json(document)
    else:
        for point in document.points:
            if point.state == "open":
                out.print(f"{point.number} {point.title}: lacks {', '.join(point.lacks)}", markup=False, soft_wrap=True)
        done = len(document.points) - len(document.in_state("open"))
        out.print(f"{done} of {len(document.points)} points are resolved or do not apply. Written: {paths['pdf']}", markup=False, soft_wrap=True)
    if document.status == "open":
        raise typer.Exit(EXIT_NON_COMPLIANT)


def evidence(
    version: Version,
    assessment: Annotated[str, typer.Argument(help="For instance bias_assessment; left out: the list of what there is.")] = "",
) -> None:
    """Print stored evidence as JSON, verified against its digest; without an assessment, the receipts of all of it."""
    from rai_pipelines.audit import build_auditor
    from rai_pipelines.settings import load_settings
    from rai_pipelines.steps import steps
    from rai_pipelines.subjects.names import ModelVersion

    subject = ModelVersion.parse(version)
    auditor = build_auditor(load_settings())
    if not assessment:
        print_json([receipt.model_dump(mode="json") for receipt in auditor.store.history(subject.key)])
        return
    if assessment not in steps():
        raise typer.BadParameter(f"{assessment!r}; allowed: {', '.join(steps())}", param_hint="ASSESSMENT")
    found = auditor.store.latest_evidence(assessment, subject.key)
    if found is None:
        raise EvidenceError(f"has no evidence of {assessment}", where=str(subject), hint=f"Run: rai audit {subject}")
    print_json(found)


def print_verdict(found: Verdict) -> None:
    """The verdict as a table of findings with the reasons in words."""
    from rich.table import Table
    from rich.text import Text

    title = f"{found.model_name}/{found.model_version}: {found.status.value.replace('_', ' ')}"
    out.print(Text(printable(title), style=STYLES[found.status.value]))
    under = f"under {found.policy} ({found.policy_status.value}), judged for {found.judged_for}"
    out.print(f"{printable(under)}, risk class {found.risk_class} so tier {found.tier.value}", style="dim", markup=False)
    table = Table(box=None, pad_edge=False, show_edge=False)
    for column in ("control", "outcome", "why"):
        table.add_column(column, overflow="fold")
    decided = [item for item in found.findings if item.status.value not in ("not_in_force", "not_applicable")]
    for item in decided:
        table.add_row(item.control, Text(item.status.value, style=STYLES[item.status.value]), Text(printable(item.reason)))
    out.print(table)
    rest = [item.control for item in found.findings if item.status.value == "not_in_force"]
    if rest:
        out.print(f"Not in force, deciding nothing: {', '.join(rest)}", style="dim", markup=False)
