"""One row explained: the reasons in words, the change that turns it, and where the row comes from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.assessments.explanations.explained_model import open_explained
from rai_pipelines.assessments.explanations.row import explain_row, find_row
from rai_pipelines.assessments.explanations.shapley import Explainer, choose_explainer
from rai_pipelines.assessments.explanations.words import rounded
from rai_pipelines.errors import DataError, ModelError
from rai_pipelines.tables.source import table_of
from rai_pipelines_tests.assessments.explanations.explained_subjects import FEATURES, RuleModel, context_of, people, sheet_of, write_tables

SHEET = sheet_of()
RULE = RuleModel(
    lambda frame: ((frame["income"] > 40) & (frame["sex"] == 1)).astype(int),
    lambda frame: 0.2 + 0.3 * (frame["income"] > 40) + 0.4 * (frame["sex"] == 1),
)


@pytest.fixture
def explainer(tmp_path: Path) -> Explainer:
    write_tables(tmp_path)
    explained = open_explained(context_of(tmp_path, RULE, SHEET), pool_rows=300)
    return choose_explainer(explained, background_rows=30, permutations=2, tolerance=1e-3, seed=11)


def row_of(**changes: object) -> pd.DataFrame:
    return people(1, 3)[FEATURES].assign(**{"age": 30, "income": 35.0, "visits": 2, "job": "cook", "sex": 1, **changes})


def test_reasons_say_what_lowered_and_raised_the_score_by_how_much_and_what_codes_mean(explainer: Explainer) -> None:
    made = explain_row(explainer, row_of(), SHEET.columns, lime_samples=200, seed=4)
    values = {item.feature: item for item in made.contributions}
    assert made.favourable is False
    assert (made.score, made.explained) == (pytest.approx(0.6), "probability")
    assert made.lowered == (f"income = 35 lowered the score by {rounded(-values['income'].shapley)}",)
    assert made.raised == (f"sex = 1 (Male) raised the score by {rounded(values['sex'].shapley)}",)
    known = explainer.background
    assert values["sex"].shapley == pytest.approx(0.4 * (1 - (known["sex"] == 1).mean()))
    assert values["income"].shapley == pytest.approx(-0.3 * (known["income"] > 40).mean())
    assert made.base + sum(item.shapley for item in made.contributions) == pytest.approx(made.output)
    assert all(item.lime is not None for item in made.contributions)
    assert values["visits"].lime == pytest.approx(0.0, abs=0.05)


def test_the_counterfactual_is_the_change_that_turns_the_decision(explainer: Explainer) -> None:
    made = explain_row(explainer, row_of(), SHEET.columns, lime_samples=100, seed=4)
    assert made.no_counterfactual is None
    assert made.counterfactual is not None
    (change,) = made.counterfactual.changes
    assert (change.feature, change.before) == ("income", "35")
    assert 40 < float(change.after) < 42
    assert made.counterfactual.favourable is True
    assert made.counterfactual.output == pytest.approx(0.9)


def test_where_only_a_protected_input_would_turn_it_none_is_suggested(explainer: Explainer) -> None:
    made = explain_row(explainer, row_of(sex=2, income=60.0), SHEET.columns, lime_samples=100, seed=4)
    assert made.counterfactual is None
    assert made.no_counterfactual == "none was found among changes of income, visits, job; that does not prove that there is none"


def test_a_value_that_training_never_saw_is_said(explainer: Explainer) -> None:
    with pytest.raises(ModelError, match="never saw"):
        explain_row(explainer, row_of(job="astronaut"), SHEET.columns, lime_samples=100, seed=4)


def test_the_same_row_gets_the_same_explanation(explainer: Explainer) -> None:
    first, second = (explain_row(explainer, row_of(), SHEET.columns, lime_samples=100, seed=4) for _ in range(2))
    assert first == second
    assert first.inputs_digest != explain_row(explainer, row_of(visits=3), SHEET.columns, lime_samples=100, seed=4).inputs_digest


def test_a_row_is_found_by_number_and_by_text() -> None:
    frame = people(50, 1).assign(code=[f"c{at}" for at in range(50)], part=np.arange(50) / 4)
    source = table_of(frame, name="evaluation")
    for key, wanted in (("row", "1007"), ("code", "c7"), ("part", "1.75")):
        found = find_row(source, key, wanted, tuple(FEATURES))
        assert list(found.columns) == FEATURES
        assert found["income"].tolist() == [frame["income"].iloc[7]]


@pytest.mark.parametrize(
    ("key", "wanted", "told"),
    [
        ("row", "5", "the evaluation table has no row with row = '5'"),
        ("row", "Robert'); DROP TABLE", "has no row with row = "),
        ("code", "x", "has no row with code = 'x'"),
        ("job", "cook", "has more than one row with job = 'cook'"),
        ("nope", "1", "the evaluation table has no column 'nope'"),
    ],
)
def test_a_row_that_is_not_there_or_not_alone_is_an_error_with_table_and_column(key: str, wanted: str, told: str) -> None:
    source = table_of(people(50, 1).assign(code="a"), name="evaluation")
    with pytest.raises(DataError) as error:
        find_row(source, key, wanted, tuple(FEATURES))
    assert told in str(error.value)


@pytest.mark.parametrize(("amount", "text"), [(0.1134, "0.11"), (12345.0, "12000"), (0.00000123, "0.0000012"), (1.0, "1")])
def test_amounts_are_written_without_powers_of_ten(amount: float, text: str) -> None:
    assert rounded(amount) == text
