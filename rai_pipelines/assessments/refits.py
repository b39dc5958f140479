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

from rai_pipelines.assessments.class_probabilities import probabilities_by_class, probabilities_in
from rai_pipelines.errors import ModelError, without_values
from rai_pipelines.subjects.subject import LoadedModel, Tables
from rai_pipelines.tables.group_names import as_outcome

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
    """One refit: for each row its label (1 favourable, 0; or the place of its class) or `LEFT_OUT`, shape (rows,), and the seed of the learner."""

    labels: np.ndarray
    seed: int


@dataclass(frozen=True)
class Answers:
    """What each refit says of each row asked about, shape (refits, rows).

    Of two classes: whether it decides for the favourable outcome, and its probability. Of more: the place of the class that it decides for, and
    the probabilities of all, shape (refits, rows, classes). `scores` is None where the model gives none.
    """

    decisions: np.ndarray
    scores: np.ndarray | None
    classes: int = 2

    @property
    def beliefs(self) -> np.ndarray:
        """Of two classes: scores, or decisions where there are none."""
        return self.decisions.astype(float) if self.scores is None else self.scores

    @property
    def shares(self) -> np.ndarray:
        """Of more classes: probabilities, or 1 for the class decided for where there are none; shape (refits, rows, classes)."""
        return np.eye(self.classes)[self.decisions] if self.scores is None else self.scores

    def belief_in(self, labels: np.ndarray) -> np.ndarray:
        """How likely each refit finds the label of each row, shape (refits, rows)."""
        if self.classes == 2:
            return np.where(labels == 1, self.beliefs, 1 - self.beliefs)
        return np.asarray(self.shares[:, np.arange(len(labels)), labels])

    def squared_error(self, truth: np.ndarray) -> np.ndarray:
        """Half of Brier's score (1950), from 0 to 1, which of two classes is the squared error of one probability; shape (refits, rows)."""
        if self.classes == 2:
            return np.asarray((self.beliefs - truth) ** 2)
        return np.asarray(((self.shares - np.eye(self.classes)[truth]) ** 2).sum(axis=2) / 2)

    def wrong(self, truth: np.ndarray) -> np.ndarray:
        """Which rows each refit decides wrongly; shape (refits, rows)."""
        return np.asarray(self.decisions != (truth == 1 if self.classes == 2 else truth))

    def chosen(self, outcome: int) -> np.ndarray:
        """Which rows each refit decides for that outcome; shape (refits, rows)."""
        return np.asarray((self.decisions if outcome == 1 else ~self.decisions) if self.classes == 2 else self.decisions == outcome)

    def part(self, which: slice) -> Answers:
        """Those of some refits."""
        return Answers(self.decisions[which], None if self.scores is None else self.scores[which], self.classes)


def answers_of_refits(model: LoadedModel, rows: pd.DataFrame, asked: pd.DataFrame, plans: Sequence[Plan], classes: tuple[str, ...] = ()) -> Answers:
    """Fit the model again as each of `plans` (one or more) says and ask it about `asked`; both frames hold the model's inputs.

    Args:
        classes: names of three or more classes, whose places the labels are; none for two classes.

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
        labels = pa.table({f"plan{at}": pa.array(plan.labels.astype(np.int32)) for at, plan in enumerate(now)})
        parameters: dict[str, JsonValue] = {"seeds": [plan.seed for plan in now], "classes": list(classes)}
        answer, found = model.run(TASK, parameters, {**tables, "plans": labels})
        if answer.get("refused"):
            raise Refused(str(answer["refused"])[:300])
        for at in range(len(now)):
            decisions.append(_column(found, f"decision{at}", len(asked), most=max(1, len(classes) - 1)))
            if answer.get("scored") is True and classes:
                scores.append(probabilities_in(found["answers"], f"score{at}_", len(classes), len(asked)))
            elif answer.get("scored") is True:
                scores.append(_column(found, f"score{at}", len(asked)))
    if scores and len(scores) != len(decisions):
        raise ModelError("gives scores for some refits alone", hint="Look at the model's class")
    made = np.array(decisions)
    return Answers(np.rint(made).astype(np.int64) if classes else made > 0.5, np.array(scores) if scores else None, len(classes) or 2)


def refit_answers(model: CheckedModel, parameters: Mapping[str, JsonValue], tables: Tables) -> tuple[Mapping[str, JsonValue], Tables]:
    """Task: decisions and scores of each refit, or why there are none."""
    import pyarrow as pa

    from rai_pipelines.assessments.security.robust_sample import Outcomes

    seeds: Any = parameters["seeds"]
    names: Any = parameters["classes"]
    outcomes = Outcomes(model.favourable, tuple(map(str, names)))
    rows, asked = (tables[name].to_pandas() for name in ("rows", "asked"))
    columns = {}
    scored = True
    for at, seed in enumerate(seeds):
        labels = tables["plans"].column(f"plan{at}").to_numpy(zero_copy_only=False)
        kept = labels != LEFT_OUT
        try:
            shadow = refitted(model, rows[kept], labels[kept], int(seed), outcomes.classes)
        except Refused as reason:
            return {"refused": str(reason)}, {}
        columns[f"decision{at}"] = pa.array(outcomes.decisions(shadow, asked, "a refit").astype(float))
        score = probabilities_by_class(shadow, asked, outcomes.classes) if outcomes.classes else shadow.score(asked)
        scored = scored and score is not None
        if score is None:
            continue
        parts = {f"score{at}_{place}": part for place, part in enumerate(score.T)} if outcomes.classes else {f"score{at}": score}
        columns |= {name: pa.array(part) for name, part in parts.items()}
    return {"scored": scored}, {"answers": pa.table(columns)}


def refitted(model: CheckedModel, rows: pd.DataFrame, labels: np.ndarray, seed: int, classes: tuple[str, ...] = ()) -> CheckedModel:
    """The model's learner, fitted to these rows.

    Args:
        rows: the model's inputs.
        labels: 1 where the outcome is favourable, else 0; with `classes`, the place of the row's class among them; shape (rows,).
        seed: of the learner, where it draws.
        classes: of a model of three or more.

    Raises:
        Refused: the model is of a kind that cannot be fitted again, has other classes, or its learner fails on these rows.
    """
    from rai_pipelines.subjects.model_files import CheckedModel as Checked
    from rai_pipelines.subjects.model_formats import query_of

    inputs = rows[list(model.features)] if model.features is not None else rows
    try:
        native = _fit(model.native, inputs, labels, _own_classes(model, classes) if classes else _classes(model), seed)
    except Refused:
        raise
    except Exception as error:
        first = without_values((str(error).strip().splitlines() or [""])[0][:200], known=rows.columns, error=error)
        raise Refused(f"its learner fails on these rows ({type(error).__name__}: {first})") from error
    return Checked(query_of(native, model.flavor), model.features, model.favourable, "a refit")


def _classes(model: CheckedModel) -> tuple[Any, ...]:
    """The model's own names for the unfavourable and the favourable outcome."""
    import pandas as pd

    known = _known(model)
    places = as_outcome(pd.Series(known), model.favourable).tolist()
    if len(known) != 2 or places.count(1) != 1:
        raise Refused(f"the {type(model.native).__name__} does not have two classes of which one is favourable")
    return known[places.index(0)], known[places.index(1)]


def _own_classes(model: CheckedModel, names: tuple[str, ...]) -> tuple[Any, ...]:
    """The model's own names for these classes, in their order."""
    import pandas as pd

    known = _known(model)
    found = [[own for own, same in zip(known, as_outcome(pd.Series(known), name).tolist(), strict=True) if same == 1] for name in names]
    if len(known) != len(names) or any(len(own) != 1 for own in found):
        raise Refused(f"the {type(model.native).__name__} has other classes than columns.classes names")
    return tuple(own[0] for own in found)


def _known(model: CheckedModel) -> list[Any]:
    own: Any = getattr(model.native, "classes_", None)
    return list(range(len(model.classes or (0, 1)))) if own is None else list(np.asarray(own).tolist())


def _fit(native: Any, inputs: pd.DataFrame, labels: np.ndarray, classes: tuple[Any, ...], seed: int) -> Any:
    from sklearn.base import BaseEstimator, clone

    kind = f"{type(native).__module__}.{type(native).__name__}"
    if isinstance(native, BaseEstimator) and callable(getattr(native, "fit", None)):
        shadow = clone(native)
        known = shadow.get_params()
        draws = np.random.default_rng(seed)
        seeds = {name: int(draws.integers(2**31)) for name in sorted(known) if name.split("__")[-1] == "random_state"}
        single = {name: 1 for name in known if name.split("__")[-1] == "n_jobs"}
        shadow.set_params(**seeds, **single)
        return shadow.fit(inputs, np.asarray(classes)[labels])
    if kind == "lightgbm.basic.Booster":
        return _train_booster(native, inputs, np.asarray(classes)[labels], seed)
    if kind == "rai_pipelines.demo.thresholds.GroupThresholdClassifier":
        shadow = copy.copy(native)
        shadow.model = _fit(native.model, inputs, labels, classes, seed)
        return shadow
    raise Refused(f"a {type(native).__name__} is neither a scikit-learn estimator that could be cloned nor a LightGBM booster")


def _train_booster(native: Any, inputs: pd.DataFrame, labels: np.ndarray, seed: int) -> Any:
    import lightgbm

    recorded = getattr(native, "recorded_parameters", None) or {}
    if recorded.get("objective") not in ("binary", "multiclass", "multiclassova"):
        raise Refused("the booster's file does not record how it was trained, or in a way that is not followed here")
    draws = np.random.default_rng(seed)
    seeds = {name: int(draws.integers(2**31)) for name in SEEDED_PARAMETERS if name in recorded}
    settings = {**recorded, **seeds, "num_threads": 1, "verbosity": -1}
    infos = native.dump_model(num_iteration=1)["feature_infos"]
    codes = [name for name in native.feature_name() if infos.get(name, {}).get("values")]
    data = lightgbm.Dataset(inputs, labels, feature_name=native.feature_name(), categorical_feature=codes or "auto")
    return lightgbm.train(settings, data, num_boost_round=native.current_iteration())


def _column(found: Tables, name: str, rows: int, most: int = 1) -> np.ndarray:
    try:
        values = np.asarray(found["answers"].column(name).to_numpy(zero_copy_only=False), dtype=float)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"gives no {name} of a refit", hint="The model tampers with its process: do not use it") from error
    if values.shape != (rows,) or not np.isfinite(values).all() or (values < 0).any() or (values > most).any():
        raise ModelError("gives something else than one decision and one probability per row for a refit", hint="Look at the model's class")
    return values
