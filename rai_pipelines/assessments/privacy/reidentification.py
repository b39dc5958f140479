"""Re-identification: class sizes as risks of the three attackers of El Emam 2013, and the three questions of WP216.

The prosecutor knows that a person is in the table; the journalist does not and needs the population; the marketer wants as many correct matches
as possible. Sources: El Emam 2013 (Guide to the De-Identification of Personal Health Information), chapter 16; Article 29 Working Party opinion
05/2014 (WP216): singling out, linkability, inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rai_pipelines.assessments.statistics.proportions import proportion
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.tables.class_examples import WorstClass, worst_classes
from rai_pipelines.tables.class_links import PopulationClasses, population_classes, unique_links
from rai_pipelines.tables.equivalence_classes import EquivalenceClasses

if TYPE_CHECKING:
    from rai_pipelines.assessments.privacy.parameters import AnonymityParameters
    from rai_pipelines.tables.source import TableSource

CLASS_METRICS = (
    "k_minimum", "class_count", "rows_below_k", "singling_out_share", "prosecutor_risk_maximum", "prosecutor_risk_average",
    "prosecutor_rows_at_risk", "journalist_risk_maximum", "journalist_risk_average", "journalist_rows_at_risk", "marketer_risk",
)  # fmt: skip
SUPPRESSED = "*"
BOUND = "no population is declared: the figure is the prosecutor's, which bounds the journalist's from above"
LINK_NOTE = "rows that are unique on the quasi-identifiers and whose combination occurs in the evaluation table"
NO_QUASI = "the datasheet declares no quasi-identifiers, so re-identification was not measured"


def class_measurements(
    classes: EquivalenceClasses | None, rows: int, parameters: AnonymityParameters, population: PopulationClasses | None = None
) -> tuple[Measurement, ...]:
    """`k_minimum`, `class_count`, `rows_below_k`, `singling_out_share`, and the risks of prosecutor, journalist and marketer.

    A `..._rows_at_risk` is the share of rows whose own risk is above `risk_threshold`. Journalist: 1 / min F, and the larger of classes / sum F
    and matches / rows. Marketer: matches / rows, which is classes / rows when no population is given.
    """
    if classes is None:
        return tuple(Measurement(metric=metric, value=None, n=rows, state=State.UNAVAILABLE, note=NO_QUASI) for metric in CLASS_METRICS)
    alone = classes.unique_rows
    at_risk = classes.rows_above_risk(parameters.risk_threshold)
    threshold = f"rows with a risk above {parameters.risk_threshold}"
    if population is None:
        journalist = (1 / classes.k, classes.classes / rows, at_risk / rows)
        marketer = classes.classes / rows
    else:
        average = max(population.classes / population.population_rows, population.matches / rows)
        journalist = (1 / population.smallest, average, population.above / rows)
        marketer = population.matches / rows
    bound = BOUND if population is None else _population_note(population)
    return (
        Measurement(metric="k_minimum", value=classes.k, n=rows),
        Measurement(metric="class_count", value=classes.classes, n=rows),
        Measurement(
            metric="rows_below_k", value=classes.rows_below(parameters.k_report) / rows, n=rows, denominator=rows, note=f"k = {parameters.k_report}"
        ),
        Measurement(
            metric="singling_out_share", value=alone / rows, interval=proportion(alone, rows, parameters.level).interval, n=rows, denominator=rows
        ),
        Measurement(metric="prosecutor_risk_maximum", value=1 / classes.k, n=rows),
        Measurement(metric="prosecutor_risk_average", value=classes.classes / rows, n=rows, denominator=rows),
        Measurement(metric="prosecutor_rows_at_risk", value=at_risk / rows, n=rows, denominator=rows, note=threshold),
        Measurement(metric="journalist_risk_maximum", value=journalist[0], n=rows, note=bound),
        Measurement(metric="journalist_risk_average", value=journalist[1], n=rows, denominator=rows, note=bound),
        Measurement(metric="journalist_rows_at_risk", value=journalist[2], n=rows, denominator=rows, note=f"{threshold}; {bound}"),
        Measurement(metric="marketer_risk", value=marketer, n=rows, denominator=rows, note=BOUND if population is None else bound),
    )


def measured_population(
    source: TableSource, population: TableSource | None, quasi: Sequence[str], parameters: AnonymityParameters
) -> PopulationClasses | None:
    """The classes of the table in `population`, or None when there is none or nothing to look up.

    Raises:
        DataError: the population lacks a quasi-identifier or is empty.
    """
    return population_classes(source, population, quasi, risk=parameters.risk_threshold) if population is not None and quasi else None


def wp216(
    source: TableSource,
    evaluation: TableSource | None,
    quasi: Sequence[str],
    classes: EquivalenceClasses | None,
    *,
    rows: int,
    parameters: AnonymityParameters,
) -> tuple[tuple[Measurement, ...], dict[str, Any]]:
    """`linkability_share`, `inference_share` for each sensitive attribute, and the three questions of WP216 as details.

    Linkability is measured by a proxy, since the other data of an attacker are unknown: the share of rows that are unique on the
    quasi-identifiers and find their combination in the evaluation table. Some of these are different people, so it is not a count of links.
    """
    link = _linkability(source, evaluation, quasi, rows, parameters)
    inference = _inference(classes, rows, parameters)
    unavailable: dict[str, Any] = {"state": State.UNAVAILABLE.value}
    details = {
        "singling_out": unavailable if classes is None else {"unique_rows": classes.unique_rows, "of": rows},
        "linkability": {"share": link.value, "of": rows, "proxy": link.note},
        "inference": [{"attribute": item.attribute, "share": item.value, "of": rows} for item in inference],
    }
    return (link, *inference), {"wp216": details}


def class_details(
    source: TableSource, quasi: Sequence[str], sensitive: Sequence[str], classes: EquivalenceClasses | None, parameters: AnonymityParameters
) -> dict[str, Any]:
    """Sizes only: the values of a small class would single its people out."""
    if classes is None:
        return {"class_size_histogram": [], "class_sizes_not_listed": 0, "worst_classes": []}
    listed = classes.sizes[: parameters.histogram_cap]
    worst = worst_classes(source, quasi, sensitive, classes.sizes)
    return {
        "class_size_histogram": [[size, count] for size, count in listed],
        "class_sizes_not_listed": len(classes.sizes) - len(listed),
        "worst_classes": [_suppressed(item, quasi) for item in worst],
    }


def _suppressed(item: WorstClass, quasi: Sequence[str]) -> dict[str, Any]:
    return {"rows": item.rows, "quasi_identifiers": dict.fromkeys(quasi, SUPPRESSED), "homogeneous": list(item.homogeneous)}


def _population_note(population: PopulationClasses) -> str:
    note = "against the declared population"
    if population.short_classes:
        note += f"; {population.short_classes} classes have fewer rows there than here, so it does not hold everyone: their own size was taken"
    return note


def _linkability(
    source: TableSource, evaluation: TableSource | None, quasi: Sequence[str], rows: int, parameters: AnonymityParameters
) -> Measurement:
    reason = None
    if not quasi:
        reason = "no quasi-identifiers are declared"
    elif evaluation is None:
        reason = "there is no second table to link with"
    elif any(name not in evaluation.columns for name in quasi):
        absent = [name for name in quasi if name not in evaluation.columns]
        reason = f"the {evaluation.name} table lacks {', '.join(map(repr, absent))}"
    if reason is not None or evaluation is None:
        return Measurement(metric="linkability_share", value=None, n=rows, state=State.UNAVAILABLE, note=reason)
    links = unique_links(source, evaluation, quasi)
    return Measurement(
        metric="linkability_share",
        value=links.linked / rows,
        interval=proportion(links.linked, rows, parameters.level).interval,
        n=rows,
        denominator=rows,
        note=LINK_NOTE,
    )


def _inference(classes: EquivalenceClasses | None, rows: int, parameters: AnonymityParameters) -> tuple[Measurement, ...]:
    note = f"rows in classes where one value has a share of at least {parameters.inference_share}"
    if classes is None or not classes.diversity:
        missing = "no quasi-identifiers are declared" if classes is None else "no sensitive attribute besides the quasi-identifiers is declared"
        return (Measurement(metric="inference_share", value=None, n=rows, state=State.UNAVAILABLE, note=missing),)
    return tuple(
        Measurement(
            metric="inference_share",
            value=found.inferred_rows / rows,
            interval=proportion(found.inferred_rows, rows, parameters.level).interval,
            n=rows,
            denominator=rows,
            attribute=name,
            note=note + ("; the attribute has one value in the whole table" if found.values == 1 else ""),
        )
        for name, found in classes.diversity.items()
    )
