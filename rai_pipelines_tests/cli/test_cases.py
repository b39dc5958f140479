"""`rai case`: from a case opened by hand to a drafted report, a lesson and a closed case."""

from __future__ import annotations

from pathlib import Path

import jsonschema

from rai_pipelines.cli.schemas import published_schemas
from rai_pipelines.evidence.model import Status
from rai_pipelines.evidence.store import LocalEvidenceStore
from rai_pipelines_tests.cli.conftest import Rai
from rai_pipelines_tests.conftest import evidence

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


def test_a_title_or_lesson_that_cannot_be_kept_is_said_in_a_line(rai: Rai) -> None:
    for title in ("", "x" * 251, "\udcff"):
        assert "--title: cannot be used" in rai("case", "open", "--title", title, "--description", "d", "--severity", "low").could_not()
    assert "--description" in rai("case", "open", "--title", "t", "--description", "\udcff", "--severity", "low").could_not()
    rai(*OPENED)
    for lesson in ("", "short", "x" * 5000):
        assert "meaning: is not what" in rai("case", "move", "1", "closed", "--lesson", lesson).could_not()
    assert rai("case", "show", "99999999999999999999").code == 2


def test_what_was_declared_cannot_steer_the_terminal_that_a_draft_is_printed_to(rai: Rai) -> None:
    hostile = "harm \x1b[2J\x9b31m\u202edone\x00"
    assert rai("case", "open", "--title", hostile, "--description", hostile, "--severity", "low").code == 0
    for verb in ("report", "post-mortem"):
        printed = rai("case", verb, "1").out
        assert "harm" in printed and not set(printed) & set("\x1b\x9b\u202e\x00")


def test_a_verdict_that_was_altered_keeps_no_draft_from_being_written(rai: Rai, tmp_path: Path) -> None:
    assert rai(*OPENED, "--version", "loans/3").code == 0
    store = LocalEvidenceStore(tmp_path / "home" / "evidence")
    store.put(evidence("registry_record"), kind="policy_verdict", folder="loans/3", status=Status.COMPLETE)
    for written in (tmp_path / "home" / "evidence").rglob("*"):
        if written.is_file():
            written.chmod(0o644)
            written.write_text("{}", encoding="utf-8")
    draft = rai("case", "report", "1")
    assert draft.code == 0 and "Last verdict: none" in draft.out
