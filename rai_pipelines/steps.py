"""The assessments of an audit, in order, and which function makes each: naming them imports none of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rai_pipelines.assessments.base import Assess, Parameters
from rai_pipelines.assessments.budget import Budget
from rai_pipelines.policy.model import Policy
from rai_pipelines.settings import Settings


@dataclass(frozen=True)
class Step:
    """One assessment in the audit. `tables` are the data whose digests its evidence names; `after` is the evidence it reads."""

    name: str
    title: str
    tables: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def steps() -> Mapping[str, Step]:
    """The assessments of an audit, in order. Naming them imports none of them."""
    return STEPS


# Parts of an audit's queries and seconds: what each assessment needs where all of them are carried out in full.
QUERY_SHARES = {"adversarial_robustness": 25, "explainability_report": 10, "privacy_attacks": 2, "poisoning_check": 2, "proof_certificates": 1}
SECOND_SHARES = {"adversarial_robustness": 10, "explainability_report": 5, "privacy_attacks": 3, "poisoning_check": 4, "proof_certificates": 2}


def budget_of(name: str, policy: Policy, risk_class: str) -> Budget | None:
    """What the assessment called `name` may ask of a model of that risk class; None for one that does not question the model."""
    if name not in QUERY_SHARES:
        return None
    whole = getattr(policy.budgets, risk_class, policy.budgets.high)
    queries = whole.queries * QUERY_SHARES[name] // sum(QUERY_SHARES.values())
    return Budget(queries, whole.seconds * SECOND_SHARES[name] / sum(SECOND_SHARES.values()))


def assessment_of(name: str, policy: Policy, settings: Settings, budget: Budget | None = None) -> tuple[Assess, Parameters]:
    """The function that makes the assessment called `name`, and its parameters under `policy` and `settings`, planned within `budget`."""
    match name:
        case "registry_record":
            from rai_pipelines.assessments.registry_record import RegistryRecordParameters, assess_registry_record

            return assess_registry_record, RegistryRecordParameters()
        case "data_validation":
            from rai_pipelines.assessments.validation.data_validation import DataValidationParameters, assess_data_validation

            return assess_data_validation, DataValidationParameters()
        case "anonymization_check":
            from rai_pipelines.assessments.privacy.anonymity import assess_anonymity
            from rai_pipelines.assessments.privacy.parameters import AnonymityParameters

            return assess_anonymity, AnonymityParameters(**_anonymity_targets(policy))
        case "bias_assessment":
            from rai_pipelines.assessments.fairness.bias import assess_bias
            from rai_pipelines.assessments.fairness.lattice import BiasParameters

            chosen = policy.statistics
            return assess_bias, BiasParameters(
                resamples=chosen.resamples,
                min_group_n=chosen.min_group_n,
                min_denominator=chosen.min_denominator,
                interval_level=chosen.interval_level,
            )
        case "performance_report":
            from rai_pipelines.assessments.performance.figures import PerformanceParameters
            from rai_pipelines.assessments.performance.report import assess_performance

            return assess_performance, PerformanceParameters()
        case "model_scan":
            from rai_pipelines.assessments.security.model_scan import ModelScanParameters, assess_model_scan

            confined = settings.model_host == "subprocess"
            return assess_model_scan, ModelScanParameters(trusted_skops_types=settings.trusted_skops_types, confined=confined)
        case "drift_report":
            from rai_pipelines.assessments.drift import DriftParameters, assess_drift

            return assess_drift, DriftParameters(interval_level=policy.statistics.interval_level)
        case "fairness_windows":
            from rai_pipelines.assessments.fairness.windows import FairnessWindowParameters, assess_fairness_windows

            chosen, wanted = policy.statistics, _of_check(policy, "windowed_fairness")
            return assess_fairness_windows, FairnessWindowParameters(
                min_group_n=chosen.min_group_n,
                min_denominator=chosen.min_denominator,
                interval_level=chosen.interval_level,
                **{name: wanted[name] for name in ("window_decisions", "min_label_coverage") if name in wanted},
            )
        case "proof_certificates":
            from rai_pipelines.assessments.verification.verification import VerificationParameters, assess_verification

            return assess_verification, VerificationParameters(interval_level=policy.statistics.interval_level)
        case "privacy_attacks":
            from rai_pipelines.assessments.privacy_attacks.parameters import PrivacyAttackParameters
            from rai_pipelines.assessments.privacy_attacks.privacy_attacks import assess_privacy_attacks

            allowed = {"max_queries": budget.planned_queries // 2} if budget else {}  # of each row it asks for decision and score
            return assess_privacy_attacks, PrivacyAttackParameters(interval_level=policy.statistics.interval_level, **allowed)
        case "poisoning_check":
            from rai_pipelines.assessments.poisoning.poisoning import PoisoningParameters, assess_poisoning

            return assess_poisoning, PoisoningParameters(interval_level=policy.statistics.interval_level)
        case "adversarial_robustness":
            from rai_pipelines.assessments.security.robustness import RobustnessParameters, assess_robustness

            limits: dict[str, Any] = {"max_queries": budget.planned_queries, "time_limit_s": budget.planned_seconds} if budget else {}
            return assess_robustness, RobustnessParameters(**limits)
        case "explainability_report":
            from rai_pipelines.assessments.explanations.parameters import ExplanationParameters
            from rai_pipelines.assessments.explanations.report import assess_explanations

            asked: dict[str, Any] = {**_explanation_tolerance(policy), **({"max_queries": budget.planned_queries} if budget else {})}
            return assess_explanations, ExplanationParameters(interval_level=policy.statistics.interval_level, **asked)
        case "signed_reviews":
            from rai_pipelines.accountability import AccountabilityParameters, reviews_assessment

            return reviews_assessment(settings), AccountabilityParameters()
        case "governance_record":
            from rai_pipelines.accountability import AccountabilityParameters, record_assessment

            return record_assessment(settings), AccountabilityParameters()
        case "human_oversight":
            from rai_pipelines.assessments.oversight.human_oversight import HumanOversightParameters, assess_human_oversight

            return assess_human_oversight, HumanOversightParameters(
                interval_level=policy.statistics.interval_level, training_record_hosts=settings.training_record_hosts, **_short_review(policy)
            )
        case "policy_review":
            from rai_pipelines.assessments.oversight.policy_review import PolicyReviewParameters
            from rai_pipelines.policy_record import policy_review_assessment

            header = policy.policy
            return policy_review_assessment(settings, policy), PolicyReviewParameters(
                review_by=header.review_by, review_every_days=header.review_every_days
            )
        case "documentation_check":
            from rai_pipelines.assessments.documentation import DocumentationParameters, assess_documentation

            return assess_documentation, DocumentationParameters()
        case "technical_documentation_check":
            from rai_pipelines.assessments.annex_iv import TechnicalDocumentationParameters, assess_technical_documentation

            return assess_technical_documentation, TechnicalDocumentationParameters()
    raise KeyError(name)


def _explanation_tolerance(policy: Policy) -> dict[str, float]:
    """What an explanation may be off by before it counts as none: the least that a control of the policy allows."""
    allowed = [control.threshold.get("additivity_error_max") for control in policy.controls if control.check == "local_explanations"]
    most = [float(value) for value in allowed if isinstance(value, int | float)]
    return {"tolerance": min(most)} if most else {}


def _of_check(policy: Policy, check: str) -> Mapping[str, Any]:
    """The parameters of the control with that check; none where no control has it."""
    return next((control.parameters for control in policy.controls if control.check == check), {})


def _short_review(policy: Policy) -> dict[str, int]:
    """Below how many seconds a review is short: the most that a control of the policy says. One share is measured, and judged by all of them."""
    from rai_pipelines.policy.checks.oversight import HumanReviewParameters

    asking = [control for control in policy.controls if control.check == "human_review_of_decisions"]
    least = [HumanReviewParameters.model_validate(dict(control.parameters)).short_review_seconds_min for control in asking]
    return {"short_review_seconds": max(least)} if least else {}


def _anonymity_targets(policy: Policy) -> dict[str, int]:
    """What a recoding proposal has to reach: the k and l that the policy asks for."""
    control = next((control for control in policy.controls if control.check == "anonymity"), None)
    if control is None:
        return {}
    k, least = control.threshold.get("k_min"), control.threshold.get("l_min")
    targets = {"l_target": least}
    if isinstance(k, Mapping):
        targets |= {"k_target": k.get("internal"), "k_target_public": k.get("public")}
    return {name: max(2, math.ceil(value)) for name, value in targets.items() if isinstance(value, int | float)}


_MEASURED = (
    Step("registry_record", "Registry record"),
    Step("model_scan", "Model scan"),
    Step("data_validation", "Data validation", ("training", "evaluation")),
    Step("anonymization_check", "Anonymisation check", ("training", "evaluation", "population")),
    Step("bias_assessment", "Bias assessment", ("evaluation",)),
    Step("performance_report", "Performance report", ("evaluation",)),
    Step("adversarial_robustness", "Adversarial robustness", ("training", "evaluation")),
    Step("explainability_report", "Explainability report", ("training", "evaluation")),
    Step("proof_certificates", "Proof certificates", ("training", "evaluation")),
    Step("privacy_attacks", "Privacy attacks", ("training", "evaluation")),
    Step("poisoning_check", "Poisoning check", ("training", "evaluation")),
    Step("drift_report", "Drift report", ("training", "evaluation", "production")),
    Step("fairness_windows", "Fairness in production", ("production",)),
    Step("human_oversight", "Human oversight", ("decisions", "reviews")),
    Step("policy_review", "Policy review"),
)
_DOCUMENTED = (
    Step("documentation_check", "Documentation check", after=tuple(step.name for step in _MEASURED)),
    Step("technical_documentation_check", "Technical documentation check", after=tuple(step.name for step in _MEASURED)),
)
_DECIDED = (
    Step("signed_reviews", "Signed reviews", after=("data_validation", "bias_assessment", "performance_report", "drift_report")),
    Step("governance_record", "Governance record"),
)
WATCHED = ("drift_report", "fairness_windows", "human_oversight")  # measured anew by a look at production; the rest stays as it was audited
STEPS: Mapping[str, Step] = {step.name: step for step in (*_MEASURED, *_DOCUMENTED, *_DECIDED)}
