"""The recomputed budget against closed forms."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from pydantic import ValidationError
from scipy.optimize import brentq
from scipy.stats import norm

from rai_pipelines.assessments.privacy_attacks.differential_privacy import budget_figures, recomputed_epsilon
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.subjects.privacy_budget import DifferentialPrivacy

SGD: dict[str, Any] = {"mechanism": "gaussian_dp_sgd", "epsilon": 2.4, "delta": 1e-5, "noise_multiplier": 1.1}


def exact_gaussian(noise: float, delta: float) -> float:
    """Epsilon of one Gaussian release (Balle and Wang 2018, theorem 8)."""

    def excess(epsilon: float) -> float:
        return float(norm.cdf(0.5 / noise - epsilon * noise) - math.exp(epsilon) * norm.cdf(-0.5 / noise - epsilon * noise) - delta)

    return float(brentq(excess, 0.0, 100.0))


def of(figures: list[Measurement], metric: str) -> Measurement:
    (item,) = [item for item in figures if item.metric == metric]
    return item


@pytest.mark.parametrize(("scale", "releases"), [(4.0, 1), (8.0, 9), (2.0, 1)])
def test_gaussian_releases_have_their_exact_epsilon(scale: float, releases: int) -> None:
    declared = DifferentialPrivacy(mechanism="gaussian", epsilon=1, delta=1e-6, sensitivity=2.0, scale=scale, releases=releases)
    expected = exact_gaussian(scale / 2.0 / math.sqrt(releases), 1e-6)
    assert recomputed_epsilon(declared) == pytest.approx(expected, rel=1e-3)
    assert recomputed_epsilon(declared) >= expected - 1e-9  # rounded to the careful side


def test_batches_of_everything_are_plain_gaussian_releases() -> None:
    declared = DifferentialPrivacy(**{**SGD, "noise_multiplier": 20.0}, sampling_rate=1.0, steps=25)
    assert recomputed_epsilon(declared) == pytest.approx(exact_gaussian(4.0, 1e-5), rel=1e-3)


def test_pure_laplace_adds_up() -> None:
    declared = DifferentialPrivacy(mechanism="laplace", epsilon=1, sensitivity=1.0, scale=2.0, releases=3)
    assert recomputed_epsilon(declared) == 1.5


def test_a_tiny_delta_hardly_helps_one_laplace_release() -> None:
    declared = DifferentialPrivacy(mechanism="laplace", epsilon=1, delta=1e-9, sensitivity=1.0, scale=2.0)
    assert recomputed_epsilon(declared) == pytest.approx(0.5, abs=1e-3)


def test_sampled_steps_agree_with_renyi_accounting_from_below() -> None:
    import dp_accounting
    from dp_accounting import rdp

    declared = DifferentialPrivacy(**SGD, batch_size=256, dataset_size=60_000, epochs=60)
    event = dp_accounting.PoissonSampledDpEvent(256 / 60_000, dp_accounting.GaussianDpEvent(1.1))
    accountant = rdp.RdpAccountant()
    accountant.compose(dp_accounting.SelfComposedDpEvent(event, math.ceil(60 / (256 / 60_000))))
    looser = accountant.get_epsilon(1e-5)
    assert 0.8 * looser < recomputed_epsilon(declared) <= looser


def test_a_declared_epsilon_below_the_recomputed_one_has_a_ratio_above_one() -> None:
    declared = DifferentialPrivacy(**{**SGD, "epsilon": 1.0}, sampling_rate=0.01, steps=2_000)
    figures = budget_figures(declared, None)
    ratio, recomputed = of(figures, "dp_epsilon_ratio").value, of(figures, "dp_epsilon_recomputed").value
    assert ratio == pytest.approx(recomputed)
    assert ratio is not None
    assert ratio > 1.01


def test_a_declared_dataset_that_is_larger_than_the_table_is_not_believed() -> None:
    declared = DifferentialPrivacy(**SGD, batch_size=100, dataset_size=100_000, steps=1_000)
    honest = DifferentialPrivacy(**SGD, batch_size=100, dataset_size=10_000, steps=1_000)
    item = of(budget_figures(declared, 10_000), "dp_epsilon_recomputed")
    assert item.value == recomputed_epsilon(honest)
    assert "the training table has 10,000 rows" in str(item.note)
    assert of(budget_figures(declared, 200_000), "dp_epsilon_recomputed").value == recomputed_epsilon(declared)


def test_no_declaration_is_said_and_is_no_budget() -> None:
    (item,) = budget_figures(None, 10)
    assert (item.metric, item.value, item.state) == ("dp_epsilon", None, State.UNAVAILABLE)


def test_without_the_library_the_budget_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "dp_accounting", None)
    item = of(budget_figures(DifferentialPrivacy(**SGD, sampling_rate=0.01, steps=10), None), "dp_epsilon_recomputed")
    assert (item.value, item.state) == (None, State.UNAVAILABLE)


@pytest.mark.parametrize(
    "wrong",
    [
        {**SGD, "steps": 10},
        {**SGD, "sampling_rate": 0.1, "batch_size": 5, "dataset_size": 10, "steps": 10},
        {**SGD, "sampling_rate": 0.1},
        {**SGD, "batch_size": 5, "steps": 10},
        {**SGD, "batch_size": 50, "dataset_size": 10, "steps": 10},
        {**SGD, "sampling_rate": 0.1, "steps": 10, "scale": 1.0},
        {**SGD, "delta": 0.0, "sampling_rate": 0.1, "steps": 10},
        {"mechanism": "laplace", "epsilon": 1, "scale": 1.0},
        {"mechanism": "gaussian", "epsilon": 1, "sensitivity": 1.0, "scale": 1.0},
        {"mechanism": "exponential", "epsilon": 1},
        {"mechanism": "laplace", "epsilon": 0, "scale": 1.0, "sensitivity": 1.0},
    ],
)
def test_a_declaration_that_does_not_add_up_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DifferentialPrivacy(**wrong)


@pytest.mark.parametrize(
    "extreme",
    [
        {"mechanism": "gaussian_dp_sgd", "noise_multiplier": 1e-3, "sampling_rate": 0.01, "steps": 1_000},
        {"mechanism": "gaussian_dp_sgd", "noise_multiplier": 1e-12, "sampling_rate": 0.5, "steps": 10},
        {"mechanism": "gaussian_dp_sgd", "noise_multiplier": 1.0, "sampling_rate": 0.01, "steps": 10_000_000},
        {"mechanism": "gaussian_dp_sgd", "noise_multiplier": 1_000, "sampling_rate": 1.0, "steps": 10_000_000},
        {"mechanism": "gaussian_dp_sgd", "noise_multiplier": 1.0, "sampling_rate": 1e-6, "epochs": 1_000_000},
        {"mechanism": "laplace", "sensitivity": 1.0, "scale": 1e-9, "releases": 1_000_000},
        {"mechanism": "gaussian", "sensitivity": 1.0, "scale": 1e-6, "releases": 1_000_000},
        {"mechanism": "gaussian", "sensitivity": 1.0, "scale": 1e-200},
    ],
    ids=str,
)
def test_a_declaration_at_any_extreme_is_answered_in_little_time_and_memory_and_does_not_pass(extreme: dict[str, Any]) -> None:
    """Tables of losses would take from gigabytes to terabytes for most of these, and minutes for the others."""
    started = time.monotonic()
    figures = budget_figures(DifferentialPrivacy.model_validate({**extreme, "epsilon": 3, "delta": 1e-5}), 1_000)
    assert time.monotonic() - started < 20
    (ratio,) = [item for item in figures if item.metric == "dp_epsilon_ratio"]
    assert ratio.state is State.UNDEFINED or (ratio.value or 0) > 1.5


def test_what_is_too_large_to_tabulate_is_bounded_by_renyi_divergences() -> None:
    """Against the closed form of Gaussian noise (Balle and Wang 2018), of which Rényi divergences are an upper bound."""
    for noise in (0.05, 0.02, 0.005):
        found = recomputed_epsilon(DifferentialPrivacy(mechanism="gaussian", sensitivity=1.0, scale=noise, epsilon=1, delta=1e-5))
        exact = brentq(lambda e, s=noise: norm.logcdf(0.5 / s - e * s) - math.log(1e-5), 0.0, 2 / noise**2)
        assert exact * 0.999 <= found <= exact * 1.2
