"""Attribute disclosure: what the classes of equal rows give away about a sensitive attribute, as measurements.

Sources: those of `tables.class_diversity`.
"""

from __future__ import annotations

from collections.abc import Sequence

from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.tables.class_diversity import Diversity
from rai_pipelines.tables.equivalence_classes import EquivalenceClasses

SENSITIVE_METRICS = (
    "l_distinct_minimum", "l_entropy_minimum", "t_maximum", "alpha_maximum", "recursive_c_for_l2", "recursive_c_for_l3",
    "beta_likeness_maximum", "beta_likeness_enhanced_maximum", "delta_disclosure_maximum", "delta_disclosure_present_maximum",
)  # fmt: skip
GROUND = {"ordered_emd": "earth mover's distance over ranks", "total_variation": "total variation distance"}


def sensitive_measurements(classes: EquivalenceClasses | None, sensitive: Sequence[str], rows: int) -> tuple[Measurement, ...]:
    """The measurements of `SENSITIVE_METRICS` for each sensitive attribute; undefined, with the reason, where a definition has no finite figure."""
    if classes is None or not sensitive:
        missing = "quasi-identifiers" if classes is None else "sensitive attributes"
        note = f"the datasheet declares no {missing}, so attribute disclosure was not measured"
        names: Sequence[str | None] = tuple(sensitive) or (None,)
        unavailable = State.UNAVAILABLE
        return tuple(
            Measurement(metric=metric, value=None, n=rows, attribute=name, state=unavailable, note=note)
            for name in names
            for metric in SENSITIVE_METRICS
        )
    return tuple(item for name in dict.fromkeys(sensitive) for item in _diversity(name, classes.diversity.get(name), rows))


def _diversity(name: str, found: Diversity | None, rows: int) -> tuple[Measurement, ...]:
    if found is None:
        note = "is a quasi-identifier too: every class has one value of it by construction"
        return tuple(Measurement(metric=metric, value=None, n=rows, attribute=name, state=State.UNDEFINED, note=note) for metric in SENSITIVE_METRICS)
    constant = "the attribute has one value in the whole table" if found.values == 1 else None
    ground = GROUND[found.distance]
    if found.closeness_slack:
        ground += f"; an upper bound, at most {found.closeness_slack:.2g} above the exact figure, because there are too many values to rank"
    present = "over the values that a class has; the definition also counts absent ones" if found.delta is None else constant
    figures: dict[str, tuple[float | None, str | None]] = {
        "l_distinct_minimum": (found.distinct_minimum, constant),
        "l_entropy_minimum": (found.entropy_l, constant),
        "t_maximum": (found.closeness, ground),
        "alpha_maximum": (found.alpha, constant),
        "beta_likeness_maximum": (found.beta, constant),
        "beta_likeness_enhanced_maximum": (
            found.beta_enhanced, constant if found.beta_enhanced is not None else "a value gains more than -ln of its share: no beta is enough",
        ),
        "delta_disclosure_maximum": (found.delta, constant if found.delta is not None else "a class lacks a value: no delta is enough"),
        "delta_disclosure_present_maximum": (found.delta_present, present),
    }  # fmt: skip
    for wanted, bound in found.recursive_c.items():
        fewer = f"a class has fewer than {wanted} values: no c is enough"
        figures[f"recursive_c_for_l{wanted}"] = (bound, f"every c above it holds for l = {wanted}" if bound is not None else fewer)
    return tuple(
        Measurement(
            metric=metric,
            value=figures[metric][0],
            n=rows,
            attribute=name,
            state=State.UNDEFINED if figures[metric][0] is None else State.MEASURED,
            note=figures[metric][1],
        )
        for metric in SENSITIVE_METRICS
    )
