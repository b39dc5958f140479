"""Group fairness metrics as vectorised closed forms over counts, and the same figures by Fairlearn's own functions.

Headline figures of declared attributes are Fairlearn's; the closed forms serve the lattice of intersections and the resampling, where
Fairlearn would take hours, and are tested equal to it on raw rows.
Counts are arrays whose last two axes are groups and the cells `TP, FN, FP, TN, selected without label, rejected without label`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rai_pipelines.assessments.fairness.groups import FN, FP, SELECTED_UNLABELLED, TN, TP, GroupCounts

RATE_CELLS: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "selection_rate": ((TP, FP, SELECTED_UNLABELLED), (0, 1, 2, 3, 4, 5)),
    "true_positive_rate": ((TP,), (TP, FN)),
    "false_positive_rate": ((FP,), (FP, TN)),
    "true_negative_rate": ((TN,), (FP, TN)),
    "false_negative_rate": ((FN,), (TP, FN)),
    "positive_predictive_value": ((TP,), (TP, FP)),
    "false_discovery_rate": ((FP,), (TP, FP)),
    "false_omission_rate": ((FN,), (FN, TN)),
    "accuracy": ((TP, TN), (TP, FN, FP, TN)),
    "base_rate": ((TP, FN), (TP, FN, FP, TN)),
}  # cells of the numerator and of the denominator
LATTICE_RATES = (
    "selection_rate", "true_positive_rate", "false_positive_rate", "false_negative_rate", "positive_predictive_value", "accuracy", "base_rate"
)  # fmt: skip
RATES: Mapping[str, tuple[str, ...]] = {
    "demographic_parity_difference": ("selection_rate",),
    "demographic_parity_ratio": ("selection_rate",),
    "equalized_odds_difference": ("true_positive_rate", "false_positive_rate"),
    "equalized_odds_ratio": ("true_positive_rate", "false_positive_rate"),
    "equal_opportunity_difference": ("true_positive_rate",),
    "predictive_parity_difference": ("positive_predictive_value",),
}  # the rates that a between-group metric compares
MAX_POOL = 256
NORMAL_FROM = 1_000  # n p (1 - p) from which a binomial count is drawn from its normal limit


def group_rates(cells: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Numerator and denominator of every rate of a group; `cells` has shape (..., groups, 6)."""
    return {name: (cells[..., above].sum(axis=-1), cells[..., below].sum(axis=-1)) for name, (above, below) in RATE_CELLS.items()}


def effective_rates(counted: GroupCounts) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """As `group_rates`, in effective counts: what independent rows of equal weight would say as much.

    Without weights and units these are the counts. Otherwise the variance of each rate is that of a ratio of totals over units
    (Cochran 1977, section 11.3; linearised, with U / (U - 1)), and the denominator is p (1 - p) over it (Rao and Scott 1992, Biometrics 48,
    577-585), at most the rows. Where a rate is 0 or 1 it is the effective number of units, (sum m)^2 / sum m^2.
    """
    if counted.moments is None or counted.mass is None:
        return group_rates(counted.cells)
    units = np.maximum(counted.units if counted.units is not None else counted.cells.sum(axis=-1), 1)
    found = {}
    for name, (above, below) in RATE_CELLS.items():
        a, b = (np.isin(np.arange(6), cells).astype(float) for cells in (above, below))
        total, rows = counted.mass @ b, counted.cells @ b
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = np.where(total > 0, (counted.mass @ a) / total, 0.0)
            contrast = a[None] - rate[:, None] * b[None]
            spread = np.einsum("gi,gij,gj->g", contrast, counted.moments, contrast) * units / np.maximum(units - 1, 1) / total**2
            alone = total**2 / np.einsum("i,gij,j->g", b, counted.moments, b)
            trials = np.where((rate > 0) & (rate < 1) & (spread > 0), rate * (1 - rate) / spread, alone)
        trials = np.where(total > 0, np.minimum(trials, rows), 0.0)
        found[name] = (rate * trials, trials)
    return found


def disparities(cells: np.ndarray) -> dict[str, np.ndarray]:
    """The between-group metrics of counts shaped (..., groups, 6); groups without a denominator take no part.

    A ratio whose largest rate is 0 is NaN, as in Fairlearn.
    """
    counts = group_rates(cells)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {metric: _combined(metric, [np.divide(*counts[name]) for name in names]) for metric, names in RATES.items()}


def resampled_gaps(
    counts: Mapping[str, tuple[np.ndarray, np.ndarray]], metrics: Sequence[str], *, resamples: int, seed: Sequence[int], pool: np.ndarray
) -> dict[str, np.ndarray]:
    """Replicates of between-group metrics, ratios as minus their logarithm, so that 0 always means no difference; shape (resamples,).

    Each rate of each group is drawn binomially given its denominator: what resampling the rows multinomially gives once the sizes of the groups
    (and of their outcomes) are held fixed, so that no group can vanish from a replicate. Where n p (1 - p) is at least 1,000 the
    draw is from the normal limit, in single precision. Groups that nobody or everybody of was selected have 0.5 added to both cells, since they
    would never vary otherwise.

    Args:
        counts: successes and (effective) trials of the rates that `metrics` compare, arrays of shape (groups,).
        metrics: names of `RATES`.
        resamples: number of replicates.
        seed: entropy of the generator.
        pool: what `normal_pool` gives for this number of replicates. Tables may share it: each is resampled for itself.
    """
    rng = np.random.default_rng(list(seed))
    wanted = dict.fromkeys(name for metric in metrics for name in RATES[metric])
    extremes = {name: _extremes(rng, counts[name], pool[_half(name)]) for name in wanted}  # difference and ratio share them
    gaps = {}
    for metric in metrics:
        found = [extremes[name] for name in RATES[metric]]
        if metric.endswith("ratio"):
            shares = [one.least_floored / one.most_floored for one in found]
            gaps[metric] = -np.log(shares[0] if len(shares) == 1 else np.minimum(*shares))
        else:
            spreads = [one.most - one.least for one in found]
            gaps[metric] = spreads[0] if len(spreads) == 1 else np.maximum(*spreads)
    return gaps


@dataclass(frozen=True)
class _Extremes:
    """Smallest and largest rate of each replicate; `..._floored` with rates of at least half an event, so that a ratio has a logarithm."""

    least: np.ndarray
    most: np.ndarray
    least_floored: np.ndarray
    most_floored: np.ndarray


def _half(rate: str) -> int:
    """Which half of the pool serves a rate: true and false positive rates meet in one metric, so their draws must differ."""
    return 1 if rate == "false_positive_rate" else 0


def _extremes(rng: np.random.Generator, counts: tuple[np.ndarray, np.ndarray], normals: np.ndarray) -> _Extremes:
    """Of the replicates of all groups, drawn one group after the other, so that they stay in the processor's cache."""
    successes, trials = (part.astype(float).tolist() for part in counts)
    drawn = np.empty(normals.shape[-1], dtype=np.float32)
    least, most = np.full_like(drawn, np.inf), np.full_like(drawn, -np.inf)
    few: list[tuple[np.ndarray, np.float32]] = []  # the others are more than 30 standard deviations above half an event
    for position, (hits, n) in enumerate(zip(successes, trials, strict=True)):
        if _draw(drawn, rng, hits, n, normals[position] if position < len(normals) else None):
            np.minimum(least, drawn, out=least)
            np.maximum(most, drawn, out=most)
        else:
            few.append((drawn.copy(), np.float32(0.5 / max(n, 1.0))))
    if not few:
        return _Extremes(least, most, least, most)
    plain, floored = np.stack([rates for rates, _ in few]), np.stack([np.maximum(rates, floor) for rates, floor in few])
    return _Extremes(*(end for rates in (plain, floored) for end in (np.minimum(least, rates.min(axis=0)), np.maximum(most, rates.max(axis=0)))))


def normal_pool(groups: int, *, resamples: int, seed: Sequence[int]) -> np.ndarray:
    """Standard normal draws for up to 256 groups and the two rates that one metric compares at most; shape (2, groups, resamples).

    Each half has a stream of its own (`SeedSequence.spawn`), so that two threads fill them and the draws do not depend on which comes first.
    """
    from concurrent.futures import ThreadPoolExecutor

    pool = np.empty((2, min(groups, MAX_POOL), resamples), dtype=np.float32)
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(list(seed)).spawn(2)]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda half, stream: stream.standard_normal(dtype=np.float32, out=half), pool, streams))
    return pool


def fairlearn_disparities(compared: Sequence[GroupCounts], *, labelled: bool) -> list[dict[str, float]]:
    """The between-group metrics of each table of `compared` by Fairlearn, on the collapsed counts with `sample_weight=count`.

    One `MetricFrame` serves all of them: which table a cell is of is its control feature. Its own `difference()` and `ratio()` give what
    `demographic_parity_difference` and the other functions of those names give. NaN where Fairlearn gives NaN.

    Args:
        compared: the tables; every group has the denominators that the metrics need.
        labelled: the label-based metrics, from labelled rows; else demographic parity, from all rows.
    """
    from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate

    if not compared:
        return []
    functions = {"tpr": true_positive_rate, "fpr": false_positive_rate} if labelled else {"selection_rate": selection_rate}
    tables = [counted.figures[:, :4] if labelled else counted.figures for counted in compared]
    occupied = [np.nonzero(figures) for figures in tables]
    table = np.concatenate([np.full(len(group), position) for position, (group, _) in enumerate(occupied)])
    group, cell = (np.concatenate([found[axis] for found in occupied]) for axis in (0, 1))
    weights = {"sample_weight": np.concatenate([figures[found] for figures, found in zip(tables, occupied, strict=True)])}
    frame = MetricFrame(
        metrics=functions,
        y_true=np.isin(cell, (TP, FN)).astype(int),
        y_pred=np.isin(cell, (TP, FP, SELECTED_UNLABELLED)).astype(int),
        sensitive_features=group.astype(str),
        control_features=table,
        sample_params=dict.fromkeys(functions, weights),
    )
    difference, ratio = frame.difference(method="between_groups"), frame.ratio(method="between_groups")
    if not labelled:
        pairs = zip(difference["selection_rate"].sort_index(), ratio["selection_rate"].sort_index(), strict=True)
        return [{"demographic_parity_difference": float(gap), "demographic_parity_ratio": float(share)} for gap, share in pairs]
    return [
        {
            "equalized_odds_difference": float(max(difference.loc[position])),
            "equalized_odds_ratio": float(min(ratio.loc[position])),
            "equal_opportunity_difference": float(difference.loc[position, "tpr"]),
        }
        for position in range(len(compared))
    ]


def driving_pair(metric: str, counted: GroupCounts) -> tuple[str, int, int]:
    """Which rate and which two groups (largest, smallest) make the metric what it is; ties go to the first by name."""
    counts, found = group_rates(counted.figures), []
    for name in RATES[metric]:
        with np.errstate(invalid="ignore"):
            rate = np.divide(*counts[name])
        top, bottom = int(rate.argmax()), int(rate.argmin())
        spread = rate[top] - rate[bottom] if metric.endswith("difference") else 1 - (rate[bottom] / rate[top] if rate[top] else 1.0)
        found.append((spread, name, top, bottom))
    best = max(found, key=lambda item: item[0])
    return best[1], best[2], best[3]


def _combined(metric: str, rates: Sequence[np.ndarray]) -> np.ndarray:
    """The metric from its rates; a NaN rate takes no part."""
    most = [np.fmax.reduce(rate, axis=-1) for rate in rates]
    least = [np.fmin.reduce(rate, axis=-1) for rate in rates]
    if metric.endswith("difference"):
        found = [top - bottom for top, bottom in zip(most, least, strict=True)]
        return np.asarray(found[0] if len(found) == 1 else np.fmax(*found))
    ratios = [bottom / top for top, bottom in zip(most, least, strict=True)]
    # as Python's min(), which Fairlearn uses: the first, unless the second is less
    return np.asarray(ratios[0] if len(ratios) == 1 else np.where(ratios[1] < ratios[0], ratios[1], ratios[0]))


def _draw(out: np.ndarray, rng: np.random.Generator, successes: float, trials: float, normals: np.ndarray | None) -> bool:
    """Fill `out` with replicates of one rate; whether they are of the normal limit."""
    if min(successes, trials - successes) <= 0:
        successes, trials = successes + 0.5, trials + 1.0
    rate = successes / trials
    if trials * rate * (1 - rate) < NORMAL_FROM:
        whole = max(round(trials), 1)
        out[:] = rng.binomial(whole, rate, size=len(out)) / whole
        return False
    # with NORMAL_FROM at 1,000 the limits 0 and 1 are more than 30 standard deviations away
    np.multiply(
        rng.standard_normal(len(out), dtype=np.float32) if normals is None else normals, np.float32((rate * (1 - rate) / trials) ** 0.5), out=out
    )
    out += np.float32(rate)
    return True
