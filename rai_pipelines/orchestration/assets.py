"""The life cycle of an audit as assets, partitioned by model version. Each calls one verb of the auditor and shows what came out.

An assessment that fails on bad data or a bad model ends as evidence with that status; the asset still materialises and the others go
on. Only what a later try can mend (a registry that is down) fails the run.
"""

from collections.abc import Callable
from typing import TypeVar

import dagster as dg

from rai_pipelines.audit import Auditor
from rai_pipelines.errors import DatabaseError, RaiError, RegistryUnavailable
from rai_pipelines.orchestration.checks import VERDICT_ASSET, check_results, check_specs, compliant_result, controls_on, gone_result
from rai_pipelines.orchestration.jobs import TAG_MONTH, WATCH_JOB
from rai_pipelines.orchestration.metadata import card_metadata, documentation_metadata, evidence_metadata, gate_metadata, verdict_metadata
from rai_pipelines.orchestration.partitions import MODEL_VERSIONS
from rai_pipelines.orchestration.resources import AUDITOR
from rai_pipelines.policy.model import Policy
from rai_pipelines.release import open_gate, write_model_card, write_technical_documentation
from rai_pipelines.steps import Step, steps
from rai_pipelines.subjects.names import ModelVersion

T = TypeVar("T")

OWNERS = ["team:responsible-ai"]
OUTAGE_RETRIES, OUTAGE_WAIT_S = 3, 20
GATE_POOL = "release_gate"  # one gate at a time: two versions of a model must not both read the alias before either moves it

GROUP = "model_audit"  # one group: the UI folds several, and the whole audit should be seen at once
DOCUMENTED = (
    "anonymization_check",
    "bias_assessment",
    "performance_report",
    "adversarial_robustness",
    "explainability_report",
    "drift_report",
    "fairness_windows",
    "human_oversight",
    "policy_review",
    "privacy_attacks",
    "proof_certificates",
    "poisoning_check",
)
DEPENDENCIES = {
    "registry_record": (),
    "model_scan": ("registry_record",),
    "data_validation": ("registry_record",),
    "anonymization_check": ("data_validation",),
    "bias_assessment": ("data_validation", "model_scan"),
    "performance_report": ("data_validation", "model_scan"),
    "adversarial_robustness": ("data_validation", "model_scan"),
    "explainability_report": ("data_validation", "model_scan"),
    "proof_certificates": ("data_validation", "model_scan"),
    "privacy_attacks": ("data_validation", "model_scan"),
    "poisoning_check": ("data_validation", "model_scan"),
    "drift_report": ("data_validation",),
    "fairness_windows": ("data_validation", "model_scan"),
    "human_oversight": ("registry_record",),
    "policy_review": ("registry_record",),
    "documentation_check": DOCUMENTED,
    "technical_documentation_check": DOCUMENTED,
    "signed_reviews": ("data_validation", "bias_assessment", "performance_report", "drift_report"),
    "governance_record": ("registry_record",),
}
KINDS = {
    "registry_record": {"mlflow"},
    "model_scan": {"python"},
    "data_validation": {"greatexpectations"},
    "anonymization_check": {"duckdb"},
    "bias_assessment": {"python"},
    "performance_report": {"scikitlearn"},
    "adversarial_robustness": {"python"},
    "explainability_report": {"python"},
    "proof_certificates": {"python"},
    "privacy_attacks": {"python"},
    "poisoning_check": {"python"},
    "drift_report": {"duckdb"},
    "fairness_windows": {"duckdb"},
    "human_oversight": {"duckdb"},
    "policy_review": {"yaml"},
    "documentation_check": {"markdown"},
    "technical_documentation_check": {"markdown"},
    "signed_reviews": {"python"},
    "governance_record": {"python"},
}
DESCRIPTIONS = {
    "registry_record": "What the registry holds and the owner declared in the datasheet: documentation fields, owner, deputy, contact, runbook, "
    "risk class. A red check names the empty fields.",
    "model_scan": "The version's files, read without running any of them: pickled programs by their opcodes, archives within archives, ONNX "
    "and skops by what they name. Dangerous files are never loaded.",
    "data_validation": "Training and evaluation tables against a Great Expectations suite derived from the datasheet and the training profile: "
    "schema, types, ranges, categories, missing values, duplicates, label leakage, train/evaluation overlap.",
    "anonymization_check": "Whether people in the training data can be singled out: direct identifiers by column name and content, equivalence "
    "classes of the quasi-identifiers, k-anonymity, l-diversity, t-closeness, prosecutor risk.",
    "bias_assessment": "Selection rate, TPR, FPR, FNR and accuracy of every protected group and intersection (Fairlearn on counts), impact ratios, "
    "demographic parity and equalized odds with intervals. Groups too small to judge are named.",
    "performance_report": "Accuracy, recall, precision, AUC and more, overall and by protected group, with intervals, "
    "against always guessing the majority.",
    "adversarial_robustness": "How many correct decisions survive small changes to inputs that a person can change, within the declared budget "
    "(HopSkipJump of the Adversarial Robustness Toolbox, a neighbour search, and exact or gradient attacks where the model allows them), with checks "
    "that each attack works.",
    "explainability_report": "What drives the model (Shapley values, a small tree that imitates it, protected attributes and their proxies among the "
    "drivers), whether single decisions can be explained and turned, and how good the explanations are: additivity, deletion, stability, agreement "
    "with LIME, replayed traces. Aggregates only; rai explain answers for one row.",
    "proof_certificates": "Declared safety properties proved or refuted for every input of a stated box, and the share of decisions that are "
    "certified against the declared perturbations. Trees by branch and bound over their leaves, linear models in closed form.",
    "privacy_attacks": "Whether the model's answers tell who was in its training data (membership inference with a positive and a negative control), "
    "give away sensitive inputs, and fit the declared differential privacy, which is recomputed.",
    "poisoning_check": "How much wrong training rows would change the model, by fitting it again: labels flipped at random or against one group, "
    "single rows and whole declared sources left out, labels that the rest of the table contradicts, each with planted controls.",
    "drift_report": "How far the production table is from the training table, column by column (PSI, Jensen-Shannon, "
    "Kolmogorov-Smirnov, Wasserstein, new categories) and all together, and how much accuracy was lost where labels have "
    "arrived. Effect sizes with intervals decide.",
    "fairness_windows": "How far apart protected groups are in production: demographic parity and equalized odds in each window of so many "
    "decisions, by the time at which these were made, with intervals. Errors are compared where enough outcomes have arrived.",
    "human_oversight": "Whether people reviewed high-stakes decisions before they took effect, were trained for it, took their time, and ever "
    "decided otherwise. The logs are joined where they lie; evidence holds counts and no reviewer.",
    "policy_review": "By when the policy itself has to be reviewed, and when it was reviewed last.",
    "documentation_check": "Whether every section of the model card has its declarations and its evidence.",
    "technical_documentation_check": "Whether every point of the technical documentation (EU AI Act, Annex IV) has the provider's statement and its "
    "evidence, or does not apply.",
    "signed_reviews": "Which reviews people have signed (training data, key figures, the owner's acknowledgement), when, and whether what they "
    "were about is still so. Reviews are signed with rai review sign.",
    "governance_record": "Whether the decisions about this model hold: signatures, nobody approving their own model, each decision in the ledger, "
    "the ledger unbroken, overdue decisions looked for; and in which months it was live without an audit.",
}


def build_assets(policy: Policy) -> list[dg.AssetsDefinition]:
    """Every asset of the audit, with the checks that `policy` asks for."""
    return [
        *(_assessment_asset(step, policy) for step in steps().values()),
        _verdict_asset(policy),
        _card_asset(),
        _documentation_asset(),
        _gate_asset(),
    ]


def _assessment_asset(step: Step, policy: Policy) -> dg.AssetsDefinition:
    @dg.asset(
        name=step.name,
        description=DESCRIPTIONS[step.name],
        group_name=GROUP,
        kinds=KINDS[step.name],
        owners=OWNERS,
        deps=list(DEPENDENCIES[step.name]),
        partitions_def=MODEL_VERSIONS,
        required_resource_keys={AUDITOR},
        check_specs=check_specs(policy, step.name),
    )
    def assess(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        auditor, version = _subject_of(context)
        evidence = _attempt(lambda: auditor.measure(step.name, version, on_progress=lambda progress: context.log.info("%s", progress)))
        context.log.info("%s of %s: %s", step.title, version, evidence.reason or evidence.status.value)
        findings = auditor.judge_controls(controls_on(policy, step.name), version, evidence)
        return dg.MaterializeResult(
            metadata=evidence_metadata(evidence, auditor.policy),
            check_results=check_results(findings, step.name, version),
            data_version=dg.DataVersion(evidence.digest),
        )

    return assess


def _verdict_asset(policy: Policy) -> dg.AssetsDefinition:
    @dg.asset(
        name=VERDICT_ASSET,
        description="All controls of the policy judged on the stored evidence, and what follows: compliant, needs review or non-compliant. "
        "Missing evidence counts as a failed control.",
        group_name=GROUP,
        kinds={"yaml"},
        owners=OWNERS,
        deps=["documentation_check", "technical_documentation_check", "registry_record", "signed_reviews", "governance_record"],
        partitions_def=MODEL_VERSIONS,
        required_resource_keys={AUDITOR},
        check_specs=check_specs(policy, VERDICT_ASSET),
    )
    def policy_verdict(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        auditor, version = _subject_of(context)
        verdict = _attempt(lambda: auditor.judge(version))
        context.log.info("%s is %s: %s", version, verdict.status.value, "; ".join(verdict.reasons) or "nothing in the way")
        found = [(control, verdict.finding(control.id)) for control in controls_on(policy, VERDICT_ASSET)]
        own = [finding for _, finding in found if finding is not None]
        gone = [gone_result(control, version) for control, finding in found if finding is None]
        return dg.MaterializeResult(
            metadata=verdict_metadata(verdict),
            check_results=[*check_results(own, VERDICT_ASSET, version), *gone, compliant_result(verdict, version)],
            data_version=dg.DataVersion(verdict.digest),
        )

    return policy_verdict


def _card_asset() -> dg.AssetsDefinition:
    @dg.asset(
        description="The model card as PDF, HTML, Markdown and JSON: declarations, measurements with intervals, findings. "
        "Written for failing versions too.",
        group_name=GROUP,
        kinds={"html"},
        owners=OWNERS,
        deps=[VERDICT_ASSET],
        partitions_def=MODEL_VERSIONS,
        required_resource_keys={AUDITOR},
    )
    def model_card(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        auditor, version = _subject_of(context)
        _, paths = _attempt(lambda: write_model_card(auditor, version))
        return dg.MaterializeResult(metadata=card_metadata(paths["md"].read_text(encoding="utf-8"), paths))

    return model_card


def _documentation_asset() -> dg.AssetsDefinition:
    @dg.asset(
        description="The technical documentation of Annex IV to the EU AI Act as PDF, HTML, Markdown and JSON: the provider's statements, what was "
        "measured with the evidence it rests on, and every point that is open. Written for failing versions too.",
        group_name=GROUP,
        kinds={"pdf"},
        owners=OWNERS,
        deps=[VERDICT_ASSET],
        partitions_def=MODEL_VERSIONS,
        required_resource_keys={AUDITOR},
    )
    def technical_documentation(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        auditor, version = _subject_of(context)
        document, paths = _attempt(lambda: write_technical_documentation(auditor, version))
        return dg.MaterializeResult(metadata=documentation_metadata(document, paths))

    return technical_documentation


def _gate_asset() -> dg.AssetsDefinition:
    @dg.asset(
        description="Takes the verdict to the gate and tells the registry how the version stands: tags rai.verdict, rai.gate, rai.policy and "
        "rai.evidence, the alias `compliant` on the newest compliant version and `approved` on the newest one that may be used.",
        group_name=GROUP,
        kinds={"mlflow"},
        owners=OWNERS,
        deps=[VERDICT_ASSET],  # a document that cannot be written must not keep a worse verdict from the gate
        partitions_def=MODEL_VERSIONS,
        pool=GATE_POOL,
        required_resource_keys={AUDITOR},
    )
    def release_gate(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        auditor, version = _subject_of(context)
        record = _attempt(lambda: open_gate(auditor, version))
        context.log.info("Gate for %s: %s, %s (%s)", version, record.decision.value, record.state.value, record.reason)
        return dg.MaterializeResult(metadata=gate_metadata(record))

    return release_gate


def _subject_of(context: dg.AssetExecutionContext) -> tuple[Auditor, ModelVersion]:
    auditor: Auditor = getattr(context.resources, AUDITOR)
    auditor.month = context.run.tags.get(TAG_MONTH)
    auditor.scope = "production" if context.run.job_name == WATCH_JOB else "audit"
    return auditor, ModelVersion.from_key(context.partition_key)


def _attempt(act: Callable[[], T]) -> T:
    """`act()`; only what a later try can mend is tried again, everything else ends the step at once."""
    try:
        return act()
    except (RegistryUnavailable, DatabaseError) as error:
        raise dg.RetryRequested(max_retries=OUTAGE_RETRIES, seconds_to_wait=OUTAGE_WAIT_S) from error
    except RaiError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
