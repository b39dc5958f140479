"""Suites as files that people edit: Great Expectations' own JSON, read with an allow-list, since a file that comes with a model is untrusted.

`FOLDER/training.json` and `FOLDER/evaluation.json`. Every expectation says in `meta.rai` what it expects in words; the suite says from which
profile and datasheet it was derived.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rai_pipelines.assessments.validation.executors import ALLOWED, microseconds
from rai_pipelines.assessments.validation.patterns import portable
from rai_pipelines.assessments.validation.suite import Planned, Severity
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.canonical import digest_of, plain
from rai_pipelines.tables.profile import TableProfile

FOLDER = "expectations"
SCHEMA = "rai.suite/v1"
TABLES = ("training", "evaluation")
MOST_BYTES = 1_000_000
MOST_EXPECTATIONS = 2_000
MOST_PATTERNS = 50
MOST_VALUES = 10_000  # of one value_set
LONGEST_TEXT = 1_000
HINT = "Correct the file, or write it anew with rai suite write"

_LIMITS = {"min_value", "max_value", "strict_min", "strict_max"}
KWARGS: dict[str, set[str]] = {
    "ExpectTableRowCountToBeBetween": {"min_value", "max_value", "strict_min", "strict_max"},
    "ExpectColumnToExist": {"column"},
    "ExpectColumnValuesToNotBeNull": {"column", "mostly"},
    "ExpectColumnValuesToBeNull": {"column", "mostly"},
    "ExpectColumnValuesToBeInSet": {"column", "mostly", "value_set"},
    "ExpectColumnValuesToNotBeInSet": {"column", "mostly", "value_set"},
    "ExpectColumnValuesToBeBetween": {"column", "mostly"} | _LIMITS,
    "ExpectColumnValueLengthsToBeBetween": {"column", "mostly"} | _LIMITS,
    "ExpectColumnValuesToMatchRegex": {"column", "mostly", "regex"},
    "ExpectColumnValuesToNotMatchRegex": {"column", "mostly", "regex"},
    "ExpectColumnValuesToBeUnique": {"column", "mostly"},
    "ExpectColumnUniqueValueCountToBeBetween": {"column"} | _LIMITS,
}
WHOLE = {"ExpectTableRowCountToBeBetween", "ExpectColumnValueLengthsToBeBetween", "ExpectColumnUniqueValueCountToBeBetween"}


@dataclass(frozen=True)
class SuiteFile:
    """The expectations of one file, and `sha256:` over its bytes."""

    planned: tuple[Planned, ...]
    digest: str
    derived_from: Mapping[str, str]


def suite_json(table: str, planned: Sequence[Planned], *, profile_digest: str | None, datasheet_digest: str | None) -> str:
    """The suite as Great Expectations writes it; the same expectations give the same text."""
    from importlib.metadata import version

    derived = {"profile": profile_digest, "datasheet": datasheet_digest}
    content = {
        "name": f"{table} table",
        "id": None,
        "expectations": [
            {
                "type": item.expectation,
                "kwargs": plain(item.arguments()),
                "meta": {"rai": {"expects": item.expected, "severity": item.severity}},
                "severity": item.severity,
            }
            for item in planned
        ],
        "meta": {
            "great_expectations_version": version("great-expectations"),
            "rai": {"schema": SCHEMA, "table": table, "derived_from": {name: digest for name, digest in derived.items() if digest}},
        },
        "notes": None,
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def profile_digest(profile: TableProfile) -> str:
    """`sha256:` over all figures of a profile."""
    columns = {
        name: {**{key: value for key, value in vars(column).items() if key != "values"}, "values": [list(pair) for pair in column.values or ()]}
        for name, column in profile.columns.items()
    }
    return digest_of(_without_infinities({"rows": profile.rows, "columns": columns}))


def read_suite(path: Path, table: str | None) -> SuiteFile:
    """The suite of `table` in the file at `path`; None takes the table that the file names.

    Raises:
        DataError: it cannot be read, is no suite, is for another table, or has an expectation that is not on the allow-list; names file and
            expectation.
    """
    shown = f"{path.parent.name}/{path.name}"
    if path.is_symlink() or not path.is_file():
        raise DataError("is no plain file", where=shown, hint=HINT)
    content = path.read_bytes()[: MOST_BYTES + 1] if path.stat().st_size <= MOST_BYTES else b""
    if not content or len(content) > MOST_BYTES:
        raise DataError(f"is empty, or larger than {MOST_BYTES:,} bytes", where=shown, hint=HINT)
    try:
        suite = json.loads(content.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_key_twice)
    except (ValueError, RecursionError) as error:
        raise DataError(f"is no JSON ({str(error)[:200]})", where=shown, hint=HINT) from error
    items = suite.get("expectations") if isinstance(suite, dict) else None
    if not isinstance(items, list) or not 0 < len(items) <= MOST_EXPECTATIONS:
        raise DataError(f"has no list of 1 to {MOST_EXPECTATIONS:,} expectations", where=shown, hint=HINT)
    facts = _mapping(_mapping(suite.get("meta")).get("rai"))
    told = facts.get("table")
    if table is None:
        table = told if told in TABLES else TABLES[-1]
    if told is not None and told != table:
        raise DataError(f"is the suite of the {_short(told)} table, not of the {table} table", where=shown, hint=HINT)
    planned = []
    for number, item in enumerate(items, start=1):
        try:
            planned.append(_planned(item, table))
        except ValueError as error:
            kind = _short(_mapping(item).get("type"))
            raise DataError(f"expectation {number} ({kind}): {error}", where=shown, hint=HINT) from error
    if sum(item.type.endswith("MatchRegex") for item in planned) > MOST_PATTERNS:
        raise DataError(f"has more than {MOST_PATTERNS} patterns", where=shown, hint=HINT)
    twice = [item.named for position, item in enumerate(planned) if any(_same(item, other) for other in planned[:position])]
    if twice:
        raise DataError(f"says {twice[0]} twice", where=shown, hint="Leave one of them")
    derived = {name: str(value)[:100] for name, value in _mapping(facts.get("derived_from")).items() if name in {"profile", "datasheet"}}
    return SuiteFile(tuple(planned), "sha256:" + hashlib.sha256(content).hexdigest(), derived)


def _planned(item: Any, table: str) -> Planned:
    if not isinstance(item, dict):
        raise ValueError("is no object")
    spelled = {_snake(name): name for name in ALLOWED}
    kind = spelled.get(str(item.get("type")))
    if kind is None:
        raise ValueError(f"is not on the allow-list: {', '.join(sorted(spelled))}")
    kwargs = {name: value for name, value in _mapping(item.get("kwargs")).items() if value is not None}
    unknown = sorted(set(kwargs) - KWARGS[kind])
    if unknown:
        raise ValueError(f"takes no {', '.join(map(_short, unknown))}; it takes {', '.join(sorted(KWARGS[kind]))}")
    severity = item.get("severity", "critical")
    if severity not in {"critical", "warning"}:
        raise ValueError(f"has the severity {_short(severity)}; write critical or warning")
    column = kwargs.pop("column", None)
    if "column" in KWARGS[kind] and (not isinstance(column, str) or not column or len(column) > LONGEST_TEXT or not column.isprintable()):
        raise ValueError("names no column")
    _check_kwargs(kind, kwargs)
    words = _mapping(_mapping(item.get("meta")).get("rai")).get("expects")
    expected = " ".join(words.split())[:300] if isinstance(words, str) and words.isprintable() else "as the suite file says"
    chosen: Severity = severity
    return Planned(table, kind, chosen, expected, column, kwargs)


def _check_kwargs(kind: str, kwargs: Mapping[str, Any]) -> None:
    mostly = kwargs.get("mostly", 1)
    if isinstance(mostly, bool) or not isinstance(mostly, int | float) or not 0 <= mostly <= 1:
        raise ValueError("mostly is a share between 0 and 1")
    if any(not isinstance(kwargs.get(name, False), bool) for name in ("strict_min", "strict_max")):
        raise ValueError("strict_min and strict_max are true or false")
    if "value_set" in KWARGS[kind]:
        values = kwargs.get("value_set")
        if not isinstance(values, list) or len(values) > MOST_VALUES or not all(_is_scalar(value) for value in values):
            raise ValueError(f"value_set is a list of at most {MOST_VALUES:,} texts, numbers or true and false")
    if "regex" in KWARGS[kind]:
        regex = kwargs.get("regex")
        if not isinstance(regex, str):
            raise ValueError("regex is a text")
        portable(regex)
    if "min_value" in KWARGS[kind]:
        _check_limits(kind, kwargs.get("min_value"), kwargs.get("max_value"))


def _check_limits(kind: str, low: Any, high: Any) -> None:
    given = [limit for limit in (low, high) if limit is not None]
    if not given:
        raise ValueError("has neither min_value nor max_value")
    if any(isinstance(limit, bool) or not isinstance(limit, int | float | str) for limit in given):
        raise ValueError("min_value and max_value are numbers or ISO 8601 times")
    if kind in WHOLE and any(not isinstance(limit, int) or limit < 0 for limit in given):
        raise ValueError("min_value and max_value are whole numbers of at least 0")
    if any(isinstance(limit, str) and microseconds(limit) is None for limit in given):
        raise ValueError("min_value and max_value as texts are ISO 8601 times")
    if any(not isinstance(limit, str) and (not math.isfinite(limit) or abs(limit) > 1e300) for limit in given):
        raise ValueError("min_value and max_value are finite")
    if len(given) == 2:
        if isinstance(low, str) != isinstance(high, str):
            raise ValueError("min_value and max_value are of one type")
        first, second = (microseconds(limit) if isinstance(limit, str) else limit for limit in given)
        if first > second:  # type: ignore[operator]
            raise ValueError("min_value is above max_value")


def _same(one: Planned, other: Planned) -> bool:
    """The same expectation; of patterns a column may have several."""
    regex = one.kwargs.get("regex") == other.kwargs.get("regex")
    return (one.type, one.column) == (other.type, other.column) and regex


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _is_scalar(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT
    return isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**63) or (isinstance(value, float) and math.isfinite(value))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _short(value: Any) -> str:
    return repr(value)[:80]


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return made


def _without_infinities(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_infinities(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_infinities(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
