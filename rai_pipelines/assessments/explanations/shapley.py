"""Shapley values of rows, by the best explainer that fits the model, each held against what the model itself says.

Which one fits is found out on background rows alone, so that the same model is always explained in the same way.
Source: Lundberg and Lee 2017 (additivity is their local accuracy); Lundberg et al. 2020 for trees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rai_pipelines.assessments.base import AuditContext
from rai_pipelines.assessments.explanations.explained_model import DECISION, PREDICTION, ExplainedModel, open_explained
from rai_pipelines.assessments.explanations.libraries import library, numpy_seed_kept
from rai_pipelines.assessments.explanations.native_shapley import INTERVENTIONAL, PATHS, TASK, WAYS
from rai_pipelines.assessments.explanations.parameters import ExplanationParameters
from rai_pipelines.errors import ModelError
from rai_pipelines.evidence.canonical import digest_of

if TYPE_CHECKING:
    import pandas as pd

BACKGROUND_SALT, PERMUTATION_SALT = 72, 73
TRIED_ROWS = 20
LOG_ODDS, PROBABILITY, DECIDED = "log-odds", "probability", "share of favourable decisions"
SATURATED = 1e-9  # a probability nearer to 0 or 1 has no log-odds to speak of


@dataclass(frozen=True)
class Shapley:
    """Shapley values in the features of the space, shape (rows, features); NaN for rows that could not be explained.

    `base` is the mean output over the background and `errors` how far base plus values are from what the model says, shape (rows,).
    """

    values: np.ndarray
    base: np.ndarray
    errors: np.ndarray

    def within(self, tolerance: float) -> np.ndarray:
        """Rows whose explanation adds up."""
        return np.asarray(np.isfinite(self.values).all(axis=1) & (self.errors <= tolerance))


@dataclass(frozen=True)
class Method:
    """How values are made: shap's `explainer`, the `output` they are parts of, `reads` whether from inside the model, and why not, if not.

    `against_background` is False for trees along the paths of their training: then they do not depend on the background.
    """

    explainer: str
    output: str
    reads: bool
    why: str | None = None
    way: str = INTERVENTIONAL

    @property
    def against_background(self) -> bool:
        """Whether another background gives other values."""
        return self.way != PATHS


@dataclass(frozen=True)
class Explainer:
    """A model, the background that stands for unknown inputs, and the method that fits."""

    explained: ExplainedModel
    background: pd.DataFrame
    method: Method
    permutations: int
    seed: int

    @property
    def background_digest(self) -> str:
        """Digest over the background rows as the feature space holds them."""
        vectors = self.explained.space.encode(self.background)
        return digest_of([[None if np.isnan(value) else float(value) for value in row] for row in vectors])

    @property
    def compared_with(self) -> str:
        """What rows are compared with, in words."""
        if not self.method.against_background:
            return "the rows that the trees were trained on, as their paths counted them"
        return f"{len(self.background)} training rows drawn with a seed"

    def explain(self, frame: pd.DataFrame, *, background: pd.DataFrame | None = None, seed: int | None = None) -> Shapley:
        """Values for rows of the table; with another background or seed, to see how much depends on them.

        Raises:
            ModelError: the model fails, or explains itself with what cannot be.
        """
        against = self.background if background is None else background
        if self.method.reads:
            made = _read(self.explained, frame, against, self.method.way)
            if isinstance(made, str):
                raise ModelError(f"explained itself before and now does not ({made})", where=self.explained.name, hint="Look at the model")
            _, values, base = made
            return _checked(self.explained, frame, values, base, self.method.output)
        return self._by_answers(frame, against, self.seed if seed is None else seed)

    def _by_answers(self, frame: pd.DataFrame, background: pd.DataFrame, seed: int) -> Shapley:
        """Values by shap's permutation explainer on vectors of the space; rows with a category that training never saw have none."""
        shap, space = library("shap"), self.explained.space
        vectors, width = space.encode(frame), len(space.features)
        known = space.known(frame, vectors)
        values, base = np.full((len(frame), width), np.nan), np.full(len(frame), np.nan)
        if known.any():
            with numpy_seed_kept():
                masker = shap.maskers.Independent(space.encode(background), max_samples=len(background))
                explainer = shap.PermutationExplainer(self.explained.outputs_of, masker, seed=seed)
                made = explainer(vectors[known], max_evals=self.permutations * (2 * width + 1), silent=True)
            values[known], base[known] = made.values, made.base_values
        return _checked(self.explained, frame, values, base, self.method.output)


def open_explainer(context: AuditContext, parameters: ExplanationParameters) -> tuple[ExplainedModel, Explainer]:
    """The model of an audit, and the explainer that adds up to what it answers.

    Raises:
        As `open_explained`.
    """
    explained = open_explained(context, pool_rows=parameters.pool)
    explainer = choose_explainer(
        explained,
        background_rows=parameters.background,
        permutations=parameters.permutations,
        tolerance=parameters.tolerance,
        seed=context.seed,
    )
    return explained, explainer


def choose_explainer(explained: ExplainedModel, *, background_rows: int, permutations: int, tolerance: float, seed: int) -> Explainer:
    """The explainer for trees or for linear models, where what it says adds up to what the model says; else the one that permutes inputs."""
    drawn = np.random.default_rng([seed, BACKGROUND_SALT]).permutation(len(explained.pool))[:background_rows]
    background = explained.pool.iloc[np.sort(drawn)].reset_index(drop=True)
    method = _method(explained, background, tolerance)
    rng = np.random.default_rng([seed, PERMUTATION_SALT])
    return Explainer(explained, background, method, permutations, int(rng.integers(2**32)))


def _method(explained: ExplainedModel, background: pd.DataFrame, tolerance: float) -> Method:
    by_answers = {DECISION: DECIDED, PREDICTION: PREDICTION}.get(explained.output, PROBABILITY)
    if explained.output == DECISION:
        return Method("PermutationExplainer", by_answers, reads=False, why="the model gives decisions and no score")
    tried, reasons = background.head(TRIED_ROWS), []
    for way in WAYS:
        made = _read(explained, tried, background, way)
        if isinstance(made, str):
            reasons.append(made)
            continue
        named, values, base = made
        wrong = int((~_checked(explained, tried, values, base, named[1]).within(tolerance)).sum())
        if not wrong:
            return Method(*named, reads=True, way=way)
        reasons.append(f"{named[0]} does not add up to what the model says for {wrong} of {len(tried)} rows")
    return Method("PermutationExplainer", by_answers, reads=False, why="; ".join(dict.fromkeys(reasons)))


def _read(explained: ExplainedModel, frame: pd.DataFrame, background: pd.DataFrame, way: str) -> tuple[tuple[str, str], np.ndarray, float] | str:
    """What the task inside the model says, in features of the space; or why it does not apply.

    Raises:
        ModelError: the answer is not one finite number per row and input.
    """
    import pyarrow as pa

    columns = list(explained.features)
    tables = {name: pa.Table.from_pandas(rows[columns], preserve_index=False) for name, rows in (("rows", frame), ("background", background))}
    try:
        answer, found = explained.model.run(TASK, {"columns": list(columns), "output": explained.output, "way": way}, tables)
    except ModelError as error:
        return str(error)[:300]
    if isinstance(answer.get("reason"), str):
        return str(answer["reason"])[:300]
    explainer, output, base = (answer.get(name) for name in ("explainer", "output", "base"))
    order = list(explained.model.features or columns)
    values = np.array([[]])
    if "values" in found and found["values"].num_columns == len(order):
        try:
            values = np.column_stack([found["values"].column(at).to_numpy().astype(float) for at in range(len(order))])
        except (TypeError, ValueError):
            values = np.array([[np.nan]])
    sound = isinstance(explainer, str) and output in (LOG_ODDS, PROBABILITY, PREDICTION) and isinstance(base, int | float)
    if not sound or values.shape != (len(frame), len(order)) or not np.isfinite(values).all() or not np.isfinite(float(base)):  # type: ignore[arg-type]
        raise ModelError("explains itself with something else than one number per input", where=explained.name, hint="Do not use the model")
    place = {name: at for at, name in enumerate(order)}
    grouped = [values[:, [place[name] for name in feature.columns]].sum(axis=1) for feature in explained.space.features]
    return (str(explainer)[:80], str(output)), np.column_stack(grouped), float(base)  # type: ignore[arg-type]


def _checked(explained: ExplainedModel, frame: pd.DataFrame, values: np.ndarray, base: np.ndarray | float, output: str) -> Shapley:
    """With the distance from the model's public answer: on the scale of the values; for amounts in standard deviations of the pool."""
    said, start = explained.outputs(frame), np.broadcast_to(np.asarray(base, dtype=float), (len(frame),))
    total = start + values.sum(axis=1)
    if output == LOG_ODDS:
        ordinary = (said > SATURATED) & (said < 1 - SATURATED)
        with np.errstate(over="ignore", divide="ignore"):
            errors = np.where(ordinary, np.abs(total - np.log(said / (1 - said))), np.abs(1 / (1 + np.exp(-total)) - said))
    elif output == PREDICTION:
        errors = np.abs(total - said) / _spread(explained)
    else:
        errors = np.abs(total - said)
    return Shapley(values, start, errors)


def _spread(explained: ExplainedModel) -> float:
    """Standard deviation of the predictions for the pool; 1 where they are all alike."""
    if explained.spread is None:
        explained.spread = float(explained.outputs(explained.pool).std()) or 1.0
    return explained.spread
