"""What is said about the quality of explanations, on explanations whose quality is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from rai_pipelines.assessments.explanations.explained_model import open_explained
from rai_pipelines.assessments.explanations.parameters import ExplanationParameters, plan
from rai_pipelines.assessments.explanations.quality import (
    additivity_figures,
    agreement_figures,
    best_threshold_agreement,
    deletion_fidelity,
    stability_figures,
)
from rai_pipelines.assessments.explanations.shapley import Shapley, choose_explainer
from rai_pipelines.evidence.model import State
from rai_pipelines_tests.assessments.explanations.explained_subjects import RuleModel, context_of, sheet_of, write_tables


def test_shapley_values_find_what_moves_the_output_and_the_opposite_order_does_not(tmp_path: Path) -> None:
    write_tables(tmp_path)
    rule = RuleModel(lambda frame: np.ones(len(frame)), lambda frame: 1 / (1 + np.exp(-(frame["income"] - 50) / 5 - (frame["visits"] - 3) / 4)))
    explained = open_explained(context_of(tmp_path, rule, sheet_of()), pool_rows=200)
    explainer = choose_explainer(explained, background_rows=30, permutations=2, tolerance=1e-3, seed=1)
    frame = pd.read_parquet(tmp_path / "evaluation.parquet").head(60)
    rows, values = explained.space.encode(frame), explainer.explain(frame).values
    background = explained.space.encode(explainer.background)
    figures = [deletion_fidelity(explained, rows, order, background, repeats=5, level=0.9, least=20, seed=(1, 2)) for order in (values, -values)]
    for figure, sign in zip(figures, (1, -1), strict=True):
        assert figure.value is not None
        assert figure.interval is not None
        assert sign * figure.value > 0.05
        assert min(sign * figure.interval.low, sign * figure.interval.high) > 0
    nothing = deletion_fidelity(explained, rows[:0], values[:0], background, repeats=5, level=0.9, least=20, seed=(1, 2))
    assert (nothing.value, nothing.state) == (None, State.UNDEFINED)


def test_the_area_of_an_additive_rule_is_known_exactly(tmp_path: Path) -> None:
    """One of five inputs moves the output: first in Shapley order, at the middle place (third of five, on average) in a random one."""
    write_tables(tmp_path)
    rule = RuleModel(lambda frame: np.ones(len(frame)), lambda frame: (frame["income"] > 50) * 0.5 + 0.25)
    explained = open_explained(context_of(tmp_path, rule, sheet_of()), pool_rows=400)
    frame = pd.read_parquet(tmp_path / "evaluation.parquet")
    vectors = explained.space.encode(frame)
    high, low = vectors[frame["income"] > 50][:100], vectors[frame["income"] <= 50][:50]
    values = np.tile([0.0, 1.0, 0.0, 0.0, 0.0], (100, 1))
    background = np.concatenate([low, low])
    figure = deletion_fidelity(explained, high, values, background, repeats=40, level=0.9, least=20, seed=(3,))
    assert figure.value == pytest.approx(0.5 * (3 - 1) / 5, abs=0.02)


def test_stability_and_agreement_are_means_of_scipys_correlations_and_of_jaccards_index() -> None:
    rng = np.random.default_rng(4)
    first, second = rng.normal(size=(12, 12)), rng.normal(size=(12, 12))
    top, ranks = stability_figures([first, second], level=0.9, least=5)
    jaccard = [
        len(a & b) / len(a | b) for a, b in zip(*([set(np.argsort(-np.abs(row))[:5]) for row in part] for part in (first, second)), strict=True)
    ]
    assert top.value == pytest.approx(np.mean(jaccard))
    assert ranks.value == pytest.approx(np.mean([kendalltau(abs(a), abs(b)).statistic for a, b in zip(first, second, strict=True)]))
    correlation, overlap = agreement_figures(first, second, level=0.9, least=5)
    assert correlation.value == pytest.approx(np.mean([spearmanr(abs(a), abs(b)).statistic for a, b in zip(first, second, strict=True)]))
    assert overlap.value == pytest.approx(np.mean(jaccard))
    assert [item.value for item in stability_figures([first, first, first], level=0.9, least=5)] == [1.0, pytest.approx(1.0)]


def test_of_one_input_the_largest_is_certain_and_an_order_is_not_defined() -> None:
    top, ranks = stability_figures([np.ones((40, 1)), np.full((40, 1), 2.0)], level=0.9, least=5)
    assert (top.value, top.n, top.state) == (1.0, 40, State.MEASURED)
    assert top.interval is not None and (top.interval.low, top.interval.high, top.interval.method) == (1.0, 1.0, "by construction")
    assert (ranks.value, ranks.state) == (None, State.UNDEFINED)
    one = np.ones((40, 1))
    fidelity = deletion_fidelity(None, one, one, one, repeats=2, level=0.9, least=5, seed=(1,))  # type: ignore[arg-type]
    assert fidelity.value == 0.0 and fidelity.interval is not None and fidelity.interval.method == "by construction"


def test_rows_without_a_second_opinion_are_counted_and_not_used() -> None:
    values, weights = np.random.default_rng(1).normal(size=(2, 10, 4))
    weights[3] = np.nan
    weights[4] = 0.0  # ranks of equal weights say nothing
    correlation, overlap = agreement_figures(values, weights, level=0.9, least=5)
    assert (correlation.n, correlation.denominator) == (10, 8)
    assert (overlap.n, overlap.denominator) == (10, 9)
    absent = agreement_figures(values, weights, level=0.9, least=5, why_none="lime is not installed")
    assert [(item.value, item.state) for item in absent] == [(None, State.UNAVAILABLE)] * 2


def test_additivity_errors_leave_out_what_was_not_explained_and_coverage_does_not() -> None:
    values = np.zeros((200, 2))
    values[0] = np.nan
    errors = np.linspace(0, 0.2, 200)
    errors[0] = np.nan
    shapley = Shapley(values, np.zeros(200), errors)
    largest, high = additivity_figures(shapley, unit="probability")
    assert (largest.value, largest.n, largest.denominator) == (pytest.approx(0.2), 200, 199)
    assert high.value == pytest.approx(np.quantile(errors[1:], 0.99, method="inverted_cdf"))
    assert shapley.within(0.1).sum() == (errors[1:] <= 0.1).sum()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.integers(0, 1)), min_size=1, max_size=12))
def test_the_best_threshold_is_the_best_of_all(pairs: list[tuple[float, int]]) -> None:
    scores, decisions = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    limits = [*scores, np.inf]
    assert best_threshold_agreement(scores, decisions) == max(int(((scores >= limit) == decisions).sum()) for limit in limits)


def test_queries_are_bounded_and_what_was_cut_is_said() -> None:
    parameters = ExplanationParameters(max_queries=50_000)
    cheap, dear = (plan(parameters, features=20, by_answers=by_answers) for by_answers in (False, True))
    assert plan(ExplanationParameters(), features=20, by_answers=False).cut == {}
    assert dear.sample < cheap.sample <= parameters.sample
    assert dear.cut["sample"] == f"{dear.sample} rows instead of {parameters.sample}"
    assert min(dear.lime, dear.stability, dear.deletion, dear.counterfactual) >= 5


def test_inputs_that_contribute_nothing_are_among_the_largest_of_no_explanation() -> None:
    first, second = np.zeros((20, 12)), np.zeros((20, 12))
    first[:, 10], second[:, 11] = 1.0, 1.0  # two runs that name one input each, and not the same
    top, _ = stability_figures([first, second], level=0.9, least=5)
    assert top.value == 0.0
    first[:, 11] = 0.5
    top, _ = stability_figures([first, second], level=0.9, least=5)
    assert top.value == 0.5
    second[:10] = first[:10] = 0.0
    top, _ = stability_figures([first, second], level=0.9, least=5)
    assert (top.value, top.n, top.denominator) == (0.5, 20, 10)


def test_explanations_of_a_constant_model_are_not_called_stable_or_faithful(tmp_path: Path) -> None:
    """Nothing can be shown to be found where nothing moves: all values are zero, and agree by construction."""
    write_tables(tmp_path)
    explained = open_explained(context_of(tmp_path, RuleModel(lambda f: np.ones(len(f)), lambda f: np.full(len(f), 0.7)), sheet_of()), pool_rows=200)
    vectors = explained.space.encode(pd.read_parquet(tmp_path / "evaluation.parquet").head(30))
    nothing = np.zeros(vectors.shape)
    top, ranks = stability_figures([nothing, nothing, nothing], level=0.9, least=5)
    fidelity = deletion_fidelity(explained, vectors, nothing, vectors, repeats=2, level=0.9, least=5, seed=(1,))
    for figure in (top, ranks, fidelity):
        assert (figure.value, figure.state) == (None, State.UNDEFINED)
    assert "same whatever inputs are replaced" in (fidelity.note or "")
