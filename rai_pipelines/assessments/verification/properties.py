"""Each declared property put to the form that the model has: trees or weights."""

from __future__ import annotations

from collections.abc import Sequence

from rai_pipelines.assessments.verification import feedforward_proofs, grouped, linear_proofs, smooth_proofs, tree_proofs
from rai_pipelines.assessments.verification.certificates import Answer, Certificate
from rai_pipelines.assessments.verification.described_model import Described
from rai_pipelines.assessments.verification.domain import Asked, Region
from rai_pipelines.assessments.verification.feedforward import Feedforward
from rai_pipelines.assessments.verification.grouped import Grouped
from rai_pipelines.assessments.verification.linear import Linear
from rai_pipelines.assessments.verification.several import asked_twice, pair_of
from rai_pipelines.assessments.verification.trees import Ensemble
from rai_pipelines.errors import DatasheetError
from rai_pipelines.subjects.safety_properties import SafetyProperty

NOT_READ = "the model does not read the inputs"
WHERE = "safety_properties"


def region_of(item: SafetyProperty, domain: Region, columns: Sequence[str]) -> Region:
    """Where the property speaks; what it names is checked whether or not the model can be verified.

    Raises:
        DatasheetError: it names no input, gives an order to a category, or a rule holds for no input.
    """
    where = f"{WHERE}.{item.name}"
    if item.rule is not None:
        return domain.narrowed(item.rule.when, where)
    if item.monotone is not None and domain.space.features[domain.position(item.monotone.feature, where)].values is not None:
        raise DatasheetError(f"{item.monotone.feature!r} is a category: its codes have no order", where=where, hint="Name a numeric input")
    for name in item.features:
        if name not in columns:
            domain.position(name, where)
    return domain


def prove(item: SafetyProperty, described: Described, asked: Asked, region: Region, *, limit: int) -> Certificate:
    """The certificate of one property over its region."""
    form, where = described.form, f"{WHERE}.{item.name}"
    read = [name for name in item.features if any(name in feature.columns or name == feature.name for feature in region.space.features)]
    if item.invariant_to is not None and not read:
        return Certificate(Answer.PROVED, NOT_READ)
    if form is None:
        return Certificate(Answer.UNKNOWN, "none", reason=described.reason)
    if form.link == "none" and _asks_for_score(item):
        return Certificate(Answer.UNKNOWN, "none", reason="the model gives no score")
    if isinstance(form, Grouped):
        return _of_groups(item, form, asked, region, read)
    if item.monotone is not None:
        at, sign = region.position(item.monotone.feature, where), 1 if item.monotone.direction == "increasing" else -1
        if isinstance(form, Linear):
            return linear_proofs.prove_monotone(form, asked, region, at, sign)
        if isinstance(form, Feedforward):
            return smooth_proofs.prove_monotone(pair_of(form), asked_twice(asked), region, 1, at=at, sign=sign, limit=limit)
        return tree_proofs.prove_monotone(form, asked, region, at, sign, limit=limit)
    if item.bounded_output is not None:
        return _all_of(form, asked, region, [(item.bounded_output.high, 1), (item.bounded_output.low, -1)], limit)
    if item.invariant_to is not None:
        positions, tolerance = sorted({region.position(name, where) for name in read}), item.invariant_to.score_tolerance
        if isinstance(form, Linear):
            return linear_proofs.prove_invariant(form, asked, region, positions, tolerance)
        if isinstance(form, Feedforward):
            both = asked_twice(asked)
            return smooth_proofs.prove_invariant(pair_of(form), both, region, positions, outcome=1, tolerance=tolerance, limit=limit)
        return tree_proofs.prove_invariant(form, asked, region, positions, tolerance, limit=limit)
    rule = item.rule
    assert rule is not None  # the declaration has exactly one kind
    if rule.decision is not None:
        wanted = 1 if rule.decision == "favourable" else 0
        if isinstance(form, Linear):
            return linear_proofs.prove_decision(form, asked, region, wanted)
        if isinstance(form, Feedforward):
            return feedforward_proofs.prove_decision(form, asked, region, wanted, limit=limit)
        return tree_proofs.prove_decision(form, asked, region, wanted, limit=limit)
    bounds = [(rule.score_at_most, 1), (rule.score_at_least, -1)]
    return _all_of(form, asked, region, [(bound, side) for bound, side in bounds if bound is not None], limit)


def _of_groups(item: SafetyProperty, form: Grouped, asked: Asked, region: Region, read: Sequence[str]) -> Certificate:
    """Of decisions; there is no score."""
    if item.invariant_to is not None:
        return grouped.prove_invariant(form, asked, region, sorted({region.position(name, f"{WHERE}.{item.name}") for name in read}))
    assert item.rule is not None  # all else asks for a score
    return grouped.prove_decision(form, asked, region, 1 if item.rule.decision == "favourable" else 0)


def _asks_for_score(item: SafetyProperty) -> bool:
    if item.invariant_to is not None:
        return item.invariant_to.score_tolerance is not None
    return item.rule is None or item.rule.decision is None


def _all_of(form: Ensemble | Linear | Feedforward, asked: Asked, region: Region, bounds: Sequence[tuple[float, int]], limit: int) -> Certificate:
    """Every bound proved; one refuted decides, whatever the others are."""
    found, nodes = [], 0
    for bound, side in bounds:
        if isinstance(form, Linear):
            one = linear_proofs.prove_score(form, asked, region, bound, side)
        elif isinstance(form, Feedforward):
            one = feedforward_proofs.prove_score(form, asked, region, bound, side, limit=max(0, limit - nodes))
        else:
            one = tree_proofs.prove_score(form, asked, region, bound, side, limit=max(0, limit - nodes))
        nodes += one.nodes
        found.append(one)
    worst = min(found, key=lambda one: (Answer.REFUTED, Answer.UNKNOWN, Answer.PROVED).index(one.answer))
    return Certificate(worst.answer, worst.method, nodes, worst.reason, worst.places)
