"""Asset checks: one for each control that is in force or has a date, on the asset whose evidence it judges.

They show findings in the UI. They never block: the gate reads the verdict itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import dagster as dg

from rai_pipelines.documents.text import markdown_table, number
from rai_pipelines.policy.checks.registry import checks
from rai_pipelines.policy.findings import Finding, FindingStatus
from rai_pipelines.policy.model import Control, Policy

warnings.filterwarnings("ignore", category=dg.PreviewWarning)  # partitioned asset checks are in preview in Dagster 1.13

VERDICT_ASSET = "policy_verdict"
COMPLIANT_CHECK = "compliant"
_GREEN = (FindingStatus.PASS, FindingStatus.NOT_APPLICABLE, FindingStatus.NOT_IN_FORCE)


def check_specs(policy: Policy, asset: str) -> list[dg.AssetCheckSpec]:
    """The checks that stand on `asset`."""
    specs = [
        dg.AssetCheckSpec(
            name=check_name(control),
            asset=asset,
            description=f"{control.id} ({control.area}, {control.tier}, {control.severity}): {control.statement}",
        )
        for control in controls_on(policy, asset)
    ]
    if asset == VERDICT_ASSET:
        specs.append(dg.AssetCheckSpec(name=COMPLIANT_CHECK, asset=asset, description="The verdict on this model version is: compliant"))
    return specs


def controls_on(policy: Policy, asset: str) -> list[Control]:
    """Controls that are judged on the evidence of `asset`; what no single assessment answers stands on the verdict."""
    return [control for control in policy.controls if control.effective_from is not None and asset_of(control) == asset]


def asset_of(control: Control) -> str:
    """The asset on which the finding about this control shows."""
    check = checks().get(control.check)
    return check.assessments[0] if check is not None and len(check.assessments) == 1 else VERDICT_ASSET


def check_results(findings: Sequence[Finding], asset: str) -> list[dg.AssetCheckResult]:
    """What the checks on `asset` say: red is a failed or missing requirement, yellow an undecided or lesser one."""
    return [
        dg.AssetCheckResult(
            asset_key=asset,
            check_name=finding.control.replace("-", "_"),
            passed=finding.status in _GREEN,
            severity=_severity(finding),
            description=f"{finding.status.value.replace('_', ' ')}: {finding.reason}",
            metadata={
                "status": finding.status.value,
                "figures": dg.MetadataValue.md(figures_table(finding)),
                "evidence": dg.MetadataValue.json(dict(finding.evidence)),
            },
        )
        for finding in findings
    ]


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
