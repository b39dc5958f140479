"""How good explanations are: do they add up, do they find what moves the score, do they stay the same, do two methods agree.

Sources: Samek et al. 2017 (deletion); Alvarez-Melis and Jaakkola 2018 (stability).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rai_pipelines.assessments.explanations.explained_model import ExplainedModel
from rai_pipelines.assessments.explanations.figures import absent_figure, certain_figure, mean_figure
from rai_pipelines.assessments.explanations.shapley import Shapley
from rai_pipelines.evidence.model import Measurement, State

TOP = 5
NOTHING = 1e-12  # of the largest value of a row: what is left of zero after sums in another order


def additivity_figures(shapley: Shapley, *, unit: str) -> list[Measurement]:
    """`additivity_error`: the largest, and the 99th percentile, of |base + values - output| over the rows that were explained."""
    errors = shapley.errors[np.isfinite(shapley.errors)]
    note = f"in units of the explained output ({unit}); a property of these explanations, not an estimate"
    if not len(errors):
        return [
            absent_figure("additivity_error", len(shapley.errors), "no row was explained", group=group) for group in ("maximum", "99th percentile")
        ]
    return [
        Measurement(metric="additivity_error", value=float(value), n=len(shapley.errors), denominator=len(errors), group=group, note=note)
        for group, value in (("maximum", errors.max()), ("99th percentile", np.quantile(errors, 0.99, method="inverted_cdf")))
    ]


def deletion_fidelity(
    explained: ExplainedModel,
    rows: np.ndarray,
    values: np.ndarray,
    background: np.ndarray,
    *,
    repeats: int,
    level: float,
    least: int,
    seed: Sequence[int],
) -> Measurement:
    """How much sooner the output moves away when inputs are replaced in the order of their Shapley values than in a random order.

    Inputs take the values of a random background row one after the other. Towards an unremarkable output (the mean over the background), the area
    under the way there is taken for both orders; the figure is the mean difference over rows, each averaged over repeats with their own background
    rows and random orders. Above 0: the values find what moves the output.
    """
    if not len(rows):
        return absent_figure("deletion_fidelity", 0, "no row was explained")
    if rows.shape[1] < 2:
        return certain_figure("deletion_fidelity", 0.0, len(rows), "the model has one input, so there is one order", level=level)
    rng = np.random.default_rng(list(seed))
    start, usual = explained.outputs_of(rows), float(explained.outputs_of(background).mean())
    side = np.where(start >= usual, 1.0, -1.0)
    by_value = np.argsort(-side[:, None] * values, axis=1, kind="stable")
    difference, moves = np.zeros(len(rows)), False
    for _ in range(repeats):
        donors = background[rng.integers(0, len(background), len(rows))]
        random = rng.random(rows.shape).argsort(axis=1)
        ways = [_way(explained, rows, donors, order) for order in (by_value, random)]
        moves = moves or any(bool((way != start[:, None]).any()) for way in ways)
        difference += side * (ways[1] - ways[0]).mean(axis=1) / repeats
    if not moves:  # 0 would read as fidelity that was looked for and found not to be there
        return absent_figure("deletion_fidelity", len(rows), "the output is the same whatever inputs are replaced, so no order moves it sooner")
    note = f"units of the output, mean over the ways of {rows.shape[1]} inputs; {repeats} background rows and random orders for each row"
    return mean_figure("deletion_fidelity", difference, level=level, least=least, note=note)


def stability_figures(runs: Sequence[np.ndarray], *, level: float, least: int) -> list[Measurement]:
    """`top5_stability` and `rank_stability`: mean over rows of the agreement between all pairs of runs (other backgrounds, other seeds).

    Agreement of the five largest inputs by Jaccard's index; of the order of all by Kendall's tau. With ten inputs or fewer, half of them are the top.
    An input that contributes nothing is among the largest of no run; a row for which no run names any has no value.
    """
    from scipy.stats import kendalltau

    width = runs[0].shape[1]
    top = _top(width)
    pairs = [(one, two) for one in range(len(runs)) for two in range(one)]
    each = np.array([_jaccard(runs[one], runs[two], top) for one, two in pairs])
    said = np.isfinite(each).sum(axis=0)
    overlap = np.where(said > 0, np.nansum(each, axis=0) / np.maximum(said, 1), np.nan)
    note = f"{len(runs)} backgrounds and seeds, all pairs"
    if width < 2:
        only = "the model has one input, which is always the largest"
        return [certain_figure("top5_stability", 1.0, len(overlap), only, level=level), absent_figure("rank_stability", len(overlap), only)]
    ranks = np.array(
        [np.mean([kendalltau(np.abs(runs[one][row]), np.abs(runs[two][row])).statistic for one, two in pairs]) for row in range(len(overlap))]
    )
    return [
        mean_figure("top5_stability", overlap, level=level, least=least, note=f"the {top} largest of {width} inputs; {note}")
        if said.any()
        else absent_figure("top5_stability", len(overlap), "no explanation names an input that contributes anything"),
        mean_figure("rank_stability", ranks, level=level, least=least, note=f"order of all {width} inputs; {note}"),
    ]


def agreement_figures(values: np.ndarray, weights: np.ndarray, *, level: float, least: int, why_none: str | None = None) -> list[Measurement]:
    """`shap_lime_agreement`: mean over rows of the rank correlation (Spearman) of absolute values and weights, and the overlap of the top inputs."""
    from scipy.stats import spearmanr

    groups = ("rank correlation", "overlap of the largest")
    if why_none or values.shape[1] < 2:
        note = why_none or "the model has one input"
        state = State.UNAVAILABLE if why_none else State.UNDEFINED
        return [absent_figure("shap_lime_agreement", len(values), note, state=state, group=group) for group in groups]
    both = np.isfinite(values).all(axis=1) & np.isfinite(weights).all(axis=1)
    varies = both & (np.ptp(np.abs(values), axis=1) > 0) & (np.ptp(np.abs(weights), axis=1) > 0)
    ranked = np.full(len(values), np.nan)
    for row in np.flatnonzero(varies):
        ranked[row] = spearmanr(np.abs(values[row]), np.abs(weights[row])).statistic
    top = _top(values.shape[1])
    overlap = np.where(both, _jaccard(np.nan_to_num(values), np.nan_to_num(weights), top), np.nan)
    return [
        mean_figure("shap_lime_agreement", ranked, level=level, least=least, group=groups[0], note=f"absolute values of {values.shape[1]} inputs"),
        mean_figure("shap_lime_agreement", overlap, level=level, least=least, group=groups[1], note=f"the {top} largest of {values.shape[1]} inputs"),
    ]


def best_threshold_agreement(scores: np.ndarray, decisions: np.ndarray) -> int:
    """How many decisions a single threshold on the score gives: favourable from there on, and not below; of all thresholds the best."""
    values, place = np.unique(scores, return_inverse=True)
    favourable = np.bincount(place, weights=decisions, minlength=len(values))
    other = np.bincount(place, weights=1 - decisions, minlength=len(values))
    below = np.concatenate([[0.0], np.cumsum(other)])
    above = favourable.sum() - np.concatenate([[0.0], np.cumsum(favourable)])
    return int((below + above).max()) if len(scores) else 0


def _way(explained: ExplainedModel, rows: np.ndarray, donors: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Outputs after each replacement, shape (rows, features)."""
    number, width = rows.shape
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(width), order.shape), axis=1)
    replaced = rank[:, None, :] <= np.arange(width)[None, :, None]
    steps = np.where(replaced, donors[:, None, :], rows[:, None, :])
    return explained.outputs_of(steps.reshape(-1, width)).reshape(number, width)


def _top(width: int) -> int:
    return TOP if width > 2 * TOP else max(1, width // 2)


def _jaccard(one: np.ndarray, two: np.ndarray, top: int) -> np.ndarray:
    """Overlap of the `top` largest absolute values of each row; of equals the first. Zeros are not among them: their order is that of the columns,
    which any two runs share. NaN where all values of both are zero.
    """
    sets = []
    for values in (one, two):
        order = np.argsort(-np.abs(values), axis=1, kind="stable")[:, :top]
        chosen = np.zeros(values.shape, dtype=bool)
        np.put_along_axis(chosen, order, True, axis=1)
        sets.append(chosen & (np.abs(values) > NOTHING * np.abs(values).max(axis=1, keepdims=True)))
    either = (sets[0] | sets[1]).sum(axis=1)
    return np.where(either > 0, (sets[0] & sets[1]).sum(axis=1) / np.maximum(either, 1), np.nan)
