"""How many labels are suspicious: confident learning with cross-validated probabilities of a small model. Hints, never row identities.

Source: Northcutt, Jiang and Chuang (2021), Confident learning: estimating uncertainty in dataset labels, JAIR 70, 1373-1411.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_pipelines.assessments.statistics.proportions import proportion_limits
from rai_pipelines.assessments.validation.reading import ValidatedTable
from rai_pipelines.evidence.model import Interval, Measurement, State
from rai_pipelines.subjects.datasheet import Columns, Task
from rai_pipelines.tables.group_names import MISSING, as_outcome, group_name

if TYPE_CHECKING:
    import pandas as pd

METRIC = "suspicious_label_share"
SALT = 7_301
FOLDS = 5
DECIMALS = 9
TREES: dict[str, Any] = {"max_iter": 50, "max_leaf_nodes": 15, "min_samples_leaf": 20, "learning_rate": 0.1, "early_stopping": False}
MOST_CATEGORIES = 200
TIE = 1e-9  # a mean of equal probabilities can come out above each of them
NOTE = "hint: labels that confidently look like another class's, fewer than are wrong by chance and more where classes overlap"
METHOD = "binomial by class on confidently placed rows, weighted by class size"


def label_noise(
    table: ValidatedTable, columns: Columns, task: Task, features: Sequence[str], *, rows: int, minimum_class: int, level: float, seed: int
) -> list[Measurement]:
    """`suspicious_label_share` overall and by class (outcome = class): share of labels that confidently look as if they were another class's.

    At most `rows` rows are drawn. The share is no rate of wrong labels, and its interval is none of that rate either. It is too low where a class
    is wrong at random: the threshold is a mean, and about half of the wrong labels fall below it as soon as probabilities are estimated
    (wrong labels planted at 5 to 40 % in one class are told at 0.59 to 0.68 of their share; exact probabilities give all of it). It is too high
    where classes overlap in their features. The interval is that of the drawn rows and takes the models of the folds as given. Classes
    with fewer than `minimum_class` rows make the share insufficient.
    """
    label = table.expected.label
    known = [name for name in features if name in table.source.columns and name != label]
    why = None
    if task not in {"binary_classification", "multiclass_classification"}:
        why = f"label noise is estimated for classes only; the task is {task}"
    elif label is None or label not in table.source.columns:
        why = "there is no label column"
    elif not known:
        why = "there is no feature"
    if why is not None or label is None:
        return [Measurement(metric=METRIC, value=None, group=table.name, state=State.UNAVAILABLE, note=why)]
    frame = table.source.sample(rows, seed=seed, columns=[*known, label])
    names = _classes(frame[label], columns.favourable_outcome, task)
    held = np.array([name != MISSING for name in names])
    frame, given = frame[held], np.asarray(names, dtype=object)[held]
    classes, codes = np.unique(given.astype(str), return_inverse=True)
    sizes = np.bincount(codes, minlength=len(classes))
    where: dict[str, Any] = {"metric": METRIC, "group": table.name}
    if len(classes) < 2:
        return [Measurement(value=None, n=len(given), denominator=0, state=State.UNDEFINED, note="the drawn rows have one class only", **where)]
    if sizes.min() < max(FOLDS, minimum_class):
        note = f"the rarest class has {sizes.min()} drawn rows, fewer than {max(FOLDS, minimum_class)}"
        return [Measurement(value=None, n=len(given), denominator=int(sizes.min()), state=State.INSUFFICIENT, note=note, **where)]
    inputs, categorical = _encoded(frame[known], columns.categorical_features)
    told = cross_validated(inputs, categorical, codes, seed=seed)
    return _measured(confident_joint(told, codes), classes, sizes, level, where)


def confident_joint(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts of (given label, confidently suspected label), shape (classes, classes).

    Args:
        probabilities: out-of-sample probabilities, shape (rows, classes).
        labels: given labels as codes, shape (rows,); every class occurs.

    A row counts for the most probable class among those whose probability reaches the mean that rows with this given label have; a row that
    reaches none counts nowhere.
    """
    classes = probabilities.shape[1]
    thresholds = np.array([probabilities[labels == code, code].mean() for code in range(classes)])
    reached = probabilities >= thresholds - TIE
    suspected = np.where(reached, probabilities, -1.0).argmax(axis=1)
    placed = reached.any(axis=1)
    joint = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(joint, (labels[placed], suspected[placed]), 1)
    return joint


def cross_validated(inputs: np.ndarray, categorical: np.ndarray, labels: np.ndarray, *, seed: int) -> np.ndarray:
    """Probabilities of every row from small boosted trees that never saw it, shape (rows, classes)."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold
    from threadpoolctl import threadpool_limits

    state = int(np.random.default_rng([seed, SALT]).integers(2**31))
    told = np.zeros((len(labels), int(labels.max()) + 1))
    for learn, judge in StratifiedKFold(FOLDS, shuffle=True, random_state=state).split(inputs, labels):
        held = np.isfinite(inputs[learn]).any(axis=0)  # scikit-learn cannot bin a column without a value
        if not held.any():
            told[judge] = np.bincount(labels[learn], minlength=told.shape[1]) / len(learn)
            continue
        trees = HistGradientBoostingClassifier(categorical_features=categorical[held], random_state=state, **TREES)
        with threadpool_limits(1):  # sums of one thread are the same on every machine
            trees.fit(inputs[learn][:, held], labels[learn])
            told[judge] = trees.predict_proba(inputs[judge][:, held])
    return np.round(told, DECIMALS)


def _measured(joint: np.ndarray, classes: np.ndarray, sizes: np.ndarray, level: float, where: dict[str, Any]) -> list[Measurement]:
    """Each class's row of the joint is scaled to the class's rows, as the source calibrates it; the overall share is their weighted mean."""
    placed = joint.sum(axis=1)
    elsewhere = placed - joint.diagonal()
    rows = int(sizes.sum())
    found = []
    if (placed == 0).any():
        found.append(
            Measurement(value=None, n=rows, denominator=int(placed.sum()), state=State.INSUFFICIENT, note="no row of a class is sure", **where)
        )
    else:
        shares, weights = elsewhere / placed, sizes / rows
        low, high = proportion_limits(elsewhere, placed, level)
        value = float((weights * shares).sum())
        below, above = (float(np.sqrt(((weights * reach) ** 2).sum())) for reach in (shares - low, high - shares))
        interval = Interval(low=max(0.0, value - below), high=min(1.0, value + above), level=level, method=METHOD)
        found.append(Measurement(value=value, interval=interval, n=rows, denominator=int(placed.sum()), note=NOTE, **where))
    for code, name in enumerate(classes):
        about: dict[str, Any] = {**where, "outcome": str(name), "n": int(sizes[code]), "denominator": int(placed[code])}
        if not placed[code]:
            found.append(Measurement(value=None, state=State.UNDEFINED, note="no row of the class is sure", **about))
            continue
        low, high = proportion_limits(elsewhere[[code]], placed[[code]], level)
        interval = Interval(low=float(low[0]), high=float(high[0]), level=level, method="binomial on confidently placed rows")
        found.append(Measurement(value=float(elsewhere[code] / placed[code]), interval=interval, note=NOTE, **about))
    return found


def _classes(values: pd.Series, favourable: str, task: Task) -> list[str]:
    if task == "multiclass_classification":
        return [group_name(value) for value in values]
    outcome = as_outcome(values, favourable)
    return [MISSING if missing else ("favourable" if value == 1 else "other") for value, missing in zip(outcome, outcome.isna(), strict=True)]


def _encoded(frame: pd.DataFrame, codes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers as they are, dates as seconds, anything else as codes by frequency; missing and infinite values are missing."""
    import pandas as pd

    kinds = pd.api.types
    columns, categorical = [], []
    for name in frame.columns:
        values: Any = frame[name]
        coded = name in codes or not (kinds.is_numeric_dtype(values) or kinds.is_datetime64_any_dtype(values))
        categorical.append(coded)
        if coded:
            texts = values.map(group_name)
            counts = texts[texts != MISSING].value_counts()
            ordered = sorted(counts.index, key=lambda text: (-int(counts[text]), text))
            place = {text: float(min(position, MOST_CATEGORIES)) for position, text in enumerate(ordered)}
            number = np.array([place.get(text, np.nan) for text in texts], dtype=float)
        elif kinds.is_datetime64_any_dtype(values):
            seconds = pd.to_datetime(values, utc=True).astype("datetime64[s, UTC]").astype("int64").to_numpy(dtype=float)
            number = np.where(values.isna(), np.nan, seconds)
        else:
            number = values.to_numpy(dtype=float, na_value=np.nan)
        columns.append(np.where(np.isfinite(number), number, np.nan))
    return np.column_stack(columns), np.array(categorical)
