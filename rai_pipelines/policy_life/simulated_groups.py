"""Simulated audits of group fairness from the stored counts of an evidence: the same world twice, and a world with a planted disparity.

The counts go through the same figures and the same family of tests as an audit; only Fairlearn's frames are replaced by the closed forms that
tests hold equal to it, because thousands of tables are measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rai_pipelines.assessments.fairness.disparity import between_groups
from rai_pipelines.assessments.fairness.groups import FN, FP, REJECTED_UNLABELLED, SELECTED_UNLABELLED, TN, TP, GroupCounts
from rai_pipelines.assessments.fairness.lattice import BiasParameters
from rai_pipelines.assessments.fairness.rates import impact_ratios
from rai_pipelines.evidence.model import Evidence, Measurement
from rai_pipelines.policy.checks.fairness import GroupFairnessThreshold, declared_comparisons
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.model import Control, Policy
from rai_pipelines.policy.sequential import alpha_at_look
from rai_pipelines.policy.three_state import Judged, judge_family
from rai_pipelines.tables.group_names import JOIN

BIAS, FAIRNESS = "bias_assessment", "group_fairness"
PAIRS = ((TP, FN), (FP, TN), (SELECTED_UNLABELLED, REJECTED_UNLABELLED))  # selected, not selected
RESAMPLES = 200  # behind standard errors, which the judged intervals do not use
SIMULATED = ("impact_ratio", "demographic_parity_difference", "equalized_odds_difference")


@dataclass(frozen=True)
class Planted:
    """How large the planted disparities are. None: three quarters of a band's lower end, twice the largest allowed difference."""

    ratio: float | None = None
    difference: float | None = None


@dataclass
class SimulatedThreshold:
    """Outcomes of one metric of one attribute, draw by draw: without disparity, and with one planted in `group`."""

    metric: str
    attribute: str
    statuses: list[FindingStatus] = field(default_factory=list)
    under_planted: list[FindingStatus] = field(default_factory=list)
    planted: float | None = None
    group: str | None = None
    group_n: int | None = None
    why_not: str | None = None


@dataclass
class SimulatedControl:
    """Outcomes of the whole family without disparity, and of each threshold; `as_stored` are metrics of the family that counts do not tell."""

    control: list[FindingStatus]
    thresholds: list[SimulatedThreshold]
    as_stored: tuple[str, ...] = ()


def simulate_groups(
    control: Control, policy: Policy, bias: Evidence, references: Mapping[str, str], *, draws: int, seed: int, planted: Planted
) -> SimulatedControl | str:
    """Simulate `draws` audits of the control on the group counts of `bias`; or say why that cannot be done."""
    counts = stored_counts(bias)
    if not counts:
        return "the evidence holds no counts of groups by label and decision"
    if bias.details.get("rows_counted_as") != "independent rows":
        return "rows are weighted or clustered: their counts do not tell how they vary"
    undeclared = [item.attribute for item in counts if item.attribute not in references]
    if undeclared:
        return f"the datasheet no longer declares {', '.join(undeclared)}, which the evidence is about: audit again"
    threshold = GroupFairnessThreshold.model_validate(dict(control.threshold))
    as_stored = tuple(item for item in declared_comparisons(threshold, bias) if item.measurement.metric not in SIMULATED)
    world = _World(control, policy, bias, counts, {item.attribute: references[item.attribute] for item in counts}, as_stored)
    drawn = [
        [world.measure(table, world.draw(table, np.random.default_rng([seed, at, draw]))) for at, table in enumerate(counts)] for draw in range(draws)
    ]
    judged = [world.judge(tables) for tables in drawn]
    thresholds = []
    for at, table in enumerate(counts):
        for metric in SIMULATED:
            if not any((metric, table.attribute) in outcome for outcome in judged):
                continue
            made = SimulatedThreshold(metric, table.attribute)
            made.statuses = [outcome.get((metric, table.attribute), FindingStatus.INCONCLUSIVE) for outcome in judged]
            shares = world.planted_shares(metric, table, made, planted)
            if shares is not None:
                for draw, tables in enumerate(drawn):
                    rng = np.random.default_rng([seed, at, draw, 1 + SIMULATED.index(metric)])
                    changed = [*tables[:at], world.measure(table, world.draw(table, rng, planted=shares)), *tables[at + 1 :]]
                    made.under_planted.append(world.judge(changed).get((metric, table.attribute), FindingStatus.INCONCLUSIVE))
            thresholds.append(made)
    untold = tuple(dict.fromkeys(item.measurement.metric for item in as_stored))
    return SimulatedControl([_worst(list(outcome.values())) for outcome in judged], thresholds, untold)


def stored_counts(bias: Evidence) -> list[GroupCounts]:
    """The cells of every single attribute that the evidence keeps; none for tasks without decisions."""
    columns: Any = bias.details.get("cell_columns")
    if not columns:
        return []
    found: dict[str, list[tuple[str, list[int]]]] = {}
    stored: Any = bias.details.get("cells", [])
    for row in stored:
        fact = dict(zip(columns, row, strict=True))
        true_positives, false_positives = fact["true_positives"], fact["false_positives"]
        unlabelled = fact["selected"] - true_positives - false_positives
        cells = [0] * 6
        cells[TP], cells[FN] = true_positives, fact["positives"] - true_positives
        cells[FP], cells[TN] = false_positives, fact["labelled"] - fact["positives"] - false_positives
        cells[SELECTED_UNLABELLED], cells[REJECTED_UNLABELLED] = unlabelled, fact["n"] - fact["labelled"] - unlabelled
        if JOIN not in fact["attribute"]:
            found.setdefault(fact["attribute"], []).append((fact["group"], cells))
    return [
        GroupCounts(name, (name,), tuple(group for group, _ in rows), np.array([cells for _, cells in rows], dtype=np.int64))
        for name, rows in found.items()
    ]


@dataclass(frozen=True)
class _World:
    """What stays the same over all draws; `as_stored` are figures that no draw changes, and that Holm's adjustment counts all the same."""

    control: Control
    policy: Policy
    bias: Evidence
    counts: Sequence[GroupCounts]
    references: Mapping[str, str]
    as_stored: Sequence[Judged] = ()

    @property
    def sizes(self) -> BiasParameters:
        chosen = self.policy.statistics
        return BiasParameters(
            min_group_n=chosen.min_group_n, min_denominator=chosen.min_denominator, interval_level=chosen.interval_level, resamples=RESAMPLES
        )

    def pooled(self, table: GroupCounts) -> np.ndarray:
        """Shares of the six cells over all groups."""
        total: np.ndarray = table.cells.sum(axis=0)
        shares: np.ndarray = total / total.sum()
        return shares

    def draw(self, table: GroupCounts, rng: np.random.Generator, planted: tuple[int, np.ndarray] | None = None) -> np.ndarray:
        """Cells of every group, drawn with the pooled shares, or with its own where a disparity is planted."""
        shares = [self.pooled(table)] * len(table.groups)
        if planted is not None:
            shares[planted[0]] = planted[1]
        return np.stack([rng.multinomial(int(n), share) for n, share in zip(table.cells.sum(axis=1), shares, strict=True)])

    def measure(self, table: GroupCounts, cells: np.ndarray) -> list[Measurement]:
        """The figures of one attribute in one draw."""
        drawn = GroupCounts(table.attribute, table.parts, table.groups, cells)
        (compared, _), *_ = between_groups([drawn], self.sizes, seed=0, closed_forms=True)
        return [*impact_ratios(drawn, self.references, self.sizes)[1], *compared]

    def judge(self, tables: Sequence[list[Measurement]]) -> dict[tuple[str, str], FindingStatus]:
        """The worst outcome of each metric and attribute, all judged as one family."""
        threshold = GroupFairnessThreshold.model_validate(dict(self.control.threshold))
        details = {name: self.bias.details[name] for name in ("task", "groups") if name in self.bias.details}
        made = self.bias.model_copy(update={"measurements": tuple(item for table in tables for item in table), "details": details})
        items = [item for item in declared_comparisons(threshold, made) if item.measurement.metric in SIMULATED]
        statistics = self.policy.statistics
        family = [*items, *self.as_stored]
        figures = judge_family(family, alpha=alpha_at_look(statistics.alpha, 1, looks_per_year=statistics.looks_per_year))
        found: dict[tuple[str, str], list[FindingStatus]] = {}
        for item, figure in zip(items, figures[: len(items)], strict=True):
            found.setdefault((item.measurement.metric, str(item.measurement.attribute)), []).append(figure.status)
        return {key: _worst(statuses) for key, statuses in found.items()}

    def planted_shares(self, metric: str, table: GroupCounts, made: SimulatedThreshold, planted: Planted) -> tuple[int, np.ndarray] | None:
        """The group with the disparity and its cell shares; None, with the reason in `made`, where there is none that could have it."""
        position = self._smallest_judged(table)
        if position is None:
            made.why_not = "no group beside the reference has enough rows"
            return None
        pooled = self.pooled(table)
        wanted = self._wanted(metric, planted)
        shares = _with_ratio(pooled, wanted) if metric == "impact_ratio" else _with_difference(pooled, wanted, metric)
        if shares is None:
            made.why_not = f"a difference of {wanted:g} does not fit beside the pooled rates"
            return None
        made.planted, made.group, made.group_n = wanted, table.groups[position], int(table.cells[position].sum())
        return position, shares

    def _wanted(self, metric: str, planted: Planted) -> float:
        threshold = GroupFairnessThreshold.model_validate(dict(self.control.threshold))
        if metric == "impact_ratio":
            assert threshold.impact_ratio is not None
            return planted.ratio if planted.ratio is not None else 0.75 * threshold.impact_ratio[0]
        return planted.difference if planted.difference is not None else 2 * float(getattr(threshold, f"{metric}_max"))

    def _smallest_judged(self, table: GroupCounts) -> int | None:
        facts: Any = self.bias.details.get("groups", {})
        small = facts.get(table.attribute, {}).get("insufficient", {})
        reference = facts.get(table.attribute, {}).get("reference")
        open_to = [at for at, group in enumerate(table.groups) if group not in small and group != reference]
        return min(open_to, key=lambda at: int(table.cells[at].sum())) if open_to else None


def _with_ratio(pooled: np.ndarray, ratio: float) -> np.ndarray | None:
    """The pooled shares with `ratio` times the selection rate, thinned or thickened alike for every outcome."""
    selection = sum(pooled[chosen] for chosen, _ in PAIRS)
    if not 0 < ratio * selection < 1:
        return None
    return _selecting(pooled, {pair: ratio for pair in PAIRS}) if ratio <= 1 else _rejecting(pooled, (1 - ratio * selection) / (1 - selection))


def _with_difference(pooled: np.ndarray, difference: float, metric: str) -> np.ndarray | None:
    """The pooled shares with a selection rate, or a true positive rate, that is lower by `difference`, or higher where it cannot be lower."""
    pairs = PAIRS if metric == "demographic_parity_difference" else PAIRS[:1]
    chosen, other = (sum(pooled[pair[at]] for pair in pairs) for at in (0, 1))
    if chosen + other == 0:
        return None
    whole = 1.0 if metric == "demographic_parity_difference" else chosen + other
    rate = chosen / whole
    if rate >= difference:
        return _selecting(pooled, {pair: (rate - difference) / rate for pair in pairs})
    if rate + difference <= 1:
        return _rejecting(pooled, (1 - rate - difference) / (1 - rate), pairs)
    return None


def _selecting(pooled: np.ndarray, factors: Mapping[tuple[int, int], float]) -> np.ndarray:
    shares = pooled.copy()
    for (chosen, other), factor in factors.items():
        shares[chosen], shares[other] = pooled[chosen] * factor, pooled[other] + pooled[chosen] * (1 - factor)
    return shares


def _rejecting(pooled: np.ndarray, factor: float, pairs: Sequence[tuple[int, int]] = PAIRS) -> np.ndarray:
    return _selecting(pooled, {(other, chosen): factor for chosen, other in pairs})


def _worst(statuses: Sequence[FindingStatus]) -> FindingStatus:
    for status in (FindingStatus.FAIL, FindingStatus.INCONCLUSIVE, FindingStatus.PASS):
        if status in statuses:
            return status
    return FindingStatus.INCONCLUSIVE  # nothing could be compared
