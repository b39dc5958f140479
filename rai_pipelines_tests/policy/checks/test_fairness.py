"""Group fairness by task: a regression is judged by its errors, and a policy that says nothing about regressions passes none."""

from __future__ import annotations

from typing import Any

import pytest

from rai_pipelines.policy.checks.base import Question
from rai_pipelines.policy.checks.fairness import GroupFairnessParameters, GroupFairnessThreshold, judge_group_fairness
from rai_pipelines.policy.findings import FindingStatus, Judgement
from rai_pipelines.policy.model import Statistics
from rai_pipelines_tests.conftest import evidence, figure

AGAINST: dict[str, Any] = {"attribute": "sex", "reference": "m", "comparison": "f", "n": 4_000, "denominator": 2_000}
REGRESSION: dict[str, Any] = {"rmse_ratio": [0.8, 1.25], "residual_difference_max": 0.2}


def judged(difference: float, *, threshold: dict[str, Any] | None = None) -> Judgement:
    found = evidence(
        "bias_assessment",
        figure("rmse_ratio", 1.0, 0.95, 1.05, scale="log", standard_error=0.03, **AGAINST),
        figure("standardised_residual_difference", difference, difference - 0.05, difference + 0.05, standard_error=0.03, **AGAINST),
        details={"task": "regression", "rows": 4_000, "groups": {"sex": {"insufficient": {}}}},
    )
    asked = GroupFairnessThreshold.model_validate(threshold or {"impact_ratio": [0.8, 1.25], "regression": REGRESSION})
    return judge_group_fairness(Question(asked, GroupFairnessParameters(), {"bias_assessment": found}, Statistics(), "internal"))


@pytest.mark.parametrize(("difference", "expected"), [(0.05, "pass"), (0.17, "inconclusive"), (-0.4, "fail"), (0.4, "fail")])
def test_a_group_whose_errors_lean_one_way_fails_either_way(difference: float, expected: str) -> None:
    assert judged(difference).status == expected


def test_a_policy_without_thresholds_for_regressions_finds_a_regression_missing() -> None:
    assert judged(0.0, threshold={"impact_ratio": [0.8, 1.25]}).status is FindingStatus.MISSING


def test_gaps_of_areas_and_calibration_are_judged_when_the_policy_asks() -> None:
    found = evidence(
        "bias_assessment",
        figure("impact_ratio", 1.0, 0.95, 1.05, scale="log", standard_error=0.03, **AGAINST),
        figure("calibration_gap", 0.2, 0.15, 0.25, attribute="sex", n=4_000, denominator=2_000),
        details={"task": "binary_classification", "rows": 4_000, "groups": {"sex": {"insufficient": {}}}},
    )
    asked = GroupFairnessThreshold.model_validate({"impact_ratio": [0.8, 1.25], "calibration_gap_max": 0.1})
    finding = judge_group_fairness(Question(asked, GroupFairnessParameters(), {"bias_assessment": found}, Statistics(), "internal"))
    assert finding.status is FindingStatus.FAIL
    assert "calibration gap" in finding.reason


def test_an_attribute_that_is_listed_and_has_no_figure_does_not_pass_beside_one_that_has() -> None:
    found = evidence(
        "bias_assessment",
        figure("rmse_ratio", 1.0, 0.95, 1.05, scale="log", standard_error=0.03, **AGAINST),
        figure("standardised_residual_difference", 0.0, -0.05, 0.05, standard_error=0.03, **AGAINST),
        details={"task": "regression", "rows": 4_000, "groups": {"sex": {"insufficient": {}}, "race": {"insufficient": {}}}},
    )
    asked = GroupFairnessThreshold.model_validate({"impact_ratio": [0.8, 1.25], "regression": REGRESSION})
    finding = judge_group_fairness(Question(asked, GroupFairnessParameters(), {"bias_assessment": found}, Statistics(), "internal"))
    assert finding.status is FindingStatus.INCONCLUSIVE
    assert "rmse ratio of race" in finding.reason
