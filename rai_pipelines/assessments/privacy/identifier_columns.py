"""Columns that identify a person directly or may be a key into another table: by declaration, by name, by what their values look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rai_pipelines.assessments.privacy.direct_identifiers import ContentScan, kind_by_name, scan_content
from rai_pipelines.assessments.statistics.proportions import proportion
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.tables.profile import TableProfile

if TYPE_CHECKING:
    from rai_pipelines.assessments.privacy.parameters import AnonymityParameters
    from rai_pipelines.tables.source import TableSource

DECLARED = "declared"
GROUPING_KINDS = frozenset({"geographic", "date"})  # kinds that many people share: as declared quasi-identifiers they are judged by class size
INTEGER_TYPES = ("int", "uint")


@dataclass(frozen=True)
class _Flagged:
    """A column with a direct identifier; `rows` of `looked_at` rows carry one."""

    column: str
    kind: str
    found_by: str
    rows: int
    looked_at: int
    counts: bool = True


def measure_identifiers(
    source: TableSource,
    figures: TableProfile,
    quasi_identifiers: Sequence[str],
    declared: Sequence[str],
    *,
    row_id: str | None,
    parameters: AnonymityParameters,
    seed: int,
) -> tuple[tuple[Measurement, ...], dict[str, Any]]:
    """`direct_identifier_columns`, and `direct_identifier_share` per column and kind; details say how each was found.

    Raises:
        DataError: the engine refuses.
    """
    rows = figures.rows
    named, details = _flagged_by_name(figures, quasi_identifiers, declared, row_id, parameters)
    grouping = details["declared_as_quasi_identifier"]
    flagged = list(named)
    known = {item.column for item in named}
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


def measure_row_keys(figures: TableProfile, row_id: str | None, parameters: AnonymityParameters) -> tuple[Measurement, tuple[str, ...]]:
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
        interval=proportion(item.rows, item.looked_at, parameters.level).interval if by_content else None,
        n=item.looked_at,
        denominator=item.looked_at,
        attribute=item.column,
        group=item.kind,
        note=note,
    )
