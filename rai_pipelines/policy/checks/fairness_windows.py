"""Judges fairness in production, window by window: a gap fails when it has lasted, and passes when the newest windows all stay within bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from rai_pipelines.evidence.model import Evidence, Measurement, State
from rai_pipelines.policy.checks.base import Check, Question, Reads, Threshold, absent_figure
from rai_pipelines.policy.direction import Direction
from rai_pipelines.policy.findings import Figure, FindingStatus, Judgement, conclude
from rai_pipelines.policy.three_state import Band, Judged, judge_family, p_outside

EVIDENCE = "fairness_windows"
METRICS = ("demographic_parity_difference", "equalized_odds_difference")


class FairnessWindowsThreshold(Threshold):
    """Largest differences between groups in a window, and in how many windows in a row one must be exceeded to fail.

    `newest_decision_age_days_max` absent: nobody asks how long ago the newest decision was made.
    """

    stricter: ClassVar[Mapping[str, Direction | tuple[str, ...]]] = {"windows_in_a_row": Direction.LOWER}
    demographic_parity_difference_max: float = Field(gt=0, lt=1)
    equalized_odds_difference_max: float | None = Field(default=None, gt=0, lt=1)
    windows_in_a_row: int = Field(default=2, ge=1, le=12)
    newest_decision_age_days_max: int | None = Field(default=None, ge=1)


class FairnessWindowsParameters(Threshold):
    """What the assessment takes from the policy: decisions in a window, and the share of known outcomes below which errors are not compared."""

    stricter: ClassVar[Mapping[str, Direction | tuple[str, ...]]] = {"window_decisions": Direction.NO_ORDER}
    window_decisions: int = Field(default=5_000, ge=100, le=10_000_000)
    min_label_coverage: float = Field(default=0.6, ge=0, le=1)


def judge_fairness_windows(question: Question) -> Judgement:
    """Every attribute and difference is one member of a family, tested by the mildest of its newest complete windows.

    That all of several windows exceed a bound is shown when the least significant of them does (intersection-union test; Berger 1982), which is
    what Holm's adjustment over the family is made from. All windows inside, intervals included: pass. Anything between is undecided, and so is
    an attribute with too few complete windows, or without enough rows or known outcomes in them.
    """
    threshold: FairnessWindowsThreshold = question.threshold
    evidence = question.evidence[EVIDENCE]
    bands = {"demographic_parity_difference": Band(high=threshold.demographic_parity_difference_max)}
    if threshold.equalized_odds_difference_max is not None:
        bands["equalized_odds_difference"] = Band(high=threshold.equalized_odds_difference_max)
    newest = _newest_complete(evidence, threshold.windows_in_a_row)
    figures: list[Figure] = []
    runs: list[tuple[Judged, list[Measurement]]] = []
    for metric, band in bands.items():
        found = evidence.find(metric)
        if not found:
            figures.append(absent_figure(metric, str(band)))
        for attribute in dict.fromkeys(item.attribute for item in found):
            of_windows = [item for item in found if item.attribute == attribute and item.group in newest]
            name = f"{metric.replace('_', ' ')} of {attribute}"
            if any(item.attribute == attribute and item.group is None for item in found):
                figures.append(_undecided(name, metric, band, "the production table does not hold this attribute", FindingStatus.MISSING))
            elif len(newest) < threshold.windows_in_a_row or len(of_windows) < len(newest):
                told = f"{len(newest)} complete windows of {threshold.windows_in_a_row}"
                figures.append(_undecided(name, metric, band, told, FindingStatus.INCONCLUSIVE))
            elif any(item.state is not State.MEASURED for item in of_windows):
                first = next(item for item in of_windows if item.state is not State.MEASURED)
                figures.append(_undecided(name, metric, band, f"{first.group}: {first.note or first.state.value}", FindingStatus.INCONCLUSIVE))
            else:
                mildest = max(of_windows, key=lambda item: (_p(item, band), -(item.value or 0.0)))
                runs.append((Judged(f"{name}, in the mildest of {len(of_windows)} windows", mildest, band), of_windows))
    alpha = question.statistics.alpha  # looks at the evaluation table do not count: a window is new data
    judged = judge_family([item for item, _ in runs], alpha=alpha)
    figures += [_of_run(figure, of_windows, item.band) for figure, (item, of_windows) in zip(judged, runs, strict=True)]
    figures += list(_age(question, evidence, threshold.newest_decision_age_days_max))
    return conclude(tuple(figures), passed="In the newest windows every attribute stays within its bounds, intervals included")


def _newest_complete(evidence: Evidence, wanted: int) -> tuple[str, ...]:
    """Names of the newest complete windows, at most `wanted`."""
    windows: Any = evidence.detail("windows", [])
    return tuple(f"window {item['window']}" for item in windows if item["complete"])[-wanted:]


def _p(item: Measurement, band: Band) -> float:
    p = p_outside(item, band)
    return 1.0 if p is None else p


def _of_run(figure: Figure, of_windows: Sequence[Measurement], band: Band) -> Figure:
    """The mildest window passes for all only where each of them does by itself."""
    intervals = [item.interval for item in of_windows]
    inside = all(band.contains(item.value or 0.0) for item in of_windows) and all(found and band.contains(found.high) for found in intervals)
    values = ", ".join(f"{item.group}: {item.value:.3g}" for item in of_windows)
    status = FindingStatus.INCONCLUSIVE if figure.status is FindingStatus.PASS and not inside else figure.status
    return figure.model_copy(update={"status": status, "note": "; ".join(text for text in (values, figure.note) if text)})


def _age(question: Question, evidence: Evidence, most: int | None) -> Iterator[Figure]:
    """Days between the newest decision and the day of the verdict: windows that ended long ago say nothing of today."""
    if most is None:
        return
    band, windows = Band(high=most), evidence.detail("windows")
    if not isinstance(windows, list) or not windows:
        yield absent_figure("newest_decision_age_days", str(band))
        return
    newest: Any = windows[-1]
    age = (question.day - datetime.fromisoformat(str(newest["to"])).date()).days
    status = FindingStatus.PASS if 0 <= age <= most else FindingStatus.FAIL
    yield Figure(label="days since the newest decision", metric="newest_decision_age_days", value=float(age), threshold=str(band), status=status)


def _undecided(label: str, metric: str, band: Band, note: str, status: FindingStatus) -> Figure:
    return Figure(label=label, metric=metric, value=None, threshold=str(band), status=status, note=note)


CHECKS = (
    Check(
        "windowed_fairness",
        (EVIDENCE,),
        FairnessWindowsThreshold,
        judge_fairness_windows,
        FairnessWindowsParameters,
        reads={EVIDENCE: Reads(frozenset(METRICS), frozenset(("windows",)))},
        if_red="Look at the windows in the evidence: since when, and for which group; see whether inputs or people changed (drift_report), mitigate "
        "and register a new version, and hold back decisions on that group meanwhile",
    ),
)
