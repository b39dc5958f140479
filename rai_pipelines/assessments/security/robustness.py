"""Adversarial robustness: how many correct decisions survive an attacker who may move the mutable inputs by a declared distance.

The attacks need decisions only (no gradients), stay among rows that could exist, and are first shown to break a model that is easy to
break: an attack that cannot do that proves nothing when it finds nothing (Carlini et al. 2019, On Evaluating Adversarial Robustness).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from rai_pipelines.assessments.base import AuditContext, Measured, Parameters
from rai_pipelines.assessments.scoring import feature_names
from rai_pipelines.assessments.security.evasion import (
    HOP_SKIP_JUMP,
    VALID_NEIGHBOURS,
    Attacked,
    Budget,
    Oracle,
    hop_skip_jump,
    nearest_known_counterexamples,
    search_valid_neighbours,
    verified,
)
from rai_pipelines.assessments.security.feature_space import FeatureSpace, read_feature_space
from rai_pipelines.assessments.security.malformed_inputs import probe_malformed_inputs
from rai_pipelines.assessments.statistics.proportions import proportion
from rai_pipelines.errors import DataError, ModelError
from rai_pipelines.evidence.model import Measurement, State, Status
from rai_pipelines.subjects.subject import LoadedModel
from rai_pipelines.tables.contingency import as_outcome
from rai_pipelines.tables.source import TableSource

if TYPE_CHECKING:
    import pandas as pd

ATTACKS = (HOP_SKIP_JUMP, VALID_NEIGHBOURS)
UNLABELLED_MARGIN = 4  # times the sample is drawn, so that rows without a label can be left out


class RobustnessParameters(Parameters):
    """How many rows are attacked and how hard. The distance is the datasheet's `robustness.epsilon_l2`."""

    sample: int = Field(default=60, ge=5, le=1_000, description="Evaluation rows looked at; the correctly decided ones are attacked")
    pool: int = Field(default=2_000, ge=50, le=20_000, description="Training rows that attacks start from")
    starts: int = Field(default=200, ge=1, le=2_000, description="Nearest training rows tried as starting points of each row")
    neighbours: int = Field(default=200, ge=10, le=5_000, description="Random valid neighbours tried for each row")
    max_iter: int = Field(default=4, ge=1, le=64, description="HopSkipJump iterations for each row")
    init_eval: int = Field(default=60, ge=10, le=1_000, description="Queries of the first gradient estimate")
    max_eval: int = Field(default=200, ge=10, le=10_000, description="Queries of one gradient estimate at most")
    control_rows: int = Field(default=20, ge=5, le=100, description="Rows of the positive control")
    min_control_success: float = Field(default=0.5, gt=0, le=1, description="Share of the fragile model's decisions that the attacks must break")
    min_attacked: int = Field(default=20, ge=1, description="Attacked rows below which the ratio says too little")
    interval_level: float = Field(default=0.90, gt=0, lt=1)


def assess_robustness(context: AuditContext, parameters: RobustnessParameters) -> Measured:
    """Attack the model on a seeded sample of the evaluation table.

    Returns:
        `clean_accuracy` and `robust_accuracy` (of the sample), `robust_to_clean_ratio` (of the attacked rows, those that survive both
        attacks at epsilon), `attack_success_rate` and `positive_control_success` by attack, `median_adversarial_distance` (standard
        deviations of training), `model_queries` (rows), `crash_count` (malformed inputs that the model neither answers nor refuses).
        Without labels every row is attacked and the ratio is the share of decisions that survive.

    Raises:
        ModelMissing: there is no model file.
        ModelError: the model does not load, does not say what it reads, or fails on rows of its own evaluation table.
        DataError: a table does not fit the datasheet.
    """
    task = context.subject.datasheet.task
    if task != "binary_classification":
        return Measured(status=Status.MISSING, reason=f"robustness is measured for binary classifiers only, and the task is {task}")
    model = context.subject.load_model()
    columns = context.subject.datasheet.columns
    features = feature_names(context, model)
    training = context.table("training" if context.has_table("training") else "evaluation")
    fixed = tuple(dict.fromkeys([*columns.immutable_features, *columns.protected_attributes]))
    space = read_feature_space(
        training,
        features,
        categorical=columns.categorical_features,
        immutable=fixed,
        category_step=context.subject.datasheet.robustness.category_step,
    )
    frame = _draw(context.table("evaluation"), features, parameters.sample, (context.seed, 21), label=columns.label)
    rows = _Rows(space, frame, columns.favourable_outcome, columns.label)
    pool = space.encode(_draw(training, features, parameters.pool, (context.seed, 22)))
    oracle = Oracle(lambda vectors: _decide(model, space.decode(vectors, rows.frame), columns.favourable_outcome, str(context.subject.version)))
    correct = oracle.ask(rows.vectors) == rows.truth if rows.truth is not None else np.ones(len(rows.vectors), dtype=bool)
    epsilon, budget = context.subject.datasheet.robustness.epsilon_l2, _budget(parameters)
    attacked = rows.vectors[correct]
    outcome = _attack(oracle, space, attacked, pool, epsilon=epsilon, budget=budget, seed=context.seed)
    fragile = Oracle(_fragile_decisions(pool, context.seed))
    control = _attack(fragile, space, rows.vectors[: parameters.control_rows], pool, epsilon=epsilon, budget=budget, seed=context.seed)
    probes = probe_malformed_inputs(model, space, rows.frame[list(features)])
    measurements = [
        *_accuracy_figures(space, rows, correct, outcome, control, epsilon=epsilon, parameters=parameters),
        *_attack_figures(outcome, control, epsilon, parameters),
        _median_distance(outcome),
        Measurement(metric="model_queries", value=float(oracle.queries), n=len(attacked), note="rows the model was asked about"),
        Measurement(
            metric="crash_count",
            value=float(probes.crashes),
            n=probes.rows,
            denominator=probes.asked,
            note="malformed requests that ended neither in a decision nor in a refusal",
        ),
    ]
    details: dict[str, Any] = {
        "epsilon_l2": epsilon,
        "category_step": space.category_step,
        "ranges_from": training.name,
        "features": list(features),
        "movable_features": [space.features[at].name for at in space.movable],
        "fixed_features": [feature.name for feature in space.features if not feature.movable],
        "sample": len(rows.vectors),
        "attacked": len(attacked),
        "rows_with_unseen_categories": rows.unseen,
        "without_start": {HOP_SKIP_JUMP: outcome[HOP_SKIP_JUMP].without_start},
        "distances": {name: [round(float(length), 6) for length in sorted(found.distance) if np.isfinite(length)] for name, found in outcome.items()},
        "malformed": dict(probes.outcomes),
        "malformed_refused": probes.refused,
        "positive_control": "unpruned decision tree fitted to random labels of the training rows",
    }
    return Measured(measurements=tuple(measurements), details=details)


@dataclass(init=False)
class _Rows:
    """The sampled evaluation rows: as the model reads them, as vectors, and their true outcome (None without labels)."""

    frame: pd.DataFrame
    vectors: np.ndarray
    truth: np.ndarray | None
    unseen: int

    def __init__(self, space: FeatureSpace, frame: pd.DataFrame, favourable: str, label: str | None) -> None:
        vectors = space.encode(frame)
        # a category that training never saw has no code; the row cannot be written down as a vector without changing it
        known = ~(np.isnan(vectors) & frame[list(space.names)].notna().to_numpy()).any(axis=1)
        if not known.any():
            raise DataError(
                "every sampled row has a category that training never saw", where="evaluation", hint="Check that both tables use the same codes"
            )
        self.frame, self.vectors, self.unseen = frame[known].reset_index(drop=True), vectors[known], int((~known).sum())
        self.truth = as_outcome(self.frame[label], favourable).to_numpy(dtype=np.int64) if label is not None else None


def _attack(
    oracle: Oracle, space: FeatureSpace, rows: np.ndarray, pool: np.ndarray, *, epsilon: float, budget: Budget, seed: int
) -> dict[str, Attacked]:
    """Both attacks on the same rows, each finding asked for once more."""
    if not len(rows) or not len(space.movable):
        nothing = Attacked(rows.copy(), np.full(len(rows), np.inf))
        return dict.fromkeys(ATTACKS, nothing)
    starts = nearest_known_counterexamples(oracle, space, rows, pool, budget)
    found = {
        HOP_SKIP_JUMP: hop_skip_jump(oracle, space, rows, starts=starts, budget=budget, seed=seed),
        VALID_NEIGHBOURS: search_valid_neighbours(oracle, space, rows, epsilon=epsilon, budget=budget, seed=(seed, 23)),
    }
    return {name: verified(oracle, space, rows, attacked) for name, attacked in found.items()}


def _accuracy_figures(
    space: FeatureSpace,
    rows: _Rows,
    correct: np.ndarray,
    outcome: dict[str, Attacked],
    control: dict[str, Attacked],
    *,
    epsilon: float,
    parameters: RobustnessParameters,
) -> list[Measurement]:
    level, sample, attacked = parameters.interval_level, len(correct), int(correct.sum())
    survived = attacked - int((_nearest(outcome) <= epsilon).sum())
    broken = _nearest(control) <= epsilon
    state, note = State.MEASURED, None
    if attacked == 0:
        state, note = State.UNDEFINED, "no sampled row is decided correctly"
    elif not space.reaches(epsilon):
        state, note = (
            State.INSUFFICIENT,
            (
                f"the declared budget of {epsilon:g} standard deviations allows no change to any input that a person can change "
                f"(one changed category counts as {space.category_step:g})"
            ),
        )
    elif broken.mean() < parameters.min_control_success:
        state, note = State.INSUFFICIENT, f"attack not effective: it breaks {int(broken.sum())} of {len(broken)} decisions of a fragile model"
    elif attacked < parameters.min_attacked:
        state, note = State.INSUFFICIENT, f"{attacked} rows were attacked, fewer than {parameters.min_attacked}"
    elif rows.truth is None:
        note = "there are no labels: the share of decisions, right or wrong, that survive"
    ratio = proportion(survived, attacked, level) if attacked else None
    measurements = [
        Measurement(
            metric="robust_to_clean_ratio",
            value=ratio.value if ratio else None,
            interval=ratio.interval if ratio else None,
            standard_error=ratio.standard_error if ratio else None,
            n=sample,
            denominator=attacked,
            state=state,
            note=note,
        )
    ]
    for metric, count in (("clean_accuracy", attacked), ("robust_accuracy", survived)):
        if rows.truth is None:
            measurements.append(Measurement(metric=metric, value=None, n=sample, state=State.UNAVAILABLE, note="there are no labels"))
            continue
        share = proportion(count, sample, level)
        robust = metric == "robust_accuracy" and state is State.INSUFFICIENT
        measurements.append(
            Measurement(
                metric=metric,
                value=share.value,
                interval=share.interval,
                standard_error=share.standard_error,
                n=sample,
                denominator=sample,
                state=State.INSUFFICIENT if robust else State.MEASURED,
                note=note if robust else None,
            )
        )
    return measurements


def _attack_figures(
    outcome: dict[str, Attacked], control: dict[str, Attacked], epsilon: float, parameters: RobustnessParameters
) -> list[Measurement]:
    """How often each attack succeeds, on the model and on the fragile one; without a group: either attack."""
    measurements = []
    for metric, results in (("attack_success_rate", outcome), ("positive_control_success", control)):
        for group, distance in [*((name, results[name].distance) for name in ATTACKS), (None, _nearest(results))]:
            n, broken = len(distance), int((distance <= epsilon).sum())
            share = proportion(broken, n, parameters.interval_level) if n else None
            measurements.append(
                Measurement(
                    metric=metric,
                    value=share.value if share else None,
                    interval=share.interval if share else None,
                    standard_error=share.standard_error if share else None,
                    n=n,
                    denominator=n,
                    group=group,
                    state=State.MEASURED if share else State.UNDEFINED,
                    note=None if share else "no row was attacked",
                )
            )
    return measurements


def _median_distance(outcome: dict[str, Attacked]) -> Measurement:
    """Median over the attacked rows; a row without any counterexample is further than all others."""
    distance = np.sort(_nearest(outcome))
    found = int(np.isfinite(distance).sum())
    common: dict[str, Any] = {"metric": "median_adversarial_distance", "n": len(distance), "denominator": found}
    note = f"a counterexample was found, at any distance, for {found} of {len(distance)} rows; standard deviations of training"
    middle = distance[[(len(distance) - 1) // 2, len(distance) // 2]] if len(distance) else np.array([np.inf])
    if not np.isfinite(middle).all():
        return Measurement(**common, value=None, state=State.UNDEFINED, note=note)
    return Measurement(**common, value=float(middle.mean()), note=note)


def _nearest(results: dict[str, Attacked]) -> np.ndarray:
    return np.asarray(np.minimum.reduce([results[name].distance for name in ATTACKS]))


def _decide(model: LoadedModel, frame: pd.DataFrame, favourable: str, name: str) -> np.ndarray:
    import pandas as pd

    decisions = np.asarray(model.predict(frame))
    if decisions.shape != (len(frame),):
        raise ModelError(
            f"gives decisions of shape {decisions.shape} for {len(frame)} rows", where=name, hint="A binary classifier gives one per row"
        )
    return as_outcome(pd.Series(decisions), favourable).fillna(0).to_numpy(dtype=np.int64)


def _fragile_decisions(pool: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """A model with no structure at all: an unpruned tree that learnt random labels by heart."""
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng([seed, 24])
    tree = DecisionTreeClassifier(random_state=int(rng.integers(2**31)))
    tree.fit(pool.astype(np.float32), rng.integers(0, 2, size=len(pool)))
    return lambda vectors: np.asarray(tree.predict(vectors.astype(np.float32)))


def _draw(source: TableSource, features: tuple[str, ...], number: int, seed: tuple[int, int], label: str | None = None) -> pd.DataFrame:
    """A seeded sample of rows, in the table's order; with `label`, of labelled rows."""
    wanted = tuple(dict.fromkeys([*features, *([label] if label is not None else [])]))
    source.require(*wanted)
    source.count_rows()  # an empty table is refused here, with its name
    rng = np.random.default_rng(list(seed))
    drawn = source.sample(number * UNLABELLED_MARGIN if label is not None else number, seed=int(rng.integers(2**62)), columns=wanted)
    if label is not None:
        drawn = drawn[drawn[label].notna()]
    if drawn.empty:
        raise DataError(f"no sampled row of the {source.name} table has a label", where=source.reference, hint="Check the label column")
    return drawn.iloc[np.sort(rng.permutation(len(drawn))[:number])].reset_index(drop=True)


def _budget(parameters: RobustnessParameters) -> Budget:
    return Budget(
        max_iter=parameters.max_iter,
        init_eval=parameters.init_eval,
        max_eval=max(parameters.max_eval, parameters.init_eval),
        neighbours=parameters.neighbours,
        starts=parameters.starts,
    )
