"""How a version stands at the gate in the formats that build systems read: JUnit XML and SARIF 2.1.0."""

from __future__ import annotations

import json
import re
from typing import Any
from xml.etree import ElementTree

from rai_pipelines.governance.gate.record import GateRecord, ReleaseDecision
from rai_pipelines.policy.findings import Finding, FindingStatus
from rai_pipelines.policy.verdict import Verdict

UNMET = (FindingStatus.FAIL, FindingStatus.MISSING, FindingStatus.ERROR)
NO_DEFECT = (FindingStatus.PASS, FindingStatus.NOT_APPLICABLE, FindingStatus.NOT_IN_FORCE)
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def junit_report(record: GateRecord, verdict: Verdict, problem: str | None = None) -> str:
    """JUnit XML: the gate as one test, each control as another.

    The test of the gate fails unless the version may be used, and so decides; what is undecided, waived or not asked is skipped, with why.
    `problem` is why the version may not be used whatever the gate says.
    """
    released = problem is None and record.decision is ReleaseDecision.RELEASE
    failed = sum(item.status in UNMET for item in verdict.findings) + (not released)
    skipped = sum(item.status not in (*UNMET, FindingStatus.PASS) for item in verdict.findings)
    name = _text(f"{record.model_name}/{record.model_version}")
    root = ElementTree.Element("testsuites")
    counts = {"tests": str(len(verdict.findings) + 1), "failures": str(failed), "skipped": str(skipped), "errors": "0"}
    suite = ElementTree.SubElement(root, "testsuite", {"name": f"rai_pipelines {name}", **counts})
    gate = ElementTree.SubElement(suite, "testcase", {"classname": "release gate", "name": name})
    if not released:
        why = _text(problem or f"{record.state.value}: {record.reason}")
        ElementTree.SubElement(gate, "failure", {"type": record.decision.value, "message": why}).text = why
    for item in verdict.findings:
        case = ElementTree.SubElement(suite, "testcase", {"classname": item.area.value, "name": f"{item.control} {_text(item.statement)}"})
        if item.status in UNMET:
            ElementTree.SubElement(case, "failure", {"type": item.status.value, "message": _text(item.reason)}).text = _text(item.reason)
        elif item.status is not FindingStatus.PASS:
            ElementTree.SubElement(case, "skipped", {"message": _text(f"{item.status.value}: {item.reason}")})
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def sarif_report(record: GateRecord, verdict: Verdict, *, version: str, problem: str | None = None) -> str:
    """SARIF 2.1.0 (OASIS): each control is a rule, each finding that is not met or undecided a result; waived ones are suppressed."""
    results = [_result(item) for item in verdict.findings if item.status not in NO_DEFECT]
    if problem is not None or record.decision is not ReleaseDecision.RELEASE:
        results.insert(0, {"ruleId": "GATE", "level": "error", "message": {"text": problem or f"{record.state.value}: {record.reason}"}})
    rules = [{"id": "GATE", "shortDescription": {"text": "The version is approved for use"}}]
    rules += [{"id": item.control, "shortDescription": {"text": item.statement}} for item in verdict.findings]
    address = {"logicalLocations": [{"fullyQualifiedName": f"{record.model_name}/{record.model_version}", "kind": "resource"}]}
    content = {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "rai_pipelines", "semanticVersion": version, "rules": rules}},
                "results": [{**result, "locations": [address]} for result in results],
                "properties": {"verdict": record.verdict_digest, "binding": record.binding_digest, "policy": verdict.policy_digest},
            }
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _result(item: Finding) -> dict[str, Any]:
    level = "error" if item.status in UNMET and item.severity.blocks else "warning"
    found: dict[str, Any] = {
        "ruleId": item.control,
        "level": level,
        "kind": "fail" if item.status in (*UNMET, FindingStatus.WAIVED) else "review",
        "message": {"text": f"{item.status.value}: {item.reason}"},
    }
    if found["kind"] == "review":  # SARIF: the level of what is no failure is none
        found["level"] = "none"
    if item.status is FindingStatus.WAIVED:
        found["suppressions"] = [{"kind": "external", "status": "accepted", "justification": item.reason}]
    return found


def _text(text: str) -> str:
    """Without characters that XML 1.0 does not allow."""
    return NOT_IN_XML.sub("\ufffd", text)
