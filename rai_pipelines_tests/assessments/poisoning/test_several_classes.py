"""The poisoning check on a classifier of three classes: what it looks for is found where it was planted, and not where it was not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.naive_bayes import GaussianNB

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.poisoning.material import Rows, targets
from rai_pipelines.assessments.poisoning.poisoning import assess_poisoning
from rai_pipelines.assessments.security.robust_sample import Outcomes
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.model import State, Status
from rai_pipelines.subjects.datasheet import ProtectedAttribute, parse_datasheet
from rai_pipelines.subjects.model_files import CheckedModel
from rai_pipelines.subjects.model_formats import query_of
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import Subject
from rai_pipelines_tests.assessments.poisoning.test_poisoning import FEATURES, FEW, SHEET, one, people

CLASSES = ("none", "part", "full")
SMALL = FEW.model_copy(update={"influence_rows": 4, "half_refits": 4})


def workers(rows: int, seed: int) -> pd.DataFrame:
    """How much somebody works follows income and age closely."""
    frame = people(rows, seed)
    work = (frame.income - 50) / 4 + (frame.age - 44) / 15 + np.random.default_rng([seed, 1]).logistic(size=rows)
    return frame.assign(y=np.array(CLASSES)[np.digitize(work, [-1.5, 1.5])])


def context(folder: Path, native: Any, training: pd.DataFrame, *, favourable: str | None = "full", source: bool = False) -> AuditContext:
    training.to_parquet(folder / "training.parquet")
    workers(900, 99).to_parquet(folder / "evaluation.parquet")
    more = "task: multiclass_classification\ncolumns:\n  classes: [none, part, full]\n" + (
        f"  favourable_outcome: {favourable}\n" if favourable else ""
    )
    text = SHEET.replace("columns:\n", more).replace("SOURCE", "source: office" if source else "")
    model = CheckedModel(query_of(native, "test"), tuple(FEATURES), "1", "model")
    sheet = parse_datasheet(text, source="datasheet.yaml")
    return AuditContext(Subject(ModelVersion("m", "1"), sheet, folder, None, folder, lambda _folder, _sheet: model), 3, folder / "scratch")


def fitted(training: pd.DataFrame) -> Any:
    return GaussianNB().fit(training[FEATURES], training.y)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    training = workers(600, 1)
    return assess_poisoning(context(tmp_path_factory.mktemp("clean"), fitted(training), training, source=True), FEW)


def test_flipped_labels_of_a_class_in_a_group_lower_its_selection_and_few_random_ones_hardly_anything(clean: Measured) -> None:
    assert clean.status is Status.COMPLETE
    aimed = one(clean, "targeted_flip_impact_ratio_change", attribute="sex", group="0.3")
    assert (aimed.comparison, aimed.reference, aimed.outcome, aimed.state) == ("2", "1", "full", State.MEASURED)
    assert aimed.interval is not None and aimed.interval.high < -0.1
    little = one(clean, "random_flip_accuracy_drop", group="0.05")
    assert little.value is not None and abs(little.value) < 0.03 and little.outcome is None
    agreement = one(clean, "refit_agreement")
    assert agreement.value is not None and agreement.value > 0.97


def test_planted_wrong_labels_are_found_and_rows_with_true_ones_are_not(clean: Measured) -> None:
    planted, nothing = one(clean, "planted_label_auc"), one(clean, "unplanted_label_auc")
    assert planted.value is not None and planted.value > 0.8 and planted.denominator == 60
    assert nothing.interval is not None and nothing.interval.low < 0.5 < nothing.interval.high
    assert one(clean, "contradicted_label_share").state is State.MEASURED


def test_sources_that_are_alike_are_not_called_harmful_and_the_planted_one_is_found(clean: Measured) -> None:
    harmful = one(clean, "harmful_sources")
    assert (harmful.value, harmful.denominator, harmful.state) == (0.0, 4, State.MEASURED)
    found, nothing = one(clean, "planted_source_loss_change"), one(clean, "unplanted_source_loss_change")
    assert found.interval is not None and found.interval.high < 0
    assert nothing.interval is not None and nothing.interval.low < 0 < nothing.interval.high


def test_an_office_whose_labels_name_the_next_class_is_named(tmp_path: Path) -> None:
    training = workers(600, 4)
    other = training.y.map(dict(zip(CLASSES, (*CLASSES[1:], CLASSES[0]), strict=True)))
    training["y"] = np.where(training.office == "west", other, training.y)
    measured = assess_poisoning(context(tmp_path, fitted(training), training, source=True), SMALL)
    sources: Any = measured.details["sources"]
    assert sources["harmful"] == ["west"]
    change = one(measured, "source_removal_loss_change", group="west")
    assert change.interval is not None and change.interval.high < 0


def test_labels_of_pure_chance_make_the_controls_fail_so_nothing_is_concluded(tmp_path: Path) -> None:
    training = workers(600, 5)
    training["y"] = np.random.default_rng(8).choice(CLASSES, len(training))
    measured = assess_poisoning(context(tmp_path, fitted(training), training, source=True), FEW)
    assert one(measured, "contradicted_label_share").state is State.INSUFFICIENT
    assert one(measured, "harmful_sources").state is State.INSUFFICIENT


def test_the_influence_of_a_row_is_that_of_a_refit_by_hand(tmp_path: Path) -> None:
    training = workers(150, 2)
    audit = context(tmp_path, fitted(training), training)
    few = SMALL.model_copy(update={"rows": 150, "influence_rows": 150, "half_refits": 0, "max_refits": 20})
    measured = assess_poisoning(audit, few)
    evaluation = workers(900, 99)
    whole = fitted(training)

    def changed(row: int) -> int:
        rest = training.drop(index=row)
        return int((clone(whole).fit(rest[FEATURES], rest.y).predict(evaluation[FEATURES]) != whole.predict(evaluation[FEATURES])).sum())

    # the check asks about 800 of the 900 rows
    most = one(measured, "row_influence_maximum")
    assert most.value is not None and abs(most.value * 800 - max(map(changed, range(150)))) <= 3


def test_without_a_favourable_class_the_one_in_which_a_group_lies_furthest_behind_is_aimed_at() -> None:
    group = np.repeat(["a", "b"], 100)
    rows = Rows(pd.DataFrame(), np.zeros(200, dtype=int), {"sex": group})
    decisions = np.concatenate([np.repeat([0, 1, 2], [40, 40, 20]), np.repeat([0, 1, 2], [60, 35, 5])])
    declared = {"sex": ProtectedAttribute(reference="a")}
    (aim,), _ = targets(declared, rows, rows, decisions, least=10, outcomes=Outcomes("1", CLASSES))
    assert (aim.group, aim.reference, aim.name) == ("b", "a", "full")
    (aim,), _ = targets(declared, rows, rows, decisions, least=10, outcomes=Outcomes("part", CLASSES))
    assert aim.name == "part"


def test_a_class_too_rare_to_learn_is_named_and_nothing_is_concluded(tmp_path: Path) -> None:
    training = workers(600, 1)
    training.loc[np.flatnonzero(training.y == "full")[10:], "y"] = "part"
    measured = assess_poisoning(context(tmp_path, fitted(training), training), FEW)
    assert {item.state for item in measured.measurements} == {State.INSUFFICIENT, State.UNAVAILABLE}
    assert "'full', has 10 rows" in str(one(measured, "random_flip_accuracy_drop").note)


def test_a_class_that_the_datasheet_does_not_name_is_an_error_that_names_it(tmp_path: Path) -> None:
    training = workers(300, 1)
    audit = context(tmp_path, fitted(training), training.assign(y=training.y.replace("none", "zero")))
    with pytest.raises(DataError, match="zero"):
        assess_poisoning(audit, FEW)
