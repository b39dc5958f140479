"""A year of audits keeps its error rate, however often somebody looks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rai_pipelines.policy.sequential import alpha_at_look, look_at


@given(st.floats(0.001, 0.2), st.integers(2, 366), st.integers(1, 2_000))
def test_what_is_spent_over_any_number_of_looks_is_at_most_alpha(alpha: float, looks_per_year: int, looks: int) -> None:
    spent = sum(alpha_at_look(alpha, look, looks_per_year=looks_per_year) for look in range(1, looks + 1))
    assert 0 < spent <= alpha * (1 + 1e-12)


def test_the_first_look_has_half_and_each_further_look_of_the_year_the_same() -> None:
    levels = [alpha_at_look(0.05, look, looks_per_year=12) for look in range(1, 14)]
    assert levels[0] == 0.025
    assert levels[1:12] == pytest.approx([0.02 / 11] * 11)
    assert levels[12] == pytest.approx(0.0025)


def test_a_year_of_monthly_audits_of_an_innocent_model_fails_at_most_alpha_of_models() -> None:
    rng = np.random.default_rng(3)
    levels = np.array([alpha_at_look(0.05, look, looks_per_year=12) for look in range(1, 13)])
    independent = rng.standard_normal((40_000, 12))
    growing = np.cumsum(independent, axis=1) / np.sqrt(np.arange(1, 13))  # each month's data added to those before
    for statistics in (independent, growing):
        ever = (stats.norm.sf(statistics) < levels).any(axis=1).mean()
        assert ever <= 0.052
        assert (stats.norm.sf(statistics) < 0.05).any(axis=1).mean() > 0.15  # what looking twelve times at 5 % would do


def test_looks_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="counted from 1"):
        alpha_at_look(0.05, 0, looks_per_year=12)


@pytest.mark.parametrize(
    ("tables", "look"), [([], 1), (["a"], 1), (["a", "a"], 1), (["a", "b"], 2), (["a", "b", "a"], 1), (["a", "b", "c", "b"], 2), (["a", None], 2)]
)
def test_a_table_that_is_judged_again_keeps_its_look(tables: list[str | None], look: int) -> None:
    assert look_at(tables) == look
