"""Excerpts hold what checks read, say so, and never pass for evidence that was not kept."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from rai_pipelines.errors import EvidenceError
from rai_pipelines.evidence.model import Evidence, Status
from rai_pipelines.evidence.store import LocalEvidenceStore
from rai_pipelines.policy.checks import accountability
from rai_pipelines.policy.checks.base import Reads
from rai_pipelines.policy.checks.registry import checks, reads
from rai_pipelines.policy.excerpts import EXCERPTS, Excerpt, JudgedEvidence
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.verdict import judge
from rai_pipelines_tests.conftest import DAY, evidence, figure
from rai_pipelines_tests.policy.test_verdict import good_evidence


def kept(found: dict[str, Evidence]) -> JudgedEvidence:
    return JudgedEvidence.of(found, {name: item.digest for name, item in found.items()}, model_name="m", model_version="1")


def test_an_excerpt_has_the_figures_that_checks_read_and_names_its_source() -> None:
    whole = good_evidence()["bias_assessment"]
    bulky = whole.model_copy(update={"measurements": (figure("selection_rate", 0.4, group="1"), *whole.measurements), "details": {"rows": 5, "x": 1}})
    excerpt = kept({"bias_assessment": bulky}).excerpts["bias_assessment"]
    assert excerpt.measurements == whole.measurements and excerpt.details == {"rows": 5}
    assert (excerpt.source, excerpt.provenance, excerpt.status) == (bulky.digest, bulky.provenance, bulky.status)


def test_verdicts_on_excerpts_are_those_on_the_evidence() -> None:
    found = good_evidence()
    digests = {name: item.digest for name, item in found.items()}
    on_evidence = judge(read_policy(), found, model_name="m", model_version="1", day=DAY)
    on_excerpts = judge(read_policy(), kept(found).excerpts, model_name="m", model_version="1", day=DAY, digests=digests)
    assert on_excerpts == on_evidence


def test_asking_an_excerpt_for_a_metric_that_it_does_not_hold_is_an_error_and_no_absence() -> None:
    excerpt = kept(good_evidence()).excerpts["performance_report"]
    assert excerpt.find("r_squared") == (), "held, and not there"
    with pytest.raises(EvidenceError, match="does not hold log_loss"):
        excerpt.find("log_loss")


def test_asking_an_excerpt_for_a_detail_that_it_does_not_hold_is_an_error_and_no_absence() -> None:
    excerpt = kept(good_evidence()).excerpts["performance_report"]
    assert excerpt.detail("task", "none") == "none", "held, and not there"
    with pytest.raises(EvidenceError, match="does not hold calibration"):
        excerpt.detail("calibration")


def test_checks_ask_evidence_and_do_not_look_past_what_an_excerpt_refuses() -> None:
    folder = Path(accountability.__file__).parent
    looking = [
        f"{path.name}: {node.attr}"
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("details", "measurements") and ast.unparse(node) != "wanted.details"
    ]
    assert looking == ["registry.py: details", "registry.py: details"], "the checks' own declarations, and nothing of evidence"


def test_excerpts_come_back_from_the_store_as_they_were_put(tmp_path: Path) -> None:
    store, made = LocalEvidenceStore(tmp_path), kept(good_evidence())
    receipt = store.put(made, kind=EXCERPTS, folder="m/1", status=Status.COMPLETE)
    assert store.get(receipt.digest, JudgedEvidence) == made


def test_an_excerpt_serves_its_own_evidence_alone_and_only_while_it_holds_what_checks_read() -> None:
    made = evidence("drift_report", figure("psi", 0.1), details={"not_compared": {}})
    excerpt = Excerpt.of(made, made.digest, Reads(frozenset(("psi",)), frozenset(("not_compared",))))
    assert excerpt.serves(made.digest, Reads(frozenset(("psi",))))
    assert not excerpt.serves("sha256:" + "0" * 64, Reads(frozenset(("psi",))))
    assert not excerpt.serves(made.digest, Reads(frozenset(("psi", "performance_drop"))))
    assert not excerpt.serves(made.digest, Reads(frozenset(("psi",)), frozenset(("window",))))
    assert not excerpt.serves(made.digest, None), "a check that declares nothing reads it whole"
    assert Excerpt.of(made, made.digest, None).serves(made.digest, Reads(frozenset(("psi", "performance_drop"))))


def test_one_check_that_declares_nothing_keeps_the_whole_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    undeclared = replace(checks()["drift_and_performance"], name="undeclared", reads={})
    monkeypatch.setattr("rai_pipelines.policy.checks.registry.checks", lambda: {**checks(), "undeclared": undeclared})
    assert reads.__wrapped__()["drift_report"] is None
    assert reads()["drift_report"] is not None
