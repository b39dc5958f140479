"""Every control of the shipped policy can be explained, with sources and with what to do."""

import pytest

from rai_pipelines.errors import PolicyError
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.rehearsal.explanation import explain_control
from rai_pipelines_tests.conftest import DAY


@pytest.mark.parametrize("control_id", [control.id for control in read_policy().controls])
def test_every_control_is_explained_from_what_it_asks_to_what_to_do(control_id: str) -> None:
    found = explain_control(read_policy(), control_id, DAY)
    assert found.asks and found.why and found.thresholds and found.judged and found.if_red
    assert all(item.source.source and item.source.date for item in found.thresholds)


def test_a_threshold_names_its_own_source_and_what_would_be_stricter() -> None:
    thresholds = {item.name: item for item in explain_control(read_policy(), "FAIR-S", DAY).thresholds}
    assert thresholds["impact_ratio"].source.kind == "law" and thresholds["impact_ratio"].stricter == "narrower is stricter"
    assert thresholds["equalized_odds_difference_max"].source.kind == "policy_choice"
    assert explain_control(read_policy(), "PRIV-B", DAY).thresholds[1].name == "k_min.internal"


def test_a_control_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(PolicyError, match=r"no control 'FAIR-Z'.*FAIR-S"):
        explain_control(read_policy(), "FAIR-Z", DAY)
