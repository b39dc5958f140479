"""A table with its decisions: as declared, or made by running the model over it in batches, once.

What the model said is kept under `scratch`, addressed by the digests of model, data, datasheet and code, so that every
assessment of one audit reads the same decisions and a second audit runs the model no more.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_pipelines.assessments.base import AuditContext, code_digest
from rai_pipelines.errors import ModelError
from rai_pipelines.evidence.canonical import digest_of
from rai_pipelines.subjects.subject import LoadedModel
from rai_pipelines.tables.source import TableSource

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

BATCH_ROWS = 65_536
PREDICTION_COLUMN = "rai_prediction"
SCORE_COLUMN = "rai_score"


@dataclass(frozen=True)
class Scored:
    """A table with a decision in every row; `score_column` and `label_column` are None where there are none."""

    source: TableSource
    prediction_column: str
    score_column: str | None
    label_column: str | None


def scored_evaluation(context: AuditContext) -> Scored:
    """The evaluation table with decisions: `scored_table` of it."""
    return scored_table(context, "evaluation")


def scored_table(context: AuditContext, name: str) -> Scored:
    """The `evaluation` or `production` table with decisions, and scores where there are any.

    Raises:
        ModelMissing: the datasheet declares no prediction column and the version has no model.
        ModelError: the model does not load, fails, or answers with the wrong shape or with numbers that are not finite.
        DataError: the table cannot be read or lacks a column.
    """
    columns = context.subject.datasheet.columns
    table = context.table(name)
    if columns.prediction is not None:
        others = (columns.score, columns.label)
        if name == "production":  # outcomes arrive later, and not every log keeps scores
            others = (columns.score if columns.score in table.columns else None, columns.label if columns.label in table.columns else None)
        table.require(columns.prediction, *(name for name in others if name is not None))
        return Scored(table, columns.prediction, *others)
    path = _address(context, table)
    # without a digest of the model nothing says that an older file is of this model
    if not path.exists() or context.subject.model_digest is None:
        _score_into(path, context, context.subject.load_model(), table)
    source = TableSource(name=name, reference=f"{table.reference} with the model's decisions", files=(path,), memory_limit=table.memory_limit)
    score = SCORE_COLUMN if SCORE_COLUMN in source.columns else None
    return Scored(source, PREDICTION_COLUMN, score, columns.label)


def feature_names(context: AuditContext, model: LoadedModel) -> tuple[str, ...]:
    """The model's inputs in order: as declared, else as its file says.

    Raises:
        ModelError: neither says.
    """
    names = context.subject.datasheet.columns.features or model.features
    if not names:
        raise ModelError("does not say which columns it reads", where=str(context.subject.version), hint="Add columns.features to datasheet.yaml")
    return tuple(names)


def _address(context: AuditContext, table: TableSource) -> Path:
    content = {
        "model": context.subject.model_digest,
        "version": str(context.subject.version),
        "data": table.digest(),
        "datasheet": context.subject.datasheet.digest,
        "code": code_digest(),
        **({"libraries": "own"} if context.own_libraries else {}),
    }
    return context.scratch / "scored" / f"{digest_of(content).removeprefix('sha256:')}.parquet"


def _score_into(path: Path, context: AuditContext, model: LoadedModel, table: TableSource) -> None:
    """Run the model over the table and write what it said, whole or not at all."""
    import pyarrow.parquet as pq

    features = feature_names(context, model)
    declared = context.subject.datasheet.columns
    moment = declared.timestamp if table.name == "production" else None  # windows are cut by it
    others = (declared.label, declared.weight, declared.unit_id, moment)
    kept = tuple(dict.fromkeys([*(name for name in others if name), *declared.protected_attributes]))
    if table.name == "production":  # labels arrive later, and not every log holds what people are
        kept = tuple(name for name in kept if name in table.columns)
    table.count_rows()  # an empty table is refused here, with its name
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".scoring-")
    os.close(handle)
    try:
        writer = None
        for batch in table.batches(tuple(dict.fromkeys([*features, *kept])), BATCH_ROWS):
            if batch.num_rows == 0:
                continue
            answered = _answer(batch, features, kept, model, str(context.subject.version))
            writer = writer or pq.ParquetWriter(temporary, answered.schema, compression="zstd")
            writer.write_table(answered)
        if writer is not None:
            writer.close()
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _answer(batch: Any, features: tuple[str, ...], kept: tuple[str, ...], model: LoadedModel, name: str) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    frame = pa.table({name: _without_decimals(batch.column(name)) for name in features}).to_pandas()
    decisions, scores = np.asarray(model.predict(frame)), model.score(frame)
    _check_shape("decisions", decisions, len(frame), name)
    columns: dict[str, Any] = {column: batch.column(column) for column in kept}
    columns[PREDICTION_COLUMN] = pa.array(decisions.tolist())
    if scores is not None:
        scores = np.asarray(scores, dtype=float)
        _check_shape("scores", scores, len(frame), name)
        if not np.isfinite(scores).all():
            raise ModelError("gives scores that are not finite numbers", where=name, hint="Check the model on rows with missing or extreme inputs")
        columns[SCORE_COLUMN] = pa.array(scores)
    return pa.table(columns)


def _without_decimals(values: Any) -> Any:
    """Decimals as doubles: to pandas they are objects, which no model takes for numbers."""
    import pyarrow as pa

    return values.cast(pa.float64()) if pa.types.is_decimal(values.type) else values


def _check_shape(what: str, values: np.ndarray, expected: int, name: str) -> None:
    if values.shape != (expected,):
        raise ModelError(
            f"gives {what} of shape {values.shape} for {expected} rows", where=name, hint="A binary classifier answers one number per row"
        )
