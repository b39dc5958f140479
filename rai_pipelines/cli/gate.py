"""rai gate: may this version be deployed? For pipelines, with exit codes and reports that build systems read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rai_pipelines.cli.common import AsJson, out, print_json, printable
from rai_pipelines.cli.outputs import GateOutput

if TYPE_CHECKING:
    from rai_pipelines.audit import Auditor
    from rai_pipelines.governance.gate.work_out import Gate
    from rai_pipelines.subjects.names import ModelVersion

EXIT_RELEASE, EXIT_BLOCK, EXIT_HOLD = 0, 1, 2

Version = Annotated[str, typer.Argument(metavar="NAME/VERSION", help="Registered model and version; the last slash divides them.")]
Junit = Annotated[Path | None, typer.Option("--junit", help="Write a JUnit XML report to this file.")]
Sarif = Annotated[Path | None, typer.Option("--sarif", help="Write a SARIF 2.1.0 report to this file.")]


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command()(gate)


def gate(version: Version, junit: Junit = None, sarif: Sarif = None, as_json: AsJson = False) -> None:
    """Say whether a version may be deployed: it is approved, and the registry still holds what was approved.

    Exit codes: 0 approved, 1 blocked, 2 waits for people, 3 could not be found out. Anything but 0 must stop a deployment.
    """
    import rai_pipelines
    from rai_pipelines.audit import build_auditor
    from rai_pipelines.documents.gate_reports import junit_report, sarif_report
    from rai_pipelines.governance.gate.record import ReleaseDecision
    from rai_pipelines.governance.gate.registry_sync import read_record
    from rai_pipelines.release import open_gatekeeper
    from rai_pipelines.settings import load_settings
    from rai_pipelines.subjects.names import ModelVersion

    subject = ModelVersion.parse(version)
    auditor = build_auditor(load_settings())
    with open_gatekeeper(auditor) as keeper:
        found = keeper.look(subject)
        record = read_record(keeper.engine, subject)
    problem = changed_since(auditor, subject, found)
    _write(junit, junit_report(record, found.effective, problem))
    _write(sarif, sarif_report(record, found.effective, version=rai_pipelines.__version__, problem=problem))
    decision = ReleaseDecision.BLOCK if problem else record.decision
    if as_json:
        print_json(GateOutput(gate=record, decision=decision, problem=problem))
    else:
        why = problem or f"{record.state.value.replace('_', ' ')}. {record.reason}"
        out.print(printable(f"{version}: {decision.value.replace('_', ' ')}. {why}"), markup=False, soft_wrap=True)
    raise typer.Exit({ReleaseDecision.RELEASE: EXIT_RELEASE, ReleaseDecision.BLOCK: EXIT_BLOCK, ReleaseDecision.HOLD: EXIT_HOLD}[decision])


def _write(path: Path | None, report: str) -> None:
    from rai_pipelines.errors import RaiError
    from rai_pipelines.evidence.store import write_atomically

    try:
        if path is not None:
            write_atomically(path, report.encode())
    except OSError as error:
        raise RaiError(f"cannot be written ({error.strerror})", where=str(path), hint="Choose another file for the report") from error


def changed_since(auditor: Auditor, version: ModelVersion, gate: Gate) -> str | None:
    """Why what the registry and the evidence store hold now is not what came to the gate; None when it is.

    The whole binding is made again, with who submitted and owns the version: a row of the database that says otherwise gives no leave.
    """
    from rai_pipelines.errors import EvidenceError
    from rai_pipelines.release import binding_of, require_verdict

    subject, binding = auditor.context(version).subject, gate.binding
    if subject.model_digest != binding.model_digest:
        return "The model files in the registry are not those that were judged"
    if subject.datasheet.digest != binding.datasheet_digest:
        return "The datasheet is not the one that was judged"
    try:
        newest = require_verdict(auditor, version)
        made = binding_of(auditor, version, newest)
    except EvidenceError as error:
        return f"What was judged cannot be read: {error}"
    if newest.digest != gate.measured.digest:
        return f"A newer verdict ({newest.status.value}) has not come to the gate: the audit did not end; run: rai audit {version}"
    if made.digest != binding.digest:
        return "The evidence, or who submitted or owns the version, is not what came to the gate"
    return None
