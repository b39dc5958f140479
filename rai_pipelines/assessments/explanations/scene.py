"""What every part of the report works with: the model, its explainer, and the explained sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rai_pipelines.assessments.base import AuditContext
from rai_pipelines.assessments.explanations.explained_model import PREDICTION, ExplainedModel
from rai_pipelines.assessments.explanations.parameters import ExplanationParameters, Plan, plan
from rai_pipelines.assessments.explanations.shapley import Explainer, Shapley, open_explainer
from rai_pipelines.assessments.security.robust_sample import draw_rows

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_SALT = 74


@dataclass(frozen=True)
class Scene:
    """What every part works with. `vectors` are the sampled rows in the feature space; `whole` those that they hold in full."""

    context: AuditContext
    parameters: ExplanationParameters
    plan: Plan
    explainer: Explainer
    frame: pd.DataFrame
    vectors: np.ndarray
    whole: np.ndarray
    shapley: Shapley
    pool: np.ndarray

    @property
    def explained(self) -> ExplainedModel:
        """The model."""
        return self.explainer.explained

    def first(self, number: int) -> np.ndarray:
        """Positions of the first rows of the sample (which is in random order) that have an explanation and a vector."""
        return np.flatnonzero(self.whole & np.isfinite(self.shapley.values).all(axis=1))[:number]

    @property
    def hidden(self) -> frozenset[str]:
        """Inputs whose values may name a person: they are in no rule and no plot."""
        return frozenset(self.context.subject.datasheet.columns.direct_identifiers)

    @property
    def unit(self) -> str:
        """What additivity errors are counted in."""
        return "standard deviations of the prediction" if self.explainer.method.output == PREDICTION else self.explainer.method.output


def open_scene(context: AuditContext, parameters: ExplanationParameters) -> Scene:
    """Open the model, choose its explainer, draw the sample and explain it.

    Raises:
        As `open_explained`.
    """
    explained, explainer = open_explainer(context, parameters)
    rows = plan(parameters, features=len(explained.space.features), by_answers=not explainer.method.reads)
    drawn = draw_rows(context.table("evaluation"), explained.features, rows.sample, seed=(context.seed, SAMPLE_SALT))
    order = np.random.default_rng([context.seed, SAMPLE_SALT]).permutation(len(drawn))  # so that the first rows are a sample, too
    frame = drawn.iloc[order].reset_index(drop=True)
    vectors = explained.space.encode(frame)
    return Scene(
        context=context,
        parameters=parameters,
        plan=rows,
        explainer=explainer,
        frame=frame,
        vectors=vectors,
        whole=explained.space.known(frame, vectors),
        shapley=explainer.explain(frame),
        pool=explained.space.encode(explained.pool),
    )
