"""The one list of checks.

A policy may name a check of `PLANNED`: its control is announced, and reads `missing` if it is put in force before it can be measured.
Any other name is an error of the policy file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from rai_pipelines.policy.checks import (
    accountability,
    documentation,
    fairness,
    fairness_windows,
    governance,
    monitoring,
    oversight,
    privacy,
    privacy_attacks,
    safety,
    transparency,
)
from rai_pipelines.policy.checks.base import Check, Reads

PLANNED: Mapping[str, str] = {
    "global_report_and_traces": "whether every decision of production leaves a trace is not measured by this version",
    "encryption_and_attestation": "encryption and attestation are not verified by this version",
    "fault_drill": "fault drills are not run by this version",
    "trigger_coverage": "production triggers are not drilled by this version",
    "public_card_and_impact_assessment": "public cards and impact assessments are not written by this version",
}


@cache
def checks() -> Mapping[str, Check]:
    """Every check that this version can judge, by name."""
    found = [
        *accountability.CHECKS,
        *fairness.CHECKS,
        *fairness_windows.CHECKS,
        *privacy.CHECKS,
        *privacy_attacks.CHECKS,
        *safety.CHECKS,
        *governance.CHECKS,
        *monitoring.CHECKS,
        *documentation.CHECKS,
        *transparency.CHECKS,
        *oversight.CHECKS,
    ]
    names = [check.name for check in found]
    if len(set(names)) != len(names) or set(names) & set(PLANNED):
        raise AssertionError(f"a check is listed twice: {names}")
    return {check.name: check for check in found}


@cache
def reads() -> Mapping[str, Reads | None]:
    """By assessment, what any check reads of its evidence; None where one reads it whole."""
    found: dict[str, Reads | None] = {}
    for check in checks().values():
        for name in (*check.assessments, *check.also_reads.values()):
            part, known = check.reads.get(name), found.get(name, Reads(frozenset()))
            found[name] = Reads(known.metrics | part.metrics, known.details | part.details) if known is not None and part is not None else None
    return found
