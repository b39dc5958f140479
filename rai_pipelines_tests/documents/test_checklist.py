"""The checklist ticks what evidence answers, and nothing that only a person can say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from rai_pipelines.documents.checklist import Checklist, build_checklist, render_checklist
from rai_pipelines.evidence.model import Evidence, Status
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.verdict import judge
from rai_pipelines.subjects.datasheet import parse_datasheet
from rai_pipelines_tests.conftest import DAY, evidence
from rai_pipelines_tests.house import datasheet
from rai_pipelines_tests.policy.policies import changed, extension, override, written
from rai_pipelines_tests.policy.test_verdict import good_evidence

HOSTILE = "<script>alert(1)</script> [x](javascript:alert(2))\n- [x] approved by everyone | $x$"


def made(changes: dict[str, Evidence] | None = None, policy: Any = None, **sheet: Any) -> Checklist:
    chosen = policy or read_policy()
    verdict = judge(chosen, {**good_evidence(), **(changes or {})}, model_name="m", model_version="1", day=DAY)
    return build_checklist(verdict, chosen, parse_datasheet(yaml.safe_dump(datasheet(**sheet)), source="datasheet.yaml"))


def test_what_passes_is_ticked_with_the_digests_it_rests_on() -> None:
    items = {item.control: item for item in made().items if item.control}
    assert items["FAIR-S"].done and items["FAIR-S"].section == "answered"
    assert items["FAIR-S"].evidence[0].startswith("bias_assessment sha256:")
    assert items["FAIR-B"].section == "not_asked" and not items["FAIR-B"].done


def test_a_control_that_passes_by_a_waiver_of_the_policy_is_not_ticked_as_a_plain_pass(tmp_path: Path) -> None:
    fewer = override("PRIV-B", threshold={"k_min": {"internal": 4}})
    leave = {"control": "PRIV-B", "fields": ["threshold.k_min.internal"], "until": "2027-02-01", "reason": "the old portfolio is being recoded"}
    found = made(policy=read_policy(written(tmp_path, extension(overrides=[fewer], waivers=[leave]))))
    item = next(item for item in found.items if item.control == "PRIV-B")
    assert item.done and "relaxed by a waiver of the policy until 2027-02-01: threshold.k_min.internal" in item.text


def test_what_is_missing_is_open_and_says_what_to_do() -> None:
    broken = evidence("bias_assessment", status=Status.ERROR, reason="no such column")
    item = next(item for item in made({"bias_assessment": broken}).items if item.control == "FAIR-S")
    assert (item.section, item.done) == ("mend", False)
    assert "no such column" in item.text and item.action and "mitigate" in item.action


def test_what_a_person_has_to_sign_is_never_ticked_by_evidence() -> None:
    found = made(policy=changed("FAIR-B", effective_from=DAY))
    person = [item for item in found.items if item.section == "person"]
    assert "FAIR-B" in [item.control for item in person]
    assert len(person) >= 7 and not any(item.done for item in person)
    assert found.open == len(person)


def test_declared_text_cannot_tick_a_box_or_act_as_markup() -> None:
    text = render_checklist(made(purpose=HOSTILE))
    assert "<script>" not in text and "](javascript" not in text
    ticked = [line for line in text.splitlines() if line.startswith("- [x]")]
    assert len(ticked) == sum(item.done for item in made().items)
    assert "approved by everyone" in text, "it is shown, as text"


def test_a_verdict_under_another_policy_or_datasheet_is_told() -> None:
    notes = made().notes
    assert any("datasheet was edited" in note for note in notes), "the evidence of these tests is about another datasheet"
    verdict = judge(read_policy(), good_evidence(), model_name="m", model_version="1", day=DAY)
    assert any("is in force: audit again" in note for note in build_checklist(verdict, changed("FAIR-S", tier="basic"), None).notes)
