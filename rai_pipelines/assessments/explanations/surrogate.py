"""A small decision tree that imitates the model: how well it does, and what it says, in words.

The tree sees coarse inputs only (20 rounded bands of a number, common categories), so its rules say exactly what was tested and name nobody.
Source: Craven and Shavlik 1996 (fidelity).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rai_pipelines.assessments.explanations.explained_model import ExplainedModel
from rai_pipelines.assessments.explanations.figures import DIGITS, absent_figure, mean_figure, share_figure
from rai_pipelines.assessments.explanations.global_view import FREE_TEXT_VALUES, rounded_edges, spoken_value
from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.statistics.uncertainty import percentile_interval
from rai_pipelines.evidence.model import Measurement

BANDS = 20
EDGE_DIGITS = 2
LEAF_SHARE = 0.01  # of the rows: a smaller leaf would be an anecdote


@dataclass(frozen=True)
class _Test:
    """One column that the tree may split: a value below `edge` (missing counts as below), or a category `code`."""

    feature: int
    edge: float | None
    code: int | None
    yes: str
    no: str


def measure_surrogate(
    explained: ExplainedModel,
    training: np.ndarray,
    held_out: np.ndarray,
    *,
    depth: int,
    least: int,
    level: float,
    resamples: int,
    hidden: frozenset[str],
    seed: Sequence[int],
) -> tuple[list[Measurement], dict[str, Any]]:
    """`surrogate_fidelity` and `surrogate_fidelity_over_majority` on rows that the tree has not seen, and its rules.

    Fidelity is the share of the model's decisions that the tree gives too, against always giving the more frequent one; where there are no decisions,
    the share of the output's variance that the tree explains.
    """
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    tests = _tests(explained.space, training, least=least, hidden=hidden)
    names = ("surrogate_fidelity", "surrogate_fidelity_over_majority")
    if not tests or not len(held_out) or not len(training):
        why = "no input may be shown in rules" if not tests else "there are no rows"
        return [absent_figure(name, len(held_out), why) for name in names], {"rules": [], "tested": len(tests)}
    target, truth = (explained.decisions_at(part) if explained.decides else explained.outputs_of(part) for part in (training, held_out))
    kind = DecisionTreeClassifier if explained.decides else DecisionTreeRegressor
    tree = kind(max_depth=depth, min_samples_leaf=max(least, int(LEAF_SHARE * len(training))), random_state=int(seed[0]) % 2**32)
    tree.fit(_answers(tests, training), target)
    said = tree.predict(_answers(tests, held_out))
    details = {
        "depth": int(tree.get_depth()),
        "fitted_to_rows": len(training),
        "tested_on_rows": len(held_out),
        "rules": _rules(tree, tests, explained, len(training)),
    }
    if not explained.decides:
        return [_explained_variance(truth, said, level=level, resamples=resamples, least=least, seed=seed)], details
    majority = int(2 * target.sum() >= len(target))
    same, trivial = said == truth, truth == majority
    lead = mean_figure(names[1], same.astype(float) - trivial, level=level, least=least, note=f"{trivial.mean():.4g} of the decisions are alike")
    return [share_figure(names[0], int(same.sum()), len(same), level=level, least=least), lead], details


def _explained_variance(truth: np.ndarray, said: np.ndarray, *, level: float, resamples: int, least: int, seed: Sequence[int]) -> Measurement:
    if truth.std() == 0:
        return absent_figure("surrogate_fidelity", len(truth), "the model gives all held-out rows the same output")
    drawn = np.random.default_rng([*seed, 1]).integers(0, len(truth), size=(resamples, len(truth)))
    spread = truth[drawn].var(axis=1)
    replicates = 1 - ((truth - said) ** 2)[drawn].mean(axis=1) / np.where(spread > 0, spread, np.inf)
    found = percentile_interval(float(1 - ((truth - said) ** 2).mean() / truth.var()), replicates, level)
    made = mean_figure("surrogate_fidelity", np.full(len(truth), found.value), level=level, least=least, note="R squared: the task has no decisions")
    interval = found.interval.model_copy(update={"method": "percentile bootstrap of rows"})
    return made.model_copy(update={"value": found.value, "interval": interval, "standard_error": float(f"{found.standard_error:.{DIGITS}g}")})


def _tests(space: FeatureSpace, vectors: np.ndarray, *, least: int, hidden: frozenset[str]) -> list[_Test]:
    made = []
    for at, feature in enumerate(space.features):
        column = vectors[:, at]
        if hidden & set(feature.columns) or (feature.values is not None and len(feature.values) > FREE_TEXT_VALUES):
            continue
        if feature.values is not None:
            common = [code for code in range(len(feature.values)) if int((column == code).sum()) >= least]
            for code in common:
                value = spoken_value(feature.values[code])
                made.append(_Test(at, None, code, f"{feature.name} is {value}", f"{feature.name} is not {value}"))
            continue
        given = column[~np.isnan(column)]
        or_missing = " or missing" if len(given) < len(column) else ""
        edges = rounded_edges(given, BANDS, whole=feature.integer, digits=EDGE_DIGITS)
        for edge in (edge for edge in edges if given.min() < edge <= given.max()):
            made.append(_Test(at, edge, None, f"{feature.name} is below {edge:g}{or_missing}", f"{feature.name} is {edge:g} or more"))
    return made


def _answers(tests: Sequence[_Test], vectors: np.ndarray) -> np.ndarray:
    columns = [vectors[:, test.feature] == test.code if test.edge is None else ~(vectors[:, test.feature] >= test.edge) for test in tests]
    return np.column_stack(columns).astype(float)


def _rules(tree: Any, tests: Sequence[_Test], explained: ExplainedModel, rows: int) -> list[dict[str, Any]]:
    """Every leaf as what leads to it, what it says, and its share of the rows; the largest first."""
    inner = tree.tree_
    found: list[tuple[float, dict[str, Any]]] = []

    def walk(node: int, conditions: tuple[str, ...]) -> None:
        if inner.children_left[node] == -1:
            share = float(inner.n_node_samples[node] / rows)
            outcome: dict[str, Any]
            if explained.decides:
                rates = inner.value[node][0] / inner.value[node][0].sum()
                favourable = float(rates[list(tree.classes_).index(1)]) if 1 in tree.classes_ else 0.0
                outcome = {"decision": "favourable" if favourable > 0.5 else "not favourable", "favourable_share": round(favourable, 3)}
            else:
                outcome = {"output": float(f"{inner.value[node][0][0]:.3g}")}
            found.append((share, {"when": list(conditions) or ["always"], **outcome, "share_of_rows": round(share, 3)}))
            return
        test = tests[inner.feature[node]]
        walk(inner.children_left[node], (*conditions, test.no))  # 0: the test does not hold
        walk(inner.children_right[node], (*conditions, test.yes))

    walk(0, ())
    return [rule for _, rule in sorted(found, key=lambda pair: -pair[0])]
