"""A model that behaves badly ends as an error that says what it did, in time, and what does not need it goes on."""

from __future__ import annotations

import re
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from rai_pipelines.audit import Auditor, build_auditor
from rai_pipelines.evidence.model import Evidence, State, Status
from rai_pipelines.model_host import host
from rai_pipelines.model_host.host import HostedModel
from rai_pipelines.model_host.isolation import HostLimits
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.verdict import VerdictStatus
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.conftest import DAY
from rai_pipelines_tests.house import House, datasheet
from rai_pipelines_tests.model_host import bad_models as bad
from rai_pipelines_tests.model_host.test_host import WITHOUT_NAMESPACES

LIMITS = HostLimits(start_s=8, request_s=2, memory_bytes=2**30, processes=40, restarts=1)
WITHIN_S = 60.0  # all three assessments, their starts included: none may wait for a model longer than its limits say
NEED_THE_MODEL = ("bias_assessment", "adversarial_robustness", "privacy_attacks")


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def audited(house: House, model: Any, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...] = NEED_THE_MODEL) -> tuple[Auditor, ModelVersion, Any]:
    """Evidence about a version whose file is that model, loaded as it is: the scan would refuse to load most of them."""
    monkeypatch.setattr(host, "NEEDED_FOR_PROGRAMS", WITHOUT_NAMESPACES)
    monkeypatch.setattr("rai_pipelines.audit.model_loader", lambda settings: partial(HostedModel, trust_pickles=True, limits=LIMITS))
    folder = bad.write_pickle(house.folder / "bad", model)
    (folder / "datasheet.yaml").write_text(yaml.safe_dump(datasheet()), encoding="utf-8")
    version = house.register_folder(folder)
    auditor = build_auditor(house.settings)
    auditor.measure("registry_record", version)
    made: dict[str, Evidence] = {name: auditor.measure(name, version) for name in names}
    return auditor, version, made


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "said"),
    [
        (bad.Hangs(), "did not answer within 2 s"),
        (bad.HangsDeaf(), "did not answer within 2 s"),
        (bad.HangsWhenLoaded(), "did not answer within 8 s"),
        (bad.PrintsForEver(), "did not answer within 2 s"),
        (bad.Crashes(), "crashed with signal SIGSEGV"),
        (bad.Exits(), "ended itself with code 7"),
        (bad.Forks(), "processes|Resource temporarily unavailable"),
        (bad.Allocates(), "needs more than 1 GiB of memory"),
        (bad.AnswersNothing(), "predicts no value for"),
        (bad.AnswersTooMuch(), "predicts shape"),
        (bad.ScoresNothing(), "probabilities outside 0 to 1"),
        (bad.Connects(80), "no connection"),
        (bad.LacksALibrary(), "No module named 'a_library_that_nobody_has'"),
        (bad.Forges(b"RAI1" + bytes(60)), "sent a header that cannot be read"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, bad.Model) else "",
)
def test_what_a_bad_model_does_is_an_error_of_what_needs_it_in_time_and_the_rest_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch, model: bad.Model, said: str
) -> None:
    started = time.monotonic()
    auditor, version, made = audited(house, model, monkeypatch)
    assert time.monotonic() - started < WITHIN_S
    assert {name: evidence.status for name, evidence in made.items()} == dict.fromkeys(NEED_THE_MODEL, Status.ERROR)
    first = made["bias_assessment"]
    assert first.measurements == ()
    assert re.search(said, str(first.reason)), first.reason
    assert auditor.measure("anonymization_check", version).status is Status.COMPLETE
    assert auditor.measure("data_validation", version).status is Status.COMPLETE
    verdict = auditor.judge(version, day=DAY)
    for control in ("FAIR-S", "SAFE-B"):
        finding = verdict.finding(control)
        assert finding is not None and finding.status is FindingStatus.ERROR
    assert verdict.status is not VerdictStatus.COMPLIANT
    auditor.close()


@pytest.mark.slow
def test_a_model_that_prints_much_and_answers_is_audited_all_the_same(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    auditor, _, made = audited(house, bad.Prints(), monkeypatch, ("bias_assessment",))
    assert made["bias_assessment"].status is Status.COMPLETE
    auditor.close()


@pytest.mark.slow
def test_a_model_that_changes_its_answers_is_measured_and_its_robustness_is_not_concluded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    auditor, version, made = audited(house, bad.Wavers(), monkeypatch, ("adversarial_robustness",))
    robust = made["adversarial_robustness"]
    assert robust.status is Status.COMPLETE, robust.reason
    (unsteady,) = robust.find("unsteady_decisions")
    assert unsteady.value == 0.25 and unsteady.n == unsteady.denominator == 200
    assert unsteady.interval is not None and unsteady.interval.low > 0.15
    (ratio,) = robust.find("robust_to_clean_ratio")
    assert ratio.state is State.INSUFFICIENT
    assert "the model changes its answers: 50 of 200 rows were decided differently when asked again" in str(ratio.note)
    finding = auditor.judge(version, day=DAY).finding("SAFE-B")
    assert finding is not None and finding.status is FindingStatus.INCONCLUSIVE
    auditor.close()
