"""Asset checks: one for each control that is in force or has a date, on the asset whose evidence it judges.

They show findings in the UI. They never block: the gate reads the verdict itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import dagster as dg

from rai_pipelines.documents.text import markdown_table, number
from rai_pipelines.orchestration.partitions import MODEL_VERSIONS
from rai_pipelines.policy.checks.registry import checks
from rai_pipelines.policy.findings import Figure, Finding, FindingStatus
from rai_pipelines.policy.model import Control, Policy
from rai_pipelines.policy.verdict import Verdict, VerdictStatus
from rai_pipelines.subjects.names import ModelVersion

# Without it, all model versions share one check result and the last run's colour stands for everybody. Partitioned asset checks are
# in preview in Dagster 1.13, so this is the one switch; descriptions name the model version either way.
PARTITIONED_CHECKS = True
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

VERDICT_ASSET = "policy_verdict"
COMPLIANT_CHECK = "compliant"
_GREEN = (FindingStatus.PASS, FindingStatus.NOT_APPLICABLE, FindingStatus.NOT_IN_FORCE)


def check_specs(policy: Policy, asset: str) -> list[dg.AssetCheckSpec]:
    """The checks that stand on `asset`."""
    specs = [
        _spec(asset, check_name(control), f"{control.id} ({control.area}, {control.tier}, {control.severity}): {control.statement}")
        for control in controls_on(policy, asset)
    ]
    if asset == VERDICT_ASSET:
        specs.append(_spec(asset, COMPLIANT_CHECK, "The verdict on this model version is: compliant"))
    return specs


def _spec(asset: str, name: str, description: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(name=name, asset=asset, description=description, partitions_def=MODEL_VERSIONS if PARTITIONED_CHECKS else None)


def controls_on(policy: Policy, asset: str) -> list[Control]:
    """Controls that are judged on the evidence of `asset`; what no single assessment answers stands on the verdict."""
    return [control for control in policy.controls if control.effective_from is not None and asset_of(control) == asset]


def asset_of(control: Control) -> str:
    """The asset on which the finding about this control shows."""
    check = checks().get(control.check)
    if check is None or len(check.assessments) != 1 or any(control.threshold.get(threshold) is not None for threshold in check.also_reads):
        return VERDICT_ASSET
    return check.assessments[0]


def check_results(findings: Sequence[Finding], asset: str, version: ModelVersion) -> list[dg.AssetCheckResult]:
    """What the checks on `asset` say: red is a failed or missing requirement, yellow an undecided or lesser one."""
    return [
        dg.AssetCheckResult(
            asset_key=asset,
            check_name=finding.control.replace("-", "_"),
            passed=finding.status in _GREEN,
            severity=_severity(finding),
            description=f"{version} {finding.status.value.replace('_', ' ')}: {finding.reason}",
            metadata={
                "model_version": str(version),
                "status": finding.status.value,
                **_deciding_figure(finding),
                "figures": dg.MetadataValue.md(figures_table(finding)),
                "evidence": dg.MetadataValue.json(dict(finding.evidence)),
            },
        )
        for finding in findings
    ]


def gone_result(control: Control, version: ModelVersion) -> dg.AssetCheckResult:
    """The check of a control that the policy had when the code location was loaded, and has no more; without it the step would fail."""
    return dg.AssetCheckResult(
        asset_key=VERDICT_ASSET,
        check_name=check_name(control),
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{version}: the policy in force has no control {control.id} any more; reload the code location",
        metadata={"model_version": str(version)},
    )


def compliant_result(verdict: Verdict, version: ModelVersion) -> dg.AssetCheckResult:
    """The check that is green for a compliant model version only."""
    return dg.AssetCheckResult(
        asset_key=VERDICT_ASSET,
        check_name=COMPLIANT_CHECK,
        passed=verdict.status is VerdictStatus.COMPLIANT,
        severity=dg.AssetCheckSeverity.WARN if verdict.status is VerdictStatus.NEEDS_REVIEW else dg.AssetCheckSeverity.ERROR,
        description=f"{version} {verdict.status.value.replace('_', ' ')}",
        metadata={"model_version": str(version), "status": verdict.status.value},
    )


def _deciding_figure(finding: Finding) -> dict[str, dg.MetadataValue]:
    """The figure that decided, in plain sight: number, interval, threshold. For a pass, the first of those that were judged."""
    deciding: list[Figure] = [figure for figure in finding.figures if figure.status is finding.status and figure.value is not None]
    if not deciding or deciding[0].value is None:
        return {}
    first = deciding[0]
    interval = f"{first.interval.low:.4g} to {first.interval.high:.4g} ({first.interval.level:.0%})" if first.interval else "none: not a sample"
    return {
        "figure": dg.MetadataValue.text(first.label),
        "value": dg.MetadataValue.float(float(deciding[0].value)),
        "interval": dg.MetadataValue.text(interval),
        "required": dg.MetadataValue.text(first.threshold),
    }


def check_name(control: Control) -> str:
    """Control id as a Dagster name."""
    return control.id.replace("-", "_")


def figures_table(finding: Finding) -> str:
    """Every figure that was held against a threshold: number, interval, sample size, threshold, outcome."""
    if not finding.figures:
        return "No figure: " + markdown_table(("why",), [(finding.reason,)])
    rows = [
        (
            figure.label,
            number(figure.value, 4),
            f"{number(figure.interval.low, 4)} to {number(figure.interval.high, 4)}" if figure.interval else "–",
            "–" if figure.n is None else f"{figure.n:,}",
            figure.threshold,
            figure.status.value,
            "–" if figure.p_adjusted is None else f"{figure.p_adjusted:.3g}",
            "–" if figure.decisive_n is None else f"{figure.decisive_n:,}",
            figure.note or "",
        )
        for figure in finding.figures
    ]
    return markdown_table(("figure", "value", "interval", "n", "required", "outcome", "adjusted p", "n to decide", "note"), rows)


def _severity(finding: Finding) -> dg.AssetCheckSeverity:
    red = finding.severity.blocks and finding.status is not FindingStatus.INCONCLUSIVE
    return dg.AssetCheckSeverity.ERROR if red else dg.AssetCheckSeverity.WARN
