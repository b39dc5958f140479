"""Can people be found in the table? Direct identifiers, equivalence classes over quasi-identifiers, diversity of sensitive attributes.

Sources: k-anonymity, Sweeney 2002; l-diversity, Machanavajjhala et al. 2007; t-closeness, Li et al. 2007; singling out, Article 29 Working Party
opinion WP216 (2014); prosecutor risk, El Emam 2013; direct identifiers, 45 CFR 164.514(b)(2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from rai_pipelines.assessments.base import AuditContext, Measured, Parameters
from rai_pipelines.assessments.privacy.direct_identifiers import ContentScan, kind_by_name, scan_content
from rai_pipelines.assessments.statistics.uncertainty import wilson_interval
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.tables.equivalence_classes import Diversity, EquivalenceClasses, equivalence_classes
from rai_pipelines.tables.profile import TableProfile, profile

if TYPE_CHECKING:
    from rai_pipelines.tables.source import TableSource

DECLARED = "declared"
GROUPING_KINDS = frozenset({"geographic", "date"})  # kinds that many people share: as declared quasi-identifiers they are judged by class size
CLASS_METRICS = ("k_minimum", "class_count", "rows_below_k", "singling_out_share", "prosecutor_risk_maximum", "prosecutor_risk_average")
SENSITIVE_METRICS = ("l_distinct_minimum", "l_entropy_minimum", "t_maximum")
INTEGER_TYPES = ("int", "uint")


class AnonymityParameters(Parameters):
    """How the table is read; no thresholds of the policy."""

    k_report: int = Field(default=5, ge=2, le=1000, description="`rows_below_k` counts rows in classes smaller than this")
    scan_values: int = Field(default=1000, ge=1, le=1_000_000, description="Distinct values per text column that the content scan reads")
    content_min_share: float = Field(default=0.001, ge=0, le=1, description="Share of scanned rows from which a pattern makes a column identifying")
    key_min_rows: int = Field(default=100, ge=2, description="Rows from which uniqueness of a column says that it is a key")
    flag_max_values: int = Field(default=2, ge=0, le=10, description="A column of so few distinct values tells about an identifier, and is none")
    histogram_cap: int = Field(default=200, ge=1, le=10_000, description="Class sizes listed, smallest first")
    level: float = Field(default=0.90, gt=0, lt=1, description="Level of intervals")


@dataclass(frozen=True)
class _Flagged:
    """A column with a direct identifier; `rows` of `looked_at` rows carry one."""

    column: str
    kind: str
    found_by: str
    rows: int
    looked_at: int
    counts: bool = True


def assess_anonymity(context: AuditContext, parameters: AnonymityParameters) -> Measured:
    """Anonymity of the training table, or of the evaluation table when the datasheet names no training data (details say which).

    Raises:
        DataError: the table is empty, unreadable, or lacks a column that the datasheet names as quasi-identifier or sensitive.
    """
    columns = context.subject.datasheet.columns
    codes = {name for name, attribute in columns.protected_attributes.items() if attribute.labels and not attribute.bins}
    return measure_anonymity(
        context.table("training" if context.has_table("training") else "evaluation"),
        quasi_identifiers=columns.quasi_identifiers,
        sensitive=columns.sensitive_attributes,
        declared_identifiers=columns.direct_identifiers,
        parameters=parameters,
        seed=context.seed,
        row_id=columns.row_id,
        categorical=tuple(sorted(codes | set(columns.categorical_features))),
    )


def measure_anonymity(
    source: TableSource,
    *,
    quasi_identifiers: Sequence[str],
    sensitive: Sequence[str],
    declared_identifiers: Sequence[str] = (),
    parameters: AnonymityParameters,
    seed: int,
    row_id: str | None = None,
    categorical: Sequence[str] = (),
) -> Measured:
    """Anonymity of one table.

    Metrics: `direct_identifier_columns` and `direct_identifier_share` (attribute = column, group = kind); `row_key_columns`; `k_minimum`,
    `class_count`, `rows_below_k`, `singling_out_share`, `prosecutor_risk_maximum` (1 / k), `prosecutor_risk_average` (classes / rows); and per
    sensitive attribute `l_distinct_minimum`, `l_entropy_minimum`, `t_maximum`. Without quasi-identifiers the class metrics are unavailable,
    which is not the same as safe.

    Args:
        source: the table.
        quasi_identifiers: columns that an attacker may know.
        sensitive: columns that an attacker wants to know.
        declared_identifiers: columns that the owner calls direct identifiers; those that the table has count.
        parameters: how to read the table.
        seed: chooses the values that the content scan reads when there are too many.
        row_id: the declared key of a row, not reported as one.
        categorical: numeric columns whose numbers are codes, without an order.

    Raises:
        DataError: the table is empty, unreadable, or lacks a quasi-identifier or sensitive column.
    """
    source.require(*quasi_identifiers, *sensitive)
    source.count_rows()
    figures = profile(source, values_cap=0)
    named, details = _flagged_by_name(figures, quasi_identifiers, declared_identifiers, row_id, parameters)
    identifiers, found = _direct_identifiers(source, figures.rows, named, details["declared_as_quasi_identifier"], parameters, seed=seed)
    details |= found
    keys, key_columns = _row_keys(figures, row_id, parameters)
    classes = None
    measured = tuple(name for name in dict.fromkeys(sensitive) if name not in quasi_identifiers)
    if quasi_identifiers:
        classes = equivalence_classes(source, quasi_identifiers, measured, categorical=categorical)
    details |= {
        "table": source.name,
        "rows": figures.rows,
        "quasi_identifiers": list(quasi_identifiers),
        "sensitive_attributes": list(sensitive),
        "row_key_columns": list(key_columns),
        **_class_details(classes, parameters),
    }
    in_classes = _class_measurements(classes, figures.rows, parameters)
    of_sensitive = _sensitive_measurements(classes, sensitive, figures.rows)
    return Measured(measurements=(*identifiers, keys, *in_classes, *of_sensitive), details=details)


def _flagged_by_name(
    figures: TableProfile, quasi_identifiers: Sequence[str], declared: Sequence[str], row_id: str | None, parameters: AnonymityParameters
) -> tuple[list[_Flagged], dict[str, Any]]:
    """Columns that are declared or named as identifiers; and, as details, those that are named so and are none."""
    rows = figures.rows
    flagged: list[_Flagged] = []
    grouping, flags = {}, {}
    for name, column in figures.columns.items():
        kind = kind_by_name(name)
        if name in declared:
            flagged.append(_Flagged(name, kind or DECLARED, "declared", rows - column.nulls, rows))
        elif kind is None or name == row_id:
            continue
        elif kind in GROUPING_KINDS and name in quasi_identifiers:
            grouping[name] = kind
        elif column.kind == "boolean" or (column.distincts <= parameters.flag_max_values and rows >= parameters.key_min_rows):
            flags[name] = kind
        else:
            flagged.append(_Flagged(name, kind, "name", rows - column.nulls, rows))
    return flagged, {"declared_as_quasi_identifier": grouping, "too_few_values_to_identify": flags}


def _direct_identifiers(
    source: TableSource, rows: int, named: Sequence[_Flagged], grouping: Mapping[str, str], parameters: AnonymityParameters, *, seed: int
) -> tuple[tuple[Measurement, ...], dict[str, Any]]:
    flagged = list(named)
    known = {item.column for item in named}
    details: dict[str, Any] = {}
    unscanned = None
    try:
        scan = scan_content(source, [name for name in source.columns if name not in known], values=parameters.scan_values, seed=seed)
    except ImportError as error:
        unscanned = f"values were not scanned for identifiers: {error.name or 'presidio_analyzer'} is not installed; install rai-pipelines[presidio]"
        details["content_scan"] = {"state": State.UNAVAILABLE.value, "reason": unscanned}
    else:
        flagged += _content_flags(scan, grouping, parameters)
        details["content_scan"] = {
            "state": State.MEASURED.value,
            "columns": {name: {"rows": counted, "distinct_values": values} for name, (counted, values) in scan.scanned.items()},
            "not_every_value_scanned": list(scan.partial),
        }
    details["direct_identifiers"] = [
        {"column": it.column, "kind": it.kind, "found_by": it.found_by, "rows": it.rows, "of": it.looked_at, "counted": it.counts} for it in flagged
    ]
    found = {item.column for item in flagged if item.counts}
    note = "by column names and declaration only; values were not scanned" if unscanned else None
    measurements = [Measurement(metric="direct_identifier_columns", value=len(found), n=rows, note=note)]
    measurements += [_identifier_share(item, parameters) for item in flagged]
    if unscanned:
        measurements.append(Measurement(metric="direct_identifier_share", value=None, group="content", state=State.UNAVAILABLE, note=unscanned))
    return tuple(measurements), details


def _content_flags(scan: ContentScan, grouping: Mapping[str, str], parameters: AnonymityParameters) -> list[_Flagged]:
    flags = []
    for hit in scan.hits:
        if hit.column in grouping and hit.kind in GROUPING_KINDS:
            continue
        counts = hit.matched / hit.scanned >= parameters.content_min_share
        flags.append(_Flagged(hit.column, hit.kind, "content", hit.matched, hit.scanned, counts))
    return flags


def _identifier_share(item: _Flagged, parameters: AnonymityParameters) -> Measurement:
    by_content = item.found_by == "content"
    note = f"found by {item.found_by}"
    if not item.counts:
        note += f" in a share of rows below {parameters.content_min_share}: the column does not count as identifying"
    return Measurement(
        metric="direct_identifier_share",
        value=item.rows / item.looked_at,
        interval=wilson_interval(item.rows, item.looked_at, parameters.level) if by_content else None,
        n=item.looked_at,
        denominator=item.looked_at,
        attribute=item.column,
        group=item.kind,
        note=note,
    )


def _row_keys(figures: TableProfile, row_id: str | None, parameters: AnonymityParameters) -> tuple[Measurement, tuple[str, ...]]:
    """Integer and text columns that differ in every row: possible keys into another table. Other than the declared `row_id`."""
    if figures.rows < parameters.key_min_rows:
        note = f"uniqueness says little in fewer than {parameters.key_min_rows} rows"
        return Measurement(metric="row_key_columns", value=None, n=figures.rows, state=State.INSUFFICIENT, note=note), ()
    keys = tuple(
        name
        for name, column in figures.columns.items()
        if name != row_id and column.distincts == column.rows and (column.kind == "text" or column.dtype.startswith(INTEGER_TYPES))
    )
    return Measurement(metric="row_key_columns", value=len(keys), n=figures.rows), keys


def _class_measurements(classes: EquivalenceClasses | None, rows: int, parameters: AnonymityParameters) -> tuple[Measurement, ...]:
    if classes is None:
        note = "the datasheet declares no quasi-identifiers, so re-identification was not measured"
        return tuple(Measurement(metric=metric, value=None, n=rows, state=State.UNAVAILABLE, note=note) for metric in CLASS_METRICS)
    alone = classes.unique_rows
    return (
        Measurement(metric="k_minimum", value=classes.k, n=rows),
        Measurement(metric="class_count", value=classes.classes, n=rows),
        Measurement(
            metric="rows_below_k", value=classes.rows_below(parameters.k_report) / rows, n=rows, denominator=rows, note=f"k = {parameters.k_report}"
        ),
        Measurement(
            metric="singling_out_share", value=alone / rows, interval=wilson_interval(alone, rows, parameters.level), n=rows, denominator=rows
        ),
        Measurement(metric="prosecutor_risk_maximum", value=1 / classes.k, n=rows),
        Measurement(metric="prosecutor_risk_average", value=classes.classes / rows, n=rows, denominator=rows),
    )


def _sensitive_measurements(classes: EquivalenceClasses | None, sensitive: Sequence[str], rows: int) -> tuple[Measurement, ...]:
    if classes is None or not sensitive:
        missing = "quasi-identifiers" if classes is None else "sensitive attributes"
        note = f"the datasheet declares no {missing}, so attribute disclosure was not measured"
        names: Sequence[str | None] = tuple(sensitive) or (None,)
        unavailable = State.UNAVAILABLE
        return tuple(
            Measurement(metric=metric, value=None, n=rows, attribute=name, state=unavailable, note=note)
            for name in names
            for metric in SENSITIVE_METRICS
        )
    return tuple(item for name in dict.fromkeys(sensitive) for item in _diversity(name, classes.diversity.get(name), rows))


def _diversity(name: str, found: Diversity | None, rows: int) -> tuple[Measurement, ...]:
    if found is None:
        note = "is a quasi-identifier too: every class has one value of it by construction"
        return tuple(Measurement(metric=metric, value=None, n=rows, attribute=name, state=State.UNDEFINED, note=note) for metric in SENSITIVE_METRICS)
    ground = {"ordered_emd": "earth mover's distance over ranks", "total_variation": "total variation distance"}[found.distance]
    constant = "the attribute has one value in the whole table" if found.values == 1 else None
    values = (found.distinct_minimum, found.entropy_l, found.closeness)
    notes = (constant, constant, ground)
    return tuple(
        Measurement(metric=metric, value=value, n=rows, attribute=name, note=note)
        for metric, value, note in zip(SENSITIVE_METRICS, values, notes, strict=True)
    )


def _class_details(classes: EquivalenceClasses | None, parameters: AnonymityParameters) -> dict[str, Any]:
    """Sizes only: the values of a small class would single its people out."""
    if classes is None:
        return {"class_size_histogram": [], "class_sizes_not_listed": 0, "worst_classes": []}
    listed = classes.sizes[: parameters.histogram_cap]
    worst = [size for size, count in classes.sizes[:10] for _ in range(min(count, 10))][:10]
    return {
        "class_size_histogram": [[size, count] for size, count in listed],
        "class_sizes_not_listed": len(classes.sizes) - len(listed),
        "worst_classes": [{"rows": size} for size in worst],
    }
