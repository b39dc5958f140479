"""Run a suite on one table: by Great Expectations on a pandas frame, or by one aggregation in the table's engine over all rows.

Both get the same conditions and answer in the same form. Observed values are told as counts, never as the values themselves: an unexpected
value may be a person's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rai_pipelines.assessments.validation.patterns import portable
from rai_pipelines.assessments.validation.suite import Outcome, Planned
from rai_pipelines.tables.instants import form_of
from rai_pipelines.tables.profile import kind_of
from rai_pipelines.tables.unexpected import Broken, Condition, Test, count_unexpected

if TYPE_CHECKING:
    import pandas as pd

    from rai_pipelines.tables.source import TableSource

GREAT_EXPECTATIONS, ENGINE = "Great Expectations on pandas", "one aggregation in the engine"
ANOTHER_TYPE = "could not be evaluated: the values are of another type"
NO_COLUMN = "could not be evaluated: the column is not there"
TESTS: dict[str, Test] = {
    "ExpectColumnValuesToNotBeNull": "present",
    "ExpectColumnValuesToBeNull": "absent",
    "ExpectColumnValuesToBeInSet": "among",
    "ExpectColumnValuesToNotBeInSet": "not_among",
    "ExpectColumnValuesToBeBetween": "between",
    "ExpectColumnValueLengthsToBeBetween": "length",
    "ExpectColumnValuesToMatchRegex": "match",
    "ExpectColumnValuesToNotMatchRegex": "no_match",
    "ExpectColumnValuesToBeUnique": "unique",
    "ExpectColumnUniqueValueCountToBeBetween": "distincts",
}
ROWS, EXISTS = "ExpectTableRowCountToBeBetween", "ExpectColumnToExist"
ALLOWED = (ROWS, EXISTS, *TESTS)  # expectations that both can run
IN_THE_ENGINE_ALWAYS = {"match", "no_match"}  # Python's own regular expressions backtrack


def run(planned: Sequence[Planned], source: TableSource, frame: pd.DataFrame | None) -> tuple[Outcome, ...]:
    """What became of each expectation, in the order of `planned`; without a `frame` (all rows of the table) the engine counts.

    An expectation on an absent column, or on one whose type it cannot apply to, has failed.

    Raises:
        DataError: the engine refuses.
    """
    outcomes: dict[int, Outcome] = {}
    counted: dict[int, Condition] = {}
    with_great_expectations: dict[int, Condition | None] = {}
    for position, item in enumerate(planned):
        condition = _condition(item, source)
        if isinstance(condition, str):
            outcomes[position] = _outcome(item, False, condition)
        elif frame is not None and (condition is None or condition.test not in IN_THE_ENGINE_ALWAYS):
            with_great_expectations[position] = condition
        elif condition is None:
            outcomes[position] = _without_values(item, source)
        else:
            counted[position] = condition
    made = _by_engine([planned[position] for position in counted], list(counted.values()), source)
    outcomes |= zip(counted, made, strict=True)
    if frame is not None and with_great_expectations:
        chosen = [planned[position] for position in with_great_expectations]
        outcomes |= zip(with_great_expectations, run_great_expectations(chosen, list(with_great_expectations.values()), frame), strict=True)
    return tuple(outcomes[position] for position in range(len(planned)))


def run_great_expectations(planned: Sequence[Planned], conditions: Sequence[Condition | None], frame: pd.DataFrame) -> tuple[Outcome, ...]:
    """By Great Expectations, on all rows of `frame`. Arguments are those of the conditions, so that both executors compare alike."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read by the library when it is imported; nothing leaves this machine
    import great_expectations as gx
    from great_expectations import expectations
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults, ProgressBarsConfig

    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),  # its default leaves a folder in /tmp behind
        progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
        analytics_enabled=False,
    )
    context = gx.get_context(mode="ephemeral", project_config=config)
    made = [
        getattr(expectations, item.type)(**_arguments(item, condition), severity=item.severity, meta={"position": position})
        for position, (item, condition) in enumerate(zip(planned, conditions, strict=True))
    ]
    batch = context.data_sources.add_pandas("audit").add_dataframe_asset("table").add_batch_definition_whole_dataframe("all")
    suite = gx.ExpectationSuite(name="suite", expectations=made)
    given = {"dataframe": _as_compared(frame)}
    report = batch.get_batch(given).validate(suite, result_format={"result_format": "BASIC", "partial_unexpected_count": 0})
    # results come back in the library's order: errors first
    results = {result.expectation_config.meta["position"]: result for result in report.results}
    return tuple(_outcome(item, bool(results[position].success), _observed(results[position])) for position, item in enumerate(planned))


def _by_engine(planned: Sequence[Planned], conditions: Sequence[Condition], source: TableSource) -> list[Outcome]:
    if not conditions:
        return []
    counted = count_unexpected(source, conditions)
    return [_judged(item, condition, broken) for item, condition, broken in zip(planned, conditions, counted, strict=True)]


def _judged(item: Planned, condition: Condition, broken: Broken) -> Outcome:
    """The verdicts of Great Expectations: `mostly` is a share of the rows with a value, or of all rows where that is the question."""
    if condition.test == "distincts":
        return _outcome(item, _within(broken.unexpected, item), f"{broken.unexpected} distinct values")
    asked = broken.rows if condition.test in {"present", "absent"} else broken.rows - broken.nulls
    success = asked == 0 or (float(asked) - float(broken.unexpected)) / float(asked) >= item.kwargs.get("mostly", 1)
    return _outcome(item, success, f"{broken.unexpected} of {broken.rows} rows are not so")


def _without_values(item: Planned, source: TableSource) -> Outcome:
    if item.type == EXISTS:
        there = item.column in source.columns
        return _outcome(item, there, "it does" if there else "it does not")
    rows = source.count_rows()
    return _outcome(item, _within(rows, item), f"{rows} rows")


def _within(number: int, item: Planned) -> bool:
    low, high = item.kwargs.get("min_value"), item.kwargs.get("max_value")
    above = low is None or (number > low if item.kwargs.get("strict_min") else number >= low)
    below = high is None or (number < high if item.kwargs.get("strict_max") else number <= high)
    return bool(above and below)


def _condition(item: Planned, source: TableSource) -> Condition | str | None:
    """What is asked of the values; None where none are looked at; a text says why it cannot be asked."""
    if item.type in {ROWS, EXISTS}:
        return None
    name = item.column
    if name is None or name not in source.columns:
        return NO_COLUMN
    test, kwargs = TESTS[item.type], item.kwargs
    dtype = source.table()[name].type()
    kind = kind_of(dtype)
    if test in {"among", "not_among"}:
        if kind not in {"text", "boolean", "numeric"}:
            return ANOTHER_TYPE
        values = tuple(v for v in (_comparable(value, kind, whole=dtype.is_integer()) for value in kwargs["value_set"]) if v is not None)
        return Condition(name, test, values=values)
    if test == "length" or test in IN_THE_ENGINE_ALWAYS:
        if kind != "text":
            return ANOTHER_TYPE
        if test != "length":
            return Condition(name, test, pattern=portable(kwargs["regex"]))
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if test == "between":
        if kind == "temporal" and form_of(source, name) != "other":
            low, high = microseconds(low), microseconds(high)
        elif kind != "numeric" or isinstance(low, str) or isinstance(high, str):
            return ANOTHER_TYPE
    if test in {"between", "length"}:
        if low is None and high is None:
            return ANOTHER_TYPE
        return Condition(name, test, low=low, high=high, strict_low=bool(kwargs.get("strict_min")), strict_high=bool(kwargs.get("strict_max")))
    return Condition(name, test)


def microseconds(limit: Any) -> int | None:
    """A limit in ISO 8601 as microseconds since 1970 (UTC where it tells no zone); None for one that is none."""
    if not isinstance(limit, str):
        return None
    try:
        moment = datetime.fromisoformat(limit)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _comparable(value: Any, kind: str, *, whole: bool) -> str | int | float | bool | None:
    """The value if one of a column of that kind can equal it, else None."""
    if kind == "text":
        return value if isinstance(value, str) else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not whole:
        return float(value)
    return int(value) if value == int(value) and abs(value) < 2**63 else None


def _arguments(item: Planned, condition: Condition | None) -> dict[str, Any]:
    arguments = item.arguments()
    if condition is None:
        return arguments
    if condition.test in {"among", "not_among"}:
        arguments["value_set"] = list(condition.values)
    if condition.test == "between":
        arguments |= {"min_value": condition.low, "max_value": condition.high}
    return arguments


def _as_compared(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with dates and times as microseconds since 1970, and numbers as the engine compares them."""
    return frame.apply(_column_as_compared) if len(frame.columns) and len(frame) else frame


def _column_as_compared(values: pd.Series) -> pd.Series:
    import pandas as pd

    kinds = pd.api.types
    if kinds.is_datetime64_any_dtype(values):
        moments = pd.to_datetime(values, utc=True).astype("datetime64[us, UTC]")
        return moments.astype("int64").where(values.notna()).astype("Int64") if values.isna().any() else moments.astype("int64")
    if kinds.is_float_dtype(values):
        return values.astype("float64")
    known = values.dropna()
    if kinds.is_object_dtype(values) and len(known):
        first = known.iloc[0]
        if isinstance(first, date):
            return pd.Series([None if pd.isna(v) else microseconds(v.isoformat()) for v in values], index=values.index, dtype="Int64")
        if type(first).__name__ == "Decimal":
            return values.astype("float64")
    return values


def _outcome(item: Planned, success: bool, observed: str) -> Outcome:
    return Outcome(item.table, item.expectation, item.column, item.severity, bool(success), observed, item.expected)


def _observed(result: Any) -> str:
    found = result.result or {}
    info = result.exception_info or {}
    if any(isinstance(entry, dict) and entry.get("raised_exception") for entry in (info, *info.values())):
        return ANOTHER_TYPE
    if "unexpected_count" in found:
        return f"{found['unexpected_count']} of {found['element_count']} rows are not so"
    if result.expectation_config.type == "expect_table_row_count_to_be_between":
        return f"{found['observed_value']} rows"
    if "observed_value" in found:
        return f"{found['observed_value']} distinct values"
    return "it does" if result.success else "it does not"
