"""`rai policy`, `doctor`, `schemas`, `verdict`, `card`: what they print, and how they end."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import jsonschema
import pytest

from rai_pipelines.addresses import without_secrets
from rai_pipelines.cli.schemas import published_schemas
from rai_pipelines.policy.load import read_policy, shipped_policy_path
from rai_pipelines_tests.cli.conftest import Rai

SECRETS = ("s3cret", "s3/cr@et", "s3%2Fcr%40et", "hunter2")


@pytest.fixture
def broken(tmp_path: Path) -> tuple[Path, int]:
    """The shipped policy with one severity that does not exist, and the line of it."""
    lines = shipped_policy_path().read_text(encoding="utf-8").splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if line.strip().startswith("severity:"))
    lines[at] = lines[at].split("severity:")[0] + "severity: dreadful\n"
    path = tmp_path / "policy.yaml"
    path.write_text("".join(lines), encoding="utf-8")
    return path, at + 1


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def test_a_good_policy_is_usable(rai: Rai) -> None:
    ended = rai("policy", "check", str(shipped_policy_path()))
    policy = read_policy(None)
    assert (ended.code, ended.err) == (0, "")
    assert policy.label in ended.out and policy.digest in ended.out
    printed = rai("policy", "check", "--json").json
    jsonschema.validate(printed, published_schemas()["check-output"])
    assert (printed["usable"], printed["about"], printed["digest"], printed["problems"]) == (True, policy.label, policy.digest, [])


def test_a_broken_policy_is_named_by_file_line_field_and_allowed_values(rai: Rai, broken: tuple[Path, int]) -> None:
    path, line = broken
    ended = rai("policy", "check", str(path))
    assert (ended.code, ended.out) == (1, "")
    (problem,) = ended.err.splitlines()
    assert problem.startswith(f"error: {path}:{line}: controls.")
    assert ".severity: " in problem and "'dreadful'" in problem and "'critical'" in problem
    as_json = rai("policy", "check", str(path), "--json")
    assert as_json.code == 1
    assert as_json.json["usable"] is False and as_json.json["problems"] == [problem.removeprefix("error: ")]
    jsonschema.validate(as_json.json, published_schemas()["check-output"])


def test_a_policy_that_is_not_there_is_not_usable(rai: Rai) -> None:
    ended = rai("policy", "check", "nowhere.yaml")
    assert ended.code == 1
    assert ended.err.startswith("error: nowhere.yaml: cannot be read")


def test_the_policy_in_force_is_shown_whole(rai: Rai, monkeypatch: pytest.MonkeyPatch, broken: tuple[Path, int]) -> None:
    shown = rai("policy", "show", "--json").json
    policy = read_policy(None)
    assert shown["digest"] == policy.digest
    assert type(policy).model_validate(shown["policy"]) == policy
    jsonschema.validate(shown, published_schemas()["policy-output"])
    table = rai("policy", "show").out
    assert policy.label in table
    monkeypatch.setenv("RAI_POLICY_FILE", str(broken[0]))
    assert f"{broken[0]}:{broken[1]}: " in rai("policy", "show").could_not()


def test_doctor_finds_an_empty_home_well(rai: Rai) -> None:
    ended = rai("doctor", "--json")
    assert (ended.code, ended.err) == (0, "")
    jsonschema.validate(ended.json, published_schemas()["doctor"])
    found = {item["name"]: item for item in ended.json}
    assert all(item["ok"] for item in ended.json if item["needed"])
    assert {"home", "policy", "registry", "data root"} <= set(found)
    assert found["registry"]["detail"].startswith("sqlite:////")
    assert found["registry"]["detail"].endswith("no version is registered")
    assert read_policy(None).digest in found["policy"]["detail"]


def test_doctor_says_whose_libraries_models_run_with_and_that_they_need_a_process_of_their_own(rai: Rai, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAI_MODEL_ENVIRONMENT", "own")
    (found,) = [item for item in rai("doctor", "--json").json if item["name"] == "libraries of models"]
    assert found["ok"] and found["detail"].startswith("those of requirements.txt, by /")
    monkeypatch.setenv("RAI_MODEL_HOST", "in_process")
    refused = rai("doctor")
    assert refused.code == 3
    assert "RAI_MODEL_ENVIRONMENT" in refused.err and "need RAI_MODEL_HOST=subprocess" in refused.err


@pytest.mark.parametrize(
    "login",
    [
        "joe:s3cret@127.0.0.1:{port}/db",
        "joe:s3%2Fcr%40et@127.0.0.1:{port}/db",
        "joe:s3/cr@et@127.0.0.1:{port}/db",
        "127.0.0.1:{port}/db?user=joe&password=hunter2",
    ],
)
def test_doctor_ends_in_3_when_the_registry_is_down_and_prints_no_password(
    login: str, rai: Rai, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    monkeypatch.setenv("RAI_TRACKING_URI", "postgresql://" + login.format(port=closed_port))
    for arguments in (["doctor"], ["doctor", "--json"]):
        ended = rai(*arguments)
        assert ended.code == 3
        for secret in SECRETS:
            assert secret not in ended.out + ended.err
    (registry,) = [item for item in ended.json if item["name"] == "registry"]
    assert not registry["ok"] and registry["needed"]
    assert registry["detail"].startswith("postgresql://")


def test_doctor_names_an_address_that_is_none(rai: Rai, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAI_TRACKING_URI", "http://joe:s3cret@[half")
    ended = rai("doctor")
    assert ended.code == 3
    assert "RAI_TRACKING_URI: is not an address" in ended.out
    assert "s3cret" not in ended.out + ended.err


def test_doctor_says_which_part_of_the_configuration_is_wrong(
    rai: Rai, monkeypatch: pytest.MonkeyPatch, broken: tuple[Path, int], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RAI_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("RAI_POLICY_FILE", str(broken[0]))
    ended = rai("doctor", "--json")
    assert ended.code == 3
    found = {item["name"]: item for item in ended.json}
    assert not found["home"]["ok"] and str(tmp_path / "file") in found["home"]["detail"]
    assert not found["policy"]["ok"] and f"{broken[0]}:{broken[1]}: " in found["policy"]["detail"]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://joe:s3cret@db.example.org/rai", "postgresql://db.example.org/rai"),
        ("postgresql://joe:s3/c#r@et@db.example.org/rai?sslmode=require", "postgresql://db.example.org/rai"),
        ("postgresql://db.example.org/rai?password=hunter2", "postgresql://db.example.org/rai"),
        ("postgresql://joe:s3?cret@db.example.org/rai", "postgresql://…"),
        ("https://token@tracking.example.org", "https://tracking.example.org"),
        ("sqlite:////srv/joe@example.org/mlflow.db", "sqlite:////srv/joe@example.org/mlflow.db"),
        ("databricks", "databricks"),
    ],
)
def test_an_address_is_shown_without_what_it_keeps_secret(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


def test_a_setting_that_cannot_be_is_one_line(rai: Rai, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAI_SEED", "tomorrow")
    assert rai("doctor").could_not().startswith("error: RAI_SEED: ")


def test_doctor_finds_what_keeps_people_and_the_tracker_from_hearing_anything(rai: Rai, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    found = {item["name"]: item for item in rai("doctor", "--json").json}
    assert all(found[name]["ok"] for name in ("people", "tracker", "notices")) and "nobody is told" in found["notices"]["detail"]
    (home / "tracker.yaml").write_text("schema: rai.tracker/v1\ntracker: servicenow\nurl: https://tracker.example.org\n", encoding="utf-8")
    (home / "people.yaml").write_text("schema: rai.people/v1\npeople: 3\n", encoding="utf-8")
    monkeypatch.setenv("RAI_SMTP_URL", "smtp://robot:hush#1@mail.example.org")
    ended = rai("doctor", "--json")
    found = {item["name"]: item for item in ended.json}
    assert "RAI_TRACKER_USER: is not set" in found["tracker"]["detail"] and "RAI_SMTP_URL" in found["notices"]["detail"]
    assert ended.code == 3 and not found["people"]["ok"] and "hush" not in ended.out


@pytest.mark.parametrize("value", ["champion", '["hush"'])
def test_a_list_that_is_no_json_is_one_line(rai: Rai, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("RAI_LIVE_ALIASES", value)
    said = rai("doctor").could_not()
    assert "RAI_LIVE_ALIASES: is no JSON list" in said and "hush" not in said


def test_what_nobody_foresaw_ends_in_3_for_1_and_2_are_answers(rai: Rai, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "file" in rai("schemas", "--out", "file").could_not()

    def defect() -> None:
        raise KeyError("defect")

    monkeypatch.setattr("rai_pipelines.settings.load_settings", defect)
    ended = rai("gate", "loans/1")
    assert ended.code == 3 and "Traceback" in ended.err


def test_a_name_that_is_no_text_is_one_line(rai: Rai) -> None:
    assert "is no text" in rai("gate", "m\udcff/1").could_not()


def test_schemas_writes_every_published_schema(rai: Rai, tmp_path: Path) -> None:
    ended = rai("schemas", "--out", "made")
    assert ended.code == 0
    written = {path.name.removesuffix(".schema.json"): json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "made").iterdir()}
    assert written == json.loads(json.dumps(published_schemas()))
    for schema in written.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_a_version_without_verdict_or_card_ends_in_3_and_says_what_to_run(rai: Rai) -> None:
    for verb in (["verdict"], ["verdict", "--json"], ["card"], ["card", "--format", "json"], ["technical-documentation"]):
        line = rai(*verb, "credit/1").could_not()
        assert line.startswith("error: credit/1: ") and "rai audit credit/1" in line


def test_a_name_without_version_ends_in_3(rai: Rai) -> None:
    assert "'credit': names no version" in rai("verdict", "credit").could_not()


def test_a_card_format_that_does_not_exist_is_a_usage_error(rai: Rai) -> None:
    ended = rai("card", "credit/1", "--format", "docx")
    assert (ended.code, ended.out) == (2, "")
    assert "'docx'" in ended.err and "pdf, html, md, json" in ended.err
    assert "--out" in rai("card", "credit/1", "--format", "pdf").err, "a pdf is not printed"


@pytest.mark.parametrize(
    "verb",
    [["audit"], ["verdict"], ["card"], ["technical-documentation"], ["policy", "check"], ["policy", "show"], ["measure", "bias"], ["doctor"]],
    ids=" ".join,
)
def test_every_verb_explains_itself(verb: list[str], rai: Rai) -> None:
    ended = rai(*verb, "--help")
    assert ended.code == 0
    assert f"{' '.join(verb)} [OPTIONS]" in ended.out
