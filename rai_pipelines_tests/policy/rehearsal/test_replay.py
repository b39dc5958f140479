"""A replay judges on stored evidence alone: about today's model and datasheet, whatever policy it was measured under, and it says what it lacks."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import pytest

from rai_pipelines.errors import EvidenceError, RaiError
from rai_pipelines.evidence.model import Evidence, Receipt, Status
from rai_pipelines.evidence.store import LocalEvidenceStore
from rai_pipelines.policy.excerpts import EXCERPTS, JudgedEvidence
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.rehearsal.replay import Replay, replay
from rai_pipelines.policy.rehearsal.stored import Today
from rai_pipelines.policy.verdict import VerdictStatus, judge
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.conftest import DAY, figure
from rai_pipelines_tests.policy.policies import changed
from rai_pipelines_tests.policy.test_verdict import good_evidence

VERSION = ModelVersion("m", "1")
STRICTER = {"impact_ratio": [0.95, 1.05], "equalized_odds_difference_max": 0.02}


@pytest.fixture
def store(tmp_path: Path) -> LocalEvidenceStore:
    return LocalEvidenceStore(tmp_path)


def keep(store: LocalEvidenceStore, found: Mapping[str, Evidence], version: ModelVersion = VERSION, policy: Policy | None = None) -> None:
    """What an audit leaves in the store."""
    for name, item in found.items():
        store.put(item, kind=name, folder=version.key, status=item.status)
    verdict = judge(policy or read_policy(), found, model_name=version.name, model_version=version.version, day=DAY)
    store.put(verdict, kind="policy_verdict", folder=version.key, status=Status.COMPLETE)


def replayed(store: LocalEvidenceStore, policy: Policy, *versions: ModelVersion, **changes: Any) -> Replay:
    asked = {"day": DAY, "parameters": {}, **changes}
    return replay(policy, versions or (VERSION,), store=store, **asked)


def test_the_policy_in_force_gives_the_stored_verdict_again(store: LocalEvidenceStore) -> None:
    keep(store, good_evidence())
    (item,) = replayed(store, read_policy()).versions
    assert (item.old, item.new, item.flips, item.absent, item.caveats) == (VerdictStatus.COMPLIANT, VerdictStatus.COMPLIANT, (), (), ())


def test_a_stricter_policy_names_who_would_fail_and_by_which_control(store: LocalEvidenceStore) -> None:
    keep(store, good_evidence())
    keep(store, good_evidence("low"), ModelVersion("m", "2"))
    found = replayed(store, changed("FAIR-S", threshold=STRICTER), VERSION, ModelVersion("m", "2"))
    assert found.flips == {"FAIR-S": {"pass → inconclusive": 1}}, "a model of low risk is not asked"
    assert [flip.control for flip in found.versions[0].flips] == ["FAIR-S"] and found.versions[1].flips == ()
    assert "required within [0.95, 1.05]" in found.versions[0].flips[0].reason
    failing = replayed(store, changed("PERF-B", threshold={"accuracy_over_majority_min": 0.15}))
    assert (failing.worse, failing.versions[0].new) == (1, VerdictStatus.NON_COMPLIANT)
    assert failing.transitions == {"compliant → non_compliant": 1}


def test_evidence_that_the_new_policy_needs_and_is_not_there_reads_missing(store: LocalEvidenceStore) -> None:
    keep(store, good_evidence())
    item = replayed(store, changed("SAFE-S", effective_from=DAY)).versions[0]
    (flip,) = item.flips
    assert (flip.control, flip.old, flip.new) == ("SAFE-S", FindingStatus.NOT_IN_FORCE, FindingStatus.MISSING)
    assert item.absent == ("proof_certificates",)


def test_the_policy_that_evidence_was_measured_under_does_not_matter_and_its_parameters_are_told(store: LocalEvidenceStore) -> None:
    found = good_evidence()
    bias = found["bias_assessment"]
    made_from = bias.provenance.model_copy(update={"policy_digest": "sha256:" + "9" * 64, "parameters": {"interval_level": 0.9, "resamples": 200}})
    keep(store, {**found, "bias_assessment": bias.model_copy(update={"provenance": made_from})})
    parameters = {"high": {"bias_assessment": {"interval_level": 0.95, "resamples": 200}, "drift_report": {}}}
    item = replayed(store, read_policy(), parameters=parameters).versions[0]
    assert item.new is VerdictStatus.COMPLIANT
    assert item.caveats == ("bias_assessment was measured with interval_level 0.9, an audit under this policy would use 0.95",)


def test_evidence_about_another_model_or_datasheet_is_not_used(store: LocalEvidenceStore) -> None:
    keep(store, good_evidence())
    moved = Today("sha256:" + "a" * 64, "sha256:" + "1" * 64)  # the datasheet was edited after the audit
    item = replayed(store, read_policy(), today={VERSION: moved}).versions[0]
    assert item.new is VerdictStatus.NON_COMPLIANT
    assert "bias_assessment" in item.absent and "registry_record" in item.absent


def test_evidence_about_todays_state_is_found_behind_newer_evidence_about_another(store: LocalEvidenceStore) -> None:
    keep(store, good_evidence())
    bias = good_evidence()["bias_assessment"]
    other = bias.model_copy(update={"provenance": bias.provenance.model_copy(update={"datasheet_digest": "sha256:" + "1" * 64})})
    store.put(other, kind="bias_assessment", folder=VERSION.key, status=other.status)
    assert replayed(store, read_policy()).versions[0].new is VerdictStatus.COMPLIANT


def test_altered_evidence_ends_the_replay(store: LocalEvidenceStore) -> None:
    keep(store, good_evidence())
    receipt = store.latest("bias_assessment", VERSION.key)
    assert receipt is not None
    path = store.root / "objects" / receipt.digest[7:9] / f"{receipt.digest[7:]}.json"
    path.write_bytes(path.read_bytes().replace(b"0.97", b"0.98"))
    with pytest.raises(EvidenceError, match="altered"):
        replayed(store, read_policy())


def test_a_control_that_is_not_in_force_on_the_day_flips_nothing(store: LocalEvidenceStore) -> None:
    keep(store, good_evidence())
    later = replayed(store, changed("SAFE-S", effective_from=DAY + timedelta(days=1)))
    assert later.versions[0].flips == ()


def test_a_version_that_was_never_judged_has_no_old_verdict(store: LocalEvidenceStore) -> None:
    item = replayed(store, read_policy(), ModelVersion("m", "9")).versions[0]
    assert (item.old, item.new) == (None, VerdictStatus.NON_COMPLIANT)


def keep_excerpts(store: LocalEvidenceStore, found: Mapping[str, Evidence], version: ModelVersion = VERSION) -> None:
    digests = {name: item.digest for name, item in found.items()}
    made = JudgedEvidence.of(found, digests, model_name=version.name, model_version=version.version)
    store.put(made, kind=EXCERPTS, folder=version.key, status=Status.COMPLETE)


def path_of(store: LocalEvidenceStore, kind: str) -> Path:
    receipt = store.latest(kind, VERSION.key)
    assert receipt is not None
    return store.root / "objects" / receipt.digest[7:9] / f"{receipt.digest[7:]}.json"


def test_a_replay_reads_excerpts_and_not_the_evidence_unless_it_is_told_to(store: LocalEvidenceStore) -> None:
    keep(store, good_evidence())
    keep_excerpts(store, good_evidence())
    stricter = changed("FAIR-S", threshold=STRICTER)
    assert replayed(store, stricter) == replayed(store, stricter, whole_evidence=True)
    path_of(store, "bias_assessment").unlink()
    assert replayed(store, stricter).flips == {"FAIR-S": {"pass → inconclusive": 1}}
    with pytest.raises(EvidenceError, match="is not in the evidence store"):
        replayed(store, stricter, whole_evidence=True)


def test_evidence_that_is_newer_than_the_excerpts_is_read_itself(store: LocalEvidenceStore) -> None:
    keep(store, good_evidence())
    keep_excerpts(store, good_evidence())
    worse = good_evidence()["adversarial_robustness"]
    crashed = worse.model_copy(update={"measurements": (worse.measurements[0], figure("crash_count", 3))})
    store.put(crashed, kind="adversarial_robustness", folder=VERSION.key, status=Status.COMPLETE)
    assert replayed(store, read_policy()).flips == {"SAFE-B": {"pass → fail": 1}}


def test_altered_excerpts_end_the_replay(store: LocalEvidenceStore) -> None:
    keep(store, good_evidence())
    keep_excerpts(store, good_evidence())
    path = path_of(store, EXCERPTS)
    path.write_bytes(path.read_bytes().replace(b"0.97", b"0.98"))
    with pytest.raises(EvidenceError, match="altered"):
        replayed(store, read_policy())


def test_many_versions_are_judged_by_several_processes_in_their_order_and_alike(store: LocalEvidenceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rai_pipelines.policy.rehearsal.replay.VERSIONS_A_TASK", 2)
    versions = [ModelVersion("m", str(number)) for number in range(1, 6)]
    for version in versions[:-1]:  # the last was never audited
        keep(store, good_evidence(), version)
    moved = {versions[1]: Today("sha256:" + "a" * 64, "sha256:" + "1" * 64)}
    alone, shared = (replayed(store, read_policy(), *versions, today=moved, processes=number) for number in (1, 2))
    assert shared == alone
    assert [item.new is VerdictStatus.COMPLIANT for item in shared.versions] == [True, False, True, True, False]
    path_of(store, "bias_assessment").unlink()
    with pytest.raises(EvidenceError, match="is not in the evidence store"):
        replayed(store, read_policy(), *versions, processes=2)


class DeadlyStore(LocalEvidenceStore):
    """Ends the process that reads version 3, as the system does where memory runs out."""

    def history(self, folder: str) -> tuple[Receipt, ...]:
        if folder == "m/3":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().history(folder)


def test_a_process_that_is_killed_ends_the_replay_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rai_pipelines.policy.rehearsal.replay.VERSIONS_A_TASK", 2)
    versions = [ModelVersion("m", str(number)) for number in range(1, 9)]
    with pytest.raises(RaiError, match=r"replay of rai-default@1\.0\.0: one of 2 processes that judged 8 versions ended .* memory ran out"):
        replayed(DeadlyStore(tmp_path), read_policy(), *versions, processes=2)


def told_by_a_daemon(answers: Queue[Replay], root: Path, versions: list[ModelVersion]) -> None:
    answers.put(replayed(LocalEvidenceStore(root), read_policy(), *versions, processes=2))


def test_a_process_that_may_have_no_children_judges_alone(store: LocalEvidenceStore) -> None:
    versions = [ModelVersion("m", str(number)) for number in range(1, 202)]
    context = get_context("spawn")
    answers: Queue[Replay] = context.Queue()
    daemon = context.Process(target=told_by_a_daemon, args=(answers, store.root, versions), daemon=True)  # what workers of task queues are
    daemon.start()
    assert len(answers.get(timeout=60).versions) == 201
    daemon.join()
