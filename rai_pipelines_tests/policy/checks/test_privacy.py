"""Anonymity and validity of data: what was not looked at does not read as found to be good."""

from __future__ import annotations

from typing import Any

import pytest

from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.policy.checks.base import NoParameters, Question
from rai_pipelines.policy.checks.privacy import AnonymityThreshold, DataValidThreshold, judge_anonymity, judge_data_valid
from rai_pipelines.policy.findings import Judgement
from rai_pipelines.policy.model import Statistics
from rai_pipelines_tests.conftest import evidence, figure


def valid(*found: Measurement, **details: Any) -> Judgement:
    made = evidence("data_validation", figure("expectations_failed_critical", 0), *found, details=details)
    return judge_data_valid(Question(DataValidThreshold(), NoParameters(), {"data_validation": made}, Statistics(), "internal"))


def unknown(state: State, **fields: Any) -> Measurement:
    return figure("label_leakage_auc", None, state=state, note="nobody knows", **fields)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([figure("label_leakage_auc", 0.7, attribute="age")], "pass"),
        ([figure("label_leakage_auc", 0.7, attribute="age"), figure("label_leakage_auc", 0.999, attribute="signed")], "fail"),
        ([figure("label_leakage_auc", 0.7, attribute="age"), unknown(State.INSUFFICIENT, attribute="signed")], "inconclusive"),
        ([unknown(State.UNAVAILABLE)], "inconclusive"),
        ([unknown(State.UNDEFINED, attribute="age")], "inconclusive"),
        ([], "inconclusive"),
    ],
)
def test_a_label_that_may_have_leaked_does_not_pass(found: list[Measurement], expected: str) -> None:
    assert valid(*found, task="binary_classification").status == expected
    assert valid(*found).status == expected


def test_leakage_is_not_asked_where_it_is_not_defined_and_that_is_told() -> None:
    judgement = valid(unknown(State.UNAVAILABLE), task="regression")
    assert judgement.status == "pass"
    assert [(item.status, item.note) for item in judgement.figures][-1] == (
        "not_applicable",
        "leakage is measured for two classes only; the task is regression",
    )


@pytest.mark.parametrize(("scanned", "expected"), [(True, "pass"), (False, "missing")])
def test_a_table_whose_values_nobody_scanned_has_no_direct_identifiers_only_as_far_as_is_known(scanned: bool, expected: str) -> None:
    note = "values were not scanned for identifiers: presidio_analyzer is not installed"
    absent = () if scanned else (figure("direct_identifier_share", None, group="content", state=State.UNAVAILABLE, note=note),)
    found = evidence(
        "anonymization_check",
        figure("direct_identifier_columns", 0),
        figure("k_minimum", 7),
        figure("prosecutor_risk_maximum", 1 / 7),
        figure("l_distinct_minimum", 2, attribute="dis"),
        figure("t_maximum", 0.2, attribute="dis"),
        *absent,
    )
    both = {"internal": 5, "public": 11}
    asked = AnonymityThreshold.model_validate({"k_min": both, "prosecutor_risk_max": {"internal": 0.2, "public": 0.1}, "l_min": 2, "t_max": 0.3})
    judgement = judge_anonymity(Question(asked, NoParameters(), {"anonymization_check": found}, Statistics(), "internal"))
    assert judgement.status == expected
    assert scanned or "not installed" in judgement.reason
