"""Accounting of declared differential privacy: the budget is recomputed from the mechanism's parameters, never believed.

Sources: Abadi et al. (2016), "Deep Learning with Differential Privacy"; Koskela, Jälkö and Honkela (2020) and Doroshenko et al. (2022) on privacy
loss distributions, which the dp-accounting library implements.
"""

from __future__ import annotations

import math
from typing import Any

from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.subjects.privacy_budget import DifferentialPrivacy

NOT_DECLARED = "the datasheet declares no differential privacy (privacy.differential_privacy)"
METRICS = ("dp_epsilon_recomputed", "dp_epsilon_ratio")
CELL = 1e-4  # of a table of privacy losses: dp-accounting's own
MOST_CELLS = 10_000_000
MOST_STEPS = 1_000_000  # each adds up to one cell, so that tables say less than Rényi divergences beyond
MOST_TABULATED = 200.0  # of epsilon; tables of composed losses are as wide
LEAST_NOISE = 1e-100  # over the sensitivity; squares of less are no numbers
TAILS = 10.0  # standard deviations of a privacy loss beyond which there is next to nothing
MOST_SIZE_DIFFERENCE = 0.01  # between the declared and the counted rows of training


def budget_figures(declared: DifferentialPrivacy | None, training_rows: int | None) -> list[Measurement]:
    """`dp_epsilon_declared`, `dp_delta_declared`, `dp_epsilon_recomputed` and `dp_epsilon_ratio` (recomputed over declared).

    A ratio above 1 means that the declared budget is smaller than the mechanism allows to claim. Without a declaration, `dp_epsilon` is
    unavailable.

    Args:
        training_rows: rows of the training table, where it is known; the smaller of it and the declared size counts.
    """
    if declared is None:
        return [Measurement(metric="dp_epsilon", value=None, state=State.UNAVAILABLE, note=NOT_DECLARED)]
    said = [
        Measurement(metric="dp_epsilon_declared", value=declared.epsilon, note=f"{declared.mechanism}, as the owner declares it"),
        Measurement(metric="dp_delta_declared", value=declared.delta, note="the chance that the bound on epsilon does not hold"),
    ]
    rows, size_note = _rows(declared, training_rows)
    try:
        epsilon = recomputed_epsilon(declared, rows=rows)
    except ImportError:
        note = "dp-accounting is not installed, so the declared budget was not recomputed"
        return [*said, *(Measurement(metric=metric, value=None, state=State.UNAVAILABLE, note=note) for metric in METRICS)]
    if not math.isfinite(epsilon):
        note = f"the declared mechanism keeps no finite epsilon at delta {declared.delta:g}"
        return [*said, *(Measurement(metric=metric, value=None, state=State.UNDEFINED, note=note) for metric in METRICS)]
    what = f"recomputed with dp-accounting at delta {declared.delta:g} for {_described(declared, rows)}"
    note = "; ".join(part for part in (what, size_note) if part)
    ratio = epsilon / declared.epsilon
    return [
        *said,
        Measurement(metric="dp_epsilon_recomputed", value=epsilon, n=rows, note=note),
        Measurement(metric="dp_epsilon_ratio", value=ratio, n=rows, note="recomputed over declared epsilon; above 1 the declaration claims too much"),
    ]


def recomputed_epsilon(declared: DifferentialPrivacy, *, rows: int | None = None) -> float:
    """Epsilon at the declared delta, for one row added or removed; infinite where the mechanism keeps none.

    An upper bound by privacy loss distributions (rounded pessimistically); by Rényi divergences alone, and for Laplace noise by adding up, where a
    table of all losses would be too large. The Laplace mechanism at delta 0 has a closed form.

    Args:
        rows: rows that batches were drawn from; default: as declared.

    Raises:
        ImportError: dp-accounting is not installed.
    """
    if declared.mechanism == "laplace" and declared.delta == 0:
        assert declared.sensitivity is not None and declared.scale is not None
        return (declared.releases or 1) * declared.sensitivity / declared.scale
    import dp_accounting

    if declared.mechanism == "laplace":
        assert declared.sensitivity is not None and declared.scale is not None
        times = declared.releases or 1
        loose = times * declared.sensitivity / declared.scale
        if not math.isfinite(loose) or loose == 0.0:
            return loose
        return _tightened(loose, dp_accounting.LaplaceDpEvent(declared.scale / declared.sensitivity), times, declared.delta, widest=2 * loose / times)
    if declared.mechanism == "gaussian":
        assert declared.sensitivity is not None and declared.scale is not None
        noise, rate, times = declared.scale / declared.sensitivity, 1.0, declared.releases or 1
    else:
        assert declared.noise_multiplier is not None
        noise, rate, times = declared.noise_multiplier, _sampling_rate(declared, rows), _steps(declared, rows)
    if rate == 1.0:  # several Gaussian answers are exactly one with less noise
        noise, times = noise / math.sqrt(times), 1
    if noise < LEAST_NOISE:
        return math.inf
    step = dp_accounting.GaussianDpEvent(noise)
    event = step if rate == 1.0 else dp_accounting.PoissonSampledDpEvent(rate, step)
    return _tightened(_by_renyi(event, times, declared.delta), event, times, declared.delta, widest=1 / noise**2 + 2 * TAILS / noise)


def _by_renyi(event: Any, times: int, delta: float) -> float:
    """Epsilon by Rényi divergences (Mironov 2017): an upper bound that costs the same for any number of steps and any noise."""
    import dp_accounting
    from dp_accounting import rdp

    accountant = rdp.RdpAccountant()
    try:
        accountant.compose(dp_accounting.SelfComposedDpEvent(event, times))
        found = float(accountant.get_epsilon(delta))
    except (OverflowError, ZeroDivisionError):
        return math.inf
    return found if not math.isnan(found) else math.inf


def _tightened(loose: float, event: Any, times: int, delta: float, *, widest: float) -> float:
    """`loose`, or less by privacy loss distributions where these fit into memory: they are tables of all losses, `widest` of them for one step.

    A mechanism with next to no noise would take terabytes, and its epsilon is far beyond any that protects anybody.
    """
    import dp_accounting
    from dp_accounting import pld

    if not loose <= MOST_TABULATED or times > MOST_STEPS or widest > MOST_CELLS * CELL:
        return loose
    accountant = pld.PLDAccountant(value_discretization_interval=CELL)
    accountant.compose(dp_accounting.SelfComposedDpEvent(event, times))
    return min(loose, float(accountant.get_epsilon(delta)))


def _rows(declared: DifferentialPrivacy, counted: int | None) -> tuple[int | None, str | None]:
    """Rows that batches are drawn from, and what the table says against the declaration; fewer rows mean a larger epsilon."""
    size = declared.dataset_size
    if size is None or counted is None:
        return size, None
    if abs(size - counted) <= MOST_SIZE_DIFFERENCE * counted:
        return size, None
    return min(size, counted), f"the declared dataset_size is {size:,}, and the training table has {counted:,} rows: the smaller number counts"


def _sampling_rate(declared: DifferentialPrivacy, rows: int | None) -> float:
    if declared.sampling_rate is not None:
        return declared.sampling_rate
    assert declared.batch_size is not None
    return min(1.0, declared.batch_size / (rows or declared.dataset_size or declared.batch_size))


def _steps(declared: DifferentialPrivacy, rows: int | None) -> int:
    if declared.steps is not None:
        return declared.steps
    assert declared.epochs is not None
    return max(1, math.ceil(declared.epochs / _sampling_rate(declared, rows)))


def _described(declared: DifferentialPrivacy, rows: int | None) -> str:
    if declared.mechanism == "gaussian_dp_sgd":
        rate, steps = _sampling_rate(declared, rows), _steps(declared, rows)
        return f"{steps:,} steps on Poisson batches at rate {rate:.6g} with noise multiplier {declared.noise_multiplier:g}"
    return f"{declared.releases or 1} {declared.mechanism} releases with sensitivity {declared.sensitivity:g} and scale {declared.scale:g}"
