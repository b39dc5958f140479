"""Formal verification: declared safety properties proved or refuted, and decisions certified against the declared perturbations."""

from __future__ import annotations

from typing import Any

from pydantic import Field, JsonValue

from rai_pipelines.assessments.base import AuditContext, Measured, Parameters
from rai_pipelines.assessments.scoring import feature_names
from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.security.robust_sample import Outcomes, draw_rows
from rai_pipelines.assessments.security.training_space import read_feature_space
from rai_pipelines.assessments.verification.certificates import Answer, Certificate, shown_places
from rai_pipelines.assessments.verification.certified import Certified, robust_measurements
from rai_pipelines.assessments.verification.domain import whole_domain
from rai_pipelines.assessments.verification.properties import region_of
from rai_pipelines.assessments.verification.search import ROUNDING
from rai_pipelines.assessments.verification.verified_model import Verified, verified_model
from rai_pipelines.evidence.model import Measurement, State, Status
from rai_pipelines.subjects.datasheet import RobustnessBudget
from rai_pipelines.subjects.safety_properties import SafetyProperty, named_once

CLASSIFICATIONS = ("binary_classification", "multiclass_classification")
NONE_DECLARED = "no safety property is declared"


class VerificationParameters(Parameters):
    """How much work goes into proofs: counted in boxes and pairs of leaves, never in seconds, so that results are the same everywhere."""

    property_nodes: int = Field(default=10_000, ge=1, le=5_000_000, description="Boxes looked at for each property at most")
    rows: int = Field(default=100, ge=0, le=10_000, description="Evaluation rows whose robustness is certified")
    row_nodes: int = Field(default=300, ge=1, le=1_000_000, description="Boxes looked at for each row at most")
    clique_rows: int = Field(default=10, ge=0, le=1_000, description="Of these rows, those that the clique method bounds")
    clique_pairs: int = Field(default=300_000, ge=1, le=100_000_000, description="Pairs of leaves for each of them; above, it is unknown")
    compared_rows: int = Field(default=300, ge=10, le=100_000, description="Training rows on which trees or weights are held against the model")
    interval_level: float = Field(default=0.90, gt=0, lt=1)


def assess_verification(context: AuditContext, parameters: VerificationParameters) -> Measured:
    """Prove the declared properties over the ranges of training, and certify the decisions of a seeded sample of evaluation rows.

    Returns:
        By declared property `property_proved` (attribute: its name; 1 proved, 0 refuted by inputs that the model itself confirms, no value where
        the work was not enough) and `proved_share` of them. Of the rows `certified_share`, `refuted_share`, `unknown_share`, `mean_bound`
        (standard deviations) and `clique_certified_share`. Certificates in the details.

    Raises:
        ModelMissing: there is no model file.
        ModelError: the model does not load or fails.
        DataError: a table does not fit the datasheet.
        DatasheetError: a property names no input of the model, or speaks of no input at all.
    """
    sheet, rules = context.subject.datasheet, context.subject.datasheet.robustness
    if sheet.task not in CLASSIFICATIONS:
        return Measured(status=Status.MISSING, reason=f"classifiers only are verified, and the task is {sheet.task}")
    declared: tuple[SafetyProperty, ...] = tuple(getattr(sheet, "safety_properties", ()))
    named_once(declared)
    model, columns = context.subject.load_model(), sheet.columns
    features = feature_names(context, model)
    training = context.table("training" if context.has_table("training") else "evaluation")
    fixed = tuple(dict.fromkeys([*columns.immutable_features, *columns.protected_attributes]))
    epsilon = min(rules.epsilon_l2, rules.epsilon_linf or rules.epsilon_l2)

    def space_under(budget: RobustnessBudget, immutable: tuple[str, ...]) -> FeatureSpace:
        return read_feature_space(training, features, categorical=columns.categorical_features, immutable=immutable, budget=budget)

    everything = space_under(RobustnessBudget(one_hot=rules.one_hot), ())
    known = draw_rows(training, features, parameters.compared_rows, seed=(context.seed, 72))
    domain = whole_domain(everything)
    regions = {item.name: region_of(item, domain, training.columns) for item in declared}
    verified = verified_model(model, Outcomes.of(sheet), features, known=known, region=domain, name=str(context.subject.version), seed=context.seed)
    described = verified.described
    certificates = {item.name: verified.prove(item, regions[item.name], limit=parameters.property_nodes) for item in declared}

    threat = space_under(rules.model_copy(update={"epsilon_linf": epsilon}), fixed)
    robust = _certified(context, verified, threat, epsilon=epsilon, parameters=parameters)
    hidden = {*columns.quasi_identifiers, *columns.direct_identifiers, *columns.sensitive_attributes, *columns.protected_attributes}
    details: dict[str, Any] = {
        "declared": [item.model_dump(mode="json", exclude_none=True) for item in declared] or NONE_DECLARED,
        "domain": {
            "ranges_from": training.name,
            "missing_values": "not in the domain",
            "combinations": "every one, also those that no row has",
            "rounding": ROUNDING,
            "digest": domain.digest,
        },
        "model_digest": context.subject.model_digest,
        **verified.told(),
        "why_not_verified": described.reason,
        "compared_with_the_model": {"rows": described.compared, "largest_difference": described.difference, "left_out": described.left_out},
        "certificates": {
            item.name: {
                **_shown(item, certificates[item.name], everything, hidden),
                "region_digest": regions[item.name].digest,
                "model_digest": context.subject.model_digest,
            }
            for item in declared
        },
        "robustness": _robustness_details(robust, epsilon, rules, fixed),
    }
    measurements = [
        *_property_measurements(declared, certificates),
        *robust_measurements(robust, epsilon=epsilon, level=parameters.interval_level),
    ]
    return Measured(measurements=tuple(measurements), details=details)


def _certified(context: AuditContext, verified: Verified, space: FeatureSpace, *, epsilon: float, parameters: VerificationParameters) -> Certified:
    if not parameters.rows:
        return Certified((), 0, {})
    drawn = draw_rows(context.table("evaluation"), space.columns, parameters.rows, seed=(context.seed, 73))
    vectors = space.encode(drawn)
    known = space.known(drawn, vectors)
    made = verified.certify(
        space,
        vectors[known],
        epsilon=epsilon,
        limit=parameters.row_nodes,
        clique_rows=parameters.clique_rows,
        most_pairs=parameters.clique_pairs,
    )
    unseen = int((~known).sum())
    if not unseen:
        return made
    reasons = {**made.reasons, "a category that training never saw": unseen}
    return Certified((*made.answers, *(Answer.UNKNOWN,) * unseen), made.nodes, reasons, made.radii, made.clique_certified, made.unit)


def _property_measurements(declared: tuple[SafetyProperty, ...], certificates: dict[str, Certificate]) -> list[Measurement]:
    if not declared:
        return [Measurement(metric="proved_share", value=None, n=0, denominator=0, state=State.UNAVAILABLE, note=NONE_DECLARED)]
    made = []
    for item in declared:
        one = certificates[item.name]
        if one.answer is Answer.UNKNOWN:
            made.append(
                Measurement(metric="property_proved", value=None, attribute=item.name, state=State.INSUFFICIENT, note=f"unknown: {one.reason}")
            )
        else:
            note = f"{item.kind}: {one.answer} by {one.method}"
            made.append(Measurement(metric="property_proved", value=float(one.answer is Answer.PROVED), attribute=item.name, note=note))
    proved = sum(one.answer is Answer.PROVED for one in certificates.values())
    return [*made, Measurement(metric="proved_share", value=proved / len(declared), n=len(declared), denominator=len(declared))]


def _shown(item: SafetyProperty, one: Certificate, space: FeatureSpace, hidden: set[str]) -> dict[str, JsonValue]:
    named = {at for at, feature in enumerate(space.features) if {feature.name, *feature.columns} & set(item.features)}
    return {
        "kind": item.kind,
        "answer": str(one.answer),
        "method": one.method,
        "nodes": one.nodes,
        "reason": one.reason,
        "counterexample": shown_places(space, one.places, hidden, named) if one.places is not None else None,
        "counterexample_confirmed_by_the_model": one.places is not None,
    }


def _robustness_details(certified: Certified, epsilon: float, rules: RobustnessBudget, fixed: tuple[str, ...]) -> dict[str, Any]:
    return {
        "epsilon_linf": epsilon,
        "epsilon_from": "the smaller of epsilon_l2 and epsilon_linf: the box holds every change that the declared distance allows, and more",
        "fixed": list(fixed),
        "not_used": [name for name in ("max_changed_features",) if getattr(rules, name) is not None],
        "nodes": certified.nodes,
        "unknown_because": dict(sorted(certified.reasons.items())),
        "clique_rows": len(certified.clique_certified),
        "standard_deviations_per_clique_unit": certified.unit,
    }
