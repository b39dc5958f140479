"""Rows that should not be there twice: keys that repeat, equal rows within a table, and rows of both tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rai_pipelines.assessments.validation.reading import NO_TRAINING, PANDAS_INDEX, ValidatedTable
from rai_pipelines.assessments.validation.suite import Outcome
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.tables.overlap import duplicate_rows, overlap
from rai_pipelines.tables.unexpected import Condition, count_unexpected

if TYPE_CHECKING:
    from rai_pipelines.subjects.datasheet import Columns

Found = tuple[list[Measurement], list[Outcome]]


def duplicates(table: ValidatedTable, row_id: str | None, *, limit: float) -> Found:
    """`duplicate_row_share`: rows that could be deleted without losing a combination of values, the key apart."""
    compared = [column for column in table.source.columns if column != row_id and not PANDAS_INDEX.fullmatch(column)]
    found = duplicate_rows(table.source, compared or None)
    share = found.duplicate_share
    measured = Measurement(metric="duplicate_row_share", value=share, n=found.rows, denominator=found.rows, group=table.name)
    expected = f"at most {limit:.1%} of rows equal to another one"
    return [measured], [Outcome(table.name, "duplicate_row_share_to_be_at_most", None, "warning", share <= limit, f"{share:.1%}", expected)]


def row_ids(table: ValidatedTable, row_id: str | None) -> Found:
    """`row_id_repeated_share` and `row_id_missing_share`: rows whose key another row has too, and rows without one. Both should be 0."""
    metrics = ("row_id_repeated_share", "row_id_missing_share")
    if row_id is None or row_id not in table.source.columns:
        note = "the datasheet names no row_id" if row_id is None else f"the {table.name} table has no such column"
        unavailable = [
            Measurement(metric=metric, value=None, attribute=row_id, group=table.name, state=State.UNAVAILABLE, note=note) for metric in metrics
        ]
        absent = Outcome(table.name, "row_id_to_exist", row_id, "warning", False, "it does not", "the key that the datasheet names")
        return unavailable, [] if row_id is None else [absent]
    unique, present = count_unexpected(table.source, [Condition(row_id, "unique"), Condition(row_id, "present")])
    with_key = unique.rows - unique.nulls
    repeated = Measurement(
        metric=metrics[0],
        value=unique.unexpected / with_key if with_key else None,
        n=unique.rows,
        denominator=with_key,
        attribute=row_id,
        group=table.name,
        state=State.MEASURED if with_key else State.UNDEFINED,
        note=f"{unique.unexpected} rows" if with_key else "no row has a key",
    )
    missing = Measurement(
        metric=metrics[1], value=present.nulls / present.rows, n=present.rows, denominator=present.rows, attribute=row_id, group=table.name,
        note=f"{present.nulls} rows",
    )  # fmt: skip
    told = f"{unique.unexpected} of {with_key} rows share their key"
    outcomes = [
        Outcome(table.name, "row_id_to_be_unique", row_id, "warning", unique.unexpected == 0 if with_key else None, told, "no key twice"),
        Outcome(
            table.name, "row_id_to_be_present", row_id, "warning", present.nulls == 0, f"{present.nulls} of {present.rows} rows have none", "a key"
        ),
    ]
    return [repeated, missing], outcomes


def overlap_with_training(
    training: ValidatedTable | None, evaluation: ValidatedTable, columns: Columns, features: Sequence[str], *, margin: float
) -> Found:
    """Evaluation rows whose features and label occur in training, beside the share that independent draws would show.

    Where columns are coarse, different people have equal rows. The share of training rows that have a twin in training estimates how often an
    independent row does (Good 1953); only an overlap above it speaks of copied rows.
    """
    metrics = ("overlap_share", "overlap_share_expected")
    if training is None:
        return [Measurement(metric=metric, value=None, state=State.UNAVAILABLE, note=NO_TRAINING) for metric in metrics], []
    wanted = [*features, *([columns.label] if columns.label else [])]
    both = [name for name in wanted if name in training.source.columns and name in evaluation.source.columns]
    if not both:
        note = "the tables share no feature"
        return [Measurement(metric=metric, value=None, state=State.UNAVAILABLE, note=note) for metric in metrics], []
    found = overlap(training.source, evaluation.source, both)
    twins = duplicate_rows(training.source, both)
    limit = min(1.0, twins.repeated_share + margin)
    compared = f"on {len(both)} of {len(wanted)} columns (features and label)"
    measured = [
        Measurement(metric=metrics[0], value=found.share, n=found.rows, denominator=found.rows, note=compared),
        Measurement(
            metric=metrics[1], value=twins.repeated_share, n=twins.rows, denominator=twins.rows, note="share of training rows with a twin in training"
        ),
    ]
    expected = f"at most {limit:.1%}: {twins.repeated_share:.1%} are expected by chance"
    success = found.share <= limit
    return measured, [Outcome("evaluation", "overlap_with_training_to_be_at_most", None, "warning", success, f"{found.share:.1%}", expected)]
