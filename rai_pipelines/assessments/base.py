"""What every assessment has in common: its inputs, its parameters, and the run that turns its result into evidence."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, JsonValue

import rai_pipelines
from rai_pipelines.errors import DataError, ModelMissing, RaiError, without_values
from rai_pipelines.evidence.canonical import digest_of, plain
from rai_pipelines.evidence.model import Evidence, Measurement, Provenance, Status
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import Subject

if TYPE_CHECKING:
    from rai_pipelines.tables.source import TableSource

LIBRARIES = (
    "adversarial-robustness-toolbox", "dagster", "dp-accounting", "duckdb", "fairlearn", "great-expectations", "greenlet", "ibis-framework",
    "lightgbm", "lime", "mlflow-skinny", "numpy", "onnxmltools", "onnxruntime", "pandas", "picklescan", "presidio-analyzer", "pyarrow",
    "scikit-learn", "scipy", "shap", "skl2onnx", "skops",
)  # fmt: skip


class Parameters(BaseModel):
    """Base of every assessment's parameters: frozen, ranges declared, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


@dataclass(frozen=True)
class Measured:
    """What an assessment returns. A `status` other than complete needs a `reason`."""

    measurements: tuple[Measurement, ...] = ()
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    status: Status = Status.COMPLETE
    reason: str | None = None


@dataclass(frozen=True)
class AuditContext:
    """The inputs of one audit.

    `scratch` holds recomputable files only; `seed` starts every generator; `evidence` is what this audit has collected so far, by name.
    """

    subject: Subject
    seed: int
    scratch: Path
    policy: str | None = None
    policy_digest: str | None = None
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    previous: Mapping[str, Evidence] = field(default_factory=dict)  # of the version audited before this one, by assessment
    table_memory_limit: str = "2GB"
    month: str | None = None  # 2026-11: the month that this audit was asked for, where one was
    own_libraries: bool = False  # whether models run with the libraries that they name, not with the auditor's
    _tables: dict[str, TableSource] = field(default_factory=dict, compare=False, repr=False)

    def table(self, name: str) -> TableSource:
        """The `training`, `evaluation`, `production` or `population` table.

        Raises:
            DataError: the datasheet names none, or it cannot be opened.
        """
        from rai_pipelines.tables.source import open_table

        if name not in self._tables:
            reference = getattr(self.subject.datasheet.data, name)
            if reference is None:
                raise DataError(f"the datasheet names no {name} data", where=str(self.subject.version), hint=f"Add data.{name} to datasheet.yaml")
            self._tables[name] = open_table(reference, name=name, data_folder=self.subject.data_folder, memory_limit=self.table_memory_limit)
        return self._tables[name]

    def has_table(self, name: str) -> bool:
        """Whether the datasheet names such data."""
        return getattr(self.subject.datasheet.data, name) is not None


Assess = Callable[[AuditContext, Any], Measured]  # each takes its own kind of `Parameters`


def run_assessment(name: str, assess: Assess, context: AuditContext, parameters: Parameters, *, inputs: tuple[str, ...]) -> tuple[Evidence, float]:
    """Run one assessment and wrap what it says as evidence; `inputs` are the tables whose digests stand in it.

    An assessment that cannot be made ends as evidence with status `missing` or `error` and the reason; it never raises for
    bad data or a bad model, so that the other assessments go on.

    Returns:
        The evidence, and the seconds it took (which are not part of it).
    """
    started = time.perf_counter()
    digests: dict[str, str] = {}
    try:
        for table in inputs:
            if context.has_table(table):
                digests[table] = context.table(table).digest()
        measured = assess(context, parameters)
    except ModelMissing as error:
        measured = Measured(status=Status.MISSING, reason=str(error))
    except RaiError as error:
        measured = Measured(status=Status.ERROR, reason=str(error))
    except Exception as error:  # a defect or a library's refusal: a finding for this assessment, not the end of the audit
        said = without_values(str(error), known=_names_in(context.subject.datasheet.columns.model_dump()))
        measured = Measured(status=Status.ERROR, reason=f"{name} failed on {context.subject.version}: {type(error).__name__}: {said}")
    evidence = Evidence(
        assessment=name,
        status=measured.status,
        reason=measured.reason,
        measurements=measured.measurements,
        details=plain(dict(measured.details)),
        provenance=_provenance(context, parameters, digests),
    )
    return evidence, time.perf_counter() - started


def _names_in(declared: Any) -> Iterator[str]:
    """Every text in a tree of declarations, keys among them."""
    if isinstance(declared, str):
        yield declared
    elif isinstance(declared, Mapping):
        for key, value in declared.items():
            yield from (str(key), *_names_in(value))
    elif isinstance(declared, tuple | list):
        for value in declared:
            yield from _names_in(value)


def _provenance(context: AuditContext, parameters: Parameters, digests: Mapping[str, str]) -> Provenance:
    subject = context.subject
    declared = plain(parameters)
    return Provenance(
        model_name=subject.version.name,
        model_version=subject.version.version,
        model_digest=subject.model_digest,
        datasheet_digest=subject.datasheet.digest,
        data_digests=dict(digests),
        policy=context.policy,
        policy_digest=context.policy_digest,
        parameters=declared,
        parameters_digest=digest_of(declared),
        code_version=rai_pipelines.__version__,
        code_digest=code_digest(),
        seed=context.seed,
        libraries=library_versions(),
    )


@cache
def library_versions() -> dict[str, str]:
    """Versions of the installed libraries that figures can depend on."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def code_digest() -> str:
    """`sha256:` over the source of the rooms that figures come from, so that a changed formula changes the evidence."""
    root = Path(rai_pipelines.__file__).parent
    hasher = hashlib.sha256()
    for room in ("assessments", "tables", "subjects", "model_host", "evidence"):
        for path in sorted((root / room).rglob("*.py")):
            hasher.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return "sha256:" + hasher.hexdigest()


def unmade_evidence(name: str, version: ModelVersion, reason: str, *, status: Status, seed: int, policy: str, policy_digest: str) -> Evidence:
    """Evidence that an assessment could not even begin, and why (no datasheet, an unreadable one)."""
    return Evidence(
        assessment=name,
        status=status,
        reason=reason,
        provenance=Provenance(
            model_name=version.name,
            model_version=version.version,
            model_digest=None,
            datasheet_digest=None,
            data_digests={},
            policy=policy,
            policy_digest=policy_digest,
            parameters={},
            parameters_digest=digest_of({}),
            code_version=rai_pipelines.__version__,
            code_digest=code_digest(),
            seed=seed,
            libraries=library_versions(),
        ),
    )
