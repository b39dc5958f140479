"""Judges group fairness: impact ratios and equalized odds of every declared attribute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rai_pipelines.evidence.model import Evidence, Measurement, State
from rai_pipelines.policy.checks.base import Check, Question, Reads, Threshold, absent_figure
from rai_pipelines.policy.direction import Direction
from rai_pipelines.policy.findings import Figure, FindingStatus, Judgement, conclude
from rai_pipelines.policy.three_state import Band, Judged, judge_family, p_outside

SHOWN_INTERSECTIONS = 5
INTERSECTION = " × "  # joins the attributes of an intersection; no attribute has it in its own name
BOUNDED = ("equalized_odds_difference", "demographic_parity_difference", "auc_gap", "calibration_gap")  # by a threshold `<metric>_max`
AGAINST_REFERENCE = ("impact_ratio", "rmse_ratio", "standardised_residual_difference")  # a figure for every group but the reference


def _ascending(band: tuple[float, float]) -> tuple[float, float]:
    if not 0 < band[0] < band[1]:
        raise ValueError(f"band is upside down or not positive: [{band[0]:g}, {band[1]:g}]; write [low, high] with 0 < low < high")
    return band


RatioBand = Annotated[tuple[float, float], AfterValidator(_ascending)]


class RegressionThreshold(Threshold):
    """For a model that predicts numbers: how different its errors may be between a group and its reference.

    `residual_difference_max` bounds the difference of mean residuals, either way, in standard deviations of the residuals (Cohen's d).
    """

    stricter: ClassVar[Mapping[str, Direction | tuple[str, ...]]] = {"rmse_ratio": Direction.NARROWER}
    rmse_ratio: RatioBand
    residual_difference_max: float = Field(gt=0)


class GroupFairnessThreshold(Threshold):
    """Allowed band of impact ratios and the largest equalized odds difference; at least one of them. Regressions have their own."""

    stricter: ClassVar[Mapping[str, Direction | tuple[str, ...]]] = {"impact_ratio": Direction.NARROWER}
    family: ClassVar[frozenset[str]] = frozenset(("impact_ratio", *(f"{metric}_max" for metric in BOUNDED)))
    impact_ratio: RatioBand | None = None
    equalized_odds_difference_max: float | None = Field(default=None, gt=0, lt=1)
    demographic_parity_difference_max: float | None = Field(default=None, gt=0, lt=1)
    auc_gap_max: float | None = Field(default=None, gt=0, lt=1)
    calibration_gap_max: float | None = Field(default=None, gt=0, lt=1)
    regression: RegressionThreshold | None = None

    @model_validator(mode="after")
    def _something_is_asked(self) -> Self:
        if self.impact_ratio is None and self.equalized_odds_difference_max is None and self.demographic_parity_difference_max is None:
            raise ValueError("name impact_ratio, equalized_odds_difference_max or demographic_parity_difference_max")
        return self


class GroupFairnessParameters(Threshold):
    """What an intersection outside its threshold does: ask for a review, or be listed only."""

    stricter: ClassVar[Mapping[str, Direction | tuple[str, ...]]] = {"intersections": ("disclose", "review")}
    intersections: Literal["review", "disclose"] = "review"


def judge_group_fairness(question: Question) -> Judgement:
    """All attributes and groups form one family for Holm; groups too small to judge are disclosed, and decide when they are many."""
    threshold: GroupFairnessThreshold = question.threshold
    evidence = question.evidence["bias_assessment"]
    bands = _asked(threshold, evidence)
    items = declared_comparisons(threshold, evidence)
    figures = judge_family(items, alpha=question.alpha)
    figures += tuple(_gaps(items, evidence, threshold))
    figures += tuple(_disclosure(evidence, question.statistics.insufficient_share_max))
    figures += tuple(_intersections(question, bands))
    return conclude(figures, passed="Every declared attribute stays within its thresholds, interval included")


def declared_comparisons(threshold: GroupFairnessThreshold, evidence: Evidence) -> list[Judged]:
    """What is judged as one family: every figure that the policy asks for of every declared attribute, but groups too small to judge."""
    bands = _asked(threshold, evidence)
    return [
        Judged(_label(item, evidence), item, bands[item.metric])
        for item in evidence.among(bands)
        if not _is_intersection(item) and not _too_small_a_group(item)
    ]


def _intersections(question: Question, bands: Mapping[str, Band]) -> Iterator[Figure]:
    """Intersections are explored, not declared: with a false discovery rate of alpha those outside their band ask for a look, and fail nothing.

    Benjamini and Hochberg (1995); they would have to be found again on new data to be more than a discovery.
    """
    evidence = question.evidence["bias_assessment"]
    found = [(item, bands[item.metric]) for item in evidence.among(bands) if _is_intersection(item)]
    tested = [(item, band, p) for item, band in found if (p := p_outside(item, band)) is not None]
    if not tested:
        return
    from scipy.stats import false_discovery_control

    adjusted = [float(q) for q in false_discovery_control([p for _, _, p in tested])]
    discovered = sorted(
        ((q, item, band) for (item, band, _), q in zip(tested, adjusted, strict=True) if q < question.alpha),
        key=lambda entry: (entry[0], entry[1].metric, str(entry[1].attribute), str(entry[1].comparison)),
    )
    undecided = FindingStatus.PASS if question.parameters.intersections == "disclose" else FindingStatus.INCONCLUSIVE
    yield Figure(
        label="intersections outside their thresholds",
        metric="intersections_outside",
        value=len(discovered),
        n=len(tested),
        denominator=len(tested),
        threshold="none (explored, at a false discovery rate)",
        status=undecided if discovered else FindingStatus.PASS,
        note=f"{len(found) - len(tested)} comparisons have too few rows" if len(found) > len(tested) else None,
    )
    for q, item, band in discovered[:SHOWN_INTERSECTIONS]:
        yield Figure(
            label=_label(item, evidence),
            metric=item.metric,
            value=item.value,
            interval=item.interval,
            n=item.n,
            denominator=item.denominator,
            threshold=str(band),
            status=undecided,
            p_adjusted=q,
            note="explored, not declared: to be confirmed on new data",
        )


def _asked(threshold: GroupFairnessThreshold, evidence: Evidence) -> dict[str, Band]:
    """The metrics that the policy asks for in a model of this task, with their bands."""
    bands: dict[str, Band] = {}
    regression = threshold.regression
    if evidence.detail("task") == "regression" and regression is not None:
        largest = regression.residual_difference_max
        return {"rmse_ratio": Band(*regression.rmse_ratio), "standardised_residual_difference": Band(low=-largest, high=largest)}
    if threshold.impact_ratio:
        bands["impact_ratio"] = Band(*threshold.impact_ratio)
    for metric in BOUNDED:
        largest = getattr(threshold, f"{metric}_max")
        if largest is not None:
            bands[metric] = Band(high=largest)
    return bands


def _gaps(items: list[Judged], evidence: Evidence, threshold: GroupFairnessThreshold) -> list[Figure]:
    """A figure for every metric that is asked for and not judged: missing altogether, or undecided for an attribute whose groups are too small.

    Without it, an attribute of which nothing could be compared would pass by having nothing against it. The attributes are those that the
    assessment lists, whether or not it has a figure of them.
    """
    judged = {(item.measurement.metric, item.measurement.attribute) for item in items}
    groups: Any = evidence.detail("groups", {})
    gaps = []
    for metric, band in _asked(threshold, evidence).items():
        attributes = {item.attribute for item in evidence.find(metric) if not _is_intersection(item)}
        if not attributes:
            gaps.append(absent_figure(metric, str(band)))
        elif None not in attributes:  # a figure without an attribute says of all of them why there is none
            attributes |= {name for name in groups if INTERSECTION not in name}
        for attribute in sorted(str(name) for name in attributes if (metric, name) not in judged):
            gaps.append(
                Figure(
                    label=f"{metric.replace('_', ' ')} of {attribute}",
                    metric=metric,
                    value=None,
                    threshold=str(band),
                    status=FindingStatus.INCONCLUSIVE,
                    note="no group has enough rows to be compared",
                )
            )
    return gaps


def _is_intersection(measurement: Measurement) -> bool:
    return INTERSECTION in (measurement.attribute or "")


def _too_small_a_group(measurement: Measurement) -> bool:
    """One small group of an attribute is disclosed by `_disclosure`; a whole attribute without a figure stays in the family."""
    return measurement.metric in AGAINST_REFERENCE and measurement.state is State.INSUFFICIENT and measurement.comparison is not None


def _label(measurement: Measurement, evidence: Evidence) -> str:
    metric = measurement.metric.replace("_", " ") + (f" for class {measurement.outcome}" if measurement.outcome is not None else "")
    if measurement.comparison is not None and measurement.reference is not None:
        compared, reference = (evidence.spoken(measurement.attribute, group) for group in (measurement.comparison, measurement.reference))
        return f"{metric} of {measurement.attribute}={compared} against {reference}"
    return f"{metric} of {measurement.attribute}"


def _disclosure(evidence: Evidence, share_max: float) -> list[Figure]:
    """For each attribute: the share of rows in groups that are too small to judge."""
    groups: Any = evidence.detail("groups", {})
    total: Any = evidence.detail("rows")
    figures = []
    for attribute, facts in sorted(groups.items()):
        small = facts.get("insufficient", {})
        if not small or not total or INTERSECTION in attribute:
            continue
        rows = sum(int(count) for count in small.values())
        share = rows / int(total)
        figures.append(
            Figure(
                label=f"rows of {attribute} in groups too small to judge",
                metric="insufficient_share",
                value=share,
                n=int(total),
                denominator=int(total),
                threshold=str(Band(high=share_max)),
                status=FindingStatus.PASS if Band(high=share_max).contains(share) else FindingStatus.INCONCLUSIVE,
                note="too few rows or outcomes: "
                + ", ".join(f"{evidence.spoken(attribute, group)}, n={count}" for group, count in sorted(small.items())),
            )
        )
    return figures


CHECKS = (
    Check(
        "group_fairness",
        ("bias_assessment",),
        GroupFairnessThreshold,
        judge_group_fairness,
        GroupFairnessParameters,
        reads={"bias_assessment": Reads(frozenset((*AGAINST_REFERENCE, *BOUNDED)), frozenset(("task", "groups", "rows")))},
        if_red="Read which group is outside and on how many rows; look for the cause in data and features, mitigate (reweighing, thresholds, other "
        "features) and register a new version; where the finding is undecided, evaluate on more rows of the smaller group",
    ),
)
