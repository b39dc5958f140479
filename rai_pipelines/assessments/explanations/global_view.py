"""What drives the model in general: mean absolute Shapley values, and how the value of a feature goes with its contribution."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from rai_pipelines.assessments.explanations.figures import DIGITS
from rai_pipelines.assessments.security.feature_space import Feature, FeatureSpace
from rai_pipelines.assessments.statistics.uncertainty import percentile_interval
from rai_pipelines.evidence.model import Measurement, State

MOST_BINS = 10
FREE_TEXT_VALUES = 50  # a category with more values than this may as well be a name or a sentence
NAMES_NOBODY = 3  # significant digits of a bin's edges


def importance_figures(
    space: FeatureSpace, values: np.ndarray, *, level: float, resamples: int, least: int, unit: str, seed: Sequence[int]
) -> list[Measurement]:
    """`feature_importance` by feature (attribute): mean |Shapley value| with a bootstrap interval over rows, largest first.

    Args:
        values: shape (explained rows, features).
        unit: of the output.
    """
    number = len(values)
    if not number:
        return [
            Measurement(
                metric="feature_importance", value=None, n=0, denominator=0, attribute=name, state=State.UNDEFINED, note="no row was explained"
            )
            for name in space.names
        ]
    sizes = np.abs(values)
    means = sizes.mean(axis=0)
    weights = np.random.default_rng(list(seed)).multinomial(number, np.full(number, 1 / number), size=resamples)
    drawn = np.einsum("rn,nf->rf", weights.astype(float), sizes) / number  # einsum adds in one order on every machine
    made = []
    for at in importance_order(values):
        found = percentile_interval(float(means[at]), drawn[:, at], level)
        few = number < least
        made.append(
            Measurement(
                metric="feature_importance",
                value=found.value,
                interval=found.interval.model_copy(update={"method": "percentile bootstrap of rows"}),
                standard_error=float(f"{found.standard_error:.{DIGITS}g}"),
                n=number,
                denominator=number,
                attribute=space.names[at],
                state=State.INSUFFICIENT if few else State.MEASURED,
                note=f"{number} rows, fewer than {least}" if few else f"mean absolute contribution in units of the output ({unit})",
            )
        )
    return made


def importance_order(values: np.ndarray) -> np.ndarray:
    """Positions of the features, largest mean |value| first; of equals the first."""
    return np.argsort(-np.abs(values).mean(axis=0), kind="stable")


def dependence(
    space: FeatureSpace, vectors: np.ndarray, values: np.ndarray, *, least: int, hidden: frozenset[str]
) -> dict[str, list[dict[str, Any]]]:
    """By feature, mean Shapley value in bins of its value, for a plot: bins hold at least `least` rows, rarer categories are one bin.

    A bin that is still smaller is counted and not shown. Features of `hidden` and categories with more than 50 values are left out.
    """
    shown: dict[str, list[dict[str, Any]]] = {}
    for at, feature in enumerate(space.features):
        if hidden & set(feature.columns) or (feature.values is not None and len(feature.values) > FREE_TEXT_VALUES):
            continue
        given = ~np.isnan(vectors[:, at])
        parts = _categories(feature, vectors[:, at], least) if feature.values is not None else _bands(vectors[:, at], least, whole=feature.integer)
        if (~given).any():
            parts.append(({"value": "missing"}, ~given))
        shown[feature.name] = [_bin(label, values[chosen, at], least) for label, chosen in parts if chosen.any()]
    return shown


def _bin(label: dict[str, Any], values: np.ndarray, least: int) -> dict[str, Any]:
    if len(values) < least:
        return {"value": "too few rows to show", "rows": len(values), "mean": None}
    return {**label, "rows": len(values), "mean": float(f"{values.mean():.6g}")}


def _categories(feature: Feature, codes: np.ndarray, least: int) -> list[tuple[dict[str, Any], np.ndarray]]:
    named = feature.values or ()
    common = [code for code in range(len(named)) if int((codes == code).sum()) >= least]
    rest = ~np.isnan(codes) & ~np.isin(codes, common)
    parts: list[tuple[dict[str, Any], np.ndarray]] = [({"value": spoken_value(named[code])}, codes == code) for code in common]
    if rest.any():
        parts.append(({"value": f"{len(np.unique(codes[rest]))} rarer categories"}, rest))
    return parts


def _bands(amounts: np.ndarray, least: int, *, whole: bool) -> list[tuple[dict[str, Any], np.ndarray]]:
    """Bands of equal numbers of rows, with rounded edges, each with at least `least` rows; the first and the last are open."""
    given = amounts[~np.isnan(amounts)]
    if not len(given):
        return []
    number = max(1, min(MOST_BINS, len(given) // least))
    edges = rounded_edges(given, number, whole=whole, digits=NAMES_NOBODY)
    kept: list[float] = []
    for edge in edges:
        low = kept[-1] if kept else -np.inf
        if int(((given >= low) & (given < edge)).sum()) >= least and int((given >= edge).sum()) >= least:
            kept.append(edge)
    limits = [-np.inf, *kept, np.inf]
    parts: list[tuple[dict[str, Any], np.ndarray]] = []
    for low, high in pairwise(limits):
        label = {"from": low if np.isfinite(low) else None, "below": high if np.isfinite(high) else None}
        parts.append((label, (amounts >= low) & (amounts < high)))
    return parts


def rounded_edges(amounts: np.ndarray, bands: int, *, whole: bool, digits: int) -> list[float]:
    """Edges of about equal numbers of rows, ascending: to so many significant digits, and whole where the amounts are."""
    if not len(amounts):
        return []
    edges = np.quantile(amounts, np.arange(1, bands) / bands)
    return sorted({float(f"{round(edge) if whole else edge:.{digits}g}") for edge in edges.tolist()})


def spoken_value(value: Any) -> str:
    """A category in words."""
    return "none of them" if value == "" else str(value)
