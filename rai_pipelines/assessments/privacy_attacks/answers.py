"""What an attacker hears of a model: its decisions, and probabilities where it gives any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_pipelines.assessments.class_probabilities import class_probabilities
from rai_pipelines.assessments.privacy_attacks.membership import Answers
from rai_pipelines.assessments.security.robust_sample import Outcomes
from rai_pipelines.subjects.subject import LoadedModel

if TYPE_CHECKING:
    import pandas as pd


def ask_model(model: LoadedModel, frame: pd.DataFrame, outcomes: Outcomes, name: str) -> Answers:
    """Decisions, shape (rows,), and scores: of the favourable outcome, shape (rows,); of three or more classes the probabilities of all, shape
    (rows, classes).

    Raises:
        ModelError: the model fails, gives other than one decision per row, or decides for a class that the datasheet does not name.
    """
    decisions = outcomes.decisions(model, frame, name)
    if outcomes.classes:
        return decisions, class_probabilities(model, frame, outcomes.classes)
    scores = model.score(frame)
    return decisions, None if scores is None else np.asarray(scores, dtype=float)
