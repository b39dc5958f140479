"""`rai policy coverage|explain|diff|publish`: what they print, and how they end."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from rai_pipelines.cli.schemas import published_schemas
from rai_pipelines.policy.load import read_policy
from rai_pipelines.settings import load_settings
from rai_pipelines_tests.cli.conftest import Rai
from rai_pipelines_tests.people import appoint
from rai_pipelines_tests.policy.policies import extension, override, written

LOOSER = {
    "overrides": [override("PRIV-B", threshold={"k_min": {"internal": 4}})],
    "waivers": [{"control": "PRIV-B", "fields": ["threshold.k_min"], "until": "2027-02-01", "reason": "the old portfolio is being recoded"}],
}


@pytest.fixture
def stricter(tmp_path: Path) -> Path:
    return written(tmp_path, extension(overrides=[override("FAIR-S", threshold={"impact_ratio": [0.9, 1.1]})]))


def test_coverage_tells_all_cells_and_fails_when_one_is_missing(rai: Rai, tmp_path: Path) -> None:
    ended = rai("policy", "coverage", "--json")
    assert ended.code == 0
    jsonschema.validate(ended.json, published_schemas()["policy-coverage"])
    assert len(ended.json["cells"]) == 21
    assert rai("policy", "coverage").out.count("not in force") >= 12
    early = written(tmp_path, extension(overrides=[override("PRIV-A", effective_from="2026-01-01")]))
    missing = rai("policy", "coverage", str(early))
    assert missing.code == 1 and "1 missing" in missing.out


def test_a_control_is_explained_in_words_and_as_json(rai: Rai) -> None:
    text = rai("policy", "explain", "FAIR-S").out
    for words in ("asked of", "in force", "narrower is stricter", "29 CFR 1607.4(D)", "bias_assessment", "if red", "non-compliant"):
        assert words in text
    jsonschema.validate(rai("policy", "explain", "DOCS-A", "--json").json, published_schemas()["control-explanation"])
    assert "no control 'NONE'" in rai("policy", "explain", "NONE").could_not()


def test_diff_ends_in_1_only_where_something_is_looser(rai: Rai, stricter: Path, tmp_path: Path) -> None:
    ended = rai("policy", "diff", "shipped", str(stricter), "--json")
    assert (ended.code, ended.json["stricter"], ended.json["looser"]) == (0, 1, 0)
    jsonschema.validate(ended.json, published_schemas()["policy-difference"])
    back = rai("policy", "diff", str(stricter), "shipped")
    assert back.code == 1 and "threshold.impact_ratio" in back.out
    waived = written(tmp_path, extension(**LOOSER), "waived.yaml")
    assert rai("policy", "diff", "shipped", str(waived)).code == 1


SIGNED = ("--as", "officer", "--meaning", "I compared it with the one before, and the board agreed")


@pytest.fixture
def officer(rai: Rai) -> None:
    appoint(load_settings(), {"officer": ("ethics_officer",), "validator": ("validator",)})


@pytest.mark.usefixtures("officer")
def test_a_published_version_is_in_the_ledger_and_no_file_replaces_it(rai: Rai, stricter: Path, tmp_path: Path) -> None:
    made = rai("policy", "publish", str(stricter), *SIGNED, "--json")
    jsonschema.validate(made.json, published_schemas()["policy-publication"])
    assert (made.code, made.json["new"], made.json["person"], made.json["role"]) == (0, True, "officer", "ethics_officer")
    assert rai("policy", "publish", str(stricter), *SIGNED, "--json").json["new"] is False
    assert rai("ledger", "export", "ledger.jsonl").code == 0
    (entry,) = (tmp_path / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    assert made.json["digest"] in entry and read_policy().digest in entry
    written(tmp_path, extension(overrides=[override("FAIR-S", tier="basic")]))
    assert "was published on" in rai("policy", "publish", str(stricter), *SIGNED).could_not()
    assert rai("policy", "check", str(stricter)).code == 1
    assert rai("policy", "diff", "lending@1.0.0", "shipped").code == 1, "a published version is named by its label"


@pytest.mark.usefixtures("officer")
def test_a_file_lost_in_a_crash_is_made_up_for_and_one_without_a_signature_is_signed(rai: Rai, stricter: Path, tmp_path: Path) -> None:
    from rai_pipelines.policy.versions.published import publish

    publish(read_policy(stricter), tmp_path / "home" / "policies")
    assert rai("policy", "publish", str(stricter), *SIGNED, "--json").json["new"] is True, "the file alone was no publication"
    (file,) = (tmp_path / "home" / "policies" / "published").glob("*/*.json")
    file.unlink()
    assert rai("policy", "publish", str(stricter), *SIGNED).code == 0
    assert file.exists()
    rai("ledger", "export", "ledger.jsonl")
    assert len((tmp_path / "ledger.jsonl").read_text(encoding="utf-8").splitlines()) == 1


@pytest.mark.usefixtures("officer")
def test_the_signature_that_publishes_is_verified_offline(rai: Rai, stricter: Path, tmp_path: Path) -> None:
    assert rai("keys", "init").code == 0
    assert rai("policy", "publish", str(stricter), *SIGNED).code == 0
    assert rai("ledger", "checkpoint").code == 0
    assert "1 signed decisions" in rai("ledger", "export", "ledger.jsonl").out
    held = rai("ledger", "verify", "ledger.jsonl", "--json")
    assert (held.code, held.json["signatures"], held.json["problems"]) == (0, 1, [])
    assert rai("ledger", "verify", "ledger.jsonl", "--people", "nobody.yaml").code == 1, "whose key it is cannot be told"
    statements = tmp_path / "ledger.decisions.jsonl"
    statements.write_text(statements.read_text().replace("impact_ratio", "impact_ratix"))
    assert "policy that was not exported, or was altered" in rai("ledger", "verify", "ledger.jsonl").err
    statements.unlink()
    gone = rai("ledger", "verify", "ledger.jsonl")
    assert gone.code == 1 and "entry 1: the signed statement behind it was not exported" in gone.err


@pytest.mark.usefixtures("officer")
@pytest.mark.parametrize(
    ("person", "said"), [("validator", "takes ethics_officer"), ("\u043efficer", "nobody in the file"), ("nobody", "nobody in the file")]
)
def test_who_may_not_publish_is_told_why_and_nothing_is_pinned(rai: Rai, stricter: Path, tmp_path: Path, person: str, said: str) -> None:
    assert said in rai("policy", "publish", str(stricter), "--as", person, *SIGNED[2:]).could_not()
    assert "at least 10" in rai("policy", "publish", str(stricter), "--as", "officer", "--meaning", "ok").could_not()
    assert not (tmp_path / "home" / "policies" / "published").exists()


def test_the_shape_of_an_extending_file_is_published_for_editors(stricter: Path) -> None:
    import yaml

    schema = published_schemas()["policy-extension"]
    jsonschema.validate(yaml.safe_load(stricter.read_text(encoding="utf-8")), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**extension(), "drop": ["FAIR-S"]}, schema)


@pytest.mark.usefixtures("officer")
def test_a_review_is_assembled_signed_and_moves_the_next_one(rai: Rai, tmp_path: Path) -> None:
    assert "has no review document" in rai("policy", "review", "--record", "kept", *SIGNED).could_not()
    document = rai("policy", "review", "--json")
    jsonschema.validate(document.json, published_schemas()["policy-review-document"])
    assert document.json["due_on"] == "2027-11-01" and document.json["since"] is None
    assert rai("policy", "review", "--record", "perhaps", *SIGNED).code == 2
    assert rai("policy", "review", "--record", "kept").code == 2, "nobody signs it"
    assert "lets ethics_officer record it" in rai("policy", "review", "--record", "kept", "--as", "validator", *SIGNED[2:]).could_not()
    recorded = rai("policy", "review", "--record", "kept", *SIGNED, "--json")
    jsonschema.validate(recorded.json, published_schemas()["policy-review"])
    again = rai("policy", "review", "--json").json
    assert again["since"] == recorded.json["reviewed_on"] and again["due_on"] >= "2027-11-01"
    assert "policy_review.md" in rai("policy", "review").out
