"""What a replay says of parameters is what an audit would set."""

from __future__ import annotations

from pathlib import Path

import pytest

from rai_pipelines.evidence.canonical import plain
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy_life.replay import parameters_under
from rai_pipelines.settings import Settings
from rai_pipelines.steps import assessment_of, budget_of


@pytest.mark.parametrize("risk", ["low", "limited", "high"])
def test_the_budget_of_the_risk_class_is_part_of_them(tmp_path: Path, risk: str) -> None:
    policy, settings = read_policy(), Settings(home=tmp_path)
    wanted = parameters_under(policy, settings)[risk]
    for name in ("adversarial_robustness", "explainability_report", "privacy_attacks"):
        _, set_by_audit = assessment_of(name, policy, settings, budget_of(name, policy, risk))
        assert wanted[name] == plain(set_by_audit), "else evidence of an audit under the same policy reads as measured otherwise"
