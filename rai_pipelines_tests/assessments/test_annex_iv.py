"""Points of Annex IV are resolved by a statement and usable evidence, or by a declared reason not to apply where the law leaves that open."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from rai_pipelines.assessments.annex_iv import ANNEX_IV, TechnicalDocumentationParameters, assess_technical_documentation, standings_of
from rai_pipelines.errors import DatasheetError
from rai_pipelines.evidence.model import Evidence, Status
from rai_pipelines.subjects.datasheet import Datasheet, parse_datasheet
from rai_pipelines.subjects.technical_file import TechnicalDeclarations
from rai_pipelines_tests.conftest import evidence
from rai_pipelines_tests.house import datasheet as minimal

NEEDED = sorted({name for point in ANNEX_IV for name in point.assessments})
STATEMENTS = {point.statement: f"About {point.number}." for point in ANNEX_IV}


def declared(**statements: Any) -> Datasheet:
    document = {**minimal(), "technical_documentation": statements}
    return parse_datasheet(yaml.safe_dump(document), source="datasheet.yaml")


def measured(*absent: str) -> dict[str, Evidence]:
    return {name: evidence(name) for name in NEEDED if name not in absent}


def open_points(sheet: Datasheet | None, found: dict[str, Evidence]) -> dict[str, tuple[str, ...]]:
    return {number: item.lacks for number, item in standings_of(sheet, found).items() if item.state == "open"}


def test_the_points_are_the_23_leaves_and_each_has_its_own_statement() -> None:
    assert len(ANNEX_IV) == 23 and len({point.number for point in ANNEX_IV}) == 23
    assert {point.statement for point in ANNEX_IV} == set(TechnicalDeclarations.model_fields)


def test_with_every_statement_and_all_evidence_nothing_is_open() -> None:
    assert open_points(declared(**STATEMENTS), measured()) == {}


@pytest.mark.parametrize("point", ANNEX_IV, ids=lambda point: point.number)
def test_each_point_is_open_without_its_statement(point: Any) -> None:
    without = {field: text for field, text in STATEMENTS.items() if field != point.statement}
    assert open_points(declared(**without), measured()) == {point.number: (f"datasheet field technical_documentation.{point.statement}",)}


@pytest.mark.parametrize("name", NEEDED)
def test_each_evidence_is_missed_by_the_points_that_need_it(name: str) -> None:
    needing = {point.number: (f"evidence of {name}",) for point in ANNEX_IV if name in point.assessments}
    assert open_points(declared(**STATEMENTS), measured(name)) == needing
    failed = {**measured(), name: evidence(name, status=Status.ERROR, reason="it broke")}
    assert open_points(declared(**STATEMENTS), failed) == needing


def test_without_a_datasheet_every_point_is_open() -> None:
    assert len(open_points(None, measured())) == 23
    assert len(open_points(declared(), measured())) == 23


def test_a_placeholder_is_no_statement() -> None:
    assert "7" in open_points(declared(**{**STATEMENTS, "standards": "FILL IN: which ones"}), measured())
    reason = {"not_applicable": "FILL IN"}
    assert "1(f)" in open_points(declared(**{**STATEMENTS, "product_markings": reason}), measured())


def test_a_point_does_not_apply_only_where_annex_iv_leaves_that_open_and_a_reason_is_given() -> None:
    reason = {"not_applicable": "It is part of no product."}
    found = standings_of(declared(**{**STATEMENTS, "product_markings": reason, "planned_changes": reason}), measured())
    assert [number for number, item in found.items() if item.state == "not_applicable"] == ["1(f)", "2(f)"]
    for point in ANNEX_IV:
        if point.number not in ("1(f)", "2(f)"):
            with pytest.raises(DatasheetError, match=f"technical_documentation.{point.statement}"):
                declared(**{point.statement: reason})


def test_the_share_counts_all_points_and_names_what_the_open_ones_lack(context: Any) -> None:
    made = assess_technical_documentation(context(declared(**{**STATEMENTS, "standards": "FILL IN"}), measured("drift_report")), PARAMETERS)
    (share,) = made.measurements
    assert (share.metric, share.value, share.n, share.denominator) == ("annex_iv_points_resolved", 21 / 23, 23, 23)
    assert share.note == "7 lacks datasheet field technical_documentation.standards; 9 lacks evidence of drift_report"
    assert made.details["points"]["1(a)"] == {"state": "resolved", "lacks": []}  # type: ignore[index, call-overload]


PARAMETERS = TechnicalDocumentationParameters()


@pytest.fixture
def context() -> Any:
    """A context that holds a datasheet and evidence: nothing else is read."""

    class Holding:
        def __init__(self, sheet: Datasheet, found: dict[str, Evidence]) -> None:
            self.subject = self
            self.datasheet, self.evidence = sheet, found

    return Holding
