"""Group fairness of a model with several classes: each class against the rest, and the mean over classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rai_pipelines.assessments.base import Measured
from rai_pipelines.assessments.fairness.groups import group_counts
from rai_pipelines.assessments.fairness.lattice import BiasParameters, measure_tables
from rai_pipelines.evidence.model import Interval, Measurement, State
from rai_pipelines.tables.outcomes import one_vs_rest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

MACRO = "macro_"


def measure_multiclass(
    counts: pd.DataFrame,
    *,
    classes: Sequence[str],
    attributes: Mapping[str, str],
    parameters: BiasParameters,
    seed: int,
    depth: int,
    labels: Mapping[str, Mapping[str, str]] | None = None,
) -> Measured:
    """Bias figures of a table of `count_classes`.

    Returns:
        The measurements of `measure_tables` for each class with `outcome` naming it; and per group `macro_<rate>`, the mean of the rate over
        all classes, INSUFFICIENT where one of them is. Its interval is the mean of the limits, which covers at least as often as they do
        together when they are positively dependent and is wide otherwise: it is for orientation, and no control reads it. A group
        counts as insufficient in the details where it is for one class or more.
    """
    measurements: list[Measurement] = []
    details: dict[str, Any] = {"outcomes": {}}
    of_rates: dict[tuple[str, str, str], list[Measurement]] = {}
    for position, outcome in enumerate(classes):
        tables = group_counts(one_vs_rest(counts, outcome), list(attributes), depth=depth)
        measured = measure_tables(tables, attributes=attributes, parameters=parameters, seed=seed + position, labels=labels)
        shown = [item.model_copy(update={"outcome": outcome}) for item in measured.measurements]
        measurements += shown
        details["outcomes"][outcome] = dict(measured.details)
        for item in shown:
            if item.group is not None and item.attribute is not None:
                of_rates.setdefault((item.metric, item.attribute, item.group), []).append(item)
    first = details["outcomes"][classes[0]]
    details |= {name: first[name] for name in ("rows", "unlabelled_rows", "resamples", "rows_counted_as")}
    details["groups"] = {name: _of_all_classes([details["outcomes"][outcome]["groups"][name] for outcome in classes]) for name in first["groups"]}
    return Measured(measurements=(*measurements, *(_macro(items, len(classes)) for items in of_rates.values())), details=details)


def _of_all_classes(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The facts about the groups of one attribute: a group that one class leaves out of its comparisons is not wholly judged."""
    insufficient: dict[str, int] = {}
    few: dict[str, dict[str, int]] = {}
    for of_class in facts:
        insufficient |= of_class["insufficient"]
        for rate, groups in of_class["insufficient_denominator"].items():
            known = few.setdefault(rate, {})
            known |= {group: min(number, known.get(group, number)) for group, number in groups.items()}
    sorted_few = {rate: dict(sorted(groups.items())) for rate, groups in few.items()}
    return {**facts[0], "insufficient": dict(sorted(insufficient.items())), "insufficient_denominator": sorted_few}


def _macro(items: Sequence[Measurement], classes: int) -> Measurement:
    """The mean of one rate of one group over all classes."""
    first = items[0]
    values = [item.value for item in items if item.value is not None]
    common: dict[str, Any] = {"metric": MACRO + first.metric, "attribute": first.attribute, "group": first.group, "n": first.n}
    if len(values) < classes:
        return Measurement(**common, value=None, state=State.UNDEFINED, note=f"the rate exists for {len(values)} of {classes} classes")
    limits = [item.interval for item in items if item.interval is not None]
    level = limits[0].level
    mean = Interval(
        low=sum(limit.low for limit in limits) / classes, high=sum(limit.high for limit in limits) / classes, level=level, method="mean of limits"
    )
    few = [str(item.outcome) for item in items if item.state is State.INSUFFICIENT]
    return Measurement(
        **common,
        value=sum(values) / classes,
        interval=mean,
        denominator=min(item.denominator or 0 for item in items),
        state=State.INSUFFICIENT if few else State.MEASURED,
        note=f"too few rows for class {', '.join(few[:5])}" if few else f"mean over {classes} classes",
    )
