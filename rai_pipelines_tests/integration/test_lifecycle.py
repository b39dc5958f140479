"""One audit through Dagster's job on an ephemeral instance: assets, checks, card, registry, and the same bytes the second time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import dagster as dg
import jsonschema
import pytest
from syrupy.assertion import SnapshotAssertion

from rai_pipelines.audit import Auditor, build_auditor, latest_verdict
from rai_pipelines.cli.schemas import published_schemas
from rai_pipelines.evidence.model import Status
from rai_pipelines.evidence.store import LocalEvidenceStore
from rai_pipelines.governance.gate.record import GateRecord
from rai_pipelines.orchestration.build import build_definitions
from rai_pipelines.orchestration.jobs import AUDIT_JOB
from rai_pipelines.orchestration.partitions import MODEL_VERSIONS
from rai_pipelines.policy.excerpts import JudgedEvidence
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.verdict import Verdict, VerdictStatus
from rai_pipelines.policy_life.replay import replay_stored
from rai_pipelines.steps import steps
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.evidence_forms import form_of
from rai_pipelines_tests.house import House, datasheet

HOSTILE = '<script>alert(1)</script> | "quoted" [x](javascript:alert(2)) $x$'


class Audited:
    """A house with one version that the job audited."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.house = House(folder)
        self.instance = instance
        self.version = self.house.register(datasheet(purpose=HOSTILE))
        self.result = self.run()

    def run(self) -> dg.ExecuteInProcessResult:
        self.instance.add_dynamic_partitions(str(MODEL_VERSIONS.name), [self.version.key])
        job = build_definitions(self.house.settings).resolve_job_def(AUDIT_JOB)
        return job.execute_in_process(instance=self.instance, partition_key=self.version.key)

    @property
    def auditor(self) -> Auditor:
        return build_auditor(self.house.settings)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    with dg.instance_for_test() as instance:
        yield Audited(tmp_path_factory.mktemp("house"), instance)


def test_the_log_says_how_much_was_asked_of_the_model_and_the_evidence_how_much_was_allotted(audited: Audited) -> None:
    said = [entry.user_message for entry in audited.instance.all_logs(audited.result.run_id)]
    counted = [line for line in said if re.fullmatch(r"Adversarial robustness: [\d,]+ of 1,562,500 queries", line)]
    assert counted
    evidence = audited.auditor.store.latest_evidence("adversarial_robustness", audited.version.key)
    assert evidence is not None
    asked = int(re.sub(r"\D", "", counted[-1].partition(" of ")[0]))
    assert evidence.details["budget"] == {"queries": 1_562_500, "queries_asked": asked, "seconds": 750, "cut_by": None}


def test_every_asset_is_materialised_for_the_partition(audited: Audited) -> None:
    assert audited.result.success
    made = {event.asset_key.to_user_string() for event in audited.result.get_asset_materialization_events() if event.asset_key}
    assert made == {*steps(), "policy_verdict", "model_card", "technical_documentation", "release_gate"}


def test_every_control_in_force_shows_as_a_check_with_number_interval_and_threshold(audited: Audited) -> None:
    found = {evaluation.check_name: evaluation for evaluation in audited.result.get_asset_check_evaluations()}
    wanted = {control.id.replace("-", "_") for control in read_policy().controls if control.effective_from}
    assert set(found) == wanted | {"compliant"}
    table = str(found["FAIR_S"].metadata["figures"].value)
    assert "impact ratio of sex=2 against 1" in table.replace("\\", "")
    assert "within" in table and " to " in table


def test_checks_agree_with_the_verdict(audited: Audited) -> None:
    verdict, _ = latest_verdict(audited.auditor.store, audited.version)  # type: ignore[misc]
    for evaluation in audited.result.get_asset_check_evaluations():
        if evaluation.check_name == "compliant":
            assert evaluation.passed == (verdict.status is VerdictStatus.COMPLIANT)
        else:
            finding = verdict.finding(evaluation.check_name.replace("_", "-"))
            assert finding is not None
            assert evaluation.metadata["status"].value == finding.status.value


def test_a_policy_is_replayed_from_what_the_audit_kept_for_it_as_from_the_whole_evidence(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    from_evidence = replay_stored(audited.auditor, read_policy(), whole_evidence=True)
    read: list[type] = []
    get = LocalEvidenceStore.get
    monkeypatch.setattr(LocalEvidenceStore, "get", lambda store, digest, model: read.append(model) or get(store, digest, model))
    assert replay_stored(audited.auditor, read_policy()) == from_evidence
    assert [item.flips for item in from_evidence.versions] == [()]
    assert read == [Verdict, JudgedEvidence], "no evidence is read"


def test_charts_stand_in_the_metadata(audited: Audited) -> None:
    charted = {
        event.asset_key.to_user_string()
        for event in audited.result.get_asset_materialization_events()
        if event.asset_key and "chart" in event.materialization.metadata
    }
    assert charted >= {"data_validation", "anonymization_check", "bias_assessment", "performance_report", "adversarial_robustness"}


def test_registry_tags_card_and_verdict_agree(audited: Audited) -> None:
    verdict, _ = latest_verdict(audited.auditor.store, audited.version)  # type: ignore[misc]
    card = json.loads((audited.house.settings.documents_dir / audited.version.key / "model_card.json").read_text(encoding="utf-8"))
    tags = audited.house.registry.get(audited.version).tags
    assert card["status"] == tags["rai.verdict"] == verdict.status.value
    assert card["verdict_digest"] == tags["rai.evidence"] == verdict.digest
    jsonschema.validate(card, published_schemas()["model-card"])
    assert ("compliant" in audited.house.registry.aliases("calls")) == (verdict.status is VerdictStatus.COMPLIANT)


def test_the_technical_documentation_is_written_under_the_verdict_and_says_what_is_open(audited: Audited) -> None:
    verdict, _ = latest_verdict(audited.auditor.store, audited.version)  # type: ignore[misc]
    folder = audited.house.settings.documents_dir / audited.version.key
    document = json.loads((folder / "technical_documentation.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, published_schemas()["technical-documentation"])
    assert (document["verdict_digest"], document["status"]) == (verdict.digest, "open"), "the datasheet has no such statements"
    assert (folder / "technical_documentation.pdf").read_bytes().startswith(b"%PDF")
    measured = audited.auditor.store.latest_evidence("technical_documentation_check", audited.version.key)
    assert measured is not None and measured.value("annex_iv_points_resolved") == 0.0
    events = audited.result.get_asset_materialization_events()
    shown = next(event for event in events if event.asset_key and event.asset_key.to_user_string() == "technical_documentation")
    assert shown.materialization.metadata["points_resolved"].value == 0


class Tags(HTMLParser):
    """The tags of a page, and every attribute that leads somewhere."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action", "xlink:href")]
        assert not any(name.startswith("on") for name, _ in attrs)


def test_the_html_card_has_no_scripts_and_loads_nothing_from_outside(audited: Audited) -> None:
    page = (audited.house.settings.documents_dir / audited.version.key / "model_card.html").read_text(encoding="utf-8")
    found = Tags(page)
    assert not found.tags & {"script", "iframe", "object", "embed", "link", "form"}
    assert found.links and all(link.startswith("data:image/svg+xml;base64,") for link in found.links)
    assert "alert(1)" in page, "the declared text is shown as text"


def test_the_same_inputs_give_the_same_evidence_byte_for_byte(audited: Audited) -> None:
    store = audited.auditor.store
    before = {name: store.latest(name, audited.version.key) for name in steps()}
    assert audited.run().success
    after = {name: store.latest(name, audited.version.key) for name in steps()}
    same = set(steps()) - {"governance_record"}  # its input, the ledger, has grown
    assert {name: before[name].digest for name in same} == {name: after[name].digest for name in same}  # type: ignore[union-attr]
    assert all(before[name] != after[name] for name in steps()), "each run leaves a receipt of its own"


@pytest.mark.parametrize("name", list(steps()))
def test_every_kind_of_evidence_has_the_form_that_was_reviewed(name: str, audited: Audited, snapshot: SnapshotAssertion) -> None:
    evidence = audited.auditor.store.latest_evidence(name, audited.version.key)
    assert evidence is not None
    assert form_of(evidence) == snapshot


def test_the_gate_record_is_kept(audited: Audited) -> None:
    receipt = audited.auditor.store.latest("release_gate", audited.version.key)
    assert receipt is not None
    record = audited.auditor.store.get(receipt.digest, GateRecord)
    assert record.tags["rai.evidence"] == record.verdict_digest


def test_evidence_that_is_complete_names_its_data_and_its_code(audited: Audited) -> None:
    for name in ("data_validation", "bias_assessment", "performance_report", "adversarial_robustness"):
        made = audited.auditor.store.latest_evidence(name, audited.version.key)
        assert made is not None and made.status is Status.COMPLETE
        assert made.provenance.data_digests and made.provenance.code_digest and made.provenance.model_digest
        assert made.provenance.seed == audited.house.settings.seed
        assert str(audited.house.folder) not in made.model_dump_json(), "no path of this machine in evidence"


def test_a_partition_key_that_is_no_model_version_ends_at_once() -> None:
    with pytest.raises(Exception, match="partition key"):
        ModelVersion.from_key("not-a-key")
