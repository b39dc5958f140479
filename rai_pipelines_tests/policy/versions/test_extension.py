"""A policy that extends another one asks for more, or names a waiver that ends by itself."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_pipelines.errors import PolicyError
from rai_pipelines.policy.findings import Finding, FindingStatus
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.verdict import judge
from rai_pipelines.policy.versions.extension import NotStricter, PolicyExtension, resolve
from rai_pipelines.policy.versions.strictness import changes_between
from rai_pipelines_tests.conftest import figure
from rai_pipelines_tests.policy.policies import SOURCE, changed, extension, override, written
from rai_pipelines_tests.policy.test_verdict import good_evidence

UNTIL = date(2027, 2, 1)
WAIVER = {"control": "PRIV-B", "fields": ["threshold.k_min.internal"], "until": UNTIL.isoformat(), "reason": "the old portfolio is being recoded"}
LOOSER = override("PRIV-B", threshold={"k_min": {"internal": 4}, "t_max": 0.2})


def refused(folder: Path, **content: Any) -> str:
    with pytest.raises(PolicyError) as caught:
        read_policy(written(folder, extension(**content)))
    assert f"{folder / 'lending.yaml'}:" in str(caught.value), "the place is named"
    return str(caught.value)


def test_a_stricter_threshold_is_merged_and_everything_else_stays(tmp_path: Path) -> None:
    policy = read_policy(written(tmp_path, extension(overrides=[override("FAIR-S", threshold={"equalized_odds_difference_max": 0.05})])))
    base, made = read_policy().control("FAIR-S"), policy.control("FAIR-S")
    assert base is not None and made is not None
    assert made.threshold["equalized_odds_difference_max"] == 0.05
    assert made.threshold["impact_ratio"] == base.threshold["impact_ratio"]
    assert made.threshold_provenance["equalized_odds_difference_max"].source == "lending committee"
    assert made.threshold_provenance["impact_ratio"] == base.threshold_provenance["impact_ratio"]
    assert len(policy.controls) == len(read_policy().controls), "no control can be dropped"
    assert policy.extends[0].policy == "rai-default@1.0.0"
    assert policy.digest not in (read_policy().digest, "")


@pytest.mark.parametrize(
    ("looser", "words"),
    [
        (override("FAIR-S", threshold={"impact_ratio": [0.7, 1.25]}), ["FAIR-S", "threshold.impact_ratio", "asks for less", "waiver"]),
        (override("FAIR-S", threshold={"impact_ratio": None}), ["FAIR-S", "threshold.impact_ratio"]),
        (override("FAIR-S", severity="low"), ["severity", "asks for less"]),
        (override("FAIR-S", tier="advanced"), ["tier", "asks for less"]),
        (override("FAIR-S", effective_from="2028-01-01"), ["effective_from"]),
        (override("FAIR-B", parameters={"kind": "key_figures"}), ["parameters.kind", "cannot be compared"]),
        (override("NONE-X", severity="low"), ["no control NONE-X"]),
        ({"id": "FAIR-S", "threshold": {"equalized_odds_difference_max": 0.05}}, ["needs provenance"]),
        (override("FAIR-S", threshold={"surprise": 1}), ["surprise"]),
    ],
)
def test_an_override_that_is_not_stricter_is_refused_with_its_place(tmp_path: Path, looser: dict[str, Any], words: list[str]) -> None:
    message = refused(tmp_path, overrides=[looser])
    assert all(word in message for word in words), message


VAIN = {"auc_gap_max": 0.99, "calibration_gap_max": 0.99, "demographic_parity_difference_max": 0.99}


def test_vain_thresholds_cannot_be_added_to_a_family_of_tests_until_a_failure_is_undecided(tmp_path: Path) -> None:
    bias = good_evidence("limited")["bias_assessment"]
    unfair = figure("impact_ratio", 0.7, 0.641, 0.764, attribute="sex", scale="log", n=1000, denominator=500)
    common = {"attribute": "sex", "n": 1000, "denominator": 500}
    gaps = [figure(f"{name.removesuffix('_max')}", 0.01, 0.005, 0.02, **common) for name in ("equalized_odds_difference", *VAIN)]
    found = {**good_evidence("limited"), "bias_assessment": bias.model_copy(update={"measurements": (unfair, *gaps)})}

    def outcome(policy: Policy) -> FindingStatus:
        finding = judge(policy, found, model_name="m", model_version="1", day=date(2026, 12, 15)).finding("FAIR-S")
        assert finding is not None
        return finding.status

    base = read_policy().control("FAIR-S")
    assert base is not None
    assert outcome(read_policy()) is FindingStatus.FAIL
    assert outcome(changed("FAIR-S", threshold={**base.threshold, **VAIN})) is FindingStatus.INCONCLUSIVE, "Holm's adjustment counts them"
    for name, most in VAIN.items():
        assert "in a control of its own" in refused(tmp_path, overrides=[override("FAIR-S", threshold={name: most})])
    own = {**base.model_dump(mode="json", exclude={"legal_date"}), "id": "LEND-S", "threshold": {"demographic_parity_difference_max": 0.1}}
    own["threshold_provenance"] = {}
    assert outcome(read_policy(written(tmp_path, extension(controls=[own])))) is FindingStatus.FAIL


def test_an_extension_is_reviewed_as_often_as_its_base(tmp_path: Path) -> None:
    def header(days: int) -> dict[str, Any]:
        return {"policy": {**extension()["policy"], "review_every_days": days}}

    message = refused(tmp_path, **header(1096))
    assert "lending.yaml:" in message and "policy.review_every_days: 1096 is not stricter than the base's 365" in message
    assert read_policy(written(tmp_path, extension(**header(180)))).policy.review_every_days == 180


def test_sections_can_only_become_stricter(tmp_path: Path) -> None:
    assert "tiers.high" in refused(tmp_path, tiers={"high": "standard"})
    assert "inconclusive.high" in refused(tmp_path, inconclusive={"high": "warn"})
    assert "statistics.interval_level" in refused(tmp_path, statistics={"interval_level": 0.85})
    policy = read_policy(written(tmp_path, extension(tiers={"low": "standard"}, statistics={"interval_level": 0.95})))
    assert (policy.tiers.low, policy.statistics.interval_level) == ("standard", 0.95)


@pytest.mark.parametrize(
    ("section", "looser", "stricter"),
    [
        (
            "release",
            {"limited": {"quorum": {"people": 1, "roles": []}}},
            {"limited": {"quorum": {"people": 2, "roles": ["validator", "risk_owner"]}}},
        ),
        ("release", {"high": {"compliant": "approve"}}, {"low": {"compliant": "review"}}),
        ("release", {"waiver": {"days_max": 60}}, {"waiver": {"days_max": 10}}),
        ("release", {"unknown_submitter": "allow"}, {"bypass": "enforce"}),
        ("escalation", {"waiting": {"awaiting_review": {"high": 17}}}, {"waiting": {"awaiting_review": {"high": 4}}}),
        ("escalation", {"round_the_clock": []}, {"round_the_clock": ["critical", "high"]}),
        ("escalation", {"calendar": {"opens": "12:00"}}, {"report_warning_hours": 48}),
        ("budgets", {"high": {"queries": 4000000}}, {"low": {"seconds": 1000}}),
        ("retention", {"document_years": 10}, {"document_years": 20}),
    ],
)
def test_rules_of_release_escalation_and_retention_are_inherited_and_can_only_become_stricter(
    tmp_path: Path, section: str, looser: dict[str, Any], stricter: dict[str, Any]
) -> None:
    made = read_policy(written(tmp_path, extension(**{section: stricter})))
    assert getattr(made, section) != getattr(read_policy(), section)
    if section != "retention":  # ten years is what the base has, and the least there is
        assert section in refused(tmp_path, **{section: looser})
    untouched = read_policy(written(tmp_path, extension()))
    assert (untouched.release, untouched.escalation, untouched.retention) == (
        read_policy().release,
        read_policy().escalation,
        read_policy().retention,
    )


def test_a_waiver_relaxes_only_the_named_field_and_ends_by_itself(tmp_path: Path) -> None:
    policy = read_policy(written(tmp_path, extension(overrides=[LOOSER], waivers=[WAIVER])))
    on_last, after = (next(item for item in policy.on(day) if item.id == "PRIV-B") for day in (UNTIL, UNTIL + timedelta(days=1)))
    assert on_last.threshold["k_min"] == {"internal": 4, "public": 11}
    assert after.threshold["k_min"] == {"internal": 5, "public": 11}
    assert on_last.threshold["t_max"] == after.threshold["t_max"] == 0.2, "the stricter part needs no waiver and stays"
    anonymity = good_evidence()["anonymization_check"]
    small = [item.model_copy(update={"value": 4.0}) if item.metric == "k_minimum" else item for item in anonymity.measurements]
    found = {**good_evidence(), "anonymization_check": anonymity.model_copy(update={"measurements": tuple(small)})}

    def outcome(day: date) -> Finding:
        finding = judge(policy, found, model_name="m", model_version="1", day=day).finding("PRIV-B")
        assert finding is not None
        return finding

    assert outcome(UNTIL).status is FindingStatus.PASS
    assert "relaxed by a waiver of the policy until 2027-02-01: threshold.k_min.internal" in outcome(UNTIL).reason, "it is not told as a plain pass"
    assert outcome(UNTIL + timedelta(days=1)).status is FindingStatus.FAIL
    assert "waiver" not in outcome(UNTIL + timedelta(days=1)).reason


@pytest.mark.parametrize(
    ("waiver", "words"),
    [
        ({**WAIVER, "fields": ["threshold.t_max"]}, "k_min.internal"),
        ({**WAIVER, "fields": ["threshold.k_min", "severity"]}, "nothing is looser"),
        ({**WAIVER, "control": "FAIR-S"}, "nothing to waive"),
        ({**WAIVER, "until": "2028-01-01"}, "review of its policy"),
    ],
)
def test_a_waiver_for_something_else_does_not_help(tmp_path: Path, waiver: dict[str, Any], words: str) -> None:
    assert words in refused(tmp_path, overrides=[LOOSER], waivers=[waiver])


def test_a_base_that_changed_since_it_was_pinned_is_refused(tmp_path: Path) -> None:
    pinned = extension()
    pinned["extends"]["digest"] = "sha256:" + "0" * 64
    with pytest.raises(PolicyError, match="pins another digest"):
        read_policy(written(tmp_path, pinned))


def test_policies_extend_over_three_steps_and_not_in_a_circle(tmp_path: Path) -> None:
    organisation = written(tmp_path, extension(tiers={"low": "standard"}), "organisation.yaml")
    middle = read_policy(organisation)
    content = extension(overrides=[override("FAIR-S", tier="basic")])
    content["policy"] = {**content["policy"], "id": "mortgages"}
    domain = written(tmp_path, {**content, "extends": {"base": "organisation.yaml", "digest": middle.digest}}, "domain.yaml")
    policy = read_policy(domain)
    assert [base.policy for base in policy.extends] == ["lending@1.0.0", "rai-default@1.0.0"]
    assert (policy.tiers.low, policy.control("FAIR-S").tier) == ("standard", "basic")  # type: ignore[union-attr]
    written(tmp_path, {**content, "extends": {"base": "domain.yaml", "digest": middle.digest}}, "domain.yaml")
    with pytest.raises(PolicyError, match="extends itself"):
        read_policy(domain)


def test_a_new_control_stands_beside_those_of_the_base(tmp_path: Path) -> None:
    new = {
        "id": "LEND-B",
        "area": "fairness",
        "tier": "basic",
        "statement": "Scores are calibrated alike in every group",
        "check": "group_fairness",
        "threshold": {"impact_ratio": [0.8, 1.25], "calibration_gap_max": 0.1},
        "severity": "high",
        "evidence": ["bias_assessment"],
        "provenance": SOURCE,
    }
    assert read_policy(written(tmp_path, extension(controls=[new]))).control("LEND-B") is not None
    assert "change it under overrides" in refused(tmp_path, controls=[{**new, "id": "FAIR-S"}])
    assert "reads bias_assessment" in refused(tmp_path, controls=[{**new, "evidence": ["drift_report"]}])


LOADED = read_policy()
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "tier": st.sampled_from(["basic", "standard", "advanced"]),
        "severity": st.sampled_from(["low", "medium", "high", "critical"]),
        "effective_from": st.dates(date(2026, 9, 1), date(2027, 3, 1)).map(date.isoformat),
        "threshold": st.fixed_dictionaries(
            {}, optional={"impact_ratio": st.tuples(st.floats(0.5, 0.95), st.floats(1.05, 2)), "equalized_odds_difference_max": st.floats(0.01, 0.3)}
        ),
    },
)


@settings(max_examples=50, deadline=None)
@given(changes=CHANGES)
def test_without_a_waiver_nothing_that_decides_ever_becomes_looser(changes: dict[str, Any]) -> None:
    declared = PolicyExtension.model_validate(extension(overrides=[override("FAIR-S", **changes)]))
    try:
        made = resolve(declared, LOADED)
    except NotStricter:
        merged = {change.effect for change in changes_between(LOADED, forced(changes)) if change.decides}
        assert merged - {"stricter"}, "what is refused is not stricter"
        return
    of_controls = [change for change in changes_between(LOADED, made) if change.about != "policy"]  # its header is its own
    assert {change.effect for change in of_controls if change.decides} <= {"stricter"}


def forced(changes: dict[str, Any]) -> Policy:
    """The shipped policy with the change made as it stands, whatever it asks for."""
    control = LOADED.control("FAIR-S")
    assert control is not None
    threshold = {**control.threshold, **changes.get("threshold", {})}
    return changed("FAIR-S", **{**changes, "threshold": threshold})
