"""Suites as files: Great Expectations reads what is written, edits are used and told, and nothing else gets in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rai_pipelines.assessments.validation.chosen_suite import choose
from rai_pipelines.assessments.validation.data_validation import DataValidationParameters, assess_data_validation
from rai_pipelines.assessments.validation.suite import Planned
from rai_pipelines.assessments.validation.suite_changes import compare
from rai_pipelines.assessments.validation.suite_files import KWARGS, read_suite
from rai_pipelines.assessments.validation.write_suites import derived_suites
from rai_pipelines.errors import DataError
from rai_pipelines_tests.assessments.validation.applicants import applicants, context_of, find, outcomes

PARAMETERS = DataValidationParameters()


def written(folder: Path, **columns: Any) -> tuple[Any, dict[str, str]]:
    context = context_of(folder, applicants(600, 1), applicants(300, 2), **columns)
    sources = {name: context.table(name) for name in ("training", "evaluation")}
    return context, derived_suites(context.subject.datasheet, sources, PARAMETERS, has_model=False)


def test_great_expectations_reads_the_file_and_writes_the_same_expectations(tmp_path: Path) -> None:
    import great_expectations as gx
    from great_expectations.core.expectation_suite import expectationSuiteSchema

    context, texts = written(tmp_path)
    for text in texts.values():
        suite = gx.ExpectationSuite(**expectationSuiteSchema.load(json.loads(text)))
        ours, theirs = json.loads(text)["expectations"], suite.to_json_dict()["expectations"]
        assert [(item["type"], item["severity"], item["meta"]) for item in ours] == [
            (item["type"], item["severity"], item["meta"]) for item in theirs
        ]
        for item, other in zip(ours, theirs, strict=True):
            assert item["kwargs"].items() <= other["kwargs"].items(), item["type"]
        facts = json.loads(text)["meta"]["rai"]
        assert facts["derived_from"]["datasheet"] == context.subject.datasheet.digest
        assert facts["derived_from"]["profile"].startswith("sha256:")


def test_writing_twice_gives_the_same_text(tmp_path: Path) -> None:
    assert written(tmp_path)[1] == written(tmp_path)[1]


def test_an_unedited_file_changes_nothing_but_says_that_it_was_used(tmp_path: Path) -> None:
    context, texts = written(tmp_path)
    model = place(tmp_path, texts)
    derived = assess_data_validation(context, PARAMETERS)
    from_file = assess_data_validation(context_of(tmp_path, applicants(600, 1), applicants(300, 2), model_folder=model), PARAMETERS)
    assert from_file.details["suite"] == derived.details["suite"]
    told: Any = from_file.details["suite_files"]
    assert told["evaluation"]["from"] == "suite file" and told["evaluation"]["digest"].startswith("sha256:")
    assert told["evaluation"]["changes"]["counts"] == {"added": 0, "removed": 0, "loosened": 0, "tightened": 0}
    assert outcomes(from_file, "suite_file_to_be_no_looser_than_derived") == {("training", None): True, ("evaluation", None): True}
    assert outcomes(derived, "suite_file_to_be_no_looser_than_derived") == {}


def test_edits_are_used_and_loosening_is_told_by_name(tmp_path: Path) -> None:
    _, texts = written(tmp_path)
    suite = json.loads(texts["evaluation"])
    kept = []
    for item in suite["expectations"]:
        column, kind = item["kwargs"].get("column"), item["type"]
        if (kind, column) == ("expect_column_to_exist", "hired") or (kind, column) == ("expect_column_values_to_be_in_set", "degree"):
            continue
        if (kind, column) == ("expect_column_values_to_be_between", "age"):
            item["kwargs"] |= {"min_value": 0, "max_value": 500}
        if (kind, column) == ("expect_column_values_to_not_be_null", "score"):
            item["kwargs"]["mostly"] = 1.0
        kept.append(item)
    kept.append({"type": "expect_column_values_to_match_regex", "kwargs": {"column": "sex", "regex": "^[FM]$"}, "severity": "warning"})
    model = place(tmp_path, {"evaluation": json.dumps(suite | {"expectations": kept})})
    evaluation = applicants(300, 2).drop(columns="hired")
    evaluation.loc[:2, "age"] = 300
    measured = assess_data_validation(context_of(tmp_path, applicants(600, 1), evaluation, model_folder=model), PARAMETERS)
    told: Any = measured.details["suite_files"]
    changes = told["evaluation"]["changes"]
    assert changes["loosened"] == ["expect_column_values_to_be_between(age)"]
    assert "expect_column_values_to_be_in_set(degree)" in changes["removed"] and "expect_column_to_exist(hired)" in changes["removed"]
    assert changes["tightened"] == ["expect_column_values_to_not_be_null(score)"]
    assert "expect_column_values_to_match_regex(sex)" in changes["added"]
    assert told["training"]["from"] != "suite file"
    assert outcomes(measured, "expect_column_values_to_be_between")["evaluation", "age"] is True, "the edited range holds"
    assert outcomes(measured, "expect_column_to_exist")["evaluation", "hired"] is False, "a file cannot switch off what the datasheet asks"
    assert outcomes(measured, "suite_file_to_be_no_looser_than_derived") == {("evaluation", None): False}
    assert find(measured, "suite_expectations_loosened", group="evaluation")[0].value == 1


def place(folder: Path, texts: dict[str, str]) -> Path:
    model = folder / "model"
    (model / "expectations").mkdir(parents=True)
    for name, text in texts.items():
        (model / "expectations" / f"{name}.json").write_text(text, encoding="utf-8")
    return model


def one(kind: str = "expect_column_values_to_be_between", **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": {"column": "age", **kwargs}, "severity": "warning"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"expectations": [one("expect_column_values_to_match_json_schema")]}, "expectation 1 .*is not on the allow-list"),
        ({"expectations": [one(min_value=1), one("expect_column_kl_divergence_to_be_less_than")]}, "expectation 2"),
        ({"expectations": [one(min_value=1, row_condition="__import__('os')", condition_parser="pandas")]}, "takes no 'condition_parser', 'row_con"),
        ({"expectations": [one(min_value=2, max_value=1)]}, "min_value is above max_value"),
        ({"expectations": [one()]}, "neither min_value nor max_value"),
        ({"expectations": [one(min_value="yesterday")]}, "ISO 8601"),
        ({"expectations": [one(min_value=1, mostly=1.5)]}, "mostly is a share"),
        ({"expectations": [one(min_value=True)]}, "are numbers or ISO 8601 times"),
        ({"expectations": [one("expect_column_values_to_match_regex", regex="(a+)+$")]}, "a group is repeated"),
        ({"expectations": [one("expect_column_values_to_be_in_set", value_set=[[1]])]}, "value_set is a list"),
        ({"expectations": [one("expect_column_values_to_be_unique", column="a\x1b[2J")]}, "names no column"),
        ({"expectations": [one(min_value=1) | {"severity": "info"}]}, "write critical or warning"),
        ({"expectations": [one(min_value=1), one(min_value=2)]}, "twice"),
        ({"expectations": [one(min_value=1)] * 2_001}, "1 to 2,000 expectations"),
        ({"expectations": []}, "1 to 2,000 expectations"),
        ({"expectations": [one(min_value=1)], "meta": {"rai": {"table": "training"}}}, "suite of the 'training' table"),
        ([], "has no list"),
        ('{"expectations": [], "expectations": []}', "a key stands twice"),
        ('{"expectations": [NaN]}', "NaN is no JSON number"),
        ("[" * 200_000, "is no JSON"),
        ("\xff", "is no JSON|1 to"),
        ("", "is empty"),
        (" " * 1_000_001, "larger than"),
    ],
)
def test_what_is_not_allowed_is_refused_with_file_and_expectation(tmp_path: Path, content: Any, why: str) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="latin-1")
    with pytest.raises(DataError, match=why) as refused:
        read_suite(path, "evaluation")
    assert "evaluation.json" in str(refused.value) and str(tmp_path) not in str(refused.value)


def test_a_link_to_another_file_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"expectations": [one(min_value=1)]}))
    (tmp_path / "evaluation.json").symlink_to(secret)
    with pytest.raises(DataError, match="is no plain file"):
        read_suite(tmp_path / "evaluation.json", "evaluation")


def between(**kwargs: Any) -> Planned:
    return Planned("evaluation", "ExpectColumnValuesToBeBetween", kwargs.pop("severity", "critical"), "w", "age", kwargs)


def among(*values: Any) -> Planned:
    return Planned("evaluation", "ExpectColumnValuesToBeInSet", "warning", "w", "degree", {"value_set": list(values)})


@pytest.mark.parametrize(
    ("before", "now", "kind"),
    [
        (between(min_value=1, max_value=9), between(min_value=1, max_value=9), None),
        (between(min_value=1, max_value=9), between(min_value=0, max_value=9), "loosened"),
        (between(min_value=1, max_value=9), between(min_value=1), "loosened"),
        (between(min_value=1, max_value=9), between(min_value=2, max_value=9), "tightened"),
        (between(min_value=1, max_value=9), between(min_value=2, max_value=10), "loosened"),
        (between(min_value=1, strict_min=True), between(min_value=1), "loosened"),
        (between(min_value=1), between(min_value=1, strict_min=True), "tightened"),
        (between(min_value=1), between(min_value=1, mostly=0.9), "loosened"),
        (between(min_value=1), between(min_value=1, severity="warning"), "loosened"),
        (among("a", "b"), among("a", "b", "c"), "loosened"),
        (among("a", "b"), among("a"), "tightened"),
        (among("a", "b"), among("b", "a"), None),
        (among(1), among(True), "loosened"),
    ],
)
def test_loosening_is_told_from_tightening(before: Planned, now: Planned, kind: str | None) -> None:
    changes = compare([before], [now])
    assert {"loosened": bool(changes.loosened), "tightened": bool(changes.tightened)} == {
        "loosened": kind == "loosened",
        "tightened": kind == "tightened",
    }
    assert bool(changes.kept_critical) == (kind == "loosened" and before.severity == "critical")


def test_without_a_file_the_derived_suite_runs() -> None:
    chosen = choose([between(min_value=1)], None)
    assert chosen.planned == (between(min_value=1),)
    assert chosen.as_detail() == {"from": "derived from datasheet and training profile", "digest": None, "changes": None}


def test_arguments_are_declared_for_every_allowed_expectation() -> None:
    from rai_pipelines.assessments.validation.executors import ALLOWED

    assert set(KWARGS) == set(ALLOWED)
