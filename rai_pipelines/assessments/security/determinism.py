"""Whether the model gives the same rows the same answers: the least that a decision about a person owes to that person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rai_pipelines.assessments.statistics.proportions import proportion
from rai_pipelines.errors import ModelError
from rai_pipelines.evidence.model import Measurement

if TYPE_CHECKING:
    import pandas as pd

    from rai_pipelines.subjects.subject import LoadedModel


@dataclass(frozen=True)
class Determinism:
    """Of `rows` rows, each asked `repeats` times: how many had a decision, or a score, that was not the same in every call.

    A decision also counts as changed where it is another one when the rows come in reverse order, among half of them.

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
    back = np.arange(len(frame))[::-1]
    for part in (back[: len(back) // 2], back[len(back) // 2 :]):  # a decision about one person must not depend on who else is asked about
        if len(part):
            changed[part] |= np.asarray(model.predict(frame.iloc[part])) != first[part]
    scored = low is not None and high is not None
    return Determinism(
        rows=len(frame),
        repeats=repeats,
        changed_decisions=int(changed.sum()),
        changed_scores=int(changed_score.sum()) if scored else None,
        largest_score_change=float((high - low).max()) if low is not None and high is not None else None,
    )


def steadiness_figures(found: Determinism, *, level: float) -> list[Measurement]:
    """`unsteady_decisions` and, of a model with scores, `unsteady_scores`: shares of rows answered otherwise in one of the calls, with intervals."""
    counted = [("unsteady_decisions", found.changed_decisions)]
    note = f"rows that were answered differently in one of {found.repeats} calls with the same rows"
    beside = {"unsteady_decisions": ", or among fewer rows in reverse order"}
    if found.changed_scores is not None:
        counted.append(("unsteady_scores", found.changed_scores))
    measurements = []
    for metric, changed in counted:
        figure = proportion(changed, found.rows, level)
        widest = f"; the widest range of one row's score is {found.largest_score_change:.3g}" if metric == "unsteady_scores" and changed else ""
        measurements.append(
            Measurement(
                metric=metric,
                value=figure.value,
                interval=figure.interval,
                standard_error=figure.standard_error,
                n=found.rows,
                denominator=found.rows,
                note=note + beside.get(metric, "") + widest,
            )
        )
    return measurements
