"""Drift and loss of performance: what surely moved fails, what labels cannot show yet is undecided, what the model reads must be there."""

from __future__ import annotations

from typing import Any

from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.policy.checks.base import NoParameters, Question
from rai_pipelines.policy.checks.monitoring import DriftThreshold, judge_drift
from rai_pipelines.policy.findings import FindingStatus, Judgement
from rai_pipelines.policy.model import Statistics
from rai_pipelines_tests.conftest import evidence, figure

STABLE = figure("psi", 0.03, 0.0, 0.06, attribute="income", n=900, denominator=400)
KEPT = figure("performance_drop", 0.01, -0.01, 0.03, n=900, denominator=400)
ABSENT = {"value": None, "state": State.UNAVAILABLE, "note": "no such column in the production table"}


def judged(*measurements: Measurement, **details: Any) -> Judgement:
    threshold = DriftThreshold(psi_max=0.25, performance_drop_max=0.05)
    found = {"drift_report": evidence("drift_report", *measurements, details=details)}
    return judge_drift(Question(threshold, NoParameters(), found, Statistics(), "internal"))


def test_what_did_not_move_passes() -> None:
    assert judged(STABLE, KEPT).status is FindingStatus.PASS


def test_a_column_that_surely_drifted_fails_and_is_named() -> None:
    found = judged(STABLE, figure("psi", 0.6, 0.5, 0.7, attribute="town", n=900, denominator=400), KEPT)
    assert found.status is FindingStatus.FAIL
    assert "town" in found.reason


def test_a_loss_of_accuracy_beyond_its_bound_fails() -> None:
    assert judged(STABLE, figure("performance_drop", 0.12, 0.09, 0.15, n=900, denominator=400)).status is FindingStatus.FAIL


def test_labels_that_have_not_arrived_leave_the_loss_undecided() -> None:
    waiting = figure("performance_drop", None, n=400, denominator=0, state=State.UNAVAILABLE, note="labels have arrived for 0.0% of rows")
    assert judged(STABLE, waiting).status is FindingStatus.INCONCLUSIVE


def test_a_loss_that_cannot_be_measured_at_all_is_missing() -> None:
    assert judged(STABLE, figure("performance_drop", None, n=400, state=State.UNAVAILABLE, note="no label")).status is FindingStatus.MISSING
    assert judged(STABLE).status is FindingStatus.MISSING


def test_a_feature_that_production_does_not_hold_is_missing_and_an_attribute_that_it_does_not_log_is_disclosed() -> None:
    gone = Measurement(metric="psi", attribute="race", n=0, **ABSENT)
    disclosed = judged(STABLE, gone, KEPT, not_compared={"race": {"roles": ["protected attribute"], "reason": "absent"}})
    assert disclosed.status is FindingStatus.PASS
    assert any("race" in item.label for item in disclosed.figures)
    assert judged(STABLE, gone, KEPT, not_compared={"race": {"roles": ["feature"], "reason": "absent"}}).status is FindingStatus.MISSING
