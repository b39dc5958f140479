"""Explainability report: what drives the model, whether single decisions can be explained, and how good the explanations are.

Evidence holds aggregates only. Single explanations are about a person: `row` makes them for whoever asks, `traces` keep them in private.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.explanations.drivers import driver_figures
from rai_pipelines.assessments.explanations.figures import absent_figure, share_figure
from rai_pipelines.assessments.explanations.global_view import dependence, importance_figures
from rai_pipelines.assessments.explanations.libraries import EXTRA, installed
from rai_pipelines.assessments.explanations.local_figures import (
    UNFAVOURABLE,
    agreement,
    counterfactual_figures,
    decision_from_score,
    deletion_figure,
    replayed_traces,
    stability,
)
from rai_pipelines.assessments.explanations.one_class import context_for_class
from rai_pipelines.assessments.explanations.parameters import ExplanationParameters
from rai_pipelines.assessments.explanations.quality import additivity_figures
from rai_pipelines.assessments.explanations.scene import Scene, open_scene
from rai_pipelines.assessments.explanations.surrogate import measure_surrogate
from rai_pipelines.assessments.scoring import feature_names
from rai_pipelines.assessments.security.robust_sample import Outcomes, draw_rows
from rai_pipelines.evidence.model import Measurement, State, Status

SURROGATE_SALT, HELD_OUT_SALT, IMPORTANCE_SALT, PROXY_SALT, CLASS_SALT = 75, 76, 80, 82, 83
OTHER_CLASSES = "decisions for other classes"
LEAST_QUERIES = 10_000


def assess_explanations(context: AuditContext, parameters: ExplanationParameters) -> Measured:
    """Explain a seeded sample of evaluation rows in several ways, imitate the model with a small tree, and test all of it.

    Returns:
        Global: `feature_importance` by feature, `surrogate_fidelity`, `surrogate_fidelity_over_majority`, `protected_driver_share`, `proxy_driver`.
        Local: `local_explanation_coverage`, `counterfactual_coverage` (also of unfavourable decisions), `counterfactual_distance` (median, standard
        deviations), `counterfactual_sparsity` (mean number of changed inputs), `decision_from_score` (share of decisions that one threshold on the
        explained score gives). Quality: `additivity_error`, `deletion_fidelity`, `top5_stability`,
        `rank_stability`, `shap_lime_agreement`, `trace_replay_match`. `model_queries` (rows). Dependence, rules and what was cut are details.

    Of several classes each is explained against all others (`outcome` is the class), the most frequently decided ones first; the queries are
    shared out among them.

    Raises:
        ModelMissing: there is no model file.
        ModelError: the model does not load, fails on its own evaluation table, or explains itself with what cannot be.
        DataError, DatasheetError: a table does not fit the datasheet.
    """
    if not installed("shap"):
        return Measured(status=Status.MISSING, reason=f"shap is not installed, and explanations need it. {EXTRA}.")
    if context.subject.datasheet.task == "multiclass_classification":
        return _each_class(context, parameters)
    return _one_output(context, parameters)


def _each_class(context: AuditContext, parameters: ExplanationParameters) -> Measured:
    """The whole report for each class against all others."""
    chosen, left_out = _classes(context, parameters)
    share = parameters.model_copy(update={"max_queries": max(LEAST_QUERIES, parameters.max_queries // len(chosen))})
    measurements: list[Measurement] = []
    by_class: dict[str, Any] = {}
    for name in chosen:
        made = _one_output(context_for_class(context, name), share)
        for item in made.measurements:
            group = OTHER_CLASSES if item.group == UNFAVOURABLE else item.group
            measurements.append(item.model_copy(update={"outcome": name, "group": group}))
        by_class[name] = dict(made.details)
    for name in left_out:  # so that nobody takes the classes that were looked at for all of them
        note = f"only the {len(chosen)} most frequently decided classes are explained (max_classes)"
        measurements.append(absent_figure("local_explanation_coverage", 0, note, state=State.UNAVAILABLE, outcome=name))
    # what is the same for every class stands beside them, as for two outcomes
    first = by_class[chosen[0]]
    shared = {name: first[name] for name in ("explainer", "explained_output") if len({str(one[name]) for one in by_class.values()}) == 1}
    told = {"task": context.subject.datasheet.task, "explained": "each class against all others", "classes_not_explained": left_out, **shared}
    return Measured(measurements=tuple(measurements), details={**told, "classes": by_class})


def _classes(context: AuditContext, parameters: ExplanationParameters) -> tuple[list[str], list[str]]:
    """The classes to explain, as declared, and those that are left out: the ones that a sample of rows is least often decided for."""
    declared = list(context.subject.datasheet.columns.classes)
    model = context.subject.load_model()
    features = feature_names(context, model)
    drawn = draw_rows(context.table("evaluation"), features, parameters.held_out_rows, seed=(context.seed, CLASS_SALT))
    decided = Outcomes.of(context.subject.datasheet).decisions(model, drawn[list(features)], str(context.subject.version))
    often = np.bincount(decided, minlength=len(declared))
    kept = set(np.argsort(-often, kind="stable")[: parameters.max_classes].tolist())
    return [name for at, name in enumerate(declared) if at in kept], [name for at, name in enumerate(declared) if at not in kept]


def _one_output(context: AuditContext, parameters: ExplanationParameters) -> Measured:
    scene = open_scene(context, parameters)
    surrogate, told = _surrogate(scene)
    traces, differences = replayed_traces(scene)
    measurements = [
        *importance_figures(
            scene.explained.space, scene.shapley.values[np.isfinite(scene.shapley.values).all(axis=1)], level=parameters.interval_level,
            resamples=parameters.resamples, least=parameters.min_rows, unit=scene.explainer.method.output, seed=(context.seed, IMPORTANCE_SALT),
        ),
        *surrogate,
        *_drivers(scene),
        _coverage(scene),
        decision_from_score(scene),
        *counterfactual_figures(scene),
        *additivity_figures(scene.shapley, unit=scene.unit),
        deletion_figure(scene),
        *stability(scene),
        *agreement(scene),
        traces,
        Measurement(
            metric="model_queries", value=float(scene.explained.queries), n=len(scene.frame),
            note="rows the model was asked about; explainers that read the model ask nothing",
        ),
    ]  # fmt: skip
    details = {**_what_was_done(scene), "surrogate": told, "trace_differences": differences}
    return Measured(measurements=tuple(measurements), details=details)


def _coverage(scene: Scene) -> Measurement:
    parameters, good = scene.parameters, scene.shapley.within(scene.parameters.tolerance)
    note = f"additivity error at most {parameters.tolerance:g}"
    return share_figure(
        "local_explanation_coverage", int(good.sum()), len(good), level=parameters.interval_level, least=parameters.min_rows, note=note
    )  # fmt: skip


def _surrogate(scene: Scene) -> tuple[list[Measurement], dict[str, Any]]:
    context, parameters, explained = scene.context, scene.parameters, scene.explained
    source = context.table("training" if context.has_table("training") else "evaluation")
    parts = []
    for table, number, salt in (
        (source, parameters.surrogate_rows, SURROGATE_SALT),
        (context.table("evaluation"), parameters.held_out_rows, HELD_OUT_SALT),
    ):
        drawn = draw_rows(table, explained.features, number, seed=(context.seed, salt))
        vectors = explained.space.encode(drawn)
        parts.append(vectors[explained.space.known(drawn, vectors)])
    training, held_out = parts
    if source.name == "evaluation":  # there is no other table: no row may be in both parts
        half = len(held_out) // 2
        training, held_out = held_out[:half], held_out[half:]
    return measure_surrogate(
        explained, training, held_out, depth=parameters.surrogate_depth, least=parameters.min_rows, level=parameters.interval_level,
        resamples=parameters.resamples, hidden=scene.hidden, seed=(context.seed, SURROGATE_SALT),
    )  # fmt: skip


def _drivers(scene: Scene) -> list[Measurement]:
    context, parameters, columns = scene.context, scene.parameters, scene.context.subject.datasheet.columns
    explained, source = scene.explained, scene.context.table("evaluation")
    values = scene.shapley.values[np.isfinite(scene.shapley.values).all(axis=1)]
    importance = np.abs(values).mean(axis=0) if len(values) else np.zeros(len(explained.space.features))
    protected = tuple(columns.protected_attributes)
    drawn = draw_rows(source, explained.features, parameters.held_out_rows, seed=(context.seed, PROXY_SALT), others=protected)
    return driver_figures(
        explained.space, importance, drawn, columns.protected_attributes, categorical=columns.categorical_features, explained_rows=len(values),
        min_group=parameters.proxy_min_group, level=parameters.interval_level, seed=context.seed, table_rows=source.count_rows(),
    )  # fmt: skip


def _what_was_done(scene: Scene) -> dict[str, Any]:
    explained, method = scene.explained, scene.explainer.method
    least, hidden = scene.parameters.min_rows, scene.hidden
    rows = scene.first(len(scene.frame))
    return {
        "task": scene.context.subject.datasheet.task,
        "explainer": method.explainer,
        "explained_output": method.output,
        "reads_the_model": method.reads,
        "why_not_read": method.why,
        "compared_with": scene.explainer.compared_with,
        "permutations": None if method.reads else scene.parameters.permutations,
        "background": {
            "table": "training" if scene.context.has_table("training") else "evaluation",
            "rows": len(scene.explainer.background),
            "digest": scene.explainer.background_digest,
        },
        "sample": {"table": "evaluation", "rows": len(scene.frame), "with_unseen_categories": int((~scene.whole).sum())},
        "mutable_features": [explained.space.features[at].name for at in explained.space.movable],
        "cut": scene.plan.cut,
        "max_queries": scene.parameters.max_queries,
        "tolerance": scene.parameters.tolerance,
        "dependence": dependence(explained.space, scene.vectors[rows], scene.shapley.values[rows], least=least, hidden=hidden),
        "not_shown": sorted(hidden & set(explained.features)),
        "lime": "installed" if installed("lime") else "not installed",
    }
