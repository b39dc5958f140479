"""Drift: does the production table still look like the one the model was made from? Column by column, and all columns together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from rai_pipelines.assessments.base import AuditContext, Measured, Parameters
from rai_pipelines.assessments.performance.drop import performance_drop
from rai_pipelines.assessments.statistics.column_drift import NOT_CALLED, ColumnDrift, Frame, column_drift, figures_of, worst_state
from rai_pipelines.assessments.statistics.domain_classifier import domain_classifier_auc
from rai_pipelines.assessments.statistics.drift_tests import call, simultaneous_level
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.model import Measurement, State, Status
from rai_pipelines.subjects.datasheet import Columns, Datasheet
from rai_pipelines.tables.column_shift import (
    RANK_BINS,
    CategoryShift,
    NumericShift,
    compare_categories,
    compare_numbers,
    is_amount,
    kinds,
    spread,
)
from rai_pipelines.tables.source import TableSource

NO_PRODUCTION = "the datasheet names no production data"
LIVE = f"{NO_PRODUCTION}, and this version is in use. Add data.production"


class DriftParameters(Parameters):
    """Thresholds are effect sizes. A normally distributed number whose mean moves by 0.45 standard deviations reaches about all of them."""

    psi_threshold: float = Field(default=0.2, gt=0, description="Population stability index")
    js_distance_threshold: float = Field(default=0.2, gt=0, le=1, description="Jensen-Shannon distance, base 2")
    ks_threshold: float = Field(default=0.2, gt=0, le=1, description="Kolmogorov-Smirnov statistic")
    wasserstein_threshold: float = Field(default=0.4, gt=0, description="Wasserstein distance in standard deviations of the reference")
    cramers_v_threshold: float = Field(default=0.2, gt=0, le=1)
    new_category_threshold: float = Field(default=0.01, gt=0, le=1, description="Share of rows in new categories beyond what chance explains")
    domain_auc_threshold: float = Field(default=0.65, gt=0.5, le=1, description="Area of the classifier that tells the tables apart")
    bins: int = Field(default=10, ge=2, le=50, description="Bins of equal reference shares behind PSI; a divisor of 100")
    interval_level: float = Field(default=0.90, gt=0, lt=1, description="At which all intervals hold together")
    performance_level: float = Field(default=0.90, gt=0, lt=1, description="Level of the interval of the loss of accuracy")
    min_rows: int = Field(default=30, ge=2, description="Rows of either table below which nothing is called")
    resamples: int = Field(default=400, ge=200, le=100_000, description="Multinomial draws behind bias and standard error")
    domain_rows: int = Field(default=5_000, ge=100, le=100_000, description="Rows drawn from each table for the classifier")

    @property
    def thresholds(self) -> Mapping[str, float]:
        """By metric."""
        return {
            "psi": self.psi_threshold,
            "js_distance": self.js_distance_threshold,
            "ks": self.ks_threshold,
            "wasserstein_normalised": self.wasserstein_threshold,
            "cramers_v": self.cramers_v_threshold,
            "new_category_share": self.new_category_threshold,
            "domain_classifier_auc": self.domain_auc_threshold,
        }


@dataclass(frozen=True)
class ComparedColumn:
    """A column and the parts it plays; `categorical` numbers are codes; `edges` are declared bins."""

    name: str
    roles: tuple[str, ...]
    categorical: bool = False
    edges: tuple[float, ...] | None = None


def assess_drift(context: AuditContext, parameters: DriftParameters) -> Measured:
    """The production table against the training table (the evaluation table where there is none, which the details say).

    Compared are features, label, prediction, score and protected attributes, as far as the tables hold them; and the accuracy (see
    `performance_drop`), where labels have arrived. Without production data there is nothing to say about a version that is not in use yet.

    Raises:
        DataError: a table cannot be read, or is empty.
    """
    if not context.has_table("production"):
        live = context.subject.live
        return Measured(status=Status.MISSING if live else Status.NOT_APPLICABLE, reason=LIVE if live else NO_PRODUCTION)
    reference = context.table("training" if context.has_table("training") else "evaluation")
    current = context.table("production")
    columns, declared = declared_columns(context.subject.datasheet, reference, current)
    measured = measure_drift(reference, current, columns, parameters=parameters, seed=context.seed)
    lost = performance_drop(context, level=parameters.performance_level, min_rows=parameters.min_rows)
    return Measured(measurements=(*measured.measurements, *lost), details={**measured.details, "features_declared": declared})


def measure_drift(
    reference: TableSource, current: TableSource, columns: Sequence[ComparedColumn], *, parameters: DriftParameters, seed: int
) -> Measured:
    """Distances of every column between the two tables, with intervals that hold together, and the domain classifier over the features.

    A column's state is `drifted` if any of its figures is; intervals are simultaneous over all columns and figures (Bonferroni), so that the
    chance of calling anything drifted without drift stays below 1 - `interval_level`. p-values (Benjamini-Hochberg adjusted) stand in the
    details and decide nothing.

    Raises:
        DataError: a table is empty or cannot be read, or `bins` does not divide 100.
    """
    if RANK_BINS % parameters.bins:
        raise DataError(f"bins must divide {RANK_BINS}, and {parameters.bins} does not", where="drift parameters", hint="Use 5, 10, 20, 25 or 50")
    rows = {"reference": reference.count_rows(), "current": current.count_rows()}
    present, absent = _present(columns, reference, current)
    shifts: dict[str, NumericShift | CategoryShift] = {}
    changed: dict[str, list[str]] = {}
    for column in present:
        types = [_type_of(source, column.name) for source in (reference, current)]
        if types[0] != types[1]:
            changed[column.name] = types
        shift = _shift(reference, current, column)
        if shift is not None:
            shifts[column.name] = shift
    features = [column for column in present if "feature" in column.roles and column.name in shifts]
    figures = sum(len(figures_of(shift)) for shift in shifts.values()) + bool(features)
    frame = Frame(
        reference=reference.name,
        current=current.name,
        thresholds=parameters.thresholds,
        level=simultaneous_level(parameters.interval_level, figures),
        resamples=parameters.resamples,
        min_rows=parameters.min_rows,
        seed=seed,
    )
    drifts = {column.name: _drift(reference, column, shifts[column.name], frame, parameters) for column in present if column.name in shifts}
    domain, domain_facts = _domain(reference, current, features, frame=frame, parameters=parameters, rows=rows)
    unavailable = [*absent, *((column, "its type changed, so values cannot be compared") for column in present if column.name not in shifts)]
    measurements = [
        *(item for drift in drifts.values() for item in drift.measurements),
        *(_unavailable(column, note, frame) for column, note in unavailable),
        *domain,
    ]
    details: dict[str, Any] = {
        "reference": reference.name,
        "current": current.name,
        "rows": rows,
        "columns": _facts(drifts, {column.name: column for column in present}),
        "not_compared": {column.name: {"roles": list(column.roles), "reason": note} for column, note in unavailable},
        "types_changed": changed,
        "domain_classifier": domain_facts,
        "multiplicity": {
            "intervals": "simultaneous (Bonferroni)",
            "together": parameters.interval_level,
            "figures": figures,
            "level_of_each": frame.level,
            "p_values": "Benjamini-Hochberg; told, not decisive",
        },
        "state": worst_state([*(drift.facts["state"] for drift in drifts.values()), domain_facts["state"]]),
    }
    return Measured(measurements=tuple(measurements), details=details)


def declared_columns(datasheet: Datasheet, reference: TableSource, current: TableSource) -> tuple[list[ComparedColumn], bool]:
    """What the datasheet says is to be compared, each column once; and whether it declares the features.

    Without declared features every column counts as one that either table has and that plays no other part.
    """
    columns = datasheet.columns
    labels = {"label": columns.label, "prediction": columns.prediction, "score": columns.score}
    roles: dict[str, list[str]] = {name: ["feature"] for name in columns.features or _other_columns(columns, reference, current)}
    for role, name in labels.items():
        if name is not None:
            roles.setdefault(name, []).append(role)
    for name in columns.protected_attributes:
        roles.setdefault(name, []).append("protected attribute")
    classes = datasheet.task in {"binary_classification", "multiclass_classification"}
    compared = []
    for name, parts in roles.items():
        attribute = columns.protected_attributes.get(name)
        coded = name in columns.categorical_features or (attribute is not None and not attribute.bins)
        decided = classes and bool({"label", "prediction"} & set(parts))
        compared.append(ComparedColumn(name, tuple(parts), coded or decided, attribute.bins if attribute else None))
    return compared, bool(columns.features)


def _other_columns(columns: Columns, reference: TableSource, current: TableSource) -> list[str]:
    apart = {columns.label, columns.prediction, columns.score, columns.weight, columns.unit_id, columns.source, columns.timestamp, columns.row_id}
    apart |= set(columns.direct_identifiers)
    return [name for name in dict.fromkeys((*reference.columns, *current.columns)) if name not in apart]


def _present(
    columns: Sequence[ComparedColumn], reference: TableSource, current: TableSource
) -> tuple[list[ComparedColumn], list[tuple[ComparedColumn, str]]]:
    present, absent = [], []
    for column in columns:
        lacking = [source.name for source in (reference, current) if column.name not in source.columns]
        if lacking:
            absent.append((column, f"no such column in the {' and the '.join(lacking)} table"))
        else:
            present.append(column)
    return present, absent


def _shift(reference: TableSource, current: TableSource, column: ComparedColumn) -> NumericShift | CategoryShift | None:
    """None where the two types have nothing in common."""
    families = set(kinds(reference, current, column.name))
    if families == {"boolean", "numeric"}:
        return compare_categories(reference, current, column.name, as_numbers=True)
    if len(families) > 1:
        return None
    if not column.categorical and is_amount(reference, column.name) and is_amount(current, column.name):
        return compare_numbers(reference, current, column.name, edges=column.edges)
    return compare_categories(reference, current, column.name)


def _drift(
    reference: TableSource, column: ComparedColumn, shift: NumericShift | CategoryShift, frame: Frame, parameters: DriftParameters
) -> ColumnDrift:
    width = spread(reference, column.name) if isinstance(shift, NumericShift) else None
    return column_drift(column.name, shift, width, frame, bins=None if column.edges else parameters.bins)


def _domain(
    reference: TableSource,
    current: TableSource,
    features: Sequence[ComparedColumn],
    *,
    frame: Frame,
    parameters: DriftParameters,
    rows: Mapping[str, int],
) -> tuple[list[Measurement], dict[str, Any]]:
    names = [column.name for column in features]
    drawn = {side: min(parameters.domain_rows, held) for side, held in rows.items()}
    facts: dict[str, Any] = {"features": names, "rows_drawn": drawn, "folds": 5, "state": NOT_CALLED}
    where: dict[str, Any] = {"metric": "domain_classifier_auc", "reference": frame.reference, "comparison": frame.current}
    where |= {"n": sum(drawn.values()), "denominator": min(drawn.values())}
    area = None
    if names and min(drawn.values()) >= parameters.min_rows:
        samples = [source.sample(parameters.domain_rows, seed=frame.seed, columns=names) for source in (reference, current)]
        categorical = [column.name for column in features if column.categorical]
        area = domain_classifier_auc(samples[0], samples[1], categorical=categorical, level=frame.level, seed=frame.seed % 2**32)
    if area is None:
        note = "there is no feature in both tables" if not names else f"fewer than {parameters.min_rows} rows in one table"
        state = State.UNAVAILABLE if not names else State.INSUFFICIENT
        return [Measurement(value=None, state=state, note=note, **where)], facts
    facts["state"] = call(area.interval, parameters.domain_auc_threshold).value
    return [Measurement(value=area.value, interval=area.interval, standard_error=area.standard_error, **where)], facts


def _facts(drifts: Mapping[str, ColumnDrift], columns: Mapping[str, ComparedColumn]) -> dict[str, Any]:
    from scipy.stats import false_discovery_control

    tested = [(name, drift.p_value) for name, drift in drifts.items() if drift.p_value is not None]
    raised = false_discovery_control([value for _, value in tested]) if tested else ()
    adjusted = {name: float(value) for (name, _), value in zip(tested, raised, strict=True)}
    return {name: {"roles": list(columns[name].roles), **drift.facts, "adjusted_p_value": adjusted.get(name)} for name, drift in drifts.items()}


def _unavailable(column: ComparedColumn, note: str, frame: Frame) -> Measurement:
    where = {"attribute": column.name, "reference": frame.reference, "comparison": frame.current}
    return Measurement(metric="psi", value=None, n=0, state=State.UNAVAILABLE, note=note, **where)


def _type_of(source: TableSource, name: str) -> str:
    return str(source.table()[name].type().copy(nullable=True))
