"""Datasheets: problems name file, line, field and what is allowed; the digest is about content."""

from pathlib import Path

import pytest

from rai_pipelines.errors import DatasheetError
from rai_pipelines.subjects.datasheet import parse_datasheet, read_datasheet

GOOD = """\
schema: rai.datasheet/v1
model: m
purpose: Decide who gets a call
out_of_scope: [Anything else]
risk: {class: low, reason: Nobody loses anything}
owner: {name: Calls team, contact: calls@example.org}
columns:
  label: y
  protected_attributes:
    sex: {reference: 1}
data:
  evaluation: evaluation.parquet
"""


def test_a_minimal_datasheet_reads() -> None:
    datasheet = parse_datasheet(GOOD, source="datasheet.yaml")
    assert datasheet.columns.protected_attributes["sex"].reference == "1"
    assert datasheet.columns.favourable_outcome == "1"


def test_comments_and_order_do_not_change_the_digest() -> None:
    lines = GOOD.splitlines()
    shuffled = "\n".join(["# a comment", *lines[2:6], lines[0], lines[1], *lines[6:]])
    assert parse_datasheet(shuffled, source="x").digest == parse_datasheet(GOOD, source="y").digest


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("purpose:", "purpos:", 3, ["purpos", "unknown field"]),
        ("class: low", "class: tiny", 5, ["risk.class", "'low', 'limited' or 'high'", "tiny"]),
        ("{reference: 1}", "{reference: 1, bins: [30, 20]}", 10, ["bins must ascend"]),
        ("schema: rai.datasheet/v1", "schema: rai.datasheet/v9", 1, ["rai.datasheet/v1"]),
        ("  label: y", "  label: y\n  features: [y]", 7, ["the model would see the answer"]),
        ("model: m", "model: m\nmodel: n", 3, ["'model' appears twice"]),
        ("model: m", "model: [", 4, ["not valid YAML"]),
    ],
)
def test_a_problem_names_line_field_and_allowed_values(old: str, new: str, line: int, words: list[str]) -> None:
    with pytest.raises(DatasheetError) as caught:
        parse_datasheet(GOOD.replace(old, new), source="datasheet.yaml")
    text = str(caught.value)
    assert f"datasheet.yaml:{line}" in text
    assert all(word in text for word in words), text


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasheetError, match=r"absent\.yaml"):
        read_datasheet(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasheetError, match="UTF-8"):
        read_datasheet(tmp_path / "binary.yaml")


def test_a_file_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(DatasheetError, match="not a mapping"):
        parse_datasheet("- a\n- b\n", source="x")


@pytest.mark.parametrize(
    ("task", "column", "said"), [("regression", "weight: w", "columns.weight is for"), ("scoring", "unit_id: person", "columns.unit_id is for")]
)
def test_a_column_that_the_task_s_figures_would_leave_out_is_refused(task: str, column: str, said: str) -> None:
    text = GOOD.replace("columns:\n", f"task: {task}\ncolumns:\n  {column}\n")
    with pytest.raises(DatasheetError, match=said):
        parse_datasheet(text, source="datasheet.yaml")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("  prediction: y\n", "every row would be right"),
        ("  score: y\n", "every row would be right"),
        ("", "joins intersections"),
    ],
)
def test_parts_that_would_make_every_model_look_fair_are_refused(columns: str, said: str) -> None:
    text = GOOD.replace("  label: y\n", f"  label: y\n{columns}")
    if not columns:
        text = text.replace("    sex: {reference: 1}", "    race × sex: {reference: 1}")
    with pytest.raises(DatasheetError, match=said):
        parse_datasheet(text, source="datasheet.yaml")
