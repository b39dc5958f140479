"""What every check is made of: typed thresholds, the question it is asked, and figures that read missing when evidence lacks them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from rai_pipelines.clock import utc_today
from rai_pipelines.evidence.model import Evidence, Measurement
from rai_pipelines.policy.direction import Direction
from rai_pipelines.policy.findings import Figure, FindingStatus, Judgement
from rai_pipelines.policy.model import Statistics
from rai_pipelines.policy.sequential import alpha_at_look
from rai_pipelines.policy.three_state import Band, judge_exact


class Threshold(BaseModel):
    """Base of the typed thresholds and parameters of a check.

    Names say what is stricter: `..._max` and `max_...` lower, `..._min` and `min_...` higher. `stricter` says it for the other fields: a
    direction, or the allowed words from the loosest to the strictest. A change that neither covers needs a waiver. `family` names thresholds
    whose figures are tested together: one more of them asks for more and raises what it takes to fail the others, so it is not stricter.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)
    stricter: ClassVar[Mapping[str, Direction | tuple[str, ...]]] = {}
    family: ClassVar[frozenset[str]] = frozenset()


class NoParameters(Threshold):
    """For checks that take none."""


@dataclass(frozen=True)
class Question:
    """What a check is asked: the thresholds and parameters of one control, and the evidence it names; `look` counts new data, `day` is judged for."""

    threshold: Any
    parameters: Any
    evidence: Mapping[str, Evidence]
    statistics: Statistics
    release_class: str
    look: int = 1
    day: date = field(default_factory=utc_today)

    @property
    def alpha(self) -> float:
        """The level at which this look may fail the control."""
        return alpha_at_look(self.statistics.alpha, self.look, looks_per_year=self.statistics.looks_per_year)


@dataclass(frozen=True)
class Reads:
    """The metrics and details of one assessment that a check reads, whatever its thresholds."""

    metrics: frozenset[str]
    details: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Check:
    """One way to judge a control. `assessments` are the evidence it cannot do without.

    `also_reads` names the evidence that a threshold needs where a policy sets it. `reads` says, by assessment, which part of its evidence is
    read; an assessment that it does not name is read whole. `basis` says what a pass rests on: figures of data, model or logs that this
    project measured, or what people declared or signed. `if_red` tells the model's owner what to do.
    """

    name: str
    assessments: tuple[str, ...]
    threshold: type[BaseModel]
    judge: Callable[[Question], Judgement]
    parameters: type[BaseModel] = NoParameters
    also_reads: Mapping[str, str] = field(default_factory=dict)
    reads: Mapping[str, Reads] = field(default_factory=dict)
    basis: Literal["measured", "declared"] = "measured"
    if_red: str = ""


def exact_figures(evidence: Evidence, bands: Mapping[str, Band]) -> tuple[Figure, ...]:
    """A figure, judged exactly, for every measurement of every banded metric; a metric that is absent reads missing."""
    figures: list[Figure] = []
    for metric, band in bands.items():
        found = evidence.find(metric)
        figures += [judge_exact(label_of(item), item, band) for item in found] or [absent_figure(metric, str(band))]
    return tuple(figures)


def absent_figure(metric: str, threshold: str) -> Figure:
    """The figure that stands for a metric which the evidence does not hold: missing, never a pass."""
    return Figure(
        label=metric.replace("_", " "), metric=metric, value=None, threshold=threshold, status=FindingStatus.MISSING, note="not in the evidence"
    )


def label_of(measurement: Measurement) -> str:
    """The metric in words, with its attribute."""
    name = measurement.metric.replace("_", " ")
    return f"{name} of {measurement.attribute}" if measurement.attribute else name
