"""Certified robustness: for which rows no input that the threat model allows changes the decision, proved and not only tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from rai_pipelines.assessments.statistics.proportions import proportion
from rai_pipelines.assessments.verification import feedforward_proofs, grouped, linear_proofs, tree_proofs
from rai_pipelines.assessments.verification.certificates import Answer, Certificate
from rai_pipelines.assessments.verification.class_properties import prove_decision
from rai_pipelines.assessments.verification.clique import clique_bounds, clique_bounds_of_classes
from rai_pipelines.assessments.verification.described_model import Described, DescribedClasses, representable
from rai_pipelines.assessments.verification.domain import Asked, around
from rai_pipelines.assessments.verification.feedforward import Feedforward
from rai_pipelines.assessments.verification.grouped import Grouped
from rai_pipelines.assessments.verification.linear import Linear
from rai_pipelines.assessments.verification.several import AskedClasses, Pair, Several
from rai_pipelines.assessments.verification.trees import Ensemble
from rai_pipelines.evidence.model import Interval, Measurement, State

SHARES = {Answer.PROVED: "certified_share", Answer.REFUTED: "refuted_share", Answer.UNKNOWN: "unknown_share"}

NOT_COVERED = "an unknown category, a missing value or a fraction that the form of the model does not cover"


@dataclass(frozen=True)
class Certified:
    """Answers over rows, and proved radii in standard deviations (NaN where the work was too much)."""

    answers: tuple[Answer, ...]
    nodes: int
    reasons: Mapping[str, int]
    radii: np.ndarray = field(default_factory=lambda: np.empty(0))
    clique_certified: np.ndarray = field(default_factory=lambda: np.empty(0))
    unit: float | None = None


def certify(described: Described, asked: Asked, rows: np.ndarray, *, epsilon: float, limit: int, clique_rows: int, most_pairs: int) -> Certified:
    """For each row whether its decision holds all over its box; a counterexample counts once the model confirms it.

    Args:
        rows: vectors; the box of each is what its space allows.
        limit: boxes looked at for each row.
        clique_rows, most_pairs: rows given to the toolbox's method, and pairs of leaves for each of them.
    """
    form = described.form
    if form is None:
        return Certified((Answer.UNKNOWN,) * len(rows), 0, {described.reason or "": len(rows)})
    found: list[Certificate] = []
    usable = representable(form, rows)
    decisions = asked.decisions(rows) if len(rows) else np.empty(0, dtype=int)
    for row, fits, decision in zip(rows, usable, decisions, strict=True):
        if not fits:
            found.append(Certificate(Answer.UNKNOWN, "none", reason=NOT_COVERED))
        elif isinstance(form, Feedforward):
            box = around(asked.space, row)
            found.append(feedforward_proofs.prove_decision(form, asked, box, int(decision), limit=limit, near=row))
        elif isinstance(form, Grouped):
            found.append(grouped.prove_decision(form, asked, around(asked.space, row), int(decision)))
        elif isinstance(form, Linear):
            found.append(linear_proofs.prove_decision(form, asked, around(asked.space, row), int(decision)))
        else:
            found.append(tree_proofs.prove_decision(form, asked, around(asked.space, row), int(decision), limit=limit, near=row))
    reasons = Counter(one.reason or "" for one in found if one.answer is Answer.UNKNOWN)
    answers, nodes = tuple(one.answer for one in found), sum(one.nodes for one in found)
    whole = rows[usable & ~np.isnan(rows).any(axis=1)]
    if isinstance(form, Linear):
        return Certified(answers, nodes, dict(reasons), _linear_radii(form, whole))
    if isinstance(form, Grouped):
        return Certified(answers, nodes, dict(reasons), np.array([grouped.certified_radius(form, row) for row in whole]))
    if isinstance(form, Feedforward):
        return Certified(answers, nodes, dict(reasons), np.array([feedforward_proofs.certified_radius(form, row) for row in whole]))
    radii, proved, unit = (
        clique_bounds(form, whole[:clique_rows], epsilon=epsilon, most_pairs=most_pairs)
        if len(whole[:clique_rows])
        else (np.empty(0), np.empty(0), None)
    )
    return Certified(answers, nodes, dict(reasons), radii, proved, unit)


def certify_classes(
    described: DescribedClasses, asked: AskedClasses, rows: np.ndarray, *, epsilon: float, limit: int, clique_rows: int, most_pairs: int
) -> Certified:
    """As `certify`, of three or more classes: a row is certified where the class that it is decided for stays above each other one."""
    form = described.form
    if form is None:
        return Certified((Answer.UNKNOWN,) * len(rows), 0, {described.reason or "": len(rows)})
    usable = representable(form.first, rows)
    decisions = asked.decisions(rows) if len(rows) else np.empty(0, dtype=int)
    found: list[Certificate] = []
    for row, fits, decision in zip(rows, usable, decisions, strict=True):
        if not fits:
            found.append(Certificate(Answer.UNKNOWN, "none", reason=NOT_COVERED))
        else:
            found.append(prove_decision(form, asked, around(asked.space, row), int(decision), limit=limit, near=row))
    reasons = dict(Counter(one.reason or "" for one in found if one.answer is Answer.UNKNOWN))
    answers, nodes = tuple(one.answer for one in found), sum(one.nodes for one in found)
    whole = usable & ~np.isnan(rows).any(axis=1)
    rows, decisions = rows[whole], decisions[whole]
    if not isinstance(form.first, Ensemble):
        least = [min(_radius(pair, row) for pair in form.against(int(decision))) for row, decision in zip(rows, decisions, strict=True)]
        return Certified(answers, nodes, reasons, np.array(least))
    rows, decisions = rows[:clique_rows], decisions[:clique_rows]
    radii, proved, unit = _clique_of_classes(form, form.first, rows, decisions, epsilon=epsilon, most_pairs=most_pairs)
    return Certified(answers, nodes, reasons, radii, proved, unit)


def _radius(pair: Pair, row: np.ndarray) -> float:
    if isinstance(pair, Feedforward):
        return feedforward_proofs.certified_radius(pair, row) if float(pair.raw(row[None])[0]) > 0 else 0.0
    return float(_linear_radii(pair, row[None])[0]) if isinstance(pair, Linear) and float(pair.raw(row[None])[0]) > 0 else 0.0


def _clique_of_classes(
    form: Several, like: Ensemble, rows: np.ndarray, decisions: np.ndarray, *, epsilon: float, most_pairs: int
) -> tuple[np.ndarray, np.ndarray, float | None]:
    if not len(rows):
        return np.empty(0), np.empty(0), None
    space = like.grid.space
    moving = [at for at in like.grid.numbers if space.features[at].movable]
    step = np.array([space.features[at].step for at in moving])
    low = rows[:, moving].min(axis=0)
    unit = float(max([((rows[:, moving] - low) / step).max() if moving else 1.0, 2 * epsilon]))
    radii, proved = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for decision in sorted(set(decisions.tolist())):
        of_class = decisions == decision
        pairs = [pair for pair in form.against(decision) if isinstance(pair, Ensemble)]
        radii[of_class], proved[of_class] = clique_bounds_of_classes(
            pairs, rows[of_class], epsilon=epsilon, most_pairs=most_pairs, low=low, unit=unit
        )
    return radii, proved, unit


def robust_measurements(certified: Certified, *, epsilon: float, level: float) -> list[Measurement]:
    """`certified_share`, `refuted_share` and `unknown_share` of the rows, with `mean_bound` and, for trees, `clique_certified_share`."""
    rows = len(certified.answers)
    unknown = certified.answers.count(Answer.UNKNOWN)
    note = (
        f"no change within {epsilon:g} standard deviations of each input that can change, all at once, changes the decision; "
        f"{unknown} of {rows} rows are unknown and count as not certified"
    )
    made = [
        _share(metric, certified.answers.count(answer), rows, level, note if answer is Answer.PROVED else None) for answer, metric in SHARES.items()
    ]
    known = certified.radii[~np.isnan(certified.radii)]
    cut = len(certified.radii) - len(known)
    radius = "standard deviations by which every number may move at once; proved, so the true radius is at least that"
    made.append(
        Measurement(
            metric="mean_bound", value=float(known.mean()), n=len(known), denominator=len(known), note=f"{radius}; {cut} rows were too much work"
        )
        if len(known)
        else Measurement(
            metric="mean_bound", value=None, n=0, denominator=0, state=State.UNAVAILABLE, note=f"no bound; {cut} rows were too much work"
        )
    )
    if len(certified.clique_certified):
        made.append(
            _share(
                "clique_certified_share", int((certified.clique_certified == 1).sum()), len(certified.clique_certified), level, "clique method alone"
            )
        )
    return made


def _share(metric: str, count: int, rows: int, level: float, note: str | None) -> Measurement:
    if not rows:
        return Measurement(metric=metric, value=None, n=0, denominator=0, state=State.UNDEFINED, note="no row was looked at")
    share = proportion(count, rows, level)
    interval: Interval | None = share.interval
    return Measurement(metric=metric, value=share.value, interval=interval, n=rows, denominator=rows, note=note)


def _linear_radii(form: Linear, rows: np.ndarray) -> np.ndarray:
    """Distance to the hyperplane in the norm whose dual the weights are measured in: the largest norm over numbers that can change."""
    steps = np.array([feature.step if feature.movable and feature.values is None else 0.0 for feature in form.space.features])
    pull = float(np.abs(form.slopes * steps).sum())
    gap = np.abs(form.raw(rows) - form.cut)
    return np.minimum(gap / pull, form.space.diameter) if pull > 0 else np.full(len(rows), form.space.diameter)
