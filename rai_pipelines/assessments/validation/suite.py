"""The Great Expectations suite of one table, derived from the datasheet and the training profile; `executors` runs it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rai_pipelines.tables.profile import ColumnProfile, Scalar, TableProfile

Severity = Literal["critical", "warning"]

LEAST_REPEATED = 2  # rows per value of a category, on average
LONGEST_CATEGORY = 100  # characters; longer texts are no category names


@dataclass(frozen=True)
class Planned:
    """One expectation of Great Expectations, by class name and arguments, and what it expects in words."""

    table: str
    type: str
    severity: Severity
    expected: str
    column: str | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def expectation(self) -> str:
        """The type as suite files and outcomes spell it: `expect_column_to_exist`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.type).lower()

    @property
    def named(self) -> str:
        """The expectation with its column, as reports name it."""
        return f"{self.expectation}({self.column})" if self.column is not None else self.expectation

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the expectation, JSON-able."""
        return ({"column": self.column} if self.column is not None else {}) | dict(self.kwargs)


@dataclass(frozen=True)
class Outcome:
    """What became of one expectation; `success` is None when it could not be evaluated for want of data, `observed` then says why."""

    table: str
    expectation: str
    column: str | None
    severity: Severity
    success: bool | None
    observed: str
    expected: str

    def as_detail(self) -> dict[str, Any]:
        """The row of the evidence."""
        return {
            "table": self.table,
            "expectation": self.expectation,
            "column": self.column,
            "severity": self.severity,
            "success": self.success,
            "observed": self.observed,
            "expected": self.expected,
        }


@dataclass(frozen=True)
class Expected:
    """What one table must look like: columns it must have and why, and the columns that are checked further, if they exist."""

    required: Mapping[str, Severity]
    label: str | None
    protected: tuple[str, ...]
    checked: tuple[str, ...]
    codes: frozenset[str]
    private: frozenset[str]  # columns whose values, extremes included, are not written down


@dataclass(frozen=True)
class Margins:
    """How far the table may be from the training profile: shares of rows, and share of the training range."""

    missing: float
    missing_maximum: float
    range: float


def plan(table: str, expected: Expected, found: TableProfile, training: TableProfile | None, margins: Margins) -> tuple[Planned, ...]:
    """The expectations of `table`, in a fixed order. `training` is None for the training table itself, and when there is none."""
    return tuple(_plan(table, expected, found, training, margins))


def is_category(column: ColumnProfile, codes: frozenset[str]) -> bool:
    """Whether the values of the column are a closed list of names or codes. Values that hardly repeat are no list, and may be people's."""
    named = column.kind in {"text", "boolean"} or (column.kind == "numeric" and column.name in codes)
    repeats = column.kind == "boolean" or column.distincts * LEAST_REPEATED <= column.rows - column.nulls
    return named and repeats and column.values is not None and all(len(str(value)) <= LONGEST_CATEGORY for value, _ in column.values)


def _plan(table: str, expected: Expected, found: TableProfile, training: TableProfile | None, margins: Margins) -> Iterator[Planned]:
    yield Planned(table, "ExpectTableRowCountToBeBetween", "critical", "at least 1 row", kwargs={"min_value": 1})
    for name, severity in expected.required.items():
        yield Planned(table, "ExpectColumnToExist", severity, "the column exists", name)
    if expected.label in found.columns:
        yield Planned(table, "ExpectColumnValuesToNotBeNull", "warning", "every row has a label", expected.label)
    for name in expected.protected:
        if name in found.columns:
            yield Planned(table, "ExpectColumnUniqueValueCountToBeBetween", "critical", "some row has a value", name, {"min_value": 1})
    for name in expected.checked:
        if name not in found.columns:
            continue
        known = training.columns.get(name) if training else None
        share = min(1.0, known.missing_share + margins.missing) if known else margins.missing_maximum
        words = f"at most {share:.1%} of rows without a value"
        yield Planned(table, "ExpectColumnValuesToNotBeNull", "warning", words, name, {"mostly": round(1 - share, 6)})
        if known and known.kind == found.columns[name].kind and name not in expected.private:
            yield from _like_training(table, name, known, expected, margins)


def _like_training(table: str, name: str, known: ColumnProfile, expected: Expected, margins: Margins) -> Iterator[Planned]:
    if is_category(known, expected.codes):
        values = categories(known)
        if values:
            yield Planned(
                table, "ExpectColumnValuesToBeInSet", "warning", f"one of the {len(values)} values seen in training", name, {"value_set": values}
            )
    elif known.kind == "numeric" and isinstance(known.minimum, float) and isinstance(known.maximum, float):
        slack = margins.range * (known.maximum - known.minimum)
        low, high = known.minimum - slack, known.maximum + slack
        if math.isfinite(low) and math.isfinite(high):
            words = f"between {low:.6g} and {high:.6g}: the training range and {margins.range:.0%} of it on either side"
            yield Planned(table, "ExpectColumnValuesToBeBetween", "warning", words, name, {"min_value": low, "max_value": high})


def categories(column: ColumnProfile) -> list[Scalar]:
    """The values of a category column, sorted; numbers that JSON cannot carry left out."""
    values = [value for value, _ in column.values or () if not isinstance(value, float) or math.isfinite(value)]
    return sorted(values, key=lambda value: (str(type(value)), value))
