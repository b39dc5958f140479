"""Linear models over the same inputs: the raw value is a sum of one term per feature, so every extreme over a box has a closed form."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.verification.domain import Region
from rai_pipelines.assessments.verification.search import ROUNDING
from rai_pipelines.assessments.verification.tree_dumps import Unsupported
from rai_pipelines.assessments.verification.trees import numbers_of
from rai_pipelines.errors import ModelError


@dataclass(frozen=True)
class Linear:
    """`raw = base + sum of terms`: a slope for each number, a value for each code of a category. Favourable above `cut`."""

    space: FeatureSpace
    base: float
    slopes: np.ndarray
    terms: Mapping[int, np.ndarray]
    link: str
    scale: float
    cut: float
    rounding: float = ROUNDING
    score_rounding: float = 0.0

    def raw(self, vectors: np.ndarray) -> np.ndarray:
        """Raw values, shape (rows,); NaN where a value is missing."""
        total = self.base + np.where(self.space.categorical, 0.0, vectors) @ self.slopes
        for at, values in self.terms.items():
            total = total + values[vectors[:, at].astype(int)]
        return np.asarray(total)

    def score(self, raw: np.ndarray) -> np.ndarray:
        """Scores of raw values."""
        from scipy.special import expit

        return np.asarray(expit(raw))

    def raw_at(self, score: float) -> float:
        """The raw value that has this score."""
        return math.copysign(math.inf, score - 0.5) if score in (0.0, 1.0) else math.log(score / (1 - score))

    def extreme(self, region: Region, sign: int) -> tuple[float, np.ndarray]:
        """The largest (`sign` 1) or least (-1) raw value of a region, and where it is taken."""
        place = np.where(sign * self.slopes > 0, region.high, region.low)
        for at, values in self.terms.items():
            codes = np.array(region.codes[at])
            place[at] = codes[(sign * values[codes]).argmax()]
        return float(self.raw(place[None])[0]), place

    def bounds(self, region: Region) -> tuple[float, float]:
        """Numbers that the raw value never falls below and never exceeds in the region."""
        return self.extreme(region, -1)[0], self.extreme(region, 1)[0]

    def pull(self, vector: np.ndarray) -> np.ndarray:
        """How steep the raw value is in each feature, between codes of a category at most; shape (features,)."""
        steep = np.abs(self.slopes)
        for at, values in self.terms.items():
            steep[at] = np.ptp(values)
        return np.asarray(steep)

    def spread(self, region: Region, at: int) -> float:
        """How much one feature can change the raw value within a region."""
        if at in self.terms:
            return float(np.ptp(self.terms[at][list(region.codes[at])]))
        return float(abs(self.slopes[at]) * (region.high[at] - region.low[at]))


def linear_of(answer: Mapping[str, Any], space: FeatureSpace) -> Linear:
    """The linear model that the model's side describes.

    Raises:
        Unsupported: an input is used in a way that the space cannot express.
        ModelError: what the model's side says is no linear model.
    """
    try:
        slopes, base = np.zeros(len(space.features)), float(answer["base"])
        terms = {at: np.zeros(len(one.values)) for at, one in enumerate(space.features) if one.values is not None}
        for item, weight in zip(answer["columns"], answer["weights"], strict=True):
            at = next(at for at, feature in enumerate(space.features) if item["source"] in feature.columns)
            feature = space.features[at]
            if feature.values is not None:
                terms[at] += float(weight) * numbers_of(item, feature.values, feature.members)
            elif item["codes"] is not None:
                raise Unsupported(f"the model reads {feature.name!r} as a category: name it in columns.categorical_features")
            else:
                slope, start = _affine(item["steps"], feature.name)
                slopes[at] += float(weight) * slope
                base += float(weight) * start
        found = Linear(space, base, slopes, terms, str(answer["link"]), 1.0, float(answer["cut"]))
    except (KeyError, TypeError, ValueError, StopIteration, ZeroDivisionError) as error:
        raise ModelError(f"describes its weights with something else ({error})", hint="The model tampers with its process") from error
    if not np.isfinite([base, found.cut, *slopes, *(value for values in terms.values() for value in values)]).all():
        raise ModelError("describes weights that are not finite", hint="Look at the model's coefficients")
    return found


def _affine(steps: Sequence[Sequence[Any]], name: str) -> tuple[float, float]:
    """Slope and value at 0 of the steps together."""
    slope, start = 1.0, 0.0
    for step, by in steps:
        match step:
            case "subtract" | "add":
                start += float(by) if step == "add" else -float(by)
            case "divide" | "multiply":
                factor = float(by) if step == "multiply" else 1 / float(by)
                slope, start = slope * factor, start * factor
            case _:
                raise Unsupported(f"{name!r} is cut off at an end before it is weighed")
    return slope, start
