"""`rai policy replay|calibrate|checklist` on a registered version with stored evidence: what they print, and how they end."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from rai_pipelines.audit import build_auditor
from rai_pipelines.cli.schemas import published_schemas
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.cli.conftest import Rai
from rai_pipelines_tests.house import House, datasheet
from rai_pipelines_tests.policy.policies import extension, override, written

MEASURED = ("registry_record", "model_scan", "data_validation", "anonymization_check", "bias_assessment", "performance_report")
HOSTILE = "Decide <b>who</b> gets a call\x1b[2J first"


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[House, ModelVersion]:
    """A house with one live version, of which the quick assessments were made and judged."""
    house = House(tmp_path_factory.mktemp("house"))
    version = house.register(datasheet(purpose=HOSTILE))
    house.registry.set_alias("champion", version)
    auditor = build_auditor(house.settings)
    for name in MEASURED:
        auditor.measure(name, version)
    auditor.judge(version)
    auditor.close()
    return house, version


@pytest.fixture
def rehearsing(rai: Rai, audited: tuple[House, ModelVersion], monkeypatch: pytest.MonkeyPatch) -> Rai:
    monkeypatch.setenv("RAI_HOME", str(audited[0].settings.home_path))
    return rai


@pytest.mark.parametrize("which", ["--all-live", "--all-stored", "calls/1"])
def test_a_replay_tells_which_controls_come_out_otherwise(rehearsing: Rai, tmp_path: Path, which: str) -> None:
    stricter = [override("FAIR-S", threshold={"impact_ratio": [0.999, 1.001]}), override("FAIR-B", effective_from="2026-11-01")]
    proposed = written(tmp_path, extension(overrides=stricter, statistics={"interval_level": 0.95}))
    ended = rehearsing("policy", "replay", str(proposed), which, "--json")
    jsonschema.validate(ended.json, published_schemas()["policy-replay"])
    (item,) = ended.json["versions"]
    flips = {flip["control"]: (flip["old"], flip["new"]) for flip in item["flips"]}
    assert flips["FAIR-B"] == ("not_in_force", "missing")
    assert flips["FAIR-S"][0] == "pass" and flips["FAIR-S"][1] in ("inconclusive", "fail")
    assert "signed_reviews" in item["absent"] and "adversarial_robustness" in item["absent"]
    assert any("interval_level 0.9, an audit under this policy would use 0.95" in caveat for caveat in item["caveats"])
    text = rehearsing("policy", "replay", str(proposed), which)
    assert "FAIR-S pass →" in text.out and "reads missing" in text.err


def test_the_policy_in_force_flips_nothing(rehearsing: Rai) -> None:
    ended = rehearsing("policy", "replay", "in-force", "--all-live", "--json")
    assert (ended.code, ended.json["flips"], ended.json["versions"][0]["caveats"]) == (0, {}, [])


def test_a_replay_needs_to_know_of_whom(rehearsing: Rai) -> None:
    for arguments in ([], ["calls/1", "--all-live"], ["--all-live", "--all-stored"]):
        assert rehearsing("policy", "replay", "shipped", *arguments).code == 2


def test_calibration_names_flips_power_and_assumptions(rehearsing: Rai) -> None:
    ended = rehearsing("policy", "calibrate", "calls/1", "--draws", "40", "--seed", "3", "--json")
    jsonschema.validate(ended.json, published_schemas()["policy-calibration"])
    assert (ended.code, ended.json["seed"], ended.json["draws"]) == (0, 3, 40)
    (ratio,) = [item for item in ended.json["thresholds"] if item["threshold"] == "impact_ratio"]
    assert ratio["power"]["low"] > 0.5
    text = rehearsing("policy", "calibrate", "calls/1", "--draws", "20").out
    assert "impact_ratio" in text and "Assumed:" in text


def test_a_checklist_is_markdown_whose_declared_text_is_only_text(rehearsing: Rai) -> None:
    text = rehearsing("policy", "checklist", "calls/1").out
    assert text.startswith("# Before calls, version 1, is deployed")
    assert "- [x] **DATA-B**" in text and "<b>" not in text and "\x1b" not in text
    ended = rehearsing("policy", "checklist", "calls/1", "--json")
    jsonschema.validate(ended.json, published_schemas()["checklist"])
    assert "was never judged" in rehearsing("policy", "checklist", "calls/9").could_not()
