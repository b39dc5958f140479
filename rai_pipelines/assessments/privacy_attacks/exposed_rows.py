"""Who is a member and who is not: equally many rows of both tables that occur once in the two tables together.

A row that occurs twice has no membership of its own. Dropping only what both tables share would take more common rows from the smaller
table and so make members differ from non-members. A row that occurs once in the union is as likely to have come from either table
when rows were divided at random, so that both sides stay exchangeable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from rai_pipelines.assessments.base import AuditContext
from rai_pipelines.assessments.scoring import BATCH_ROWS
from rai_pipelines.assessments.security.robust_sample import Outcomes
from rai_pipelines.tables.source import TableSource

if TYPE_CHECKING:
    import pandas as pd

DRAWN = 4  # times the rows are drawn, so that repeated and unlabelled ones can be left out


class Labels(Protocol):
    """Labels as numbers: `labels` refuses what is none, `numbered` has NaN there; shape (rows,)."""

    def labels(self, values: pd.Series, where: str) -> np.ndarray: ...

    def numbered(self, values: pd.Series) -> np.ndarray: ...


@dataclass(frozen=True)
class Side:
    """Sampled rows of one table: inputs, outcome as `Outcomes` numbers it, and protected attributes.

    `exposed` are those without an equal in either table.
    """

    frame: pd.DataFrame
    truth: np.ndarray
    exposed: np.ndarray
    drawn: int
    repeated: int


@dataclass(frozen=True)
class Exposed:
    """Members first, then as many non-members, in a seeded order within each side. `learning` marks the half that attacks learn from.

    `sides` are the plain samples of training and evaluation, repeated rows included.
    """

    frame: pd.DataFrame
    truth: np.ndarray
    member: np.ndarray
    learning: np.ndarray
    sides: tuple[Side, Side]
    training_rows: int

    @property
    def judged(self) -> np.ndarray:
        """Rows that no attack has learnt from."""
        return ~self.learning


def draw_exposed_rows(context: AuditContext, features: tuple[str, ...], rows: int, outcomes: Labels | None = None) -> Exposed:
    """At most `rows` members and as many non-members, drawn with the audit's seed.

    Args:
        outcomes: how labels become numbers; default: as the datasheet of a classification declares them.

    Raises:
        DataError: a table cannot be read, lacks a column, or has a class that the datasheet does not name.
    """
    import pandas as pd

    columns = context.subject.datasheet.columns
    assert columns.label is not None
    sources = (context.table("training"), context.table("evaluation"))
    others = tuple(columns.protected_attributes)
    drawn = [
        _drawn(source, features, columns.label, others=others, number=rows * DRAWN, seed=(context.seed, 51, at)) for at, source in enumerate(sources)
    ]
    outcomes = outcomes or Outcomes.of(context.subject.datasheet)
    truths = [outcomes.labels(frame[columns.label], source.name) for frame, source in zip(drawn, sources, strict=True)]
    keys = [_keys(frame, features, truth.astype(float)) for frame, truth in zip(drawn, truths, strict=True)]
    known = np.unique(np.concatenate(keys))
    counts = _occurrences(known, sources, features, columns.label, outcomes)
    sides = []
    for frame, key, truth in zip(drawn, keys, truths, strict=True):
        exposed = counts[np.searchsorted(known, key)] == 1
        sides.append(Side(frame, truth, exposed, len(frame), int((~exposed).sum())))
    number = min(rows, *(int(side.exposed.sum()) for side in sides))
    chosen = [np.flatnonzero(side.exposed)[:number] for side in sides]
    kept = pd.concat([side.frame.iloc[at] for side, at in zip(sides, chosen, strict=True)], ignore_index=True)
    half = np.arange(number) < number // 2  # rows are in a seeded order already
    return Exposed(
        frame=kept,
        truth=np.concatenate([side.truth[at] for side, at in zip(sides, chosen, strict=True)]),
        member=np.repeat([True, False], number),
        learning=np.tile(half, 2),
        sides=(sides[0], sides[1]),
        training_rows=sources[0].count_rows(),
    )


def _drawn(
    source: TableSource, features: tuple[str, ...], label: str, *, others: tuple[str, ...], number: int, seed: tuple[int, ...]
) -> pd.DataFrame:
    """A seeded sample of labelled rows in a seeded order."""
    wanted = tuple(dict.fromkeys([*features, label, *(name for name in others if name in source.columns)]))
    source.require(*wanted)
    source.count_rows()  # an empty table is refused here, with its name
    rng = np.random.default_rng(list(seed))
    frame = source.sample(number, seed=int(rng.integers(2**62)), columns=wanted)
    frame = frame.iloc[rng.permutation(len(frame))]
    return frame[frame[label].notna()].reset_index(drop=True)


def _occurrences(known: np.ndarray, sources: tuple[TableSource, TableSource], features: tuple[str, ...], label: str, outcomes: Labels) -> np.ndarray:
    """How often each of the sorted keys occurs in the two whole tables together."""
    counts = np.zeros(len(known), dtype=np.int64)
    for source in sources:
        for batch in source.batches(tuple(dict.fromkeys([*features, label])), BATCH_ROWS):
            frame = batch.to_pandas()
            found = _keys(frame, features, outcomes.numbered(frame[label]))
            place = np.minimum(np.searchsorted(known, found), max(len(known) - 1, 0))
            if len(known):
                np.add.at(counts, place[known[place] == found], 1)
    return counts


def _keys(frame: pd.DataFrame, features: tuple[str, ...], outcome: np.ndarray) -> np.ndarray:
    """A 64-bit key of inputs and outcome; numbers compare by value whatever their type. A chance clash only drops a row."""
    import pandas as pd

    made: dict[str, np.ndarray | pd.Series] = {}
    for at, name in enumerate(features):
        values = frame[name]
        if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
            made[str(at)] = values.to_numpy(dtype=float, na_value=np.nan) + 0.0  # -0.0 becomes 0.0
        else:
            made[str(at)] = values.astype(str).where(values.notna(), "").astype(object)
    made["outcome"] = outcome
    return pd.util.hash_pandas_object(pd.DataFrame(made, index=frame.index), index=False).to_numpy(dtype=np.uint64)
