"""The tables that regulators ask for, as the evidence holds them (assessments/fairness/regulators.py), in the words of a card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rai_pipelines.documents.text import number
from rai_pipelines.evidence.model import Evidence

LawTable = tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]]  # caption, columns, rows


def regulator_tables(bias: Evidence) -> Iterator[LawTable]:
    """Caption, column names and rows of each table; nothing when the datasheet asks for none."""
    made: Any = bias.details.get("regulators") or {}
    law = made.get("nyc_local_law_144", {})
    for table in law.get("tables", ()):
        caption = f"NYC Local Law 144 (6 RCNY 5-301): {table['categories']}, {_unknown(table)}"
        yield caption, ("category", "people", "selected", _rate(law), "impact ratio", "interval"), tuple(_category(row) for row in table["rows"])
    guidelines = made.get("uniform_guidelines", {})
    for table in guidelines.get("tables", ()):
        caption = f"Four-fifths rule (29 CFR 1607.4(D)): {table['attribute']}, against {table['highest']}, {_unknown(table)}"
        columns = ("group", "people", "selected", _rate(guidelines), "impact ratio", "below 4/5", "p")
        yield caption, columns, tuple(_group(row) for row in table["rows"])


def _rate(made: Mapping[str, Any]) -> str:
    return str(made.get("rate", "selection_rate")).replace("_", " ")


def _unknown(table: Mapping[str, Any]) -> str:
    return f"{table['unknown']['n']:,} people of unknown category not compared"


def _category(row: Mapping[str, Any]) -> tuple[str, ...]:
    ratio = "left out: below 2 % of the people" if row["excluded"] else number(row["impact_ratio"])
    return (str(row["category"]), f"{row['n']:,}", f"{row['selected']:,}", number(row["rate"]), ratio, _limits(row.get("interval")))


def _group(row: Mapping[str, Any]) -> tuple[str, ...]:
    start = (str(row["group"]), f"{row['n']:,}", f"{row['selected']:,}", number(row["rate"]))
    if "impact_ratio" not in row:
        return (*start, "–", "–", "–")
    p = row["fisher_p"] if row["read"] == "fisher" else row["z_p"]
    test = "Fisher" if row["read"] == "fisher" else "Z"
    return (*start, number(row["impact_ratio"]), "yes" if row["below_four_fifths"] else "no", f"{number(p, 4)} ({test})")


def _limits(interval: Any) -> str:
    return f"{number(interval[0])} to {number(interval[1])}" if interval else "–"
