"""Whom the attacks hit: how many correct decisions survive in each protected group, and the largest gap between groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from rai_pipelines.assessments.security.robust_figures import Standing
from rai_pipelines.assessments.statistics.proportions import largest_gap_interval, proportion
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.subjects.datasheet import ProtectedAttribute
from rai_pipelines.tables.group_names import group_of_each

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 2_000  # give the standard error of a largest gap only


def group_figures(
    people: pd.DataFrame,
    correct: np.ndarray,
    broken: np.ndarray,
    attributes: Mapping[str, ProtectedAttribute],
    *,
    standing: Standing,
    min_group_n: int,
    seed: int,
) -> list[Measurement]:
    """`group_robust_to_clean_ratio` of every group of every attribute, and `robust_to_clean_gap`: the largest difference between two groups.

    A group with fewer than `min_group_n` attacked rows is disclosed as insufficient and not compared.

    Args:
        people: the sampled rows with the columns of the attributes.
        correct: which of them were attacked, shape (rows,).
        broken: which of the attacked ones were broken, shape (attacked,).
    """
    measurements = []
    for number, (name, attribute) in enumerate(attributes.items()):
        groups = group_of_each(people[name], attribute.bins)
        names = sorted(set(groups.tolist()))
        attacked = np.array([int((groups[correct] == group).sum()) for group in names])
        survived = np.array([int(((groups[correct] == group) & ~broken).sum()) for group in names])
        sampled = [int((groups == group).sum()) for group in names]
        for group, kept, of, rows in zip(names, survived.tolist(), attacked.tolist(), sampled, strict=True):
            measurements.append(_of_group((name, group), (kept, of, rows), standing, min_group_n))
        measurements.append(_largest(name, names, (survived, attacked), standing=standing, least=min_group_n, seed=(seed, 31, number)))
    return measurements


def _of_group(who: tuple[str, str], counts: tuple[int, int, int], standing: Standing, least: int) -> Measurement:
    (attribute, group), (survived, attacked, sampled) = who, counts
    ratio = proportion(survived, attacked, standing.level) if attacked else None
    state, note = standing.state, standing.note
    if attacked < least:
        state, note = State.INSUFFICIENT, f"{attacked} of its rows were attacked, fewer than {least}"
    return Measurement(
        metric="group_robust_to_clean_ratio",
        value=ratio.value if ratio else None,
        interval=ratio.interval if ratio else None,
        standard_error=ratio.standard_error if ratio else None,
        n=sampled,
        denominator=attacked,
        attribute=attribute,
        group=group,
        state=state,
        note=note,
    )


def _largest(
    attribute: str, names: list[str], counts: tuple[np.ndarray, np.ndarray], *, standing: Standing, least: int, seed: tuple[int, ...]
) -> Measurement:
    survived, attacked = counts
    enough = attacked >= least
    left_out = [f"{name!r} ({number})" for name, number, kept in zip(names, attacked.tolist(), enough, strict=True) if not kept]
    note = f"not compared, too few rows: {', '.join(left_out)}" if left_out else None
    if enough.sum() < 2:
        return Measurement(
            metric="robust_to_clean_gap",
            value=None,
            n=int(attacked.sum()),
            attribute=attribute,
            state=State.INSUFFICIENT,
            note="; ".join(["fewer than two groups have enough rows", *([note] if note else [])]),
        )
    kept, of = survived[enough], attacked[enough]
    rates, compared = kept / of, [name for name, chosen in zip(names, enough, strict=True) if chosen]
    top, bottom = int(rates.argmax()), int(rates.argmin())
    drawn = np.random.default_rng(list(seed)).binomial(of, rates, size=(RESAMPLES, len(of))) / of
    gap = float(rates[top] - rates[bottom])
    figure = largest_gap_interval(gap, [(kept, of)], drawn.max(axis=1) - drawn.min(axis=1), standing.level, ratio=False)
    return Measurement(
        metric="robust_to_clean_gap",
        value=gap,
        interval=figure.interval,
        standard_error=figure.standard_error,
        n=int(of.sum()),
        denominator=int(min(of[top], of[bottom])),
        attribute=attribute,
        reference=compared[top],
        comparison=compared[bottom],
        state=standing.state,
        note="; ".join(part for part in (standing.note, note) if part) or None,
    )
