"""Figures about explanations of single decisions, over a sample of them: what would turn them, how good they are, whether they can be made again."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from rai_pipelines.assessments.explanations.counterfactuals import changed_features, nearest_counterfactuals
from rai_pipelines.assessments.explanations.explained_model import SCORE
from rai_pipelines.assessments.explanations.figures import absent_figure, certain_figure, mean_figure, median_figure, share_figure
from rai_pipelines.assessments.explanations.libraries import EXTRA, installed
from rai_pipelines.assessments.explanations.lime_rows import lime_weights
from rai_pipelines.assessments.explanations.quality import agreement_figures, best_threshold_agreement, deletion_fidelity, stability_figures
from rai_pipelines.assessments.explanations.scene import Scene
from rai_pipelines.assessments.explanations.traces import make_trace, open_traced, read_trace, replay_trace, traced_model, write_trace
from rai_pipelines.clock import utc_now
from rai_pipelines.evidence.model import Measurement, State

STABILITY_SALT, LIME_SALT, DELETION_SALT, MEDIAN_SALT = 77, 78, 79, 81
UNFAVOURABLE = "unfavourable decisions"
DISTANCE_NOTE = "standard deviations of training; upper bounds"
DIFFERENCES_SHOWN = 5


def counterfactual_figures(scene: Scene) -> list[Measurement]:
    """Coverage, distance and sparsity of counterfactuals, for the first rows of the sample, and for the first of those that were decided against."""
    parameters, space, explained = scene.parameters, scene.explained.space, scene.explained
    names = ("counterfactual_coverage", "counterfactual_distance", "counterfactual_sparsity")
    able = np.flatnonzero(scene.whole)
    why = None
    if not explained.decides:
        why = "the task has amounts and no decisions to turn"
    elif not len(space.movable):
        why = "every input is declared immutable or protected"
    if why or not len(able):
        return [absent_figure(name, len(able), why or "no row has a vector") for name in names]
    decisions, number = explained.decisions_at(scene.vectors[able]), scene.plan.counterfactual
    parts = {None: able[:number], UNFAVOURABLE: able[decisions == 0][:number]}
    rows = np.unique(np.concatenate(list(parts.values())))
    found = nearest_counterfactuals(explained, scene.vectors[rows], scene.pool)
    distance = dict(zip(rows.tolist(), found.distance, strict=True))
    changed = dict(zip(rows.tolist(), changed_features(space, scene.vectors[rows], found.rows).sum(axis=1).astype(float), strict=True))
    common: dict[str, Any] = {"level": parameters.interval_level, "least": parameters.min_rows}
    note = "changes of mutable inputs only, asked about again; a search, so more may exist"
    made = []
    for group, part in parts.items():
        got = [at for at in part.tolist() if np.isfinite(distance[at])]
        away, number_changed = (np.array([figures[at] for at in got]) for figures in (distance, changed))
        seed = [scene.context.seed, MEDIAN_SALT]
        made += [
            share_figure(names[0], len(got), len(part), note=note, group=group, **common),
            median_figure(names[1], away, of=len(part), resamples=parameters.resamples, seed=seed, note=DISTANCE_NOTE, group=group, **common),
            mean_figure(names[2], number_changed, note="changed inputs; a one-hot group counts once", group=group, **common),
        ]
    return made


def decision_from_score(scene: Scene) -> Measurement:
    """`decision_from_score`: share of the sampled decisions that one threshold on the explained score gives."""
    name, explained = "decision_from_score", scene.explained
    if explained.output != SCORE or not explained.decides:
        return absent_figure(name, len(scene.frame), "the model gives no score beside its decisions", state=State.UNAVAILABLE)
    agreeing = best_threshold_agreement(explained.outputs(scene.frame), explained.decisions(scene.frame))
    note = "decisions that one threshold on the score gives, the best for these rows; of the others the explained score tells less than all"
    return share_figure(name, agreeing, len(scene.frame), level=scene.parameters.interval_level, least=scene.parameters.min_rows, note=note)


def deletion_figure(scene: Scene) -> Measurement:
    """`deletion_fidelity` of the first rows of the sample."""
    rows = scene.first(scene.plan.deletion)
    background = scene.explained.space.encode(scene.explainer.background)
    return deletion_fidelity(
        scene.explained, scene.vectors[rows], scene.shapley.values[rows], background, repeats=scene.parameters.deletion_repeats,
        level=scene.parameters.interval_level, least=scene.parameters.min_rows, seed=(scene.context.seed, DELETION_SALT),
    )  # fmt: skip


def stability(scene: Scene) -> list[Measurement]:
    """`top5_stability` and `rank_stability` against other backgrounds, drawn from the pool, and other seeds."""
    parameters, rows = scene.parameters, scene.first(scene.plan.stability)
    if not len(rows):
        return [absent_figure(name, 0, "no row was explained") for name in ("top5_stability", "rank_stability")]
    if not scene.explainer.method.against_background:
        note = "values along the paths of the trees depend on no background and no seed"
        return [certain_figure(name, 1.0, len(rows), note, level=parameters.interval_level) for name in ("top5_stability", "rank_stability")]
    runs = [scene.shapley.values[rows]]
    frame, pool = scene.frame.iloc[rows].reset_index(drop=True), scene.explained.pool
    for run in range(parameters.stability_runs):
        rng = np.random.default_rng([scene.context.seed, STABILITY_SALT, run])
        other = pool.iloc[np.sort(rng.permutation(len(pool))[: len(scene.explainer.background)])].reset_index(drop=True)
        runs.append(scene.explainer.explain(frame, background=other, seed=int(rng.integers(2**32))).values)
    return stability_figures(runs, level=parameters.interval_level, least=parameters.min_rows)


def agreement(scene: Scene) -> list[Measurement]:
    """`shap_lime_agreement` of the first rows of the sample."""
    parameters, rows = scene.parameters, scene.first(scene.plan.lime)
    why = None if installed("lime") else f"lime is not installed. {EXTRA}"
    weights = np.full((len(rows), scene.vectors.shape[1]), np.nan)
    if why is None:
        weights = lime_weights(scene.explained, scene.pool, scene.vectors[rows], samples=parameters.lime_samples, seed=_lime_seed(scene.context.seed))
    return agreement_figures(scene.shapley.values[rows], weights, level=parameters.interval_level, least=parameters.min_rows, why_none=why)


def replayed_traces(scene: Scene) -> tuple[Measurement, list[str]]:
    """`trace_replay_match`, and the names of what differed: decisions are traced into private files, read back, and made again by an explainer
    opened anew; then the files are deleted.
    """
    context, rows = scene.context, range(min(scene.plan.traces, len(scene.frame)))
    traced = traced_model(context, scene.explainer)
    context.scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=context.scratch, prefix=".traces-"))
    try:
        for position in rows:
            kept = position % 2 == 0  # the others are replayed from the table, and proved the same by digest
            row = scene.frame.iloc[[position]]
            record = make_trace(traced, row, prediction_id=f"sample-{position}", at=utc_now(), keep_inputs=kept, table="evaluation")
            write_trace(record, folder / f"{position}.json")
        again = open_traced(context, scene.parameters)
        replays = []
        for position in rows:
            record = read_trace(folder / f"{position}.json")
            replays.append(replay_trace(record, None if record.inputs is not None else scene.frame.iloc[[position]], again))
    finally:
        shutil.rmtree(folder)
    scene.explained.queries += again.explainer.explained.queries
    same = sum(replay.matches for replay in replays)
    # what differs is named by field; the values are of people
    differing = sorted({difference.partition(":")[0] for replay in replays for difference in replay.differences})
    note = "decisions of the sample, traced and made again to the last bit; half of them from kept inputs; says nothing about traces of production"
    return share_figure("trace_replay_match", same, len(replays), level=scene.parameters.interval_level, note=note), differing[:DIFFERENCES_SHOWN]


def _lime_seed(seed: int) -> int:
    return int(np.random.default_rng([seed, LIME_SALT]).integers(2**32))
