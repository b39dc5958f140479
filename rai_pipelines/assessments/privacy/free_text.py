"""Free text: columns of sentences are read by Presidio on a seeded sample of rows, since identifiers in them have no pattern of the whole value."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from rai_pipelines.assessments.privacy.direct_identifiers import TEXT_LIMIT, kinds_in, pattern_recognizers
from rai_pipelines.assessments.statistics.proportions import proportion
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.tables.profile import TableProfile

if TYPE_CHECKING:
    from rai_pipelines.tables.source import TableSource

METRIC = "free_text_identifier_share"
LONG_TEXT_WORDS = 4  # a column whose values have more words on average holds sentences, not names of things


def measure_free_text(
    source: TableSource, figures: TableProfile, *, sample_rows: int, level: float, seed: int
) -> tuple[tuple[Measurement, ...], dict[str, Any]]:
    """`free_text_identifier_share` per column of long texts: share of its texts in which a pattern of an identifier was found.

    Read are the texts of at most `sample_rows` rows, drawn by `seed`, up to 2,000 characters of each; the share of rows read stands in the note. The
    interval is that of the sample (Wilson); names of people and places are not looked for, so that the share is a lower bound.

    Raises:
        DataError: the engine refuses.
    """
    columns = _long_texts(source, figures)
    details: dict[str, Any] = {"free_text": {"columns": columns, "sample_rows": sample_rows, "characters_read": TEXT_LIMIT}}
    if not columns:
        return (), details
    try:
        recognizers = pattern_recognizers()
    except ImportError as error:
        note = f"texts were not read: {error.name or 'presidio_analyzer'} is not installed; install rai-pipelines[presidio]"
        unread = partial(Measurement, metric=METRIC, value=None, n=figures.rows, state=State.UNAVAILABLE, note=note)
        return tuple(unread(attribute=name) for name in columns), details
    sample = source.sample(sample_rows, seed=seed, columns=columns)
    kinds: dict[str, dict[str, int]] = {}
    measurements = []
    for name in columns:
        texts = [str(text)[:TEXT_LIMIT] for text in sample[name].dropna()]
        found = [kinds_in(text, recognizers) for text in texts]
        kinds[name] = {kind: sum(kind in one for one in found) for kind in sorted(set().union(*found))} if found else {}
        measurements.append(_share(name, sum(map(bool, found)), len(texts), read=len(sample), rows=figures.rows, level=level))
    details["free_text"] |= {"kinds": kinds, "rows_read": len(sample)}
    return tuple(measurements), details


def _share(name: str, hits: int, texts: int, *, read: int, rows: int, level: float) -> Measurement:
    note = f"{read} of {rows} rows read ({read / rows:.1%}); patterns only, names of people are not looked for"
    if texts == 0:
        return Measurement(metric=METRIC, value=None, n=0, attribute=name, state=State.INSUFFICIENT, note=f"no text in the rows read; {note}")
    return Measurement(
        metric=METRIC, value=hits / texts, interval=proportion(hits, texts, level).interval, n=texts, denominator=texts, attribute=name, note=note
    )


def _long_texts(source: TableSource, figures: TableProfile) -> list[str]:
    """Text columns with more than `LONG_TEXT_WORDS` words a value on average, words being what single spaces divide."""
    texts: Sequence[str] = [name for name, column in figures.columns.items() if column.kind == "text" and column.nulls < column.rows]
    if not texts:
        return []
    table = source.table()
    words = {f"w{index}": _spaces(table[name]).cast("float64").mean() for index, name in enumerate(texts)}
    row = source.run(table.aggregate(**words)).iloc[0]
    return [name for index, name in enumerate(texts) if float(row[f"w{index}"]) + 1 > LONG_TEXT_WORDS]


def _spaces(column: Any) -> Any:
    text = column.strip()
    return text.length() - text.replace(" ", "").length()
