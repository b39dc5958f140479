"""Group fairness of a model that predicts numbers: mean residual, root mean square error and mean prediction of each group, and their gaps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rai_pipelines.assessments.base import Measured
from rai_pipelines.assessments.fairness.groups import lattice
from rai_pipelines.assessments.fairness.lattice import BiasParameters
from rai_pipelines.assessments.fairness.rates import HIGHEST
from rai_pipelines.assessments.statistics.uncertainty import normal_quantile
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.model import Interval, Measurement, State
from rai_pipelines.tables.group_names import JOIN

if TYPE_CHECKING:
    import pandas as pd

SUMS = ["count", "labelled", "r1", "r2", "r3", "r4", "p1", "p2"]
DIGITS = 12
COMPARISONS = ("mean_residual_difference", "standardised_residual_difference", "rmse_ratio")


def measure_regression(moments: pd.DataFrame, *, attributes: Mapping[str, str], parameters: BiasParameters, depth: int) -> Measured:
    """Bias figures of the sums of `residual_moments`.

    Returns:
        Per group `mean_prediction`, `mean_residual` (prediction minus truth: above 0 is over-predicted) and `rmse`; per group against its reference
        (`highest`: the group with the highest mean prediction) `mean_residual_difference`, the same as `standardised_residual_difference` (in
        pooled standard deviations of the residuals: d of Cohen 1988), and `rmse_ratio`. Normal intervals; that of the root mean square error is
        the root of the interval of the mean square, whose standard error comes from the fourth moment. Where no two groups can be compared
        these are insufficient.

    Raises:
        DataError: a declared reference group does not occur.
    """
    measurements: list[Measurement] = []
    details: dict[str, Any] = {"groups": {}, "rows": int(moments["count"].sum())}
    centre = float(moments["centre"].iloc[0])
    for parts in lattice(list(attributes), depth):
        names = moments[list(parts)].astype(str).agg(JOIN.join, axis=1)
        groups = moments[SUMS].groupby(names.to_numpy(), sort=True).sum()
        attribute = JOIN.join(parts)
        reference = _reference(groups, [attributes[part] for part in parts], attribute, parameters)
        few = {str(group): int(row["labelled"]) for group, row in groups.iterrows() if row["labelled"] < parameters.min_group_n}
        details["groups"][attribute] = {"insufficient": few, "reference": reference, "labels": {}}
        for group, row in groups.iterrows():
            measurements += _of_group((attribute, str(group)), row, centre, parameters)
        if reference is None or len(groups) < 2:
            measurements += _not_compared(attribute, groups, reference)
            continue
        base = (reference, groups.loc[[reference]].iloc[0])
        for group in (group for group in groups.index if group != reference):
            measurements += _against(attribute, (str(group), groups.loc[[group]].iloc[0]), base, parameters)
    details["unlabelled_rows"] = details["rows"] - int(moments["labelled"].sum())
    return Measured(measurements=tuple(measurements), details=details)


def _of_group(named: tuple[str, str], row: pd.Series, centre: float, parameters: BiasParameters) -> list[Measurement]:
    n, labelled = int(row["count"]), int(row["labelled"])
    common: dict[str, Any] = {"attribute": named[0], "group": named[1], "n": n}
    mean = _mean(row["p1"], row["p2"], n)
    found = [_measured("mean_prediction", centre + mean[0], mean[1], n, parameters, **common)]
    if labelled < 2:
        note = f"{labelled} rows of the group have a label"
        names = ("mean_residual", "rmse")
        return found + [Measurement(metric=name, value=None, denominator=labelled, state=State.UNDEFINED, note=note, **common) for name in names]
    residual, square = _mean(row["r1"], row["r2"], labelled), _mean(row["r2"], row["r4"], labelled)
    found.append(_measured("mean_residual", residual[0], residual[1], labelled, parameters, **common))
    half = normal_quantile(parameters.interval_level) * square[1]
    root = math.sqrt(max(square[0], 0.0))
    limits = (math.sqrt(max(square[0] - half, 0.0)), math.sqrt(square[0] + half))
    found.append(_measured("rmse", root, square[1] / (2 * root) if root else 0.0, labelled, parameters, limits=limits, **common))
    return found


def _not_compared(attribute: str, groups: pd.DataFrame, reference: str | None) -> list[Measurement]:
    """What stands for the comparisons of an attribute of which no two groups can be compared: no figure, and why."""
    note = f"only one group occurs: {groups.index[0]!r}" if len(groups) < 2 else "no group has enough labelled rows to be the reference"
    if reference is None and JOIN in attribute:
        note = "the reference group does not occur or has too few labelled rows"
    common: dict[str, Any] = {"attribute": attribute, "n": int(groups["count"].sum()), "state": State.INSUFFICIENT, "note": note}
    return [Measurement(metric=name, value=None, scale="log" if name == "rmse_ratio" else "identity", **common) for name in COMPARISONS]


def _against(attribute: str, group: tuple[str, pd.Series], reference: tuple[str, pd.Series], parameters: BiasParameters) -> list[Measurement]:
    sizes = [int(row["labelled"]) for _, row in (group, reference)]
    common: dict[str, Any] = {"attribute": attribute, "n": sum(sizes), "comparison": group[0], "reference": reference[0]}
    if min(sizes) < 2:
        note = f"too few labelled rows: {min(sizes)}"
        return [Measurement(metric=name, value=None, denominator=min(sizes), state=State.INSUFFICIENT, note=note, **common) for name in COMPARISONS]
    residuals = [_mean(row["r1"], row["r2"], n) for (_, row), n in zip((group, reference), sizes, strict=True)]
    squares = [_mean(row["r2"], row["r4"], n) for (_, row), n in zip((group, reference), sizes, strict=True)]
    error = math.hypot(residuals[0][1], residuals[1][1])
    found = [_measured("mean_residual_difference", residuals[0][0] - residuals[1][0], error, min(sizes), parameters, **common)]
    found.append(_standardised(residuals, sizes, parameters, common))
    if min(square[0] for square in squares) <= 0:
        note = "one of the errors is zero"
        return [*found, Measurement(metric="rmse_ratio", value=None, denominator=min(sizes), state=State.UNDEFINED, scale="log", note=note, **common)]
    ratio = math.sqrt(squares[0][0] / squares[1][0])
    error = math.hypot(*(square[1] / (2 * square[0]) for square in squares))
    half = normal_quantile(parameters.interval_level) * error
    limits = (ratio * math.exp(-half), ratio * math.exp(half))
    return [*found, _measured("rmse_ratio", ratio, error, min(sizes), parameters, limits=limits, scale="log", **common)]


def _standardised(
    residuals: Sequence[tuple[float, float]], sizes: Sequence[int], parameters: BiasParameters, common: Mapping[str, Any]
) -> Measurement:
    """Difference of two mean residuals over their pooled standard deviation; standard error of Hedges and Olkin (1985), chapter 5."""
    metric = "standardised_residual_difference"
    squares = sum((n - 1) * n * error * error for (_, error), n in zip(residuals, sizes, strict=True))  # n times the squared error is the variance
    pooled = math.sqrt(squares / (sum(sizes) - 2)) if sum(sizes) > 2 else 0.0
    if pooled == 0:
        note = "the residuals do not vary"
        return Measurement(metric=metric, value=None, denominator=min(sizes), state=State.UNDEFINED, note=note, **common)
    value = (residuals[0][0] - residuals[1][0]) / pooled
    error = math.sqrt(sum(sizes) / math.prod(sizes) + value * value / (2 * sum(sizes)))
    return _measured(metric, value, error, min(sizes), parameters, **common)


def _measured(
    metric: str, value: float, error: float, denominator: int, parameters: BiasParameters, *, limits: tuple[float, float] | None = None, **common: Any
) -> Measurement:
    half = normal_quantile(parameters.interval_level) * error
    low, high = limits or (value - half, value + half)
    few = denominator < parameters.min_group_n
    return Measurement(
        metric=metric,
        value=value,
        interval=Interval(low=min(low, value), high=max(high, value), level=parameters.interval_level, method="normal"),
        standard_error=error,
        denominator=denominator,
        state=State.INSUFFICIENT if few else State.MEASURED,
        note=f"{denominator} rows, fewer than {parameters.min_group_n}" if few else None,
        **common,
    )


def _mean(first: float, second: float, n: int) -> tuple[float, float]:
    """Mean and its standard error from the sums of a quantity and of its square."""
    mean = float(first) / n
    variance = max(float(second) / n - mean * mean, 0.0) * (n / (n - 1) if n > 1 else 1.0)
    return float(f"{mean:.{DIGITS}g}"), float(f"{math.sqrt(variance / n):.{DIGITS}g}")


def _reference(groups: pd.DataFrame, declared: Sequence[str], attribute: str, parameters: BiasParameters) -> str | None:
    if HIGHEST in declared:
        enough = groups[groups["labelled"] >= parameters.min_group_n]
        return str((enough["p1"] / enough["count"]).idxmax()) if len(enough) else None
    name = JOIN.join(declared)
    if name not in groups.index and len(declared) == 1:
        found = ", ".join(map(repr, groups.index[:5]))
        raise DataError(f"the reference group {name!r} does not occur in column {attribute!r} (found {found})", where="protected attributes")
    return name if name in groups.index else None
