"""The gate for build systems: what is not released fails, what is waived is suppressed, and hostile words stay words."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest

from rai_pipelines.documents.gate_reports import junit_report, sarif_report
from rai_pipelines.governance.gate.record import GateRecord, GateState, ReleaseDecision
from rai_pipelines.governance.gate.registry_sync import DECISIONS
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.verdict import Verdict, VerdictStatus, judge
from rai_pipelines_tests.conftest import DAY

DIGEST = "sha256:" + "a" * 64


def verdict(*statuses: FindingStatus) -> Verdict:
    judged = judge(read_policy(), {}, model_name="m", model_version="1", day=DAY)
    findings = tuple(
        item.model_copy(update={"status": status, "reason": 'x < y & "z" \x07'}) for item, status in zip(judged.findings, statuses, strict=False)
    )
    return judged.model_copy(update={"findings": findings})


def record(state: GateState = GateState.APPROVED) -> GateRecord:
    return GateRecord(
        model_name="m</testsuite>",
        model_version="1",
        decision=DECISIONS[state],
        state=state,
        reason="Waits for somebody",
        verdict=VerdictStatus.COMPLIANT,
        verdict_digest=DIGEST,
        binding_digest=DIGEST,
        tags={},
        aliases={},
    )


@pytest.mark.parametrize("state", list(GateState))
def test_the_gate_is_a_test_that_fails_unless_the_version_is_released(state: GateState) -> None:
    suite = ElementTree.fromstring(junit_report(record(state), verdict(FindingStatus.PASS)).encode())[0]
    released = DECISIONS[state] is ReleaseDecision.RELEASE
    assert (suite[0].find("failure") is None) is released
    assert suite.get("failures") == ("0" if released else "1")
    levels = [item["level"] for item in sarif(record(state), verdict(FindingStatus.PASS))["results"]]
    assert levels == ([] if released else ["error"])


def test_every_outcome_of_a_control_has_its_place_in_junit() -> None:
    found = verdict(*FindingStatus)
    suite = ElementTree.fromstring(junit_report(record(), found).encode())[0]
    shown = {case.get("name", "").split()[0]: [child.tag for child in case] for case in suite[1:]}
    wanted = {
        item.control: {"pass": [], "fail": ["failure"], "missing": ["failure"], "error": ["failure"]}.get(item.status.value, ["skipped"])
        for item in found.findings
    }
    assert shown == wanted
    assert suite.get("tests") == str(len(found.findings) + 1)


def test_a_problem_blocks_what_the_gate_would_release() -> None:
    text = junit_report(record(), verdict(FindingStatus.PASS), "The model files are not those that were judged")
    assert "not those that were judged" in text
    assert sarif(record(), verdict(FindingStatus.PASS), problem="changed")["results"][0]["ruleId"] == "GATE"


def sarif(of: GateRecord, found: Verdict, **named: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(sarif_report(of, found, version="0.1.0", **named))
    assert made["version"] == "2.1.0"
    (run,) = made["runs"]
    rules = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert all(result["ruleId"] in rules for result in run["results"])
    result: dict[str, Any] = run
    return result


def test_sarif_has_results_for_what_is_not_met_and_suppresses_what_is_waived() -> None:
    found = verdict(*FindingStatus)
    results = {result["message"]["text"].split(":")[0]: result for result in sarif(record(), found)["results"]}
    assert set(results) == {"fail", "missing", "error", "inconclusive", "waived"}
    assert results["inconclusive"]["kind"] == "review" and results["inconclusive"]["level"] == "none"
    assert results["waived"]["suppressions"][0]["status"] == "accepted"
