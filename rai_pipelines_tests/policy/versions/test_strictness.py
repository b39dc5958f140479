"""Each check says what is stricter about its thresholds, and judging agrees with it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from rai_pipelines.evidence.model import Evidence
from rai_pipelines.policy.checks.registry import checks
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.model import Tier
from rai_pipelines.policy.verdict import Asked, judge_control
from rai_pipelines.policy.versions.strictness import STATISTICS, changes_between, direction_of, nested_model
from rai_pipelines_tests.conftest import evidence, figure
from rai_pipelines_tests.policy.policies import changed

ASKED = Asked(tier=Tier.ADVANCED, release_class="internal", day=date(2026, 12, 15))


@pytest.mark.parametrize("name", sorted(checks()))
def test_every_threshold_and_parameter_of_every_check_says_what_is_stricter(name: str) -> None:
    def undirected(model: type[BaseModel], inherited: object = None) -> list[str]:
        found = []
        for field in model.model_fields:
            inner, direction = nested_model(model, field), direction_of(model, field) or inherited
            if inner is not None:
                found += undirected(inner, direction)
            elif direction is None:
                found.append(f"{model.__name__}.{field}")
        return found

    assert undirected(checks()[name].threshold) + undirected(checks()[name].parameters) == []


@pytest.mark.parametrize("name", sorted(checks()))
def test_every_check_says_how_it_judges_and_what_to_do(name: str) -> None:
    assert checks()[name].if_red and checks()[name].judge.__doc__


def test_every_statistic_is_classified() -> None:
    assert set(STATISTICS) == set(type(read_policy().statistics).model_fields)


@pytest.mark.parametrize(
    ("control", "fields", "field", "effect"),
    [
        ("FAIR-S", {"threshold": {"impact_ratio": [0.85, 1.2], "equalized_odds_difference_max": 0.1}}, "threshold.impact_ratio", "stricter"),
        ("FAIR-S", {"threshold": {"impact_ratio": [0.7, 1.3], "equalized_odds_difference_max": 0.1}}, "threshold.impact_ratio", "looser"),
        ("FAIR-S", {"threshold": {"impact_ratio": [0.7, 1.1], "equalized_odds_difference_max": 0.1}}, "threshold.impact_ratio", "other"),
        ("FAIR-S", {"threshold": {"impact_ratio": [0.8, 1.25]}}, "threshold.equalized_odds_difference_max", "looser"),
        ("FAIR-S", {"parameters": {"intersections": "disclose"}}, "parameters.intersections", "looser"),
        ("FAIR-S", {"severity": "high"}, "severity", "looser"),
        ("FAIR-S", {"tier": "basic"}, "tier", "stricter"),
        ("FAIR-S", {"tier": "advanced"}, "tier", "looser"),
        ("FAIR-S", {"effective_from": "2026-10-01"}, "effective_from", "stricter"),
        ("FAIR-S", {"effective_from": "2027-10-01"}, "effective_from", "looser"),
        ("FAIR-S", {"effective_from": None}, "effective_from", "looser"),
        ("FAIR-B", {"effective_from": "2027-10-01"}, "effective_from", "stricter"),
        ("FAIR-B", {"threshold": {"max_age_days": 60}}, "threshold.max_age_days", "stricter"),
        ("ACCT-B", {"threshold": {"declared_min": 1.0, "acknowledged_within_days": 90}}, "threshold.acknowledged_within_days", "stricter"),
        (
            "FAIR-S",
            {"threshold": {"impact_ratio": [0.8, 1.25], "equalized_odds_difference_max": 0.1, "auc_gap_max": 0.9}},
            "threshold.auc_gap_max",
            "other",
        ),
        ("ACCT-B", {"threshold": {"declared_min": 0.5}}, "threshold.declared_min", "looser"),
    ],
)
def test_a_change_is_called_by_what_it_asks(control: str, fields: dict[str, Any], field: str, effect: str) -> None:
    found = {change.field: change for change in changes_between(read_policy(), changed(control, **fields)) if change.decides}
    assert found[field].effect == effect


def test_when_the_policy_has_to_be_reviewed_decides_and_is_no_matter_of_words() -> None:
    old = read_policy()
    header = old.policy.model_copy(update={"review_every_days": 1096, "review_by": date(2028, 5, 1), "owner": "somebody-else"})
    found = {change.field: (change.effect, change.decides) for change in changes_between(old, old.model_copy(update={"policy": header}))}
    assert found == {"review_every_days": ("looser", True), "review_by": ("other", True), "owner": ("other", False)}


def test_a_dropped_control_is_looser_and_a_new_one_stricter() -> None:
    whole = read_policy()
    fewer = whole.model_copy(update={"controls": whole.controls[1:]})
    assert [(change.about, change.effect) for change in changes_between(whole, fewer)] == [("FAIR-B", "looser")]
    assert [(change.about, change.effect) for change in changes_between(fewer, whole)] == [("FAIR-B", "stricter")]


def test_writing_a_default_down_is_no_change() -> None:
    same = changed("DATA-B", threshold={"critical_failures_max": 0})
    assert [change for change in changes_between(read_policy(), same) if change.decides] == []


low, high = st.floats(0.3, 0.95), st.floats(1.05, 3.0)


@settings(deadline=None, max_examples=60)
@given(
    bands=st.tuples(low, high, low, high),
    odds=st.tuples(st.floats(0.01, 0.5), st.floats(0.01, 0.5)),
    ratio=st.floats(0.3, 3.0),
    spread=st.floats(0.01, 0.5),
)
def test_what_passes_a_stricter_fairness_control_passes_the_looser_one(
    bands: tuple[float, float, float, float], odds: tuple[float, float], ratio: float, spread: float
) -> None:
    made = evidence(
        "bias_assessment",
        figure("impact_ratio", ratio, ratio * (1 - spread), ratio * (1 + spread), attribute="sex", reference="1", comparison="2", scale="log"),
        figure("equalized_odds_difference", 0.05, 0.05 - spread / 10, 0.05 + spread / 10, attribute="sex"),
    )
    old = changed("FAIR-S", threshold={"impact_ratio": bands[:2], "equalized_odds_difference_max": odds[0]})
    new = changed("FAIR-S", threshold={"impact_ratio": bands[2:], "equalized_odds_difference_max": odds[1]})
    effects = {change.effect for change in changes_between(old, new) if change.decides}
    if effects <= {"stricter"}:
        outcomes = [judged(policy, made) for policy in (old, new)]
        assert outcomes[1] is not FindingStatus.PASS or outcomes[0] is FindingStatus.PASS


def judged(policy: Any, made: Evidence) -> FindingStatus:
    control = policy.control("FAIR-S")
    return judge_control(control, policy, {"bias_assessment": made}, ASKED).status
