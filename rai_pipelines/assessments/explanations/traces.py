"""Traces of decisions: what was decided, from what, by what, and why, so that it can be made again and compared to the last bit.

A trace is about a person. It belongs into a private place, and holds the inputs only where whoever keeps it says so; else it holds their digest,
and replaying needs the row. Sources: EU AI Act articles 12 and 19.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, JsonValue, ValidationError

from rai_pipelines.assessments.base import AuditContext, code_digest, library_versions
from rai_pipelines.assessments.explanations.explained_model import SCORE
from rai_pipelines.assessments.explanations.parameters import ExplanationParameters
from rai_pipelines.assessments.explanations.row import plain_inputs
from rai_pipelines.assessments.explanations.shapley import Explainer, open_explainer
from rai_pipelines.errors import EvidenceError
from rai_pipelines.evidence.canonical import canonical_json, digest_of
from rai_pipelines.evidence.model import Record

if TYPE_CHECKING:
    import pandas as pd

PRIVATE = 0o600
RESULTS = (
    "model_name", "model_version", "model_digest", "background_digest", "seed", "inputs_digest", "explainer", "explained", "decision", "score",
    "output", "base",
)  # fmt: skip


class TraceRecord(Record):
    """One decision. `inputs` are None unless they were to be kept; `table` and `row_id` say where else the row is.

    `decision` is 1 for the favourable outcome and 0 for the other, None where the task has amounts; `output` is the number that the model gave,
    `score` the same where it is a probability. `contributions` are Shapley values by feature of what `explained` names; `base` and they add up to it.
    """

    schema_version: Literal["rai.decision-trace/v1"] = "rai.decision-trace/v1"
    prediction_id: str = Field(min_length=1)
    at: str = Field(description="UTC, ISO 8601")
    model_name: str
    model_version: str
    table: str | None = None
    row_id: str | None = None
    inputs_digest: str
    inputs: Mapping[str, JsonValue] | None = None
    model_digest: str | None
    datasheet_digest: str
    background_digest: str
    code_digest: str
    libraries: Mapping[str, str]
    seed: int
    decision: int | None
    score: float | None
    output: float
    explainer: str
    explained: str
    base: float | None
    contributions: Mapping[str, float]

    @property
    def digest(self) -> str:
        """`sha256:<hex>` over the canonical JSON of this record."""
        return digest_of(self)


@dataclass(frozen=True)
class TracedModel:
    """A model that can be traced: its explainer, and the digests of what it was made from."""

    explainer: Explainer
    model_name: str
    model_version: str
    model_digest: str | None
    datasheet_digest: str
    seed: int


@dataclass(frozen=True)
class Replay:
    """What became of a decision that was made again.

    `differences` are empty exactly when it is the same decision of the same model on the same inputs, to the last bit. `changed` names what it was
    made with and is not the same any more (code, datasheet, libraries), whether that made a difference or not.
    """

    prediction_id: str
    differences: tuple[str, ...]
    changed: tuple[str, ...] = ()

    @property
    def matches(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


def open_traced(context: AuditContext, parameters: ExplanationParameters) -> TracedModel:
    """The model of an audit, loaded now, ready to be traced and to replay traces.

    Raises:
        As `open_explained`.
    """
    _, explainer = open_explainer(context, parameters)
    return traced_model(context, explainer)


def traced_model(context: AuditContext, explainer: Explainer) -> TracedModel:
    """An explainer that is open already, with the digests of its subject."""
    subject = context.subject
    return TracedModel(explainer, subject.version.name, subject.version.version, subject.model_digest, subject.datasheet.digest, context.seed)


def make_trace(
    model: TracedModel,
    row: pd.DataFrame,
    *,
    prediction_id: str,
    at: datetime,
    keep_inputs: bool = False,
    table: str | None = None,
    row_id: str | None = None,
) -> TraceRecord:
    """Decide and explain `row` (a frame of one row) alone, and write down everything."""
    explainer, explained = model.explainer, model.explainer.explained
    row = row[list(explained.features)].reset_index(drop=True)
    inputs = plain_inputs(row)
    made = explainer.explain(row)
    whole = bool(np.isfinite(made.values).all())
    output = float(explained.outputs(row)[0])
    return TraceRecord(
        prediction_id=prediction_id,
        at=at.isoformat(),
        model_name=model.model_name,
        model_version=model.model_version,
        table=table,
        row_id=row_id,
        inputs_digest=digest_of(inputs),
        inputs=inputs if keep_inputs else None,
        model_digest=model.model_digest,
        datasheet_digest=model.datasheet_digest,
        background_digest=explainer.background_digest,
        code_digest=code_digest(),
        libraries=library_versions(),
        seed=model.seed,
        decision=int(explained.decisions(row)[0]) if explained.decides else None,
        score=output if explained.output == SCORE else None,
        output=output,
        explainer=explainer.method.explainer,
        explained=explainer.method.output,
        base=float(made.base[0]) if whole else None,
        contributions={name: float(value) for name, value in zip(explained.space.names, made.values[0], strict=True)} if whole else {},
    )


def replay_trace(record: TraceRecord, inputs: pd.DataFrame | None, model: TracedModel) -> Replay:
    """Decide and explain once more, and say what is not the same.

    Args:
        inputs: the row, from wherever it is kept; None where the record holds it itself. Its digest must be the recorded one.
        model: opened with the recorded seed.
    """
    if inputs is None and record.inputs is None:
        return Replay(record.prediction_id, (f"the inputs were not kept: give row {record.row_id} of table {record.table}",))
    row = inputs if inputs is not None else _frame_of(record.inputs or {}, model.explainer.explained.pool)
    absent = [name for name in model.explainer.explained.features if name not in row.columns]
    if absent or len(row) != 1:
        return Replay(record.prediction_id, (f"the inputs lack {', '.join(absent)}" if absent else f"{len(row)} rows were given, not one",))
    again = make_trace(model, row, prediction_id=record.prediction_id, at=datetime.fromisoformat(record.at))
    return Replay(record.prediction_id, tuple(_differences(record, again)), tuple(_changed(record, again)))


def write_trace(record: TraceRecord, path: Path) -> None:
    """The canonical JSON of a trace in a new file that only its owner can read.

    Raises:
        EvidenceError: there is such a file already: traces are not overwritten.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    except FileExistsError as error:
        raise EvidenceError("is there already, and traces are not overwritten", where=path.name, hint="Choose another file") from error
    with os.fdopen(handle, "wb") as stream:
        stream.write(canonical_json(record))


def read_trace(path: Path) -> TraceRecord:
    """The trace in a file.

    Raises:
        EvidenceError: it cannot be read as one.
    """
    try:
        return TraceRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        first = str(error).strip().splitlines()[0][:200]
        raise EvidenceError(f"is no trace of a decision ({first})", where=path.name, hint="Check the file") from error


def _differences(record: TraceRecord, again: TraceRecord) -> list[str]:
    told = [
        f"{name.replace('_', ' ')}: recorded {getattr(record, name)}, now {getattr(again, name)}"
        for name in RESULTS
        if getattr(record, name) != getattr(again, name)
    ]
    if record.inputs is not None and digest_of(dict(record.inputs)) != record.inputs_digest:
        told.append("inputs: those that were kept are not those of the recorded digest")
    for name in sorted({*record.contributions, *again.contributions}):
        before, now = record.contributions.get(name), again.contributions.get(name)
        if before != now:
            told.append(f"contribution of {name}: recorded {before}, now {now}")
    return told


def _changed(record: TraceRecord, again: TraceRecord) -> list[str]:
    told = [name.replace("_", " ") for name in ("code_digest", "datasheet_digest") if getattr(record, name) != getattr(again, name)]
    names = sorted({*record.libraries, *again.libraries})
    return told + [f"library {name}" for name in names if record.libraries.get(name) != again.libraries.get(name)]


def _frame_of(inputs: Mapping[str, JsonValue], like: pd.DataFrame) -> pd.DataFrame:
    """Kept inputs as a row with the column types of the training table, where they fit."""
    import pandas as pd

    columns = {}
    for name, value in inputs.items():
        column = pd.Series([value], dtype=object)
        kind = like[name].dtype if name in like.columns else column.dtype
        try:
            columns[name] = column.astype(float if value is None and getattr(kind, "kind", "O") in "iub" else kind)
        except (TypeError, ValueError, OverflowError):
            columns[name] = column
    return pd.DataFrame(columns)
