"""Poisoning and data quality: how much wrong training rows would change the model, and whether some already do.

The model's own learner is fitted again where the model lives. Where the training table is larger than the sample that refits learn from, they are
models of fewer rows: one row or label weighs more in them than in the model.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from rai_pipelines.assessments.base import AuditContext, Measured, Parameters
from rai_pipelines.assessments.poisoning.label_flips import random_flips, targeted_flips
from rai_pipelines.assessments.poisoning.material import Material, read_rows, targets
from rai_pipelines.assessments.poisoning.row_influence import contradicted_labels, left_out_rows
from rai_pipelines.assessments.poisoning.sources import Rules, without_sources
from rai_pipelines.assessments.refits import Plan, Refused, answers_of_refits
from rai_pipelines.assessments.scoring import feature_names
from rai_pipelines.assessments.security.robust_sample import Outcomes
from rai_pipelines.assessments.statistics.proportions import proportion
from rai_pipelines.evidence.model import Measurement, State, Status

CLASSIFICATIONS = ("binary_classification", "multiclass_classification")
NO_LABEL = "the datasheet names no label, so no refit can learn; add columns.label"
NO_TRAINING = "the datasheet names no training data, so nothing can be fitted again; add data.training"
NO_BACKDOOR_CHECK = (
    "no check for backdoors is made: the toolbox's activation clustering needs a network, and of networks over tables it also accuses "
    "a quarter to half of the rows of clean data (docs/statistics.md)"
)
NO_SOURCE = "the datasheet names no column that says where a training row came from; add columns.source"


class PoisoningParameters(Parameters):
    """How many rows refits learn from, and how many refits are made."""

    rows: int = Field(default=4_000, ge=50, le=50_000, description="Training rows that refits learn from, at most")
    evaluation_rows: int = Field(default=2_000, ge=50, le=50_000, description="Evaluation rows that refits are asked about, at most")
    min_rows: int = Field(default=100, ge=20, description="Rows of a table below which no refit is made")
    seeds: int = Field(default=5, ge=2, le=100, description="Refits of each kind")
    shares: tuple[Annotated[float, Field(gt=0, le=0.5)], ...] = Field(
        default=(0.01, 0.05, 0.2), min_length=1, description="Shares of labels that are flipped, ascending"
    )
    influence_rows: int = Field(default=40, ge=0, le=10_000, description="Training rows left out one by one")
    influential_from: float = Field(default=0.005, gt=0, lt=1, description="Share of decisions that a row must change to count as influential")
    half_refits: int = Field(default=16, ge=0, le=1_000, description="Refits to halves of the rows, rounded down to pairs, for contradicted labels")
    planted_rows: int = Field(default=100, ge=5, le=5_000, description="Labels flipped in the positive control, at most a quarter of the rows")
    contradicted_below: float = Field(default=0.1, gt=0, lt=0.5, description="Belief in its own label below which a label counts as contradicted")
    min_control_auc: float = Field(default=0.6, gt=0.5, le=1, description="Area with which planted wrong labels must be told from others")
    max_sources: int = Field(default=10, ge=0, le=1_000, description="Sources left out one by one, the largest first")
    planted_source: float = Field(default=0.2, gt=0, le=0.5, description="Share of the rows in the source that controls plant")
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="False discovery rate among sources")
    max_refits: int = Field(default=600, ge=20, description="Refits at most; flips aimed at further attributes are left out beyond it")
    max_refit_s: float = Field(default=3.0, gt=0, description="A guard against slow learners: when one refit takes longer, no other is made")
    min_group_n: int = Field(default=50, ge=10, description="Sampled rows of a group in both tables below which nothing is aimed at it")
    min_agreement: float = Field(default=0.8, ge=0, le=1, description="Share of decisions in which a refit must agree with the model to speak for it")
    interval_level: float = Field(default=0.90, gt=0, lt=1)


def assess_poisoning(context: AuditContext, parameters: PoisoningParameters) -> Measured:
    """Fit the model's learner again to altered training rows, and compare what it then decides about evaluation rows.

    Returns:
        `refit_agreement` (of a refit to the rows as they are with the model) and `refit_noise`; `random_flip_*`, `targeted_flip_*` by share
        (see `label_flips`); `row_influence_*`, `influential_row_share`, `contradicted_label_share` with its controls (see `row_influence`);
        `source_removal_*`, `harmful_sources` with their controls (see `sources`); `backdoor_check`, which says that there is none. Differences
        have intervals over seeds and evaluation rows; the sampled training rows are taken as given.

    Raises:
        ModelMissing: there is no model file.
        ModelError: the model does not load, or fails on rows of its own tables.
        DataError: a table does not fit the datasheet.
    """
    sheet, columns = context.subject.datasheet, context.subject.datasheet.columns
    if sheet.task not in CLASSIFICATIONS:
        return Measured(status=Status.MISSING, reason=f"poisoning is measured for classifiers only, and the task is {sheet.task}")
    if columns.label is None:
        return Measured(status=Status.MISSING, reason=NO_LABEL)
    if not context.has_table("training"):
        return Measured(status=Status.MISSING, reason=NO_TRAINING)
    model = context.subject.load_model()
    features = feature_names(context, model)
    training = read_rows(context, "training", features, parameters.rows, salt=91, source=columns.source)
    evaluation = read_rows(context, "evaluation", features, parameters.evaluation_rows, salt=92)
    outcomes = Outcomes.of(sheet)
    decisions = outcomes.decisions(model, evaluation.frame[list(features)], str(context.subject.version))
    details: dict[str, Any] = {
        "features": list(features),
        "training_rows": context.table("training").count_rows(),
        "refits_learn_from": len(training.truth),
        "evaluation_rows": len(evaluation.truth),
    }
    occurs = np.bincount(training.truth, minlength=outcomes.count)
    few = min(len(training.truth), len(evaluation.truth), int(occurs.min()) * 5)
    if few < parameters.min_rows:
        return Measured(
            _unavailable(
                State.INSUFFICIENT,
                f"a table has fewer than {parameters.min_rows} labelled rows, or an outcome is too rare{_rarest(occurs, outcomes)}",
            ),
            details,
        )
    seeds = tuple(int(seed) for seed in np.random.default_rng([context.seed, 93]).integers(2**31, size=parameters.seeds))
    inputs = list(features)
    try:
        plans = [Plan(training.truth, seed) for seed in seeds]
        started = time.monotonic()
        answers_of_refits(model, training.frame[inputs], evaluation.frame[inputs], plans[:1], outcomes.classes)
        if time.monotonic() - started > parameters.max_refit_s:
            raise Refused(f"one refit to {len(training.truth)} rows takes more than {parameters.max_refit_s:g} s (max_refit_s)")
        clean = answers_of_refits(model, training.frame[inputs], evaluation.frame[inputs], plans, outcomes.classes)
        material = Material(model, features, training, evaluation, decisions, seeds, clean, refits=len(seeds) + 1, classes=outcomes.classes)
        measurements, more = _attacked(context, material, parameters)
    except Refused as reason:
        return Measured(_unavailable(State.UNAVAILABLE, f"the model cannot be fitted again: {reason}"), details)
    return Measured(tuple(measurements), details | more)


def _attacked(context: AuditContext, material: Material, parameters: PoisoningParameters) -> tuple[list[Measurement], dict[str, Any]]:
    columns, level, seed = context.subject.datasheet.columns, parameters.interval_level, context.seed
    agreed, rows = int((~material.clean.wrong(material.decisions)[0]).sum()), len(material.decisions)
    agreement = proportion(agreed, rows, level)
    made = [
        Measurement(
            metric="refit_agreement", value=agreement.value, interval=agreement.interval, standard_error=agreement.standard_error,
            n=rows, denominator=rows,
            note=f"evaluation decisions of the model that a refit to {len(material.training.truth)} training rows shares",
        )
    ]  # fmt: skip
    aims, without = targets(
        columns.protected_attributes, material.training, material.evaluation, material.decisions,
        least=parameters.min_group_n, outcomes=Outcomes.of(context.subject.datasheet),
    )  # fmt: skip
    shares = tuple(sorted(parameters.shares))
    made += left_out_rows(material, rows=parameters.influence_rows, least=parameters.influential_from, level=level, seed=(seed, 94))
    found, labels = contradicted_labels(
        material, models=parameters.half_refits, planted=parameters.planted_rows, below=parameters.contradicted_below,
        min_control_auc=parameters.min_control_auc, level=level, seed=(seed, 95),
    )  # fmt: skip
    made += found
    sources: dict[str, Any] = {}
    if columns.source is None:
        made.append(Measurement(metric="harmful_sources", value=None, state=State.UNAVAILABLE, note=NO_SOURCE))
    else:
        rules = Rules(parameters.min_group_n, parameters.max_sources, parameters.alpha, parameters.planted_source, level, (seed, 96))
        found, sources = without_sources(material, columns.source, aims, rules)
        made += found
    made += random_flips(material, aims, shares, level=level, seed=(seed, 97))
    cut = []
    for at, aim in enumerate(aims):
        if material.refits + len(shares) * len(material.seeds) > parameters.max_refits:
            cut.append(aim.attribute)
            note = f"not made: {material.refits} of {parameters.max_refits} refits were used before"
            made.append(
                Measurement(metric="targeted_flip_impact_ratio_change", value=None, attribute=aim.attribute, state=State.UNAVAILABLE, note=note)
            )
            continue
        made += targeted_flips(material, aim, shares, level=level, seed=(seed, 98, at))
    for attribute, reason in without.items():
        made.append(Measurement(metric="targeted_flip_impact_ratio_change", value=None, attribute=attribute, state=State.INSUFFICIENT, note=reason))
    made.append(Measurement(metric="backdoor_check", value=None, state=State.UNAVAILABLE, note=NO_BACKDOOR_CHECK))
    made.append(Measurement(metric="refits", value=float(material.refits), note="models fitted for this assessment"))
    if agreement.value < parameters.min_agreement:
        said = (
            f"a refit agrees with the model in {agreement.value:.3f} of the decisions, below {parameters.min_agreement:g}: it does not speak for it"
        )
        made = [_unsure(one, said) for one in made]
    return made, {
        "targets": {
            aim.attribute: {"group": aim.group, "reference": aim.reference, **({"outcome": aim.name} if aim.name is not None else {})} for aim in aims
        },
        "without_target": without,
        "attributes_cut_by_max_refits": cut,
        "contradicted_labels": labels,
        "sources": sources,
        "thresholds_of_a_group_threshold_model": "stay as they are in refits",
    }


def _rarest(occurs: np.ndarray, outcomes: Outcomes) -> str:
    """Of three or more classes, which is the rarest."""
    if not outcomes.classes:
        return ""
    return f" (the rarest, {outcomes.classes[int(occurs.argmin())]!r}, has {int(occurs.min())} rows)"


def _unsure(one: Measurement, why: str) -> Measurement:
    if one.state is not State.MEASURED or one.metric in ("refit_agreement", "refits"):
        return one
    return one.model_copy(update={"state": State.INSUFFICIENT, "note": f"{why}; {one.note}" if one.note else why})


def _unavailable(state: State, note: str) -> tuple[Measurement, ...]:
    names = ("random_flip_accuracy_drop", "targeted_flip_impact_ratio_change", "influential_row_share", "contradicted_label_share", "harmful_sources")
    made = [Measurement(metric=name, value=None, state=state, note=note) for name in names]
    return (*made, Measurement(metric="backdoor_check", value=None, state=State.UNAVAILABLE, note=NO_BACKDOOR_CHECK))
