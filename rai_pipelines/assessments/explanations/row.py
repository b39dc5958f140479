"""Everything that can be said about the decision on one row. It is about a person: for them and who answers them, never for the evidence store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import JsonValue

from rai_pipelines.assessments.explanations.counterfactuals import changed_features, nearest_counterfactuals
from rai_pipelines.assessments.explanations.explained_model import SCORE
from rai_pipelines.assessments.explanations.libraries import installed
from rai_pipelines.assessments.explanations.lime_rows import lime_weights
from rai_pipelines.assessments.explanations.records import Change, Contribution, Counterfactual, RowExplanation
from rai_pipelines.assessments.explanations.shapley import Explainer
from rai_pipelines.assessments.explanations.words import reason_sentences, spoken_code
from rai_pipelines.assessments.security.feature_space import scalar
from rai_pipelines.errors import DataError, ModelError
from rai_pipelines.evidence.canonical import digest_of
from rai_pipelines.subjects.datasheet import Columns
from rai_pipelines.tables.source import TableSource

if TYPE_CHECKING:
    import pandas as pd

MOST_REASONS = 4
EXACT = 2**53  # JSON carries whole numbers exactly below it


def explain_row(explainer: Explainer, row: pd.DataFrame, columns: Columns, *, lime_samples: int, seed: int) -> RowExplanation:
    """The decision on `row` (a frame of one row) with its reasons, a second opinion, and the nearest change that would have turned it.

    Raises:
        ModelError: no explanation could be made (a category that training never saw, where only answers can be explained).
    """
    explained, space, attributes = explainer.explained, explainer.explained.space, columns.protected_attributes
    row = row[list(explained.features)].reset_index(drop=True)
    made = explainer.explain(row)
    if not np.isfinite(made.values).all():
        raise ModelError("has a value that training never saw, so it cannot be explained", where=explained.name, hint="Check the codes of the row")
    vectors = space.encode(row)
    known = bool(space.known(row, vectors)[0])
    said = float(explained.outputs(row)[0])
    favourable = bool(explained.decisions(row)[0]) if explained.decides else None
    spoken = [spoken_code(feature, vectors[0, at], attributes) for at, feature in enumerate(space.features)]
    if not known:
        spoken = ["not seen in training" if np.isnan(vectors[0, at]) else text for at, text in enumerate(spoken)]
    lime = None
    if installed("lime") and known:
        lime = lime_weights(explained, space.encode(explained.pool), vectors, samples=lime_samples, seed=seed)[0]
    values = made.values[0]
    lowered, raised = reason_sentences(explained, vectors[0], values, output=explainer.method.output, attributes=attributes, most=MOST_REASONS)
    counterfactual, none = _counterfactual(explainer, vectors, columns) if known else (None, "the row has a value that training never saw")
    order = np.argsort(-np.abs(values), kind="stable")
    return RowExplanation(
        favourable=favourable,
        score=said if explained.output == SCORE else None,
        explained=explainer.method.output,
        output=said,
        base=float(made.base[0]),
        lowered=lowered,
        raised=raised,
        contributions=tuple(
            Contribution(
                feature=space.features[at].name,
                value=spoken[at],
                shapley=float(values[at]),
                lime=float(lime[at]) if lime is not None and np.isfinite(lime[at]) else None,
            )
            for at in order
        ),
        counterfactual=counterfactual,
        no_counterfactual=none,
        additivity_error=float(made.errors[0]),
        inputs_digest=digest_of(plain_inputs(row)),
    )


def find_row(source: TableSource, key: str, wanted: str, features: tuple[str, ...]) -> pd.DataFrame:
    """The one row whose column `key` is `wanted`, with the model's inputs.

    Raises:
        DataError: no such column, no such row, or more than one; names table, column and value.
    """
    source.require(key, *features)
    table = source.table()
    kind = table[key].type()
    number: int | float | None = None
    if kind.is_numeric():
        try:
            number = int(wanted) if kind.is_integer() else float(wanted)
        except ValueError:
            number = None
    hint = f"Look for it in column {key!r}, or name another with --id-column"
    missing = DataError(f"the {source.name} table has no row with {key} = {wanted!r}", where=source.shown, hint=hint)
    if kind.is_numeric() and number is None:
        raise missing
    same = table[key] == number if number is not None else table[key].cast("string") == wanted
    found: pd.DataFrame = source.run(table.filter(same).select(*features).limit(2))
    if found.empty:
        raise missing
    if len(found) > 1:
        raise DataError(
            f"the {source.name} table has more than one row with {key} = {wanted!r}", where=source.shown, hint="Name a column that is a key"
        )
    return found.reset_index(drop=True)


def plain_inputs(row: pd.DataFrame) -> dict[str, JsonValue]:
    """The inputs of one row as JSON: missing is null, whole floats are integers, what JSON has no form for is text."""
    found: dict[str, JsonValue] = {}
    for name in row.columns:
        value = scalar(row[name].iloc[0])
        plain = value is None or isinstance(value, bool | float | str) or (isinstance(value, int) and abs(value) < EXACT)
        found[str(name)] = value if plain else str(value)
    return found


def _counterfactual(explainer: Explainer, vectors: np.ndarray, columns: Columns) -> tuple[Counterfactual | None, str | None]:
    explained, space, attributes = explainer.explained, explainer.explained.space, columns.protected_attributes
    if not explained.decides:
        return None, "the task has amounts and no decisions to turn"
    if not len(space.movable):
        return None, "every input is declared immutable or protected: nothing that the person can change would turn the decision"
    found = nearest_counterfactuals(explained, vectors, space.encode(explained.pool))
    if not np.isfinite(found.distance[0]):
        names = ", ".join(space.features[at].name for at in space.movable)
        return None, f"none was found among changes of {names}; that does not prove that there is none"
    after = found.rows[0]
    changes = tuple(
        Change(
            feature=space.features[at].name,
            before=spoken_code(space.features[at], vectors[0, at], attributes),
            after=spoken_code(space.features[at], after[at], attributes),
        )
        for at in np.flatnonzero(changed_features(space, vectors[0], after))
    )
    return (
        Counterfactual(
            changes=changes,
            distance=float(found.distance[0]),
            favourable=bool(explained.decisions_at(after[None])[0]),
            output=float(explained.outputs_of(after[None])[0]),
        ),
        None,
    )
