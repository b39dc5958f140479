"""Each declared property put to a classifier of three or more classes, and networks of two asked for how they rise or stay the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from rai_pipelines.assessments.verification import class_tree_proofs, feedforward_proofs, linear_proofs, smooth_proofs, tree_proofs
from rai_pipelines.assessments.verification.certificates import Answer, Certificate
from rai_pipelines.assessments.verification.domain import Region
from rai_pipelines.assessments.verification.feedforward import Feedforward
from rai_pipelines.assessments.verification.linear import Linear
from rai_pipelines.assessments.verification.several import AskedClasses, Several
from rai_pipelines.assessments.verification.trees import Ensemble
from rai_pipelines.subjects.safety_properties import SafetyProperty

NOT_READ = "the model does not read the inputs"
ORDER = (Answer.REFUTED, Answer.UNKNOWN, Answer.PROVED)
T = TypeVar("T")
NO_SCORE = "the model gives no score, or it is not written down here how it makes it of its raw values"


def prove_of_classes(
    item: SafetyProperty, form: Several | None, reason: str | None, asked: AskedClasses, region: Region, *, outcome: int, limit: int
) -> Certificate:
    """The certificate of one property over its region; `outcome` is the place of the class that it speaks of.

    Args:
        reason: why there is no form.
    """
    where = f"safety_properties.{item.name}"
    read = [name for name in item.features if any(name in feature.columns or name == feature.name for feature in region.space.features)]
    if item.invariant_to is not None and not read:
        return Certificate(Answer.PROVED, NOT_READ)
    if form is None:
        return Certificate(Answer.UNKNOWN, "none", reason=reason)
    if form.link == "none" and _asks_for_score(item):
        return Certificate(Answer.UNKNOWN, "none", reason=NO_SCORE)
    trees = isinstance(form.first, Ensemble)
    if item.monotone is not None:
        sign = 1 if item.monotone.direction == "increasing" else -1
        proofs = class_tree_proofs.prove_monotone if trees else smooth_proofs.prove_monotone
        return proofs(form, asked, region, outcome, at=region.position(item.monotone.feature, where), sign=sign, limit=limit)
    if item.bounded_output is not None:
        return _bounds(form, asked, region, outcome, bounds=[(item.bounded_output.high, 1), (item.bounded_output.low, -1)], limit=limit)
    if item.invariant_to is not None:
        stays = class_tree_proofs.prove_invariant if trees else smooth_proofs.prove_invariant
        positions = sorted({region.position(name, where) for name in read})
        return stays(form, asked, region, positions, outcome=outcome, tolerance=item.invariant_to.score_tolerance, limit=limit)
    rule = item.rule
    assert rule is not None  # the declaration has exactly one kind
    if rule.decision == "favourable":
        return prove_decision(form, asked, region, outcome, limit=limit)
    if rule.decision is not None:
        never = class_tree_proofs.prove_never if trees else smooth_proofs.prove_never
        return never(form, asked, region, outcome, limit=limit)
    bounds = [(rule.score_at_most, 1), (rule.score_at_least, -1)]
    return _bounds(form, asked, region, outcome, bounds=[(bound, side) for bound, side in bounds if bound is not None], limit=limit)


def prove_decision(form: Several, asked: AskedClasses, region: Region, outcome: int, *, limit: int, near: np.ndarray | None = None) -> Certificate:
    """That every decision is for one class: it is above each other one everywhere; `near` is what a counterexample should stay close to."""
    of_class = asked.of(outcome)

    def one(pair: Ensemble | Linear | Feedforward, left: int) -> Certificate:
        if isinstance(pair, Linear):
            return linear_proofs.prove_decision(pair, of_class, region, 1)
        if isinstance(pair, Feedforward):
            return feedforward_proofs.prove_decision(pair, of_class, region, 1, limit=left, near=near)
        return tree_proofs.prove_decision(pair, of_class, region, 1, limit=left, near=near)

    return _all(form.against(outcome), one, limit)


def _bounds(form: Several, asked: AskedClasses, region: Region, outcome: int, *, bounds: Sequence[tuple[float, int]], limit: int) -> Certificate:
    proofs = class_tree_proofs.prove_score if isinstance(form.first, Ensemble) else smooth_proofs.prove_score
    return _all(bounds, lambda wanted, left: proofs(form, asked, region, outcome, bound=wanted[0], side=wanted[1], limit=left), limit)


def _all(parts: Iterable[T], prove: Callable[[T, int], Certificate], limit: int) -> Certificate:
    """Every part proved; one refuted decides, whatever the others are."""
    nodes, worst = 0, None
    for part in parts:
        found = prove(part, max(0, limit - nodes))
        nodes += found.nodes
        if worst is None or ORDER.index(found.answer) < ORDER.index(worst.answer):
            worst = found
        if found.answer is Answer.REFUTED:
            break
    assert worst is not None  # there are at least two classes, and at least one bound
    return Certificate(worst.answer, worst.method, nodes, worst.reason, worst.places)


def _asks_for_score(item: SafetyProperty) -> bool:
    if item.invariant_to is not None:
        return item.invariant_to.score_tolerance is not None
    return item.rule is None or item.rule.decision is None
