"""A finding: one control judged on its evidence, with the figures that decided it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from rai_pipelines.evidence.model import Interval, Record
from rai_pipelines.policy.model import Area, Severity, Tier


class FindingStatus(StrEnum):
    """How a control came out. Only `pass` is a pass; `waived` is a failure that named people have excused for a time."""

    PASS = "pass"  # noqa: S105  (an outcome, not a password)
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    NOT_APPLICABLE = "not_applicable"
    MISSING = "missing"
    ERROR = "error"
    NOT_IN_FORCE = "not_in_force"
    WAIVED = "waived"


class Figure(Record):
    """One number held against one threshold.

    `threshold` is in words (`within [0.8, 1.25]`), `p_adjusted` the adjusted one-sided p of being outside it, and `decisive_n` how many
    rows (of the smaller group) would decide an undecided figure if its value stayed as it is.
    """

    label: str
    metric: str
    value: float | None
    interval: Interval | None = None
    n: int | None = None
    denominator: int | None = None
    threshold: str
    status: FindingStatus
    p_adjusted: float | None = Field(default=None, ge=0, le=1)
    decisive_n: int | None = Field(default=None, ge=1)
    note: str | None = None


class Judgement(Record):
    """What a check says about one control."""

    status: FindingStatus
    reason: str
    figures: tuple[Figure, ...] = ()


class Finding(Record):
    """A judgement with the control it is about and the digests of the evidence it rests on."""

    control: str
    area: Area
    tier: Tier
    severity: Severity
    statement: str
    status: FindingStatus
    reason: str
    figures: tuple[Figure, ...] = ()
    evidence: dict[str, str] = Field(default_factory=dict, description="Assessment to digest")


_WORST_FIRST = (
    FindingStatus.ERROR,
    FindingStatus.MISSING,
    FindingStatus.FAIL,
    FindingStatus.INCONCLUSIVE,
    FindingStatus.PASS,
)


def conclude(figures: tuple[Figure, ...], *, passed: str) -> Judgement:
    """The judgement that `figures` amount to: the worst of them decides, and the deciding ones are put in words.

    A control whose figures are all not applicable is not applicable; a control without figures is `missing`, never a pass.
    """
    if not figures:
        return Judgement(status=FindingStatus.MISSING, reason="The evidence holds no figure for this control")
    for status in _WORST_FIRST:
        deciding = [figure for figure in figures if figure.status is status]
        if deciding and status is FindingStatus.PASS:
            return Judgement(status=status, reason=passed, figures=figures)
        if deciding:
            return Judgement(status=status, reason=_in_words(deciding), figures=figures)
    return Judgement(status=FindingStatus.NOT_APPLICABLE, reason=figures[0].note or "Not applicable", figures=figures)


def _in_words(figures: list[Figure], *, most: int = 3) -> str:
    shown = "; ".join(describe(figure) for figure in figures[:most])
    rest = len(figures) - most
    return shown + (f"; and {rest} more" if rest > 0 else "")


def describe(figure: Figure) -> str:
    """One figure as a clause: label, value, interval, threshold, and what is in the way of a decision."""
    if figure.value is None:
        return f"{figure.label}: {figure.note or 'no value'}"
    text = f"{figure.label} is {figure.value:.4g}"
    if figure.interval:
        text += f" ({figure.interval.level:.0%} interval {figure.interval.low:.4g} to {figure.interval.high:.4g})"
    text += f", required {figure.threshold}"
    if figure.status is FindingStatus.INCONCLUSIVE and figure.decisive_n:
        text += f" (about {figure.decisive_n:,} rows in the smaller group would decide)"
    if figure.note and figure.status is not FindingStatus.PASS:
        text += f" [{figure.note}]"
    return text
