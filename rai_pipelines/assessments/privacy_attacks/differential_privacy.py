"""Accounting of declared differential privacy: the budget is recomputed from the mechanism's parameters, never believed.

Sources: Abadi et al. (2016), "Deep Learning with Differential Privacy"; Koskela, Jälkö and Honkela (2020) and Doroshenko et al. (2022) on privacy
loss distributions, which the dp-accounting library implements.
"""

from __future__ import annotations

import math

from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.subjects.privacy_budget import DifferentialPrivacy

NOT_DECLARED = "the datasheet declares no differential privacy (privacy.differential_privacy)"
METRICS = ("dp_epsilon_recomputed", "dp_epsilon_ratio")
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

    An upper bound by privacy loss distributions (rounded pessimistically). The Laplace mechanism at delta 0 has a closed form.

    Args:
        rows: rows that batches were drawn from; default: as declared.

    Raises:
        ImportError: dp-accounting is not installed.
    """
    if declared.mechanism == "laplace" and declared.delta == 0:
        assert declared.sensitivity is not None and declared.scale is not None
        return (declared.releases or 1) * declared.sensitivity / declared.scale
    import dp_accounting
    from dp_accounting import pld

    if declared.mechanism == "gaussian_dp_sgd":
        step = dp_accounting.PoissonSampledDpEvent(_sampling_rate(declared, rows), dp_accounting.GaussianDpEvent(declared.noise_multiplier))
        times = _steps(declared, rows)
    else:
        assert declared.sensitivity is not None and declared.scale is not None
        kind = dp_accounting.LaplaceDpEvent if declared.mechanism == "laplace" else dp_accounting.GaussianDpEvent
        step, times = kind(declared.scale / declared.sensitivity), declared.releases or 1
    accountant = pld.PLDAccountant()
    accountant.compose(dp_accounting.SelfComposedDpEvent(step, times))
    return float(accountant.get_epsilon(declared.delta))


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
