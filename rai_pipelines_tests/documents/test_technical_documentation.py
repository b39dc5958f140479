"""The technical documentation shows what was declared, what was measured with its digest, and what is open, and makes nothing up."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from rai_pipelines.assessments.annex_iv import ANNEX_IV
from rai_pipelines.documents.annex_iv_claims import CLAIMS, TABLES, VERDICT, VERDICT_TABLES, EarlierVersion
from rai_pipelines.documents.printed import render_markdown
from rai_pipelines.documents.technical_documentation import (
    DocumentedPoint,
    TechnicalDocumentation,
    build_technical_documentation,
    printed_documentation,
    write_documentation,
)
from rai_pipelines.evidence.model import Evidence, Status
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.verdict import Verdict, judge
from rai_pipelines.subjects.datasheet import Datasheet, parse_datasheet
from rai_pipelines_tests.conftest import DAY, evidence, figure
from rai_pipelines_tests.house import datasheet as minimal
from rai_pipelines_tests.policy.test_verdict import good_evidence

STATEMENTS: dict[str, Any] = {point.statement: f"Statement about {point.number}." for point in ANNEX_IV}
STATEMENTS["planned_changes"] = {"not_applicable": "It does not learn in use."}


def sheet(**changes: Any) -> Datasheet:
    return parse_datasheet(yaml.safe_dump({**minimal(), "technical_documentation": {**STATEMENTS, **changes}}), source="datasheet.yaml")


def verdict_on(found: dict[str, Evidence], version: str = "2") -> Verdict:
    return judge(read_policy(), found, model_name="m", model_version=version, day=DAY)


def built(found: dict[str, Evidence] | None = None, declared: Datasheet | None = None, **changes: Any) -> TechnicalDocumentation:
    known = found if found is not None else good_evidence()
    return build_technical_documentation(verdict_on(known), known, declared or sheet(), **changes)


def point(document: TechnicalDocumentation, number: str) -> DocumentedPoint:
    return next(item for item in document.points if item.number == number)


def test_what_was_declared_stands_as_a_statement_and_what_was_measured_names_its_evidence() -> None:
    found = {
        **good_evidence(),
        "performance_report": evidence("performance_report", figure("accuracy", 0.81, 0.80, 0.82, n=900), figure("accuracy", 0.7, group="1")),
    }
    use = point(built(found), "1(h)")
    assert use.statement == "Statement about 1(h)."
    assert [fact.text for fact in use.declared] == ["The people are synthetic"]
    (claim,) = use.claims
    assert claim.text == "Accuracy: 0.81 (90% interval 0.8 to 0.82), n = 900", "of all rows, not of a group"
    assert (claim.evidence, claim.digest) == ("performance_report", found["performance_report"].digest)
    assert use.rests_on == {"performance_report": found["performance_report"].digest}


def test_every_claim_and_every_table_rests_on_evidence_that_the_document_names() -> None:
    found, earlier = good_evidence(), (EarlierVersion("1", verdict_on(good_evidence(), "1")),)
    document = built(found, earlier=earlier)
    digests = {**{name: item.digest for name, item in found.items()}, VERDICT: document.verdict_digest}
    resting = [item for item in document.points if item.claims or item.tables]
    assert len(resting) >= 10
    for item in resting:
        assert item.rests_on and all(digests[name] == digest for name, digest in item.rests_on.items()), item.number
        assert {claim.evidence for claim in item.claims} <= set(item.rests_on)


def test_claims_and_tables_are_made_for_points_that_exist() -> None:
    assert {*CLAIMS, *TABLES, *VERDICT_TABLES} <= {item.number for item in ANNEX_IV}


def test_a_point_that_lacks_something_is_open_and_says_what() -> None:
    found = {name: item for name, item in good_evidence().items() if name != "drift_report"}
    document = built(found, sheet(standards="FILL IN"))
    assert document.status == "open" and document.in_state("open") == ("7", "9")
    assert point(document, "7").lacks == ("datasheet field technical_documentation.standards",) and point(document, "7").statement is None
    assert point(document, "9").lacks == ("evidence of drift_report",)
    assert document.in_state("not_applicable") == ("2(f)",)


def test_with_everything_there_it_is_complete_and_without_a_datasheet_all_is_open() -> None:
    assert built().status == "complete"
    known = good_evidence()
    bare = build_technical_documentation(verdict_on(known), known, None)
    assert len(bare.in_state("open")) == 23 and all(item.statement is None and not item.declared for item in bare.points)


def test_a_missing_declaration_of_conformity_is_drafted_and_signed_by_nobody() -> None:
    undeclared = point(built(declared=sheet(declaration_of_conformity=None)), "8")
    (draft,) = undeclared.tables
    assert undeclared.state == "open" and "no declaration until a person signs" in draft.caption
    assert ("Provider", "Statement about 1(a).") in draft.rows
    assert draft.rows[-1] == ("Place, date, name, function and signature", "not signed")
    assert point(built(), "8").tables == ()


@pytest.mark.parametrize(
    ("facts", "day"),
    [
        ({"signed_on": "2026-12-01", "current": True, "decision": "d"}, date(2026, 12, 1)),
        ({"signed_on": "2026-12-01", "current": False, "decision": "d"}, None),
        (None, None),
    ],
)
def test_statements_are_signed_for_only_by_an_acknowledgement_of_the_datasheet_as_it_is(facts: Any, day: date | None) -> None:
    reviews = {"owner_acknowledgement": facts} if facts else {}
    found = {**good_evidence(), "signed_reviews": evidence("signed_reviews", details={"reviews": reviews})}
    document = built(found)
    assert document.acknowledged_on == day
    assert ("signed for by nobody as they are now" in printed_documentation(document).lead[1]) == (day is None)


def test_an_assessment_that_ended_without_a_result_makes_no_claim() -> None:
    found = {**good_evidence(), "explainability_report": evidence("explainability_report", status=Status.ERROR, reason="it broke")}
    logic = point(built(found), "2(b)")
    assert logic.claims == () and logic.tables == () and logic.lacks == ("evidence of explainability_report",)


def test_earlier_versions_stand_with_their_verdicts() -> None:
    earlier = (EarlierVersion("1", verdict_on(good_evidence("high"), "1")),)
    (table,) = point(built(earlier=earlier), "6").tables
    assert [row[:2] for row in table.rows] == [("2", "compliant"), ("1", earlier[0].verdict.status.value.replace("_", " "))]


def test_it_is_written_in_four_forms_that_are_the_same_each_time(tmp_path: Path) -> None:
    document = built()
    paths = write_documentation(document, tmp_path)
    before = {form: path.read_bytes() for form, path in paths.items()}
    assert sorted(before) == ["html", "json", "md", "pdf"] and paths["pdf"].parent == tmp_path / "m" / "2"
    assert TechnicalDocumentation.model_validate_json(before["json"]) == document
    assert {form: path.read_bytes() for form, path in write_documentation(document, tmp_path).items()} == before


def test_hostile_statements_act_nowhere() -> None:
    text = render_markdown(printed_documentation(built(declared=sheet(standards="<img src=x onerror=alert(1)> [a](javascript:1)"))))
    assert "<img" not in text and "](javascript" not in text


def test_fairness_in_production_is_shown_by_window_with_the_days_of_its_decisions() -> None:
    spans = [{"window": n, "from": f"2026-12-0{n + 1}T00:00:00+00:00", "to": f"2026-12-0{n + 2}T00:00:00+00:00", "complete": True} for n in range(6)]
    gaps = [
        figure("demographic_parity_difference", 0.01 * n, 0.0, 0.1, attribute="sex", group=f"window {n}", reference="1", comparison="2")
        for n in range(6)
    ]
    found = {**good_evidence(), "fairness_windows": evidence("fairness_windows", *gaps, details={"windows": spans})}
    table = next(item for item in point(built(found), "9").tables if item.caption == "Fairness in production, the newest 4 windows")
    assert [row[0] for row in table.rows] == [f"2026-12-0{n + 1} to 2026-12-0{n + 2}" for n in range(2, 6)]
    assert table.rows[0][1:4] == ("sex", "demographic parity difference: 2 against 1", "0.02")
