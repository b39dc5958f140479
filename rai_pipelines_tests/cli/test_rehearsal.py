"""`rai policy replay|calibrate|checklist` on a registered version with stored evidence: what they print, and how they end."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import jsonschema
import pytest
import yaml

from rai_pipelines.audit import build_auditor
from rai_pipelines.cli.schemas import published_schemas
from rai_pipelines.policy.load import read_policy
from rai_pipelines.subjects.datasheet import parse_datasheet
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.cli.conftest import Rai
from rai_pipelines_tests.house import House, datasheet
from rai_pipelines_tests.people import appoint
from rai_pipelines_tests.policy.policies import extension, override, written

GUIDE = Path(__file__).parents[2] / "docs" / "policy.md"
MEASURED = ("registry_record", "model_scan", "bias_assessment", "performance_report")
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
    assert "- [x] **MODL-B**" in text and "<b>" not in text and "\x1b" not in text
    ended = rehearsing("policy", "checklist", "calls/1", "--json")
    jsonschema.validate(ended.json, published_schemas()["checklist"])
    assert "was never judged" in rehearsing("policy", "checklist", "calls/9").could_not()


def test_every_command_of_the_guide_does_what_it_says(
    rehearsing: Rai, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, audited: tuple[House, ModelVersion]
) -> None:
    """The guide's file is written as it stands there, and its commands run in their order, on `calls/1` for the guide's `loans/1`."""
    text = GUIDE.read_text(encoding="utf-8")
    example = next(block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if block.startswith("# lending.yaml"))
    (tmp_path / "lending.yaml").write_text(example.replace("DIGEST", read_policy().digest), encoding="utf-8")
    commands = [shlex.split(line, comments=True) for line in text.splitlines() if line.startswith("    rai policy ")]
    assert len(commands) >= 13
    appoint(audited[0].settings)
    codes = {}
    for _, *arguments in commands:
        ended = rehearsing(*(argument.replace("loans/1", "calls/1") for argument in arguments))
        assert ended.code in (0, 1) and ended.out and not ended.err.startswith("error"), (arguments, ended)
        codes[" ".join(arguments)] = ended.code
    assert codes["policy diff shipped lending.yaml"] == 1, "the waiver makes it looser"
    signed = [code for command, code in codes.items() if command.startswith(("policy publish", "policy review --record"))]
    assert codes["policy check lending.yaml"] == 0 and signed == [0, 0]


def test_the_datasheet_of_the_guide_is_one() -> None:
    example = next(block for block in re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL) if "oversight:" in block)
    sheet = parse_datasheet(yaml.safe_dump({**datasheet(), **yaml.safe_load(example)}), source="datasheet.yaml")
    assert sheet.oversight is not None and sheet.data.reviews == "reviews.parquet"
