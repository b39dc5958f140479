"""`rai case`: from a case opened by hand to a drafted report, a lesson and a closed case."""

from __future__ import annotations

import jsonschema

from rai_pipelines.cli.schemas import published_schemas
from rai_pipelines_tests.cli.conftest import Rai

OPENED = ("case", "open", "--title", "A person was refused by mistake", "--description", "By the old version", "--severity", "critical")


def test_a_case_is_opened_classified_reported_and_closed_with_its_lesson(rai: Rai) -> None:
    assert rai(*OPENED, "--version", "loans/3").out == "Case 1\n"
    assert "due on 2026-11-17 23:59 UTC" in rai("case", "classify", "1", "--class", "serious_incident", "--aware", "2026-11-02T10:00").out
    draft = rai("case", "report", "1")
    assert draft.code == 0 and "Art. 73(2)" in draft.out and "loans/3" in draft.out
    assert rai("case", "reported", "1").code == 0
    refused = rai("case", "move", "1", "closed")
    assert refused.code == 3 and "what was learnt" in refused.err
    assert rai("case", "move", "1", "closed", "--lesson", "Old versions are switched off on release").code == 0
    shown = rai("case", "show", "1", "--json").json
    jsonschema.validate(shown, published_schemas()["case"])
    assert shown["state"] == "closed" and any("attached incident-report-draft.md" in line for line in shown["history"])
    assert "Questions" in rai("case", "post-mortem", "1").out


def test_lists_filter_and_say_when_there_is_nothing(rai: Rai) -> None:
    assert rai("case", "list").out == "No cases\n"
    rai(*OPENED)
    assert [item["number"] for item in rai("case", "list", "--state", "open", "--json").json] == [1]
    assert rai("case", "list", "--state", "closed", "--json").json == []
    assert rai("case", "list", "--state", "bad").code == 2


def test_a_case_that_is_none_and_a_moment_to_come_are_said(rai: Rai) -> None:
    assert "is no case" in rai("case", "show", "5").could_not()
    rai(*OPENED)
    assert "aware of it yet" in rai("case", "classify", "1", "--class", "death", "--aware", "2999-01-01").could_not()
