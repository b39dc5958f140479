"""One decision threshold per group, in two ways: equal false positive rates, or both error rates within an allowance.

Equal false positive rates (Fairlearn's optimum without its randomness): among people who are out of work, every group shall have the
same chance of a positive estimate. Exactly equalized odds is of no use on these data: Fairlearn's optimum answers "employed" to
everyone, because the common point has to lie below the worst ROC curve. So the second way allows the groups' rates to differ a little
and takes the most accurate thresholds that stay within that.

Fairlearn's `ThresholdOptimizer` (Hardt, Price and Srebro 2016) meets a constraint exactly by tossing a coin between two neighbouring
thresholds. A person who asks twice must get the same answer, so the likelier of the two is kept. The price is that groups agree
approximately, not exactly; the audit measures by how much.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


class GroupThresholdClassifier:
    """A fitted probability model with one threshold per group.

    `group_columns` are inputs of the model; `bins` cut those that are numeric, `[e0, e1)`, and name the part by its lower edge.
    `thresholds` go by group name (`2/1/35`), and `fallback` serves groups that were not seen in training.
    A plain class of plain attributes, so that skops can keep it without pickle.
    """

    def __init__(self, model: Any, group_columns: list[str], bins: Mapping[str, list[int]], thresholds: Mapping[str, float], fallback: float) -> None:
        self.model = model
        self.group_columns = group_columns
        self.bins = dict(bins)
        self.thresholds = dict(thresholds)
        self.fallback = fallback

    @property
    def classes_(self) -> np.ndarray:
        """Class labels, shape (2,)."""
        return self.model.classes_  # type: ignore[no-any-return]

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the inputs in order."""
        return self.model.feature_names_in_  # type: ignore[no-any-return]

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """The probabilities of the underlying model, shape (rows, 2); the thresholds do not change them."""
        return self.model.predict_proba(frame)  # type: ignore[no-any-return]

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Decisions, shape (rows,): the second class where its probability exceeds the threshold of the row's group."""

        groups = group_names(frame, self.group_columns, self.bins)
        limits = groups.map(self.thresholds).fillna(self.fallback).to_numpy(dtype=float)
        chosen: np.ndarray = self.classes_[(self.predict_proba(frame)[:, 1] > limits).astype(int)]
        return chosen


def group_names(frame: pd.DataFrame, columns: list[str], bins: Mapping[str, list[int]]) -> pd.Series[str]:
    """The group of each row as text: the values of `columns`, binned where `bins` says so, joined by slashes."""
    import numpy as np
    import pandas as pd

    parts = []
    for name in columns:
        values = frame[name].to_numpy()
        if name in bins:
            edges = np.asarray(bins[name])
            values = edges[np.clip(np.digitize(values, edges) - 1, 0, len(edges) - 1)]
        parts.append(pd.Series(values, index=frame.index).astype(float).map("{:g}".format))
    joined = parts[0]
    for part in parts[1:]:
        joined = joined + "/" + part
    return joined


def fit_group_thresholds(scores: np.ndarray, labels: np.ndarray, groups: pd.Series[str]) -> dict[str, float]:
    """The threshold of each group that brings false positive rates together at the best accuracy.

    `scores` (probabilities) and `labels` (0, 1) have shape (rows,). The scores must come from models that did not see their row
    (cross-fitting), because a model is too sure of rows that it was trained on. Source: Hardt, Price, Srebro, "Equality of
    Opportunity in Supervised Learning", NeurIPS 2016; `fairlearn.postprocessing.ThresholdOptimizer`.
    """
    import numpy as np
    from fairlearn.postprocessing import ThresholdOptimizer

    optimizer = ThresholdOptimizer(
        estimator=_score_as_is(), constraints="false_positive_rate_parity", objective="accuracy_score", prefit=True, predict_method="predict"
    )
    optimizer.fit(np.asarray(scores, dtype=float).reshape(-1, 1), labels, sensitive_features=groups.to_numpy())
    thresholds = {}
    for group, rule in sorted(optimizer.interpolated_thresholder_.interpolation_dict.items()):
        likelier = rule["operation0"] if rule["p0"] >= rule["p1"] else rule["operation1"]
        # Infinite thresholds mean all or nobody. Four digits: a table that people can read.
        thresholds[str(group)] = round(float(np.clip(likelier.threshold, 0.0, 1.0)), 4)
    return thresholds


def fit_thresholds_within(scores: np.ndarray, labels: np.ndarray, groups: pd.Series[str], *, allowance: float) -> dict[str, float]:
    """The most accurate thresholds whose true and false positive rates differ by at most `allowance` between any two groups.

    Shapes as in `fit_group_thresholds`. Every pair of windows `[t, t + allowance]` x `[f, f + allowance]` on a grid of 0.01 is tried;
    "yes to everyone" always fits, so there is a solution.
    """
    import numpy as np

    names = sorted(groups.unique())
    curves = [_operating_points(scores[(groups == name).to_numpy()], labels[(groups == name).to_numpy()]) for name in names]
    best, chosen = -1.0, [0] * len(names)
    grid = np.arange(0, 101) / 100
    for true_floor in grid:
        for false_floor in grid:
            picks = []
            for points in curves:
                fits = (
                    (points[:, 0] >= true_floor) & (points[:, 0] <= true_floor + allowance)
                    & (points[:, 1] >= false_floor) & (points[:, 1] <= false_floor + allowance)
                )  # fmt: skip
                if not fits.any():
                    break
                picks.append(int(np.where(fits, points[:, 2], -1.0).argmax()))
            correct = sum(points[pick, 2] for points, pick in zip(curves, picks, strict=False))
            if len(picks) == len(names) and correct > best:
                best, chosen = float(correct), picks
    return {str(name): round(float(points[pick, 3]), 4) for name, points, pick in zip(names, curves, chosen, strict=True)}


def _operating_points(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """True positive rate, false positive rate, correct answers and threshold at up to 60 thresholds of one group; shape (points, 4)."""
    import numpy as np

    rounded = np.unique(np.round(np.concatenate([[0.0], np.quantile(scores, np.linspace(0, 1, 60)), [1.0]]), 4))
    above = scores[None, :] > rounded[:, None]
    positive = labels == 1
    true_rate = above[:, positive].mean(axis=1) if positive.any() else np.zeros(len(rounded))
    false_rate = above[:, ~positive].mean(axis=1) if (~positive).any() else np.zeros(len(rounded))
    return np.column_stack([true_rate, false_rate, (above == positive).sum(axis=1), rounded])


def _score_as_is() -> Any:
    """Stands where Fairlearn wants a fitted estimator: the score is the input."""
    from sklearn.base import BaseEstimator

    class ScoreAsIs(BaseEstimator):  # type: ignore[misc,unused-ignore]
        def fit(self, features: Any, labels: Any) -> ScoreAsIs:
            self.fitted_ = True
            return self

        def predict(self, features: np.ndarray) -> np.ndarray:
            return features[:, 0]  # type: ignore[no-any-return,unused-ignore]

    return ScoreAsIs().fit(None, None)
