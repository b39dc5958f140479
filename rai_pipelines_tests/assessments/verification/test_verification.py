"""The assessment as a whole."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lightgbm import LGBMClassifier
from pydantic import ValidationError
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.tree import DecisionTreeClassifier

from rai_pipelines.assessments.base import Measured, run_assessment
from rai_pipelines.assessments.verification.verification import NONE_DECLARED, VerificationParameters, assess_verification
from rai_pipelines.errors import DatasheetError
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import Measurement, State, Status
from rai_pipelines.model_host.host import hosted_loader
from rai_pipelines.subjects.datasheet import parse_datasheet
from rai_pipelines.subjects.model_files import load_model_files
from rai_pipelines.subjects.safety_properties import SafetyProperty
from rai_pipelines_tests.assessments.verification.verified_models import DATASHEET, FEATURES, context, rows

PARAMETERS = VerificationParameters(rows=20, clique_rows=3, compared_rows=50)
PROPERTIES = """
safety_properties:
  - {name: job does not matter, invariant_to: {features: [job]}}
  - {name: more is better, monotone: {feature: x, direction: increasing}}
  - {name: never above one half, bounded_output: {low: 0, high: 0.5}}
"""


def one(measured: Measured, metric: str, attribute: str | None = None) -> Measurement:
    (item,) = [item for item in measured.measurements if item.metric == metric and item.attribute == attribute]
    return item


def fitted(native: Any) -> tuple[Any, Any]:
    frame = rows(200, 3)
    return native.fit(frame.assign(job=1)[list(FEATURES)], frame.y), frame


def test_declared_properties_are_proved_or_refuted_with_a_certificate(tmp_path: Path) -> None:
    native, frame = fitted(DecisionTreeClassifier(max_depth=4, random_state=1))
    measured = assess_verification(context(tmp_path, native, frame, PROPERTIES), PARAMETERS)
    assert one(measured, "property_proved", "job does not matter").value == 1.0
    assert one(measured, "property_proved", "never above one half").value == 0.0
    certificates: Any = measured.details["certificates"]
    proved = sum(item["answer"] == "proved" for item in certificates.values())
    share = one(measured, "proved_share")
    assert share.value == pytest.approx(proved / 3) and share.n == 3
    refuted = certificates["never above one half"]
    assert refuted["counterexample_confirmed_by_the_model"] and refuted["model_digest"].startswith("sha256:")
    assert certificates["job does not matter"]["counterexample"] is None
    assert one(measured, "certified_share").n == 20


def test_without_a_declaration_nothing_is_proved_and_the_reason_says_so(tmp_path: Path) -> None:
    native, frame = fitted(DecisionTreeClassifier(max_depth=2))
    measured = assess_verification(context(tmp_path, native, frame), PARAMETERS)
    share = one(measured, "proved_share")
    assert (share.value, share.state, share.note) == (None, State.UNAVAILABLE, NONE_DECLARED)
    assert one(measured, "certified_share").state is State.MEASURED


def test_a_model_that_cannot_be_read_leaves_everything_unknown(tmp_path: Path) -> None:
    native, frame = fitted(CalibratedClassifierCV(DecisionTreeClassifier(max_depth=2)))
    measured = assess_verification(context(tmp_path, native, frame, PROPERTIES), PARAMETERS)
    for name in ("job does not matter", "more is better", "never above one half"):
        item = one(measured, "property_proved", name)
        assert item.value is None and item.state is State.INSUFFICIENT and "CalibratedClassifierCV" in str(item.note)
    assert (one(measured, "proved_share").value, one(measured, "unknown_share").value) == (0.0, 1.0)


def test_evidence_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    native, frame = fitted(GradientBoostingClassifier(n_estimators=5, random_state=1))
    made = [
        run_assessment("proof_certificates", assess_verification, given, PARAMETERS, inputs=("training",))[0]
        for given in (context(tmp_path, native, frame, PROPERTIES) for _ in range(2))
    ]
    assert made[0].status is Status.COMPLETE and canonical_json(made[0]) == canonical_json(made[1])


def test_a_column_that_could_identify_is_not_shown_in_a_counterexample(tmp_path: Path) -> None:
    native, frame = fitted(DecisionTreeClassifier(max_depth=4, random_state=1))
    stated = "\nsafety_properties:\n  - {name: p, monotone: {feature: x, direction: decreasing}}\n"
    for columns, hidden in (("", False), ("  quasi_identifiers: [x]\n", True)):
        sheet = DATASHEET.replace("data: {", f"{columns}data: {{")
        measured = assess_verification(context(tmp_path, native, frame, stated, sheet), PARAMETERS)
        shown: Any = measured.details["certificates"]
        assert (shown["p"]["counterexample"] == [{"x": "not shown"}] * 2) is hidden


@pytest.mark.parametrize("stated", [
    "{name: p, monotone: {feature: income, direction: increasing}}",
    "{name: p, monotone: {feature: job, direction: increasing}}",
    "{name: p, invariant_to: {features: [income]}}",
    "{name: p, rule: {when: {job: [0, 1]}, decision: favourable}}",
    "{name: p, rule: {when: {job: {values: [9]}}, decision: favourable}}",
    "{name: p, rule: {when: {n: [1.2, 1.8]}, decision: favourable}}",
])  # fmt: skip
def test_a_property_that_does_not_fit_the_model_is_refused(stated: str, tmp_path: Path) -> None:
    native, frame = fitted(DecisionTreeClassifier(max_depth=2))
    with pytest.raises(DatasheetError):
        assess_verification(context(tmp_path, native, frame, f"\nsafety_properties:\n  - {stated}\n"), PARAMETERS)


def test_a_rule_beyond_the_range_of_training_is_asked_there_and_never_holds_for_want_of_inputs(tmp_path: Path) -> None:
    native, frame = fitted(DecisionTreeClassifier(max_depth=3, random_state=1))
    stated = "\nsafety_properties:\n  - {name: p, rule: {when: {x: [50, 60]}, decision: unfavourable}}\n"
    measured = assess_verification(context(tmp_path, native, frame, stated), PARAMETERS)
    assert one(measured, "property_proved", "p").value == 0.0


@pytest.mark.parametrize("stated", [
    {"name": "p"},
    {"name": "p", "monotone": {"feature": "x", "direction": "increasing"}, "bounded_output": {"low": 0.1, "high": 0.9}},
    {"name": "p", "bounded_output": {"low": 0.0, "high": 1.0}},
    {"name": "p", "bounded_output": {"low": 0.9, "high": 0.1}},
    {"name": "p", "rule": {"when": {"x": [0, 1]}}},
    {"name": "p", "rule": {"when": {"x": [2, 1]}, "decision": "favourable"}},
    {"name": "p", "rule": {"when": {"x": [0, 1]}, "decision": "favourable", "score_at_most": 0.5}},
    {"name": "p", "invariant_to": {"features": []}},
])  # fmt: skip
def test_a_declaration_that_says_nothing_or_two_things_is_refused(stated: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SafetyProperty.model_validate(stated)


def test_a_model_in_a_confined_process_gets_the_same_certificates(tmp_path: Path) -> None:
    tried = "import ctypes; c = ctypes.CDLL(None); raise SystemExit(c.unshare(0x60020000) and c.unshare(0x70020000))"
    if subprocess.run([sys.executable, "-c", tried], check=False).returncode:
        pytest.skip("the kernel or the container refuses namespaces to this user")
    native, frame = fitted(LGBMClassifier(n_estimators=8, num_leaves=6, n_jobs=1, verbose=-1))
    folder = tmp_path / "model"
    folder.mkdir()
    native.booster_.save_model(folder / "model.lgb")
    given = context(tmp_path, native, frame, PROPERTIES)
    made = []
    plain = parse_datasheet(DATASHEET, source="d")
    for loader in (load_model_files, hosted_loader()):
        model = loader(folder, plain)
        subject = replace(given.subject, folder=folder, loader=lambda _folder, _sheet, model=model: model)
        made.append(assess_verification(replace(given, subject=subject), PARAMETERS))
    assert made[0] == made[1] and made[0].details["form"] == "ensemble"
