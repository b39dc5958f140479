"""What texts look like, in counts: numbers, blanks, anything else; all columns in one aggregation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rai_pipelines.tables.source import TableSource

NUMBER = r"^[ ]*[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?[ ]*$"
SOMETHING = r"[^ \t\r\n]"


@dataclass(frozen=True)
class TextForms:
    """`told` rows have a text that is not blank, and `numbers` of them one that is a decimal number; `blank` ones only spaces, or nothing."""

    rows: int
    told: int
    numbers: int
    blank: int


def text_forms(source: TableSource, columns: Sequence[str]) -> dict[str, TextForms]:
    """Per text column, over all rows.

    Raises:
        DataError: a column is not there, or the engine refuses (a column is no text).
    """
    if not columns:
        return {}
    source.require(*columns)
    table = source.table()
    figures: dict[str, Any] = {"rows": table.count()}
    for position, name in enumerate(columns):
        text = table[name]
        figures |= {
            f"held{position}": text.count(),
            f"told{position}": text.re_search(SOMETHING).sum(),
            f"numbers{position}": text.re_search(NUMBER).sum(),
        }
    row = {key: int(value or 0) for key, value in source.to_arrow(table.aggregate(**figures)).to_pylist()[0].items()}
    return {name: TextForms(row["rows"], row[f"told{p}"], row[f"numbers{p}"], row[f"held{p}"] - row[f"told{p}"]) for p, name in enumerate(columns)}
