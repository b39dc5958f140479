"""What the model's files could do to whoever loads them: every file is scanned before any is deserialised."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from rai_pipelines.assessments.base import AuditContext, Measured, Parameters
from rai_pipelines.errors import ModelError, ModelMissing
from rai_pipelines.evidence.model import Measurement, Status
from rai_pipelines.model_host.confined_scan import ScannedWhere, scan_confined
from rai_pipelines.model_host.scan import scan_model_files
from rai_pipelines.model_host.scan_parts import ScanLimits, Verdict, one_line
from rai_pipelines.subjects.model_formats import MAX_UNPACKED_BYTES
from rai_pipelines.subjects.subject import Subject

COUNTED = (
    ("dangerous_files", Verdict.DANGEROUS),
    ("suspicious_files", Verdict.SUSPICIOUS),
    ("not_scannable_files", Verdict.NOT_SCANNABLE),
)
MAX_NAMED = 5
NO_FILES = "the version has no model files"


class ModelScanParameters(Parameters):
    """How far archives are unpacked, and which types the operator adds to those that skops files may name."""

    unpacked_bytes: int = Field(default=MAX_UNPACKED_BYTES, ge=2**20, le=2**40, description="Most bytes that one file may unpack to")
    depth: int = Field(default=5, ge=1, le=20, description="Archives inside archives")
    members: int = Field(default=20_000, ge=1, le=10**6, description="Most members of the archives in one file")
    trusted_skops_types: tuple[str, ...] = ()
    confined: bool = Field(default=True, description="Read files in a process of their own; false: in the auditor's, which trusts them")


def assess_model_scan(context: AuditContext, parameters: ModelScanParameters) -> Measured:
    """Number of files by verdict, out of all files of the version. These are counts of all files, so they have no interval.

    `details` lists the files with their formats and reasons, those that are not clean first, what confined the scan, and what confined the model
    when it was loaded, or why it was not. Without files there is nothing that could run.
    """
    subject = context.subject
    if subject.folder is None:
        return Measured(status=Status.NOT_APPLICABLE, reason=NO_FILES)
    limits = ScanLimits(parameters.unpacked_bytes, parameters.depth, parameters.members)
    if parameters.confined:
        report, where = scan_confined(subject.folder, trusted_skops_types=parameters.trusted_skops_types, limits=limits)
    else:
        report = scan_model_files(subject.folder, trusted_skops_types=parameters.trusted_skops_types, limits=limits)
        where = ScannedWhere(None, "as the settings say, for models that the operator trusts")
    if not report.files:
        return Measured(status=Status.NOT_APPLICABLE, reason=NO_FILES)
    total = len(report.files)
    figures = [Measurement(metric="files_scanned", value=float(total), n=total, denominator=total)]
    for metric, verdict in COUNTED:
        found = report.with_verdict(verdict)
        named = "; ".join(f"{one_line(file.path)}: {file.reasons[0] if file.reasons else file.format}" for file in found[:MAX_NAMED])
        more = f"; and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
        figures.append(Measurement(metric=metric, value=float(len(found)), n=total, denominator=total, note=named + more or None))
    return Measured(measurements=tuple(figures), details={**report.details(), "scanned": where.details(), "loaded": _loaded(subject)})


def _loaded(subject: Subject) -> dict[str, Any]:
    """In which confinement the model was loaded; or that it was not, and why."""
    try:
        model = subject.load_model()
    except (ModelError, ModelMissing) as error:
        return {"where": None, "reason": str(error)}
    isolation = getattr(model, "isolation", None)
    if isolation is None:
        return {"where": "the auditor's own process", "isolation": {}}
    environment = getattr(model, "environment", None)
    libraries = environment.details() if environment is not None else "the auditor's"
    return {"where": "a process of its own", "isolation": isolation.details(), "libraries": libraries}
