"""Importance, dependence, the surrogate tree and protected drivers, on models that are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.assessments.explanations.drivers import driver_figures, groups_of
from rai_pipelines.assessments.explanations.explained_model import ExplainedModel, open_explained
from rai_pipelines.assessments.explanations.global_view import dependence, importance_figures
from rai_pipelines.assessments.explanations.surrogate import measure_surrogate
from rai_pipelines.assessments.privacy.proxies import proxy_measurements
from rai_pipelines.evidence.model import State
from rai_pipelines.subjects.datasheet import ProtectedAttribute
from rai_pipelines_tests.assessments.explanations.explained_subjects import DATASHEET, RuleModel, context_of, people, sheet_of, write_tables


def opened(folder: Path, model: RuleModel, text: str = DATASHEET) -> tuple[ExplainedModel, np.ndarray]:
    """The model, and vectors of 400 evaluation rows."""
    _, evaluation = write_tables(folder)
    explained = open_explained(context_of(folder, model, sheet_of(text)), pool_rows=400)
    return explained, explained.space.encode(evaluation)


NOTHING = RuleModel(lambda frame: np.ones(len(frame)), lambda frame: np.full(len(frame), 0.5))


def surrogate(explained: ExplainedModel, held_out: np.ndarray, **changes: Any) -> Any:
    given: dict[str, Any] = {"depth": 4, "least": 10, "level": 0.9, "resamples": 300, "hidden": frozenset(), "seed": (1, 2)}
    return measure_surrogate(explained, explained.space.encode(people(1500, 3)), held_out, **{**given, **changes})


def test_importance_is_the_mean_size_with_an_interval_that_holds_it_most_of_the_time(tmp_path: Path) -> None:
    explained, _ = opened(tmp_path, NOTHING)
    covered = 0
    for seed in range(100):
        values = np.random.default_rng(seed).normal(size=(80, 5)) * [1.0, 2.0, 3.0, 0.0, 0.5]
        figures = importance_figures(explained.space, values, level=0.9, resamples=400, least=20, unit="probability", seed=(seed,))
        assert [figure.attribute for figure in figures] == ["visits", "income", "age", "sex", "job"]
        assert figures[0].value == pytest.approx(np.abs(values[:, 2]).mean())
        assert figures[-1].value == 0.0
        interval = figures[0].interval
        assert interval is not None
        covered += interval.low <= 3.0 * np.sqrt(2 / np.pi) <= interval.high
    assert 80 <= covered <= 98


def test_no_explained_row_gives_no_importance(tmp_path: Path) -> None:
    explained, _ = opened(tmp_path, NOTHING)
    figures = importance_figures(explained.space, np.empty((0, 5)), level=0.9, resamples=300, least=20, unit="probability", seed=(1,))
    assert {figure.state for figure in figures} == {State.UNDEFINED}


def test_dependence_shows_no_bin_of_few_rows_and_no_hidden_input(tmp_path: Path) -> None:
    explained, vectors = opened(tmp_path, NOTHING)
    names = explained.space.names
    vectors[:7, names.index("income")] = np.nan
    values = np.tile(np.nan_to_num(vectors[:, [names.index("visits")]]), (1, 5))
    shown = dependence(explained.space, vectors, values, least=25, hidden=frozenset({"age"}))
    assert set(shown) == {"income", "visits", "job", "sex"}
    for bins in shown.values():
        assert sum(part["rows"] for part in bins) == len(vectors)
        assert all((part["mean"] is None) == (part["rows"] < 25) for part in bins)
    assert shown["income"][-1] == {"value": "too few rows to show", "rows": 7, "mean": None}
    means = [part["mean"] for part in shown["visits"]]
    assert means == sorted(means)
    assert all(float(part["below"] or 0).is_integer() for part in shown["visits"])


def test_a_rule_of_two_conditions_is_imitated_and_told_in_words(tmp_path: Path) -> None:
    rule = RuleModel(lambda frame: ((frame["job"] == "nurse") & (frame["visits"] >= 3)).astype(int), lambda frame: frame["income"] / 200)
    explained, held_out = opened(tmp_path, rule)
    (fidelity, lead), told = surrogate(explained, held_out)
    truth = explained.decisions_at(held_out)
    assert (fidelity.value, fidelity.n) == (1.0, len(held_out))
    assert lead.value == pytest.approx(truth.mean())
    (rule_for,) = [one for one in told["rules"] if one["decision"] == "favourable"]
    assert set(rule_for["when"]) == {"job is nurse", "visits is 3 or more"}
    assert sum(one["share_of_rows"] for one in told["rules"]) == pytest.approx(1.0, abs=0.01)


def test_fidelity_is_what_the_printed_rules_give_on_rows_that_the_tree_has_not_seen(tmp_path: Path) -> None:
    rule = RuleModel(lambda frame: (frame["income"] + 6 * frame["visits"] > 70).astype(int), lambda frame: frame["income"] / 200)
    explained, held_out = opened(tmp_path, rule)
    (fidelity, lead), told = surrogate(explained, held_out)
    frame = explained.rows_of(held_out)

    def holds(condition: str) -> np.ndarray:
        name, rest = condition.split(" is ", 1)
        if rest.startswith("below "):
            return (frame[name] < float(rest.removeprefix("below "))).to_numpy()
        if rest.endswith(" or more"):
            return (frame[name] >= float(rest.removesuffix(" or more"))).to_numpy()
        wanted = rest.removeprefix("not ")
        return (frame[name].astype(str) == wanted).to_numpy() != rest.startswith("not ")

    said = np.zeros(len(frame), dtype=int)
    for one in told["rules"]:
        said[np.logical_and.reduce([holds(condition) for condition in one["when"]])] = one["decision"] == "favourable"
    agreement = float((said == explained.decisions_at(held_out)).mean())
    assert fidelity.value == pytest.approx(agreement)
    assert 0.85 < agreement < 1.0
    assert lead.value is not None
    assert 0 < lead.value < agreement


def test_a_constant_decision_is_imitated_without_any_lead(tmp_path: Path) -> None:
    explained, held_out = opened(tmp_path, NOTHING)
    (fidelity, lead), told = surrogate(explained, held_out)
    assert (fidelity.value, lead.value) == (1.0, 0.0)
    assert [one["when"] for one in told["rules"]] == [["always"]]


def test_amounts_are_imitated_by_the_share_of_variance(tmp_path: Path) -> None:
    rule = RuleModel(lambda frame: np.where(frame["job"] == "pilot", 300.0, 100.0) + frame["visits"])
    explained, held_out = opened(tmp_path, rule, DATASHEET + "task: regression\n")
    (fidelity,), told = surrogate(explained, held_out)
    assert fidelity.value is not None
    assert fidelity.interval is not None
    assert 0.99 < fidelity.interval.low <= fidelity.value <= 1.0
    assert "R squared" in str(fidelity.note)
    assert all("output" in one for one in told["rules"])


def test_rules_name_no_hidden_input_and_no_rare_category(tmp_path: Path) -> None:
    rule = RuleModel(lambda frame: ((frame["age"] > 40) | (frame["job"] == "cook")).astype(int), lambda frame: frame["income"] / 200)
    explained, held_out = opened(tmp_path, rule)
    few = explained.space.encode(people(1500, 3))
    few = few[(few[:, explained.space.names.index("job")] != 0) | (np.arange(1500) % 60 == 0)]  # some ten cooks are left
    _, told = measure_surrogate(explained, few, held_out, depth=4, least=30, level=0.9, resamples=300, hidden=frozenset({"age"}), seed=(1, 2))
    text = json.dumps(told)
    assert "age" not in text
    assert "cook" not in text


def test_a_protected_input_is_named_with_its_share_and_its_stand_in_with_its_area(tmp_path: Path) -> None:
    explained, _ = opened(tmp_path, NOTHING)
    rows = people(900, 5)
    rows["job"] = np.where(rows["sex"] == 1, "cook", "pilot")
    importance = np.array([0.0, 0.3, 0.0, 0.5, 0.2])  # age, income, visits, job, sex
    attributes = {"sex": ProtectedAttribute(), "region": ProtectedAttribute()}
    rows["region"] = np.where(rows["income"] > 50, "north", "south")
    figures = driver_figures(
        explained.space, importance, rows, attributes, categorical=["job", "sex"], explained_rows=60, min_group=50, level=0.9, seed=1, table_rows=900
    )
    shares = {item.attribute: item.value for item in figures if item.metric == "protected_driver_share"}
    assert shares == {"sex": pytest.approx(0.2), "region": 0.0}
    areas = {(item.attribute, item.group): item for item in figures if item.metric == "proxy_driver"}
    assert set(areas) == {("sex", "income"), ("sex", "job"), ("region", "income"), ("region", "job"), ("region", "sex")}
    assert areas["sex", "job"].value == 1.0
    assert str(areas["sex", "job"].note).startswith("50.0% of all contributions")
    assert (areas["region", "income"].value or 0) > 0.95
    assert (areas["sex", "income"].value or 1) < 0.6
    groups = {"sex": groups_of(rows["sex"], attributes["sex"])}
    (own,) = [
        item
        for item in proxy_measurements(rows[["income"]], groups, ["income"], categorical=[], min_group=50, level=0.9, seed=1, rows=900)
        if item.group == "income"
    ]
    assert own.value == pytest.approx(areas["sex", "income"].value or 0, abs=0.05)


def test_groups_are_named_as_elsewhere_and_unknown_ones_are_left_out() -> None:
    bands = groups_of(pd.Series([17.0, 18, 30, 64, 65, np.nan]), ProtectedAttribute(bins=(18, 35, 65)))
    assert bands.tolist() == [None, "[18, 35)", "[18, 35)", "[35, 65)", None, None]
    assert groups_of(pd.Series([1.0, 9, np.nan]), ProtectedAttribute(unknown=("9",))).tolist() == ["1", None, None]


def test_the_columns_of_a_one_hot_group_are_one_driver(tmp_path: Path) -> None:
    text = DATASHEET.replace("visits, job, sex]", "visits, job_cook, job_nurse, sex]").replace("[job, sex]", "[sex]")
    text += "robustness: {one_hot: [[job_cook, job_nurse]]}\n"
    names = ("age", "income", "visits", "job_cook", "job_nurse", "sex")
    for name, seed in (("training", 1), ("evaluation", 2)):
        frame = people(400, seed)
        hot = pd.get_dummies(frame["job"]).astype(int)
        frame.assign(job_cook=hot["cook"], job_nurse=hot["nurse"]).to_parquet(tmp_path / f"{name}.parquet")
    model = RuleModel(lambda frame: np.ones(len(frame)), lambda frame: 0.3 + 0.4 * frame["job_cook"], features=names)
    explained = open_explained(context_of(tmp_path, model, sheet_of(text)), pool_rows=200)
    assert explained.space.names == ("age", "income", "visits", "job_cook|job_nurse", "sex")
    rows = pd.read_parquet(tmp_path / "evaluation.parquet")
    rows["sex"] = np.where(rows["job_cook"] == 1, 1, 2)
    figures = driver_figures(
        explained.space, np.array([0, 0, 0, 1.0, 0]), rows, {"sex": ProtectedAttribute()}, categorical=["sex"], explained_rows=10, min_group=50,
        level=0.9, seed=1, table_rows=400,
    )  # fmt: skip
    (area,) = [item for item in figures if item.metric == "proxy_driver"]
    assert (area.group, area.value) == ("job_cook|job_nurse", 1.0)
