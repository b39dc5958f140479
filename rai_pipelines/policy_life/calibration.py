"""How often the thresholds of a policy err on a subject's data: flips between two audits of the same thing, and detection of a planted disparity.

An A/A comparison judges two draws of the same world; a finding that flips between them is luck. Fairness thresholds are simulated from the
stored counts of groups; other figures from their stored intervals, as normal. Every share comes with its Monte Carlo interval.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from pydantic import Field

from rai_pipelines.audit import Auditor
from rai_pipelines.clock import utc_today
from rai_pipelines.errors import EvidenceError
from rai_pipelines.evidence.model import Evidence, Measurement, Record, State, Status
from rai_pipelines.policy.checks.registry import checks
from rai_pipelines.policy.findings import Figure, FindingStatus
from rai_pipelines.policy.model import Control, Policy
from rai_pipelines.policy.sequential import alpha_at_look
from rai_pipelines.policy.verdict import Asked, judge_control
from rai_pipelines.policy_life.simulated_groups import BIAS, FAIRNESS, Planted, simulate_groups
from rai_pipelines.steps import steps
from rai_pipelines.subjects.names import ModelVersion

LEVEL, POWER = 0.95, 0.80
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
AS_STORED = "counts of decisions do not tell how it varies: it stays as stored, and is counted among what is tested together"
DECIDED = (FindingStatus.PASS, FindingStatus.INCONCLUSIVE, FindingStatus.FAIL)
ASSUMPTIONS = (
    "groups keep their sizes; under no disparity they all share the pooled shares of decisions and outcomes",
    "attributes are drawn independently of each other, and rows of each other",
    "a planted disparity is in one group of one attribute, the smallest that is judged; everything else is without disparity",
    "figures without counts are redrawn around their stored values, as normal and independent of each other",
)


class Share(Record):
    """A share of simulated audits with its exact Monte Carlo interval (Clopper and Pearson, 95 %)."""

    value: float
    low: float
    high: float
    n: int


class ThresholdCalibration(Record):
    """How one threshold behaves for one attribute (fairness) or for the whole control.

    `flip_rate`: pairs of audits of the same world that come out differently. `power`: audits that fail where `planted` is true.
    `false_fail`: audits that fail where there is no disparity. `detectable`: for figures with a stored interval, the true value from which on at
    least 80 % of audits fail (normal approximation, at the strictest step of Holm's procedure; of the least certain figure of each metric).
    """

    control: str
    threshold: str
    attribute: str | None = None
    method: Literal["counts", "stored_intervals", "not_simulated"]
    why_not: str | None = None
    outcomes: Mapping[str, Share] = Field(default={})
    flip_rate: Share | None = None
    false_fail: Share | None = None
    detectable: float | None = None
    planted: float | None = None
    planted_in: str | None = None
    planted_n: int | None = None
    power: Share | None = None


class Calibration(Record):
    """`rai policy calibrate --json`."""

    schema_version: Literal["rai.policy-calibration/v1"] = "rai.policy-calibration/v1"
    policy: str
    policy_digest: str
    model_name: str
    model_version: str
    evidence: Mapping[str, str]
    draws: int
    seed: int
    assumptions: tuple[str, ...] = ASSUMPTIONS
    thresholds: tuple[ThresholdCalibration, ...]


def calibrate(
    policy: Policy, evidence: Mapping[str, Evidence], references: Mapping[str, str], asked: Asked, *, draws: int, seed: int, planted: Planted
) -> Calibration:
    """Simulate `draws` audits of every control in force, on the stored `evidence` by assessment name.

    Args:
        references: protected attribute to its reference group, as the datasheet declares.
        asked: tier, release class and day of the verdict; controls beyond the tier are left out.
        draws: simulated audits; pairs of them make the flip rate.
        seed: starts every generator.
        planted: how large the planted disparities are.

    Raises:
        EvidenceError: there is no evidence of the model version at all.
    """
    record = next(iter(evidence.values()), None)
    if record is None:
        raise EvidenceError("there is no stored evidence to calibrate on", hint="Run: rai audit NAME/VERSION")
    found: list[ThresholdCalibration] = []
    for control in policy.on(asked.day):
        if not control.in_force(asked.day) or not asked.tier.includes(control.tier):
            continue
        check = checks().get(control.check)
        lacking = [name for name in check.assessments if name not in evidence or evidence[name].status is not Status.COMPLETE] if check else []
        if check is None or lacking:
            found.append(_not(control, "there is no check for it" if check is None else f"no complete evidence from {', '.join(lacking)}"))
        elif control.check == FAIRNESS:
            found += _from_counts(control, policy, evidence[BIAS], references, draws=draws, seed=seed, planted=planted)
        else:
            rng = np.random.default_rng([seed, *control.id.encode()])
            found += _from_intervals(control, policy, evidence, asked, rng=rng, draws=draws)
    return Calibration(
        policy=policy.label,
        policy_digest=policy.digest,
        model_name=record.provenance.model_name,
        model_version=record.provenance.model_version,
        evidence={name: item.digest for name, item in sorted(evidence.items())},
        draws=draws,
        seed=seed,
        thresholds=tuple(found),
    )


def calibrate_version(auditor: Auditor, policy: Policy, version: ModelVersion, *, draws: int, seed: int, planted: Planted) -> Calibration:
    """`calibrate` on the newest stored evidence of `version`, whatever policy it was measured under.

    Raises:
        RegistryUnavailable, UnknownModelVersion, DatasheetError: the reference groups cannot be read.
        EvidenceError: there is no evidence.
    """
    subject = auditor.context(version).subject
    stored = {name: auditor.store.latest_evidence(name, version.key) for name in steps()}
    evidence = {name: item for name, item in stored.items() if item is not None}
    references = {name: attribute.reference for name, attribute in subject.datasheet.columns.protected_attributes.items()}
    asked = asked_of(policy, evidence.get("registry_record"))
    return calibrate(policy, evidence, references, asked, draws=draws, seed=seed, planted=planted)


def asked_of(policy: Policy, record: Evidence | None) -> Asked:
    """What is asked today of the version that the registry record is about; unknown is high and public."""
    details = record.details if record is not None else {}
    return Asked(tier=policy.tiers.of(str(details.get("risk_class"))), release_class=str(details.get("release_class", "unknown")), day=utc_today())


def _from_counts(
    control: Control, policy: Policy, bias: Evidence, references: Mapping[str, str], *, draws: int, seed: int, planted: Planted
) -> list[ThresholdCalibration]:
    simulated = simulate_groups(control, policy, bias, references, draws=draws, seed=seed, planted=planted)
    if isinstance(simulated, str):
        return [_not(control, simulated)]
    found = [
        ThresholdCalibration(
            control=control.id,
            threshold=item.metric,
            attribute=item.attribute,
            method="counts",
            **_told(item.statuses),
            false_fail=_failed(item.statuses),
            planted=item.planted,
            planted_in=item.group,
            planted_n=item.group_n,
            power=_failed(item.under_planted) if item.under_planted else None,
            why_not=item.why_not,
        )
        for item in simulated.thresholds
    ]
    whole = ThresholdCalibration(
        control=control.id, threshold="whole control", method="counts", false_fail=_failed(simulated.control), **_told(simulated.control)
    )
    untold = [ThresholdCalibration(control=control.id, threshold=metric, method="not_simulated", why_not=AS_STORED) for metric in simulated.as_stored]
    return [whole, *found, *untold]


def _from_intervals(
    control: Control, policy: Policy, evidence: Mapping[str, Evidence], asked: Asked, *, rng: np.random.Generator, draws: int
) -> list[ThresholdCalibration]:
    read = checks()[control.check].assessments
    figures = judge_control(control, policy, evidence, asked, digests={}).figures
    if not any(figure.p_adjusted is not None for figure in figures):  # nothing is tested: counts and properties of the table itself
        return [_not(control, "judged exactly: its figures have no sampling uncertainty")]
    statuses = []
    for _ in range(draws):
        redrawn = {name: _redrawn(item, rng) if name in read else item for name, item in evidence.items()}
        statuses.append(judge_control(control, policy, redrawn, asked, digests={}).status)
    if not set(statuses) <= set(DECIDED):
        return [_not(control, f"its finding is {statuses[0].value.replace('_', ' ')}")]
    whole = ThresholdCalibration(control=control.id, threshold="whole control", method="stored_intervals", **_told(statuses))
    alpha = alpha_at_look(policy.statistics.alpha, asked.look, looks_per_year=policy.statistics.looks_per_year)
    scales = {item.metric: item.scale for name in read for item in evidence[name].measurements}
    return [whole, *_detectable(control, figures, scales, alpha)]


def _detectable(control: Control, figures: Sequence[Figure], scales: Mapping[str, str], alpha: float) -> Iterator[ThresholdCalibration]:
    """Where each tested metric is found out with 80 % power: beyond the end of its band by the quantiles of level and power in standard errors."""
    tested = [figure for figure in figures if figure.p_adjusted is not None and figure.interval is not None]
    reach = NormalDist().inv_cdf(1 - alpha / len(tested)) + NormalDist().inv_cdf(POWER)
    for metric in dict.fromkeys(figure.metric for figure in tested):
        own = [figure for figure in tested if figure.metric == metric and figure.interval is not None]
        figure = max(own, key=lambda item: item.interval.high - item.interval.low if item.interval else 0.0)
        ends = [float(number) for number in NUMBER.findall(figure.threshold)]
        interval = figure.interval
        if interval is None or not ends or (scales.get(metric) == "log" and (interval.low <= 0 or ends[0] <= 0)):
            continue
        log = scales.get(metric) == "log"
        low, high = (float(np.log(end)) if log else end for end in (interval.low, interval.high))
        error = (high - low) / (2 * NormalDist().inv_cdf(0.5 + interval.level / 2))
        end = float(np.log(ends[0])) if log else ends[0]
        beyond = end + reach * error if figure.threshold.startswith("at most") else end - reach * error  # of a band: its lower end
        value = float(np.exp(beyond)) if log else beyond
        yield ThresholdCalibration(control=control.id, threshold=figure.label, method="stored_intervals", detectable=value)


def _redrawn(evidence: Evidence, rng: np.random.Generator) -> Evidence:
    return evidence.model_copy(update={"measurements": tuple(_moved(item, rng) for item in evidence.measurements)})


def _moved(item: Measurement, rng: np.random.Generator) -> Measurement:
    """The measurement with value and interval moved by a normal error of its own size, on its own scale."""
    spread = _spread(item)
    if item.value is None or item.interval is None or not spread:
        return item
    step = float(rng.normal(0.0, spread))

    def shifted(value: float) -> float:
        return float(value * np.exp(step)) if item.scale == "log" else value + step

    moved = item.interval.model_copy(update={"low": shifted(item.interval.low), "high": shifted(item.interval.high)})
    return item.model_copy(update={"value": shifted(item.value), "interval": moved})


def _spread(item: Measurement) -> float:
    """Standard error on the measurement's scale: its own, or the one that its interval implies; 0 where it has none."""
    if item.state is not State.MEASURED or item.interval is None:
        return 0.0
    if item.standard_error:
        return item.standard_error
    low, high = item.interval.low, item.interval.high
    if item.scale == "log":
        if low <= 0:
            return 0.0
        low, high = float(np.log(low)), float(np.log(high))
    return (high - low) / (2 * NormalDist().inv_cdf(0.5 + item.interval.level / 2))


def _told(statuses: list[FindingStatus]) -> dict[str, Any]:
    pairs = list(zip(statuses[::2], statuses[1::2], strict=False))
    return {
        "outcomes": {status.value: _share([item is status for item in statuses]) for status in DECIDED},
        "flip_rate": _share([one is not other for one, other in pairs]),
    }


def _failed(statuses: list[FindingStatus]) -> Share:
    return _share([item is FindingStatus.FAIL for item in statuses])


def _share(hits: list[bool]) -> Share:
    from scipy.stats import binomtest

    interval = binomtest(sum(hits), len(hits)).proportion_ci(confidence_level=LEVEL, method="exact")
    return Share(value=sum(hits) / len(hits), low=float(interval.low), high=float(interval.high), n=len(hits))


def _not(control: Control, why: str) -> ThresholdCalibration:
    return ThresholdCalibration(control=control.id, threshold="whole control", method="not_simulated", why_not=why)
