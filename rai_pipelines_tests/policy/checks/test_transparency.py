"""Checks on explanations: what passes, what luck or a defect does to them, and what absence does."""

from __future__ import annotations

from typing import Any

import pytest

from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.policy.checks.base import Question
from rai_pipelines.policy.checks.transparency import (
    REPORT,
    GlobalThreshold,
    LocalThreshold,
    judge_global_explanation,
    judge_local_explanations,
)
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.model import Statistics
from rai_pipelines_tests.conftest import evidence, figure

LOCAL = LocalThreshold(coverage_min=0.99, additivity_error_max=0.001)
GLOBAL = GlobalThreshold(surrogate_fidelity_min=0.8, replay_match_min=1.0)
COVERED = figure("local_explanation_coverage", 1.0, 0.993, 1.0, n=400, denominator=400)
EXACT = figure("additivity_error", 1e-8, group="maximum", n=400)
FAITHFUL = figure("surrogate_fidelity", 0.93, 0.92, 0.94, n=2000, denominator=2000)
REPLAYED = figure("trace_replay_match", 1.0, 0.74, 1.0, n=10, denominator=10)


def asked(threshold: Any, *measurements: Measurement) -> Question:
    return Question(threshold, None, {REPORT: evidence(REPORT, *measurements)}, Statistics(), "internal")


@pytest.mark.parametrize(
    ("measurements", "status"),
    [
        ((COVERED, EXACT), FindingStatus.PASS),
        ((COVERED, figure("additivity_error", 0.0011, group="maximum")), FindingStatus.FAIL),
        ((COVERED, figure("additivity_error", 1e-8, group="99th percentile")), FindingStatus.MISSING),
        ((figure("local_explanation_coverage", 1.0, 0.968, 1.0, n=92, denominator=92), EXACT), FindingStatus.INCONCLUSIVE),
        ((figure("local_explanation_coverage", 0.75, 0.7, 0.8, n=400, denominator=400), EXACT), FindingStatus.FAIL),
        ((EXACT,), FindingStatus.MISSING),
        ((COVERED,), FindingStatus.MISSING),
    ],
)
def test_local_explanations_pass_only_whole_and_exact(measurements: tuple[Measurement, ...], status: FindingStatus) -> None:
    assert judge_local_explanations(asked(LOCAL, *measurements)).status is status


MEANT = LocalThreshold(coverage_min=0.99, additivity_error_max=0.001, deletion_fidelity_min=0.0, top5_stability_min=0.6)
FOUND = figure("deletion_fidelity", 0.12, 0.11, 0.13, n=100, denominator=100)
STABLE = figure("top5_stability", 0.85, 0.82, 0.88, n=50, denominator=50)


@pytest.mark.parametrize(
    ("measurements", "status"),
    [
        ((FOUND, STABLE), FindingStatus.PASS),
        ((figure("deletion_fidelity", 0.0, 0.0, 0.0, n=100, denominator=100), STABLE), FindingStatus.PASS),
        ((figure("deletion_fidelity", 0.01, -0.01, 0.03, n=100, denominator=100), STABLE), FindingStatus.INCONCLUSIVE),
        ((figure("deletion_fidelity", -0.05, -0.06, -0.04, n=100, denominator=100), STABLE), FindingStatus.FAIL),
        ((FOUND, figure("top5_stability", 0.4, 0.35, 0.45, n=50, denominator=50)), FindingStatus.FAIL),
        ((FOUND, figure("top5_stability", 0.9, 0.85, 0.95, n=12, denominator=12, state=State.INSUFFICIENT)), FindingStatus.INCONCLUSIVE),
        ((FOUND, figure("top5_stability", None, state=State.UNDEFINED)), FindingStatus.MISSING),
        ((STABLE,), FindingStatus.MISSING),
        ((FOUND,), FindingStatus.MISSING),
    ],
)
def test_explanations_that_add_up_must_also_find_what_moves_the_output_and_be_stable(
    measurements: tuple[Measurement, ...], status: FindingStatus
) -> None:
    assert judge_local_explanations(asked(MEANT, COVERED, EXACT, *measurements)).status is status
    assert judge_local_explanations(asked(LOCAL, COVERED, EXACT, *measurements)).status is FindingStatus.PASS, "only where the policy asks for it"


@pytest.mark.parametrize(
    ("measurements", "status"),
    [
        ((FAITHFUL, REPLAYED), FindingStatus.PASS),
        ((FAITHFUL, figure("trace_replay_match", 0.9, 0.6, 0.99, n=10)), FindingStatus.FAIL),
        ((figure("surrogate_fidelity", 0.7, 0.68, 0.72, n=2000, denominator=2000), REPLAYED), FindingStatus.FAIL),
        ((figure("surrogate_fidelity", 0.8, 0.79, 0.81, n=2000, denominator=2000), REPLAYED), FindingStatus.INCONCLUSIVE),
        ((figure("surrogate_fidelity", None, state=State.UNDEFINED), REPLAYED), FindingStatus.MISSING),
        ((FAITHFUL,), FindingStatus.MISSING),
    ],
)
def test_a_global_explanation_has_to_be_faithful_and_traces_replayable(measurements: tuple[Measurement, ...], status: FindingStatus) -> None:
    assert judge_global_explanation(asked(GLOBAL, *measurements)).status is status
