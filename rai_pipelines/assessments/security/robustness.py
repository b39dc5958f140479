"""Adversarial robustness: how many correct decisions survive an attacker who may move the mutable inputs by a declared distance.

The attacks stay among rows that could exist under the declared threat model, and are first shown to work (see `attack_suite`).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from rai_pipelines.assessments.base import AuditContext, Measured, Parameters
from rai_pipelines.assessments.scoring import feature_names
from rai_pipelines.assessments.security.attack_suite import BLACK_BOX, LEAST_CONTROL, Scene, together, too_small_a_control
from rai_pipelines.assessments.security.campaign import Outcome, attack_model
from rai_pipelines.assessments.security.corruptions import measure_corruptions
from rai_pipelines.assessments.security.determinism import Determinism, measure_determinism, steadiness_figures
from rai_pipelines.assessments.security.example_changes import shown_changes
from rai_pipelines.assessments.security.malformed_inputs import probe_malformed_inputs
from rai_pipelines.assessments.security.oracle import Attacked, Effort, Guard, Oracle
from rai_pipelines.assessments.security.robust_figures import (
    CURVE,
    Standing,
    accuracy_figures,
    control_figures,
    deciles,
    fragile_features,
    median_distance,
    success_figures,
)
from rai_pipelines.assessments.security.robust_groups import group_figures
from rai_pipelines.assessments.security.robust_sample import Outcomes, Sampled, draw_rows, sample_rows
from rai_pipelines.assessments.security.training_space import read_feature_space
from rai_pipelines.evidence.model import Measurement, State, Status

LEAST_ALLOWANCE = 600  # queries for each attacked row: with less, fewer rows are attacked instead
CLASSIFICATIONS = ("binary_classification", "multiclass_classification")
REPEATED_ROWS = 200  # of the sample, asked about again to see whether answers stay
MOST_UNSEEN = 0.5  # of the sampled rows; beyond it those that were attacked are not the population
MOST_CUT = 0.5  # of the rows; beyond it the attacks were not carried out
AttackName = Literal["hop_skip_jump", "boundary", "valid_neighbours", "decision_tree", "fast_gradient", "gradient", "auto_pgd"]
# the boundary attack doubles the time, and found nothing that HopSkipJump had not found where both were tried
DEFAULT_ATTACKS: tuple[AttackName, ...] = (
    "hop_skip_jump", "valid_neighbours", "decision_tree", "fast_gradient", "gradient", "auto_pgd",
)  # fmt: skip


class RobustnessParameters(Parameters):
    """How many rows are attacked and how hard. Distances and rules are the datasheet's `robustness`."""

    sample: int = Field(default=1_000, ge=5, le=20_000, description="Evaluation rows looked at; the correctly decided ones are attacked")
    pool: int = Field(default=2_000, ge=50, le=20_000, description="Training rows that attacks start from")
    attacks: tuple[AttackName, ...] = Field(default=DEFAULT_ATTACKS, min_length=1, description="Those that do not fit the model are left out")
    max_queries: int = Field(default=2_500_000, ge=10_000, description="Rows that the attacks may ask the model about")
    starts: int = Field(default=100, ge=1, le=2_000, description="Nearest training rows tried as starting points of each row")
    neighbours: int = Field(default=150, ge=10, le=5_000, description="Random valid neighbours tried for each row")
    max_iter: int = Field(default=4, ge=1, le=64, description="HopSkipJump iterations for each row")
    init_eval: int = Field(default=60, ge=10, le=1_000, description="Queries of the first gradient estimate")
    max_eval: int = Field(default=200, ge=10, le=10_000, description="Queries of one gradient estimate at most")
    boundary_iterations: int = Field(default=8, ge=1, le=5_000, description="Steps of the boundary attack for each row")
    gradient_steps: int = Field(default=20, ge=1, le=1_000, description="Steps of projected gradient descent and of AutoPGD")
    queries: Literal["fast", "native"] = Field(default="fast", description="fast: through ONNX Runtime where it is proved to decide alike")
    repeats: int = Field(default=5, ge=2, le=100, description="Calls with the same rows that show whether the model changes its answers")
    control_rows: int = Field(default=20, ge=5, le=100, description="Rows of the positive control and of the checks of the attacks")
    min_control_success: float = Field(default=0.5, gt=0, le=1, description="Share of the fragile model's decisions that an attack must break")
    min_attacked: int = Field(default=20, ge=1, description="Attacked rows below which the ratio says too little")
    min_group_n: int = Field(default=30, ge=1, description="Attacked rows of a group below which it is not compared")
    interval_level: float = Field(default=0.90, gt=0, lt=1)
    time_limit_s: float = Field(default=1_800.0, gt=0, description="A guard against a model that hangs; when it is hit, nothing is concluded")


def assess_robustness(context: AuditContext, parameters: RobustnessParameters) -> Measured:
    """Attack the model on a seeded sample of the evaluation table, corrupt the sample, and send it malformed requests.

    Returns:
        Of the sample `clean_accuracy` and `robust_accuracy`; of the attacked rows `robust_to_clean_ratio` (those that survive every attack
        at epsilon), both also by budget (`robust_accuracy_at_budget`, `robust_to_clean_ratio_at_budget`) and the ratio by protected group
        (`group_robust_to_clean_ratio`, `robust_to_clean_gap`). By attack `attack_success_rate`, `positive_control_success`,
        `unbounded_success`, `attack_queries`. `feature_fragility` by feature, `median_adversarial_distance` (standard deviations of
        training), `model_queries` (rows). `corrupted_accuracy`, `corrupted_agreement` by corruption. `crash_count` (malformed inputs that the
        model neither answers nor refuses). `unsteady_decisions` and `unsteady_scores` of rows that were asked about several times; where a
        decision changes, nothing is concluded. With several classes any other class is a changed decision. Without labels every row is
        attacked and the ratio is the share of decisions that survive.

    Raises:
        ModelMissing: there is no model file.
        ModelError: the model does not load, does not say what it reads, or fails on rows of its own evaluation table.
        DataError: a table does not fit the datasheet.
        DatasheetError: the declared threat model does not fit the inputs.
    """
    sheet, columns, rules = context.subject.datasheet, context.subject.datasheet.columns, context.subject.datasheet.robustness
    if sheet.task not in CLASSIFICATIONS:
        return Measured(status=Status.MISSING, reason=f"robustness is measured for classifiers only, and the task is {sheet.task}")
    model = context.subject.load_model()
    features = feature_names(context, model)
    training = context.table("training" if context.has_table("training") else "evaluation")
    fixed = tuple(dict.fromkeys([*columns.immutable_features, *columns.protected_attributes]))
    space = read_feature_space(training, features, categorical=columns.categorical_features, immutable=fixed, budget=rules)
    sampled = sample_rows(context, space, features, max(1, min(parameters.sample, parameters.max_queries // LEAST_ALLOWANCE)))
    pool = space.encode(draw_rows(training, features, parameters.pool, seed=(context.seed, 22)))
    name, outcomes = str(context.subject.version), Outcomes.of(sheet)
    oracle = Oracle(lambda vectors: outcomes.decisions(model, space.decode(vectors, sampled.frame), name))
    steady = measure_determinism(model, sampled.frame[list(features)].head(REPEATED_ROWS), parameters.repeats)
    decided = oracle.ask(sampled.vectors)
    correct = decided == sampled.truth if sampled.truth is not None else np.ones(len(decided), dtype=bool)
    constant = bool((decided == decided[0]).all() and (oracle.ask(pool) == decided[0]).all())
    scene = Scene(
        oracle=oracle,
        space=space,
        rows=sampled.vectors[correct],
        pool=pool,
        budgets=(rules.epsilon_l2, max(CURVE) * rules.epsilon_l2),
        effort=_effort(parameters, int(correct.sum())),
        guard=Guard(parameters.time_limit_s),
        seed=context.seed,
    )
    outcome = attack_model(
        scene,
        model,
        sampled,
        attacks=parameters.attacks,
        control_rows=parameters.control_rows,
        fast=parameters.queries == "fast",
        rules=rules,
        fixed=fixed,
    )
    nearest = together(outcome.found, scene.rows)
    control = together({attack: one.control for attack, one in outcome.effect.items()}, outcome.control_rows)
    standing = _standing(scene, sampled, outcome, control=control, steady=steady, constant=constant, parameters=parameters)
    problems = _problems(outcome, rules.epsilon_l2, parameters)
    level, epsilon = parameters.interval_level, rules.epsilon_l2
    corrupted = measure_corruptions(oracle.ask, space, sampled.vectors, sampled.truth, level=level, seed=context.seed)
    probes = probe_malformed_inputs(model, space, sampled.frame[list(features)])  # last, because a model may not survive it
    measurements = [
        *accuracy_figures(correct, nearest, standing, epsilon=epsilon, labelled=sampled.truth is not None),
        *success_figures(outcome.found, nearest, problems, epsilon=epsilon, level=level),
        *control_figures(outcome.effect, control, epsilon=epsilon, level=level),
        median_distance(nearest),
        *group_figures(
            sampled.frame, correct, nearest.within(epsilon), columns.protected_attributes,
            standing=standing, min_group_n=parameters.min_group_n, seed=context.seed,
        ),
        *steadiness_figures(steady, level=level),
        *fragile_features(space, scene.rows, nearest, epsilon=epsilon, least=parameters.min_attacked, level=level),
        *corrupted,
        Measurement(metric="model_queries", value=float(outcome.queries), n=len(scene.rows), note="rows the model was asked about"),
        Measurement(
            metric="crash_count",
            value=float(probes.crashes),
            n=probes.rows,
            denominator=probes.asked,
            note="malformed requests that ended neither in a decision nor in a refusal",
        ),
    ]  # fmt: skip
    details: dict[str, Any] = {
        "a_changed_decision_is": f"any other of {len(outcomes.classes)} classes" if outcomes.classes else "the other outcome",
        "threat_model": rules.model_dump(mode="json"),
        "epsilon_l2": epsilon,
        "category_step": rules.category_step,
        "ranges_from": training.name,
        "features": list(features),
        "movable_features": [space.features[at].name for at in space.movable],
        "fixed_features": [feature.name for feature in space.features if not feature.movable],
        **_what_was_done(scene, sampled, outcome, problems, parameters),
        "distances": deciles(outcome.found),
        "examples": shown_changes(space, scene.rows, nearest, pool, columns=columns, epsilon=epsilon),
        "malformed": dict(probes.outcomes),
        "malformed_refused": probes.refused,
    }
    return Measured(measurements=tuple(measurements), details=details)


def _what_was_done(
    scene: Scene, sampled: Sampled, outcome: Outcome, problems: dict[str, str | None], parameters: RobustnessParameters
) -> dict[str, Any]:
    """How much was attacked, by which attacks and queries, and what was left out or cut."""
    found = outcome.found
    return {
        "sample": len(sampled.vectors),
        "sample_asked_for": parameters.sample,
        "attacked": len(scene.rows),
        "rows_with_unseen_categories": sampled.unseen,
        "attacks": {name: problems[name] or "effective" for name in found},
        "attacks_that_do_not_fit": [name for name in parameters.attacks if name not in found],
        "without_start": {name: found[name].without_start for name in BLACK_BOX if name in found},
        "rows_cut_by_allowance": {name: one.cut for name, one in found.items()},
        "allowance_per_row": scene.effort.allowance,
        "time_limit_hit": scene.guard.hit,
        "queries_through": dict(outcome.path),
        "not_confirmed_at_once": dict(outcome.unconfirmed),
        "against_the_threat_model": dict(outcome.invalid),
        "positive_control": "unpruned decision tree fitted to random labels of the training rows; for gradients, lines at half the budget",
    }


def _problems(outcome: Outcome, epsilon: float, parameters: RobustnessParameters) -> dict[str, str | None]:
    return {name: one.problem(epsilon, parameters.min_control_success) for name, one in outcome.effect.items()}


def _standing(
    scene: Scene, sampled: Sampled, outcome: Outcome, *, control: Attacked, steady: Determinism, constant: bool, parameters: RobustnessParameters
) -> Standing:
    """Whether what the attacks did not break may be called robust."""
    level, epsilon, attacked = parameters.interval_level, scene.budgets[0], len(scene.rows)
    if attacked == 0:
        return Standing(State.UNDEFINED, "no sampled row is decided correctly", level)
    by_attack = _problems(outcome, epsilon, parameters)
    problems = list(by_attack.values())
    broken = int(control.within(epsilon).sum())
    cut = min((one.cut for name, one in outcome.found.items() if not by_attack[name]), default=0)
    note = None
    if not scene.space.reaches(epsilon):
        note = (
            f"the declared budget of {epsilon:g} standard deviations allows no change to any input that a person can change "
            f"(one changed category counts as {min((one.swap for one in scene.space.features if one.values is not None), default=0):g})"
        )
    elif steady.changed_decisions:
        note = f"the model changes its answers: {steady.changed_decisions} of {steady.rows} rows were decided differently when asked again"
    elif constant:
        note = "the model decides every sampled row and every row that attacks start from alike: it has no decision that could be turned"
    elif scene.guard.hit:
        note = f"the attacks were ended after {parameters.time_limit_s:g} seconds"
    elif not outcome.found:
        note = "none of the chosen attacks fits the model"
    elif len(control.rows) < LEAST_CONTROL:
        note = f"attack not effective: {too_small_a_control(len(control.rows))}"
    elif broken < parameters.min_control_success * len(control.rows):
        note = f"attack not effective: together they break {broken} of {len(control.rows)} decisions of a fragile model"
    elif all(problems):
        note = f"attack not effective: {problems[0]}"
    elif cut > MOST_CUT * attacked:
        note = f"every attack ended at its allowance of queries for {cut} or more of {attacked} rows"
    elif sampled.unseen > MOST_UNSEEN * (sampled.unseen + len(sampled.vectors)):
        note = (
            f"{sampled.unseen} of {sampled.unseen + len(sampled.vectors)} sampled rows have categories that training never saw, and were not attacked"
        )
    elif attacked < parameters.min_attacked:
        note = f"{attacked} rows were attacked, fewer than {parameters.min_attacked}"
    if note:
        return Standing(State.INSUFFICIENT, note, level)
    return Standing(
        State.MEASURED, None if sampled.truth is not None else "there are no labels: the share of decisions, right or wrong, that survive", level
    )


def _effort(parameters: RobustnessParameters, rows: int) -> Effort:
    return Effort(
        starts=parameters.starts,
        neighbours=parameters.neighbours,
        max_iter=parameters.max_iter,
        init_eval=parameters.init_eval,
        max_eval=max(parameters.max_eval, parameters.init_eval),
        boundary_iterations=parameters.boundary_iterations,
        gradient_steps=parameters.gradient_steps,
        allowance=parameters.max_queries // max(1, rows),
    )
