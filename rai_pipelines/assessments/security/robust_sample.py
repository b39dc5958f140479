"""The rows that are attacked, drawn with a seed, and the model's decisions on them as numbers: 1 for the favourable outcome, or places of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rai_pipelines.assessments.base import AuditContext
from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.errors import DataError, ModelError
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.subjects.subject import LoadedModel
from rai_pipelines.tables.group_names import as_outcome
from rai_pipelines.tables.source import TableSource

if TYPE_CHECKING:
    import pandas as pd

UNLABELLED_MARGIN = 4  # times the sample is drawn, so that rows without a label can be left out


@dataclass(frozen=True)
class Sampled:
    """The sampled evaluation rows: as the model reads them, as vectors, and their true outcome as `Outcomes` numbers it (None without labels)."""

    frame: pd.DataFrame
    vectors: np.ndarray
    truth: np.ndarray | None
    unseen: int


@dataclass(frozen=True)
class Outcomes:
    """Decisions and labels as numbers: 1 for the favourable outcome and 0 for the other; with `classes`, the place of each among them."""

    favourable: str
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, sheet: Datasheet) -> Outcomes:
        """Of a classification, as its datasheet declares it."""
        return cls(sheet.columns.favourable_outcome, sheet.columns.classes)

    def labels(self, values: pd.Series, where: str) -> np.ndarray:
        """Labels, shape (rows,).

        Raises:
            DataError: a class that the datasheet does not name.
        """
        if not self.classes:
            return np.asarray(as_outcome(values, self.favourable).to_numpy(dtype=np.int64))
        codes = self._codes(values)
        if (codes < 0).any():
            unknown = str(values[codes < 0].iloc[0])[:80]
            raise DataError(f"holds the class {unknown!r}, which columns.classes does not name", where=where, hint="Complete columns.classes")
        return codes

    def numbered(self, values: pd.Series) -> np.ndarray:
        """As `labels`, as floats and NaN where there is no label or an unknown class, shape (rows,)."""
        if not self.classes:
            return np.asarray(as_outcome(values, self.favourable).to_numpy(dtype=float, na_value=np.nan))
        codes = self._codes(values)
        return np.where(codes < 0, np.nan, codes.astype(float))

    @property
    def count(self) -> int:
        """How many classes there are."""
        return len(self.classes) or 2

    def decisions(self, model: LoadedModel, frame: pd.DataFrame, name: str) -> np.ndarray:
        """What the model decides about each row, shape (rows,).

        Raises:
            ModelError: the model fails, gives other than one decision per row, or a class that the datasheet does not name.
        """
        import pandas as pd

        if not self.classes:
            return decisions_of(model, frame, self.favourable, name)
        decided = np.asarray(model.predict(frame))
        if decided.shape != (len(frame),):
            raise ModelError(f"gives decisions of shape {decided.shape} for {len(frame)} rows", where=name, hint="A classifier gives one per row")
        codes = self._codes(pd.Series(decided))
        if (codes < 0).any():
            unknown = str(decided[codes < 0][0])[:80]
            raise ModelError(f"decides for {unknown!r}, which columns.classes does not name", where=name, hint="Complete columns.classes")
        return codes

    def _codes(self, values: pd.Series) -> np.ndarray:
        import pandas as pd

        places, uniques = pd.factorize(values)
        known = np.full(len(uniques) + 1, -1, dtype=np.int64)
        for place, name in enumerate(self.classes):
            known[:-1][as_outcome(pd.Series(uniques), name).fillna(0).to_numpy(dtype=bool)] = place
        return np.asarray(known[places])


def sample_rows(context: AuditContext, space: FeatureSpace, features: tuple[str, ...], number: int) -> Sampled:
    """At most `number` rows of the evaluation table, labelled where the datasheet names a label, with the protected attributes.

    Raises:
        DataError: a column is absent, no row has a label, or every row has a category that training never saw.
    """
    columns = context.subject.datasheet.columns
    protected = tuple(columns.protected_attributes)
    drawn = draw_rows(context.table("evaluation"), features, number, seed=(context.seed, 21), label=columns.label, others=protected)
    vectors = space.encode(drawn)
    # a category that training never saw has no code; the row cannot be written down as a vector without changing it
    known = space.known(drawn, vectors)
    if not known.any():
        raise DataError(
            "every sampled row has a category that training never saw", where="evaluation", hint="Check that both tables use the same codes"
        )
    frame = drawn[known].reset_index(drop=True)
    outcomes = Outcomes.of(context.subject.datasheet)
    truth = outcomes.labels(frame[columns.label], "evaluation") if columns.label is not None else None
    return Sampled(frame, vectors[known], truth, int((~known).sum()))


def draw_rows(
    source: TableSource, features: tuple[str, ...], number: int, *, seed: tuple[int, int], label: str | None = None, others: tuple[str, ...] = ()
) -> pd.DataFrame:
    """A seeded sample of rows, in the table's order; with `label`, of labelled rows."""
    wanted = tuple(dict.fromkeys([*features, *others, *([label] if label is not None else [])]))
    source.require(*wanted)
    source.count_rows()  # an empty table is refused here, with its name
    rng = np.random.default_rng(list(seed))
    drawn = source.sample(number * UNLABELLED_MARGIN if label is not None else number, seed=int(rng.integers(2**62)), columns=wanted)
    if label is not None:
        drawn = drawn[drawn[label].notna()]
    if drawn.empty:
        raise DataError(f"no sampled row of the {source.name} table has a label", where=source.shown, hint="Check the label column")
    return drawn.iloc[np.sort(rng.permutation(len(drawn))[:number])].reset_index(drop=True)


def decisions_of(model: LoadedModel, frame: pd.DataFrame, favourable: str, name: str) -> np.ndarray:
    """What the model decides about each row: 1 where it is the favourable outcome.

    Raises:
        ModelError: the model fails, or gives other than one decision per row.
    """
    import pandas as pd

    decisions = np.asarray(model.predict(frame))
    if decisions.shape != (len(frame),):
        raise ModelError(
            f"gives decisions of shape {decisions.shape} for {len(frame)} rows", where=name, hint="A binary classifier gives one per row"
        )
    return as_outcome(pd.Series(decisions), favourable).fillna(0).to_numpy(dtype=np.int64)
