"""What changed in the tables' columns since the version that was audited before: from the compact schema that this evidence keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rai_pipelines.assessments.privacy.direct_identifiers import kind_by_name
from rai_pipelines.assessments.validation.columns import family
from rai_pipelines.assessments.validation.rows import Found
from rai_pipelines.assessments.validation.suite import Outcome, categories, is_category
from rai_pipelines.evidence.model import Measurement, State, Status
from rai_pipelines.tables.group_names import group_name

if TYPE_CHECKING:
    from rai_pipelines.assessments.validation.reading import ValidatedTable
    from rai_pipelines.evidence.model import Evidence

NO_EARLIER = "no earlier version was audited"
METRICS = ("schema_columns_added", "schema_columns_removed", "schema_types_changed", "schema_categories_new", "schema_categories_gone")
DIGEST_DIGITS = 12  # of a category's name


def compact_schema(table: ValidatedTable) -> dict[str, Any]:
    """By column: `dtype`, `kind` and, for categories that are not private, a digest of each name."""
    private = table.expected.private
    schema: dict[str, Any] = {}
    for name, column in sorted(table.figures.columns.items()):
        schema[name] = {"dtype": column.dtype, "kind": column.kind}
        if is_category(column, table.expected.codes) and name not in private and kind_by_name(name) is None:
            schema[name]["categories"] = sorted({_digest(name, value) for value in categories(column)})
    return schema


def schema_changes(tables: Sequence[ValidatedTable], previous: Evidence | None) -> tuple[Found, dict[str, Any]]:
    """Columns added, removed and of another type, and categories new and gone, per table (group), against the `schema` of `previous`.

    Categories are told in counts. A width that changed (int32 to int64) is listed and is no failure.
    """
    stored = previous.details.get("schema") if previous is not None and previous.status is Status.COMPLETE else None
    if previous is None or not isinstance(stored, Mapping):
        why = NO_EARLIER if previous is None else "the evidence of the earlier version holds no schema"
        unavailable = [
            Measurement(metric=metric, value=None, group=table.name, state=State.UNAVAILABLE, note=why) for table in tables for metric in METRICS
        ]
        return (unavailable, []), {"compared_with": None, "note": why}
    measured: list[Measurement] = []
    outcomes: list[Outcome] = []
    details: dict[str, Any] = {"compared_with": {"version": previous.provenance.model_version, "evidence": previous.digest}, "tables": {}}
    for table in tables:
        before = stored.get(table.name)
        if not isinstance(before, Mapping):
            note = f"the earlier version had no {table.name} table"
            measured += [Measurement(metric=metric, value=None, group=table.name, state=State.UNAVAILABLE, note=note) for metric in METRICS]
            continue
        changes = _changes(before, compact_schema(table))
        details["tables"][table.name] = changes
        counts = (
            len(changes["added"]),
            len(changes["removed"]),
            len(changes["kind_changed"]),
            sum(changes["categories_new"].values()),
            sum(changes["categories_gone"].values()),
        )
        note = f"since version {previous.provenance.model_version}"
        columns = len({*before, *table.figures.columns})
        measured += [
            Measurement(metric=metric, value=count, n=columns, denominator=columns, group=table.name, note=f"{note}; n counts columns")
            for metric, count in zip(METRICS, counts, strict=True)
        ]
        told = f"{counts[0]} added, {counts[1]} removed, {counts[2]} of another type, {counts[3]} new categories, {counts[4]} gone"
        success = not any(counts)
        outcomes.append(Outcome(table.name, "schema_to_match_earlier_version", None, "warning", success, told, f"the columns of version {note[14:]}"))
    return (measured, outcomes), details


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    both = sorted(set(before) & set(now))

    def of(schema: Mapping[str, Any], name: str, key: str) -> Any:
        return schema[name].get(key) if isinstance(schema[name], Mapping) else None

    def names(schema: Mapping[str, Any], name: str) -> set[str]:
        found = of(schema, name, "categories")
        return set(found) if isinstance(found, Sequence) and not isinstance(found, str) else set()

    categorical = [name for name in both if names(before, name) and names(now, name)]
    new = {name: len(names(now, name) - names(before, name)) for name in categorical}
    gone = {name: len(names(before, name) - names(now, name)) for name in categorical}
    return {
        "added": sorted(set(now) - set(before)),
        "removed": sorted(set(before) - set(now)),
        "kind_changed": [name for name in both if family(str(of(before, name, "kind"))) != family(str(of(now, name, "kind")))],
        "width_changed": [
            name
            for name in both
            if of(before, name, "dtype") != of(now, name, "dtype") and family(str(of(before, name, "kind"))) == family(str(of(now, name, "kind")))
        ],
        "categories_new": {name: count for name, count in new.items() if count},
        "categories_gone": {name: count for name, count in gone.items() if count},
    }


def _digest(column: str, value: Any) -> str:
    return hashlib.sha256(f"{column}\0{group_name(value)}".encode(errors="replace")).hexdigest()[:DIGEST_DIGITS]
