"""Proxies: how well do the features tell a protected attribute? Cross-validated areas under the ROC curve, on a seeded sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rai_pipelines.assessments.statistics.auc import hanley_mcneil_auc
from rai_pipelines.evidence.model import Measurement, State

if TYPE_CHECKING:
    import pandas as pd

ALL_FEATURES = "(all features)"
FOLDS = 5
MOST_BINS = 20  # of one feature: quantiles of a number, most frequent values of a category and one for the rest
RIDGE = 1.0  # rows' worth of pull towards zero, so that empty bins have a solution
DECIMALS = 9
LINEAR = "linear model over binned features, so a lower bound on what can be told"


@dataclass(frozen=True)
class _Area:
    value: float
    group: str
    positives: int
    negatives: int


def proxy_measurements(
    sample: pd.DataFrame,
    groups: Mapping[str, np.ndarray],
    features: Sequence[str],
    *,
    categorical: Sequence[str],
    min_group: int,
    level: float,
    seed: int,
    rows: int,
) -> tuple[Measurement, ...]:
    """`proxy_auc` for each protected attribute (attribute), and each feature and all of them together (group).

    The figure is the mean over 5 folds of the area with which held-out rows of one group are told from all others, for the group that is told best
    (`comparison`); 0.5 says nothing is told. A feature scores a row by the rate of the group in its bin among the other folds. Groups with fewer
    than `min_group` rows in the sample, or leaving fewer others, are not judged; an attribute without two such sides is insufficient. The attribute
    itself is left out of its features.

    Args:
        sample: the features of the rows drawn, a column each.
        groups: per protected attribute its group names, shape (rows drawn,); None or an empty text means unknown, and such rows are left out.
        features: columns of `sample` that the model sees.
        categorical: numeric features that are codes.
        min_group: rows from which a group is judged.
        level: of the intervals.
        seed: of the folds.
        rows: rows of the table, for the note.

    Sources: Hanley and McNeil 1982 (interval; it takes the folds as one sample and ignores that the best group was chosen).
    """
    bins = {name: _binned(sample[name], name in categorical) for name in features}
    found: list[Measurement] = []
    for position, (attribute, named) in enumerate(groups.items()):
        others = {name: column for name, column in bins.items() if name != attribute}
        found += _of_attribute(attribute, named, others, min_group=min_group, level=level, seed=[seed, position], rows=rows)
    return tuple(found)


def _of_attribute(
    attribute: str, named: np.ndarray, bins: Mapping[str, np.ndarray], *, min_group: int, level: float, seed: list[int], rows: int
) -> list[Measurement]:
    known = np.array([value not in {None, ""} for value in named], dtype=bool)
    names, codes = np.unique(named[known].astype(str), return_inverse=True)
    sizes = np.bincount(codes, minlength=len(names))
    judged = [index for index in range(len(names)) if sizes[index] >= min_group and len(codes) - sizes[index] >= min_group]
    drawn = f"{len(codes)} of {rows} rows drawn"
    if not judged:
        note = f"no two sides of at least {min_group} rows; {drawn}"
        state = State.INSUFFICIENT
        return [
            Measurement(metric="proxy_auc", value=None, n=len(codes), attribute=attribute, group=group, state=state, note=note)
            for group in (*bins, ALL_FEATURES)
        ]
    judged = judged[:1] if len(names) == 2 else judged  # the other side of two has the same area
    left_out = [names[index] for index in range(len(names)) if sizes[index] < min_group]
    fold = np.random.default_rng(seed).permutation(len(codes)) % FOLDS
    member = (codes[:, None] == np.array(judged)[None, :]).astype(float)
    kept = {name: column[known] for name, column in bins.items()}
    found = {name: _single_areas(column, member, fold) for name, column in kept.items()}
    found[ALL_FEATURES] = _joint_areas(list(kept.values()), member, fold)
    made = []
    for group, areas in found.items():
        best = int(np.argmax(np.round(areas, DECIMALS)))
        positives = int(member[:, best].sum())
        area = _Area(round(float(areas[best]), DECIMALS), str(names[judged[best]]), positives, len(codes) - positives)
        made.append(_measurement(attribute, group, area, level=level, judged=len(judged), left_out=left_out, drawn=drawn))
    return made


def _measurement(attribute: str, group: str, area: _Area, *, level: float, judged: int, left_out: Sequence[str], drawn: str) -> Measurement:
    uncertain = hanley_mcneil_auc(area.value, area.positives, area.negatives, level)
    note = f"{drawn}; {FOLDS} folds"
    note += f"; the largest of {judged} groups against the rest" if judged > 1 else ""
    note += f"; {len(left_out)} groups are too small to be judged" if left_out else ""
    note += f"; {LINEAR}" if group == ALL_FEATURES else ""
    return Measurement(
        metric="proxy_auc",
        value=area.value,
        interval=uncertain.interval,
        standard_error=uncertain.standard_error,
        n=area.positives + area.negatives,
        denominator=min(area.positives, area.negatives),
        attribute=attribute,
        group=group,
        comparison=area.group,
        note=note,
    )


def _binned(column: pd.Series, is_code: bool) -> np.ndarray:
    """Bin of each row, shape (rows,): quantiles of a number, the most frequent values of anything else; missing has a bin of its own."""
    import pandas as pd

    missing = column.isna().to_numpy(dtype=bool)
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column) and not is_code:
        numbers = column.to_numpy(dtype=float, na_value=np.nan)
        finite = numbers[np.isfinite(numbers)]
        values = np.unique(finite)
        edges = values[1:] if len(values) <= MOST_BINS else np.unique(np.quantile(finite, np.linspace(0, 1, MOST_BINS + 1)[1:-1]))
        bins = np.searchsorted(edges, np.where(missing, 0.0, numbers), side="right") + 1
    else:
        text = column.astype(object).map(str)  # of bytes and lists too
        counts = text[~missing].value_counts()
        frequent = sorted(counts.index, key=lambda value: (-counts[value], value))[:MOST_BINS]
        bins = text.map({value: index + 1 for index, value in enumerate(frequent)}).fillna(len(frequent) + 1).to_numpy(dtype=float)
    return np.where(missing, 0, bins).astype(np.int64)


def _single_areas(bins: np.ndarray, member: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Mean area over folds for each group, shape (groups,), when a bin's score is the group's rate among the other folds."""
    width = int(bins.max()) + 1
    place = fold * width + bins
    sides = [[np.bincount(place, weights=side, minlength=FOLDS * width).reshape(FOLDS, width) for side in (one, 1.0 - one)] for one in member.T]
    counts = np.array(sides).transpose(2, 3, 1, 0)  # fold, bin, side, group
    others = counts.sum(axis=0)[None] - counts
    base = member.mean(axis=0)
    score = (others[:, :, 0] + RIDGE * base) / (others.sum(axis=2) + RIDGE)
    return np.array([_mean_area([_area_of_counts(score[f, :, g], counts[f, :, :, g]) for f in range(FOLDS)]) for g in range(member.shape[1])])


def _joint_areas(bins: Sequence[np.ndarray], member: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """The same for all features at once: ridge regression on the indicators of their bins, one solution for all groups."""
    from scipy.stats import rankdata

    if not bins:
        return np.full(member.shape[1], 0.5)
    columns = [(column[:, None] == np.arange(1, int(column.max()) + 1)[None, :]) for column in bins]
    design = np.concatenate([np.ones((len(fold), 1), dtype=bool), *columns], axis=1).astype(float)
    areas: list[list[float | None]] = [[] for _ in range(member.shape[1])]
    for held in range(FOLDS):
        seen, out = design[fold != held], design[fold == held]
        weights = np.linalg.solve(seen.T @ seen + RIDGE * np.eye(design.shape[1]), seen.T @ member[fold != held])
        scores = np.round(out @ weights, DECIMALS)
        for g in range(member.shape[1]):
            truth = member[fold == held, g] == 1
            positives, negatives = int(truth.sum()), int((~truth).sum())
            ranks = float(rankdata(scores[:, g])[truth].sum())
            areas[g].append((ranks - positives * (positives + 1) / 2) / (positives * negatives) if positives and negatives else None)
    return np.array([_mean_area(each) for each in areas])


def _area_of_counts(score: np.ndarray, counts: np.ndarray) -> float | None:
    """Area from rows per score, `counts` with shape (bins, 2): members and others."""
    _, tied = np.unique(np.round(score, DECIMALS), return_inverse=True)
    positives, negatives = (np.bincount(tied, weights=counts[:, side]) for side in (0, 1))
    if not positives.sum() or not negatives.sum():
        return None
    below = np.cumsum(negatives) - negatives
    return float((positives * (below + negatives / 2)).sum() / (positives.sum() * negatives.sum()))


def _mean_area(areas: Sequence[float | None]) -> float:
    """A fold without one of the sides has no area and does not count."""
    held = [area for area in areas if area is not None]
    return sum(held) / len(held) if held else 0.5
