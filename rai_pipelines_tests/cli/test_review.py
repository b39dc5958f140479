"""The review desk from a terminal, from an audited version to an approval, an exception and a revoked one; over a real registry."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import sqlalchemy as sa
import yaml

from rai_pipelines.audit import build_auditor
from rai_pipelines.cli.schemas import published_schemas
from rai_pipelines.clock import utc_today
from rai_pipelines.desk import OnDesk
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import Status
from rai_pipelines.governance.database.engine import open_governance
from rai_pipelines.governance.database.tables import bindings, gates, judgements
from rai_pipelines.governance.gate.binding import Binding, identity_digests
from rai_pipelines.governance.gate.keeper import Gatekeeper
from rai_pipelines.governance.gate.record import GateState
from rai_pipelines.governance.keys import make_key
from rai_pipelines.governance.people.directory import read_directory
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.load import shipped_policy_path
from rai_pipelines.policy.verdict import Verdict, VerdictStatus, consequence, judge
from rai_pipelines.release import open_gate, record_failed_run, require_verdict
from rai_pipelines.settings import Settings, load_settings
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.cli.conftest import Rai
from rai_pipelines_tests.governance.office import START
from rai_pipelines_tests.house import datasheet
from rai_pipelines_tests.registries import new_registry

LOOKED = ("--meaning", "I read the card and the bias assessment")
VERSION = ModelVersion("calls", "1")


@pytest.fixture
def home(rai: Rai, tmp_path: Path) -> Settings:
    """A registered version without model files, two reviewers and an officer with keys."""
    settings = load_settings()
    new_registry(settings.registry_uri)
    people = []
    for name, roles in {"validator": ["validator"], "risk-owner": ["risk_owner"], "officer": ["ethics_officer"], "submitter": ["validator"]}.items():
        keyid = make_key(settings.keys_path, name)
        people.append({"id": name, "name": name, "roles": roles, "keys": [{"id": keyid}]})
    settings.people_path.write_text(yaml.safe_dump({"schema": "rai.people/v1", "people": people}), encoding="utf-8")
    folder = tmp_path / "model"
    folder.mkdir()
    sheet = datasheet(owner={"name": "officer", "contact": "officer@example.org"})
    (folder / "datasheet.yaml").write_text(yaml.safe_dump(sheet), encoding="utf-8")
    build_auditor(settings).registry.register("calls", folder, tags={"rai.submitted_by": "submitter"})  # type: ignore[attr-defined]
    return settings


def judged(settings: Settings, change: Callable[[Any], Any] = lambda finding: finding) -> None:
    """Bring the version to the gate with findings that pass, but for what `change` makes of them."""
    auditor = build_auditor(settings)
    verdict = judge(auditor.policy, auditor.collect(VERSION, ()), model_name="calls", model_version="1", day=utc_today())
    findings = tuple(change(item.model_copy(update={"status": FindingStatus.PASS, "reason": "as the test wants"})) for item in verdict.findings)
    status, reasons = consequence(findings, auditor.policy, "limited")
    subject = auditor.context(VERSION).subject
    about = {"model_digest": subject.model_digest, "datasheet_digest": subject.datasheet.digest}
    made = verdict.model_copy(update={"findings": findings, "status": status, "reasons": reasons, "risk_class": "limited", **about})
    auditor.store.put(made, kind="policy_verdict", folder=VERSION.key, status=Status.COMPLETE)
    open_gate(auditor, VERSION)


def test_of_two_audits_that_overlap_the_newer_verdict_stands_at_the_gate(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    take, older = Gatekeeper.take_verdict, []

    def overtaken(keeper: Gatekeeper, verdict: Verdict, *about: Any, **how: Any) -> Any:
        if not older:  # while this verdict is on its way, another audit stores a worse one and takes it to the gate
            older.append(verdict)
            judged(home, lambda finding: finding.model_copy(update={"status": FindingStatus.FAIL}))
        return take(keeper, verdict, *about, **how)

    monkeypatch.setattr(Gatekeeper, "take_verdict", overtaken)
    judged(home)
    engine = open_governance(home)
    with engine.connect() as connection:
        taken = list(connection.execute(sa.select(judgements.c.verdict_digest).order_by(judgements.c.id)).scalars())
        assert connection.execute(sa.select(gates.c.state)).scalar() == GateState.AUDITED.value, "what fails waits for no approval"
    engine.dispose()
    newest = require_verdict(build_auditor(home), VERSION)
    assert taken == [newest.digest, older[0].digest, newest.digest]


def test_a_version_waits_is_shown_approved_and_revoked(rai: Rai, home: Settings) -> None:
    judged(home)
    assert [item["state"] for item in rai("review", "list", "--json").json] == ["awaiting_review"]
    shown = rai("review", "show", "calls/1", "--json").json
    jsonschema.validate(shown, published_schemas()["review-output"])
    assert shown["reason"] == "Waits for somebody as validator"
    assert set(shown["excluded"]) == {"officer", "submitter"}

    said = rai("review", "approve", "calls/1", "--as", "VALIDATOR", *LOOKED, "--condition", "watch the smallest group")
    assert (said.code, said.out) == (0, "calls/1: approved. Approved by 1 of 1 people\n")
    registry = build_auditor(home).registry
    assert registry.aliases("calls") == {"approved": "1", "compliant": "1"}
    assert registry.get(VERSION).tags["rai.gate"] == "approved"
    text = rai("review", "show", "calls/1").out
    assert "Policy: rai-default@1.0.0 (unpublished)" in text
    assert "approve by validator as validator: I read the card" in text and "on condition: watch the smallest group" in text

    assert rai("review", "revoke", "calls/1", "--as", "officer", "--meaning", "Complaints have come in").code == 0
    assert "approved" not in registry.aliases("calls")
    assert rai("review", "list", "--state", "revoked", "--json").json[0]["model_name"] == "calls"
    assert rai("ledger", "export", "ledger.jsonl").out.startswith("6 entries"), "the verdict, two decisions, and three states"


@pytest.mark.parametrize(
    ("person", "said"),
    [
        ("submitter", "submitted or owns"),
        ("nobody", "nobody in the file"),
        ("risk-owner", "Waits for somebody as validator"),
        ("officer", "submitted or owns"),
    ],
)
def test_who_may_not_approve_is_told_why(rai: Rai, home: Settings, person: str, said: str) -> None:
    judged(home)
    ended = rai("review", "approve", "calls/1", "--as", person, *LOOKED)
    assert said in ended.out + ended.err
    assert "approved" not in build_auditor(home).registry.aliases("calls")


def test_an_exception_is_proposed_signed_by_the_quorum_and_listed(rai: Rai, home: Settings) -> None:
    judged(home, lambda item: item.model_copy(update={"status": FindingStatus.FAIL}) if item.control == "DATA-B" else item)
    sheet = datasheet(owner={"name": "somebody else", "contact": "else@example.org"})
    build_folder(home, sheet)
    until = (utc_today() + timedelta(days=10)).isoformat()
    asked = ("waive", "DATA-B", "--scope", "calls/1", "--until", until, "--reason", "The supplier delivers corrected data next week")
    proposed = rai(*asked, "--as", "risk-owner")
    assert "waits for the signature of somebody as ethics_officer" in proposed.out
    (waiver,) = rai("waiver", "list", "--json").json
    assert waiver["signed_by"] == ["risk-owner"]
    refused = rai("waiver", "sign", waiver["id"][7:17], "--as", "officer", "--meaning", "I have seen the delivery note")
    assert "submitted or owns" in refused.err, "the officer is the declared owner here"
    assert rai("waiver", "sign", "ffff", "--as", "officer", "--meaning", "I have seen the delivery note").code == 3


def build_folder(home: Settings, sheet: dict[str, Any]) -> None:
    path = home.subjects_path / "calls" / "datasheet.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(sheet), encoding="utf-8")


def test_a_round_without_anything_to_do_says_so(rai: Rai, home: Settings) -> None:
    judged(home)
    done = rai("round", "--json")
    assert (done.code, done.json["problems"]) == (0, [])
    jsonschema.validate(done.json, published_schemas()["round-output"])


def test_a_round_notices_who_goes_around_the_gate(rai: Rai, home: Settings) -> None:
    judged(home)
    build_auditor(home).registry.set_alias("champion", VERSION)
    assert rai("round", "--json").json["bypasses"] == ["calls/1 by alias champion: is awaiting review"]


def test_a_version_that_was_never_at_the_gate_is_said(rai: Rai, home: Settings) -> None:
    assert "never at the gate" in rai("review", "show", "calls/1").could_not()
    assert rai("review", "list").out == "Nothing at the gate\n"


def test_the_gate_answers_a_pipeline_with_exit_codes_and_reports(rai: Rai, home: Settings) -> None:
    assert rai("gate", "calls/1").code == 3, "never at the gate"
    judged(home)
    waits = rai("gate", "calls/1", "--junit", "gate.xml", "--sarif", "gate.sarif", "--json")
    assert (waits.code, waits.json["decision"]) == (2, "hold_for_review")
    jsonschema.validate(waits.json, published_schemas()["gate-output"])
    assert "awaiting_review" in Path("gate.xml").read_text() and '"2.1.0"' in Path("gate.sarif").read_text()
    rai("review", "approve", "calls/1", "--as", "validator", *LOOKED)
    assert rai("gate", "calls/1").code == 0
    (home.home_path.parent / "model" / "weights.bin").write_bytes(b"changed after it was approved")
    changed = rai("gate", "calls/1")
    assert (changed.code, "not those that were judged" in changed.out) == (1, True)
    (home.home_path.parent / "model" / "weights.bin").unlink()
    judged(home, lambda item: item.model_copy(update={"status": FindingStatus.FAIL}) if item.control == "DATA-B" else item)
    assert rai("gate", "calls/1").code == 1


def test_a_verdict_that_did_not_come_to_the_gate_blocks_a_pipeline(rai: Rai, home: Settings) -> None:
    judged(home)
    rai("review", "approve", "calls/1", "--as", "validator", *LOOKED)
    auditor = build_auditor(home)
    worse = require_verdict(auditor, VERSION).model_copy(update={"status": VerdictStatus.NON_COMPLIANT})
    auditor.store.put(worse, kind="policy_verdict", folder=VERSION.key, status=Status.COMPLETE)  # and then the registry was down
    blocked = rai("gate", "calls/1")
    assert blocked.code == 1 and "A newer verdict (non_compliant) has not come to the gate" in blocked.out


def test_what_waits_is_listed_before_what_was_decided_long_ago(rai: Rai, home: Settings) -> None:
    judged(home)
    engine = open_governance(home)
    with engine.begin() as connection:
        row = connection.execute(sa.select(gates)).one()._asdict()
        decided = {**row, "state": "approved", "since": row["since"] - timedelta(days=300)}
        connection.execute(gates.insert(), [{**decided, "model_version": str(number)} for number in range(2, 503)])
    engine.dispose()
    listed = rai("review", "list", "--json")
    assert (listed.json[0]["model_version"], listed.json[0]["state"], len(listed.json)) == ("1", "awaiting_review", 500)
    assert "These are the first 500" in listed.err


def test_a_report_that_cannot_be_written_is_said_and_is_no_release(rai: Rai, home: Settings) -> None:
    judged(home)
    Path("taken").write_text("a file", encoding="utf-8")
    assert "gate.xml: cannot be written" in rai("gate", "calls/1", "--junit", "taken/gate.xml").could_not()


def test_a_policy_file_swapped_after_it_was_published_approves_nothing_and_says_so_everywhere(
    rai: Rai, home: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert rai("policy", "publish", "--as", "officer", "--meaning", "I read the whole policy, and it may be used").code == 0
    judged(home)
    assert rai("review", "approve", "calls/1", "--as", "validator", *LOOKED).code == 0
    assert rai("gate", "calls/1").code == 0
    text = shipped_policy_path().read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text.replace("version: 1.0.0", "version: 1.0.1"))
    monkeypatch.setenv("RAI_POLICY_FILE", str(tmp_path / "mine.yaml"))
    assert "was not published here by a signature" in rai("doctor").out
    assert rai("round", "--json").json["moved"] == ["calls/1: revoked"]
    refused = rai("gate", "calls/1")
    assert refused.code == 1 and "was not published here by a signature" in refused.out
    verdict = build_auditor(load_settings()).judge(VERSION)
    assert (verdict.policy_status.value, verdict.status.value) == ("refused", "non_compliant")
    assert "approved" not in build_auditor(home).registry.aliases("calls")


def forged_binding(settings: Settings, **changes: tuple[str, ...]) -> None:
    """What somebody with the application's role in the database can write: another binding, a judgement about it, and the row that stands."""
    engine = open_governance(settings)
    with engine.begin() as connection:
        binding = Binding.model_validate_json(connection.execute(sa.select(bindings.c.content)).scalar_one())
        forged = binding.model_copy(update=changes)
        connection.execute(bindings.insert().values(digest=forged.digest, content=canonical_json(forged).decode()))
        row = {name: value for name, value in connection.execute(sa.select(judgements)).one()._asdict().items() if name != "id"}
        connection.execute(judgements.insert().values(**{**row, "binding_digest": forged.digest}))
        connection.execute(gates.update().values(binding_digest=forged.digest))
    engine.dispose()


def test_the_submitter_who_writes_another_one_into_the_database_approves_nothing(rai: Rai, home: Settings) -> None:
    judged(home)
    forged_binding(home, submitters=identity_digests(["validator"]))
    ended = rai("review", "approve", "calls/1", "--as", "submitter", *LOOKED)
    assert "calls/1: revoked" in ended.out and "the registry names another submitter than the gate" in ended.out
    assert "approved" not in build_auditor(home).registry.aliases("calls")
    assert rai("gate", "calls/1").code == 1


def test_a_binding_that_nobody_made_from_the_evidence_opens_no_pipeline(rai: Rai, home: Settings) -> None:
    judged(home)
    forged_binding(home, owners=())
    assert "calls/1: approved" in rai("review", "approve", "calls/1", "--as", "validator", *LOOKED).out, "the database cannot tell"
    refused = rai("gate", "calls/1")
    assert refused.code == 1 and "who submitted or owns the version, is not what came to the gate" in refused.out


def test_the_people_of_the_guide_are_a_file_of_people(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "gate.md").read_text(encoding="utf-8")
    lines = text[text.index("    schema: rai.people/v1") : text.index("Everybody makes a key pair")].splitlines()
    (tmp_path / "people.yaml").write_text("\n".join(line[4:] for line in lines).replace("KEYID", "ab" * 32), encoding="utf-8")
    directory = read_directory(tmp_path / "people.yaml")
    assert directory.standing_for("build-service") == {"developer-1"} and directory.find("CORP\\reviewer1") is not None


def test_what_names_and_data_say_is_shown_whole_and_steers_no_terminal(rai: Rai, home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "Wh\x1b[8mite\u202e [blink]x[/]"
    judged(home, lambda item: item.model_copy(update={"reason": hostile}) if item.control == "DATA-B" else item)
    shown = rai("verdict", "calls/1").out
    assert not set(shown) & set("\x1b\u202e") and "[blink]x[/]" in " ".join(shown.split())
    record_failed_run(build_auditor(home), VERSION, f"Failed on column {hostile}")
    failed = rai("verdict", "calls/1")
    assert "Failed on column" in " ".join(failed.err.split()) and not set(failed.err) & set("\x1b\u202e")
    waits = OnDesk(ModelVersion("calls[blink]", "1"), GateState.AWAITING_REVIEW, START, hostile, "high", "high")
    monkeypatch.setattr("rai_pipelines.desk.queue", lambda *_, **__: [waits])
    listed = rai("review", "list")
    assert listed.code == 0 and "calls[blink]/1" in listed.out.replace("\n", ""), "it is another model than calls"
    assert not set(listed.out) & set("\x1b\u202e")
