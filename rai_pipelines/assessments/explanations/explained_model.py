"""The model as explanations ask it: rows of the table or vectors of the feature space in, decisions and one output number out, all counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from rai_pipelines.assessments.base import AuditContext
from rai_pipelines.assessments.scoring import feature_names
from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.security.robust_sample import decisions_of, draw_rows
from rai_pipelines.assessments.security.training_space import read_feature_space
from rai_pipelines.errors import ModelError
from rai_pipelines.subjects.subject import LoadedModel

if TYPE_CHECKING:
    import pandas as pd

POOL_SALT = 71
DECISION, SCORE, PREDICTION = "decision", "score", "prediction"


@dataclass
class ExplainedModel:
    """A model with its inputs. `output` is what is explained: the `score` of the favourable outcome, a `prediction` (an amount), or, where a
    model gives nothing else, its `decision` as 0 or 1. `pool` are training rows. `queries` counts the rows it was asked about.
    """

    model: LoadedModel
    name: str
    features: tuple[str, ...]
    space: FeatureSpace
    pool: pd.DataFrame
    favourable: str
    output: str
    decides: bool
    queries: int = field(default=0)
    spread: float | None = field(default=None)  # standard deviation of the predictions for the pool, once it was asked for

    def outputs(self, frame: pd.DataFrame) -> np.ndarray:
        """The number that is explained, shape (rows,)."""
        if self.output == DECISION:
            return self.decisions(frame).astype(float)
        self.queries += len(frame)
        found = self.model.score(frame) if self.output == SCORE else np.asarray(self.model.predict(frame))
        try:
            numbers = np.asarray(found, dtype=float)
        except (TypeError, ValueError):
            numbers = np.array(np.nan)
        if numbers.shape != (len(frame),) or not np.isfinite(numbers).all():
            raise ModelError(f"gives no finite {self.output} for each of {len(frame)} rows", where=self.name, hint="Check the model on the table")
        return numbers

    def decisions(self, frame: pd.DataFrame) -> np.ndarray:
        """1 where the decision is the favourable outcome, shape (rows,)."""
        self.queries += len(frame)
        return decisions_of(self.model, frame, self.favourable, self.name)

    def outputs_of(self, vectors: np.ndarray) -> np.ndarray:
        """`outputs` of vectors of the feature space; whole numbers are made whole."""
        return self.outputs(self.rows_of(vectors)) if len(vectors) else np.zeros(0)

    def decisions_at(self, vectors: np.ndarray) -> np.ndarray:
        """`decisions` of vectors of the feature space."""
        return self.decisions(self.rows_of(vectors)) if len(vectors) else np.zeros(0, dtype=np.int64)

    def rows_of(self, vectors: np.ndarray) -> pd.DataFrame:
        """Vectors as rows of the table."""
        whole = np.array([feature.integer for feature in self.space.features])
        return self.space.decode(np.where(whole, np.rint(vectors), vectors), self.pool)


def open_explained(context: AuditContext, *, pool_rows: int) -> ExplainedModel:
    """The model of an audit with its feature space and a seeded draw of training rows (of evaluation rows, where no training data are named).

    Raises:
        ModelMissing, ModelError: as `Subject.load_model`, or the file does not say what it reads.
        DataError, DatasheetError: a table does not fit the datasheet.
    """
    sheet = context.subject.datasheet
    columns, model = sheet.columns, context.subject.load_model()
    features = feature_names(context, model)
    source = context.table("training" if context.has_table("training") else "evaluation")
    fixed = tuple(dict.fromkeys([*columns.immutable_features, *columns.protected_attributes]))
    # how far and how many at once is the attacker's budget; what a person may become is bounded by ranges and directions only
    rules = sheet.robustness.model_copy(update={"epsilon_linf": None, "max_changed_features": None})
    space = read_feature_space(source, features, categorical=columns.categorical_features, immutable=fixed, budget=rules)
    pool = draw_rows(source, features, pool_rows, seed=(context.seed, POOL_SALT))[list(features)]
    amount = sheet.task in ("regression", "scoring")
    scores = model.score(pool.head(1)) is not None
    return ExplainedModel(
        model=model,
        name=str(context.subject.version),
        features=features,
        space=space,
        pool=pool,
        favourable=columns.favourable_outcome,
        output=SCORE if scores and sheet.task != "regression" else PREDICTION if amount else DECISION,
        decides=not amount,
        queries=1,
    )
