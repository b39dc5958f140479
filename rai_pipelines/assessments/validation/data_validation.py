"""Are the tables what the datasheet says, and is the evaluation table like the training table? The list of what is validated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pydantic import Field

from rai_pipelines.assessments.base import AuditContext, Measured, Parameters
from rai_pipelines.assessments.privacy.direct_identifiers import kind_by_name
from rai_pipelines.assessments.validation.chosen_suite import ChosenSuite, changes_measured, choose, suite_files
from rai_pipelines.assessments.validation.columns import contents, missing_shares, types_match
from rai_pipelines.assessments.validation.executors import ENGINE, GREAT_EXPECTATIONS, run
from rai_pipelines.assessments.validation.label_noise import label_noise
from rai_pipelines.assessments.validation.labels import conflicts, label_outcomes
from rai_pipelines.assessments.validation.leakage import leakage
from rai_pipelines.assessments.validation.reading import NO_TRAINING, ValidatedTable, expected_of, features_of, read_table
from rai_pipelines.assessments.validation.rows import duplicates, overlap_with_training, row_ids
from rai_pipelines.assessments.validation.schema_change import compact_schema, schema_changes
from rai_pipelines.assessments.validation.suite import Margins, Outcome, plan
from rai_pipelines.assessments.validation.target_drift import target_drift
from rai_pipelines.assessments.validation.time_split import time_split
from rai_pipelines.clock import utc_today
from rai_pipelines.evidence.model import Measurement


class DataValidationParameters(Parameters):
    """How tables are read and how far evaluation data may be from training data."""

    max_rows: int = Field(
        default=200_000, ge=100, le=10_000_000, description="Rows up to which Great Expectations runs on pandas; beyond, the engine counts all rows"
    )
    values_cap: int = Field(default=100, ge=2, le=10_000, description="Distinct values up to which a column is a category")
    missing_margin: float = Field(default=0.05, ge=0, le=1, description="Share of rows without a value above that of training")
    missing_maximum: float = Field(default=0.5, ge=0, le=1, description="Share of rows without a value where there is no training column to compare")
    range_margin: float = Field(default=0.1, ge=0, le=10, description="Share of the training range that a number may lie outside of it")
    leakage_auc: float = Field(default=0.99, gt=0.5, le=1, description="Area from which a single feature gives the label away")
    leakage_minimum_class: int = Field(default=30, ge=2, description="Rows of the rarer class that the area needs")
    duplicate_share: float = Field(default=0.1, ge=0, le=1, description="Share of surplus equal rows that is worth a warning")
    overlap_margin: float = Field(default=0.05, ge=0, le=1, description="Overlap above what equal rows within training make likely, worth a warning")
    key_share: float = Field(default=0.5, gt=0, le=1, description="Distinct texts per row from which a column is close to a key")
    target_minimum_rows: int = Field(default=30, ge=2, description="Rows of either table that drift of label and score needs")
    noise_rows: int = Field(default=5_000, ge=100, le=100_000, description="Rows drawn for the estimate of label noise")
    noise_minimum_class: int = Field(default=20, ge=5, description="Drawn rows of the rarest class that the estimate needs")
    as_of: date | None = Field(default=None, description="Day after which a time lies in the future; absent: the day of the audit")
    level: float = Field(default=0.90, gt=0, lt=1, description="Level of intervals")


@dataclass
class _Collected:
    """Measurements and outcomes, in the order in which they were found."""

    measurements: list[Measurement] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def add(self, found: tuple[Sequence[Measurement], Sequence[Outcome]]) -> None:
        self.measurements += found[0]
        self.outcomes += found[1]


def assess_data_validation(context: AuditContext, parameters: DataValidationParameters) -> Measured:
    """Validate training and evaluation table; without training data the evaluation table alone, and say so.

    A column that is not there is a failed critical expectation; everything else is still checked. Everything is counted over all rows, but for
    label leakage beyond `max_rows` rows and label noise, which are measured on seeded samples (`n` says of how many).

    Metrics: `expectations_evaluated`, `expectations_failed_critical`, `expectations_failed_warning` (counts, n = rows of all tables), `rows` (group =
    table); those of `rows`, `columns`, `labels`, `label_noise`, `leakage`, `time_split`, `target_drift`, `schema_change` and `chosen_suite`.

    Raises:
        DataError: a table is empty or cannot be read, or a suite file cannot be used.
    """
    sheet, seed = context.subject.datasheet, context.seed
    columns = sheet.columns
    names = ("training", "evaluation") if context.has_table("training") else ("evaluation",)
    sources = {name: context.table(name) for name in names}
    features, features_from = features_of(columns, sources)
    files = suite_files(context.subject, names)
    runs_a_model = columns.prediction is None or context.subject.folder is not None
    tables: dict[str, ValidatedTable] = {}
    for name, source in sources.items():
        expected = expected_of(name, columns, features, declared=features_from == "datasheet", runs_a_model=runs_a_model)
        also = [item.column for item in files[name].planned if item.column is not None] if name in files else []
        tables[name] = read_table(source, expected, also=also, max_rows=parameters.max_rows, values_cap=parameters.values_cap)
    training, evaluation = tables.get("training"), tables["evaluation"]

    found, suites = _Collected(), dict[str, ChosenSuite]()
    margins = Margins(parameters.missing_margin, parameters.missing_maximum, parameters.range_margin)
    for name, table in tables.items():
        compared_with = training.figures if training and name != "training" else None
        suites[name] = chosen = choose(plan(name, table.expected, table.figures, compared_with, margins), files.get(name))
        found.add(([], run(chosen.planned, table.source, table.frame)))
        found.add(changes_measured(name, chosen))
        found.add(([], label_outcomes(table, columns, sheet.task)))
        found.add(([Measurement(metric="rows", value=table.rows, n=table.rows, group=name), *missing_shares(table)], []))
        found.add(contents(table, key_share=parameters.key_share, values_cap=parameters.values_cap, level=parameters.level))
        found.add(duplicates(table, columns.row_id, limit=parameters.duplicate_share))
        found.add(row_ids(table, columns.row_id))
        found.add((conflicts(table, features, level=parameters.level), []))
    if training:
        found.add(([], types_match(training, evaluation)))
    found.add(overlap_with_training(training, evaluation, columns, features, margin=parameters.overlap_margin))
    found.add(
        leakage(
            training,
            sheet,
            features,
            rows=parameters.max_rows,
            limit=parameters.leakage_auc,
            minimum_class=parameters.leakage_minimum_class,
            level=parameters.level,
            seed=seed,
        )
    )
    noise = {"rows": parameters.noise_rows, "minimum_class": parameters.noise_minimum_class}
    found.add((label_noise(training or evaluation, columns, sheet.task, features, **noise, level=parameters.level, seed=seed), []))
    private_time = columns.timestamp is not None and (columns.timestamp in columns.direct_identifiers or kind_by_name(columns.timestamp) is not None)
    split, times = time_split(training, evaluation, columns.timestamp, private=private_time, today=parameters.as_of or utc_today())
    drift, drifts = target_drift(
        training, evaluation, columns, sheet.task, level=parameters.level, minimum_rows=parameters.target_minimum_rows, seed=seed
    )
    changes, changed = schema_changes(list(tables.values()), _previous(context))
    for part in (split, drift, changes):
        found.add(part)
    return Measured(
        measurements=(*_totals(found.outcomes, list(tables.values())), *found.measurements),
        details={
            "task": sheet.task,
            "expectations": [outcome.as_detail() for outcome in found.outcomes],
            "rows_validated": {
                name: {"rows": table.rows, "of": table.rows, "by": ENGINE if table.frame is None else GREAT_EXPECTATIONS}
                for name, table in tables.items()
            },
            "suite": [
                {"table": item.table, "type": item.type, "severity": item.severity, "kwargs": item.arguments()}
                for chosen in suites.values()
                for item in chosen.planned
            ],
            "suite_files": {name: chosen.as_detail() for name, chosen in suites.items()},
            "features": list(features),
            "features_from": features_from,
            "training": None if training else NO_TRAINING,
            "time_split": times,
            "target_drift": drifts,
            "schema": {name: compact_schema(table) for name, table in tables.items()},
            "schema_changes": changed,
        },
    )


def _previous(context: AuditContext) -> Any:
    """The evidence of this assessment about the version audited before, None where there is none."""
    return (getattr(context, "previous", None) or {}).get("data_validation")


def _totals(outcomes: Sequence[Outcome], tables: Sequence[ValidatedTable]) -> list[Measurement]:
    rows = sum(table.rows for table in tables)

    def count(metric: str, chosen: Sequence[Any]) -> Measurement:
        return Measurement(metric=metric, value=len(chosen), n=rows)

    return [
        count("expectations_evaluated", [item for item in outcomes if item.success is not None]),
        count("expectations_failed_critical", [item for item in outcomes if item.success is False and item.severity == "critical"]),
        count("expectations_failed_warning", [item for item in outcomes if item.success is False and item.severity == "warning"]),
    ]
