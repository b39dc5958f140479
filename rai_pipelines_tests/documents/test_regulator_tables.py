"""Regulators' tables in a card say what the evidence holds: exclusions, unknown people, and which test was read."""

from __future__ import annotations

import numpy as np

from rai_pipelines.assessments.fairness.groups import GroupCounts
from rai_pipelines.assessments.fairness.regulators import regulator_tables as made_by
from rai_pipelines.documents.regulator_tables import regulator_tables
from rai_pipelines.evidence.canonical import plain
from rai_pipelines.subjects.datasheet import FairnessScope, LocalLaw144, ProtectedAttribute
from rai_pipelines_tests.conftest import evidence


def counted(*parts: str, **groups: tuple[int, int]) -> GroupCounts:
    return GroupCounts(" × ".join(parts), parts, tuple(groups), np.array([[0, 0, 0, 0, taken, n - taken] for n, taken in groups.values()]))


def test_tables_show_exclusions_unknown_people_and_the_test_that_was_read() -> None:
    tables = [counted("sex", f=(500, 100), m=(500, 200), x=(5, 5)), counted("race", **{"(missing)": (30, 3), "a": (600, 200), "b": (375, 102)})]
    scope = FairnessScope(local_law_144=LocalLaw144(sex="sex", race_ethnicity="race"), uniform_guidelines=True)
    made = made_by(tables, scope, {"sex": ProtectedAttribute(), "race": ProtectedAttribute()}, level=0.9)
    shown = list(regulator_tables(evidence("bias_assessment", details=plain({"regulators": made}))))
    assert [caption.split(":")[0] for caption, _, _ in shown] == ["NYC Local Law 144 (6 RCNY 5-301)"] * 2 + [
        "Four-fifths rule (29 CFR 1607.4(D))"
    ] * 2
    law = {row[0]: row for row in shown[0][2]}
    assert law["f"][4] == "0.5"
    assert law["x"][4].startswith("left out")
    assert "30 people of unknown category" in shown[1][0]
    rule = {row[0]: row for row in shown[2][2]}
    assert rule["f"][5] == "yes"
    assert rule["x"][4:] == ("–", "–", "–"), "the group with the highest rate is compared with nobody"
    assert rule["f"][6].endswith("(Fisher)"), "the highest group has five people"


def test_without_a_request_there_is_no_table() -> None:
    assert list(regulator_tables(evidence("bias_assessment"))) == []
