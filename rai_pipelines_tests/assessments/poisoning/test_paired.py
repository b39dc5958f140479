"""Intervals over seeds and rows, against simulation; single rows, against refits made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rai_pipelines.assessments.poisoning.material import Material, read_rows
from rai_pipelines.assessments.poisoning.paired import loss_difference, ratio_difference
from rai_pipelines.assessments.poisoning.row_influence import left_out_rows
from rai_pipelines.assessments.refits import LEFT_OUT, Plan, answers_of_refits
from rai_pipelines_tests.assessments.poisoning.test_poisoning import FEATURES, context, fitted, logistic, people


def test_intervals_cover_at_their_level_when_seeds_and_rows_vary() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        by_seed, by_row = rng.normal(0, 0.03, (5, 1)), rng.normal(0, 0.3, (1, 200))
        losses = 0.2 + 0.05 + by_seed + by_row + rng.normal(0, 0.1, (5, 200))
        limits = loss_difference(losses, np.full((5, 200), 0.2), 0.90).figure.interval
        covered += limits.low <= 0.05 <= limits.high
    assert 0.88 <= covered / 400 <= 0.97


def test_no_changed_decision_still_has_an_interval_as_wide_as_the_rule_of_three() -> None:
    same = np.zeros((3, 500))
    figure = loss_difference(same, same, 0.90).figure
    assert figure.value == 0.0
    assert figure.interval.high == pytest.approx(3 / 500, rel=0.1)


def test_the_change_of_a_ratio_covers_its_truth() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        person = rng.random(600)
        group = np.arange(600) < 200
        before = np.tile(person < np.where(group, 0.4, 0.5), (4, 1))
        after = np.tile(person < np.where(group, 0.3, 0.5), (4, 1))
        found = ratio_difference(after, before, group, ~group, 0.90)
        assert found is not None
        limits = found.figure.interval
        covered += limits.low <= 0.6 - 0.8 <= limits.high
    assert 0.86 <= covered / 400 <= 0.97


def test_nobody_selected_in_the_reference_gives_no_ratio() -> None:
    nobody = np.zeros((2, 10), dtype=bool)
    assert ratio_difference(nobody, nobody, np.arange(10) < 5, np.arange(10) >= 5, 0.9) is None


def test_the_influence_of_a_row_is_what_a_refit_without_it_changes(tmp_path: Path) -> None:
    training = people(50, 3)
    audit = context(tmp_path, fitted(training), training)
    model = audit.subject.load_model()
    rows, asked = (read_rows(audit, name, tuple(FEATURES), 2_000, salt=1) for name in ("training", "evaluation"))
    clean = answers_of_refits(model, rows.frame[FEATURES], asked.frame[FEATURES], [Plan(rows.truth, 1), Plan(rows.truth, 2)])
    material = Material(model, tuple(FEATURES), rows, asked, clean.decisions[0], (1, 2), clean, 2)
    made = {item.metric: item for item in left_out_rows(material, rows=50, least=0.004, level=0.9, seed=(1,))}
    whole = logistic().fit(rows.frame[FEATURES], rows.truth).predict(asked.frame[FEATURES])
    by_hand = []
    for at in range(50):
        kept = np.arange(50) != at
        by_hand.append((logistic().fit(rows.frame[FEATURES][kept], rows.truth[kept]).predict(asked.frame[FEATURES]) != whole).mean())
    assert max(by_hand) > 0.004
    assert made["row_influence_maximum"].value == pytest.approx(max(by_hand))
    assert made["row_influence_mean"].value == pytest.approx(np.mean(by_hand))
    assert made["influential_row_share"].value == np.mean(np.array(by_hand) > 0.004)
    assert material.refits == 52


def test_a_refit_without_rows_is_a_fit_to_the_others(tmp_path: Path) -> None:
    training = people(120, 3)
    model = context(tmp_path, fitted(training), training).subject.load_model()
    labels = np.where(np.arange(120) < 40, LEFT_OUT, training.y)
    answers = answers_of_refits(model, training[FEATURES], training[FEATURES], [Plan(labels, 1)])
    expected = logistic().fit(training[FEATURES][40:], training.y[40:]).predict_proba(training[FEATURES])[:, 1]
    assert answers.scores is not None
    np.testing.assert_allclose(answers.scores[0], expected)
    np.testing.assert_array_equal(answers.decisions[0], expected > 0.5)
