"""Whether the model gives the same rows the same answers: the least that a decision about a person owes to that person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rai_pipelines.errors import ModelError

if TYPE_CHECKING:
    import pandas as pd

    from rai_pipelines.subjects.subject import LoadedModel


@dataclass(frozen=True)
class Determinism:
    """Of `rows` rows, each asked `repeats` times: how many had a decision, or a score, that was not the same in every call.

    `changed_scores` is None for a model without scores. `largest_score_change` is the widest range of one row's score.
    """

    rows: int
    repeats: int
    changed_decisions: int
    changed_scores: int | None
    largest_score_change: float | None

    @property
    def decision_share(self) -> float:
        """Share of rows whose decision changed, 0 to 1."""
        return self.changed_decisions / self.rows

    @property
    def score_share(self) -> float | None:
        """Share of rows whose score changed by as much as one bit, 0 to 1."""
        return None if self.changed_scores is None else self.changed_scores / self.rows


def measure_determinism(model: LoadedModel, frame: pd.DataFrame, repeats: int = 5) -> Determinism:
    """Ask `model` about the rows of `frame` `repeats` times. The shares are of these rows; nothing is inferred about others.

    A model that wavers seldom can look steady: a row that answers otherwise with chance p is missed with chance (1 - p)^n + p^n in n calls.

    Raises:
        ValueError: fewer than two repeats, or no rows.
        ModelError: from the model; or it gives scores in some calls only.
    """
    if repeats < 2 or not len(frame):
        raise ValueError(f"{repeats} repeats over {len(frame)} rows show nothing: at least 2 over 1 are needed")
    first, first_score = np.asarray(model.predict(frame)), model.score(frame)
    changed = np.zeros(len(frame), dtype=bool)
    changed_score = np.zeros(len(frame), dtype=bool)
    low = high = None if first_score is None else np.asarray(first_score, dtype=float)
    for _ in range(repeats - 1):
        changed |= np.asarray(model.predict(frame)) != first
        score = model.score(frame)
        if (score is None) != (low is None):
            raise ModelError("gives scores in some calls and none in others", hint="Mend the model's predict_proba")
        if score is not None and low is not None and high is not None:
            low, high = np.minimum(low, score), np.maximum(high, score)
            changed_score = low != high
    scored = low is not None and high is not None
    return Determinism(
        rows=len(frame),
        repeats=repeats,
        changed_decisions=int(changed.sum()),
        changed_scores=int(changed_score.sum()) if scored else None,
        largest_score_change=float((high - low).max()) if low is not None and high is not None else None,
    )
