"""The model's own learner, fitted again to other rows or labels where the model lives: what was it to learn from these rows?

A scikit-learn estimator is cloned; a LightGBM booster is trained again with the parameters that its file records; of a classifier with a
threshold for each group the model inside is fitted again, and the thresholds stay.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import JsonValue

from rai_pipelines.errors import ModelError, without_values
from rai_pipelines.subjects.subject import LoadedModel, Tables
from rai_pipelines.tables.contingency import as_outcome

if TYPE_CHECKING:
    import pandas as pd

    from rai_pipelines.subjects.model_files import CheckedModel

TASK = "rai_pipelines.assessments.refits:refit_answers"
LEFT_OUT = -1
AT_ONCE = 5  # refits in one request, so that none reaches the time limit of a request
SEEDED_PARAMETERS = ("seed", "bagging_seed", "feature_fraction_seed", "extra_seed", "drop_seed", "data_random_seed", "objective_seed")


class Refused(Exception):
    """Why a model cannot be fitted again."""


@dataclass(frozen=True)
class Plan:
    """One refit: for each row its label (1 favourable, 0) or `LEFT_OUT`, shape (rows,), and the seed of the learner."""

    labels: np.ndarray
    seed: int


@dataclass(frozen=True)
class Answers:
    """What each refit says of each row asked about: decisions (1 favourable), and the favourable outcome's probability or None; (refits, rows)."""

    decisions: np.ndarray
    scores: np.ndarray | None

    @property
    def beliefs(self) -> np.ndarray:
        """Scores, or decisions where there are none."""
        return self.decisions.astype(float) if self.scores is None else self.scores

    def part(self, which: slice) -> Answers:
        """Those of some refits."""
        return Answers(self.decisions[which], None if self.scores is None else self.scores[which])


def answers_of_refits(model: LoadedModel, rows: pd.DataFrame, asked: pd.DataFrame, plans: Sequence[Plan]) -> Answers:
    """Fit the model again as each of `plans` (one or more) says and ask it about `asked`; both frames hold the model's inputs.

    Raises:
        Refused: the model is of a kind that cannot be fitted again, or its learner fails on these rows.
        ModelError: its process answers with something else than one decision and one probability per row.
    """
    import pyarrow as pa

    decisions: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    tables = {"rows": pa.Table.from_pandas(rows, preserve_index=False), "asked": pa.Table.from_pandas(asked, preserve_index=False)}
    for start in range(0, len(plans), AT_ONCE):
        now = plans[start : start + AT_ONCE]
        labels = pa.table({f"plan{at}": pa.array(plan.labels.astype(np.int8)) for at, plan in enumerate(now)})
        parameters: dict[str, JsonValue] = {"seeds": [plan.seed for plan in now]}
        answer, found = model.run(TASK, parameters, {**tables, "plans": labels})
        if answer.get("refused"):
            raise Refused(str(answer["refused"])[:300])
        for at in range(len(now)):
            decisions.append(_column(found, f"decision{at}", len(asked)))
            if answer.get("scored") is True:
                scores.append(_column(found, f"score{at}", len(asked)))
    if scores and len(scores) != len(decisions):
        raise ModelError("gives scores for some refits alone", hint="Look at the model's class")
    return Answers(np.array(decisions) > 0.5, np.array(scores) if scores else None)


def refit_answers(model: CheckedModel, parameters: Mapping[str, JsonValue], tables: Tables) -> tuple[Mapping[str, JsonValue], Tables]:
    """Task: decisions and scores of each refit, or why there are none."""
    import pyarrow as pa

    from rai_pipelines.assessments.security.robust_sample import decisions_of

    seeds: Any = parameters["seeds"]
    rows, asked = (tables[name].to_pandas() for name in ("rows", "asked"))
    columns = {}
    scored = True
    for at, seed in enumerate(seeds):
        labels = tables["plans"].column(f"plan{at}").to_numpy(zero_copy_only=False)
        kept = labels != LEFT_OUT
        try:
            shadow = refitted(model, rows[kept], labels[kept], int(seed))
        except Refused as reason:
            return {"refused": str(reason)}, {}
        columns[f"decision{at}"] = pa.array(decisions_of(shadow, asked, model.favourable, "a refit").astype(float))
        score = shadow.score(asked)
        scored = scored and score is not None
        if score is not None:
            columns[f"score{at}"] = pa.array(score)
    return {"scored": scored}, {"answers": pa.table(columns)}


def refitted(model: CheckedModel, rows: pd.DataFrame, labels: np.ndarray, seed: int) -> CheckedModel:
    """The model's learner, fitted to these rows.

    Args:
        rows: the model's inputs.
        labels: 1 where the outcome is favourable, else 0, shape (rows,).
        seed: of the learner, where it draws.

    Raises:
        Refused: the model is of a kind that cannot be fitted again, has not two classes, or its learner fails on these rows.
    """
    from rai_pipelines.subjects.model_files import CheckedModel as Checked
    from rai_pipelines.subjects.model_formats import query_of

    inputs = rows[list(model.features)] if model.features is not None else rows
    try:
        native = _fit(model.native, inputs, labels, _classes(model), seed)
    except Refused:
        raise
    except Exception as error:
        first = without_values((str(error).strip().splitlines() or [""])[0][:200], known=rows.columns)
        raise Refused(f"its learner fails on these rows ({type(error).__name__}: {first})") from error
    return Checked(query_of(native, model.flavor), model.features, model.favourable, "a refit")


def _classes(model: CheckedModel) -> tuple[Any, Any]:
    """The model's own names for the unfavourable and the favourable outcome."""
    import pandas as pd

    own: Any = getattr(model.native, "classes_", None)
    known = [0, 1] if own is None else np.asarray(own).tolist()
    places = as_outcome(pd.Series(known), model.favourable).tolist()
    if len(known) != 2 or places.count(1) != 1:
        raise Refused(f"the {type(model.native).__name__} does not have two classes of which one is favourable")
    return known[places.index(0)], known[places.index(1)]


def _fit(native: Any, inputs: pd.DataFrame, labels: np.ndarray, classes: tuple[Any, Any], seed: int) -> Any:
    from sklearn.base import BaseEstimator, clone

    kind = f"{type(native).__module__}.{type(native).__name__}"
    if isinstance(native, BaseEstimator) and callable(getattr(native, "fit", None)):
        shadow = clone(native)
        known = shadow.get_params()
        draws = np.random.default_rng(seed)
        seeds = {name: int(draws.integers(2**31)) for name in sorted(known) if name.split("__")[-1] == "random_state"}
        single = {name: 1 for name in known if name.split("__")[-1] == "n_jobs"}
        shadow.set_params(**seeds, **single)
        return shadow.fit(inputs, np.where(labels == 1, classes[1], classes[0]))
    if kind == "lightgbm.basic.Booster":
        return _train_booster(native, inputs, np.where(labels == 1, classes[1], classes[0]), seed)
    if kind == "rai_pipelines.demo.thresholds.GroupThresholdClassifier":
        shadow = copy.copy(native)
        shadow.model = _fit(native.model, inputs, labels, classes, seed)
        return shadow
    raise Refused(f"a {type(native).__name__} is neither a scikit-learn estimator that could be cloned nor a LightGBM booster")


def _train_booster(native: Any, inputs: pd.DataFrame, labels: np.ndarray, seed: int) -> Any:
    import lightgbm

    recorded = getattr(native, "recorded_parameters", None) or {}
    if recorded.get("objective") != "binary":
        raise Refused("the booster's file does not record how it was trained, or in a way that is not followed here")
    draws = np.random.default_rng(seed)
    seeds = {name: int(draws.integers(2**31)) for name in SEEDED_PARAMETERS if name in recorded}
    settings = {**recorded, **seeds, "num_threads": 1, "verbosity": -1}
    infos = native.dump_model(num_iteration=1)["feature_infos"]
    codes = [name for name in native.feature_name() if infos.get(name, {}).get("values")]
    data = lightgbm.Dataset(inputs, labels, feature_name=native.feature_name(), categorical_feature=codes or "auto")
    return lightgbm.train(settings, data, num_boost_round=native.current_iteration())


def _column(found: Tables, name: str, rows: int) -> np.ndarray:
    try:
        values = np.asarray(found["answers"].column(name).to_numpy(zero_copy_only=False), dtype=float)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"gives no {name} of a refit", hint="The model tampers with its process: do not use it") from error
    if values.shape != (rows,) or not np.isfinite(values).all() or (values < 0).any() or (values > 1).any():
        raise ModelError("gives something else than one decision and one probability per row for a refit", hint="Look at the model's class")
    return values
