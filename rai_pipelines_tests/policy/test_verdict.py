"""Verdicts fail closed: only measured figures inside their thresholds make a model version compliant."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from rai_pipelines.evidence.model import Evidence, State, Status
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.model import Tier
from rai_pipelines.policy.verdict import Verdict, VerdictStatus, judge
from rai_pipelines_tests.conftest import DAY, evidence, figure


def good_evidence(risk_class: str = "limited") -> dict[str, Evidence]:
    """Evidence on which every control of the shipped policy passes."""
    made = [
        evidence(
            "registry_record",
            figure("required_field_share", 1.0),
            figure("responsibility_share", 1.0),
            figure("datasheet_names_this_model", 1.0),
            details={"risk_class": risk_class, "release_class": "internal"},
        ),
        evidence("model_scan", figure("dangerous_files", 0), figure("suspicious_files", 0), figure("not_scannable_files", 0)),
        evidence("data_validation", figure("expectations_failed_critical", 0), figure("label_leakage_auc", 0.7, attribute="income")),
        evidence(
            "anonymization_check",
            figure("direct_identifier_columns", 0),
            figure("k_minimum", 7),
            figure("prosecutor_risk_maximum", 1 / 7),
            figure("l_distinct_minimum", 2, attribute="dis"),
            figure("t_maximum", 0.2, attribute="dis"),
        ),
        evidence(
            "bias_assessment",
            figure("impact_ratio", 0.97, 0.93, 1.02, attribute="sex", reference="1", comparison="2", scale="log", standard_error=0.02),
            figure("equalized_odds_difference", 0.03, 0.01, 0.06, attribute="sex", standard_error=0.01),
            details={"rows": 1000, "groups": {"sex": {"insufficient": {}}}},
        ),
        evidence("performance_report", figure("accuracy_over_majority", 0.1, 0.08, 0.12, standard_error=0.01)),
        evidence("adversarial_robustness", figure("robust_to_clean_ratio", 0.95, 0.9, 0.98, standard_error=0.02), figure("crash_count", 0)),
        evidence(
            "drift_report",
            figure("psi", 0.03, 0.0, 0.06, attribute="income", n=900, denominator=400),
            figure("performance_drop", 0.01, -0.01, 0.03, n=900, denominator=400),
        ),
        evidence(
            "explainability_report",
            figure("local_explanation_coverage", 1.0, 0.993, 1.0, n=400, denominator=400),
            figure("deletion_fidelity", 0.12, 0.11, 0.13, n=100, denominator=100),
            figure("top5_stability", 0.85, 0.82, 0.88, n=50, denominator=50),
            figure("additivity_error", 1e-8, group="maximum", n=400),
        ),
        evidence("documentation_check", figure("card_sections_filled", 1.0)),
        evidence("policy_review", figure("policy_reviews_recorded", 0.0), details={"due_on": "2027-11-01"}),
    ]
    return {item.assessment: item for item in made}


def verdict_on(found: Mapping[str, Evidence], day: date = DAY, *, look: int = 1) -> Verdict:
    return judge(read_policy(), found, model_name="m", model_version="1", day=day, look=look)


def replaced(changes: Mapping[str, Evidence], **fields: Any) -> dict[str, Evidence]:
    return {**good_evidence(**fields), **changes}


def test_good_evidence_is_compliant() -> None:
    verdict = verdict_on(good_evidence())
    assert verdict.status is VerdictStatus.COMPLIANT
    assert verdict.reasons == ()
    assert verdict.finding("FAIR-S").status is FindingStatus.PASS  # type: ignore[union-attr]


def test_no_evidence_at_all_is_non_compliant_and_could_not_be_audited() -> None:
    verdict = verdict_on({})
    assert verdict.status is VerdictStatus.NON_COMPLIANT
    assert not verdict.could_audit
    assert verdict.tier is Tier.ADVANCED, "an unknown risk class is treated as high"
    assert not verdict.with_status(FindingStatus.PASS)


@pytest.mark.parametrize("assessment", sorted(good_evidence()))
@pytest.mark.parametrize("status", [Status.ERROR, Status.MISSING])
def test_evidence_that_could_not_be_made_never_passes(assessment: str, status: Status) -> None:
    broken = evidence(assessment, status=status, reason="the disk was full", details=good_evidence()[assessment].details)
    verdict = verdict_on(replaced({assessment: broken}))
    assert verdict.status is not VerdictStatus.COMPLIANT
    expected = FindingStatus.ERROR if status is Status.ERROR else FindingStatus.MISSING
    assert any("the disk was full" in finding.reason for finding in verdict.with_status(expected))


@pytest.mark.parametrize("assessment", sorted(good_evidence()))
def test_absent_and_empty_evidence_never_pass(assessment: str) -> None:
    absent = good_evidence()
    del absent[assessment]
    assert verdict_on(absent).status is not VerdictStatus.COMPLIANT
    empty = evidence(assessment, details=good_evidence()[assessment].details)
    assert verdict_on(replaced({assessment: empty})).status is not VerdictStatus.COMPLIANT


def test_one_group_outside_the_band_is_non_compliant_and_named() -> None:
    bias = evidence(
        "bias_assessment",
        figure("impact_ratio", 0.4, 0.35, 0.46, attribute="dis", reference="2", comparison="1", scale="log", standard_error=0.08),
        figure("equalized_odds_difference", 0.02, 0.01, 0.03, attribute="dis", standard_error=0.01),
        details={"rows": 1000, "groups": {"dis": {"insufficient": {}}}},
    )
    verdict = verdict_on(replaced({"bias_assessment": bias}))
    assert verdict.status is VerdictStatus.NON_COMPLIANT
    assert "dis=1 against 2" in verdict.reasons[0]


def test_small_groups_are_disclosed_and_decide_when_they_are_many() -> None:
    def with_small(count: int) -> Verdict:
        bias = good_evidence()["bias_assessment"]
        item = bias.model_copy(update={"details": {"rows": 1000, "groups": {"sex": {"insufficient": {"9": count}}}}})
        return verdict_on(replaced({"bias_assessment": item}))

    assert with_small(5).status is VerdictStatus.COMPLIANT
    few = with_small(5).finding("FAIR-S")
    assert few is not None and any("9, n=5" in (item.note or "") for item in few.figures)
    many = with_small(300).finding("FAIR-S")
    assert many is not None and many.status is FindingStatus.INCONCLUSIVE


def test_an_attribute_whose_comparisons_are_all_too_small_does_not_pass_by_having_nothing_against_it() -> None:
    small = figure("impact_ratio", 0.9, 0.3, 2.0, attribute="rare", reference="1", comparison="2", scale="log", state=State.INSUFFICIENT, note="n=5")
    bias = good_evidence()["bias_assessment"]
    groups = {"sex": {"insufficient": {}}, "rare": {"insufficient": {"2": 5}}}
    made = bias.model_copy(update={"measurements": (*bias.measurements, small), "details": {"rows": 1000, "groups": groups}})
    found = verdict_on(replaced({"bias_assessment": made})).finding("FAIR-S")
    assert found is not None and found.status is FindingStatus.INCONCLUSIVE
    assert "rare" in found.reason


@pytest.mark.parametrize("metric", ["impact_ratio", "equalized_odds_difference"])
def test_a_metric_that_the_policy_asks_for_and_the_evidence_lacks_is_missing(metric: str) -> None:
    bias = good_evidence()["bias_assessment"]
    made = bias.model_copy(update={"measurements": tuple(item for item in bias.measurements if item.metric != metric)})
    found = verdict_on(replaced({"bias_assessment": made})).finding("FAIR-S")
    assert found is not None and found.status is FindingStatus.MISSING


def test_an_attribute_that_could_not_be_compared_is_not_parity() -> None:
    bias = evidence(
        "bias_assessment",
        figure("impact_ratio", None, attribute="sex", state=State.INSUFFICIENT, note="only one group occurs"),
        figure("equalized_odds_difference", None, attribute="sex", state=State.INSUFFICIENT, note="only one group occurs"),
        details={"rows": 1000, "groups": {"sex": {"insufficient": {}}}},
    )
    found = verdict_on(replaced({"bias_assessment": bias})).finding("FAIR-S")
    assert found is not None and found.status is FindingStatus.INCONCLUSIVE


@pytest.mark.parametrize(
    ("risk", "expected"), [("low", VerdictStatus.COMPLIANT), ("limited", VerdictStatus.COMPLIANT), ("high", VerdictStatus.NEEDS_REVIEW)]
)
def test_an_undecided_control_waits_for_a_person_when_the_risk_is_high(risk: str, expected: VerdictStatus) -> None:
    wide = evidence("performance_report", figure("accuracy_over_majority", 0.01, -0.02, 0.04, standard_error=0.02))
    verdict = verdict_on(replaced({"performance_report": wide}, risk_class=risk))
    assert verdict.status is expected
    assert any("PERF-B inconclusive" in reason for reason in verdict.reasons)


@pytest.mark.parametrize(("look", "expected"), [(1, VerdictStatus.COMPLIANT), (13, VerdictStatus.COMPLIANT), (14, VerdictStatus.NEEDS_REVIEW)])
def test_who_looks_at_ever_other_data_does_not_turn_a_failure_into_a_warning(look: int, expected: VerdictStatus) -> None:
    wide = evidence("performance_report", figure("accuracy_over_majority", 0.01, -0.02, 0.04, standard_error=0.02))
    verdict = verdict_on(replaced({"performance_report": wide}, risk_class="limited"), look=look)
    assert verdict.status is expected
    assert any("look 14" in reason and "13 planned" in reason for reason in verdict.reasons) is (look == 14)
    assert verdict_on(replaced({}, risk_class="limited"), look=look).status is VerdictStatus.COMPLIANT, "where all is decided, looks do not matter"


def test_a_lesser_control_that_fails_asks_for_a_review() -> None:
    card = evidence("documentation_check", figure("card_sections_filled", 0.5))
    assert verdict_on(replaced({"documentation_check": card})).status is VerdictStatus.NEEDS_REVIEW


def test_before_its_day_a_control_is_listed_and_decides_nothing() -> None:
    verdict = verdict_on({}, day=date(2026, 10, 31))
    assert {finding.status for finding in verdict.findings} == {FindingStatus.NOT_IN_FORCE}
    assert verdict.status is not VerdictStatus.COMPLIANT, "a policy of which nothing is in force is not compliance"


def test_the_tier_follows_the_risk_class() -> None:
    low = verdict_on(good_evidence("low"))
    assert low.tier is Tier.BASIC
    assert low.finding("FAIR-S").status is FindingStatus.NOT_APPLICABLE  # type: ignore[union-attr]


def test_publication_asks_for_larger_classes() -> None:
    record = good_evidence()["registry_record"].model_copy(update={"details": {"risk_class": "limited", "release_class": "public"}})
    found = verdict_on(replaced({"registry_record": record})).finding("PRIV-B")
    assert found is not None and found.status is FindingStatus.FAIL


def test_a_control_in_force_without_a_check_reads_missing() -> None:
    policy = read_policy()
    controls = tuple(item.model_copy(update={"effective_from": DAY}) if item.id == "PRIV-A" else item for item in policy.controls)
    verdict = judge(policy.model_copy(update={"controls": controls}), good_evidence("high"), model_name="m", model_version="1", day=DAY)
    finding = verdict.finding("PRIV-A")
    assert finding is not None and finding.status is FindingStatus.MISSING
    assert "not verified by this version" in finding.reason
    assert verdict.status is VerdictStatus.NON_COMPLIANT


def test_the_same_evidence_gives_the_same_bytes() -> None:
    assert verdict_on(good_evidence()).digest == verdict_on(good_evidence()).digest


def test_an_intersection_outside_its_band_asks_for_a_review_and_fails_nothing() -> None:
    bias = good_evidence()["bias_assessment"]
    far = figure("impact_ratio", 0.4, 0.3, 0.52, attribute="sex × race", reference="1 × 1", comparison="2 × 3", scale="log", standard_error=0.17)
    near = figure("impact_ratio", 0.78, 0.6, 1.01, attribute="sex × race", reference="1 × 1", comparison="2 × 4", scale="log", standard_error=0.16)
    explored = bias.model_copy(update={"measurements": (*bias.measurements, far, near)})
    verdict = verdict_on(replaced({"bias_assessment": explored}))
    finding = verdict.finding("FAIR-S")
    assert finding is not None
    assert finding.status is FindingStatus.INCONCLUSIVE
    summary, discovered = finding.figures[-2:]
    assert (summary.metric, summary.value, summary.n) == ("intersections_outside", 1, 2)
    assert "2 × 3" in discovered.label
    assert "to be confirmed on new data" in str(discovered.note)


def test_later_looks_need_stronger_evidence_to_fail_a_model() -> None:
    odds = figure("equalized_odds_difference", 0.15, 0.118, 0.18, attribute="sex", standard_error=0.02)
    bias = good_evidence()["bias_assessment"]
    found = replaced({"bias_assessment": bias.model_copy(update={"measurements": (bias.measurements[0], odds)})})
    statuses = []
    for look in (1, 2, 12):
        finding = judge(read_policy(), found, model_name="m", model_version="1", day=DAY, look=look).finding("FAIR-S")
        assert finding is not None
        statuses.append(finding.status)
    assert statuses == [FindingStatus.FAIL, FindingStatus.INCONCLUSIVE, FindingStatus.INCONCLUSIVE]
