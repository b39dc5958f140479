"""The tables that regulators ask for: New York City's Local Law 144 and the four-fifths rule of the Uniform Guidelines.

Sources: Rules of the City of New York, title 6, chapter 5, subchapter T (6 RCNY 5-300 to 5-304): impact ratios of selection or scoring rates by
sex, race/ethnicity and both crossed, each against the category with the highest rate; a category below 2 % of the data may be left out of
the ratios with its number and rate still disclosed; people whose category is unknown are counted. 29 CFR 1607.4(D): a rate below four
fifths of the highest is evidence of adverse impact, read together with statistical significance (Fisher's exact test for small, the Z test
for large samples, as the Questions and Answers of 44 FR 11996 (1979) describe the practice).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rai_pipelines.assessments.fairness.groups import GroupCounts, rows, selected
from rai_pipelines.assessments.statistics.proportions import ratio_of_proportions
from rai_pipelines.subjects.datasheet import FairnessScope, ProtectedAttribute
from rai_pipelines.tables.group_names import JOIN

EXCLUDED_BELOW = 0.02  # 6 RCNY 5-301(d): share of the data that a category must have
FOUR_FIFTHS = (4, 5)
LARGE_SAMPLE = 30  # rows in each group and 5 expected in each cell, below which Fisher's test is read
EXPECTED_MIN = 5.0


def regulator_tables(
    tables: Sequence[GroupCounts], scope: FairnessScope, attributes: Mapping[str, ProtectedAttribute], *, level: float, rate: str = "selection_rate"
) -> dict[str, Any]:
    """The tables that the datasheet asks for, as plain data for evidence and documents.

    Args:
        tables: counts of single attributes and their intersections. "Selected" is the favourable decision, or a score above the median.
        scope: which tables are asked for.
        attributes: the declared attributes with their unknown values.
        level: level of intervals, which the rules do not ask for and which are given all the same.
        rate: `selection_rate` or `scoring_rate`.
    """
    by_parts = {counted.parts: counted for counted in tables}
    made: dict[str, Any] = {}
    law = scope.local_law_144
    if law is not None:
        crossed = by_parts.get((law.sex, law.race_ethnicity)) or by_parts.get((law.race_ethnicity, law.sex))
        chosen = [by_parts[law.sex,], by_parts[law.race_ethnicity,]] + ([crossed] if crossed is not None else [])
        made["nyc_local_law_144"] = {
            "rate": rate,
            "excluded_below_share": EXCLUDED_BELOW,
            "tables": [local_law_144_table(counted, attributes, level=level) for counted in chosen],
            "intersectional": "measured" if crossed is not None else "not measured: fairness.intersections_depth is 1",
        }
    if scope.uniform_guidelines:
        made["uniform_guidelines"] = {
            "rate": rate,
            "tables": [four_fifths_table(counted, attributes, level=level) for counted in tables if len(counted.parts) == 1],
        }
    return made


def local_law_144_table(counted: GroupCounts, attributes: Mapping[str, ProtectedAttribute], *, level: float) -> dict[str, Any]:
    """One table: category, number of people, selected, rate, impact ratio against the highest rate, interval, and whether it is left out.

    Unknown categories are counted apart and take no part in the ratios. A category of less than 2 % is listed with number and rate, without ratio,
    and cannot be the highest.
    """
    known, unknown = _split(counted, attributes)
    total = sum(n for _, n, _ in known)
    listed = [(name, n, taken, total > 0 and n / total < EXCLUDED_BELOW) for name, n, taken in known]
    compared = [(name, n, taken) for name, n, taken, excluded in listed if not excluded and n > 0]
    highest = max(compared, key=lambda entry: entry[2] / entry[1], default=None)
    table_rows = []
    for name, n, taken, excluded in listed:
        figure = ratio_of_proportions((taken, n), (highest[2], highest[1]), level) if highest is not None and not excluded else None
        table_rows.append(
            {
                "category": name,
                "n": n,
                "selected": taken,
                "rate": taken / n if n else None,
                "share_of_known": n / total if total else None,
                "impact_ratio": figure.value if figure else None,
                "interval": [figure.interval.low, figure.interval.high] if figure and name != (highest or ("",))[0] else None,
                "excluded": excluded,
            }
        )
    return {
        "categories": JOIN.join(counted.parts),
        "highest": highest[0] if highest else None,
        "rows": table_rows,
        "unknown": {"n": sum(n for _, n, _ in unknown), "selected": sum(taken for _, _, taken in unknown)},
        "interval_level": level,
    }


def four_fifths_table(counted: GroupCounts, attributes: Mapping[str, ProtectedAttribute], *, level: float) -> dict[str, Any]:
    """Each group against the one with the highest rate: impact ratio, four fifths in whole numbers, Fisher's and the Z test (two-sided).

    `below_four_fifths` compares 5 x1 n2 with 4 x2 n1, so that exactly four fifths is not below.
    """
    known, unknown = _split(counted, attributes)
    occupied = [entry for entry in known if entry[1] > 0]
    highest = max(occupied, key=lambda entry: entry[2] / entry[1], default=None)
    table_rows = []
    for name, n, taken in known:
        figure = ratio_of_proportions((taken, n), (highest[2], highest[1]), level) if highest is not None else None
        entry: dict[str, Any] = {"group": name, "n": n, "selected": taken, "rate": taken / n if n else None}
        if highest is not None and figure is not None and name != highest[0]:
            entry |= {
                "impact_ratio": figure.value,
                "interval": [figure.interval.low, figure.interval.high],
                "below_four_fifths": FOUR_FIFTHS[1] * taken * highest[1] < FOUR_FIFTHS[0] * highest[2] * n,
                **_significance((taken, n), (highest[2], highest[1])),
            }
        table_rows.append(entry)
    return {
        "attribute": counted.attribute,
        "highest": highest[0] if highest else None,
        "rows": table_rows,
        "unknown": {"n": sum(n for _, n, _ in unknown), "selected": sum(taken for _, _, taken in unknown)},
        "interval_level": level,
    }


def _split(counted: GroupCounts, attributes: Mapping[str, ProtectedAttribute]) -> tuple[list[tuple[str, int, int]], list[tuple[str, int, int]]]:
    """Groups as (name, rows, selected): those whose every part is known, and those with an unknown or missing part."""
    not_known = [{"(missing)", *attributes[part].unknown} for part in counted.parts]
    known: list[tuple[str, int, int]] = []
    unknown: list[tuple[str, int, int]] = []
    sizes = zip(counted.groups, counted.values_of_groups, rows(counted.cells).tolist(), selected(counted.cells).tolist(), strict=True)
    for name, parts, n, taken in sizes:
        is_unknown = any(part in values for part, values in zip(parts, not_known, strict=True))
        (unknown if is_unknown else known).append((name, int(n), int(taken)))
    return known, unknown


def _significance(group: tuple[int, int], highest: tuple[int, int]) -> dict[str, Any]:
    """Two-sided p by Fisher's exact test and by the pooled Z test, and which one the sample size calls for."""
    from scipy import stats

    (x1, n1), (x2, n2) = group, highest
    fisher = float(stats.fisher_exact([[x1, n1 - x1], [x2, n2 - x2]]).pvalue)
    pooled = (x1 + x2) / (n1 + n2)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    z = (x1 / n1 - x2 / n2) / error if error > 0 else 0.0
    small = min(n1, n2) < LARGE_SAMPLE or min(n1, n2) * min(pooled, 1 - pooled) < EXPECTED_MIN
    return {"fisher_p": float(f"{fisher:.9g}"), "z": z, "z_p": float(2 * stats.norm.sf(abs(z))), "read": "fisher" if small else "z"}
