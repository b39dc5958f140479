"""The model as leaves or weights, and the proof on samples that these are the model: the same scores, the same decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.security.networks import read_layers
from rai_pipelines.assessments.verification.calibrated import mean_of
from rai_pipelines.assessments.verification.domain import Asked, Region
from rai_pipelines.assessments.verification.extraction import TASK
from rai_pipelines.assessments.verification.feedforward import Feedforward, feedforward_of
from rai_pipelines.assessments.verification.grouped import Grouped, grouped_of
from rai_pipelines.assessments.verification.linear import Linear, linear_of
from rai_pipelines.assessments.verification.several import AskedClasses, Several, network_pairs, several_of
from rai_pipelines.assessments.verification.tree_dumps import Unsupported
from rai_pipelines.assessments.verification.trees import Ensemble, ensemble_of
from rai_pipelines.subjects.subject import LoadedModel

LARGEST_DIFFERENCE = 1e-9
Form = Ensemble | Linear | Feedforward | Grouped


@dataclass(frozen=True)
class Described:
    """`form` is None where the model could not be written down, for `reason`.

    `compared` rows differ by at most `difference` in score; None where decisions alone were compared.
    """

    form: Form | None
    reason: str | None = None
    compared: int = 0
    difference: float | None = None
    left_out: int = 0


def describe(model: LoadedModel, columns: Sequence[str], *, asked: Asked, region: Region, rows: np.ndarray, seed: int) -> Described:
    """The model's own trees or weights, held against the model on training rows and on as many random places of the region.

    Raises:
        ModelError: the model fails, or its process answers with something else than trees or weights.
    """
    space = region.space
    answer, tables = model.run(TASK, {"columns": list(columns)}, {})
    if answer.get("kind") not in ("trees", "linear", "network", "mean", "grouped"):
        return Described(None, f"not verified: {answer.get('reason')}")
    form: Form
    try:
        if answer["kind"] == "network":
            network = read_layers(model, len(columns))
            if network is None:
                return Described(None, "not verified: the model's process takes back that it is a network")
            form = feedforward_of(network, space, columns, positive=answer.get("positive") == 1)
        elif answer["kind"] == "mean":
            form = mean_of(answer, space)
        elif answer["kind"] == "grouped":
            form = grouped_of(answer, space)
        else:
            form = linear_of(answer, space) if answer["kind"] == "linear" else ensemble_of(answer, tables.get("nodes"), space)
    except Unsupported as reason:
        return Described(None, f"not verified: {reason}")
    usable = rows[representable(form, rows)]
    random = region.sample(np.random.default_rng([seed, 71]), max(len(usable), 100))
    return _compared(form, asked, np.concatenate([usable, random]), left_out=len(rows) - len(usable))


@dataclass(frozen=True)
class DescribedClasses:
    """As `Described`, of three or more classes."""

    form: Several | None
    reason: str | None = None
    compared: int = 0
    difference: float | None = None
    left_out: int = 0


def describe_classes(
    model: LoadedModel, columns: Sequence[str], names: tuple[str, ...], *, asked: AskedClasses, region: Region, rows: np.ndarray, seed: int
) -> DescribedClasses:
    """As `describe`, for a classifier of the classes `names`: the same decisions, the same probabilities of all of them.

    Raises:
        ModelError: the model fails, or its process answers with something else than trees, weights or layers.
    """
    space = region.space
    answer, tables = model.run(TASK, {"columns": list(columns), "classes": list(names)}, {})
    if answer.get("kind") not in ("class_trees", "class_linear", "network"):
        return DescribedClasses(None, f"not verified: {answer.get('reason')}")
    try:
        if answer["kind"] == "network":
            network = read_layers(model, len(columns))
            if network is None:
                return DescribedClasses(None, "not verified: the model's process takes back that it is a network")
            form = network_pairs(network, answer, names, space, columns)
        else:
            form = several_of(answer, tables, names, space)
    except Unsupported as reason:
        return DescribedClasses(None, f"not verified: {reason}")
    usable = rows[representable(form.first, rows)]
    random = region.sample(np.random.default_rng([seed, 71]), max(len(usable), 100))
    vectors = np.concatenate([usable, random])
    return _classes_compared(form, asked, vectors, left_out=len(rows) - len(usable))


def _classes_compared(form: Several, asked: AskedClasses, vectors: np.ndarray, *, left_out: int) -> DescribedClasses:
    raw = form.raw(vectors)
    best = np.sort(raw, axis=1)
    clear = best[:, -1] - best[:, -2] > form.rounding
    others = raw.argmax(axis=1)[clear] != asked.decisions(vectors)[clear]
    if others.any():
        return DescribedClasses(None, f"not verified: what was read decides {int(others.sum())} of {len(vectors)} rows otherwise than the model")
    scores = asked.scores(vectors)
    difference: float | None = None
    if scores is None:  # nothing to hold the form's own scores against, so none of them is spoken of
        form = replace(form, link="none")
    elif form.link != "none":
        difference = float(np.abs(form.scores(raw) - scores).max())
        if difference > max(LARGEST_DIFFERENCE, form.rounding + form.first.score_rounding):
            return DescribedClasses(None, f"not verified: what was read from the model scores otherwise than it, by up to {difference:.3g}")
    return DescribedClasses(form, None, len(vectors), difference, left_out)


def representable(form: Form, rows: np.ndarray) -> np.ndarray:
    """Rows that the form can speak about: categories known, whole numbers where all of training has them; nothing missing but for trees."""
    space = form.grid.space if isinstance(form, Ensemble) else form.space
    whole = np.array([feature.integer and feature.values is None for feature in space.features])
    gone = np.isnan(rows)
    fits = ~(gone & (space.categorical | (not isinstance(form, Ensemble)))).any(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(fits & ~(whole & ~gone & (rows != np.rint(rows))).any(axis=1))


def under(described: Described, space: FeatureSpace) -> Described:
    """The same form where the same inputs obey other rules of moving them: cells and values are those of training either way."""
    form = described.form
    if isinstance(form, Ensemble):
        return replace(described, form=replace(form, grid=replace(form.grid, space=space)))
    return described if form is None else replace(described, form=replace(form, space=space))


def _compared(form: Form, asked: Asked, vectors: np.ndarray, *, left_out: int) -> Described:
    raw = form.raw(vectors)
    clear = np.abs(raw - form.cut) > form.rounding
    decided = asked.decisions(vectors)
    others: Any = (raw > form.cut).astype(int)[clear] != decided[clear]
    if others.any():
        return Described(None, f"not verified: what was read from the model decides {int(others.sum())} of {len(vectors)} rows otherwise than it")
    scores = asked.scores(vectors)
    difference: float | None = None
    if scores is None and not isinstance(form, Grouped):  # nothing to hold the form's own scores against, so none of them is spoken of
        form = replace(form, link="none")
    elif form.link != "none" and not isinstance(form, Grouped) and scores is not None:
        difference = float(np.abs(form.score(raw) - scores).max())
        if difference > max(LARGEST_DIFFERENCE, form.rounding * form.scale + form.score_rounding):
            return Described(None, f"not verified: what was read from the model scores otherwise than it, by up to {difference:.3g}")
    return Described(form, None, len(vectors), difference, left_out)
