"""What the HIPAA Safe Harbor method says beyond direct identifiers: ZIP codes, ages over 89, dates more exact than the year.

Columns are found by the words of their names and, among declared quasi-identifiers, by what their values look like; a ZIP code under another
name that is no quasi-identifier is not found. Source: 45 CFR 164.514(b)(2)(i)(B) and (C).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rai_pipelines.assessments.privacy.direct_identifiers import kind_by_name, words_of
from rai_pipelines.evidence.model import Measurement
from rai_pipelines.tables.profile import ColumnProfile, TableProfile, comparable, whole

if TYPE_CHECKING:
    from rai_pipelines.tables.source import TableSource

# Areas of at most 20,000 people in the census of 2000: Department of Health and Human Services, Guidance Regarding Methods for De-identification
# of Protected Health Information (2012), after 67 FR 53182, 53234 (14 August 2002). The list ages: the rule asks for current census data.
RESTRICTED_ZIP3 = (
    "036", "059", "063", "102", "203", "556", "692", "790", "821", "823", "830", "831", "878", "879", "884", "890", "893",
)  # fmt: skip
CENSUS = 2000
OLDEST = 89
ZIP_WORDS = frozenset({"zip", "zipcode", "postcode", "postal", "postalcode"})
AGE_WORDS = frozenset({"age", "agep", "ages"})  # AGEP: age of a person in the American Community Survey
DATE_WORDS = frozenset({"date", "dob", "birthdate", "birthday", "birth"})
ZIP5 = r"^\s*[0-9]{5}(-?[0-9]{4})?\s*$"
ZIP3 = r"^\s*[0-9]{3}\s*$"
EXACT_DATE = r"^\s*([0-9]{4}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2,4}|[0-9]{8})"
METRICS: Mapping[str, str] = {
    "safe_harbor_zip5_rows": "rows with more than three digits of a ZIP code, 45 CFR 164.514(b)(2)(i)(B)",
    "safe_harbor_zip3_restricted_rows": f"rows in a three-digit area with at most 20,000 people (list of the census of {CENSUS}); they must read 000",
    "safe_harbor_age_over_89_rows": "rows with an age over 89 that is not aggregated to 90 or older, 45 CFR 164.514(b)(2)(i)(C)",
    "safe_harbor_dates": "rows with a date more exact than the year, 45 CFR 164.514(b)(2)(i)(C)",
}


def measure_safe_harbor(source: TableSource, figures: TableProfile, quasi: Sequence[str]) -> tuple[tuple[Measurement, ...], dict[str, Any]]:
    """Rows that break each rule, per column (`METRICS`; attribute = column), and what was looked at as details.

    When no column is found for a rule the value is 0 with a note that says so. An age of exactly 90 in a column with no higher one reads as the
    aggregate "90 or older". A date column whose dates are all the first of January reads as years.

    Raises:
        DataError: the engine refuses.
    """
    rows = figures.rows
    found: dict[str, dict[str, int]] = {metric: {} for metric in METRICS}
    for name in figures.columns:
        for metric, expression in _rules(source, figures, name, name in quasi).items():
            found[metric][name] = whole(source.run(expression))
    if not found["safe_harbor_zip5_rows"]:
        found["safe_harbor_zip3_restricted_rows"] = {}
    measurements = [
        Measurement(metric=metric, value=count, n=rows, denominator=rows, attribute=name, note=METRICS[metric])
        for metric, columns in found.items()
        for name, count in columns.items()
    ]
    measurements += [
        Measurement(metric=metric, value=0, n=rows, denominator=rows, note=f"no column reads like one; {METRICS[metric]}")
        for metric, columns in found.items()
        if not columns
    ]
    return tuple(measurements), {"safe_harbor": {"columns": found, "zip3_census": CENSUS, "zip3_restricted": list(RESTRICTED_ZIP3)}}


def _rules(source: TableSource, figures: TableProfile, name: str, is_quasi: bool) -> dict[str, Any]:
    """Per metric that bears on the column, the expression that counts its rows."""
    column, profile = comparable(source, [name])["c0"], figures.columns[name]
    words = set(words_of(name))
    rules: dict[str, Any] = {}
    if profile.kind == "numeric" and words & AGE_WORDS:
        aggregated = profile.maximum == OLDEST + 1
        rules["safe_harbor_age_over_89_rows"] = (column > (OLDEST + 1 if aggregated else OLDEST)).sum()
    is_text = profile.kind == "text"
    if (words & ZIP_WORDS and profile.kind in {"numeric", "text"}) or (is_quasi and is_text and _mostly(source, column, ZIP5, profile)):
        rules |= _zip_rules(column, profile.kind)
    if profile.kind == "temporal" and not column.type().is_time() and not column.type().is_interval():
        exact = ~((column.month() == 1) & (column.day() == 1))
        rules["safe_harbor_dates"] = column.count() if whole(source.run(exact.sum())) else exact.sum()
    elif is_text and (words & DATE_WORDS or kind_by_name(name) == "date" or (is_quasi and _mostly(source, column, EXACT_DATE, profile))):
        rules["safe_harbor_dates"] = column.re_search(EXACT_DATE).sum()
    if "safe_harbor_zip5_rows" in rules:
        rules.pop("safe_harbor_dates", None)  # a ZIP+4 without its hyphen is no date
    return rules


def _zip_rules(column: Any, kind: str) -> dict[str, Any]:
    import ibis

    if kind == "numeric":  # leading zeros are lost: 501 is 00501 or the area 501; it is read as an area
        number = column.cast("float64")
        area = number < 1000
        restricted = area & number.isin([float(prefix) for prefix in RESTRICTED_ZIP3])
        return {"safe_harbor_zip5_rows": (~area).sum(), "safe_harbor_zip3_restricted_rows": restricted.sum()}
    text = column.strip()
    long, area = column.re_search(ZIP5), column.re_search(ZIP3)
    prefix = ibis.ifelse(area, text, ibis.null("string"))
    return {"safe_harbor_zip5_rows": long.sum(), "safe_harbor_zip3_restricted_rows": prefix.isin(list(RESTRICTED_ZIP3)).sum()}


def _mostly(source: TableSource, column: Any, pattern: str, profile: ColumnProfile) -> bool:
    """Whether more than half of the values have the pattern."""
    return 2 * whole(source.run(column.re_search(pattern).sum())) > profile.rows - profile.nulls
