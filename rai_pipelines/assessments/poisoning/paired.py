"""Differences between two kinds of refits on the same evaluation rows, over several seeds: both seeds and rows are luck."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rai_pipelines.assessments.statistics.uncertainty import Uncertain
from rai_pipelines.evidence.model import Interval

LEAST_CHANGED = 3  # rows: where fewer change, their variance says too little (the rule of three)
METHOD = "t, variances of seeds and of rows added"


@dataclass(frozen=True)
class Difference:
    """A difference with its uncertainty and the degrees of freedom of its standard error."""

    figure: Uncertain
    freedom: float

    def p_value_below(self) -> float:
        """One-sided p of the hypothesis that the true difference is 0 or more."""
        from scipy.stats import t

        return float(t.cdf(self.figure.value / self.figure.standard_error, self.freedom))


def over_seeds_and_rows(by_seed: np.ndarray, by_row: np.ndarray, level: float, *, unit: float = 1.0) -> Difference:
    """The mean of `by_seed` with an interval for other seeds and other rows.

    Seeds and rows are crossed: their variances add (Cameron, Gelbach and Miller 2011, Robust inference with multiway clustering; their interaction
    is in both, and the term that would take it away again is left out). Degrees of freedom by Welch and Satterthwaite. Simulated at a stated
    90 %, it covers 89 to 92 % with five seeds and 87 to 91 % with three.

    Args:
        by_seed: the difference under each seed, shape (seeds,), two or more.
        by_row: what each row contributes, averaged over seeds, shape (rows,), two or more: differences, or linearised ones whose mean is 0.
        level: two-sided level.
        unit: the most that one changed row contributes.
    """
    from scipy.stats import t

    seeds, rows = len(by_seed), len(by_row)
    between = float(np.var(by_seed, ddof=1)) / seeds
    within = max(float(np.var(by_row, ddof=1)) / rows, LEAST_CHANGED * (unit / rows) ** 2)
    freedom = (between + within) ** 2 / (between**2 / (seeds - 1) + within**2 / (rows - 1))
    value, error = float(by_seed.mean()), math.sqrt(between + within)
    half = float(t.ppf(0.5 + level / 2, freedom)) * error
    return Difference(Uncertain(value, error, Interval(low=value - half, high=value + half, level=level, method=METHOD)), freedom)


def loss_difference(losses: np.ndarray, baseline: np.ndarray, level: float) -> Difference:
    """Mean loss minus mean loss of the baseline, both of shape (seeds, rows), losses between 0 and 1."""
    difference = np.asarray(losses, dtype=float) - np.asarray(baseline, dtype=float)
    return over_seeds_and_rows(difference.mean(axis=1), difference.mean(axis=0), level)


def ratio_difference(chosen: np.ndarray, baseline: np.ndarray, group: np.ndarray, reference: np.ndarray, level: float) -> Difference | None:
    """Selection rate of `group` over that of `reference`, minus the same of the baseline; None where a reference has no selected row.

    Args:
        chosen: whether each row is selected, shape (seeds, rows).
        baseline: the same before the change.
        group: which rows belong to the group, shape (rows,).
        reference: which rows belong to the reference.
        level: two-sided level.
    """
    ratios, linear = [], []
    for selected in (chosen, baseline):
        of_group, of_reference = selected[:, group].mean(axis=1), selected[:, reference].mean(axis=1)
        if (of_reference == 0).any():
            return None
        ratio = of_group / of_reference
        # the first-order change of the ratio by one row (delta method)
        parts = np.where(group, (selected - of_group[:, None]) / group.mean(), 0.0)
        parts = (parts - ratio[:, None] * np.where(reference, (selected - of_reference[:, None]) / reference.mean(), 0.0)) / of_reference[:, None]
        ratios.append(ratio)
        linear.append(parts.mean(axis=0))
    unit = 1.0 / group.mean() / float(baseline[:, reference].mean())
    return over_seeds_and_rows(ratios[0] - ratios[1], linear[0] - linear[1], level, unit=unit)
