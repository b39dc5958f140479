"""Are the tables what the datasheet says, and is the evaluation table like the training table? Expectations, leakage, duplicates, overlap."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from rai_pipelines.assessments.base import AuditContext, Measured, Parameters
from rai_pipelines.assessments.privacy.direct_identifiers import kind_by_name
from rai_pipelines.assessments.validation.leakage import METRIC as LEAKAGE
from rai_pipelines.assessments.validation.leakage import label_leakage
from rai_pipelines.assessments.validation.suite import Expected, Margins, Outcome, Planned, Severity, plan, run
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.subjects.datasheet import Columns, Datasheet, Task
from rai_pipelines.tables.contingency import as_outcome, group_name
from rai_pipelines.tables.overlap import duplicate_rows, overlap
from rai_pipelines.tables.profile import TableProfile, profile

if TYPE_CHECKING:
    import pandas as pd

    from rai_pipelines.tables.source import TableSource

PANDAS_INDEX = re.compile(r"__index_level_\d+__")  # what pandas writes into Parquet for an index: a row number, not data
NO_TRAINING = "the datasheet names no training data: the evaluation table was validated alone"


class DataValidationParameters(Parameters):
    """How tables are read and how far evaluation data may be from training data."""

    max_rows: int = Field(default=200_000, ge=100, le=10_000_000, description="Rows that row-wise expectations run on; a seeded sample beyond")
    values_cap: int = Field(default=100, ge=2, le=10_000, description="Distinct values up to which a column is a category")
    missing_margin: float = Field(default=0.05, ge=0, le=1, description="Share of rows without a value above that of training")
    missing_maximum: float = Field(default=0.5, ge=0, le=1, description="Share of rows without a value where there is no training column to compare")
    range_margin: float = Field(default=0.1, ge=0, le=10, description="Share of the training range that a number may lie outside of it")
    leakage_auc: float = Field(default=0.99, gt=0.5, le=1, description="Area from which a single feature gives the label away")
    leakage_minimum_class: int = Field(default=30, ge=2, description="Rows of the rarer class that the area needs")
    duplicate_share: float = Field(default=0.1, ge=0, le=1, description="Share of surplus equal rows that is worth a warning")
    overlap_margin: float = Field(default=0.05, ge=0, le=1, description="Overlap above what equal rows within training make likely, worth a warning")
    level: float = Field(default=0.90, gt=0, lt=1, description="Level of intervals")


@dataclass(frozen=True)
class _Table:
    """A table under validation, with what was read of it."""

    source: TableSource
    expected: Expected
    figures: TableProfile
    frame: pd.DataFrame


def assess_data_validation(context: AuditContext, parameters: DataValidationParameters) -> Measured:
    """Validate training and evaluation table; without training data the evaluation table alone, and say so.

    A column that is not there is a failed critical expectation; everything else is still checked. Row-wise expectations run on a seeded
    sample beyond `max_rows` rows; labels, types, missing values, duplicates and overlap are counted over all rows.

    Metrics: `expectations_evaluated`, `expectations_failed_critical`, `expectations_failed_warning` (counts, n = rows of all tables), `rows` (group =
    table), `missing_share` (attribute = column, group = table), `duplicate_row_share` (group = table), `overlap_share`,
    `overlap_share_expected` (what independent tables would show), `label_leakage_auc` (attribute = column).

    Raises:
        DataError: a table is empty or cannot be read.
    """
    columns = context.subject.datasheet.columns
    names = ("training", "evaluation") if context.has_table("training") else ("evaluation",)
    sources = {name: context.table(name) for name in names}
    features, features_from = _features(columns, sources)
    runs_a_model = columns.prediction is None or context.subject.folder is not None
    tables = {
        name: _read(source, _expected(name, columns, features, features_from == "datasheet", runs_a_model), parameters, context.seed)
        for name, source in sources.items()
    }
    training = tables.get("training")
    planned: list[Planned] = []
    outcomes: list[Outcome] = []
    measurements: list[Measurement] = []
    for name, table in tables.items():
        margins = Margins(parameters.missing_margin, parameters.missing_maximum, parameters.range_margin)
        suite = plan(name, table.expected, table.figures, training.figures if training and name != "training" else None, margins)
        planned += suite
        outcomes += run(suite, table.frame)
        outcomes += _label_outcomes(table, columns, context.subject.datasheet.task)
        measurements.append(Measurement(metric="rows", value=table.figures.rows, n=table.figures.rows, group=name))
        measurements += _missing_shares(table)
        measured, outcome = _duplicates(table, columns.row_id, parameters)
        measurements.append(measured)
        outcomes.append(outcome)
    if training:
        outcomes += _type_outcomes(training, tables["evaluation"])
    measured_overlap, overlap_outcomes = _overlap(training, tables["evaluation"], columns, features, parameters)
    leakage, leakage_outcomes = _leakage(training, context.subject.datasheet, features, parameters, context.seed)
    outcomes += [*overlap_outcomes, *leakage_outcomes]
    return Measured(
        measurements=(*_totals(outcomes, tables), *measurements, *measured_overlap, *leakage),
        details={
            "expectations": [outcome.as_detail() for outcome in outcomes],
            "rows_validated": {name: {"rows": len(table.frame), "of": table.figures.rows} for name, table in tables.items()},
            "suite": [{"table": item.table, "type": item.type, "severity": item.severity, "kwargs": item.arguments()} for item in planned],
            "features": list(features),
            "features_from": features_from,
            "training": None if training else NO_TRAINING,
        },
    )


def _features(columns: Columns, sources: Mapping[str, TableSource]) -> tuple[tuple[str, ...], str]:
    """Declared features, or every column of the first table that plays no other part; and where they are from."""
    if columns.features:
        return columns.features, "datasheet"
    other = {columns.label, columns.prediction, columns.score, columns.row_id, *columns.direct_identifiers}
    table = next(iter(sources.values()))
    return tuple(name for name in table.columns if name not in other and not PANDAS_INDEX.fullmatch(name)), f"columns of the {table.name} table"


def _expected(table: str, columns: Columns, features: Sequence[str], declared: bool, runs_a_model: bool) -> Expected:
    """What the datasheet asks of `table`. Features are needed to train and to run a model, not to judge decisions that exist."""
    evaluation = table == "evaluation"
    required: dict[str, Severity] = {}
    of_features: Severity = "critical" if runs_a_model or not evaluation else "warning"
    if declared:
        required |= dict.fromkeys(features, of_features)
    parts = (
        (*columns.protected_attributes, columns.prediction, columns.score)
        if evaluation
        else (*columns.quasi_identifiers, *columns.sensitive_attributes)
    )
    required |= {name: "critical" for name in (columns.label, *parts) if name is not None}
    codes = frozenset(
        {*columns.categorical_features, *(name for name, part in columns.protected_attributes.items() if part.labels and not part.bins)}
    )
    checked = tuple(dict.fromkeys((*features, *columns.protected_attributes)))
    private = frozenset({*columns.direct_identifiers, *(name for name in checked if kind_by_name(name))})
    return Expected(required, columns.label, tuple(columns.protected_attributes) if evaluation else (), checked, codes, private)


def _read(source: TableSource, expected: Expected, parameters: DataValidationParameters, seed: int) -> _Table:
    source.count_rows()
    wanted = dict.fromkeys((*expected.required, *expected.checked))
    present = [name for name in wanted if name in source.columns]
    figures = profile(source, present, values_cap=parameters.values_cap)
    return _Table(source, expected, figures, source.sample(parameters.max_rows, seed=seed, columns=present or source.columns[:1]))


def _label_outcomes(table: _Table, columns: Columns, task: Task) -> list[Outcome]:
    """Counted over all rows, because a sample can miss a rare class. Labels are named as groups are: 1, 1.0 and true are one name."""
    label, name = table.expected.label, table.source.name
    if label is None or label not in table.figures.columns:
        return []
    import pandas as pd

    favourable, found = columns.favourable_outcome, table.figures.columns[label]
    if task == "regression":
        numeric = found.kind == "numeric" and found.infinite == 0
        return [Outcome(name, "label_to_be_finite_numbers", label, "critical", numeric, f"{found.kind}, {found.infinite} infinite", "finite numbers")]
    values = found.values
    distinct = pd.Series([value for value, _ in values or ()], dtype=object)
    classes = len({group_name(value) for value in distinct})
    observed = f"{classes} classes" if values is not None else "too many values for a label"
    if task == "multiclass_classification":
        strange = sorted({group_name(value) for value in distinct} - set(columns.classes)) if values is not None else ["too many values"]
        words = f"one of the {len(columns.classes)} declared classes"
        return [Outcome(name, "label_to_be_declared_class", label, "critical", not strange, f"{len(strange)} other values", words)]
    contains = bool((as_outcome(distinct, favourable) == 1).any())
    expected = f"the class {favourable}"
    return [
        Outcome(name, "label_to_be_binary", label, "critical", classes == 2, observed, "two classes"),
        Outcome(name, "label_to_contain_favourable_outcome", label, "critical", contains, "it does" if contains else "it does not", expected),
    ]


def _missing_shares(table: _Table) -> list[Measurement]:
    rows = table.figures.rows
    return [
        Measurement(metric="missing_share", value=column.missing_share, n=rows, denominator=rows, attribute=name, group=table.source.name)
        for name, column in table.figures.columns.items()
    ]


def _duplicates(table: _Table, row_id: str | None, parameters: DataValidationParameters) -> tuple[Measurement, Outcome]:
    name = table.source.name
    compared = [column for column in table.source.columns if column != row_id and not PANDAS_INDEX.fullmatch(column)]
    found = duplicate_rows(table.source, compared or None)
    share, limit = found.duplicate_share, parameters.duplicate_share
    measured = Measurement(metric="duplicate_row_share", value=share, n=found.rows, denominator=found.rows, group=name)
    expected = f"at most {limit:.1%} of rows equal to another one"
    return measured, Outcome(name, "duplicate_row_share_to_be_at_most", None, "warning", share <= limit, f"{share:.1%}", expected)


def _type_outcomes(training: _Table, evaluation: _Table) -> list[Outcome]:
    """Types as the engines declare them: numbers of any width, and flags, are one family."""
    outcomes = []
    for name, found in evaluation.figures.columns.items():
        known = training.figures.columns.get(name)
        if known is None:
            continue
        empty = found.nulls == found.rows or known.nulls == known.rows
        success = None if empty else _family(found.kind) == _family(known.kind)
        observed = "not evaluated: one of the columns has no values" if empty else f"{found.kind} ({found.dtype})"
        expected = f"{known.kind} ({known.dtype}) as in training"
        outcomes.append(Outcome("evaluation", "column_type_to_match_training", name, "critical", success, observed, expected))
    return outcomes


def _family(kind: str) -> str:
    """A flag is stored as true/false or as 0/1."""
    return "numeric" if kind == "boolean" else kind


def _overlap(
    training: _Table | None, evaluation: _Table, columns: Columns, features: Sequence[str], parameters: DataValidationParameters
) -> tuple[list[Measurement], list[Outcome]]:
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
    limit = min(1.0, twins.repeated_share + parameters.overlap_margin)
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


def _leakage(
    training: _Table | None, sheet: Datasheet, features: Sequence[str], parameters: DataValidationParameters, seed: int
) -> tuple[tuple[Measurement, ...], list[Outcome]]:
    columns, task = sheet.columns, sheet.task
    label = columns.label
    why = NO_TRAINING if training is None else "the datasheet names no label" if label is None else None
    if why is None and training is not None and label not in training.frame.columns:
        why = f"the training table has no label column {label!r}"
    if why is not None or training is None or label is None:
        return (Measurement(metric=LEAKAGE, value=None, state=State.UNAVAILABLE, note=why),), []
    if task != "binary_classification":
        note = f"leakage is measured for two classes only; the task is {task}"
        return (Measurement(metric=LEAKAGE, value=None, state=State.UNAVAILABLE, note=note),), []
    outcome = as_outcome(training.frame[label], columns.favourable_outcome)
    named = [name for name in features if name != label]
    codes = training.expected.codes
    found = label_leakage(training.frame, outcome, named, codes, minimum_class=parameters.leakage_minimum_class, level=parameters.level, seed=seed)
    expected = f"an area under the ROC curve of at most {parameters.leakage_auc}"
    outcomes = [_leakage_outcome(item, expected, parameters.leakage_auc) for item in found if item.state is not State.UNAVAILABLE]
    return found, outcomes


def _leakage_outcome(item: Measurement, expected: str, limit: float) -> Outcome:
    success = item.value is not None and item.value <= limit if item.state is State.MEASURED else None
    observed = f"{item.value:.3f}" if item.state is State.MEASURED else f"not evaluated: {item.note}"
    return Outcome("training", "single_feature_auc_to_be_at_most", item.attribute, "critical", success, observed, expected)


def _totals(outcomes: Sequence[Outcome], tables: Mapping[str, _Table]) -> list[Measurement]:
    rows = sum(table.figures.rows for table in tables.values())

    def count(metric: str, chosen: Sequence[Any]) -> Measurement:
        return Measurement(metric=metric, value=len(chosen), n=rows)

    return [
        count("expectations_evaluated", [item for item in outcomes if item.success is not None]),
        count("expectations_failed_critical", [item for item in outcomes if item.success is False and item.severity == "critical"]),
        count("expectations_failed_warning", [item for item in outcomes if item.success is False and item.severity == "warning"]),
    ]
