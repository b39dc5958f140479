"""What is read of a table before it is validated: which columns count, what the datasheet asks of them, their profile, and the rows if few."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rai_pipelines.assessments.privacy.direct_identifiers import kind_by_name
from rai_pipelines.assessments.validation.suite import Expected, Severity
from rai_pipelines.subjects.datasheet import Columns
from rai_pipelines.tables.profile import TableProfile, profile

if TYPE_CHECKING:
    import pandas as pd

    from rai_pipelines.tables.source import TableSource

PANDAS_INDEX = re.compile(r"__index_level_\d+__")  # what pandas writes into Parquet for an index: a row number, not data
NO_TRAINING = "the datasheet names no training data: the evaluation table was validated alone"


@dataclass(frozen=True)
class ValidatedTable:
    """A table under validation. `frame` holds all rows of the columns that are looked at; None where there are too many for one."""

    source: TableSource
    expected: Expected
    figures: TableProfile
    frame: pd.DataFrame | None

    @property
    def name(self) -> str:
        """Its part in the audit."""
        return self.source.name

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.figures.rows


def read_table(source: TableSource, expected: Expected, *, also: Sequence[str], max_rows: int, values_cap: int) -> ValidatedTable:
    """The table with its profile; `also` are further columns that its suite names.

    Raises:
        DataError: it is empty or cannot be read.
    """
    rows = source.count_rows()
    wanted = dict.fromkeys((*expected.required, *expected.checked))
    present = [name for name in wanted if name in source.columns]
    figures = profile(source, present, values_cap=values_cap)
    if rows > max_rows:
        return ValidatedTable(source, expected, figures, None)
    held = [name for name in dict.fromkeys((*present, *also)) if name in source.columns]
    return ValidatedTable(source, expected, figures, source.sample(max_rows, seed=0, columns=held or source.columns[:1]))


def features_of(columns: Columns, sources: Mapping[str, TableSource]) -> tuple[tuple[str, ...], str]:
    """Declared features, or every column of the first table that plays no other part; and where they are from."""
    if columns.features:
        return columns.features, "datasheet"
    other = {columns.label, columns.prediction, columns.score, columns.row_id, *columns.direct_identifiers}
    table = next(iter(sources.values()))
    return tuple(name for name in table.columns if name not in other and not PANDAS_INDEX.fullmatch(name)), f"columns of the {table.name} table"


def expected_of(table: str, columns: Columns, features: Sequence[str], *, declared: bool, runs_a_model: bool) -> Expected:
    """What the datasheet asks of `table`. Features are needed to train and to run a model, not to judge decisions that exist."""
    evaluation = table == "evaluation"
    required: dict[str, Severity] = {}
    of_features: Severity = "critical" if runs_a_model or not evaluation else "warning"
    if declared:
        required |= dict.fromkeys(features, of_features)
    parts = (
        (*columns.protected_attributes, columns.prediction, columns.score)
        if evaluation
        else (*columns.quasi_identifiers, *columns.sensitive_attributes)
    )
    required |= {name: "critical" for name in (columns.label, *parts) if name is not None}
    codes = frozenset(
        {*columns.categorical_features, *(name for name, part in columns.protected_attributes.items() if part.labels and not part.bins)}
    )
    checked = tuple(dict.fromkeys((*features, *columns.protected_attributes)))
    private = frozenset({*columns.direct_identifiers, *(name for name in checked if kind_by_name(name))})
    return Expected(required, columns.label, tuple(columns.protected_attributes) if evaluation else (), checked, codes, private)
