"""The smallest equivalence classes, suppressed: their sizes and which sensitive attributes they give away, never a value.

Keys and values are compared inside the engine. What leaves it is (size, one flag per attribute, number of such classes), which is the same for
every class it counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rai_pipelines.tables.class_partitions import passes
from rai_pipelines.tables.profile import comparable

if TYPE_CHECKING:
    from rai_pipelines.tables.source import TableSource


@dataclass(frozen=True)
class WorstClass:
    """A class of `rows` rows; `homogeneous` are the sensitive attributes of which all of them have the same value."""

    rows: int
    homogeneous: tuple[str, ...]


def worst_classes(
    source: TableSource, quasi: Sequence[str], sensitive: Sequence[str], sizes: Sequence[tuple[int, int]], *, limit: int = 10
) -> tuple[WorstClass, ...]:
    """The `limit` smallest classes, and among equally small ones those that give most away.

    `sizes` are the (size, number of classes) of the table over `quasi`, smallest first. Null is a value.

    Raises:
        DataError: the engine refuses.
    """
    largest, held = 0, 0
    for size, count in sizes:
        largest, held = size, held + count
        if held >= limit:
            break
    table = comparable(source, (*quasi, *sensitive))
    keys = [f"c{index}" for index in range(len(quasi))]
    values = {f"h{index}": f"c{len(quasi) + index}" for index in range(len(sensitive))}
    table = table.cast({name: "string" for name in values.values() if table[name].type().is_boolean()})
    rows = sum(size * count for size, count in sizes)
    found: Counter[tuple[int, tuple[bool, ...]]] = Counter()
    for part in passes(source, table, keys, rows):
        figures: dict[str, Any] = {"size": part.count()}
        for flag, name in values.items():
            figures |= {f"{flag}_least": part[name].min(), f"{flag}_most": part[name].max(), f"{flag}_held": part[name].count()}
        classes = part.group_by(keys).aggregate(**figures)
        small = classes.filter(classes["size"] <= largest)
        same = {flag: (small[f"{flag}_held"] == 0) | ((small[f"{flag}_held"] == small["size"]) & (small[f"{flag}_least"] == small[f"{flag}_most"]))
                for flag in values}  # fmt: skip
        flagged = small.select("size", **{flag: expression.fill_null(False) for flag, expression in same.items()})
        counted = source.run(flagged.group_by(["size", *values]).aggregate(classes=flagged.count()))
        for row in counted.to_dict("records"):
            found[int(row["size"]), tuple(bool(row[flag]) for flag in values)] += int(row["classes"])
    ordered = sorted(found.items(), key=lambda item: (item[0][0], -sum(item[0][1]), [not flag for flag in item[0][1]]))
    each = [kind for kind, count in ordered for _ in range(min(count, limit))][:limit]
    return tuple(WorstClass(size, tuple(name for name, flag in zip(sensitive, flags, strict=True) if flag)) for size, flags in each)
